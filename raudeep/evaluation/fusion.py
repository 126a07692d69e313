"""Matches the chunks of several tables, so that their embeddings can be joined."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raudeep.errors import FusionError

__all__ = [
    "Key",
    "Span",
    "are_cut_alike",
    "check_same_chunks",
    "check_same_metadata",
    "chunk_rows",
    "match_rows",
]

Key = tuple[str, int]
"""Recording and chunk."""
Span = tuple[float | None, float | None]
"""Where a chunk starts and ends, in seconds; None where nobody knows."""


def match_rows(tables: Mapping[str, pd.DataFrame]) -> dict[str, NDArray[np.int64]]:
    """Return which row of each table has the key of each row of the first one.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        By name of the table: ``file`` and ``chunk`` of each row, in any order.

    Returns
    -------
    mapping of str to ndarray of int64, shape (N,)
        For the N rows of the first table.

    Raises
    ------
    FusionError
        If there are fewer than two tables, a table has a key twice, or the tables do not have the
        same keys.
    """
    if len(tables) < 2:
        raise FusionError(f"fusion needs at least two tables. Got {list(tables)}.")
    keys = {name: _keys(repr(name), table) for name, table in tables.items()}
    (first, wanted), *others = keys.items()
    rows = {first: np.arange(len(wanted))}
    for other, found in others:
        rows[other] = found.get_indexer(wanted)
        only = {first: wanted[rows[other] < 0], other: found[wanted.get_indexer(found) < 0]}
        said = [
            f"{len(lost)} (file, chunk) keys are only in {name!r}, e.g. {_named(lost[0])}"
            for name, lost in only.items()
            if len(lost)
        ]
        if said:
            raise FusionError(f"cannot fuse {first!r} and {other!r}: {'; '.join(said)}.")
    return rows


def chunk_rows(table: pd.DataFrame) -> NDArray[np.int64]:
    """Return which rows of a table hold the chunks of each recording, in the order of these.

    Parameters
    ----------
    table : DataFrame
        ``file`` and ``chunk`` of each row, in any order.

    Returns
    -------
    ndarray of int64, shape (N, C)
        For N recordings of C chunks each, in the order of the rows of the first chunks.

    Raises
    ------
    FusionError
        If there are no rows, a recording has a chunk twice, or its chunks are not 0 to C - 1, where
        C is how many the first recording has.
    """
    if table.empty:
        raise FusionError("there are no rows.")
    _keys("the table", table)
    count = int((table["file"] == table["file"].iloc[0]).sum())
    ordered = table.reset_index(drop=True).sort_values(["file", "chunk"], kind="stable")
    by_file = ordered.groupby("file", sort=False)["chunk"]
    whole = (ordered["chunk"] == by_file.cumcount()) & (by_file.transform("size") == count)
    if not whole.all():
        file = ordered["file"][~whole].iloc[0]
        chunks = ordered["chunk"][ordered["file"] == file].tolist()
        raise FusionError(
            f"every recording needs the chunks 0 to {count - 1}; {file!r} has "
            f"{', '.join(map(str, chunks[:10]))}. Recordings of different lengths keep their "
            "chunks apart; --fixed-seconds of `raudeep extract` makes them equal."
        )
    rows = ordered.index.to_numpy().reshape(-1, count)
    return np.asarray(rows[np.argsort(rows[:, 0])], np.int64)


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
    """Return whether two tables cut a recording into nearly the same chunks.

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


def _keys(name: str, table: pd.DataFrame) -> pd.MultiIndex:
    keys = pd.MultiIndex.from_frame(table[["file", "chunk"]])
    repeated = keys[keys.duplicated()]
    if len(repeated):
        raise FusionError(
            f"cannot fuse {name}: {len(repeated)} of {len(keys)} rows repeat a (file, chunk) "
            f"key, e.g. {_named(repeated[0])}."
        )
    return keys


def _named(key: tuple[Any, ...]) -> Key:
    file, chunk = key
    return str(file), int(chunk)
