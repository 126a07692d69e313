"""Reading auDeep's netCDF data sets; the format is described in `raudeep.storage.exchange.netcdf`.

Only the variable ``features`` must be there. Missing numbers may also be NaN.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import TableError
from raudeep.schema import PARTITIONS
from raudeep.storage.exchange.netcdf import MISSING, import_packages
from raudeep.storage.exchange.rows import (
    DataSet,
    Folds,
    Rows,
    Splits,
    check_rows,
    merge_label_maps,
)

__all__ = ["open_netcdf"]

logger = logging.getLogger(__name__)


@contextmanager
def open_netcdf(file: Any, *, where: str) -> Iterator[DataSet]:
    """Open a data set and check all but its features, which are checked as they are read.

    Parameters
    ----------
    file : str or file object
        A path, or a file that is open for reading bytes.
    where : str
        Names the file; rows without a name are named after it.

    Raises
    ------
    TableError
        If it is no netCDF 4 file, has no features, or breaks a rule of the format.
    """
    h5netcdf, _ = import_packages()
    try:
        opened = h5netcdf.File(file, "r")
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TableError(f"{where} cannot be read as netCDF 4: {reason}") from error
    with opened:
        try:
            data = _read(opened, where)
        except (IndexError, KeyError, OSError, TypeError, ValueError) as error:
            raise TableError(f"{where} is no data set of auDeep: {error}") from error
        yield data


def _read(opened: Any, where: str) -> DataSet:
    if "features" not in opened.variables:
        raise TableError(f"{where} is no data set of auDeep: it has no variable 'features'.")
    features = opened["features"]
    num_rows = features.shape[0]

    def column(name: str) -> NDArray[Any] | None:
        if name not in opened.variables:
            return None
        values = np.asarray(opened[name][...])
        if len(values) != num_rows:
            raise ValueError(f"{name!r} has {len(values)} rows, 'features' has {num_rows}")
        return values

    files = _texts(column("filename"), num_rows)
    if not any(files):
        logger.warning("%s: there are no file names; rows are named after the data set", where)
        files = [f"{where}/{row:06d}" for row in range(num_rows)]
    chunks = [chunk or 0 for chunk in _integers(column("chunk_nr"), num_rows)]
    seen: set[tuple[str, int]] = set()
    for key in zip(files, chunks, strict=True):
        if key in seen:
            raise TableError(f"{where}: chunk {key[1]} of {key[0]!r} appears twice.")
        seen.add(key)
    label_map = _label_map(opened)
    labels, label_ids = _labels(
        _texts(column("label_nominal"), num_rows),
        _integers(column("label_numeric"), num_rows),
        label_map,
        where,
    )
    numbered = [
        {label: label_id}
        for label, label_id in set(zip(labels, label_ids, strict=True))
        if label is not None and label_id is not None
    ]
    splits = Splits(
        _partitions(_integers(column("partition"), num_rows), where),
        _folds(column("cv_folds"), num_rows, where),
    )

    def read(start: int, end: int) -> Rows:
        span = slice(start, end)
        values = np.asarray(features[span], np.float32).reshape(end - start, -1)
        rows = Rows(files[span], chunks[span], labels[span], label_ids[span], values)
        check_rows(rows, where=where)
        return rows

    return DataSet(
        num_rows=num_rows,
        splits=splits,
        label_map=merge_label_maps([label_map, *numbered], where=where),
        feature_dims=dict(zip(features.dimensions[1:], features.shape[1:], strict=True)),
        read=read,
    )


def _texts(values: NDArray[Any] | None, num_rows: int) -> list[str]:
    if values is None:
        return [""] * num_rows
    if values.ndim == 2:  # text of a fixed length, a character in each cell
        values = np.array([b"".join(row).rstrip(b"\0") for row in values], dtype=object)
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _integers(values: NDArray[Any] | None, num_rows: int) -> list[int | None]:
    if values is None:
        return [None] * num_rows
    return [None if np.isnan(value) or value == MISSING else int(value) for value in values]


def _label_map(opened: Any) -> dict[str, int]:
    pairs = json.loads(opened.attrs.get("label_map", "[]"))
    return {str(label): int(number) for label, number in pairs}


def _labels(
    texts: Sequence[str], numbers: Sequence[int | None], label_map: Mapping[str, int], where: str
) -> tuple[list[str | None], list[int | None]]:
    """Return labels and their numbers; with a label map the number follows from the label."""
    # An empty text is a label only where it has a number.
    labels = [
        text if text or (number is not None and label_map.get("") == number) else None
        for text, number in zip(texts, numbers, strict=True)
    ]
    if label_map and (extra := {*labels} - {*label_map, None}):
        raise TableError(f"{where}: the label {extra.pop()!r} is not in the label map.")
    label_ids = [
        label_map.get(label) if number is None and label is not None else number
        for label, number in zip(labels, numbers, strict=True)
    ]
    return labels, label_ids


def _partitions(codes: Sequence[int | None], where: str) -> list[str | None]:
    if outside := {*codes} - {*range(len(PARTITIONS)), None}:
        raise TableError(f"{where}: a partition is 0, 1 or 2. Got {outside.pop()}.")
    return [None if code is None else PARTITIONS[code] for code in codes]


def _folds(values: NDArray[Any] | None, num_rows: int, where: str) -> list[Folds]:
    if values is None or not values.size:
        return [None] * num_rows
    missing = np.isnan(values) | (values == MISSING)
    if outside := {*values[~missing].tolist()} - {0, 1}:
        raise TableError(
            f"{where}: a role in a fold is 0 (train) or 1 (valid). Got {outside.pop()}."
        )
    rows = np.where(missing, -1, values).astype(np.int8).tolist()
    folds = [[None if role < 0 else role for role in row] for row in rows]
    return [None if all(role is None for role in row) else row for row in folds]
