"""Which rows train and which are scored: by the corpus's folds, by made folds, by partitions.

Rows are chunks or whole recordings; all rows of a recording stand on the same side of a split.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import EvaluationError
from raudeep.evaluation.upsampling import original_name

__all__ = [
    "Split",
    "check_agreement",
    "splits_from_folds",
    "splits_from_partitions",
    "stratified_folds",
    "stratified_partitions",
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


def stratified_folds(
    files: Sequence[str], labels: Sequence[str | None], *, num_folds: int, seed: int
) -> list[tuple[int, ...]]:
    """Return made folds: each recording is in the validation side of exactly one.

    Copies that `raudeep upsample` made are where their recording is.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    labels : sequence of str or None, length N
        Label of each row. Every fold gets its share of each class; recordings without a label are
        dealt out evenly.
    num_folds : int >= 2
        Number of folds.
    seed : int >= 0
        Seed of the shuffle.

    Returns
    -------
    list of tuple of int, length N
        For each row and fold 0 (train) or 1 (valid), as `splits_from_folds` takes it.

    Raises
    ------
    EvaluationError
        If `num_folds` or `seed` is out of its range, a class has fewer recordings than there are
        folds, or rows of a recording disagree.
    """
    from sklearn.model_selection import StratifiedKFold  # takes a second to import

    if num_folds < 2:
        raise EvaluationError(f"num_folds must be at least 2. Got {num_folds}.")
    _check_seed(seed)
    files = [original_name(file) for file in files]
    check_agreement(files, labels, "labels")
    # Sorted, so that the folds do not depend on the order of the rows.
    label_of = dict(sorted(dict(zip(files, labels, strict=True)).items()))
    labelled = np.array([file for file, label in label_of.items() if label is not None])
    unlabelled = np.array([file for file, label in label_of.items() if label is None])
    classes, counts = np.unique([label_of[file] or "" for file in labelled], return_counts=True)
    short = [
        f"{str(label)!r} has {count}"
        for label, count in zip(classes, counts, strict=True)
        if count < num_folds
    ]
    if short:
        raise EvaluationError(
            f"num_folds={num_folds} needs at least {num_folds} recordings in every class: "
            f"{_some(short)}."
        )
    rng = np.random.default_rng(seed)
    fold_of: dict[str, int] = {
        str(file): rank % num_folds for rank, file in enumerate(rng.permutation(unlabelled))
    }
    if len(labelled):
        folder = StratifiedKFold(num_folds, shuffle=True, random_state=int(rng.integers(2**32)))
        rounds = folder.split(labelled, [label_of[file] for file in labelled])
        for fold, (_, valid) in enumerate(rounds):
            fold_of.update((str(file), fold) for file in labelled[valid])
    roles = [
        tuple(VALID if i == fold else TRAIN for i in range(num_folds)) for fold in range(num_folds)
    ]
    return [roles[fold_of[file]] for file in files]


def stratified_partitions(
    files: Sequence[str],
    labels: Sequence[str | None],
    *,
    shares: Mapping[str, float],
    seed: int,
) -> list[str]:
    """Return made partitions: each recording is in exactly one, with its upsampled copies.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    labels : sequence of str or None, length N
        Label of each row. Every partition gets its share of each class, and of the recordings
        without a label, up to rounding, which is by chance and does not favour a partition.
    shares : mapping of str to float
        Names of the partitions and their shares, which need not add up to 1.
    seed : int >= 0
        Seed of the shuffle.

    Returns
    -------
    list of str, length N
        Partition of each row.

    Raises
    ------
    EvaluationError
        If there are fewer than two partitions, a share is not positive and finite, `seed` is
        negative, a partition would be empty, or rows of a recording disagree.
    """
    if len(shares) < 2 or not all(0 < share < math.inf for share in shares.values()):
        raise EvaluationError(
            "partitions need two or more names with shares above 0, all finite. "
            f"Got {dict(shares)}."
        )
    _check_seed(seed)
    files = [original_name(file) for file in files]
    check_agreement(files, labels, "labels")
    # Sorted, so that the partitions do not depend on the order of the rows.
    label_of = dict(sorted(dict(zip(files, labels, strict=True)).items()))
    classes: dict[str | None, list[str]] = {}
    for file, label in label_of.items():
        classes.setdefault(label, []).append(file)
    rng = np.random.default_rng(seed)
    bounds = np.cumsum(list(shares.values())) / sum(shares.values())
    names = list(shares)
    partition_of: dict[str, str] = {}
    for recordings in classes.values():
        ends = np.floor(bounds * len(recordings) + rng.random()).astype(int)
        ends[-1] = len(recordings)
        for rank, file in enumerate(rng.permutation(recordings)):
            partition_of[str(file)] = names[int(np.searchsorted(ends, rank, side="right"))]
    empty = [name for name in names if name not in partition_of.values()]
    if empty:
        raise EvaluationError(
            f"{len(label_of)} recordings leave partition {empty[0]!r} empty. Ask for fewer "
            "partitions, larger shares or another seed."
        )
    return [partition_of[file] for file in files]


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


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise EvaluationError(f"seed must be at least 0. Got {seed}.")


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
            f"recordings do not: {_some(wrong.values())}."
        )


def _some(messages: Iterable[str]) -> str:
    listed = list(messages)
    return "; ".join(listed[:SHOWN]) + ("; …" if len(listed) > SHOWN else "")
