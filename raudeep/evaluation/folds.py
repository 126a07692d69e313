"""Which rows train and which are scored: by folds or by partitions.

Rows are chunks or whole recordings; all rows of a recording stand on the same side of a split.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import EvaluationError

__all__ = [
    "TRAIN",
    "VALID",
    "Split",
    "check_agreement",
    "some",
    "splits_from_folds",
    "splits_from_partitions",
]

TRAIN, VALID, NEITHER = 0, 1, -1
SHOWN = 10  # examples in a message


@dataclass(frozen=True)
class Split:
    """Row indices of one round: train a classifier on `train`, score it on `valid`."""

    fold: int | None
    """Fold from 0, or None where partitions make the split."""
    train: NDArray[np.int64]
    valid: NDArray[np.int64]


def splits_from_folds(
    files: Sequence[str], folds: Sequence[Sequence[int | None] | None]
) -> list[Split]:
    """Return one split for each fold that the rows carry.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    folds : sequence, length N
        For each row and fold 0 (train), 1 (valid) or None (neither); None for a row that takes no
        part in any fold.

    Returns
    -------
    list of Split
        In the order of the folds.

    Raises
    ------
    EvaluationError
        If no row carries folds, the rows carry different numbers of folds, rows of a recording
        disagree, a value is not 0, 1 or None, or a fold has no rows on one of its sides.
    """
    check_agreement(files, [None if row is None else tuple(row) for row in folds], "folds")
    counts = sorted({len(row) for row in folds if row is not None})
    if not counts or counts == [0]:
        raise EvaluationError(
            f"none of {len(files)} rows carries folds. Set num_folds, or evaluate by partitions."
        )
    if len(counts) > 1:
        example = {
            len(row): file for file, row in zip(files, folds, strict=True) if row is not None
        }
        found = " and ".join(f"{count} (e.g. {example[count]!r})" for count in counts)
        raise EvaluationError(f"rows must all carry the same number of folds. Got {found}.")
    nowhere = [None] * counts[0]
    rows = [nowhere if row is None else row for row in folds]
    roles = np.array([[NEITHER if role is None else role for role in row] for row in rows])
    if not np.isin(roles, (TRAIN, VALID, NEITHER)).all():
        raise EvaluationError(
            f"folds must be 0 (train), 1 (valid) or None. Got {np.unique(roles).tolist()}."
        )
    splits = [
        Split(fold, np.flatnonzero(column == TRAIN), np.flatnonzero(column == VALID))
        for fold, column in enumerate(roles.T)
    ]
    empty = [
        f"fold {split.fold} has {len(split.train)} training and {len(split.valid)} validation rows"
        for split in splits
        if not len(split.train) or not len(split.valid)
    ]
    if empty:
        raise EvaluationError(f"every fold needs rows on both sides: {'; '.join(empty)}.")
    return splits


def splits_from_partitions(
    files: Sequence[str],
    partitions: Sequence[str | None],
    *,
    train: Sequence[str],
    valid: Sequence[str],
) -> list[Split]:
    """Return the one split that trains on some partitions and scores others.

    `partitions` holds the partition of each row or None; `train` and `valid` name the partitions of
    each side. The split's fold is None.

    Raises
    ------
    EvaluationError
        If a partition has no rows or is on both sides, or rows of a recording disagree.
    """
    check_agreement(files, partitions, "partitions")
    both = sorted(set(train) & set(valid))
    if both:
        raise EvaluationError(f"a partition is trained on or scored, not both. Got {both}.")
    existing = sorted({partition for partition in partitions if partition is not None})
    missing = [name for name in (*train, *valid) if name not in existing]
    if missing:
        raise EvaluationError(
            f"no row is in partition {missing[0]!r}. The rows have "
            f"{', '.join(repr(name) for name in existing) or 'no partitions'}."
        )
    column = np.array([partition or "" for partition in partitions])
    sides = (np.flatnonzero(np.isin(column, list(names))) for names in (train, valid))
    return [Split(None, *sides)]


def check_agreement(files: Sequence[str], values: Sequence[Any], name: str) -> None:
    """Raise `EvaluationError` unless all rows of a recording have the same value.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    values : sequence, length N
        Value of each row.
    name : str
        What the values are, for the message.
    """
    first: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for file, value in zip(files, values, strict=True):
        expected = first.setdefault(file, value)
        if value != expected:
            wrong.setdefault(file, f"{file!r} has {expected!r} and {value!r}")
    if wrong:
        raise EvaluationError(
            f"chunks of a recording must have the same {name}; {len(wrong)} of {len(first)} "
            f"recordings do not: {some(wrong.values())}."
        )


def some(messages: Iterable[str]) -> str:
    """Return the first of several messages as one."""
    listed = list(messages)
    return "; ".join(listed[:SHOWN]) + ("; …" if len(listed) > SHOWN else "")
