"""Scores from predictions: accuracy, unweighted average recall (UAR), confusion, spreads."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import EvaluationError

__all__ = ["MAX_CONFUSION_CLASSES", "Score", "majority_vote", "score_predictions"]


MAX_CONFUSION_CLASSES = 500
"""For more classes no matrix is made: it has a number for each pair of classes."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """What an evaluation found; all figures are shares in [0, 1]."""

    labels: list[str]
    """Classes in label_id order."""
    accuracy: float
    """Mean over repeats of the mean over folds."""
    uar: float
    """Recall averaged over the classes that a fold's rows have; mean as for `accuracy`."""
    accuracy_std_folds: float
    """Population standard deviation over folds, of each fold's mean over repeats."""
    accuracy_std_repeats: float
    """Population standard deviation over repeats, of each repeat's mean over folds."""
    uar_std_folds: float
    uar_std_repeats: float
    fold_accuracies: list[float]
    """Mean over repeats of each fold."""
    num_splits: int
    """Folds, or 1 for partitions."""
    repeats: int
    confusion: list[list[int]] | None
    """Rows are true classes, columns predicted ones; summed over folds and repeats. None for more
    than `MAX_CONFUSION_CLASSES` classes."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values that JSON can hold."""
        return dataclasses.asdict(self)


def score_predictions(
    *,
    files: Sequence[str],
    labels: Sequence[str | None],
    predicted: Sequence[str],
    folds: Sequence[int | None],
    repeats: Sequence[int],
    label_map: Sequence[str],
    majority_vote: bool = False,
) -> Score:
    """Return the score of a flat table of predictions.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    labels : sequence of str or None, length N
        True class; rows without one are not scored.
    predicted : sequence of str, length N
        Predicted class.
    folds : sequence of int or None, length N
        Fold of each row; None or -1 for partitions.
    repeats : sequence of int, length N
        Repeat of each row.
    label_map : sequence of str, length C
        Classes in label_id order.
    majority_vote : bool
        Score recordings by the most frequent class of their chunks (see `majority_vote`) instead of
        scoring every chunk.

    Returns
    -------
    Score
        Means, spreads and the confusion matrix.

    Raises
    ------
    EvaluationError
        If a class is not in `label_map`, or a fold has no labelled rows in one of the repeats.
    """
    true_ids = _label_ids(labels, label_map)
    predicted_ids = _label_ids(predicted, label_map)
    fold_of = np.array([-1 if fold is None else fold for fold in folds], dtype=np.int64)
    repeat_of = np.asarray(repeats, dtype=np.int64)
    fold_names, repeat_names = np.unique(fold_of), np.unique(repeat_of)
    if not len(fold_names):
        raise EvaluationError("there are no predictions to score.")
    names = np.array(files, dtype=object)
    shape = (len(fold_names), len(repeat_names))
    accuracy, uar = np.empty(shape), np.empty(shape)
    num_classes = len(label_map)
    cells = num_classes**2 if num_classes <= MAX_CONFUSION_CLASSES else 0
    confusion = np.zeros(cells, dtype=np.int64)
    for i, fold in enumerate(fold_names):
        for j, repeat in enumerate(repeat_names):
            rows = np.flatnonzero((fold_of == fold) & (repeat_of == repeat) & (true_ids >= 0))
            if not len(rows):
                where = "the scored partitions have" if fold < 0 else f"fold {fold} has"
                raise EvaluationError(f"{where} no rows with a label in repeat {repeat}.")
            true, guess = true_ids[rows], predicted_ids[rows]
            if majority_vote:
                true = _vote(names[rows], true, num_classes)[1]
                guess = _vote(names[rows], guess, num_classes)[1]
            support = np.bincount(true, minlength=num_classes)
            right = np.bincount(true[true == guess], minlength=num_classes)
            accuracy[i, j] = right.sum() / support.sum()
            uar[i, j] = np.mean(right[support > 0] / support[support > 0])
            if cells:
                confusion += np.bincount(true * num_classes + guess, minlength=cells)
    return Score(
        labels=list(label_map),
        accuracy=float(accuracy.mean()),
        uar=float(uar.mean()),
        accuracy_std_folds=float(accuracy.mean(axis=1).std()),
        accuracy_std_repeats=float(accuracy.mean(axis=0).std()),
        uar_std_folds=float(uar.mean(axis=1).std()),
        uar_std_repeats=float(uar.mean(axis=0).std()),
        fold_accuracies=accuracy.mean(axis=1).tolist(),
        num_splits=shape[0],
        repeats=shape[1],
        confusion=confusion.reshape(num_classes, num_classes).tolist() if cells else None,
    )


def majority_vote(
    files: Sequence[str] | NDArray[Any], label_ids: NDArray[np.int64], num_classes: int
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the most frequent class of each recording; of equally frequent ones the lowest id.

    Parameters
    ----------
    files : sequence of str, length N
        Recording of each row.
    label_ids : ndarray of int64, shape (N,)
        Class of each row, in [0, num_classes).
    num_classes : int
        Number of classes C.

    Returns
    -------
    files : list of str
        Recordings in the order of their first row.
    label_ids : ndarray of int64
        Class of each of them.
    """
    index = {file: i for i, file in enumerate(dict.fromkeys(files))}
    recording = np.fromiter((index[file] for file in files), dtype=np.int64, count=len(files))
    pairs, counts = np.unique(recording * num_classes + label_ids, return_counts=True)
    # Sorted by recording, then frequency, then id, the first of each recording wins.
    order = np.lexsort((pairs, -counts, pairs // num_classes))
    _, firsts = np.unique(pairs[order] // num_classes, return_index=True)
    return list(index), pairs[order][firsts] % num_classes


_vote = majority_vote  # `score_predictions` has a parameter of that name


def _label_ids(labels: Sequence[str | None], label_map: Sequence[str]) -> NDArray[np.int64]:
    """Return the position of each label in `label_map`, -1 for None."""
    ids: dict[str | None, int] = {label: i for i, label in enumerate(label_map)}
    ids[None] = -1
    unknown = sorted({str(label) for label in labels if label not in ids})
    if unknown:
        raise EvaluationError(
            f"labels {unknown[:10]} are none of the {len(label_map)} classes that were predicted."
        )
    return np.fromiter((ids[label] for label in labels), dtype=np.int64, count=len(labels))
