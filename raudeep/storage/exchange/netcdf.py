"""netCDF data sets as auDeep writes them: one variable for each column, rows along ``instance``.

``filename``, ``chunk_nr``, ``label_nominal``, ``label_numeric``, ``cv_folds`` (instance x fold),
``partition`` and ``features`` (instance x feature dimensions); the attributes ``feature_dims`` and
``label_map`` are JSON. A missing number is -999999, a missing text is empty. Reading them is in
`raudeep.storage.exchange.netcdf_reader`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from raudeep.errors import TableError
from raudeep.schema import PARTITIONS
from raudeep.storage.exchange.rows import Rows, Splits

__all__ = ["MISSING", "NetcdfWriter", "import_packages", "write_netcdf"]

MISSING = -999999


@dataclass(frozen=True)
class NetcdfWriter:
    """Fills the variables of a data set."""

    file: Any

    def write(self, start: int, rows: Rows, splits: Splits) -> None:
        """Write rows from row `start` on."""
        end = start + len(rows.files)
        texts = {"filename": rows.files, "label_nominal": [label or "" for label in rows.labels]}
        numbers = {
            "chunk_nr": rows.chunks,
            "label_numeric": [MISSING if n is None else n for n in rows.label_ids],
            "partition": [MISSING if p is None else PARTITIONS.index(p) for p in splits.partitions],
        }
        for name, values in texts.items():
            self.file[name][start:end] = np.array(values, dtype=object)
        for name, integers in numbers.items():
            self.file[name][start:end] = np.array(integers, np.int64)
        features = self.file["features"]
        features[start:end] = rows.features.reshape(-1, *features.shape[1:])
        if num_folds := self.file["cv_folds"].shape[1]:
            nowhere = [None] * num_folds
            roles = [nowhere if folds is None else folds for folds in splits.folds]
            self.file["cv_folds"][start:end] = np.array(
                [[MISSING if role is None else role for role in row] for row in roles], np.int64
            )


@contextmanager
def write_netcdf(
    path: str,
    *,
    num_rows: int,
    num_folds: int,
    feature_dims: Mapping[str, int],
    label_map: Mapping[str, int],
) -> Iterator[NetcdfWriter]:
    """Make a data set on this machine and give a writer for its rows.

    Parameters
    ----------
    path : str
        Where the file goes.
    num_rows, num_folds : int
        Sizes of the dimensions ``instance`` and ``fold``.
    feature_dims : mapping of name to size
        Dimensions of the features, such as ``time`` and ``freq``.
    label_map : mapping of label to number
        All labels; empty for a data set without labels.

    Raises
    ------
    TableError
        If the packages that write it are not installed.
    """
    h5netcdf, h5py = import_packages()
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"instance": num_rows, "fold": num_folds, **feature_dims}
        for name in ("filename", "label_nominal"):
            file.create_variable(name, ("instance",), dtype=h5py.string_dtype())
        for name in ("chunk_nr", "label_numeric", "partition"):
            file.create_variable(name, ("instance",), dtype="i8")
        file.create_variable("cv_folds", ("instance", "fold"), dtype="i8")
        file.create_variable("features", ("instance", *feature_dims), dtype="f4")
        file.attrs["feature_dims"] = json.dumps(list(feature_dims))
        if label_map:
            file.attrs["label_map"] = json.dumps(list(label_map.items()))
        yield NetcdfWriter(file)


def import_packages() -> tuple[Any, Any]:
    """Return h5netcdf and h5py, or raise `TableError` with the command that installs them."""
    try:
        return import_module("h5netcdf"), import_module("h5py")
    except ImportError as error:
        raise TableError(
            "netCDF needs the packages h5netcdf and h5py. Install them: "
            "pip install 'raudeep[netcdf]'."
        ) from error
