"""Limits of a score that are known before training: labels that cannot be predicted."""

import math
from collections.abc import Collection, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from raudeep.evaluation.folds import Split

__all__ = ["score_limits", "unknown_labels"]

_NAMED = 3  # labels in a message


def score_limits(labels: Sequence[str | None], splits: Sequence[Split]) -> list[str]:
    """Return one sentence for each reason why a score cannot reach 100 %; empty without any.

    Parameters
    ----------
    labels : sequence of str or None, length N
        Label of each row.
    splits : sequence of Split
        Which rows are trained on and which are scored.
    """
    column = np.array(["" if label is None else label for label in labels], dtype=object)
    known = np.array([label is not None for label in labels], dtype=bool)
    names, ids = np.unique(column.astype(str), return_inverse=True)
    num_scored = 0
    unseen: list[NDArray[np.int64]] = []
    for split in splits:
        scored = ids[split.valid[known[split.valid]]]
        num_scored += len(scored)
        trained = np.unique(ids[split.train[known[split.train]]])
        unseen.append(scored[~np.isin(scored, trained)])
    found = []
    never = np.concatenate([*unseen, np.empty(0, np.int64)])
    if len(never):
        where = [
            f"fold {split.fold}"
            for split, rows in zip(splits, unseen, strict=True)
            if len(rows) and split.fold is not None
        ]
        found.append(
            f"{len(never)} of {num_scored} scored rows have a label that no training row "
            f"{'of their fold ' if where else ''}has, so they cannot be right: "
            f"{_some(names[np.unique(never)])}{f' (in {_joined(where)})' if where else ''}"
        )
    if (values := _measured(names[np.unique(ids[known])])) is not None:
        found.append(
            f"the labels are numbers such as {values[0]!r}, and each of {len(values)} values is a "
            "class of its own. Group the values into classes"
        )
    return found


def unknown_labels(labels: Sequence[str | None], known: Collection[str]) -> str | None:
    """Return a sentence on rows whose label is none of the `known` classes; None without any."""
    scored = [label for label in labels if label is not None]
    classes = set(known)
    strange = [label for label in scored if label not in classes]
    if not strange:
        return None
    return (
        f"{len(strange)} of {len(scored)} rows have a label that the classifier was not trained "
        f"on, so they cannot be right: {_some(sorted(set(strange)))}"
    )


def _measured(labels: Sequence[str]) -> list[str] | None:
    """Return labels that are measured values: all are numbers, and some are not whole."""
    values = []
    for label in labels:
        with suppress(ValueError):
            values.append(float(label))
    numbers = len(values) == len(labels) and all(math.isfinite(value) for value in values)
    if not numbers or all(value.is_integer() for value in values):
        return None
    return [str(label) for label in labels]


def _some(labels: Sequence[str]) -> str:
    shown = ", ".join(repr(str(label)) for label in labels[:_NAMED])
    return f"{shown} and {len(labels) - _NAMED} more" if len(labels) > _NAMED else shown


def _joined(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} folds, e.g. {names[0]}"
