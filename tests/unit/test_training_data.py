from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
import torch

from raudeep.config import SpectrogramConfig, TrainingConfig
from raudeep.errors import TableError
from raudeep.models.batching import Shard, Spectrograms
from raudeep.models.streaming import StreamedSpectrograms
from raudeep.pipeline.stage import spectrogram_rows
from raudeep.pipeline.training.data import loaded_if_small, read_training_data
from raudeep.storage.identity import Identity
from raudeep.storage.row_groups import row_groups
from raudeep.storage.writer import TableWriter
from tests.tables import flip_a_bit

BANDS, PARTS, ROWS = 4, 3, 10
STREAMED = TrainingConfig(in_memory_gb=0)


def write(place, rng, *, frames=None):
    """Write a table of three parts with several row groups each; return all its values."""
    identity = Identity("spectrograms", {"view": asdict(SpectrogramConfig())}, {})
    writer = TableWriter(str(place), identity, row_group_bytes=600)
    written = []
    for part in range(PARTS):
        shapes = [(frames or int(rng.integers(1, 12)), BANDS) for _ in range(ROWS)]
        values = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
        numbers = range(part * ROWS, (part + 1) * ROWS)
        keys = pa.table(
            {
                "file": [f"{number}.wav" for number in numbers],
                "chunk": pa.array([0] * ROWS, pa.int32()),
                "start": [0.0] * ROWS,
                "end": [1.0] * ROWS,
                "label": ["dog"] * ROWS,
                "partition": pa.nulls(ROWS, pa.string()),
                "folds": pa.nulls(ROWS, pa.list_(pa.int8())),
            }
        )
        writer.write(part, spectrogram_rows(keys, values, (frames, BANDS)))
        written += values
    writer.commit(PARTS)
    return written


@pytest.mark.parametrize("frames", [5, None])
def test_a_streamed_table_has_the_rows_of_one_in_memory(tmp_path, rng, frames):
    written = write(tmp_path / "table", rng, frames=frames)
    assert len(row_groups(str(tmp_path / "table"))) > 2 * PARTS
    in_memory = read_training_data([str(tmp_path / "table")], TrainingConfig())
    streamed = read_training_data([str(tmp_path / "table")], STREAMED)
    assert isinstance(in_memory.spectrograms, Spectrograms)
    assert isinstance(streamed.spectrograms, StreamedSpectrograms)
    assert in_memory.metadata.equals(streamed.metadata)
    assert streamed.metadata.column_names == ["file", "chunk", "label"]
    assert streamed.metadata["file"].to_pylist() == [f"{n}.wav" for n in range(PARTS * ROWS)]
    for data in (in_memory, streamed):
        assert (len(data.spectrograms), data.spectrograms.bands) == (PARTS * ROWS, BANDS)
        rows = data.spectrograms.loaded()
        np.testing.assert_array_equal(rows.frames.numpy(), np.concatenate(written))
        assert rows.lengths.tolist() == [len(values) for values in written]


def test_several_tables_are_streamed_as_one(tmp_path, rng):
    places = [str(tmp_path / name) for name in "ab"]
    written = [values for place in places for values in write(place, rng)]
    data = read_training_data(places, STREAMED)
    rows = data.spectrograms.loaded()
    np.testing.assert_array_equal(rows.frames.numpy(), np.concatenate(written))
    shard = Shard(0, 1, torch.device("cpu"))
    batches = list(data.spectrograms.shuffled(1, 10, 0, shard))
    assert [batch.num_rows for batch in batches] == [10] * 6


def test_what_fits_is_decided_by_the_size_of_the_spectrograms(tmp_path, rng):
    written = write(tmp_path / "table", rng)
    gigabytes = sum(values.nbytes for values in written) / 1e9

    def kind(limit):
        config = TrainingConfig(in_memory_gb=limit)
        return type(read_training_data([str(tmp_path / "table")], config).spectrograms)

    assert kind(gigabytes) is Spectrograms
    assert kind(gigabytes * 0.99) is StreamedSpectrograms


def test_held_out_rows_are_loaded_where_they_fit(tmp_path, rng):
    written = write(tmp_path / "table", rng)
    held_out = torch.tensor([2, 3, 17, 29])
    gigabytes = sum(written[row].nbytes for row in held_out) / 1e9
    data = read_training_data([str(tmp_path / "table")], TrainingConfig(in_memory_gb=gigabytes))
    assert isinstance(data.spectrograms, StreamedSpectrograms)
    some = data.spectrograms.take(held_out)
    loaded = loaded_if_small(some, TrainingConfig(in_memory_gb=gigabytes))
    assert isinstance(loaded, Spectrograms)
    np.testing.assert_array_equal(loaded.frames, np.concatenate([written[r] for r in held_out]))
    assert loaded_if_small(some, TrainingConfig(in_memory_gb=gigabytes * 0.99)) is some


def test_the_buffer_is_given_in_bytes(tmp_path, rng):
    write(tmp_path / "table", rng, frames=5)
    config = TrainingConfig(in_memory_gb=0, shuffle_buffer_gb=7 * 5 * BANDS * 4 / 1e9)
    assert read_training_data([str(tmp_path / "table")], config).spectrograms.buffer_size == 7


def test_a_part_that_is_gone_or_damaged_is_named(tmp_path, rng):
    write(tmp_path / "table", rng)
    data = read_training_data([str(tmp_path / "table")], STREAMED)
    flip_a_bit(tmp_path / "table" / "part-00001.parquet")
    with pytest.raises(TableError, match=r"checksum verification failed .* verify TABLE --repair"):
        list(data.spectrograms.pieces())
    (tmp_path / "table" / "part-00001.parquet").unlink()
    with pytest.raises(TableError, match=r"part-00001\.parquet cannot be read"):
        list(data.spectrograms.pieces())
    (tmp_path / "table" / "part-00001.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(TableError, match=r"part-00001\.parquet cannot be read"):
        list(data.spectrograms.pieces())
    with pytest.raises(TableError, match=r"part-00001\.parquet cannot be read"):
        row_groups(str(tmp_path / "table"))
