"""Stacks of recurrent layers: PyTorch's fused layers, with auDeep's dropout and initialisation.

Shapes: T frames, B batch, F features, H hidden units of a layer, D directions, L layers,
S = D L H (twice that for an LSTM) state size.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

__all__ = ["RecurrentStack", "dropout", "reverse"]


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
        self, inputs: Tensor, state: Tensor | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the top layers' outputs (T, B, D H) and all layers' final states (B, S).

        Parameters
        ----------
        inputs : Tensor, shape (T, B, F)
            The sequences.
        state : Tensor, shape (B, S), optional
            Initial states in the order in which the final ones are returned; zeros without.
        lengths : Tensor of int64, shape (B,), optional
            Steps of each sequence, on the CPU; what follows them is padding, which changes no state
            and no output before it. All T without.
        """
        batch = inputs.shape[1]
        initial = None
        if state is not None:  # (B, S) -> per direction and layer (1 or 2, B, H)
            shape = (batch, len(self.directions), *self._state_shape)
            initial = state.view(shape).permute(1, 2, 3, 0, 4)
        tops, final = [], []
        for direction, layers in enumerate(self.directions):
            assert isinstance(layers, nn.ModuleList)
            outputs = reverse(inputs, lengths) if direction else inputs
            outputs = dropout(outputs, self.dropouts[0], training=self.training)
            for index, layer in enumerate(layers):
                start = None if initial is None else initial[direction, index]
                outputs, last = _run(layer, outputs, start, lengths)
                outputs = dropout(outputs, self.dropouts[index + 1], training=self.training)
                final.append(last)
            tops.append(reverse(outputs, lengths) if direction else outputs)
        # (D L, 1 or 2, B, H) -> (B, S)
        states = torch.stack(final).permute(2, 0, 1, 3).reshape(batch, self.state_size)
        return torch.cat(tops, dim=-1), states


def reverse(sequences: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return sequences (T, B, F) from end to start, each within its own length; padding stays."""
    if lengths is None:
        return sequences.flip(0)
    steps = torch.arange(len(sequences)).unsqueeze(1)
    order = torch.where(steps < lengths, lengths - 1 - steps, steps).to(sequences.device)
    return sequences.gather(0, order.unsqueeze(-1).expand_as(sequences))


def dropout(values: Tensor, probability: float, *, training: bool) -> Tensor:
    """Return `values` with a share of them zeroed and the rest scaled up, in training only.

    On the CPU PyTorch draws one double per value, which costs a tenth of a training step; 16
    random bits per value are enough and ten times faster.
    """
    if not training or probability == 0:
        return values
    if values.device.type != "cpu":
        return nn.functional.dropout(values, probability)
    if torch.is_autocast_enabled("cpu"):
        values = values.to(torch.get_autocast_dtype("cpu"))
    words = torch.randint(-(2**63), 2**63 - 1, ((values.numel() + 3) // 4,))
    bits = words.view(torch.int16)[: values.numel()].view(values.shape)
    keep = bits >= min(round(probability * 2**16), 2**16 - 1) - 2**15
    return values * keep.to(values.dtype).mul_(1 / (1 - probability))


def _run(
    layer: nn.Module, inputs: Tensor, state: Tensor | None, lengths: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return outputs (T, B, H) and the final state, as `state`: (1, B, H), or (2, B, H)."""
    assert isinstance(layer, nn.GRU | nn.LSTM)
    if torch.is_autocast_enabled("cpu") and not _takes_bfloat16(layer, inputs.device):
        with torch.autocast("cpu", enabled=False):
            state = None if state is None else state.float()
            return _run(layer, inputs.float(), state, lengths)
    initial: Any = None
    if state is not None:
        parts = [part.contiguous() for part in torch.split(state, 1)]
        initial = parts[0] if isinstance(layer, nn.GRU) else tuple(parts)
    if lengths is None:
        outputs, final = layer(inputs, initial)
    else:
        packed = pack_padded_sequence(inputs, lengths, enforce_sorted=False)
        packed, final = layer(packed, initial)
        outputs, _ = pad_packed_sequence(packed, total_length=len(inputs))
    return outputs, final if isinstance(layer, nn.GRU) else torch.cat(final)


def _takes_bfloat16(layer: nn.Module, device: torch.device) -> bool:
    """Return whether a layer does: PyTorch's LSTM fails on a CPU without AVX-512."""
    if device.type != "cpu" or isinstance(layer, nn.GRU):
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
            for kernel in torch.split(values[name].data, sizes):
                limit = math.sqrt(6 / (layer.input_size + units + len(kernel)))
                kernel.uniform_(-limit, limit)


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
