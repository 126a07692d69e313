"""The folds of a user's table, from any of the three ways in which they are written down."""

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from raudeep.errors import ManifestError
from raudeep.manifest.cells import Report, as_numbers, as_text, is_list
from raudeep.manifest.recordings import Folds, fold_roles
from raudeep.schema import MANIFEST

__all__ = ["FOLD_COLUMN", "numbered_folds", "roles_of_columns", "roles_of_lists"]

FOLD_COLUMN = re.compile(r"fold_(\d{1,4})", re.ASCII)
"""Columns with the roles in one fold each."""

_KIND = MANIFEST.field("folds").type
_BETWEEN = re.compile(r"[\s,;\[\]()'\"]+")  # also what Python writes around lists and texts
_ROLES = {
    **dict.fromkeys(("0", "0.0", "0.", "false"), 0),
    **dict.fromkeys(("1", "1.0", "1.", "true"), 1),
    **dict.fromkeys(("null", "none", "nan", "na", "<na>"), None),
}
_RULE = "must be 0 (train), 1 (valid) or null (neither)"


def numbered_folds(column: pa.ChunkedArray, name: str, report: Report) -> pa.Array:
    """Return the roles from the number of the fold in which a recording is valid.

    They are numbered from 1 or from 0; a recording without a number takes no part in any fold.
    """
    numbers = as_numbers(column, pa.int64(), report)
    folds: list[int | None] = numbers.to_pylist()
    present = sorted({fold for fold in folds if fold is not None})
    first = 0 if present[:1] == [0] else 1
    # The check comes before the roles: one mistyped number must not make a million folds.
    if len(present) < 2 or present != list(range(first, first + len(present))):
        if numbers.null_count > column.null_count:
            return pa.nulls(len(folds), _KIND)  # what is no number is reported already
        raise ManifestError(
            f"{name}: the column 'fold' must number two or more folds 1, 2, ... or 0, 1, ... "
            f"without a gap. Got {', '.join(map(str, present[:10])) or 'none'}."
        )
    roles: dict[int | None, Folds] = {
        fold: fold_roles(fold - first + 1, len(present)) for fold in present
    }
    roles[None] = (None,) * len(present)
    return pa.array([roles[fold] for fold in folds], _KIND)


def roles_of_lists(column: pa.ChunkedArray, report: Report) -> pa.Array:
    """Return the roles from lists, or from texts such as ``0 1 null`` or ``[0, 1, None]``."""
    values = column.combine_chunks()
    if not is_list(values.type):
        values = as_text(values, report)
        cells = [_split(cell) for cell in values.to_pylist()]
    else:
        values = values.cast(pa.list_(values.type.value_type))
        said = as_text(pc.list_flatten(values), lambda row, text: None)
        lists = pa.ListArray.from_arrays(_offsets(values), said, mask=values.is_null())
        cells = [cell or None for cell in lists.to_pylist()]
    return _roles(cells, report)


def roles_of_columns(
    table: pa.Table, columns: Sequence[str], name: str, report: Report
) -> pa.Array:
    """Return the roles from one column for each fold, ``fold_1`` to ``fold_N``."""
    numbers = {int(FOLD_COLUMN.fullmatch(column)[1]): column for column in columns}  # type: ignore[index]
    first = 0 if 0 in numbers else 1
    if sorted(numbers) != list(range(first, first + len(columns))):
        raise ManifestError(
            f"{name}: the columns of folds must be fold_1, fold_2, ... or fold_0, fold_1, ... "
            f"without a gap. Got {', '.join(sorted(columns))}."
        )
    texts = [as_text(table[numbers[n]], report).to_pylist() for n in sorted(numbers)]
    return _roles([[role for role in row] for row in zip(*texts, strict=True)], report)


def _split(cell: str | None) -> list[str | None] | None:
    """Return the roles that stand in a text."""
    return [role for role in _BETWEEN.split(cell or "") if role] or None


def _roles(cells: list[list[str | None] | None], report: Report) -> pa.Array:
    roles: list[Folds | None] = []
    for row, cell in enumerate(cells):
        given = None if cell is None else [None if r is None else r.strip().lower() for r in cell]
        if given is None or not {*given} <= {*_ROLES, None}:
            if cell is not None:
                shown = " ".join("null" if role is None else role for role in cell)
                report(row, f"{_RULE} in each fold. Got {shown[:80]!r}")
            roles.append(None)
            continue
        roles.append(tuple(None if role is None else _ROLES[role] for role in given))
    return pa.array(roles, _KIND)


def _offsets(lists: pa.ListArray) -> pa.Array:
    """Return where each list begins among the values that lists have, and where the last ends."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return pa.concat_arrays(
        [pa.array([0], pa.int64()), pc.cumulative_sum(lengths.cast(pa.int64()))]
    ).cast(pa.int32())
