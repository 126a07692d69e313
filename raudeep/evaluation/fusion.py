"""Joins embeddings of the same chunks: several tables become one wider one."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import FusionError

__all__ = ["Key", "Span", "are_same_part", "check_same_metadata", "check_same_parts", "fuse"]

Key = tuple[str, int]
"""Recording and chunk."""
Span = tuple[float | None, float | None]
"""Where a chunk starts and ends, in seconds; None where nobody knows."""


def fuse(
    embeddings: Mapping[str, tuple[Sequence[Key], NDArray[np.float32]]],
) -> tuple[list[Key], NDArray[np.float32]]:
    """Return the embeddings of several tables joined by key and concatenated.

    Parameters
    ----------
    embeddings : mapping of str to (keys, ndarray of float32, shape (N, E))
        By name of the table: the (file, chunk) key of each row, and the rows. Tables may differ in
        E and in the order of their rows.

    Returns
    -------
    keys : list of (file, chunk), length N
        In the order of the first table.
    fused : ndarray of float32, shape (N, sum of E)
        Concatenated in the order of the mapping.

    Raises
    ------
    FusionError
        If there are fewer than two tables, a table has a key twice, or the tables do not have the
        same keys.
    """
    if len(embeddings) < 2:
        raise FusionError(f"fusion needs at least two tables. Got {list(embeddings)}.")
    rows = {name: _row_of_key(name, *table) for name, table in embeddings.items()}
    first, *others = rows
    for other in others:
        _check_same_keys(first, rows[first], other, rows[other])
    keys = list(embeddings[first][0])
    width = sum(values.shape[1] for _, values in embeddings.values())
    fused = np.empty((len(keys), width), dtype=np.float32)
    start = 0
    for name, (_, values) in embeddings.items():
        order = np.fromiter((rows[name][key] for key in keys), dtype=np.int64, count=len(keys))
        fused[:, start : start + values.shape[1]] = values[order]
        start += values.shape[1]
    return keys, fused


def check_same_metadata(
    tables: Mapping[str, Mapping[Key, object]], *, column: str = "label"
) -> None:
    """Raise unless all tables say the same about every key that they share with the first.

    Parameters
    ----------
    tables : mapping of str to mapping of (file, chunk) to value
        By name of the table: the value of `column` for each key.
    column : str
        Name of the column, for the message.

    Raises
    ------
    FusionError
        If the values of a key differ; the message names the key and both values.
    """
    if not tables:
        return
    first, *others = tables
    for other in others:
        differing = [
            key
            for key, value in tables[other].items()
            if key in tables[first] and tables[first][key] != value
        ]
        if differing:
            key = differing[0]
            raise FusionError(
                f"cannot fuse {first!r} and {other!r}: {len(differing)} (file, chunk) keys differ "
                f"in {column!r}, e.g. {key} is {tables[first][key]!r} in {first!r} and "
                f"{tables[other][key]!r} in {other!r}."
            )


def check_same_parts(tables: Mapping[str, Mapping[Key, Span]]) -> None:
    """Raise unless the chunks of a key are much the same part of their recording in all tables.

    Recordings of one chunk are not asked: how much of them a table takes is its own choice.

    Parameters
    ----------
    tables : mapping of str to mapping of (file, chunk) to (start, end)
        By name of the table: seconds for each key, the same keys in all.

    Raises
    ------
    FusionError
        If a chunk is another part; the message names the key and both parts.
    """
    first, *others = tables
    chunked = {file for file, chunk in tables[first] if chunk > 0}
    for other in others:
        for key, span in tables[first].items():
            found = tables[other][key]
            if key[0] in chunked and not are_same_part(span, found):
                raise FusionError(
                    f"cannot fuse {first!r} and {other!r}: chunks of other lengths, e.g. {key} is "
                    f"{span[0]:g} to {span[1]:g} s in {first!r} and {found[0]:g} to {found[1]:g} s "
                    f"in {other!r}."
                )


def are_same_part(one: Span, other: Span) -> bool:
    """Return whether two parts share half of the longer: views cut between frames of their own."""
    if one[0] is None or one[1] is None or other[0] is None or other[1] is None:
        return True
    shared = min(one[1], other[1]) - max(one[0], other[0])
    return 2 * shared >= max(one[1] - one[0], other[1] - other[0])


def _row_of_key(name: str, keys: Sequence[Key], values: NDArray[np.float32]) -> dict[Key, int]:
    if values.ndim != 2 or len(values) != len(keys):
        raise FusionError(
            f"cannot fuse {name!r}: {len(keys)} keys, but embeddings of shape {values.shape}."
        )
    row_of_key = {key: row for row, key in enumerate(keys)}
    if len(row_of_key) < len(keys):
        repeated = next(key for row, key in enumerate(keys) if row_of_key[key] != row)
        raise FusionError(
            f"cannot fuse {name!r}: {len(keys) - len(row_of_key)} of {len(keys)} rows repeat a "
            f"(file, chunk) key, e.g. {repeated}."
        )
    return row_of_key


def _check_same_keys(
    first: str, first_keys: Mapping[Key, int], other: str, other_keys: Mapping[Key, int]
) -> None:
    parts = []
    for name, keys, absent_from in (
        (first, first_keys, other_keys),
        (other, other_keys, first_keys),
    ):
        only = [key for key in keys if key not in absent_from]
        if only:
            parts.append(f"{len(only)} (file, chunk) keys are only in {name!r}, e.g. {only[0]}")
    if parts:
        raise FusionError(f"cannot fuse {first!r} and {other!r}: {'; '.join(parts)}.")
