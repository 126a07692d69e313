"""Databases in audformat: ``db.yaml`` and tables, read by the package of that name.

Which column holds the labels no database says: it is named as ``audformat:COLUMN``, unless there is
but one that could be it. Specification: https://audeering.github.io/audformat/.
"""

import tempfile
from pathlib import Path
from typing import Any

from raudeep.corpora.tree import LayoutMismatch, Tree
from raudeep.manifest import Recording

__all__ = ["read_audformat"]

_HEADER = "db.yaml"
_PARTITIONS = {"train": "train", "dev": "devel", "test": "test"}


def read_audformat(tree: Tree, field: str | None = None) -> list[Recording]:
    """Return the files of a database with the labels of one column and the splits of its tables.

    Parameters
    ----------
    tree : Tree
        The folder of the database.
    field : str, optional
        The column of the labels; without, the only one whose scheme lists labels.

    Raises
    ------
    LayoutMismatch
        If there is no database that can be read, no such column, several without `field`, or a
        file has two values in it or is in two splits.
    """
    if _HEADER not in tree.files:
        raise LayoutMismatch(f"no {_HEADER}")
    database = _load(tree)
    tables = {name: table for name, table in database.tables.items() if table.is_filewise}
    column = field or _only_column(tables)
    partitions, labels = dict[str, str | None](), dict[str, str]()
    for table in tables.values():
        split = database.splits[table.split_id].type if table.split_id else ""
        found = _PARTITIONS.get(split)
        for file in table.df.index:
            before = partitions.get(file)
            if before and found and before != found:
                raise LayoutMismatch(f"{file!r} is in the splits of {before} and of {found}")
            partitions[file] = found or before
        if column in table.columns:
            for file, value in table.df[column].dropna().items():
                if labels.setdefault(file, str(value)) != str(value):
                    raise LayoutMismatch(f"{file!r} is {labels[file]!r} and {str(value)!r}")
    if not labels:
        offered = sorted({name for table in tables.values() for name in table.columns})
        raise LayoutMismatch(
            f"no table of whole files has the column {column!r}; they have "
            f"{', '.join(offered) or 'none'}"
        )
    return [
        tree.recording(file, label=labels.get(file), partition=partition)
        for file, partition in partitions.items()
    ]


def _load(tree: Tree) -> Any:
    try:
        import audformat
    except ImportError as error:
        raise LayoutMismatch("it needs pip install 'raudeep[audformat]'") from error
    # The package reads local folders only; the corpus may lie anywhere.
    with tempfile.TemporaryDirectory() as folder:
        for file in tree.files:
            if file.startswith("db.") and "/" not in file:
                Path(folder, file).write_bytes(tree.read(file))
        try:
            return audformat.Database.load(folder, load_data=True)
        except Exception as error:  # whatever a damaged file leads to in there
            raise LayoutMismatch(f"{_HEADER}: {type(error).__name__}: {error}") from error


def _only_column(tables: dict[str, Any]) -> str:
    named: set[str] = {
        name
        for table in tables.values()
        for name, column in table.columns.items()
        if column.scheme_id is not None and column.scheme.labels is not None
    }
    if len(named) != 1:
        found = f"columns {', '.join(sorted(named))}" if named else "no column"
        raise LayoutMismatch(f"{found} could be the labels; name one as audformat:COLUMN")
    return named.pop()
