"""Embedding tables of recordings in three chunks, for the tests of commands on tables."""

import math

import numpy as np
import pyarrow as pa

from raudeep.pipeline.stage import embedding_rows
from raudeep.schema import FILE_METADATA, KEYS
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.table import read_table

LABELS = {"a.wav": "dog", "b.wav": "dog", "c.wav": "dog", "d.wav": "dog", "e.wav": "cat"}
LABELS |= {"f.wav": "cat", "g.wav": "rain", "h.wav": "rain", "i.wav": "rain"}
CHUNKS = 3


def rows_of(labels, *, chunks=CHUNKS, partition=None, order=None):
    """Return keys and metadata of recordings with these labels, cut into chunks of 2 s."""
    rows = [
        {
            "file": file,
            "chunk": chunk,
            "start": 2.0 * chunk,
            "end": 2.0 * chunk + 2,
            "label": label,
            "partition": partition(file) if partition else None,
            "folds": None,
        }
        for file, label in labels.items()
        for chunk in range(chunks)
    ]
    return [rows[i] for i in order] if order is not None else rows


def write(uri, rows, *, size=2, parts=2, values=None, config=None):
    """Write an embedding table whose first value numbers the row."""
    schema = pa.schema([*KEYS, *FILE_METADATA])
    values = (
        np.arange(len(rows) * size, dtype=np.float32).reshape(-1, size)
        if values is None
        else values
    )
    table = embedding_rows(pa.Table.from_pylist(rows, schema=schema), values)
    writer = open_table(str(uri), Identity("embeddings", config or {"readout": "state"}, {}))
    step = math.ceil(len(rows) / parts)
    for part in range(parts):
        writer.write(part, table.slice(part * step, step))
    writer.commit(parts)
    return uri


def columns(uri, *names):
    """Return columns of a table as tuples, one for each row."""
    table = read_table(str(uri))
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))
