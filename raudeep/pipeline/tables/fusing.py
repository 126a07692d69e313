"""Fusion: embeddings of several tables joined by key into one wider table.

``keys and metadata of all -> which rows belong together``
``part of the first, those rows of the others -> side by side -> part``
"""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.evaluation.fusion import check_same_chunks, check_same_metadata, match_rows
from raudeep.pipeline.runtime.streaming import stream
from raudeep.pipeline.stage import StageSummary, embedding_array, embedding_rows
from raudeep.storage.opening import check_tables, open_tables
from raudeep.storage.outputs import check_outputs
from raudeep.storage.table import TableWriter, read_index, read_part, read_table, take_rows

__all__ = ["fuse_tables"]

_SPAN = ("start", "end")
_METADATA = ("label", "partition", "folds")
_SECONDS_PER_GB = 10.0


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
    if overwrite or writer.missing(len(parts)):
        rows = _matching_rows(tables)  # before anything is replaced
    open_tables([writer], overwrite=overwrite)
    missing = writer.missing(len(parts))
    if missing:
        starts = np.cumsum([0, *(part.rows for part in parts)])

        def fuse(item: dict[str, Any]) -> dict[str, Any]:
            part = item["part"]
            here = slice(starts[part], starts[part + 1])
            own = read_part(tables[first], parts[part].name)
            vectors = [take_rows(tables[name], rows[name][here]) for name in others]
            fused = np.concatenate([embedding_array(each) for each in (own, *vectors)], axis=1)
            writer.write(part, embedding_rows(own, fused))
            return item

        size = sum(part.bytes for index in indices.values() for part in index.parts)
        estimate = _SECONDS_PER_GB * size / 1e9 * len(missing) / len(parts)
        for _ in stream([{"part": part} for part in missing], fuse, estimated_seconds=estimate):
            pass
    index = writer.commit(len(parts))
    return StageSummary.of_table("fusion", output, index, made=len(missing), started=started)


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
