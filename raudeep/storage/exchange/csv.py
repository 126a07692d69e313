"""CSV as auDeep writes it: one header line, then a line for each chunk."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from raudeep.errors import TableError
from raudeep.storage.exchange.rows import Rows
from raudeep.storage.exchange.text import Cells, column_names, format_rows

__all__ = ["csv_header", "csv_rows", "read_csv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_BLOCK_BYTES = 64 * 2**20  # a line must fit into one


def csv_header(size: int, *, labels_last: bool, times: bool = False) -> bytes:
    """Return the header line for features of `size` values."""
    return (",".join(column_names(size, labels_last=labels_last, times=times)) + "\n").encode()


def csv_rows(rows: Rows, *, labels_last: bool, escape_formulas: bool = False) -> bytes:
    """Return rows as lines; a missing label is an empty cell, an empty label is ``""``.

    With `escape_formulas`, a text that a spreadsheet would take for a formula begins with ``'``.
    """
    quote = _quote_formula if escape_formulas else _quote
    return format_rows(rows, quote=quote, missing="", labels_last=labels_last)


def read_csv(file: Any, attributes: Sequence[str], *, where: str) -> Cells:
    """Return the columns of a CSV file with a header.

    Parameters
    ----------
    file : file object
        Open for reading bytes.
    attributes : sequence of str
        Columns to keep as text, where they exist; all others are features.
    where : str
        Names the file.

    Raises
    ------
    TableError
        If it is no such file, or a feature is no number.
    """
    try:
        return _read(file, attributes, where)
    except (pa.ArrowException, OSError, UnicodeError, csv.Error) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise TableError(f"{where} cannot be read as CSV: {reason[:200]}") from error


def _read(file: Any, attributes: Sequence[str], where: str) -> Cells:
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    names = next(csv.reader(text), [])
    text.detach().seek(0)
    if not names:
        raise TableError(f"{where} cannot be read as CSV: it has no line with the columns.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TableError(f"{where}: the column {twice!r} appears more than once.")
    feature_names = [name for name in names if name not in attributes]
    convert = pa.csv.ConvertOptions(
        column_types={name: pa.string() if name in attributes else pa.float32() for name in names},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    texts: dict[str, list[str | None]] = {name: [] for name in names if name in attributes}
    features = [np.empty((0, len(feature_names)), np.float32)]
    with pa.csv.open_csv(
        file,
        read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=convert,
    ) as reader:
        for batch in reader:
            for name, cells in texts.items():
                cells.extend(batch[name].to_pylist())
            columns = [batch[name].to_numpy(zero_copy_only=False) for name in feature_names]
            if columns:
                features.append(np.stack(columns, axis=1))
    return Cells(texts, feature_names, np.concatenate(features))


def _quote_formula(text: str) -> str:
    return _quote(f"'{text}" if text.startswith(_FORMULA) else text)


def _quote(text: str) -> str:
    if text and not {",", '"', "\n", "\r"} & set(text):
        return text
    return '"' + text.replace('"', '""') + '"'
