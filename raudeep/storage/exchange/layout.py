"""Folders of CSV and ARFF files: which rows lie where, and what that says about their splits.

``NAME.csv`` without partitions and folds, ``train/NAME.csv`` with partitions, ``fold_1/NAME.csv``
with folds, ``train/fold_1/NAME.csv`` with both. The file of a fold holds the rows that are valid
in it; the rows of all other folds train. A row without folds lies one level up.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raudeep.errors import TableError
from raudeep.schema import PARTITIONS
from raudeep.storage.exchange.rows import Folds, Rows, Splits

__all__ = ["Place", "folds_of", "join_places", "parse_place"]

_FOLD = re.compile(r"fold_([1-9]\d{0,5})")


@dataclass(frozen=True)
class Place:
    """A folder of the layout."""

    partition: str | None = None
    fold: int | None = None
    """From 1."""

    @property
    def order(self) -> tuple[int, int]:
        """What places are sorted by: train, devel, test, then the folds by number."""
        return (PARTITIONS.index(self.partition) + 1 if self.partition else 0, self.fold or 0)

    def path(self, file_name: str) -> str:
        """Return the path of a file in this folder, relative to the whole."""
        fold = None if self.fold is None else f"fold_{self.fold}"
        return "/".join(name for name in (self.partition, fold, file_name) if name is not None)


def parse_place(path: str) -> tuple[Place, str] | None:
    """Return the place of a file and its name, or None for a path that is not of the layout."""
    *folders, name = path.split("/")
    partition = folders.pop(0) if folders and folders[0] in PARTITIONS else None
    fold = _FOLD.fullmatch(folders.pop(0)) if folders else None
    place = Place(partition, int(fold[1]) if fold else None)
    return (place, name) if place.path(name) == path else None


def folds_of(file: str, folds: Folds) -> list[int | None]:
    """Return the folds, from 1, in whose files a row lies; ``[None]`` for a row without folds.

    Raises
    ------
    TableError
        If the files could not tell its folds: it is valid in none, or neither valid nor training
        in some but not in all.
    """
    if folds is None or all(role is None for role in folds):
        return [None]
    valid: list[int | None] = [fold for fold, role in enumerate(folds, start=1) if role == 1]
    if not valid or None in folds:
        raise TableError(
            f"CSV and ARFF hold a fold as its validation rows; {file!r} has the roles "
            f"{list(folds)}, which these cannot tell. Export netCDF, or remove the folds."
        )
    return valid


def join_places(found: Sequence[tuple[Place, str, Rows]]) -> tuple[Rows, Splits]:
    """Return the rows of all files, each once, with the splits that their places tell.

    Parameters
    ----------
    found : sequence of (place, path, rows)
        The files; a path names a file in messages.

    Returns
    -------
    rows : Rows
        Those of a single file in its order, those of several sorted by recording and chunk.
    splits : Splits
        Their partitions and folds.

    Raises
    ------
    TableError
        If a fold is missing, a chunk is twice in a file or in two partitions, or it differs
        between the files of two folds.
    """
    num_folds = _check_folds({place.fold for place, _, _ in found if place.fold is not None})
    first: dict[tuple[str, int], tuple[Place, str, Rows, int]] = {}
    valid: dict[tuple[str, int], list[int | None]] = {}
    for place, path, rows in found:
        for row, key in enumerate(rows.keys):
            before = first.setdefault(key, (place, path, rows, row))
            if before[3] != row or before[2] is not rows:
                _check_repeated(key, before, (place, path, rows, row), valid[key])
            valid.setdefault(key, []).append(place.fold)
    keys = list(first) if len(found) == 1 else sorted(first)
    firsts = [first[key] for key in keys]
    splits = Splits(
        [place.partition for place, _, _, _ in firsts],
        [_roles(valid[key], num_folds) for key in keys],
    )
    joined = Rows(
        [file for file, _ in keys],
        [chunk for _, chunk in keys],
        [rows.labels[row] for _, _, rows, row in firsts],
        [rows.label_ids[row] for _, _, rows, row in firsts],
        np.stack([rows.features[row] for _, _, rows, row in firsts])
        if keys
        else found[0][2].features,
        None
        if any(rows.times is None for _, _, rows in found)
        else [rows.times[row] for _, _, rows, row in firsts if rows.times],
    )
    return joined, splits


def _check_folds(folds: set[int]) -> int:
    if folds != set(range(1, len(folds) + 1)):
        raise TableError(
            "the folders of folds must be fold_1, fold_2, ... without a gap. Got "
            f"{', '.join(f'fold_{fold}' for fold in sorted(folds)[:20])}."
        )
    return len(folds)


def _check_repeated(
    key: tuple[str, int],
    before: tuple[Place, str, Rows, int],
    again: tuple[Place, str, Rows, int],
    valid: list[int | None],
) -> None:
    """Raise unless a chunk may lie in a second file, as one that is valid in two folds does."""
    (place, path, rows, row), (other_place, other_path, other, other_row) = before, again
    chunk = f"chunk {key[1]} of {key[0]!r}"
    if place.partition != other_place.partition:
        raise TableError(f"{chunk} is in two partitions: in {path} and in {other_path}.")
    if None in (place.fold, other_place.fold) or other_place.fold in valid:
        raise TableError(
            f"{chunk} is twice in {path}."
            if path == other_path
            else f"{chunk} is in {path} and in {other_path}."
        )
    if (rows.labels[row], rows.label_ids[row]) != (
        other.labels[other_row],
        other.label_ids[other_row],
    ) or not np.array_equal(rows.features[row], other.features[other_row]):
        raise TableError(f"{chunk} is not the same in {path} and in {other_path}.")


def _roles(valid: Sequence[int | None], num_folds: int) -> Folds:
    if None in valid:
        return None
    return [int(fold in valid) for fold in range(1, num_folds + 1)]
