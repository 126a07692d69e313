"""Sequences of several lengths without padding, in the order of PyTorch's PackedSequence.

Shapes: T steps, B sequences, N the sum of the lengths, F values of a step.
"""

from functools import cached_property

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
    steps, batch : int
        T and B.
    lengths : Tensor of int64, shape (B,), optional
        Steps of each sequence, on the CPU, at least 1; all T without.
    """

    def __init__(self, steps: int, batch: int, lengths: Tensor | None = None) -> None:
        self.steps = steps
        self.batch = batch
        if lengths is not None and bool((lengths == steps).all()):
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
        return packed.index_select(0, self._mirror.to(packed.device))

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
        starts = self.active.cumsum(0) - self.active
        steps = self._lengths[self._order] - 1 - torch.arange(self.steps).unsqueeze(1)
        rows = starts[steps.clamp_min(0)] + torch.arange(self.batch)
        return rows[self._mask]
