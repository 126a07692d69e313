"""Labels, partitions and folds of rows, which may change when all else stays as it is.

They are rewritten part by part, each of which appears whole; no other value is touched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.config import fingerprint
from raudeep.schema import FILE_METADATA, read_metadata, with_metadata
from raudeep.storage.index import TableIndex
from raudeep.storage.table import read_part, read_table

__all__ = [
    "LABELS",
    "Labels",
    "differing",
    "label_columns",
    "labels_fingerprint",
    "labels_of_parts",
    "labels_of_table",
    "relabelled",
    "said_labels",
    "with_labels",
]

LABELS = tuple(field.name for field in FILE_METADATA)
"""The columns."""


@dataclass(frozen=True)
class Labels:
    """What the rows of a table are to say of their recordings."""

    fingerprint: str | None
    """Stands for it; None where the fingerprint of the table does."""
    of_part: Callable[[int], pa.Table]
    """``of_part(number)``: files and `LABELS` of the recordings of a part."""


def labels_of_parts(uri: str, index: TableIndex) -> Labels:
    """Return the labels for a table whose parts are made from the parts of the table at `uri`."""

    def of_part(number: int) -> pa.Table:
        return read_part(uri, index.parts[number].name, columns=["file", *LABELS])

    return Labels(index.labels, of_part)


def labels_of_table(uri: str, index: TableIndex) -> Labels:
    """Return what a table is to say whose parts hold recordings of any part of another, at `uri`.

    All of it is read, once, where it is needed.
    """

    @cache
    def every() -> pa.Table:
        rows = read_table(uri, columns=["file", *LABELS])
        first = pc.index_in(rows["file"].unique(), value_set=_whole(rows["file"]))
        return rows.take(first)

    return Labels(index.labels, lambda _: every())


def labels_fingerprint(recordings: pa.Table) -> str:
    """Return what stands for the labels, partitions and folds of recordings."""
    return fingerprint([recordings[name].to_pylist() for name in ("file", *LABELS)])


def said_labels(manifest: pa.Table) -> pa.Table:
    """Return the files of a manifest with those columns of `LABELS` that have any value."""
    columns = [name for name in LABELS if manifest[name].null_count < manifest.num_rows]
    return manifest.select(["file", *columns])


def label_columns(*tables: Sequence[str]) -> list[str]:
    """Return which of `LABELS` are columns of all tables: predictions have but a label."""
    return [name for name in LABELS if all(name in names for names in tables)]


def with_labels(rows: pa.Table, labels: pa.Table) -> pa.Table:
    """Return rows with the labels of their recordings; those without any keep their own."""
    number = pc.index_in(rows["file"], value_set=_whole(labels["file"]))
    own = np.arange(rows.num_rows)
    given = pc.fill_null(number, -1).to_numpy()
    places = pa.array(np.where(given < 0, own, rows.num_rows + given))
    for name in label_columns(rows.column_names, labels.column_names):
        field = rows.schema.field(name)
        both = pa.chunked_array([_whole(rows[name]), _whole(labels[name].cast(field.type))])
        position = rows.schema.get_field_index(name)
        rows = rows.set_column(position, field, both.take(places).combine_chunks())
    return rows


def differing(rows: pa.Table, labels: pa.Table) -> set[str]:
    """Return the recordings whose rows differ from `labels`."""
    wanted = with_labels(rows, labels)
    found = np.zeros(rows.num_rows, dtype=bool)
    for name in label_columns(rows.column_names, labels.column_names):
        if not rows[name].equals(wanted[name]):
            pairs = zip(rows[name].to_pylist(), wanted[name].to_pylist(), strict=True)
            found |= np.array([one != other for one, other in pairs], dtype=bool)
    return set(rows["file"].filter(pa.array(found)).to_pylist())


def relabelled(rows: pa.Table, labels: pa.Table) -> pa.Table:
    """Return the rows of a part with other labels, partitions and folds.

    Numbers that an import gave to labels go, where they do not know all of them.
    """
    made = with_labels(rows, labels)
    metadata = read_metadata(rows.schema)
    known = dict(metadata.get("label_map", []))
    if set(made["label"].to_pylist()) - {*known, None}:
        metadata.pop("label_map", None)
    return made.replace_schema_metadata(with_metadata(made.schema, metadata).metadata)


def _whole(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
