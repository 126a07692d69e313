"""What CSV and ARFF have in common: auDeep's columns, and how cells become rows and back."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.errors import TableError
from raudeep.storage.exchange.rows import TIMES, Rows, check_rows, merge_label_maps

__all__ = ["Cells", "column_names", "format_rows", "parse_features", "parse_rows"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cells:
    """A text file as it was read: the columns that were asked for as text, all others features."""

    texts: Mapping[str, list[str | None]]
    feature_names: list[str]
    features: NDArray[np.float32]
    """Shape (N, E)."""


def column_names(size: int, *, labels_last: bool, times: bool = False) -> list[str]:
    """Return auDeep's columns for features of `size` values, with `times` two more."""
    features = [f"feature_{number}" for number in range(size)]
    keys, labels = ["filename", "chunk_nr"], ["label_nominal", "label_numeric"]
    keys += TIMES if times else ()
    return [*keys, *features, *labels] if labels_last else [*keys, *labels, *features]


def format_rows(
    rows: Rows, *, quote: Callable[[str], str], missing: str, labels_last: bool
) -> bytes:
    """Return rows as lines of comma-separated cells in UTF-8.

    Each feature has the fewest digits that give the same float32 back, each time those that give
    the same float64.

    Parameters
    ----------
    rows : Rows
        The rows, at least one.
    quote : callable
        Returns a text as the format writes it.
    missing : str
        What stands for a missing label or time.
    labels_last : bool
        Put the labels behind the features.
    """
    num_rows, size = rows.features.shape
    values = pa.array(np.ascontiguousarray(rows.features).ravel()).cast(pa.string())
    offsets = pa.array(np.arange(num_rows + 1, dtype=np.int32) * size)
    features = pc.binary_join(pa.ListArray.from_arrays(offsets, values), ",").to_pylist()
    times = [()] * num_rows if rows.times is None else rows.times
    lines = []
    for file, chunk, span, label, label_id, numbers in zip(
        rows.files, rows.chunks, times, rows.labels, rows.label_ids, features, strict=True
    ):
        seconds = (missing if each is None else repr(each) for each in span)
        keys = ",".join([quote(file), str(chunk), *seconds])
        nominal = missing if label is None else quote(label)
        numeric = missing if label_id is None else str(label_id)
        labels = f"{nominal},{numeric}"
        cells = (keys, numbers, labels) if labels_last else (keys, labels, numbers)
        lines.append(",".join(cells) + "\n")
    return "".join(lines).encode()


def parse_features(cells: Sequence[str | None]) -> NDArray[np.float32]:
    """Return texts as the nearest float32; a missing one is NaN.

    Raises
    ------
    ValueError
        If a text is no number.
    """
    # Not through float64, which would round twice.
    numbers = pa.array(cells, pa.string()).cast(pa.float32())
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float32)


def parse_rows(cells: Cells, attributes: Sequence[str], *, where: str) -> Rows:
    """Return what was read as rows; with times where it has columns `TIMES`.

    Parameters
    ----------
    cells : Cells
        The columns of a file.
    attributes : sequence of str, length 4
        Names of the columns with recording, chunk, label and number of the label. All but the
        label may be missing: recordings are named after their file and row, chunks are 0.
    where : str
        Names the file.

    Raises
    ------
    TableError
        If there is no column of labels or of features, or a cell is not what its column holds.
    """
    filename, chunk_nr, nominal, numeric = attributes
    num_rows = len(cells.features)
    if nominal not in cells.texts:
        raise TableError(
            f"{where}: there is no column {nominal!r} of labels. Name another one with "
            "--label-nominal-attribute."
        )
    if not cells.feature_names:
        raise TableError(f"{where}: there is no column of features.")
    files = cells.texts.get(filename)
    if files is None:
        logger.warning("%s: there is no column %r; rows are named after the file", where, filename)
        files = [f"{where}/{row:06d}" for row in range(num_rows)]
    chunks = _integers(cells.texts.get(chunk_nr), num_rows, name=chunk_nr, where=where)
    rows = Rows(
        [file or "" for file in files],
        [chunk or 0 for chunk in chunks],
        list(cells.texts[nominal]),
        _integers(cells.texts.get(numeric), num_rows, name=numeric, where=where),
        cells.features,
        _times(cells, where=where),
    )
    check_rows(rows, where=where)
    named_by_number = [
        {label: label_id}
        for label, label_id in set(zip(rows.labels, rows.label_ids, strict=True))
        if label is not None and label_id is not None
    ]
    merge_label_maps(named_by_number, where=where)
    return rows


def _times(cells: Cells, *, where: str) -> list[tuple[float | None, float | None]] | None:
    """Return the seconds of each chunk, None where there is no column for them."""
    if not {*TIMES} & cells.texts.keys():
        return None
    columns = []
    for name in TIMES:
        try:
            seconds = pa.array(cells.texts.get(name), pa.string()).cast(pa.float64())
        except pa.ArrowInvalid as error:
            raise TableError(f"{where}: the column {name!r} must hold seconds: {error}") from error
        columns.append(seconds.to_pylist())
    return [*zip(*columns, strict=True)]


def _integers(
    cells: Sequence[str | None] | None, num_rows: int, *, name: str, where: str
) -> list[int | None]:
    """Return a column as whole numbers, which other programs may write as 1.0."""
    numbers: list[int | None] = []
    for cell in [None] * num_rows if cells is None else cells:
        try:
            number = None if cell is None else float(cell)
            whole = None if number is None else int(number)
        except (OverflowError, ValueError):
            number, whole = 0.5, 0
        if number != whole:
            raise TableError(f"{where}: the column {name!r} must hold whole numbers. Got {cell!r}.")
        numbers.append(whole)
    return numbers
