"""Spectrograms of one or of many lengths in memory, and the batches that are made of them."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

__all__ = [
    "Batch",
    "Shard",
    "SpectrogramSource",
    "Spectrograms",
    "are_equal",
    "batches_by_length",
    "deal_by_length",
    "generator",
    "mix_seed",
    "share_of_batch",
    "shuffled_batches",
]

_LENGTH_JITTER = 0.1  # so that a spectrogram does not meet the same others in every epoch


class Shard(NamedTuple):
    """Which of the data-parallel workers this one is, and where it computes."""

    rank: int
    world_size: int
    device: torch.device


class Batch(NamedTuple):
    """A worker's share of a global batch."""

    values: Tensor
    """Shape (B, T, F), on the worker's device; shorter spectrograms are padded with zeros."""
    lengths: Tensor | None
    """Frames of each, None where all have T."""
    weight: float
    """1, or 0 for a share without rows: its single row does not count."""
    num_rows: int
    """Rows of the global batch."""
    num_frames: int
    """Frames of the global batch."""


class SpectrogramSource(Protocol):
    """What an autoencoder is trained on: spectrograms in memory, or streamed from storage.

    What the workers are given together does not depend on how many they are.
    """

    @property
    def bands(self) -> int:
        """F."""
        ...

    @property
    def lengths(self) -> Tensor:
        """Frames of each row, int64 of shape (N,), on the CPU."""
        ...

    def __len__(self) -> int: ...

    def shuffled(self, epoch: int, size: int, seed: int, shard: Shard) -> Iterator[Batch]:
        """Yield the shares of an epoch's batches, in an order that the seed and the epoch give."""
        ...

    def ordered(self, size: int, shard: Shard) -> Iterator[Batch]:
        """Yield the batches of this worker; each row is in the batches of one worker."""
        ...

    def take(self, rows: Tensor) -> "SpectrogramSource":
        """Return some rows, given in ascending order."""
        ...

    def to(self, device: torch.device) -> "SpectrogramSource":
        """Return them on a device, where they stay if they are in memory."""
        ...

    def pieces(self) -> Iterator["Spectrograms"]:
        """Yield all rows in their order, as many at a time as fit into memory."""
        ...

    def loaded(self) -> "Spectrograms":
        """Return all rows in memory."""
        ...


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
        """Return spectrograms from (N, T, F), or with `lengths` from (sum of the lengths, F)."""
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

    @functools.cached_property
    def is_uniform(self) -> bool:
        """Whether all have the same length, so that no batch is padded."""
        return are_equal(self.lengths)

    def to(self, device: torch.device) -> "Spectrograms":
        """Return them on a device: a corpus that fits stays there for all epochs."""
        return Spectrograms(self.frames.to(device), self.lengths)

    def take(self, rows: Tensor) -> "Spectrograms":
        """Return some of them as spectrograms of their own."""
        pieces = self.unpadded(rows)
        return Spectrograms(torch.cat(pieces) if pieces else self.frames[:0], self.lengths[rows])

    def unpadded(self, rows: Tensor) -> list[Tensor]:
        """Return some of them, each (T, F), without a copy."""
        ends = self._ends[rows]
        bounds = zip((ends - self.lengths[rows]).tolist(), ends.tolist(), strict=True)
        return [self.frames[start:end] for start, end in bounds]

    def shuffled(self, epoch: int, size: int, seed: int, shard: Shard) -> Iterator[Batch]:
        """Yield the shares of the batches of `shuffled_batches`."""
        batches = shuffled_batches(self.lengths, size, epoch=epoch, seed=seed)
        shares = [rows[shard.rank :: shard.world_size] for rows in batches]
        return self._batches(shares, batches, shard)

    def ordered(self, size: int, shard: Shard) -> Iterator[Batch]:
        """Yield the batches of this worker; each holds rows of similar lengths."""
        batches = list(batches_by_length(self.lengths, size))[shard.rank :: shard.world_size]
        return self._batches(batches, batches, shard)

    def pieces(self) -> Iterator["Spectrograms"]:
        """Yield them all."""
        yield self

    def loaded(self) -> "Spectrograms":
        """Return them as they are."""
        return self

    def batch(self, rows: Tensor, device: torch.device) -> tuple[Tensor, Tensor | None]:
        """Return some as one tensor (B, T, F) with their lengths, None where all have T frames.

        Shorter ones are padded with zeros at the end.
        """
        lengths = self.lengths[rows]
        if self.is_uniform:
            values = self.frames.view(len(self), -1, self.bands)[rows.to(self.frames.device)]
            return values.to(device), None
        return pad_sequence(self.unpadded(rows), batch_first=True).to(device), lengths

    def _batches(
        self, shares: Sequence[Tensor], batches: Sequence[Tensor], shard: Shard
    ) -> Iterator[Batch]:
        for share, rows in zip(shares, batches, strict=True):
            found = self.batch(share, shard.device) if len(share) else None
            yield share_of_batch(found, self.lengths[rows], self.bands, shard.device)

    @functools.cached_property
    def _ends(self) -> Tensor:
        return self.lengths.cumsum(0)


def are_equal(lengths: Tensor) -> bool:
    """Return whether all lengths are the same."""
    return bool((lengths == lengths[:1]).all())


def share_of_batch(
    share: tuple[Tensor, Tensor | None] | None, lengths: Tensor, bands: int, device: torch.device
) -> Batch:
    """Return a worker's share of a batch with these lengths.

    A worker without rows takes part with one that does not count; the others wait for each worker.
    """
    values, own = share or (torch.zeros(1, 1, bands, device=device), None)
    return Batch(values, own, float(share is not None), len(lengths), int(lengths.sum()))


def batches_by_length(lengths: Tensor, size: int) -> Iterator[Tensor]:
    """Yield the rows of each batch, sorted by length; the last batch may be smaller."""
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
    orders = [torch.randperm(num_rows, generator=generator(seed, index)) for index in passes]
    first = start - passes[0] * num_rows
    rows = torch.cat(orders)[first : first + num_steps * size]
    if are_equal(lengths):
        return list(torch.split(rows, size))
    return deal_by_length(rows, lengths, size, generator(seed, epoch, 0))


def deal_by_length(
    rows: Tensor, lengths: Tensor, size: int, random: torch.Generator
) -> list[Tensor]:
    """Return rows in batches of similar lengths, the batches in a random order."""
    jitter = 1 + _LENGTH_JITTER * (2 * torch.rand(len(rows), generator=random) - 1)
    batches = torch.split(rows[torch.argsort(lengths[rows] * jitter)], size)
    return [batches[index] for index in torch.randperm(len(batches), generator=random).tolist()]


def mix_seed(*numbers: int) -> int:
    """Return a seed from a seed and numbers below a million: an epoch, a worker, a stream."""
    # A large odd factor keeps them apart.
    return functools.reduce(lambda mixed, number: mixed * 1_000_003 + number, numbers) % 2**63


def generator(*numbers: int) -> torch.Generator:
    """Return a new random generator, seeded by `mix_seed`."""
    return torch.Generator().manual_seed(mix_seed(*numbers))
