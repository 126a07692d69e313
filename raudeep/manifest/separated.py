"""Text files with a line for each row: CSV and TSV, also as spreadsheet programs write them.

Excel saves text as Windows-1252 with semicolons, or as UTF-16 with tabs; both are read.
"""

import codecs
import csv
import io
import logging
import re
from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from raudeep.errors import ManifestError

__all__ = ["as_utf8", "find_separator", "header_of", "read_separated", "read_text_columns"]

logger = logging.getLogger(__name__)

_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",  # begins as the next one does
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_SEPARATORS = ",;\t|"
_SEPARATOR_LINE = re.compile(r'"?sep=[,;|\t]"?\r?\n')  # Excel's own, before the header
_LONGEST_HEADER = 2**20
_DECIMAL_COMMA = r"^(\s*[+-]?\d+),(\d+\s*)$"


def read_text_columns(
    content: bytes, wanted: Sequence[str], *, delimiter: str = ","
) -> tuple[pa.Table, list[str]]:
    """Return the `wanted` columns of a CSV as text, and the names of its other columns.

    Only an empty cell is null: labels such as ``NA`` or ``007`` are kept as they are written.

    Raises
    ------
    pa.ArrowException
        If it is no such table.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    names = header_of(content, delimiter)
    chosen = [name for name in names if name in wanted]
    table = _read(
        content, pa.csv.ParseOptions(newlines_in_values=True, delimiter=delimiter), chosen
    )
    if not chosen:  # then all are read, and what they are called need not be text
        table = table.rename_columns(names)
    return table, [name for name in names if name not in wanted]


def as_utf8(content: bytes, name: str) -> bytes:
    """Return a text file as UTF-8 without a byte order mark, from any common encoding.

    What has no mark and is no UTF-8 is taken for Windows-1252, with a line.

    Raises
    ------
    ManifestError
        If it is no text.
    """
    encoding, start = "utf-8", 0
    for mark, marked in _MARKS.items():
        if content.startswith(mark):
            encoding, start = marked, len(mark)
            break
    else:
        if content[:2].count(0) == 1:  # the first character has one byte that is zero
            encoding = "utf-16-be" if content[0] == 0 else "utf-16-le"
    try:
        text = str(memoryview(content)[start:], encoding)
    except UnicodeDecodeError:
        text = _as_windows_1252(content, name)
    if "\0" in text:
        raise ManifestError(f"{name}: no text file: it has characters that are zero.")
    line = _SEPARATOR_LINE.match(text)
    return text[line.end() if line else 0 :].encode()


def _as_windows_1252(content: bytes, name: str) -> str:
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError as error:
        raise ManifestError(
            f"{name}: the text is not UTF-8, nor Windows-1252. Save it as UTF-8."
        ) from error
    example = next(word for word in re.split(r"[\s,;|]+", text) if not word.isascii())
    logger.warning(
        "%s: the text is not UTF-8; read as Windows-1252, e.g. %r. Save it as UTF-8 if that is "
        "wrong.",
        *(name, example[:40]),
    )
    return text


def header_of(content: bytes, separator: str) -> list[str]:
    """Return the cells of the first line of a text in UTF-8.

    Raises
    ------
    pa.ArrowException
        If there is none.
    """
    text = content[:_LONGEST_HEADER].decode(errors="ignore")
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        return next((row for row in rows if row), [])
    except csv.Error as error:
        raise pa.ArrowInvalid(f"the first line is no header: {error}") from error


def find_separator(content: bytes, names: Iterable[str]) -> str:
    """Return the separator with which the header contains one of `names`.

    If there is no such separator, it is the one that makes the most cells.
    """
    headers = {separator: header_of(content, separator) for separator in _SEPARATORS}
    for separator, header in headers.items():
        if {*names} & {cell.strip().lower() for cell in header}:
            return separator
    return max(headers, key=lambda separator: len(headers[separator]))


def read_separated(
    content: bytes, separator: str, chosen: Sequence[str], *, numbers: Sequence[str], name: str
) -> pa.Table:
    """Return columns of a text in UTF-8, all of them as text.

    Parameters
    ----------
    content : bytes
        The text.
    separator : str
        What separates cells. With a semicolon, the comma of a number is its decimal point.
    chosen : sequence of str
        The columns, as the header names them.
    numbers : sequence of str
        Those that may be of numbers.
    name : str
        Names the file in messages.

    Raises
    ------
    ManifestError
        If rows have other numbers of cells than the header.
    pa.ArrowException
        If it is no such table.
    """
    strange: list[str] = []

    def refuse_row(row: pa.csv.InvalidRow) -> str:
        said = f"line {row.number} has {row.actual_columns} cells: {row.text[:80]!r}"
        strange.append(said)
        return "skip"

    parse = pa.csv.ParseOptions(
        newlines_in_values=True, delimiter=separator, invalid_row_handler=refuse_row
    )
    table = _read(content, parse, chosen)
    if strange:
        more = f"; and {len(strange) - 3} more" if len(strange) > 3 else ""
        raise ManifestError(
            f"{name}: the header has {len(header_of(content, separator))} cells separated by "
            f"{separator!r}, but {'; '.join(strange[:3])}{more}. Put quotes around a cell that "
            "holds the separator."
        )
    if separator == ";":
        for column in numbers:
            place = table.column_names.index(column)
            table = table.set_column(place, column, _with_points(table[column]))
    return table


def _with_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of numbers with a point for each decimal comma, any other as it is."""
    points = pc.replace_substring_regex(column, _DECIMAL_COMMA, r"\1.\2")
    numbers = pc.match_substring_regex(points, r"^\s*([+-]?[\d.]+)?\s*$")
    return points if pc.all(numbers).as_py() in (True, None) else column


def _read(content: bytes, parse: pa.csv.ParseOptions, chosen: Sequence[str]) -> pa.Table:
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(chosen, pa.string()),
        include_columns=list(chosen),
        null_values=[""],
        strings_can_be_null=True,
    )
    # One thread, which alone knows the numbers of lines.
    options = pa.csv.ReadOptions(use_threads=False)
    return pa.csv.read_csv(
        pa.BufferReader(content),
        read_options=options,
        parse_options=parse,
        convert_options=convert,
    )
