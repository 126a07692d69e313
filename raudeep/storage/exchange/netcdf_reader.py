"""Reading auDeep's netCDF data sets; the format is described in `raudeep.storage.exchange.netcdf`.

Only the variable ``features`` must be there. Missing numbers may also be NaN.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import TableError
from raudeep.foreign import blamed, parse_json
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

_TEXTS = ("filename", "label_nominal")
_NUMBERS = {"chunk_nr": 1, "label_numeric": 1, "partition": 1, "cv_folds": 2}
"""Dimensions of the variables of numbers, which need not be there, as those of texts."""
_VARIABLES = ("features", *_TEXTS, *_NUMBERS)
_ROWS_AT_ONCE = 1024  # many rows may share one long text
_LITTLE = 512 * 2**20  # bytes that are taken whatever the size of a file
_MOST_COMPRESSED = 100
_BYTES_OF_ROW = 500  # of its names and numbers as Python's objects


@contextmanager
def open_netcdf(file: Any, *, where: str) -> Iterator[DataSet]:
    """Open a data set and check all but its features, which are checked as they are read.

    Nothing is read that lies in another file, as HDF5's external links, external storage and
    virtual data sets do.

    Parameters
    ----------
    file : str or file object
        A path, or a file that is open for reading bytes.
    where : str
        Names the file; rows without a name are named after it.

    Raises
    ------
    TableError
        If it is no netCDF 4 file, has no features, claims far more than its size can hold, or
        breaks a rule of the format.
    """
    h5netcdf, h5py = import_packages()
    said = f"{where} cannot be read as netCDF 4"
    with blamed(said), h5py.File(file, "r") as plain:
        _check_contents(plain, h5py, where)
    with ExitStack() as stack:
        with blamed(said):
            opened = stack.enter_context(h5netcdf.File(file, "r"))
        with blamed(f"{where} is no data set of auDeep"):
            stored = _stored(opened, where)
        yield _data_set(stored, where)


def _check_contents(file: Any, h5py: Any, where: str) -> None:
    """Refuse what lies in other files, and variables much larger than the file could hold."""
    claimed = 0
    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise TableError(f"{where}: {name!r} is a link, which is not followed. Copy the data.")
        if name not in _VARIABLES:
            continue
        variable = file[name]
        if not isinstance(variable, h5py.Dataset):
            raise TableError(f"{where}: {name!r} must be a variable.")
        properties = variable.id.get_create_plist()
        external = properties.get_layout() != h5py.h5d.VIRTUAL and properties.get_external_count()
        if variable.is_virtual or external:
            raise TableError(
                f"{where}: the values of {name!r} lie in other files, which are not read. Copy "
                "them into this one."
            )
        claimed += math.prod(variable.shape or ()) * variable.dtype.itemsize
        if name == "features":
            claimed += _BYTES_OF_ROW * (variable.shape or (0,))[0]
    size = file.id.get_filesize()
    if claimed > max(_LITTLE, _MOST_COMPRESSED * size):
        raise TableError(
            f"{where} has {size} bytes and claims to hold {claimed}; it is not read. Make it again."
        )


@dataclass(frozen=True)
class _Stored:
    """The content of a file, of the types that the format has, but for the features."""

    num_rows: int
    texts: dict[str, list[str]]
    numbers: dict[str, NDArray[Any]]
    label_map: list[tuple[str, int]]
    feature_dims: dict[str, int]
    read: Callable[[int, int], NDArray[np.float32]]


def _stored(opened: Any, where: str) -> _Stored:
    """Return what lies in a file that is open."""
    if "features" not in opened.variables:
        raise TableError(f"{where} is no data set of auDeep: it has no variable 'features'.")
    features = opened["features"]
    num_rows = int(features.shape[0])
    if features.dtype.kind not in "fiu":
        raise TableError(f"{where}: features must be numbers. Got {features.dtype}.")

    def read(start: int, end: int) -> NDArray[np.float32]:
        with blamed(f"{where} cannot be read"):
            return np.asarray(features[start:end], np.float32).reshape(end - start, -1)

    def column(name: str) -> NDArray[Any]:
        variable = opened[name]
        found = variable.shape[0] if variable.shape else 1
        if found != num_rows:
            raise ValueError(f"{name!r} has {found} rows, 'features' has {num_rows}")
        starts = range(0, num_rows, _ROWS_AT_ONCE)
        blocks = [np.asarray(variable[start : start + _ROWS_AT_ONCE]) for start in starts]
        return np.concatenate(blocks or [np.empty(variable.shape)])

    numbers = {name: column(name) for name in _NUMBERS if name in opened.variables}
    for name, values in numbers.items():
        if values.dtype.kind not in "fiu" or values.ndim != _NUMBERS[name]:
            raise ValueError(f"{name!r} is of {values.ndim} dimensions and {values.dtype}")
    texts = {name: _texts(column(name)) for name in _TEXTS if name in opened.variables}
    said = f"{where} is no data set of auDeep: its label_map"
    pairs = parse_json(bytes(opened.attrs.get("label_map", "[]"), "utf-8"), said)
    return _Stored(
        num_rows,
        texts,
        numbers,
        [(str(label), int(number)) for label, number in pairs],
        dict(zip(features.dimensions[1:], features.shape[1:], strict=True)),
        read,
    )


def _data_set(stored: _Stored, where: str) -> DataSet:
    """Return what a file holds, checked."""
    num_rows, nothing = stored.num_rows, [""] * stored.num_rows
    integers = {
        name: _integers(values, where)
        for name, values in stored.numbers.items()
        if values.ndim == 1
    }
    unknown: list[int | None] = [None] * num_rows
    files = stored.texts.get("filename", nothing)
    if not any(files):
        logger.warning("%s: there are no file names; rows are named after the data set", where)
        files = [f"{where}/{row:06d}" for row in range(num_rows)]
    chunks = [chunk or 0 for chunk in integers.get("chunk_nr", unknown)]
    seen: set[tuple[str, int]] = set()
    for key in zip(files, chunks, strict=True):
        if key in seen:
            raise TableError(f"{where}: chunk {key[1]} of {key[0]!r} appears twice.")
        seen.add(key)
    label_map = dict(stored.label_map)
    labels, label_ids = _labels(
        stored.texts.get("label_nominal", nothing),
        integers.get("label_numeric", unknown),
        label_map,
        where,
    )
    numbered = [
        {label: label_id}
        for label, label_id in set(zip(labels, label_ids, strict=True))
        if label is not None and label_id is not None
    ]
    splits = Splits(
        _partitions(integers.get("partition", unknown), where),
        _folds(stored.numbers.get("cv_folds"), num_rows, where),
    )

    def read(start: int, end: int) -> Rows:
        span = slice(start, end)
        rows = Rows(
            files[span], chunks[span], labels[span], label_ids[span], stored.read(start, end)
        )
        check_rows(rows, where=where)
        return rows

    return DataSet(
        num_rows=num_rows,
        splits=splits,
        label_map=merge_label_maps([label_map, *numbered], where=where),
        feature_dims=stored.feature_dims,
        read=read,
    )


def _texts(values: NDArray[Any]) -> list[str]:
    """Return a column of texts; what is none, or cannot be written again, is a ValueError."""
    if values.ndim == 2:  # text of a fixed length, a character in each cell
        values = np.array([b"".join(row).rstrip(b"\0") for row in values], dtype=object)
    texts = [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]
    for text in texts:
        if not isinstance(text, str):
            raise ValueError(f"a name is a text. Got {text!r:.80}")
        text.encode()
    return texts


def _integers(values: NDArray[Any], where: str) -> list[int | None]:
    missing = np.isnan(values) | (values == MISSING)
    if not (np.isfinite(values) & (np.trunc(values) == values) | missing).all():
        raise TableError(f"{where}: numbers of chunks, labels and partitions must be whole.")
    pairs = zip(values.tolist(), missing.tolist(), strict=True)
    return [None if is_missing else int(value) for value, is_missing in pairs]


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
