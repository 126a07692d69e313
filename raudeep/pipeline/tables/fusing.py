"""Fusion: embeddings of several tables, or of all chunks of a recording, become one wider table.

``keys and metadata of all -> which rows belong together``
``part, and those rows of other tables or parts -> side by side -> part``
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.errors import EvaluationError, FusionError
from raudeep.evaluation.folds import check_agreement
from raudeep.evaluation.fusion import (
    check_same_chunks,
    check_same_metadata,
    chunk_rows,
    match_rows,
)
from raudeep.pipeline.costs import Cost, check_disk, check_memory
from raudeep.pipeline.runtime.streaming import stream
from raudeep.pipeline.stage import StageSummary, embedding_array, embedding_rows
from raudeep.storage.index import TableIndex, is_table, read_index
from raudeep.storage.labels import labels_of_parts, labels_of_table
from raudeep.storage.opening import check_tables, open_tables
from raudeep.storage.outputs import check_outputs
from raudeep.storage.table import read_part, read_schema, read_table, take_rows
from raudeep.storage.writer import TableWriter

__all__ = ["fuse_chunks", "fuse_tables", "plan_fusion"]

_SPAN = ("start", "end")
_METADATA = ("label", "partition", "folds")
_SECONDS_PER_GB = 10.0
_KEY_BYTES = 600  # of the key and the metadata of a row, in memory


def fuse_tables(tables: Mapping[str, str], output: str, *, overwrite: bool = False) -> StageSummary:
    """Join embedding tables by (file, chunk) and concatenate their vectors.

    The fused table has a part for each of the first table. Parts that are there are not made again,
    also when the tables grew.

    Parameters
    ----------
    tables : mapping of name to URI
        Two or more embedding tables; the vectors are concatenated in this order, and the rows are
        those of the first.
    output : str
        URI of the fused table.
    overwrite : bool
        Replace a table that was made with another configuration.

    Raises
    ------
    FusionError
        If the tables do not hold the same chunks, or differ in a chunk's label, partition, folds or
        part of its recording.
    """
    started = time.perf_counter()
    check_outputs([output], tables.values())
    indices = {name: read_index(uri, stage="embeddings") for name, uri in tables.items()}
    pieces = [index.config for index in indices.values()]  # whose models a classifier asks for
    config = {"fused": list(tables), "pieces": pieces}
    writer = TableWriter.growing(output, "embeddings", config, indices)
    check_tables([writer], overwrite=overwrite)
    first, *others = tables
    parts = indices[first].parts
    is_new = overwrite or not is_table(output) or bool(writer.missing(len(parts)))
    if is_new or read_index(output).labels != indices[first].labels:
        plan_fusion(tables, output)  # before anything is replaced
        rows = _matching_rows(tables)
    (writer,) = open_tables([writer], overwrite=overwrite)
    starts = np.cumsum([0, *(part.rows for part in parts)])

    def fuse(part: int) -> pa.Table:
        here = slice(starts[part], starts[part + 1])
        own = read_part(tables[first], parts[part].name)
        vectors = [take_rows(tables[name], indices[name], rows[name][here]) for name in others]
        fused = np.concatenate([embedding_array(each) for each in (own, *vectors)], axis=1)
        return embedding_rows(own, fused)

    made = _write_missing(writer, len(parts), fuse, size=sum(map(_bytes, indices.values())))
    # An earlier version did not cut it as the first table.
    index = writer.commit(len(parts), labels=labels_of_table(tables[first], indices[first]))
    return StageSummary.of_table("fusion", output, index, made=made, started=started)


def plan_fusion(tables: Mapping[str, str], output: str) -> dict[str, Any]:
    """Return what `fuse_tables` would do, and what it would cost.

    Parameters
    ----------
    tables, output
        As `fuse_tables` takes them.

    Returns
    -------
    dict
        Rows and values of the fused table, memory, bytes of the output, seconds on one core.

    Raises
    ------
    ResourceError
        If the keys need more memory, or the output more of the disk, than there is.
    TableError
        If a table is none of embeddings.
    """
    indices = [read_index(uri, stage="embeddings") for uri in tables.values()]
    sizes = [read_schema(uri).field("embedding").type.list_size for uri in tables.values()]
    largest = max(part.rows for index in indices for part in index.parts)
    cost = Cost(
        rows=indices[0].rows,
        memory_bytes=_KEY_BYTES * sum(index.rows for index in indices) + 12 * sum(sizes) * largest,
        estimated_seconds=_SECONDS_PER_GB * sum(map(_bytes, indices)) / 1e9,
        output_bytes=4 * sum(sizes) * indices[0].rows,
    )
    way_out = "Fuse while embedding: `raudeep embed --fuse`."
    check_memory(cost.memory_bytes, f"fusing {len(indices)} tables", way_out=way_out)
    check_disk(cost.output_bytes, output)
    return {"tables": len(indices), "values": sum(sizes), **cost.to_dict()}


def fuse_chunks(table: str, output: str, *, overwrite: bool = False) -> StageSummary:
    """Join the embeddings of each recording's chunks, by their number, into one row.

    Parts that are there are not made again, also when the table grew.

    Parameters
    ----------
    table : str
        URI of an embedding table.
    output : str
        URI of the table of joined embeddings (N recordings, chunks times E).
    overwrite : bool
        Replace a table of something else.

    Raises
    ------
    FusionError
        If the table has no rows, recordings have different numbers of chunks, these are not 0 to
        n - 1, or the chunks of a recording differ in label, partition or folds.
    """
    started = time.perf_counter()
    check_outputs([output], [table])
    index = read_index(table, stage="embeddings")
    rows = _chunk_rows(table)
    count = rows.shape[1]
    config = {"fused_chunks": count, "pieces": [index.config]}
    writer = TableWriter.growing(output, index.stage, config, {"source": index})
    (writer,) = open_tables([writer], overwrite=overwrite)
    # A recording is in the part that its first chunk is in.
    starts = np.searchsorted(rows[:, 0], np.cumsum([0, *(part.rows for part in index.parts)]))

    def fuse(part: int) -> pa.Table:
        chunks = take_rows(table, index, rows[starts[part] : starts[part + 1]].ravel())
        first, last = (np.arange(at, chunks.num_rows, count) for at in (0, count - 1))
        ends = chunks["end"].take(pa.array(last))
        position = chunks.schema.get_field_index("end")
        keys = chunks.take(pa.array(first)).set_column(position, "end", ends)
        values = embedding_array(chunks)
        return embedding_rows(keys, values.reshape(len(first), count * values.shape[1]))

    num_parts = len(index.parts)
    made = _write_missing(writer, num_parts, fuse, size=_bytes(index))
    written = writer.commit(num_parts, labels=labels_of_parts(table, index))
    return StageSummary.of_table("fuse-chunks", output, written, made=made, started=started)


def _write_missing(
    writer: TableWriter, num_parts: int, fuse: Callable[[int], pa.Table], *, size: int
) -> int:
    """Write the parts that are missing, of so many made of so many bytes; return their number."""
    missing = writer.missing(num_parts)

    def write(item: dict[str, Any]) -> dict[str, Any]:
        writer.write(item["part"], fuse(item["part"]))
        return item

    estimate = _SECONDS_PER_GB * size / 1e9 * len(missing) / num_parts
    for _ in stream([{"part": part} for part in missing], write, estimated_seconds=estimate):
        pass
    return len(missing)


def _bytes(index: TableIndex) -> int:
    return sum(part.bytes for part in index.parts)


def _chunk_rows(table: str) -> NDArray[np.int64]:
    """Return the rows of the chunks of each recording; refuse what cannot be one row."""
    found = read_table(table, columns=["file", "chunk", *_METADATA])
    try:
        rows = chunk_rows(found.select(["file", "chunk"]).to_pandas())
        for column in _METADATA:
            check_agreement(found["file"].to_pylist(), found[column].to_pylist(), column)
    except (EvaluationError, FusionError) as error:
        raise FusionError(f"{table}: {error}") from error
    return rows


def _matching_rows(tables: Mapping[str, str]) -> dict[str, NDArray[np.int64]]:
    """Return which row of each table belongs to each of the first, where they all say the same."""
    columns = ["file", "chunk", *_SPAN, *_METADATA]
    found = {name: read_table(uri, columns=columns) for name, uri in tables.items()}
    rows = match_rows({name: each.select(columns[:2]).to_pandas() for name, each in found.items()})
    found = {name: each.take(pa.array(rows[name])) for name, each in found.items()}
    first = next(iter(tables))
    for name, each in found.items():
        pair = {first: found[first], name: each}
        for column in _METADATA:
            if not each[column].equals(found[first][column]):
                check_same_metadata(
                    {key: _by_key(table, column) for key, table in pair.items()}, column=column
                )
        if not each.select(_SPAN).equals(found[first].select(_SPAN)):
            check_same_chunks({key: _by_key(table, *_SPAN) for key, table in pair.items()})
    return rows


def _by_key(table: pa.Table, *columns: str) -> dict[tuple[str, int], Any]:
    """Return the values of a column, or of each of several, by (file, chunk)."""
    keys = zip(table["file"].to_pylist(), table["chunk"].to_pylist(), strict=True)
    values = [table[column].to_pylist() for column in columns]
    found = values[0] if len(columns) == 1 else zip(*values, strict=True)
    return dict(zip(keys, found, strict=True))
