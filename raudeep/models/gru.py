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
    for suffix, initial in zip(("_l0", "_l0_reverse"), state, strict=False):
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        tensors = [inputs, initial, *(getattr(layer, name + suffix) for name in names)]
        with torch.autocast("cpu", enabled=False):
            cast = [tensor.to(dtype) for tensor in tensors]
            sequences.append(_GruDirection.apply(suffix == "_l0_reverse", *cast))
    if len(sequences) == 1:
        return sequences[0], sequences[0][-1:]
    return torch.cat(sequences, dim=-1), torch.stack([sequences[0][-1], sequences[1][0]])


class _GruDirection(torch.autograd.Function):
    """A layer in one direction; `backwards` reads the sequence from its end.

    r, z = sigmoid(x V_r + h W_r + b_r), sigmoid(x V_z + h W_z + b_z);
    n = tanh(x V_n + c_n + r * (h W_n + b_n)); h' = (1 - z) n + z h.
    """

    @staticmethod
    def forward(
        ctx: Any,
        backwards: bool,
        inputs: Tensor,
        initial: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
    ) -> Tensor:
        """Return the states (T, B, H); the weights hold the gates in the order r, z, n."""
        num_steps, batch, _ = inputs.shape
        units = initial.shape[1]
        bias = bias_ih.clone()
        bias[: 2 * units] += bias_hh[: 2 * units]
        rows = inputs.reshape(num_steps * batch, -1)
        gates = torch.addmm(bias, rows, weight_ih.t()).view(num_steps, batch, 3 * units)
        # One product per step adds up r and z completely and gives n's recurrent part alone.
        candidate = gates[..., 2 * units :].clone()
        gates[..., 2 * units :] = bias_hh[2 * units :]
        states = gates.new_empty(num_steps + 1, batch, units)
        before, after = (states[1:], states[:-1]) if backwards else (states[:-1], states[1:])
        before[-1 if backwards else 0] = initial
        transposed = weight_hh.t()
        for step in _steps(num_steps, backwards=backwards):
            gate, new, state = gates[step], candidate[step], before[step]
            gate.addmm_(state, transposed)
            gate[:, : 2 * units].sigmoid_()
            reset, update, recurrent = gate.chunk(3, dim=1)
            new.addcmul_(reset, recurrent).tanh_()
            torch.lerp(new, state, update, out=after[step])
        ctx.backwards = backwards
        ctx.save_for_backward(rows, gates, candidate, before, weight_ih, weight_hh)
        return after

    @staticmethod
    def backward(ctx: Any, grad_states: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of `forward`'s inputs."""
        rows, gates, new, before, weight_ih, weight_hh = ctx.saved_tensors
        num_steps, batch, units = new.shape
        reset, update, recurrent = gates.chunk(3, dim=2)
        # What a state's gradient is multiplied with at each gate does not depend on that
        # gradient: it is computed for all steps at once, and a step is left with few operations.
        keep = 1 - update
        to_new = torch.addcmul(keep, keep, new * new, value=-1)  # (1 - z)(1 - n^2)
        factors = torch.empty_like(gates).view(num_steps, batch, 3, units)
        torch.mul(reset - reset * reset, to_new, out=factors[:, :, 0]).mul_(recurrent)
        torch.sub(before, new, out=factors[:, :, 1]).mul_(update).mul_(keep)
        torch.mul(to_new, reset, out=factors[:, :, 2])
        grad_gates = torch.empty_like(factors)
        grad_outputs = torch.empty_like(new)
        grad = torch.zeros_like(new[0])
        for step in _steps(num_steps, backwards=not ctx.backwards):
            total = torch.add(grad, grad_states[step], out=grad_outputs[step])
            at_gates = torch.mul(total.unsqueeze(1), factors[step], out=grad_gates[step])
            grad = torch.addmm(total * update[step], at_gates.view(batch, 3 * units), weight_hh)
        grads = grad_gates.view(num_steps * batch, 3 * units)
        grad_weight_hh = grads.t() @ before.reshape(num_steps * batch, units)
        grad_bias_hh = grads.sum(0)
        grad_gates[:, :, 2] = grad_outputs * to_new  # the inputs enter n without the reset
        return (
            None,
            (grads @ weight_ih).view(num_steps, batch, -1) if ctx.needs_input_grad[1] else None,
            grad,
            grads.t() @ rows,
            grad_weight_hh,
            grads.sum(0),
            grad_bias_hh,
        )


def _steps(num_steps: int, *, backwards: bool) -> range:
    return range(num_steps - 1, -1, -1) if backwards else range(num_steps)
