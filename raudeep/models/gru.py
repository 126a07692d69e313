"""A GRU layer over a sequence: cuDNN's on the GPU, a hand-written backward pass on the CPU.

PyTorch has a fused GRU for CUDA only. On the CPU its autograd multiplies small matrices at every
time step for the gradients of the weights and keeps thousands of nodes; here each gradient of a
weight is one large product over all steps. The numbers are those of `torch.nn.GRU`.
"""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["gru"]


def gru(layer: nn.GRU, inputs: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return ``layer(inputs, state)`` of a single GRU layer, uni- or bidirectional.

    Parameters
    ----------
    layer : nn.GRU
        One layer, time first.
    inputs : Tensor, shape (T, B, F)
        The sequence.
    state : Tensor, shape (D, B, H), or None
        Initial state of each direction; zeros without.

    Returns
    -------
    outputs : Tensor, shape (T, B, D H)
    final : Tensor, shape (D, B, H)
    """
    if inputs.device.type != "cpu" or not torch.is_grad_enabled():
        outputs, final = layer(inputs, state)
        return outputs, final
    dtype = inputs.dtype
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
    if state is None:
        directions = 2 if layer.bidirectional else 1
        state = inputs.new_zeros(directions, inputs.shape[1], layer.hidden_size)
    sequences = []
    for suffix, initial in zip(("_l0", "_l0_reverse"), state.to(dtype), strict=False):
        weight_ih, weight_hh, bias_ih, bias_hh = (
            getattr(layer, name + suffix)
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        steps = inputs.flip(0) if suffix == "_l0_reverse" else inputs
        projected = nn.functional.linear(steps, weight_ih, bias_ih)
        with torch.autocast("cpu", enabled=False):
            sequences.append(
                _GruSequence.apply(projected, initial, weight_hh.to(dtype), bias_hh.to(dtype))
            )
    final = torch.stack([sequence[-1] for sequence in sequences])
    if len(sequences) == 1:
        return sequences[0], final
    return torch.cat([sequences[0], sequences[1].flip(0)], dim=-1), final


class _GruSequence(torch.autograd.Function):
    """The recurrent part, given the inputs' projections on all gates.

    r, z = sigmoid(x_r + h W_r + b_r), sigmoid(x_z + h W_z + b_z);
    n = tanh(x_n + r * (h W_n + b_n)); h' = (1 - z) n + z h.
    """

    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, initial: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        """Return the states (T, B, H); `projected` is (T, B, 3 H) in the order r, z, n."""
        num_steps, batch, triple = projected.shape
        units = triple // 3
        # One product per step adds up r and z completely and gives n's recurrent part alone.
        gates = projected + bias
        gates[..., 2 * units :] = bias[2 * units :]
        candidate = projected[..., 2 * units :].clone()
        states = projected.new_empty(num_steps + 1, batch, units)
        states[0] = initial
        transposed = weight.t()
        for step in range(num_steps):
            gate, new, state = gates[step], candidate[step], states[step]
            gate.addmm_(state, transposed)
            gate[:, : 2 * units].sigmoid_()
            reset, update, recurrent = gate.chunk(3, dim=1)
            new.addcmul_(reset, recurrent).tanh_()
            torch.lerp(new, state, update, out=states[step + 1])
        ctx.save_for_backward(gates, candidate, states, weight)
        return states[1:]

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of `forward`'s inputs."""
        gates, new, states, weight = ctx.saved_tensors
        num_steps, batch, units = new.shape
        reset, update, recurrent = gates.chunk(3, dim=2)
        # What a state's gradient is multiplied with at each gate does not depend on that
        # gradient: it is computed for all steps at once, and a step is left with few operations.
        keep = 1 - update
        to_new = torch.addcmul(keep, keep, new * new, value=-1)  # (1 - z)(1 - n^2)
        factors = torch.empty_like(gates).view(num_steps, batch, 3, units)
        torch.mul(reset - reset * reset, to_new, out=factors[:, :, 0]).mul_(recurrent)
        torch.sub(states[:-1], new, out=factors[:, :, 1]).mul_(update).mul_(keep)
        torch.mul(to_new, reset, out=factors[:, :, 2])
        grad_gates = torch.empty_like(factors)
        grad_outputs = torch.empty_like(new)
        grad = torch.zeros_like(states[0])
        for step in range(num_steps - 1, -1, -1):
            total = torch.add(grad, grad_states[step], out=grad_outputs[step])
            at_gates = torch.mul(total.unsqueeze(1), factors[step], out=grad_gates[step])
            grad = torch.addmm(total * update[step], at_gates.view(batch, 3 * units), weight)
        rows = grad_gates.view(num_steps * batch, 3 * units)
        grad_weight = rows.t() @ states[:-1].reshape(num_steps * batch, units)
        grad_bias = rows.sum(0)
        grad_gates[:, :, 2] = grad_outputs * to_new  # the projection enters n without the reset
        return grad_gates.view_as(gates), grad, grad_weight, grad_bias
