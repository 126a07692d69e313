"""Tables for the tests of exports and imports, and what to compare of them."""

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa

from raudeep import export_table, import_table, read_table
from raudeep.pipeline.stage import embedding_rows, spectrogram_rows
from raudeep.schema import FILE_METADATA, KEYS
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table

FORMATS = ("csv", "arff", "netcdf")
ONE_HOT = [[int(fold == row) for fold in range(12)] for row in range(12)]


def write(uri, rows, *, values=None, stage="embeddings", parts=2):
    """Write a table of rows given as dicts; `values` (N, E) or (N, T, F)."""
    values = np.arange(2.0 * len(rows)).reshape(-1, 2) / 7 if values is None else values
    values = np.asarray(values, np.float32)
    keys = pa.Table.from_pylist(
        [{"chunk": 0, "start": 0.0, "end": 1.5, **row} for row in rows],
        schema=pa.schema([*KEYS, *FILE_METADATA]),
    )
    if stage == "embeddings":
        table = embedding_rows(keys, values)
    else:
        table = spectrogram_rows(keys, list(values), values.shape[1:])
    writer = open_table(str(uri), Identity(stage, {}, {}))
    bounds = np.linspace(0, len(rows), parts + 1).astype(int)
    for part, (start, end) in enumerate(pairwise(bounds)):
        writer.write(part, table.slice(start, end - start))
    writer.commit(parts)
    return str(uri)


def content(uri):
    """Return the rows of a table by key: label, partition, folds and the bits of the values."""
    table = read_table(uri)
    name = "embedding" if "embedding" in table.column_names else "spectrogram"
    shapes = (
        zip(table["frames"].to_pylist(), table["bands"].to_pylist(), strict=True)
        if name == "spectrogram"
        else [None] * table.num_rows
    )
    found = {}
    for row, shape in zip(table.drop_columns(["start", "end"]).to_pylist(), shapes, strict=True):
        folds = row["folds"] if any(role is not None for role in row["folds"] or []) else None
        bits = np.array(row[name], np.float32).tobytes()
        found[row["file"], row["chunk"]] = (row["label"], row["partition"], folds, shape, bits)
    assert len(found) == table.num_rows
    return found


def there_and_back(table, folder, kind, **config):
    middle = f"{folder}/{'data.nc' if kind == 'netcdf' else 'data'}"
    export_table(table, middle, format=kind, **config)
    back = f"{folder}/back"
    import_table(middle, back, format=kind)
    return back


def chunks(**columns):
    """12 chunks of 6 recordings; each column is a list that is repeated."""
    rows = [{"file": f"{row // 2:02d}, 'x'.wav", "chunk": row % 2} for row in range(12)]
    return [
        {**row, **{name: values[i % len(values)] for name, values in columns.items()}}
        for i, row in enumerate(rows)
    ]


SPLITS = {
    "neither": {},
    "partitions": {"partition": ["train", "devel", "test"]},
    "folds": {"folds": ONE_HOT},
    "both": {"folds": ONE_HOT, "partition": ["train", "train", "devel", "test"]},
    "overlapping folds": {"folds": [[1, 1, 0], [0, 1, 1], [1, 0, 1]]},
    "folds in one partition": {
        "partition": ["train", "test"],
        "folds": [[1, 0], None, [0, 1], None],
    },
}


def files_of(folder):
    """Return the recordings in each file below a folder, as the standard library reads them."""
    return {
        path.relative_to(folder).as_posix(): [
            row["filename"] for row in csv.DictReader(path.open(newline=""))
        ]
        for path in sorted(Path(folder).rglob("*.csv"))
    }


def recordings_of(**columns):
    return [
        {"file": f"{i}.wav", **{name: values[i] for name, values in columns.items()}}
        for i in range(len(next(iter(columns.values()))))
    ]
