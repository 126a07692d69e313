"""Stacks of recurrent layers: PyTorch's fused layers, with auDeep's dropout and initialisation.

Shapes: B sequences, N the sum of their lengths, F features, H hidden units of a layer,
D directions, L layers, S = D L H (twice that for an LSTM) state size.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from raudeep.models import kernel
from raudeep.models.packing import Packing

__all__ = ["RecurrentStack", "dropout"]


class RecurrentStack(nn.Module):
    """L recurrent layers in one direction, or in both: then two stacks that do not see each other.

    As in auDeep, and unlike PyTorch's bidirectional networks, a layer reads the layer below of its
    own direction only; the two directions meet in the outputs.

    Parameters
    ----------
    input_size, num_units, num_layers : int
        F, H and L.
    cell : {"gru", "lstm"}
        PyTorch's fused layers. PyTorch's GRU applies the reset gate after the recurrent product,
        TensorFlow's before it: the same family of models, not the same numbers.
    bidirectional : bool
        D is 2 instead of 1.
    dropout : float
        Probability of dropping a value.
    dropout_placement : {"all", "between"}
        At each layer's input and output (so twice between layers), or once between layers.
    initialisation : {"glorot", "spread", "pytorch"}
        See `_initialise_like_tensorflow` and `_spread_gates`, or PyTorch's own.
    """

    def __init__(
        self,
        input_size: int,
        *,
        num_units: int,
        num_layers: int,
        cell: Literal["gru", "lstm"],
        bidirectional: bool,
        dropout: float,
        dropout_placement: Literal["all", "between"],
        initialisation: Literal["glorot", "spread", "pytorch"],
    ) -> None:
        super().__init__()
        layer = nn.GRU if cell == "gru" else nn.LSTM
        self.directions = nn.ModuleList(
            nn.ModuleList(
                layer(input_size if index == 0 else num_units, num_units)
                for index in range(num_layers)
            )
            for _ in range(2 if bidirectional else 1)
        )
        self.output_size = num_units * len(self.directions)
        # A layer's state: hidden values, and an LSTM's cell values after them.
        self._state_shape = (num_layers, 2 if cell == "lstm" else 1, num_units)
        self.state_size = len(self.directions) * math.prod(self._state_shape)
        if dropout_placement == "all":
            # Two dropouts in a row equal one that keeps with the product of their probabilities.
            self.dropouts = [dropout, *[1 - (1 - dropout) ** 2] * (num_layers - 1), dropout]
        else:
            self.dropouts = [0.0, *[dropout] * (num_layers - 1), 0.0]
        if initialisation != "pytorch":
            _initialise_like_tensorflow(self)
        if initialisation == "spread":
            _spread_gates(self)

    def forward(
        self, inputs: Tensor, packing: Packing, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the top layers' outputs (N, D H) and all layers' final states (B, S).

        Parameters
        ----------
        inputs : Tensor, shape (N, F)
            The sequences, packed by `packing`.
        packing : Packing
            The lengths of the sequences.
        state : Tensor, shape (B, S), optional
            Initial states in the order in which the final ones are returned; zeros without.
        """
        initial = None
        if state is not None:  # (B, S) -> per direction and layer (1 or 2, B, H)
            shape = (packing.batch, len(self.directions), *self._state_shape)
            initial = packing.sort(state.view(shape).permute(1, 2, 3, 0, 4))
        tops, final = [], []
        for direction, layers in enumerate(self.directions):
            assert isinstance(layers, nn.ModuleList)
            outputs = packing.reverse(inputs) if direction else inputs
            outputs = dropout(outputs, self.dropouts[0], training=self.training)
            for index, layer in enumerate(layers):
                start = None if initial is None else initial[direction, index]
                outputs, last = _run(layer, outputs, start, packing)
                outputs = dropout(outputs, self.dropouts[index + 1], training=self.training)
                final.append(last)
            tops.append(packing.reverse(outputs) if direction else outputs)
        # (D L, 1 or 2, B, H) -> (B, S)
        states = packing.unsort(torch.stack(final)).permute(2, 0, 1, 3)
        outputs = tops[0] if len(tops) == 1 else torch.cat(tops, dim=-1)
        return outputs, states.reshape(packing.batch, -1)


def dropout(values: Tensor, probability: float, *, training: bool) -> Tensor:
    """Return `values` with a share of them zeroed and the rest scaled up, in training only.

    On the CPU PyTorch draws one double per value, which costs a tenth of a training step; 16
    random bits per value are enough and ten times faster.
    """
    if not training or probability == 0:
        return values
    if values.device.type != "cpu":
        return nn.functional.dropout(values, probability)
    if kernel.compiled():
        return kernel.dropout(values, probability)
    if torch.is_autocast_enabled("cpu"):
        values = values.to(torch.get_autocast_dtype("cpu"))
    words = torch.randint(-(2**63), 2**63 - 1, ((values.numel() + 3) // 4,))
    bits = words.view(torch.int16)[: values.numel()].view(values.shape)
    keep = bits >= min(round(probability * 2**16), 2**16 - 1) - 2**15
    return values * keep.to(values.dtype).mul_(1 / (1 - probability))


def _run(
    layer: nn.Module, inputs: Tensor, state: Tensor | None, packing: Packing
) -> tuple[Tensor, Tensor]:
    """Return outputs (N, H) and the final state, as `state`: (1, B, H), or (2, B, H)."""
    assert isinstance(layer, nn.GRU | nn.LSTM)
    on_cpu = inputs.device.type == "cpu"
    if on_cpu and kernel.compiled():
        return kernel.recurrent_layer(layer, inputs, state, packing)
    if on_cpu and torch.is_autocast_enabled("cpu") and not _takes_bfloat16(layer):
        with torch.autocast("cpu", enabled=False):
            state = None if state is None else state.float()
            return _run(layer, inputs.float(), state, packing)
    if not on_cpu and not packing.is_uniform:
        packed, last = layer(PackedSequence(inputs, packing.active), _start(layer, state))
        return packed.data, _final(last)
    # On the CPU PyTorch's own packing takes time that is quadratic in the number of frames.
    pieces, ends = [], []
    segments = packing.segments
    split = torch.split(inputs, [steps * rows for steps, rows in segments])
    for (steps, rows), values in zip(segments, split, strict=True):
        if state is not None and rows < state.shape[1]:
            ends.append(state[:, rows:])
            state = state[:, :rows]
        outputs, last = layer(values.view(steps, rows, -1), _start(layer, state))
        state = _final(last)
        pieces.append(outputs.flatten(0, 1))
    assert state is not None
    return torch.cat(pieces), torch.cat([state, *reversed(ends)], dim=1)


def _start(layer: nn.Module, state: Tensor | None) -> Any:
    """Return an initial state (1 or 2, B, H) as PyTorch's layer takes it."""
    if state is None:
        return None
    parts = [part.contiguous() for part in torch.split(state, 1)]
    return parts[0] if isinstance(layer, nn.GRU) else tuple(parts)


def _final(state: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """Return a final state of PyTorch's layer as (1, B, H), or (2, B, H)."""
    return torch.cat(state) if isinstance(state, tuple) else state


def _takes_bfloat16(layer: nn.Module) -> bool:
    """Return whether a layer does on the CPU: PyTorch's LSTM fails without AVX-512."""
    if isinstance(layer, nn.GRU):
        return True
    return bool(torch.cpu.get_capabilities().get("avx512_bw"))


def _initialise_like_tensorflow(stack: nn.Module) -> None:
    """Give all layers TensorFlow 1's initial weights: Glorot uniform, recurrent gate biases of 1.

    TensorFlow draws the input and recurrent weights of a kernel as one matrix: a GRU has one for
    both gates and one for the candidate, an LSTM one for all four. The biases of the GRU's gates
    and of the LSTM's forget gate are 1, so that states persist at first.
    """
    for layer in stack.modules():
        if not isinstance(layer, nn.RNNBase):
            continue
        units = layer.hidden_size
        gates = slice(0, 2 * units) if layer.mode == "GRU" else slice(units, 2 * units)
        values = dict(layer.named_parameters())
        for name in ("bias_ih_l0", "bias_hh_l0"):
            nn.init.zeros_(values[name])
        values["bias_ih_l0"].data[gates] = 1.0
        sizes = [2 * units, units] if layer.mode == "GRU" else [4 * units]
        for name in ("weight_ih_l0", "weight_hh_l0"):
            for part in torch.split(values[name].data, sizes):
                limit = math.sqrt(6 / (layer.input_size + units + len(part)))
                part.uniform_(-limit, limit)


def _spread_gates(stack: nn.Module) -> None:
    """Draw the biases of the gates that keep the state from [-1, 1] instead of 1.

    These are a GRU's update gate and an LSTM's forget gate: each unit begins with a share of its
    state that it keeps, between 0.27 and 0.73 of it per step, so that some are quick and others
    slow, as in Gu et al., Improving the Gating Mechanism of Recurrent Neural Networks, ICML 2020
    (there between 0 and 1).
    """
    for layer in stack.modules():
        if isinstance(layer, nn.RNNBase):
            units = layer.hidden_size
            dict(layer.named_parameters())["bias_ih_l0"].data[units : 2 * units].uniform_(-1, 1)
