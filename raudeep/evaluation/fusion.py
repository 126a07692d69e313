"""Joins embeddings of the same chunks: several tables become one wider one."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import FusionError

__all__ = ["Key", "Span", "are_cut_alike", "check_same_chunks", "check_same_metadata", "fuse"]

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


def check_same_chunks(tables: Mapping[str, Mapping[Key, Span]]) -> None:
    """Raise unless each recording is cut into much the same chunks in all tables.

    Parameters
    ----------
    tables : mapping of str to mapping of (file, chunk) to (start, end)
        By name of the table: seconds for each key, the same keys in all.

    Raises
    ------
    FusionError
        If a recording is cut otherwise; the message names it and both cuts.
    """
    first, *others = tables
    chunks: dict[str, list[Key]] = {}
    for key in sorted(tables[first]):
        chunks.setdefault(key[0], []).append(key)
    for other in others:
        for file, keys in chunks.items():
            one, two = ([tables[name][key] for key in keys] for name in (first, other))
            if not are_cut_alike(one, two):
                raise FusionError(
                    f"cannot fuse {first!r} and {other!r}: {file!r} is cut into other chunks, "
                    f"{_described(one)} in {first!r} and {_described(two)} in {other!r}."
                )


def are_cut_alike(one: Sequence[Span], other: Sequence[Span]) -> bool:
    """Return whether the chunks of a recording are as many, and much the same parts of it.

    Starts and ends may differ by half a chunk: views cut between frames of their own. How much a
    single chunk takes of a recording is free, and where a time is not known none is asked for.
    """
    if len(one) < 2 or len(one) != len(other):
        return len(one) == len(other)
    known = [pair for pair in zip(one, other, strict=True) if None not in (*pair[0], *pair[1])]
    times = np.array(known, dtype=np.float64).reshape(-1, 2, 2)
    longest = np.ptp(times, axis=2).max(initial=0.0)
    return bool((np.abs(np.diff(times, axis=1)) <= longest / 2).all())


def _described(spans: Sequence[Span]) -> str:
    """Return the first two parts in words."""
    return ", ".join(f"{start} to {end} s" for start, end in spans[:2])


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
