import numpy as np
import pytest
import torch

from raudeep.models.batching import Spectrograms, batches_by_length, shuffled_batches

CPU = torch.device("cpu")


@pytest.fixture
def mixed():
    lengths = torch.tensor([3, 1, 4, 1, 5])
    return Spectrograms(torch.arange(14.0).unsqueeze(1).repeat(1, 2), lengths)


def test_spectrograms_of_one_length_are_batched_without_lengths(rng):
    values = rng.standard_normal((5, 3, 2)).astype(np.float32)
    rows = Spectrograms.from_numpy(values)
    assert (len(rows), rows.bands, rows.is_uniform) == (5, 2, True)
    batch, lengths = rows.batch(torch.tensor([4, 1]), CPU)
    assert lengths is None
    np.testing.assert_array_equal(batch, values[[4, 1]])


def test_spectrograms_of_several_lengths_are_padded_with_zeros(mixed):
    assert not mixed.is_uniform
    batch, lengths = mixed.batch(torch.tensor([2, 1]), CPU)
    assert lengths.tolist() == [4, 1]
    assert batch[..., 0].tolist() == [[4, 5, 6, 7], [3, 0, 0, 0]]


def test_taken_spectrograms_are_those_rows(mixed):
    some = mixed.take(torch.tensor([4, 0]))
    assert some.lengths.tolist() == [5, 3]
    assert some.frames[:, 0].tolist() == [9, 10, 11, 12, 13, 0, 1, 2]
    assert len(mixed.take(torch.empty(0, dtype=torch.int64))) == 0


def test_batches_by_length_hold_every_row_once_and_neighbours_together(mixed):
    batches = [rows.tolist() for rows in batches_by_length(mixed.lengths, 2)]
    assert batches == [[1, 3], [0, 2], [4]]


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_shuffled_batches_hold_similar_lengths_and_all_rows_of_the_epoch(epoch):
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 200, (64,), generator=generator)
    batches = shuffled_batches(lengths, 8, epoch=epoch, seed=0)
    assert [len(rows) for rows in batches] == [8] * 8
    assert sorted(torch.cat(batches).tolist()) == list(range(64))
    padded = sum(int(lengths[rows].max()) * len(rows) for rows in batches)
    assert padded < 1.25 * int(lengths.sum())
    again = shuffled_batches(lengths, 8, epoch=epoch, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))
    other = shuffled_batches(lengths, 8, epoch=epoch + 1, seed=0)
    assert {frozenset(rows.tolist()) for rows in batches} != {
        frozenset(rows.tolist()) for rows in other
    }
