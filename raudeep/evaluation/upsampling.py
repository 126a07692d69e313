"""Balancing classes by repeating rows."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["copy_name", "original_name", "repeats_of_class", "upsample_rows"]


def copy_name(file: str, number: int) -> str:
    """Return what a copy of a recording is called, as in auDeep."""
    return f"{file}.upsampled.{number}"


def original_name(file: str) -> str:
    """Return the recording that `file` is a copy of, or `file`."""
    return re.sub(r"(\.upsampled\.\d+)+$", "", file)


def repeats_of_class(labels: Sequence[str | int | None]) -> dict[str | int | None, int]:
    """Return how often each class is there after upsampling: the largest count over its own.

    Rounded down, as in auDeep, so that the classes are roughly and not exactly balanced. Rows
    without a label (None) count for no class and are there once.
    """
    counts = Counter(label for label in labels if label is not None)
    most = max(counts.values(), default=0)
    return {None: 1, **{label: most // count for label, count in counts.items()}}


def upsample_rows(labels: Sequence[str | int | None]) -> NDArray[np.int64]:
    """Return row indices in which every row stands as often as its class is repeated.

    Parameters
    ----------
    labels : sequence of str, int or None, length N
        Class of each row.

    Returns
    -------
    ndarray of int64
        In [0, N), in order, the copies of a row behind one another.
    """
    repeats = repeats_of_class(labels)
    return np.repeat(np.arange(len(labels)), [repeats[label] for label in labels])
