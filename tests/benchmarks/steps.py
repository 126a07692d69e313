"""One training step of an autoencoder on one core: PyTorch's layers, the products alone, lengths.

Times are CPU times of one thread: other work on the machine changes them less.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.models import kernel
from raudeep.models.autoencoder import TimeAutoencoder
from raudeep.models.batching import Batch
from raudeep.models.fitting import Fit, bfloat16_is_faster
from raudeep.models.memory import kept_memory
from tests.benchmarks.corpus import Ratio

ROUNDS = 5
BATCH = 64
ESC_10 = AutoencoderConfig(num_layers=2, num_units=256, bidirectional_decoder=True)
ESC_10_LSTM = AutoencoderConfig(
    num_layers=2, num_units=256, bidirectional_decoder=True, cell="lstm"
)
ESC_10_FRAMES, ESC_10_BANDS = 124, 128
SMALL = AutoencoderConfig(num_layers=2, num_units=128, bidirectional_decoder=True)
SMALL_BANDS = 64
FRAMES = (100, 200, 400, 800)
SHORTEST = (0.9, 0.2)  # share of the longest


def bench_steps() -> list[Ratio]:
    """The step of the esc-10 recipe's autoencoder with PyTorch's recurrent layers and with ours."""
    precisions = ["float32"]
    if bfloat16_is_faster(torch.device("cpu")):
        precisions.insert(0, "bfloat16")
    return [
        _against_pytorch(config, precision)
        for config in (ESC_10, ESC_10_LSTM)
        for precision in precisions
    ]


def bench_lengths() -> list[Ratio]:
    """A step of mixed lengths against one of a single length with as many frames in all."""
    return [_mixed(frames, shortest) for frames in FRAMES for shortest in SHORTEST]


def _mixed(frames: int, shortest: float) -> Ratio:
    fit = _fit(SMALL, SMALL_BANDS, "auto")
    lengths = torch.linspace(shortest * frames, frames, BATCH).round().long()
    lengths = lengths[torch.randperm(BATCH)]
    total = int(lengths.sum())
    mixed = Batch(_values(frames, SMALL_BANDS), lengths, 1.0, BATCH, total)
    equal = _batch(round(total / BATCH), SMALL_BANDS)
    ours, theirs = _timed(lambda: fit._step(mixed), lambda: fit._step(equal))
    what = f"step, 2x128 GRU, {shortest:.0%} to 100 % of {frames} frames"
    rest = "steps at which few recordings are left; padding in the loss"
    return Ratio(what, "one length, as many frames", ours, theirs, rest=rest)


def _against_pytorch(config: AutoencoderConfig, precision: str) -> Ratio:
    fit = _fit(config, ESC_10_BANDS, precision)
    batch = _batch(ESC_10_FRAMES, ESC_10_BANDS)

    def by_pytorch() -> None:
        with _without_kernel():
            fit._step(batch)

    products = _products(config, getattr(torch, precision))
    ours, theirs, alone = _timed(lambda: fit._step(batch), by_pytorch, products)
    return Ratio(
        f"step, 2x256 {config.cell.upper()}, {precision}",
        "PyTorch's layers",
        ours,
        theirs,
        limit="its matrix products",
        limits=alone,
        rest="gates (exponentials), dropout, loss, memory traffic",
    )


def _products(config: AutoencoderConfig, dtype: torch.dtype) -> Callable[[], None]:
    """Return a function that computes the matrix products of a step, and nothing else."""
    units, gates = config.num_units, (3 if config.cell == "gru" else 4) * config.num_units
    total = ESC_10_FRAMES * BATCH
    hidden, step = torch.rand(total, units).to(dtype), torch.rand(BATCH, units).to(dtype)
    grads, step_grads = torch.rand(total, gates).to(dtype), torch.rand(BATCH, gates).to(dtype)
    recurrent = torch.rand(gates, units).to(dtype)
    layers = [ESC_10_BANDS, *[units] * (config.num_layers - 1)]
    inputs = [torch.rand(total, size).to(dtype) for size in layers]
    weights = [torch.rand(gates, size).to(dtype) for size in layers]

    def run() -> None:
        for _ in range(3 if config.bidirectional_decoder else 2):  # encoder, decoder's directions
            for index, (values, weight) in enumerate(zip(inputs, weights, strict=True)):
                values @ weight.t()
                for _ in range(ESC_10_FRAMES):
                    step @ recurrent.t()
                    step_grads @ recurrent
                grads.t() @ values
                grads.t() @ hidden
                if index:
                    grads @ weight

    return run


def _fit(config: AutoencoderConfig, bands: int, precision: str) -> Fit:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    settings = TrainingConfig(batch_size=BATCH, precision=precision)  # type: ignore[arg-type]
    fit = Fit(TimeAutoencoder(bands, config), settings)
    fit.model.train()
    return fit


def _batch(frames: int, bands: int) -> Batch:
    return Batch(_values(frames, bands), None, 1.0, BATCH, BATCH * frames)


def _values(frames: int, bands: int) -> torch.Tensor:
    return torch.rand(BATCH, frames, bands) * 2 - 1


def _timed(*functions: Callable[[], object]) -> list[list[float]]:
    """Return the CPU seconds of each function, in turns, after a round that does not count."""
    spent: list[list[float]] = [[] for _ in functions]
    with kept_memory():
        for number in range(ROUNDS + 1):
            for function, seconds in zip(functions, spent, strict=True):
                started = time.thread_time()
                function()
                if number:
                    seconds.append(time.thread_time() - started)
    return spent


@contextmanager
def _without_kernel() -> Iterator[None]:
    compiled = kernel.compiled
    kernel.compiled = lambda: None  # type: ignore[assignment]
    try:
        yield
    finally:
        kernel.compiled = compiled
