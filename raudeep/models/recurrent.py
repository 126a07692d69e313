"""Stacks of recurrent layers: PyTorch's fused layers, with auDeep's dropout and initialisation.

Shapes: T frames, B batch, F features, H hidden units of a layer and direction, D directions,
L layers, S state size.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["RecurrentStack", "dropout"]


class RecurrentStack(nn.Module):
    """L recurrent layers, each reading the outputs of the one below in both directions or one.

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
    initialisation : {"glorot", "pytorch"}
        See `_initialise_like_tensorflow`, or PyTorch's own.
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
        initialisation: Literal["glorot", "pytorch"],
    ) -> None:
        super().__init__()
        directions = 2 if bidirectional else 1
        layer = nn.GRU if cell == "gru" else nn.LSTM
        self.layers = nn.ModuleList(
            layer(
                input_size if index == 0 else num_units * directions,
                num_units,
                bidirectional=bidirectional,
            )
            for index in range(num_layers)
        )
        self.num_units = num_units
        self.output_size = num_units * directions
        self.states_per_layer = directions * (2 if cell == "lstm" else 1)
        self.state_size = num_layers * num_units * self.states_per_layer
        if dropout_placement == "all":
            # Two dropouts in a row equal one that keeps with the product of their probabilities.
            self.dropouts = [dropout, *[1 - (1 - dropout) ** 2] * (num_layers - 1), dropout]
        else:
            self.dropouts = [0.0, *[dropout] * (num_layers - 1), 0.0]
        if initialisation == "glorot":
            _initialise_like_tensorflow(self.layers)

    def forward(self, inputs: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the top layer's outputs (T, B, D H) and all layers' final states (B, S).

        Parameters
        ----------
        inputs : Tensor, shape (T, B, F)
            The sequence.
        state : Tensor, shape (B, S), optional
            Initial states in the order in which the final ones are returned; zeros without.
        """
        # (B, S) -> per layer (D or 2 D, B, H): hidden states first, then an LSTM's cell states.
        initial = None
        if state is not None:
            shape = (len(state), len(self.layers), self.states_per_layer, self.num_units)
            initial = state.view(shape).permute(1, 2, 0, 3).contiguous()
        final = []
        outputs = dropout(inputs, self.dropouts[0], training=self.training)
        for index, layer in enumerate(self.layers):
            outputs, last = _run(layer, outputs, None if initial is None else initial[index])
            outputs = dropout(outputs, self.dropouts[index + 1], training=self.training)
            final.append(last)
        states = torch.stack(final).permute(2, 0, 1, 3)  # (B, L, D or 2 D, H)
        return outputs, states.reshape(inputs.shape[1], self.state_size)


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


def _run(layer: nn.Module, inputs: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return outputs (T, B, D H) and final states (D, B, H), or (2 D, B, H) of an LSTM."""
    if isinstance(layer, nn.GRU):
        outputs, hidden = layer(inputs, state)
        return outputs, hidden
    assert isinstance(layer, nn.LSTM)
    pair = None if state is None else (state[: len(state) // 2], state[len(state) // 2 :])
    outputs, (hidden, cell) = layer(inputs, pair)
    return outputs, torch.cat([hidden, cell])


def _initialise_like_tensorflow(layers: nn.ModuleList) -> None:
    """Give `layers` TensorFlow 1's initial weights: Glorot uniform, recurrent gate biases of 1.

    TensorFlow draws the input and recurrent weights of a kernel as one matrix: a GRU has one for
    both gates and one for the candidate, an LSTM one for all four. The biases of the GRU's gates
    and of the LSTM's forget gate are 1, so that states persist at first.
    """
    for layer in layers:
        assert isinstance(layer, nn.RNNBase)
        units = layer.hidden_size
        for name, parameter in layer.named_parameters():
            if name.startswith("bias"):
                nn.init.zeros_(parameter)
                if name.startswith("bias_ih"):
                    gates = slice(0, 2 * units) if layer.mode == "GRU" else slice(units, 2 * units)
                    parameter.data[gates] = 1.0
                continue
            fan_in = layer.input_size + units
            sizes = [2 * units, units] if layer.mode == "GRU" else [4 * units]
            for kernel in torch.split(parameter.data, sizes):
                limit = math.sqrt(6 / (fan_in + len(kernel)))
                kernel.uniform_(-limit, limit)
