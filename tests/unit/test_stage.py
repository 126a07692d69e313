from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from raudeep.errors import TableError
from raudeep.pipeline.stage import (
    StageSummary,
    embedding_array,
    embedding_rows,
    from_ipc,
    recording_slices,
    slices,
    spectrogram_rows,
    spectrogram_values,
    to_ipc,
)
from raudeep.schema import FILE_METADATA, KEYS, read_metadata, with_metadata


def table(values, *, fixed=True):
    """Return a table of spectrograms (N, T, F), or of arrays (T, F) of any length."""
    rows = [np.asarray(value, np.float32) for value in values]
    kind = pa.list_(pa.float32(), rows[0].size) if fixed else pa.list_(pa.float32())
    return pa.table(
        {
            "spectrogram": pa.array([row.ravel() for row in rows], kind),
            "frames": pa.array([len(row) for row in rows], pa.int32()),
            "bands": pa.array([row.shape[1] for row in rows], pa.int32()),
        }
    )


@pytest.mark.parametrize("bytes_per_row", [1, 63_488, 10**7, 10**9])
@pytest.mark.parametrize("num_rows", [0, 1, 5, 16, 17, 400, 2000, 5003])
def test_slices_cover_every_row_once_and_in_order(num_rows, bytes_per_row):
    bounds = slices(num_rows, bytes_per_row=bytes_per_row)
    assert [row for start, end in bounds for row in range(start, end)] == list(range(num_rows))
    assert all(start < end for start, end in bounds) or bounds == [(0, 0)]
    assert bounds == slices(num_rows, bytes_per_row=bytes_per_row)


@pytest.mark.parametrize("num_rows", [1, 5, 15, 16, 32, 400, 2000])
def test_a_small_table_is_cut_into_16_slices_or_one_for_each_row(num_rows):
    assert len(slices(num_rows, bytes_per_row=4)) == min(16, num_rows)


@pytest.mark.parametrize("num_rows", [16, 17, 31, 33, 47, 400, 401, 5003])
def test_a_table_is_cut_into_16_slices_or_a_few_more(num_rows):
    assert 16 <= len(slices(num_rows, bytes_per_row=4)) <= 31


@pytest.mark.parametrize("bytes_per_row", [100_000, 63_488, 2**27 - 1, 2**27])
def test_a_slice_holds_at_most_128_mb(bytes_per_row):
    for start, end in slices(30_000, bytes_per_row=bytes_per_row):
        assert (end - start) * bytes_per_row <= 2**27


def test_a_row_that_is_larger_than_a_part_is_a_slice_of_its_own():
    assert slices(3, bytes_per_row=2**30) == [(0, 1), (1, 2), (2, 3)]


def test_table_passes_through_bytes_unchanged(rng):
    whole = table(rng.standard_normal((5, 3, 2)))
    whole = whole.replace_schema_metadata({"key": "value"})
    chunked = pa.concat_tables([whole.slice(0, 2), whole.slice(2)])
    for original in (whole, chunked, whole.slice(1, 2), whole.slice(0, 0)):
        returned = from_ipc(to_ipc(original))
        assert returned.equals(original, check_metadata=True)


@pytest.mark.parametrize("fixed", [True, False])
def test_spectrograms_become_one_array_of_frames(rng, fixed):
    values = rng.standard_normal((5, 3, 2)).astype(np.float32)
    frames, lengths = spectrogram_values(table(values, fixed=fixed), where="here")
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, values.reshape(15, 2))
    assert lengths.tolist() == [3] * 5


@pytest.mark.parametrize("fixed", [True, False])
def test_sliced_and_chunked_tables_become_the_right_array(rng, fixed):
    values = rng.standard_normal((7, 3, 2)).astype(np.float32)
    whole = table(values, fixed=fixed)
    frames, _ = spectrogram_values(whole.slice(2, 3), where="")
    np.testing.assert_array_equal(frames, values[2:5].reshape(-1, 2))
    chunked = pa.concat_tables([whole.slice(4), whole.slice(0, 0), whole.slice(1, 2)])
    assert chunked["spectrogram"].num_chunks > 1
    frames, _ = spectrogram_values(chunked, where="")
    np.testing.assert_array_equal(frames, values[[4, 5, 6, 1, 2]].reshape(-1, 2))


def test_empty_table_becomes_an_empty_array():
    frames, lengths = spectrogram_values(table(np.zeros((1, 3, 2))).slice(0, 0), where="")
    assert len(frames) == len(lengths) == 0


def test_spectrograms_of_several_lengths_follow_one_another(rng):
    values = [rng.standard_normal((n, 2)).astype(np.float32) for n in (9, 4, 6)]
    frames, lengths = spectrogram_values(table(values, fixed=False), where="")
    np.testing.assert_array_equal(frames, np.concatenate(values))
    assert lengths.tolist() == [9, 4, 6]


def test_spectrograms_of_several_bands_are_refused_with_the_bands():
    mixed = table([np.zeros((3, 4)), np.zeros((3, 2))], fixed=False)
    with pytest.raises(TableError, match=r"PLACE: .*equally many bands; these have 2, 4"):
        spectrogram_values(mixed, where="PLACE")


def test_embeddings_become_one_array_from_sliced_and_chunked_tables(rng):
    values = rng.standard_normal((6, 4)).astype(np.float32)
    whole = pa.table({"embedding": pa.array(list(values), pa.list_(pa.float32(), 4))})
    np.testing.assert_array_equal(embedding_array(whole), values)
    parts = pa.concat_tables([whole.slice(3), whole.slice(1, 1)])
    np.testing.assert_array_equal(embedding_array(parts), values[[3, 4, 5, 1]])


def test_numbers_of_labels_of_an_import_stay_with_what_is_made_of_its_rows():
    numbers = [["rain", 0], ["dog", 1]]
    keys = pa.schema([*KEYS, *FILE_METADATA]).empty_table()
    imported = keys.cast(with_metadata(keys.schema, {"label_map": numbers}))
    for make in (
        lambda rows: embedding_rows(rows, np.empty((0, 2), np.float32)),
        lambda rows: spectrogram_rows(rows, [], (None, 2)),
    ):
        assert read_metadata(make(imported).schema)["label_map"] == numbers
        assert "label_map" not in read_metadata(make(keys).schema)


def test_table_without_embeddings_becomes_an_empty_array_of_their_size():
    empty = pa.table({"embedding": pa.array([], pa.list_(pa.float32(), 4))})
    assert embedding_array(empty).shape == (0, 4)


def test_summary_is_plain_values_for_json():
    summary = StageSummary(stage="s", table="t", seconds=1.0, parts=2, reused=1, rows=3)
    assert summary.to_dict() == {
        "stage": "s",
        "table": "t",
        "seconds": 1.0,
        "parts": 2,
        "reused": 1,
        "rows": 3,
        "errors": 0,
    }


def recordings(count, size):
    return pa.table({"bytes": pa.array([size] * count, pa.int64())})


def test_what_a_table_grows_by_makes_no_parts_of_a_few_rows():
    slices = partial(recording_slices, recordings(40, 1000), bytes_per_row=4)
    assert len(slices()) > 16
    assert slices(is_first=False) == [(0, 32), (32, 40)]


def test_recordings_of_unknown_size_are_taken_for_large_ones():
    bounds = recording_slices(recordings(50_000, None), bytes_per_row=4096)
    assert max(end - start for start, end in bounds) == 256
