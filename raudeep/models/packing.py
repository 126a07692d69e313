"""Sequences of several lengths without padding, in the order of PyTorch's PackedSequence.

Shapes: T steps, B sequences, N the sum of the lengths, F values of a step.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

__all__ = ["Packing"]


class Packing:
    """Where each step of a padded batch (T, B, F) lies in a tensor (N, F) without the padding.

    Step after step, the longest sequences first, so that the sequences that last longer than t
    are the first ``active[t]`` rows of step t. What is computed on it takes memory and time that
    are linear in N.

    Parameters
    ----------
    shape : sequence of int
        The padded batch's; it begins with T and B.
    lengths : Tensor of int64, shape (B,), optional
        Steps of each sequence, on the CPU, at least 1; all T without.
    """

    def __init__(self, shape: Sequence[int], lengths: Tensor | None = None) -> None:
        self.steps, self.batch = shape[:2]
        if lengths is not None and bool((lengths == self.steps).all()):
            lengths = None
        self._lengths = lengths

    @property
    def is_uniform(self) -> bool:
        """Whether there is no padding: then packing moves nothing."""
        return self._lengths is None

    @cached_property
    def active(self) -> Tensor:
        """Sequences that have a step t, int64 of shape (T,), descending, on the CPU."""
        if self._lengths is None:
            return torch.full((self.steps,), self.batch)
        return self._mask.sum(1)

    @cached_property
    def segments(self) -> list[tuple[int, int]]:
        """Runs of steps that have as many sequences each: (steps, sequences)."""
        sizes, counts = torch.unique_consecutive(self.active, return_counts=True)
        return [(n, size) for n, size in zip(counts.tolist(), sizes.tolist(), strict=True) if size]

    def pack(self, padded: Tensor) -> Tensor:
        """Return (N, F) from (T, B, F)."""
        flat = padded.reshape(self.steps * self.batch, -1)
        return flat if self.is_uniform else flat.index_select(0, self._places.to(flat.device))

    def unpack(self, packed: Tensor) -> Tensor:
        """Return (T, B, F), with zeros as padding, from (N, F)."""
        if not self.is_uniform:
            padded = packed.new_zeros(self.steps * self.batch, packed.shape[1])
            packed = padded.index_copy(0, self._places.to(packed.device), packed)
        return packed.view(self.steps, self.batch, -1)

    def reverse(self, packed: Tensor) -> Tensor:
        """Return (N, F) with each sequence from its end to its start."""
        if self.is_uniform:
            return packed.view(self.steps, self.batch, -1).flip(0).flatten(0, 1)
        result: Tensor = _Permutation.apply(packed, self._mirror.to(packed.device))
        return result

    def delay(self, packed: Tensor, lag: int) -> Tensor:
        """Return (N, F) with the value of `lag` steps before at each step, zeros at the first."""
        for _ in range(lag):
            packed = self.before(torch.cat([packed.new_zeros(self.batch, packed.shape[1]), packed]))
        return packed

    def before(self, packed: Tensor) -> Tensor:
        """Return (N, F), the value of the step before at each step, from (B + N, F).

        The first B rows are what precedes the first step.
        """
        if self.is_uniform:
            return packed[: -self.batch]
        return packed.index_select(0, self._previous.to(packed.device))

    def sort(self, values: Tensor) -> Tensor:
        """Return (..., B, H) in the order of the rows of a step: longest first."""
        if self.is_uniform:
            return values
        return values.index_select(-2, self._order.to(values.device))

    def unsort(self, values: Tensor) -> Tensor:
        """Return (..., B, H) in the order of the batch, from what `sort` returns."""
        if self.is_uniform:
            return values
        return values.index_select(-2, torch.argsort(self._order).to(values.device))

    @cached_property
    def _order(self) -> Tensor:
        assert self._lengths is not None
        return torch.argsort(self._lengths, descending=True, stable=True)

    @cached_property
    def _mask(self) -> Tensor:
        """Which steps are no padding, bool of shape (T, B), longest first."""
        assert self._lengths is not None
        return torch.arange(self.steps).unsqueeze(1) < self._lengths[self._order]

    @cached_property
    def _places(self) -> Tensor:
        """Row of each packed step in the padded batch, int64 of shape (N,)."""
        rows = torch.arange(self.steps).unsqueeze(1) * self.batch + self._order
        return rows[self._mask]

    @cached_property
    def _mirror(self) -> Tensor:
        """Packed row of the step that is as far from the other end, int64 of shape (N,)."""
        assert self._lengths is not None
        steps = self._lengths[self._order] - 1 - torch.arange(self.steps).unsqueeze(1)
        rows = self._starts[steps.clamp_min(0)] + torch.arange(self.batch)
        return rows[self._mask]

    @cached_property
    def _previous(self) -> Tensor:
        """Row of the step before among B rows and all packed ones, int64 of shape (N,)."""
        starts = torch.cat([torch.tensor([0]), self._starts[:-1] + self.batch])
        return (starts.unsqueeze(1) + torch.arange(self.batch))[self._mask]

    @cached_property
    def _starts(self) -> Tensor:
        """First packed row of each step, int64 of shape (T,)."""
        return self.active.cumsum(0) - self.active


class _Permutation(torch.autograd.Function):
    """Rows in an order that is its own inverse: PyTorch's gradient would add rows up instead."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        return values.index_select(0, order)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Permutation.apply(gradients[0], *ctx.saved_tensors), None
