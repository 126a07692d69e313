"""What all formats exchange: rows as auDeep has them, and the rules that they keep."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import TableError

__all__ = ["TIMES", "DataSet", "Folds", "Rows", "Splits", "check_rows", "merge_label_maps"]

Folds = Sequence[int | None] | None
TIMES = ("start", "end")
"""Columns of text files with the seconds of a chunk, which auDeep does not have."""


@dataclass(frozen=True)
class Rows:
    """Chunks with their labels and features."""

    files: list[str]
    chunks: list[int]
    labels: list[str | None]
    label_ids: list[int | None]
    """Number of each label."""
    features: NDArray[np.float32]
    """Shape (N, E)."""
    times: list[tuple[float | None, float | None]] | None = None
    """Start and end of each chunk, in seconds."""

    def take(self, indices: Sequence[int]) -> "Rows":
        """Return the rows at `indices`."""
        return Rows(
            [self.files[i] for i in indices],
            [self.chunks[i] for i in indices],
            [self.labels[i] for i in indices],
            [self.label_ids[i] for i in indices],
            self.features[list(indices)],
            None if self.times is None else [self.times[i] for i in indices],
        )

    @property
    def keys(self) -> list[tuple[str, int]]:
        """Recording and chunk of each row."""
        return list(zip(self.files, self.chunks, strict=True))


@dataclass(frozen=True)
class Splits:
    """Partition and folds of rows."""

    partitions: list[str | None]
    folds: list[Folds]


@dataclass(frozen=True)
class DataSet:
    """Rows that were found in auDeep's files, and all that is known of them but their features."""

    num_rows: int
    splits: Splits
    label_map: dict[str, int]
    """Label to number, in the order of the numbers; empty where there are no numbers."""
    feature_dims: dict[str, int]
    """Names and sizes of the dimensions of the features."""
    read: Callable[[int, int], Rows]
    """Returns the rows from one up to another."""


def check_rows(rows: Rows, *, where: str) -> None:
    """Raise `TableError` for a row that no table of raudeep and no file of auDeep can hold.

    It has a name, a chunk number from 0, no label's number without a label, and finite features.
    """
    for file, chunk, label, label_id in zip(
        rows.files, rows.chunks, rows.labels, rows.label_ids, strict=True
    ):
        if not file or "\0" in file or "\0" in (label or ""):
            raise TableError(f"{where}: names need characters, NUL not among them. Got {file!r}.")
        if not 0 <= chunk < 2**31:
            raise TableError(f"{where}: chunk numbers are 0, 1, ... {file!r} has {chunk}.")
        if label is None and label_id is not None:
            raise TableError(
                f"{where}: {file!r} has the label number {label_id}, but no label. Add the label."
            )
    finite = np.isfinite(rows.features).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise TableError(
            f"{where}: features must be finite numbers; {int((~finite).sum())} row(s) are not, "
            f"e.g. chunk {rows.chunks[row]} of {rows.files[row]!r}."
        )


def merge_label_maps(maps: Sequence[Mapping[str, int]], *, where: str) -> dict[str, int]:
    """Return one label map, in the order of its numbers.

    Raises
    ------
    TableError
        If a label has two numbers, or a number two labels.
    """
    merged: dict[str, int] = {}
    label_of: dict[int, str] = {}
    for one in maps:
        for label, label_id in one.items():
            if merged.setdefault(label, label_id) != label_id:
                raise TableError(
                    f"{where}: the label {label!r} has the numbers {merged[label]} and {label_id}."
                )
            if label_of.setdefault(label_id, label) != label:
                raise TableError(
                    f"{where}: the labels {label_of[label_id]!r} and {label!r} have the same "
                    f"number {label_id}."
                )
    return dict(sorted(merged.items(), key=lambda item: item[1]))
