"""The rows of a table as items that a PyTorch `DataLoader` takes."""

import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import Dataset

__all__ = ["TableDataset"]


class TableDataset(Dataset[dict[str, Any]]):
    """A map-style dataset: item i is row i as a dict by column.

    A list of float32 is a tensor that shares its memory with the table (do not write to it), a
    spectrogram one of shape (T, F); whatever else a row holds is a plain value. PyTorch's own
    collation takes no None: leave columns out that have any.

    Parameters
    ----------
    table : pa.Table
        With ``bands`` where it has spectrograms.
    hidden : tuple of str
        Columns that items do not have.
    """

    def __init__(self, table: pa.Table, hidden: tuple[str, ...] = ()) -> None:
        self.table = table
        self._hidden = hidden
        self._vectors: dict[str, _Vectors] = {}
        self._plain: list[str] = []
        for field in table.schema:
            if _is_vector(field.type):
                self._vectors[field.name] = _Vectors(table[field.name])
            elif field.name not in hidden:
                self._plain.append(field.name)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(f"the table has {len(self)} rows. Got {index}.")
        item = {name: self.table[name][row].as_py() for name in self._plain}
        for name, vectors in self._vectors.items():
            values = vectors[row]
            if name == "spectrogram":
                values = values.view(-1, self.table["bands"][row].as_py())
            item[name] = values
        return {name: item[name] for name in self.table.column_names if name not in self._hidden}

    def __reduce__(self) -> tuple[Any, ...]:
        return TableDataset, (self.table, self._hidden)  # the tensors are the table's memory


class _Vectors:
    """The lists of a column as tensors, without a copy."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._starts = np.cumsum([0, *(len(chunk) for chunk in column.chunks)])
        self._values = [_tensor(chunk.flatten()) for chunk in column.chunks]
        self._bounds = [_bounds(chunk) for chunk in column.chunks]

    def __getitem__(self, row: int) -> Tensor:
        chunk = int(np.searchsorted(self._starts, row, side="right")) - 1
        bounds, inner = self._bounds[chunk], row - int(self._starts[chunk])
        if isinstance(bounds, int):
            return self._values[chunk][inner * bounds : (inner + 1) * bounds]
        return self._values[chunk][int(bounds[inner]) : int(bounds[inner + 1])]


def _bounds(lists: pa.Array) -> Any:
    """Return the length of all lists, or where each of them begins and the last one ends."""
    if pa.types.is_fixed_size_list(lists.type):
        return int(lists.type.list_size)
    offsets = lists.offsets.to_numpy()
    return offsets - offsets[0]


def _tensor(values: pa.Array) -> Tensor:
    with warnings.catch_warnings():  # that an Arrow array is not to be written to
        warnings.simplefilter("ignore")
        return torch.from_numpy(values.to_numpy(zero_copy_only=True))


def _is_vector(kind: pa.DataType) -> bool:
    lists = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    return bool(lists and pa.types.is_float32(kind.value_type))
