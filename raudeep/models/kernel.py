"""Recurrent layers on the CPU by raudeep's own kernel, compiled when first used.

PyTorch runs some fifteen operations per time step, and slices of all frames where lengths differ.
``recurrent.cpp`` has one matrix product and one loop per step. It is compiled for the machine once
and kept in the user's cache folder. Without a compiler, PyTorch's layers are used.

Shapes: B sequences, N the sum of their lengths, F values of a step, H units, G gates.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from raudeep.models.packing import Packing

__all__ = ["compiled", "dropout", "recurrent_layer"]

logger = logging.getLogger(__name__)

_TYPES = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2}
_BLOCK = 64  # rows; the most that recurrent.cpp takes


class _Layer(ctypes.Structure):
    """The arguments of the kernel: `Layer` of recurrent.cpp, field by field."""

    _fields_ = [
        *[(name, ctypes.c_int64) for name in ("steps", "batch", "units", "threads", "block")],
        *[
            (name, ctypes.c_void_p)
            for name in (
                "active",
                "weights",
                "bias",
                "inputs",
                "initial",
                "state",
                "outputs",
                "saved",
                "d_outputs",
                "d_inputs",
                "d_candidate",
                "d_bias",
            )
        ],
    ]


def recurrent_layer(
    layer: nn.GRU | nn.LSTM, inputs: Tensor, state: Tensor | None, packing: Packing
) -> tuple[Tensor, Tensor]:
    """Return the outputs (N, H) of a layer and its final state, as PyTorch's layer does.

    Parameters
    ----------
    layer : nn.GRU or nn.LSTM
        Of one layer and one direction.
    inputs : Tensor, shape (N, F)
        Packed by `packing`. Under autocast they are computed with in bfloat16.
    state : Tensor, shape (1, B, H), or (2, B, H) for an LSTM, optional
        Initial state; zeros without.
    packing : Packing
        The lengths.
    """
    is_lstm = isinstance(layer, nn.LSTM)
    dtype = _dtype(inputs)
    exact = torch.float64 if dtype == torch.float64 else torch.float32
    units = layer.hidden_size
    weights: dict[str, Any] = dict(layer.named_parameters())
    bias, recurrent_bias = weights["bias_ih_l0"], weights["bias_hh_l0"]
    if is_lstm:
        bias = bias + recurrent_bias
    else:  # the bias of the candidate's recurrent product is apart: the reset gate applies to it
        gates, candidate = recurrent_bias.split([2 * units, units])
        bias = torch.cat([bias[: 2 * units] + gates, bias[2 * units :], candidate])
    if state is None:
        state = torch.zeros(2 if is_lstm else 1, packing.batch, units)
    tensors = (
        inputs.to(dtype),
        state.to(exact),
        weights["weight_ih_l0"].to(dtype),
        weights["weight_hh_l0"].to(dtype),
        bias.to(exact),
    )
    # Inside of an autograd function nobody can tell whether gradients are wanted.
    keeps = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
    outputs, final = _RecurrentLayer.apply(*tensors, packing, keeps)
    return outputs, final


def dropout(values: Tensor, probability: float) -> Tensor:
    """Return `values` with a share of them zeroed and the rest scaled up.

    Which ones follows from a seed that PyTorch's generator draws. Under autocast the result is in
    bfloat16.
    """
    seed = int(torch.randint(2**63 - 1, ()))
    values = values.to(_dtype(values)).contiguous()
    result: Tensor = _Dropout.apply(values, probability, seed)
    return result


def _dtype(values: Tensor) -> torch.dtype:
    """Return the type to compute with: autocast's, if the kernel has it."""
    enabled = torch.is_autocast_enabled("cpu")
    dtype = torch.get_autocast_dtype("cpu") if enabled else values.dtype
    return dtype if dtype in _TYPES else torch.float32


class _Dropout(torch.autograd.Function):
    """The same values are dropped from the gradient."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, probability: float, seed: int) -> Tensor:
        ctx.drawn = probability, seed
        result = torch.empty_like(values)
        # As many of 65536 as can be told apart.
        dropped = min(round(probability * 2**16), 2**16 - 1)
        scale = 1 / (1 - probability)
        library = compiled()
        assert library is not None
        arguments = values.data_ptr(), result.data_ptr(), values.numel(), _TYPES[values.dtype]
        library.drop_values(*arguments, dropped, scale, seed)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Dropout.apply(gradients[0].contiguous(), *ctx.drawn), None, None


class _RecurrentLayer(torch.autograd.Function):
    """The kernel between the matrix products of all steps at once."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        state: Tensor,
        weight: Tensor,
        recurrent: Tensor,
        bias: Tensor,
        packing: Packing,
        keeps: bool,
    ) -> tuple[Tensor, Tensor]:
        units = recurrent.shape[1]
        total = len(inputs)
        is_lstm = len(state) == 2
        products = torch.mm(inputs, weight.t())
        outputs = inputs.new_empty(packing.batch + total, units)
        final = state.clone(memory_format=torch.contiguous_format)
        saved = inputs.new_empty(total, (5 if is_lstm else 4) * units) if keeps else None
        _call(
            packing,
            recurrent,
            is_lstm=is_lstm,
            backward=False,
            bias=bias.contiguous(),
            inputs=products,
            state=final,
            outputs=outputs,
            saved=saved,
        )
        if keeps:
            ctx.packing = packing
            ctx.save_for_backward(inputs, state, weight, recurrent, outputs, saved)
        return outputs[packing.batch :], final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_outputs, d_final = gradients
        inputs, state, weight, recurrent, outputs, saved = ctx.saved_tensors
        packing: Packing = ctx.packing
        is_lstm = len(state) == 2
        units = recurrent.shape[1]
        d_products = inputs.new_empty(len(inputs), len(weight))
        d_candidate = inputs.new_empty(len(inputs), 0 if is_lstm else units)
        d_state = d_final.clone(memory_format=torch.contiguous_format)
        blocks = -(-packing.batch // _block(packing.batch))
        d_bias = d_state.new_zeros(blocks, 4 * units)
        _call(
            packing,
            recurrent,
            is_lstm=is_lstm,
            backward=True,
            initial=state.contiguous(),
            state=d_state,
            outputs=outputs,
            saved=saved,
            d_outputs=d_outputs.contiguous(),
            d_inputs=d_products,
            d_candidate=d_candidate,
            d_bias=d_bias,
        )
        before = packing.before(outputs)
        d_recurrent = torch.empty_like(recurrent)
        if is_lstm:
            torch.mm(d_products.t(), before, out=d_recurrent)
        else:
            gates = d_products[:, : 2 * units]
            torch.mm(gates.t(), before, out=d_recurrent[: 2 * units])
            torch.mm(d_candidate.t(), before, out=d_recurrent[2 * units :])
        return (
            torch.mm(d_products, weight) if ctx.needs_input_grad[0] else None,
            d_state,
            torch.mm(inputs.t(), d_products).t(),  # faster than the product of d_products.t()
            d_recurrent,
            d_bias.sum(0),
            None,
            None,
        )


def _call(
    packing: Packing, weights: Tensor, *, is_lstm: bool, backward: bool, **tensors: Tensor | None
) -> None:
    """Run the kernel over all steps; it writes into the tensors."""
    library = compiled()
    assert library is not None
    weights = weights.contiguous()
    active = packing.active.contiguous()
    layer = _Layer(
        steps=packing.steps,
        batch=packing.batch,
        units=weights.shape[1],
        threads=torch.get_num_threads(),
        block=_block(packing.batch),
        active=active.data_ptr(),
        weights=weights.data_ptr(),
        **{name: tensor.data_ptr() for name, tensor in tensors.items() if tensor is not None},
    )
    library.run_layer(ctypes.byref(layer), _TYPES[weights.dtype], is_lstm, backward)


def _block(batch: int) -> int:
    """Return the rows that a thread computes at a time: fewer where threads would have none."""
    share = -(-batch // torch.get_num_threads())
    return min(_BLOCK, -(-share // 16) * 16)


@functools.cache
def compiled() -> ctypes.CDLL | None:
    """Return the kernel, compiled now if need be, or None and a warning if it cannot be."""
    try:
        library = ctypes.CDLL(str(_library()))
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        logger.warning(
            "training and embedding use PyTorch's recurrent layers, which take about twice as "
            "long: raudeep's own need a C++ compiler and a cache folder. Install g++ or clang++, "
            "or let XDG_CACHE_HOME name a folder to write to. (%s)",
            _reason(error),
        )
        return None
    address, number = ctypes.c_void_p, ctypes.c_int64
    library.run_layer.argtypes = [address, ctypes.c_int, ctypes.c_bool, ctypes.c_bool]
    library.run_layer.restype = None
    library.drop_values.argtypes = [address, address, number, ctypes.c_int]
    library.drop_values.argtypes += [ctypes.c_uint32, ctypes.c_double, ctypes.c_uint64]
    library.drop_values.restype = None
    return library


def _reason(error: Exception) -> str:
    """Return one line on why there is no kernel."""
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return f"{error.cmd[0]} failed: {lines[0] if lines else f'code {error.returncode}'}"
    return str(error)


def _library() -> Path:
    """Return the path of the shared library for this machine.

    Raises
    ------
    OSError
        If there is no compiler, or the cache folder cannot be written to.
    RuntimeError
        If there is no home folder.
    subprocess.SubprocessError
        If the compiler fails.
    """
    source = resources.files("raudeep.models").joinpath("recurrent.cpp").read_bytes()
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("g++", "clang++", "c++")), None)
    if compiler is None:
        raise FileNotFoundError("no g++, clang++ or c++ on the PATH")
    command = [*compiler.split(), *_flags()]
    # A home folder may be shared by machines of several kinds.
    machine = f"{platform.machine()} {sys.platform} {sorted(torch.cpu.get_capabilities().items())}"
    key = hashlib.sha256(source + repr((command, machine)).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raudeep"
    library = cache / f"recurrent-{key}.so"
    if not library.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / library.name
            arguments = [*command, "-x", "c++", "-", "-o", str(made)]
            subprocess.run(arguments, input=source, check=True, capture_output=True, timeout=300)
            made.replace(library)
    return library


def _flags() -> list[str]:
    """Return the compiler's flags: all that this processor can do, NaN stays NaN."""
    flags = ["-std=c++17", "-O3", "-shared", "-fPIC", "-pthread", "-fopenmp-simd"]
    flags += ["-fno-math-errno", "-fno-trapping-math"]
    if platform.machine() in ("x86_64", "AMD64"):
        return [*flags, "-march=native", "-mprefer-vector-width=512"]
    return [*flags, "-mcpu=native"]
