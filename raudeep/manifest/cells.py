"""Cells as text, numbers and labels, equal for every form of a table.

A CSV file knows no types, and programs write the same value in several ways: a whole number as
``1`` or, where another cell of the column is empty, as ``1.0``; a truth value as ``True`` or
``true``. So each column becomes text, whatever it was, and the text is read by one rule.
"""

import re
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.manifest.checking import rows_where

__all__ = ["Report", "as_labels", "as_numbers", "as_text", "is_list"]

Report = Callable[[int, str], None]
"""Takes a row and what is wrong with it."""

_MISSING = pa.array(["", "na", "n/a", "nan", "null", "none", "<na>"])
"""How programs write a missing number, in lower case."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.ASCII)
_WHOLE = re.compile(r"^([+-]?\d+)\.0*$", re.ASCII)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[ T](\d\d:\d\d:\d\d)(?:\.(\d*?)0*)?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_MIDNIGHT = "00:00:00"


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column holds several values per cell."""
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_fixed_size_list(kind)
        or pa.types.is_list_view(kind)
        or pa.types.is_large_list_view(kind)
    )


def as_text(column: pa.ChunkedArray | pa.Array, report: Report) -> pa.Array:
    """Return a column as text; what is empty or no number is null."""
    values = _one_array(column)
    kind = values.type
    if pa.types.is_floating(kind):
        values = _float_text(values)
    elif is_list(kind) or pa.types.is_struct(kind) or pa.types.is_map(kind):
        for row in rows_where(pc.is_valid(values)):
            report(row, f"must be one value. Got {str(values[row].as_py())[:80]!r}")
        values = pa.nulls(len(values), pa.string())
    elif pa.types.is_temporal(kind) or pa.types.is_decimal(kind):
        values = pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())
    text = values.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), None, text)


def as_labels(text: pa.Array) -> pa.Array:
    """Return text as labels; numbers, truth values and times get one spelling.

    Numbers have no exponents and whole ones no decimals, truth values are ``true`` and ``false``,
    times have a blank between day and time, and no time where all are midnight. All other labels
    stay as they are, but for white space around them.
    """
    encoded = pc.utf8_trim_whitespace(text).dictionary_encode()
    labels = encoded.dictionary.to_pylist()
    spelt = pa.array([label or None for label in _spelt_alike(labels)], pa.string())
    return spelt.take(encoded.indices)


def as_numbers(column: pa.ChunkedArray | pa.Array, kind: pa.DataType, report: Report) -> pa.Array:
    """Return a column as numbers of a type; empty cells and other text become null.

    A whole number may have decimals that are zeros.
    """
    values = _one_array(column)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        text = pc.utf8_trim_whitespace(as_text(values, report))
        text = pc.if_else(pc.is_in(pc.utf8_lower(text), value_set=_MISSING), None, text)
        right = pc.match_substring_regex(text, f"^(?:{_NUMBER.pattern})$")
        for row in rows_where(pc.invert(right)):
            report(row, f"must be a number. Got {text[row].as_py()[:80]!r}")
        values = pc.if_else(right, text, None)
    if pa.types.is_floating(kind):
        return _without_nan(values.cast(kind))
    return _whole(values, kind, report)


def _whole(values: pa.Array, kind: pa.DataType, report: Report) -> pa.Array:
    """Return numbers, or texts of numbers, as whole ones."""
    if pa.types.is_integer(values.type):
        fits = values
    else:
        numbers = _without_nan(values.cast(pa.float64()))
        fits = pc.if_else(
            pc.and_(pc.equal(numbers, pc.trunc(numbers)), pc.less(pc.abs(numbers), 2.0**63)),
            numbers,
            None,
        )
        for row in rows_where(pc.and_(pc.is_valid(numbers), pc.is_null(fits))):
            report(row, f"must be a whole number. Got {values[row]}")
        fits = fits.cast(pa.int64(), safe=False)  # whose decimals are zeros
    bounds = np.iinfo(kind.to_pandas_dtype())
    outside = pc.or_(pc.less(fits, bounds.min), pc.greater(fits, bounds.max))
    for row in rows_where(outside):
        report(row, f"must be from {bounds.min} to {bounds.max}. Got {fits[row]}")
    return pc.if_else(outside, None, fits).cast(kind)


def _one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column in one piece, with the values of a dictionary in place of their numbers."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values.type, pa.BaseExtensionType):
        values = values.storage
    if pa.types.is_run_end_encoded(values.type):
        values = pc.run_end_decode(values)
    if pa.types.is_dictionary(values.type):
        return _one_array(values.dictionary).take(values.indices)
    if pa.types.is_string_view(values.type) or pa.types.is_binary_view(values.type):
        return values.cast(pa.string())  # which more functions know
    return values


def _without_nan(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_nan(values), None, values)


def _float_text(values: pa.Array) -> pa.Array:
    """Return numbers with as few digits as tell them from others of their type."""
    given = _without_nan(values.cast(pa.float32()) if values.type == pa.float16() else values)
    plain = pc.fill_null(given, 0).to_numpy(zero_copy_only=False).astype(str)
    return pa.array(plain, pa.string(), mask=given.is_null().to_numpy(zero_copy_only=False))


def _spelt_alike(labels: list[str]) -> list[str | None]:
    """Return distinct labels, each as all programs would have written it."""
    lower = [label.lower() for label in labels]
    if set(lower) <= {"true", "false", ""}:
        return [*lower]
    if all(_NUMBER.fullmatch(label) or label in ("", "nan") for label in lower):
        return [None if label == "nan" else _number_text(label) for label in lower]
    times = [_TIME.fullmatch(label) for label in labels]
    if all(time or not label for time, label in zip(times, labels, strict=True)):
        return _as_times([time for time in times])
    return [*labels]


def _number_text(number: str) -> str:
    """Return a number without an exponent, and without decimals that are zeros."""
    if "e" in number:
        number = np.format_float_positional(float(number), trim="-")
    return _WHOLE.sub(r"\1", number)


def _as_times(times: list[re.Match[str] | None]) -> list[str | None]:
    days_only = all(
        time is None or ((time[2] or _MIDNIGHT) == _MIDNIGHT and not time[3] and not time[4])
        for time in times
    )
    spelt: list[str | None] = []
    for time in times:
        if time is None or days_only:
            spelt.append(time and time[1])
            continue
        fraction = f".{time[3]}" if time[3] else ""
        offset = "+00:00" if time[4] == "Z" else time[4] or ""
        spelt.append(f"{time[1]} {time[2] or _MIDNIGHT}{fraction}{offset}")
    return spelt
