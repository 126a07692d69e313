"""One round of an evaluation: fit, predict. Which rows: `raudeep.evaluation.folds`."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raudeep.evaluation.classifier import (
    FitFunction,
    Name,
    check_finite,
    fit_classifier,
    row_number,
)
from raudeep.evaluation.folds import Split

__all__ = ["evaluate_split"]


def evaluate_split(
    embeddings: NDArray[np.float32],
    label_ids: NDArray[np.int64],
    split: Split,
    *,
    fit: FitFunction,
    num_classes: int,
    seeds: Sequence[int],
    upsample: bool = False,
    name: Name = row_number,
) -> NDArray[np.float32]:
    """Return the class probabilities of a split's validation rows.

    Rows without a label are predicted, not trained on. Repeating and standardising learn from the
    training rows alone (see `fit_classifier`).

    Parameters
    ----------
    embeddings : ndarray of float32, shape (rows, E)
        Embeddings of all rows.
    label_ids : ndarray of int64, shape (rows,)
        Label ids in [0, num_classes), or -1 for a row without a label.
    split : Split
        Rows to train on and rows to predict.
    fit : callable
        See `raudeep.evaluation.classifier.FitFunction`.
    num_classes : int
        Number of classes C.
    seeds : sequence of int, length R
        One seed for each repeat.
    upsample : bool
        Repeat the training rows of smaller classes.
    name : callable
        What each row is, for messages.

    Returns
    -------
    ndarray of float32, shape (R, N, C)
        Probabilities of the N rows ``split.valid``, in their order.

    Raises
    ------
    EvaluationError
        If the training rows have fewer than two classes, or an embedding is not finite or out of
        all proportion to them.
    """
    sides = ("the training partitions", "the scored partitions")
    where, scored = sides if split.fold is None else (f"fold {split.fold}",) * 2
    check_finite(embeddings, split.valid, scored, name)
    classifier = fit_classifier(
        embeddings,
        label_ids,
        split.train,
        fit=fit,
        num_classes=num_classes,
        seeds=seeds,
        upsample=upsample,
        where=where,
        name=name,
    )
    return classifier.predict_proba(
        embeddings[split.valid], where=scored, name=lambda row: name(int(split.valid[row]))
    )
