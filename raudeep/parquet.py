"""Opens Parquet files that others may have written: runs no code, and checks sizes first.

A few bytes can stand for any number of rows, and for texts of any length, so that what is read is
compared with the size of the file, first as its footer claims, then as it comes.
"""

import base64
import io
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["footer_of", "open_parquet", "read_rows", "size_of"]

_LITTLE = 512 * 2**20  # bytes in memory that any file may take
_MOST_COMPRESSED = 100  # times its size, beyond that
_ROWS_AT_ONCE = 4096
_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "FLOAT": 4}  # bytes; others take 8 or more
# Ray registers types with PyArrow for the whole process. Their values are pickles, and in some
# versions their descriptions, too.
_CODE = b"ray.data."


def footer_of(file: Any) -> Any:
    """Return the metadata of a Parquet file.

    Raises
    ------
    Exception
        Whatever PyArrow raises of a damaged file, as the other functions do: call them where that
        is `blamed`. `ArrowInvalid` if it is of types that can hold code.
    """
    footer = pq.read_metadata(file)
    described = base64.b64decode((footer.metadata or {}).get(b"ARROW:schema", b""))
    if _CODE in described:
        raise pa.ArrowInvalid("a column is of a type of Ray's that can hold code; write plain ones")
    return footer


def open_parquet(file: Any, *, footer: Any = None, **options: Any) -> pq.ParquetFile:
    """Return a file that is opened with PyArrow's `options`."""
    return pq.ParquetFile(file, metadata=footer or footer_of(file), **options)


def read_rows(
    parquet: pq.ParquetFile, size: int, *, columns: Sequence[str] | None = None, **options: Any
) -> pa.Table:
    """Return the rows of a file.

    Parameters
    ----------
    parquet : ParquetFile
        As `open_parquet` gives it.
    size : int
        Bytes of the file.
    columns : sequence of str, optional
        Only these, in this order; a member of a struct is ``struct.member``.
    options
        Those of PyArrow's `iter_batches`, such as ``row_groups``.

    Raises
    ------
    ArrowInvalid
        If it holds far more than files of its size do, or lacks a column.
    """
    most = max(_LITTLE, _MOST_COMPRESSED * size)
    if (claimed := _claimed(parquet.metadata, columns, options.get("row_groups"))) > most:
        raise pa.ArrowInvalid(f"it has {size} bytes and claims to hold {claimed}")
    wanted = None if columns is None else list(columns)
    batches, taken = [], 0
    for batch in parquet.iter_batches(_ROWS_AT_ONCE, columns=wanted, **options):
        taken += batch.nbytes
        if taken > most:
            raise pa.ArrowInvalid(f"it has {size} bytes and holds more than {most}")
        batches.append(batch)
    table = pa.Table.from_batches(batches) if batches else parquet.read(columns=wanted)
    if wanted is None:
        return table
    chosen = dict.fromkeys(name.partition(".")[0] for name in wanted)
    if missing := [name for name in chosen if name not in table.column_names]:
        raise pa.ArrowInvalid(f"it has no column {missing[0]!r}")
    return table.select(list(chosen))


def size_of(file: Any) -> int:
    """Return the bytes of a file that is open, from whose start it is read on."""
    size = int(file.seek(0, io.SEEK_END))
    file.seek(0)
    return size


def _claimed(footer: Any, columns: Sequence[str] | None, groups: Sequence[int] | None) -> int:
    """Return the bytes that columns take in memory, by what a footer says."""
    claimed = 0
    for number in range(footer.num_row_groups) if groups is None else groups:
        group = footer.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            path = column.path_in_schema
            if columns is None or any(f"{path}.".startswith(f"{name}.") for name in columns):
                width = _WIDTHS.get(column.physical_type, 8)
                claimed += max(column.total_uncompressed_size, column.num_values * width)
    return claimed
