"""From the columns of a user's table to those of a manifest."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raudeep.errors import ManifestError
from raudeep.manifest.checking import check_manifest, refuse, rows_where
from raudeep.manifest.recordings import OWN_URI, Folds, fold_roles
from raudeep.schema import MANIFEST

__all__ = ["complete_manifest", "unusable"]

_ROLES = {"0": 0, "1": 1, "null": None}


def complete_manifest(table: pa.Table, *, name: str, root: str | None) -> pa.Table:
    """Return a table with some of the columns of a manifest as a checked one, sorted by `file`.

    It needs the column `file`; see `parse_manifest`.
    """
    if "file" not in table.column_names:
        raise ManifestError(f"{name}: a manifest needs the column 'file'.")
    try:
        columns = {
            field.name: table[field.name].cast(field.type)
            if field.name in table.column_names and field.name != "folds"
            else pa.nulls(table.num_rows, field.type)
            for field in MANIFEST
        }
        columns["file"] = columns["file"].fill_null("")
        columns["folds"] = _folds(table, columns["file"], name)
    except (pa.ArrowException, OverflowError) as error:
        raise unusable(name, error) from error
    columns["uri"] = _locate(columns["file"], columns["uri"], name=name, root=root)
    manifest = pa.Table.from_pydict(columns, MANIFEST).sort_by("file")
    check_manifest(manifest, name=name)
    return manifest


def _locate(
    files: pa.ChunkedArray, uris: Any, *, name: str, root: str | None
) -> pa.ChunkedArray | pa.Array:
    """Return where each recording lies: its URI, or else its file, below the root if relative."""
    given = pc.fill_null(pc.not_equal(uris, ""), False)
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


def _folds(table: pa.Table, files: pa.ChunkedArray, name: str) -> pa.Array | pa.ChunkedArray:
    """Return the roles of each recording, null for none, from a column `fold` or `folds`."""
    kind = MANIFEST.field("folds").type
    if "fold" in table.column_names:
        return pa.array(_numbered_folds(table["fold"].cast(pa.int64()).to_pylist(), name), kind)
    if "folds" not in table.column_names:
        return pa.nulls(table.num_rows, kind)
    column = table["folds"]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.cast(kind)
    cells = [None if cell is None else cell.split() for cell in column.to_pylist()]
    problems = [
        (row, f"{files[row].as_py()!r} has folds {' '.join(cell)!r}, which must be 0, 1 or null")
        for row, cell in enumerate(cells)
        if cell and not _ROLES.keys() >= set(cell)
    ]
    refuse(problems, table.num_rows, name)
    return pa.array([[_ROLES[role] for role in cell] if cell else None for cell in cells], kind)


def _numbered_folds(folds: list[int | None], name: str) -> list[Folds | None]:
    present = sorted({fold for fold in folds if fold is not None})
    first = 0 if present[:1] == [0] else 1
    # The check comes before the roles: one mistyped number must not make a million folds.
    if len(present) < 2 or present != list(range(first, first + len(present))):
        raise ManifestError(
            f"{name}: the column 'fold' must number two or more folds 1, 2, ... or 0, 1, ... "
            f"without a gap. Got {', '.join(map(str, present[:10])) or 'none'}."
        )
    roles: dict[int | None, Folds] = {
        fold: fold_roles(fold - first + 1, len(present)) for fold in present
    }
    roles[None] = (None,) * len(present)
    return [roles[fold] for fold in folds]


def unusable(name: str, error: Exception) -> ManifestError:
    """Return the error of a file that is no manifest, in the words of the library that read it."""
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ManifestError(f"{name}: not usable as a manifest: {reason}")
