"""What all stages share: their summary, and how their input is cut into slices."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.errors import TableError
from raudeep.schema import (
    RECONSTRUCTION_RMSE,
    embeddings_schema,
    read_metadata,
    spectrograms_schema,
    with_metadata,
)
from raudeep.storage.index import TableIndex

__all__ = [
    "StageSummary",
    "embedding_array",
    "embedding_rows",
    "from_ipc",
    "recording_slices",
    "slices",
    "spectrogram_arrays",
    "spectrogram_rows",
    "spectrogram_values",
    "to_ipc",
    "with_rmse",
]

_PART_BYTES = 128 * 2**20
_MOST_RECORDINGS = 2048  # a minute of work for a core, which is what a kill may cost
_LEAST_RECORDINGS = 32  # a second of work, unless the corpus is small
_MOST_AUDIO_BYTES = 256 * 2**20
_UNKNOWN_BYTES = 2**20
_MIN_SLICES = 16  # so that a small corpus, too, is shared among cores and resumed in small steps


@dataclass(frozen=True, kw_only=True)
class StageSummary:
    """What a stage did: where its output lies, how long it took, how much was there already."""

    stage: str
    table: str
    seconds: float
    parts: int
    reused: int
    rows: int
    errors: int = 0

    @classmethod
    def of_table(
        cls, stage: str, uri: str, index: TableIndex, *, made: int, started: float
    ) -> "StageSummary":
        """Return that of a table of which so many parts were made since `started`."""
        return cls(
            stage=stage,
            table=uri,
            seconds=time.perf_counter() - started,
            parts=len(index.parts),
            reused=len(index.parts) - made,
            rows=index.rows,
            errors=index.num_errors,
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def slices(num_rows: int, *, bytes_per_row: int) -> list[tuple[int, int]]:
    """Return the bounds of the slices of a table: about 128 MB of output each, at least 16.

    Of no rows there is one, so that every table has a part.

    They depend on the input alone and never on the machine, so that a run can be continued
    elsewhere.
    """
    size = max(1, min(_PART_BYTES // max(1, bytes_per_row), num_rows // _MIN_SLICES))
    return [(start, min(start + size, num_rows)) for start in range(0, max(1, num_rows), size)]


def recording_slices(
    recordings: pa.Table, *, bytes_per_row: int, is_first: bool = True
) -> list[tuple[int, int]]:
    """Return the bounds of the slices of recordings: as `slices`, but of bounded work.

    None has more than 2048 recordings, nor 256 MB of audio, unless one recording has; where the
    manifest does not say their size, that is 256 recordings. The last ones are ever smaller, so
    that workers end at the same time; but what is added to a table makes no parts of a few rows,
    or a table that grows every night would be nothing else.
    """
    num_rows = recordings.num_rows
    most = min(_PART_BYTES // max(1, bytes_per_row), _MOST_RECORDINGS)
    least = min(_LEAST_RECORDINGS, num_rows // _MIN_SLICES) if is_first else _LEAST_RECORDINGS
    ends = np.cumsum(recordings["bytes"].fill_null(_UNKNOWN_BYTES).to_numpy())
    bounds, start, before = [], 0, 0
    while start < num_rows:
        heavy = int(np.searchsorted(ends, before + _MOST_AUDIO_BYTES, side="right"))
        size = max(1, min(most, max(least, (num_rows - start) // _MIN_SLICES)))
        end = min(start + size, max(start + 1, heavy), num_rows)
        bounds.append((start, end))
        start, before = end, int(ends[end - 1])
    return bounds


def to_ipc(table: pa.Table) -> bytes:
    """Return a table as bytes, the form in which it passes between Ray tasks."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(content: bytes) -> pa.Table:
    """Return the table of `to_ipc`."""
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()


def spectrogram_values(
    table: pa.Table, *, where: str
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the frames of all spectrograms of a table, (sum T, F), and the frames of each, (N,).

    Raises
    ------
    TableError
        If they differ in bands; `where` names the table.
    """
    bands = set(table["bands"].to_pylist())
    if len(bands) > 1:
        raise TableError(
            f"{where}: models take spectrograms of equally many bands; these have "
            f"{', '.join(map(str, sorted(bands)[:5]))}. Extract with n_mels or sample_rate."
        )
    values = _values(table["spectrogram"]).reshape(-1, bands.pop() if bands else 1)
    return values, table["frames"].to_numpy().astype(np.int64)


def spectrogram_arrays(table: pa.Table, *, where: str) -> list[NDArray[np.float32]]:
    """Return the spectrograms of a table, each (T, F), which may differ in length."""
    values, lengths = spectrogram_values(table, where=where)
    ends = np.cumsum(lengths)
    return [values[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def spectrogram_rows(
    keys: pa.Table, values: Sequence[NDArray[np.float32]], shape: tuple[int | None, int | None]
) -> pa.Table:
    """Return spectrograms, each (T, F), as rows with the keys and metadata of `keys`.

    `shape` is that of all of them; None where they differ in it.
    """
    frames, bands = shape
    schema = spectrograms_schema(frames, bands)
    flat = np.concatenate([np.empty(0, np.float32), *(value.ravel() for value in values)])
    if frames is not None and bands is not None:
        column = pa.FixedSizeListArray.from_arrays(pa.array(flat), frames * bands)
    else:
        offsets = np.cumsum([0, *(value.size for value in values)], dtype=np.int32)
        column = pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat))
    columns = [keys[name].combine_chunks() for name in schema.names[:-3]]
    sizes = [pa.array([value.shape[axis] for value in values], pa.int32()) for axis in (0, 1)]
    described = {"shape": [frames, bands], "axes": ["frame", "band"], **_label_numbers(keys)}
    return pa.Table.from_arrays([*columns, column, *sizes], schema=with_metadata(schema, described))


def embedding_rows(keys: pa.Table, embeddings: NDArray[np.float32]) -> pa.Table:
    """Return embeddings (N, E) as rows with the keys and metadata of `keys`."""
    size = embeddings.shape[1]
    schema = embeddings_schema(size)
    column = pa.FixedSizeListArray.from_arrays(pa.array(embeddings.ravel()), size)
    columns = [keys[name].combine_chunks() for name in schema.names[:-1]]
    described = {"size": size, **_label_numbers(keys)}
    return pa.Table.from_arrays([*columns, column], schema=with_metadata(schema, described))


def with_rmse(rows: pa.Table, rmse: NDArray[np.float32]) -> pa.Table:
    """Return rows with how far off the reconstruction of each is, shape (N,)."""
    return rows.append_column(RECONSTRUCTION_RMSE, pa.array(rmse, pa.float32()))


def embedding_array(table: pa.Table) -> NDArray[np.float32]:
    """Return the embeddings of a table as an array (N, E)."""
    size = table.schema.field("embedding").type.list_size
    return _values(table["embedding"]).reshape(table.num_rows, size)


def _label_numbers(keys: pa.Table) -> dict[str, Any]:
    """Return the numbers of labels that an import gave, which rows made of these rows keep."""
    known = read_metadata(keys.schema)
    return {"label_map": known["label_map"]} if "label_map" in known else {}


def _values(column: pa.ChunkedArray) -> NDArray[np.float32]:
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(flat) if flat else np.empty(0, np.float32)
