"""Spectrograms that memory does not hold: read in groups, shuffled in a buffer, ahead of time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from raudeep.models.batching import (
    Batch,
    Shard,
    Spectrograms,
    are_equal,
    batches_by_length,
    deal_by_length,
    generator,
    mix_seed,
    share_of_batch,
)

__all__ = ["StreamedOrder", "StreamedSpectrograms", "streamed_order"]

_READERS = 8  # a store answers many small questions at once better than one after the other
_READ_AHEAD = 16  # batches at most whose groups are being read while one is computed
_BUILD_AHEAD = 2  # batches that are ready

Item = TypeVar("Item")


class StreamedOrder(NamedTuple):
    """The order in which rows that lie in groups are streamed."""

    rows: Tensor
    """Shape (N,), every row once."""
    turns: Tensor
    """Shape (N,), of each row, not of each place: when its group's turn comes, from 0."""


def streamed_order(groups: Tensor, *, buffer_size: int, seed: int) -> StreamedOrder:
    """Return an order that needs few groups at a time.

    The groups come in random order. The rows of each are spread in random order, evenly, over the
    `buffer_size` rows that follow the group's beginning, so that no more than these have to be at
    hand, and neighbours in the order are of as many groups as the buffer holds.

    Parameters
    ----------
    groups : Tensor
        Group of each row, int64 of shape (N,), ascending.
    buffer_size : int
        Rows at hand, at least 1.
    seed : int
        Gives the order.
    """
    random = generator(seed)
    # Groups are renumbered, since some may have no row.
    _, groups, counts = torch.unique_consecutive(groups, return_inverse=True, return_counts=True)
    order = torch.randperm(len(counts), generator=random)
    turns, begins = torch.empty_like(order), torch.empty_like(order)
    turns[order] = torch.arange(len(order))
    begins[order] = counts[order].cumsum(0) - counts[order]
    # A random order within each group: sorted by group first, by a random number second.
    drawn = torch.rand(len(groups), generator=random, dtype=torch.float64)
    shuffled = torch.argsort(groups + drawn)
    ranks = torch.empty_like(shuffled)
    ranks[shuffled] = torch.arange(len(groups)) - (counts.cumsum(0) - counts)[groups]
    jitter = torch.rand(len(groups), generator=random, dtype=torch.float64)
    keys = begins[groups] + (ranks + jitter) / counts[groups] * buffer_size
    return StreamedOrder(torch.argsort(keys), turns[groups])


@dataclass(frozen=True)
class StreamedSpectrograms:
    """Spectrograms that are read in each epoch again, one group at a time.

    With W workers, each reads every W-th group; its share of a batch is the rows of its groups.
    The more groups of each worker the buffer holds, the more equal the shares.
    """

    read: Callable[[int], Spectrograms]
    """Returns all rows of a group; called by several threads."""
    bands: int
    lengths: Tensor
    """Frames of each row, int64 of shape (N,)."""
    groups: Tensor
    """Group of each row, int64 of shape (N,), ascending."""
    places: Tensor
    """Row within its group, int64 of shape (N,), ascending within a group."""
    buffer_size: int
    """Rows among which they are shuffled; as many are in memory, twice that if lengths differ."""

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def is_uniform(self) -> bool:
        """Whether all have the same length, so that no batch is padded."""
        return are_equal(self.lengths)

    def to(self, device: torch.device) -> "StreamedSpectrograms":
        """Return self: the batches are moved to the device."""
        return self

    def take(self, rows: Tensor) -> "StreamedSpectrograms":
        """Return some rows, given in ascending order."""
        return StreamedSpectrograms(
            self.read,
            self.bands,
            self.lengths[rows],
            self.groups[rows],
            self.places[rows],
            self.buffer_size,
        )

    def shuffled(self, epoch: int, size: int, seed: int, shard: Shard) -> Iterator[Batch]:
        """Yield the shares of floor(N / size) full batches.

        An epoch is a pass over the rows; those that do not fill a batch, others in each epoch, are
        left out. Where lengths differ, a batch holds similar ones of the buffer.
        """
        size = min(size, len(self))
        shuffling = mix_seed(seed, epoch, 0)
        order = streamed_order(self.groups, buffer_size=self.buffer_size, seed=shuffling)
        rows = order.rows[: len(self) // size * size]
        if self.is_uniform:
            batches = list(torch.split(rows, size))
        else:
            random = generator(seed, epoch, 1)
            batches = [
                batch
                for some in torch.split(rows, self._block(size))
                for batch in deal_by_length(some, self.lengths, size, random)
            ]
        mine = order.turns % shard.world_size == shard.rank
        return self._batches([rows[mine[rows]] for rows in batches], batches, shard)

    def ordered(self, size: int, shard: Shard) -> Iterator[Batch]:
        """Yield the batches of this worker's groups; each holds rows of similar lengths."""
        groups = self._rows_by_group()[shard.rank :: shard.world_size]
        rows = torch.cat([torch.empty(0, dtype=torch.int64), *groups])
        batches = [
            some[batch]
            for some in torch.split(rows, self._block(size))
            for batch in batches_by_length(self.lengths[some], size)
        ]
        return self._batches(batches, batches, shard)

    def pieces(self) -> Iterator[Spectrograms]:
        """Yield the rows of one group after the other."""
        shares = self._rows_by_group()
        for rows, loaded in zip(shares, self._load(shares), strict=True):
            (group,) = loaded.values()
            yield group.take(self.places[rows])

    def loaded(self) -> Spectrograms:
        """Return all rows in memory."""
        frames = torch.empty(int(self.lengths.sum()), self.bands)
        begin = 0
        for piece in self.pieces():
            frames[begin : begin + len(piece.frames)] = piece.frames
            begin += len(piece.frames)
        return Spectrograms(frames, self.lengths)

    def _block(self, size: int) -> int:
        """Return how many rows are sorted by length at a time, a multiple of the batch size."""
        return max(1, self.buffer_size // size) * size

    def _rows_by_group(self) -> list[Tensor]:
        counts = torch.unique_consecutive(self.groups, return_counts=True)[1]
        return list(torch.split(torch.arange(len(self)), counts.tolist()))

    def _batches(
        self, shares: Sequence[Tensor], batches: Sequence[Tensor], shard: Shard
    ) -> Iterator[Batch]:
        """Yield the shares with their values, which a thread puts together ahead of time."""
        found = self._values(shares, on_gpu=shard.device.type == "cuda")
        for values, share, rows in zip(_ahead(found, _BUILD_AHEAD), shares, batches, strict=True):
            own = None
            if values is not None:
                lengths = None if self.is_uniform else self.lengths[share]
                own = values.to(shard.device, non_blocking=True), lengths
            yield share_of_batch(own, self.lengths[rows], self.bands, shard.device)

    def _values(self, shares: Sequence[Tensor], *, on_gpu: bool) -> Iterator[Tensor | None]:
        """Yield the values of each share, None for one without a row."""
        for rows, loaded in zip(shares, self._load(shares), strict=True):
            if not len(rows):
                yield None
                continue
            pairs = zip(self.groups[rows].tolist(), self.places[rows].unsqueeze(1), strict=True)
            pieces = [loaded[group].unpadded(place)[0].numpy() for group, place in pairs]
            # NumPy: torch would keep threads of its own for this one beside those that train.
            padded = np.zeros((len(pieces), max(map(len, pieces)), self.bands), np.float32)
            for target, piece in zip(padded, pieces, strict=True):
                target[: len(piece)] = piece
            values = torch.from_numpy(padded)
            yield values.pin_memory() if on_gpu else values

    def _load(self, shares: Sequence[Tensor]) -> Iterator[dict[int, Spectrograms]]:
        """Yield, for each share, the loaded groups: those it needs, and others."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        for index, rows in enumerate(shares):
            for group in dict.fromkeys(self.groups[rows].tolist()):
                first.setdefault(group, index)
                last[group] = index
        ends: list[list[int]] = [[] for _ in shares]
        for group, index in last.items():
            ends[index].append(group)
        longest = max(map(len, shares), default=0) or 1
        ahead = max(1, min(_READ_AHEAD, self.buffer_size // longest))
        waiting, reading = deque(first), dict[int, Future[Spectrograms]]()
        loaded: dict[int, Spectrograms] = {}
        pool = ThreadPoolExecutor(_READERS)
        try:
            for index in range(len(shares)):
                while waiting and first[waiting[0]] <= index + ahead:
                    group = waiting.popleft()
                    reading[group] = pool.submit(self.read, group)
                for group in [group for group in reading if first[group] <= index]:
                    loaded[group] = reading.pop(group).result()
                yield loaded
                for group in ends[index]:
                    del loaded[group]
        finally:
            pool.shutdown(cancel_futures=True)


def _ahead(items: Iterator[Item], count: int) -> Iterator[Item]:
    """Yield items that a thread has computed while earlier ones were used."""

    def following() -> list[Item]:
        return list(islice(items, 1))

    with ThreadPoolExecutor(1) as thread:
        futures = deque(thread.submit(following) for _ in range(count))
        while found := futures.popleft().result():
            futures.append(thread.submit(following))
            yield from found
