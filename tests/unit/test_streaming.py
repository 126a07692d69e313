import threading
import weakref

import pytest
import torch

from raudeep.models.batching import Shard, Spectrograms
from raudeep.models.streaming import StreamedSpectrograms, streamed_order

CPU = torch.device("cpu")
ALONE = Shard(0, 1, CPU)
GROUP, BANDS = 10, 2


class Source:
    """Groups of spectrograms whose every cell is the row's number, and what was read of them."""

    def __init__(self, lengths, *, buffer_size=40, group_rows=GROUP):
        self.lengths = torch.as_tensor(lengths)
        self.group_rows = group_rows
        self.reads: list[int] = []
        self.at_hand: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
        rows = torch.arange(len(self.lengths))
        self.spectrograms = StreamedSpectrograms(
            read=self.read,
            bands=BANDS,
            lengths=self.lengths,
            groups=rows // group_rows,
            places=rows % group_rows,
            buffer_size=buffer_size,
        )

    def read(self, group):
        self.reads.append(group)
        rows = range(group * self.group_rows, min((group + 1) * self.group_rows, len(self.lengths)))
        values = [torch.full((int(self.lengths[row]), BANDS), float(row)) for row in rows]
        found = Spectrograms(torch.cat(values), self.lengths[list(rows)])
        self.at_hand.add(found.frames)
        return found


def uniform(num_rows, **settings):
    return Source([3] * num_rows, **settings)


def of_many_lengths(num_rows, **settings):
    random = torch.Generator().manual_seed(0)
    return Source(torch.randint(1, 50, (num_rows,), generator=random), **settings)


def rows_of(batch):
    """Return the rows of a share, read from its values, and check the lengths."""
    if not batch.weight:
        return []
    rows = [int(value[0, 0]) for value in batch.values]
    every = torch.full((len(rows),), batch.values.shape[1])
    lengths = every if batch.lengths is None else batch.lengths
    for row, value, length in zip(rows, batch.values, lengths.tolist(), strict=True):
        assert (value[:length] == row).all()
        assert (value[length:] == 0).all()
    return rows


@pytest.mark.parametrize("num_rows", [1, 9, 500])
def test_an_order_holds_every_row_once_and_is_another_for_another_seed(num_rows):
    groups = torch.arange(num_rows) // GROUP
    first, same, other = (
        streamed_order(groups, buffer_size=40, seed=seed).rows.tolist() for seed in (1, 1, 2)
    )
    assert sorted(first) == list(range(num_rows))
    assert first == same
    assert (first != other) == (num_rows > 1)


@pytest.mark.parametrize("buffer_size", [1, 25, 100, 10_000])
def test_an_order_needs_no_more_rows_at_hand_than_the_buffer_and_mixes_as_many(buffer_size):
    groups = torch.arange(1000) // GROUP
    order = streamed_order(groups, buffer_size=buffer_size, seed=0)
    at_each_place = groups[order.rows]
    first = {int(group): place for place, group in reversed(list(enumerate(at_each_place)))}
    last = {int(group): place for place, group in enumerate(at_each_place)}
    most = max(sum(first[g] <= place <= last[g] for g in first) for place in range(0, 1000, 7))
    assert most * GROUP <= buffer_size + 2 * GROUP
    middle = at_each_place[480:520].unique()
    assert len(middle) >= min(40, buffer_size, 1000) / GROUP * 0.9


def test_the_rows_of_a_group_come_in_random_order_and_spread_evenly():
    groups = torch.arange(4000) // 100
    rows = streamed_order(groups, buffer_size=1000, seed=0).rows
    places = torch.empty_like(rows)
    places[rows] = torch.arange(4000)
    inside = places.view(40, 100)
    assert all(
        (gaps := order.sort().values.diff()).max() < 10 * gaps.float().mean() for order in inside
    )
    assert not any((order.diff() > 0).all() for order in inside)


def test_turns_follow_the_order():
    groups = torch.arange(100) // GROUP
    order = streamed_order(groups, buffer_size=1, seed=3)
    assert order.turns[order.rows].tolist() == [place // GROUP for place in range(100)]


@pytest.mark.parametrize("make", [uniform, of_many_lengths])
@pytest.mark.parametrize("world_size", [2, 3, 7])
def test_workers_share_the_batches_of_one(make, world_size):
    source = make(203)
    alone = list(source.spectrograms.shuffled(1, 8, 0, ALONE))
    shared = [
        list(source.spectrograms.shuffled(1, 8, 0, Shard(rank, world_size, CPU)))
        for rank in range(world_size)
    ]
    assert len(alone) == 203 // 8
    for whole, *shares in zip(alone, *shared, strict=True):
        rows = rows_of(whole)
        assert len(rows) == 8
        assert sorted(row for share in shares for row in rows_of(share)) == sorted(rows)
        frames = int(source.lengths[rows].sum())
        assert {(each.num_rows, each.num_frames) for each in (whole, *shares)} == {(8, frames)}
    seen = [row for batch in alone for row in rows_of(batch)]
    assert len(seen) == len(set(seen)) == 200


def test_each_group_is_read_once_an_epoch_by_one_worker():
    source = uniform(200)
    for rank in range(3):
        list(source.spectrograms.shuffled(1, 8, 0, Shard(rank, 3, CPU)))
    assert sorted(source.reads) == list(range(20))


def test_shares_are_nearly_equal():
    source = uniform(4000, buffer_size=1000)
    shares = [
        len(rows_of(batch)) for batch in source.spectrograms.shuffled(1, 64, 0, Shard(0, 2, CPU))
    ][8:-8]
    assert max(shares) <= 40
    assert min(shares) >= 24


def test_no_more_is_in_memory_than_the_buffer_and_what_is_read_ahead():
    for buffer_size, size, ahead in ((100, 5, 16), (100, 50, 2)):
        source = uniform(4000, buffer_size=buffer_size)
        most = max(len(source.at_hand) for _ in source.spectrograms.shuffled(1, size, 0, ALONE))
        # The buffer, the batches that are read ahead, two that are ready, and their beginnings.
        assert most * GROUP <= buffer_size + (ahead + 3) * size + 3 * GROUP
        assert most * GROUP > buffer_size


def test_rows_of_many_lengths_take_twice_the_buffer_at_most():
    source = of_many_lengths(4000, buffer_size=200)
    most = max(len(source.at_hand) for _ in source.spectrograms.shuffled(1, 5, 0, ALONE))
    assert 200 < most * GROUP <= 2 * 200 + 19 * 5 + 3 * GROUP


def test_groups_are_read_before_their_batch_is_asked_for():
    source = uniform(1000, buffer_size=80)
    batches = source.spectrograms.shuffled(1, 5, 0, ALONE)
    first = rows_of(next(batches))
    deadline = threading.Event()
    for _ in range(100):
        if len(source.reads) > len({row // GROUP for row in first}) + 3:
            break
        deadline.wait(0.05)
    assert len(source.reads) > len({row // GROUP for row in first}) + 3
    batches.close()


def test_whoever_stops_early_leaves_no_thread_behind():
    before = threading.active_count()
    batches = uniform(1000).spectrograms.shuffled(1, 5, 0, ALONE)
    next(batches)
    assert threading.active_count() > before
    batches.close()
    del batches
    for _ in range(100):
        if threading.active_count() == before:
            break
        threading.Event().wait(0.05)
    assert threading.active_count() == before


def test_an_error_of_reading_reaches_whoever_trains():
    source = uniform(100)

    def fail(group):
        raise OSError(f"group {group} is gone")

    broken = StreamedSpectrograms(**{**vars(source.spectrograms), "read": fail})
    with pytest.raises(OSError, match="is gone"):
        list(broken.shuffled(1, 5, 0, ALONE))


def test_epochs_and_seeds_differ_and_repeat():
    spectrograms = uniform(100).spectrograms

    def rows(epoch, seed):
        return [rows_of(batch) for batch in spectrograms.shuffled(epoch, 10, seed, ALONE)]

    assert rows(1, 0) == rows(1, 0)
    assert rows(1, 0) != rows(2, 0)
    assert rows(1, 0) != rows(1, 1)


def test_batches_hold_similar_lengths():
    source = of_many_lengths(400, buffer_size=200)
    padded, frames = 0, 0
    for batch in source.spectrograms.shuffled(1, 8, 0, ALONE):
        padded += batch.values.shape[0] * batch.values.shape[1]
        frames += batch.num_frames
    assert padded < 1.3 * frames


@pytest.mark.parametrize("make", [uniform, of_many_lengths])
def test_ordered_batches_of_all_workers_hold_every_row_once(make):
    source = make(95)
    batches = [
        rows_of(batch)
        for rank in range(3)
        for batch in source.spectrograms.ordered(8, Shard(rank, 3, CPU))
    ]
    assert sorted(row for rows in batches for row in rows) == list(range(95))
    assert sum(len(rows) < 8 for rows in batches) <= 3


def test_taken_rows_are_streamed_alone():
    source = of_many_lengths(60)
    taken = torch.tensor([0, 3, 19, 41, 42, 59])
    some = source.spectrograms.take(taken)
    assert len(some) == 6
    pieces = list(some.pieces())
    assert [piece.frames[::1, 0].unique().tolist() for piece in pieces] == [
        [0, 3],
        [19],
        [41, 42],
        [59],
    ]
    assert torch.cat([piece.lengths for piece in pieces]).tolist() == source.lengths[taken].tolist()
    batches = list(some.shuffled(1, 64, 0, ALONE))
    assert [sorted(rows_of(batch)) for batch in batches] == [taken.tolist()]
    assert sorted(set(source.reads)) == [0, 1, 4, 5]
