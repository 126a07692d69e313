"""Vectors and spectrograms in the shape that they have, where a table holds them as flat lists."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.schema import read_metadata

__all__ = ["SPECTROGRAM", "as_nested_lists", "as_tensors", "shapes_of", "spectrogram_cells"]

SPECTROGRAM = "spectrogram"


def shapes_of(schema: pa.Schema) -> dict[str, tuple[int, ...]]:
    """Return the shape of what each cell holds, for columns in which it is one and the same.

    It is (E,) of vectors and (T, F) of spectrograms.
    """
    stored = read_metadata(schema).get("shape") or []
    shapes: dict[str, tuple[int, ...]] = {}
    for field in schema:
        if pa.types.is_fixed_size_list(field.type) and pa.types.is_float32(field.type.value_type):
            size = field.type.list_size
            is_shaped = field.name == SPECTROGRAM and None not in stored
            shapes[field.name] = tuple(stored) if is_shaped and stored else (size,)
            assert math.prod(shapes[field.name]) == size
    return shapes


def as_tensors(table: pa.Table, shapes: Mapping[str, tuple[int, ...]]) -> pa.Table:
    """Return a table with Arrow's tensors in place of lists, which Ray hands out as arrays."""
    for name, shape in shapes.items():
        if name in table.column_names:
            kind = pa.fixed_shape_tensor(pa.float32(), shape)
            lists = table[name].combine_chunks().cast(kind.storage_type)
            tensors = pa.ExtensionArray.from_storage(kind, lists)
            table = table.set_column(table.column_names.index(name), name, tensors)
    return table


def as_nested_lists(table: pa.Table) -> pa.Table:
    """Return a table in which a spectrogram is a list of frames, if all have equally many bands."""
    bands = pc.unique(table["bands"])
    if len(bands) != 1:
        return table
    lists = table[SPECTROGRAM].combine_chunks()
    frames = pa.FixedSizeListArray.from_arrays(lists.flatten(), bands[0].as_py())
    if pa.types.is_fixed_size_list(lists.type):
        size = lists.type.list_size // bands[0].as_py()
        nested = pa.FixedSizeListArray.from_arrays(frames, size)
    else:
        lengths = np.concatenate([[0], table["frames"].to_numpy()])
        nested = pa.ListArray.from_arrays(pa.array(np.cumsum(lengths), pa.int32()), frames)
    return table.set_column(table.column_names.index(SPECTROGRAM), SPECTROGRAM, nested)


def spectrogram_cells(table: pa.Table) -> list[Any]:
    """Return the spectrograms of a table as arrays (T, F)."""
    lists = table[SPECTROGRAM].combine_chunks()
    values = lists.flatten().to_numpy(zero_copy_only=False)
    shapes = list(zip(table["frames"].to_pylist(), table["bands"].to_pylist(), strict=True))
    ends = np.cumsum([frames * bands for frames, bands in shapes], dtype=np.int64)
    return [
        values[end - frames * bands : end].reshape(frames, bands)
        for end, (frames, bands) in zip(ends, shapes, strict=True)
    ]
