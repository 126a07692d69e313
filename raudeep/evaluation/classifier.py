"""What a classifier is, whatever its kind: standardised rows in, probabilities out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import EvaluationError
from raudeep.evaluation.upsampling import upsample_rows

__all__ = [
    "UNLABELLED",
    "Classifier",
    "FitFunction",
    "Fitted",
    "Name",
    "check_finite",
    "fit_classifier",
    "row_number",
    "seeds_for",
]

UNLABELLED = -1

Floats = NDArray[np.float32]

Name = Callable[[int], str]
"""What a row is called in messages."""

_FLOAT32 = np.finfo(np.float32)  # a spread below its precision is rounding


def row_number(row: int) -> str:
    """Return the name of a row that has no other."""
    return f"row {row}"


class Fitted(Protocol):
    """R trained classifiers of a kind, of standardised rows."""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the class probabilities of rows (N, E) under each, shape (R, N, C)."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what `from_arrays` needs to make the same again."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the classifiers of `arrays`."""


FitFunction = Callable[[Floats, NDArray[np.int64], int, Sequence[int]], Fitted]
"""``fit(X, label_ids, num_classes, seeds)``: one trained classifier for each seed."""


@dataclass(frozen=True, kw_only=True)
class Classifier:
    """Trained classifiers with the scale of the rows that they were trained on."""

    mean: NDArray[np.float64]
    """Of each embedding value over the training rows, shape (E,)."""
    std: NDArray[np.float64]
    """Likewise; 1 for a value that is the same in all of them, up to rounding."""
    fitted: Fitted

    def predict_proba(
        self, embeddings: Floats, *, where: str = "the table to predict", name: Name = row_number
    ) -> Floats:
        """Return the class probabilities of embeddings (N, E), shape (R, N, C).

        `where` and `name` say in messages what the embeddings are, and what each is.

        Raises
        ------
        EvaluationError
            If an embedding is of another size, not finite, or so far from those trained on that
            its probabilities are not finite.
        """
        if embeddings.shape[1:] != self.mean.shape:
            raise EvaluationError(
                f"a classifier of embeddings of {len(self.mean)} values cannot predict embeddings "
                f"of {embeddings.shape[1]}."
            )
        rows = np.arange(len(embeddings))
        check_finite(embeddings, rows, where, name)
        rule = "embeddings must be of the scale of those that the classifier was trained on"
        scaled = _scaled(embeddings, self.mean, self.std)
        _refuse(rows[~np.isfinite(scaled).all(axis=1)], where, name, rule)
        probabilities = self.fitted.predict_proba(scaled)
        _refuse(rows[~np.isfinite(probabilities).all(axis=(0, 2))], where, name, rule)
        return probabilities


def fit_classifier(
    embeddings: Floats,
    label_ids: NDArray[np.int64],
    rows: NDArray[np.int64],
    *,
    fit: FitFunction,
    num_classes: int,
    seeds: Sequence[int],
    upsample: bool = False,
    where: str = "the table",
    name: Name = row_number,
) -> Classifier:
    """Return classifiers trained on those of `rows` that have a label.

    Rows are repeated first, if at all; then every embedding value is standardised by its mean and
    standard deviation over the rows that the classifiers are trained on, and over no others.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (N, E)
        All rows.
    label_ids : ndarray of int64, shape (N,)
        Label ids in [0, num_classes), or -1 for a row without a label.
    rows : ndarray of int64
        The rows to train on.
    fit : callable
        See `FitFunction`.
    num_classes : int
        Number of classes C.
    seeds : sequence of int, length R
        One seed for each classifier.
    upsample : bool
        Repeat the rows of smaller classes (see `raudeep.evaluation.upsampling`).
    where : str
        What `rows` are, for messages.
    name : callable
        What each row is, likewise.

    Raises
    ------
    EvaluationError
        If the rows have fewer than two classes, or an embedding is not finite.
    """
    train = rows[label_ids[rows] != UNLABELLED]
    classes = np.unique(label_ids[train])
    if len(classes) < 2:
        raise EvaluationError(
            f"a classifier needs at least two classes to train on: {where} has {len(rows)} "
            f"training rows, {len(train)} of them with a label, of {len(classes)} classes."
        )
    check_finite(embeddings, train, where, name)
    if upsample:
        train = train[upsample_rows(label_ids[train].tolist())]
    X, y = embeddings[train], label_ids[train]
    mean = X.mean(axis=0, dtype=np.float64)
    std = X.std(axis=0, dtype=np.float64)
    largest = np.maximum(X.max(axis=0), -X.min(axis=0))
    std[std <= np.maximum(_FLOAT32.eps * largest, _FLOAT32.smallest_normal)] = 1.0
    return Classifier(mean=mean, std=std, fitted=fit(_scaled(X, mean, std), y, num_classes, seeds))


def check_finite(
    embeddings: Floats, rows: NDArray[np.int64], where: str, name: Name = row_number
) -> None:
    """Raise `EvaluationError` if any of these rows holds NaN or infinity."""
    broken = rows[~np.isfinite(embeddings[rows]).all(axis=1)]
    _refuse(broken, where, name, "embeddings must be finite")


def _refuse(broken: NDArray[np.int64], where: str, name: Name, rule: str) -> None:
    if len(broken):
        raise EvaluationError(
            f"{rule}: {len(broken)} rows of {where} are not, e.g. {name(int(broken[0]))}."
        )


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


def _scaled(X: Floats, mean: NDArray[np.float64], std: NDArray[np.float64]) -> Floats:
    """Return X standardised; infinite where float32 does not hold the result."""
    # Halves of all: float32 holds their differences, and the results are the same to the last bit.
    scaled = X * np.float32(0.5)
    scaled -= mean / 2
    with np.errstate(over="ignore"):
        scaled /= std / 2
    return scaled
