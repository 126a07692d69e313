"""Databases in audformat: ``db.yaml`` and a table for each list of files, as CSV or Parquet.

They are read here and not by the package of that name, which runs what a header or a pickled table
says. Which column holds the labels no database says: it is named as ``audformat:COLUMN``, unless
there is but one that could be it. Specification: https://audeering.github.io/audformat/.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.csv

from raudeep.corpora.tree import LayoutMismatch, Tree
from raudeep.foreign import blamed, parse_yaml
from raudeep.manifest import Recording, read_text_columns
from raudeep.parquet import open_parquet, read_rows

__all__ = ["read_audformat"]

_HEADER = "db.yaml"
_PARTITIONS = {"train": "train", "dev": "devel", "test": "test"}
_FILE = "file"


@dataclass(frozen=True)
class _Table:
    """A list of whole files: what the header says of it."""

    id: str
    partition: str | None
    columns: Mapping[str, Collection[str | None] | None]
    """Labels that each column may have, None where any value is one."""
    could_be_labels: frozenset[str]
    """Columns whose scheme lists labels."""


def read_audformat(tree: Tree, field: str | None = None) -> list[Recording]:
    """Return the files of a database with the labels of one column and the splits of its tables.

    A value that the scheme of its column does not list is none.

    Parameters
    ----------
    tree : Tree
        The folder of the database.
    field : str, optional
        The column of the labels; without, the only one whose scheme lists labels.

    Raises
    ------
    LayoutMismatch
        If there is no database that can be read, no such column, several without `field`, a table
        is there as a pickle only, or a file has two values or is in two splits.
    """
    if _HEADER not in tree.files:
        raise LayoutMismatch(f"no {_HEADER}")
    tables = _tables(parse_yaml(tree.read(_HEADER), _HEADER, LayoutMismatch))
    column = field or _only_column(tables)
    if not any(column in table.columns for table in tables):
        offered = sorted({name for table in tables for name in table.columns})
        raise LayoutMismatch(
            f"no table of whole files has the column {column!r}; they have "
            f"{', '.join(offered) or 'none'}"
        )
    partitions, labels = dict[str, str | None](), dict[str, str]()
    for table in tables:
        rows = _rows(tree, table, column)
        for file, value in rows:
            before = partitions.get(file)
            if before and table.partition and before != table.partition:
                raise LayoutMismatch(
                    f"{file!r} is in the splits of {before} and of {table.partition}"
                )
            partitions[file] = table.partition or before
            if value is not None and labels.setdefault(file, value) != value:
                raise LayoutMismatch(f"{file!r} is {labels[file]!r} and {value!r}")
    if not labels:
        raise LayoutMismatch(f"no file has a value in the column {column!r}")
    return [
        tree.recording(file, label=labels.get(file), partition=partition)
        for file, partition in partitions.items()
    ]


def _tables(header: Any) -> list[_Table]:
    """Return the tables of whole files that a header names."""
    schemes = _section(header, "schemes")
    splits = _section(header, "splits")
    tables = []
    for name, table in _section(header, "tables").items():
        if table.get("type") != "filewise":
            continue
        split = splits.get(_text(table.get("split_id")) or "", {})
        columns = _section(table, "columns")
        scheme_of = {
            key: schemes.get(_text(each.get("scheme_id")) or "", {})
            for key, each in columns.items()
        }
        listed = {key: scheme.get("labels") for key, scheme in scheme_of.items()}
        tables.append(
            _Table(
                name,
                _PARTITIONS.get(_text(split.get("type")) or ""),
                {
                    key: {*map(_text, labels)} if isinstance(labels, list | dict) else None
                    for key, labels in listed.items()
                },
                frozenset(key for key, labels in listed.items() if labels is not None),
            )
        )
    return tables


def _section(header: Any, name: str) -> dict[str, dict[str, Any]]:
    """Return the named tables of a header; each of them must be a mapping."""
    section = (header.get(name) or {}) if isinstance(header, dict) else None
    if not isinstance(section, dict) or not all(
        isinstance(each, dict) for each in section.values()
    ):
        raise LayoutMismatch(f"{_HEADER}: {name!r} must be a table of tables")
    return {_text(key) or "": value for key, value in section.items()}


def _text(value: Any) -> str | None:
    """Return a value of a cell or a header as text, None where it is none or not a single one."""
    return None if value is None or isinstance(value, dict | list) else str(value)


def _rows(tree: Tree, table: _Table, column: str) -> list[tuple[str, str | None]]:
    """Return the files of a table and their values in a column, None where there is none."""
    names = [_FILE, *([column] if column in table.columns else [])]
    stem = f"db.{table.id}"
    if f"{stem}.parquet" in tree.files:
        name = f"{stem}.parquet"
        with blamed(name, LayoutMismatch):
            content = tree.read(name)
            found = read_rows(open_parquet(pa.BufferReader(content)), len(content), columns=names)
            cells = {each: map(_text, found[each].to_pylist()) for each in names}
            found = pa.table({each: pa.array(texts, pa.string()) for each, texts in cells.items()})
    elif f"{stem}.csv" in tree.files:
        name = f"{stem}.csv"
        with blamed(name, LayoutMismatch):
            found, _ = read_text_columns(tree.read(name), names)
            found = found.select(names)
    elif f"{stem}.pkl" in tree.files:
        raise LayoutMismatch(
            f"{stem}.pkl is a pickle, which could run anything and is not read. Store the table "
            "as CSV or Parquet"
        )
    else:
        raise LayoutMismatch(f"there is no {stem}.csv or {stem}.parquet")
    files = found[_FILE].to_pylist()
    if None in files:
        raise LayoutMismatch(f"{name}: a row has no file")
    if len(names) == 1:
        return [(file, None) for file in files]
    allowed = table.columns[column]
    values = (
        value if allowed is None or value in allowed else None
        for value in found[column].to_pylist()
    )
    return list(zip(files, values, strict=True))


def _only_column(tables: Collection[_Table]) -> str:
    named = {name for table in tables for name in table.could_be_labels}
    if len(named) != 1:
        found = f"columns {', '.join(sorted(named))}" if named else "no column"
        raise LayoutMismatch(f"{found} could be the labels; name one as audformat:COLUMN")
    return named.pop()
