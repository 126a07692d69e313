"""One round of an evaluation: standardise, fit, predict. Which rows: `raudeep.evaluation.folds`."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import EvaluationError
from raudeep.evaluation.folds import Split

__all__ = ["UNLABELLED", "Classifier", "evaluate_split", "seeds_for"]

UNLABELLED = -1

Classifier = Callable[
    [NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], int, Sequence[int]],
    NDArray[np.float32],
]
"""``classify(train_X, train_y, valid_X, num_classes, seeds)``: probabilities (R, N, C)."""


def evaluate_split(
    embeddings: NDArray[np.float32],
    label_ids: NDArray[np.int64],
    split: Split,
    *,
    classifier: Classifier,
    num_classes: int,
    seeds: Sequence[int],
) -> NDArray[np.float32]:
    """Return the class probabilities of a split's validation rows.

    Every embedding value is standardised by its mean and standard deviation over the rows that the
    classifier is trained on, and over no others. Rows without a label are predicted, not trained
    on.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (rows, E)
        Embeddings of all rows.
    label_ids : ndarray of int64, shape (rows,)
        Label ids in [0, num_classes), or -1 for a row without a label.
    split : Split
        Rows to train on and rows to predict.
    classifier : callable
        See `Classifier`.
    num_classes : int
        Number of classes C.
    seeds : sequence of int, length R
        One seed for each repeat.

    Returns
    -------
    ndarray of float32, shape (R, N, C)
        Probabilities of the N rows ``split.valid``, in their order.

    Raises
    ------
    EvaluationError
        If the training rows have fewer than two classes, or an embedding is not finite.
    """
    where = "the training partitions" if split.fold is None else f"fold {split.fold}"
    train = split.train[label_ids[split.train] != UNLABELLED]
    train_y = label_ids[train]
    classes = np.unique(train_y)
    if len(classes) < 2:
        raise EvaluationError(
            f"a classifier needs at least two classes to train on: {where} has {len(split.train)} "
            f"training rows, {len(train)} of them with a label, of {len(classes)} classes."
        )
    train_X, valid_X = embeddings[train], embeddings[split.valid]
    for rows, values in ((train, train_X), (split.valid, valid_X)):
        broken = rows[~np.isfinite(values).all(axis=1)]
        if len(broken):
            raise EvaluationError(
                f"embeddings must be finite: {len(broken)} rows of {where} are not, "
                f"e.g. row {broken[0]}."
            )
    _standardise(train_X, valid_X)
    return classifier(train_X, train_y, valid_X, num_classes, seeds)


def seeds_for(seed: int, fold: int | None, repeats: int) -> list[int]:
    """Return an independent seed for each repeat of a fold.

    Parameters
    ----------
    seed : int >= 0
        Seed of the evaluation.
    fold : int or None
        Fold from 0, or None for partitions.
    repeats : int
        Number of seeds; the first ones do not depend on how many follow.

    Returns
    -------
    list of int, length `repeats`
        In [0, 2**32).
    """
    entropy = (seed, 0 if fold is None else fold + 1)
    return [int(state) for state in np.random.SeedSequence(entropy).generate_state(repeats)]


def _standardise(train_X: NDArray[np.float32], valid_X: NDArray[np.float32]) -> None:
    """Scale both in place by the statistics of the first; a constant column is only centred."""
    mean = train_X.mean(axis=0, dtype=np.float64)
    std = train_X.std(axis=0, dtype=np.float64)
    std[train_X.max(axis=0) == train_X.min(axis=0)] = 1.0  # exact, where the std may be rounding
    for values in (train_X, valid_X):
        values -= mean
        values /= std
