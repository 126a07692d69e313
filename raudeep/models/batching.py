"""Spectrograms of one or of many lengths in memory, and the batches that are made of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Spectrograms", "batches_by_length", "shuffled_batches"]

_LENGTH_JITTER = 0.1  # so that a spectrogram does not meet the same others in every epoch


@dataclass(frozen=True)
class Spectrograms:
    """N spectrograms as one tensor of all their frames, one after the other."""

    frames: Tensor
    """Shape (sum of the lengths, F)."""
    lengths: Tensor
    """Frames of each, int64 of shape (N,), on the CPU."""

    @classmethod
    def from_numpy(
        cls, frames: NDArray[np.float32], lengths: NDArray[np.int64] | None = None
    ) -> "Spectrograms":
        """Return spectrograms (N, T, F), or those of the given lengths from (sum T, F)."""
        values = torch.from_numpy(frames)
        if lengths is None:
            shape = values.shape
            return cls(values.reshape(-1, shape[2]), torch.full((shape[0],), shape[1]))
        return cls(values, torch.from_numpy(lengths.astype(np.int64)))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def bands(self) -> int:
        """F."""
        return self.frames.shape[1]

    @cached_property
    def is_uniform(self) -> bool:
        """Whether all have the same length, so that no batch is padded."""
        return bool((self.lengths == self.lengths[:1]).all())

    def to(self, device: torch.device) -> "Spectrograms":
        """Return them on a device: a corpus that fits stays there for all epochs."""
        return Spectrograms(self.frames.to(device), self.lengths)

    def take(self, rows: Tensor) -> "Spectrograms":
        """Return some of them as spectrograms of their own."""
        pieces = [self.frames[start:end] for start, end in self._bounds(rows)]
        return Spectrograms(torch.cat(pieces) if pieces else self.frames[:0], self.lengths[rows])

    def batch(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Return some as one tensor (B, T, F) with their lengths, None where all have T frames.

        Shorter ones are padded with zeros at the end.
        """
        lengths = self.lengths[rows]
        if self.is_uniform:
            values = self.frames.view(len(self), -1, self.bands)[rows.to(self.frames.device)]
            return values.to(device), None
        values = self.frames.new_zeros(len(rows), int(lengths.max()), self.bands)
        for target, (start, end) in zip(values, self._bounds(rows), strict=True):
            target[: end - start] = self.frames[start:end]
        return values.to(device), lengths

    def _bounds(self, rows: Tensor) -> list[tuple[int, int]]:
        ends = self._ends[rows]
        return list(zip((ends - self.lengths[rows]).tolist(), ends.tolist(), strict=True))

    @cached_property
    def _ends(self) -> Tensor:
        return self.lengths.cumsum(0)


def batches_by_length(lengths: Tensor, size: int) -> Iterator[Tensor]:
    """Yield the rows of all batches, neighbours in length together; the last may be smaller."""
    if len(lengths):
        yield from torch.split(torch.argsort(lengths, stable=True), size)


def shuffled_batches(lengths: Tensor, size: int, *, epoch: int, seed: int) -> list[Tensor]:
    """Return the rows of each batch of an epoch, all of one size.

    As in auDeep, an epoch (from 1) is ceil(N / size) batches of an endless stream that passes over
    the rows in a new order each time, so no step is taken on a small remainder. Where lengths
    differ, the rows of an epoch are dealt out such that a batch holds similar lengths.
    """
    num_rows = len(lengths)
    size = min(size, num_rows)
    num_steps = -(-num_rows // size)
    start = (epoch - 1) * num_steps * size
    passes = range(start // num_rows, (start + num_steps * size - 1) // num_rows + 1)
    orders = [
        torch.randperm(num_rows, generator=_generator(seed * 1_000_003 + index)) for index in passes
    ]
    first = start - passes[0] * num_rows
    rows = torch.cat(orders)[first : first + num_steps * size]
    if bool((lengths == lengths[:1]).all()):
        return list(torch.split(rows, size))
    generator = _generator((seed * 1_000_003 + epoch) * 1_000_003)
    jitter = 1 + _LENGTH_JITTER * (2 * torch.rand(len(rows), generator=generator) - 1)
    batches = torch.split(rows[torch.argsort(lengths[rows] * jitter)], size)
    return [batches[index] for index in torch.randperm(num_steps, generator=generator).tolist()]


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed % 2**63)
