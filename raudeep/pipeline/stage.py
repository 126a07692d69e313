"""What all stages share: their summary, and how their input is cut into slices."""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.errors import TableError

__all__ = [
    "StageSummary",
    "embedding_array",
    "from_ipc",
    "slices",
    "spectrogram_array",
    "to_ipc",
]

_PART_BYTES = 128 * 2**20
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

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)


def slices(num_rows: int, *, bytes_per_row: int) -> list[tuple[int, int]]:
    """Return the bounds of the slices of a table: about 128 MB of output each, at least 16.

    They depend on the input alone and never on the machine, so that a run can be continued
    elsewhere.
    """
    size = max(1, min(_PART_BYTES // max(1, bytes_per_row), num_rows // _MIN_SLICES))
    return [(start, min(start + size, num_rows)) for start in range(0, num_rows, size)]


def to_ipc(table: pa.Table) -> bytes:
    """Return a table as bytes, the form in which it passes between Ray tasks."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def from_ipc(content: bytes) -> pa.Table:
    """Return the table of `to_ipc`."""
    return pa.ipc.open_stream(pa.py_buffer(content)).read_all()


def spectrogram_array(table: pa.Table, *, where: str) -> NDArray[np.float32]:
    """Return the spectrograms of a table as an array (N, T, F).

    Raises
    ------
    TableError
        If they differ in length; `where` names the table.
    """
    shapes = set(zip(table["frames"].to_pylist(), table["bands"].to_pylist(), strict=True))
    if len(shapes) > 1:
        found = ", ".join(f"{frames} x {bands}" for frames, bands in sorted(shapes)[:5])
        raise TableError(
            f"{where}: models take spectrograms of one shape; there are {len(shapes)} (frames x "
            f"bands: {found}). Extract with fixed_seconds, or with chunk_seconds and chunk_count."
        )
    frames, bands = shapes.pop() if shapes else (0, 0)
    return _values(table["spectrogram"]).reshape(table.num_rows, frames, bands)


def embedding_array(table: pa.Table) -> NDArray[np.float32]:
    """Return the embeddings of a table as an array (N, E)."""
    size = table.schema.field("embedding").type.list_size
    return _values(table["embedding"]).reshape(table.num_rows, size)


def _values(column: pa.ChunkedArray) -> NDArray[np.float32]:
    flat = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(flat) if flat else np.empty(0, np.float32)
