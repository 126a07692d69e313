"""Fusion: embeddings of several tables joined by key into one wider table."""

import time
from collections.abc import Mapping

import pyarrow as pa

from raudeep.evaluation.fusion import Key, Span, check_same_chunks, check_same_metadata, fuse
from raudeep.pipeline.stage import StageSummary, embedding_array, embedding_rows, slices
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.outputs import check_outputs
from raudeep.storage.table import read_index, read_table

__all__ = ["fuse_tables"]


def fuse_tables(tables: Mapping[str, str], output: str, *, overwrite: bool = False) -> StageSummary:
    """Join embedding tables by (file, chunk) and concatenate their vectors.

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
    inputs = {name: index.fingerprint for name, index in indices.items()}
    pieces = [index.config for index in indices.values()]  # whose models a classifier asks for
    identity = Identity("embeddings", {"fused": list(tables), "pieces": pieces}, inputs)
    writer = open_table(output, identity, overwrite=overwrite)
    size = sum(part.bytes for index in indices.values() for part in index.parts)
    num_rows = max(index.rows for index in indices.values())
    bounds = slices(num_rows, bytes_per_row=size // max(1, num_rows))
    missing = writer.missing(len(bounds))
    if missing:
        loaded = {name: read_table(uri) for name, uri in tables.items()}
        keys = {name: _keys(table) for name, table in loaded.items()}
        _, fused = fuse({name: (keys[name], embedding_array(loaded[name])) for name in loaded})
        for column in ("label", "partition", "folds"):
            values = {
                name: dict(zip(keys[name], table[column].to_pylist(), strict=True))
                for name, table in loaded.items()
            }
            check_same_metadata(values, column=column)
        check_same_chunks({name: _spans(keys[name], table) for name, table in loaded.items()})
        rows = embedding_rows(next(iter(loaded.values())), fused)
        for part in missing:
            start, end = bounds[part]
            writer.write(part, rows.slice(start, end - start))
    index = writer.commit(len(bounds))
    return StageSummary.of_table("fusion", output, index, made=len(missing), started=started)


def _keys(table: pa.Table) -> list[Key]:
    return list(zip(table["file"].to_pylist(), table["chunk"].to_pylist(), strict=True))


def _spans(keys: list[Key], table: pa.Table) -> dict[Key, Span]:
    spans = zip(table["start"].to_pylist(), table["end"].to_pylist(), strict=True)
    return dict(zip(keys, spans, strict=True))
