"""Makes the columns of a manifest from the columns of a user's table."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.credentials import public_column
from raudeep.errors import ManifestError
from raudeep.manifest.cells import Report, as_labels, as_numbers, as_text
from raudeep.manifest.checking import check_manifest, refuse, rows_where
from raudeep.manifest.folds import (
    FOLD_COLUMN,
    numbered_folds,
    roles_of_columns,
    roles_of_lists,
)
from raudeep.manifest.recordings import OWN_URI
from raudeep.schema import MANIFEST

__all__ = ["complete_manifest", "unusable"]


def complete_manifest(table: pa.Table, *, name: str, root: str | None) -> pa.Table:
    """Return a checked manifest, sorted by `file`, from a table with some of its columns.

    It needs the column `file`; see `parse_manifest`. Columns may be of any type: what counts is
    what their cells say. Rows without anything are left out.

    Raises
    ------
    ManifestError
        If cells are not what their column holds, or a rule of `check_manifest` is broken. The
        message names columns and rows; the first row is row 1.
    """
    if "file" not in table.column_names:
        raise ManifestError(f"{name}: a manifest needs the column 'file'.")
    problems: list[tuple[int, str]] = []

    def report(column: str, row: int, problem: str) -> None:
        problems.append((row, f"row {row + 1}: {column!r} {problem}"))

    try:
        columns = {
            field.name: _column(table, field, partial(report, field.name))
            for field in MANIFEST
            if field.name != "folds"
        }
        columns["folds"] = _folds(table, name, report)
    except (pa.ArrowException, OverflowError) as error:
        raise unusable(name, error) from error
    refuse(problems, table.num_rows, name)
    rows = _rows_that_say_something(columns, table.num_rows)
    columns["file"] = pc.fill_null(columns["file"], "")
    columns["uri"] = _locate(columns["file"], columns["uri"], name=name, root=root)
    columns["file"] = public_column(columns["file"])  # where it is a URI, as tables keep it
    manifest = pa.Table.from_pydict(columns, MANIFEST).take(rows)
    check_manifest(manifest, name=name, rows=rows)
    return manifest.sort_by("file")


def _column(table: pa.Table, field: pa.Field, report: Report) -> pa.Array:
    """Return one of the columns of a manifest, null where the table does not have it."""
    if field.name not in table.column_names:
        return pa.nulls(table.num_rows, field.type)
    column = table[field.name]
    if field.type != pa.string():
        return as_numbers(column, field.type, report)
    text = as_text(column, report)
    if field.name == "label":
        return as_labels(text)
    return pc.utf8_trim_whitespace(text) if field.name == "partition" else text


def _folds(table: pa.Table, name: str, report: Callable[[str, int, str], None]) -> pa.Array:
    """Return the roles of each recording, null for none."""
    several = [column for column in table.column_names if FOLD_COLUMN.fullmatch(column)]
    if "fold" in table.column_names:
        return numbered_folds(table["fold"], name, partial(report, "fold"))
    if "folds" in table.column_names:
        return roles_of_lists(table["folds"], partial(report, "folds"))
    if several:
        return roles_of_columns(table, several, name, partial(report, several[0] + ", ..."))
    return pa.nulls(table.num_rows, MANIFEST.field("folds").type)


def _rows_that_say_something(columns: dict[str, pa.Array], num_rows: int) -> NDArray[np.int64]:
    """Return which rows are not empty; programs of spreadsheets write empty ones at the end."""
    empty = np.ones(num_rows, bool)
    for name, column in columns.items():
        if name != "folds":
            empty &= column.is_null().to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(empty):
        empty[row] = not any(role is not None for role in columns["folds"][row].as_py() or ())
    return np.flatnonzero(~empty)


def _locate(files: pa.Array, uris: pa.Array, *, name: str, root: str | None) -> pa.Array:
    """Return where each recording lies: its URI, or else its file, below the root if relative."""
    given = pc.is_valid(uris)
    places = pc.if_else(given, uris, files)
    own = pc.match_substring_regex(places, f"^(?:{OWN_URI.pattern})")
    if root is None:
        if lost := rows_where(pc.invert(pc.or_(own, given))):
            raise ManifestError(
                f"{name}: recording {files[lost[0]].as_py()!r} has no 'uri' and there is no corpus "
                "root to look in. Name the root, or give absolute paths or a column 'uri'."
            )
        return places
    return pc.if_else(own, places, pc.binary_join_element_wise(root.rstrip("/"), places, "/"))


def unusable(name: str, error: Exception) -> ManifestError:
    """Return the error of a file that is no manifest, in the words of the library that read it."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ManifestError(f"{name}: not usable as a manifest: {reason}")
