"""ARFF, the format of Weka: a header that names and types the columns, then a line for each chunk.

References
----------
The format: Attribute-Relation File Format, https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/
"""

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.errors import TableError
from raudeep.storage.exchange.rows import Rows
from raudeep.storage.exchange.text import Cells, column_names, format_rows, parse_features

__all__ = ["arff_header", "arff_rows", "read_arff"]

_RELATION = "auDeep exported data set"
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
_ESCAPES = {"\n": "n", "\r": "r", "\t": "t"}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}
_ESCAPED = re.compile(r"\\(u[0-9A-Fa-f]{4}|[0-3][0-7]{0,2}|[4-7][0-7]?|.)")
# White space is what it is to Weka: everything up to the blank, nothing of Unicode.
_TOKEN = re.compile(
    r"'(?P<single>(?:[^'\\]|\\.)*)'"
    r'|"(?P<double>(?:[^"\\]|\\.)*)"'
    r"|(?P<plain>[^\x00-\x20,'\"%{}]+)"
    r"|(?P<comment>%.*)"
    r"|(?P<other>[^\x00-\x20,])"
)
_SPECIAL = re.compile(r"['\"%{}]")
_CELL = re.compile(r"[^\x00-\x20,]+")
_WORD = re.compile(r"[^\x00-\x20]+")
_NUMERIC = ("numeric", "real", "integer")


def arff_header(
    size: int, labels: Sequence[str], *, labels_last: bool, times: bool = False
) -> bytes:
    """Return the header for features of `size` values, up to the first row.

    Parameters
    ----------
    size : int
        Number of features.
    labels : sequence of str
        All labels of all files that belong together. Without any, the label is a string.
    labels_last : bool
        Put the labels behind the features.
    times : bool
        Have columns for the seconds of a chunk.
    """
    nominal = "{" + ",".join(map(_quote, sorted(labels))) + "}" if labels else "STRING"
    kinds = {
        "filename": "STRING",
        "chunk_nr": "INTEGER",
        "label_nominal": nominal,
        "label_numeric": "INTEGER",
    }
    lines = [f"@RELATION {_quote(_RELATION)}", ""]
    for name in column_names(size, labels_last=labels_last, times=times):
        lines.append(f"@ATTRIBUTE {name} {kinds.get(name, 'REAL')}")
    return "\n".join([*lines, "", "@DATA", ""]).encode()


def arff_rows(rows: Rows, *, labels_last: bool) -> bytes:
    """Return rows as lines; a missing label is ``?``."""
    return format_rows(rows, quote=_quote, missing="?", labels_last=labels_last)


def read_arff(file: Any, attributes: Sequence[str], *, where: str) -> Cells:
    """Return the columns of an ARFF file.

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
        If it is no such file, its rows are sparse, or a feature is not numeric.
    """
    # Names may hold other line separators of Unicode: only "\n" ends a line.
    lines = enumerate(io.TextIOWrapper(file, encoding="utf-8-sig", newline="\n"), start=1)
    try:
        kinds = _read_header(lines, where)
        wanted = [name in attributes for name in kinds]
        for name, kind in kinds.items():
            if name not in attributes and kind not in _NUMERIC:
                raise TableError(
                    f"{where}: features must be numeric; the attribute {name!r} is not. Remove it, "
                    "or name it as filename, chunk or label (see --help)."
                )
        texts: list[list[str | None]] = []
        features: list[NDArray[np.float32]] = []
        for number, line in lines:
            if (cells := _split(line, f"{where}, line {number}")) is None:
                continue
            if len(cells) != len(kinds):
                raise TableError(
                    f"{where}, line {number}: there are {len(kinds)} attributes. "
                    f"Got {len(cells)} values."
                )
            pairs = list(zip(cells, wanted, strict=True))
            texts.append([cell for cell, is_text in pairs if is_text])
            try:
                features.append(parse_features([cell for cell, is_text in pairs if not is_text]))
            except ValueError as error:
                raise TableError(f"{where}, line {number}: {str(error)[:200]}") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{where} cannot be read as ARFF: it is not UTF-8 ({error}).") from error
    names = [name for name in kinds if name in attributes]
    feature_names = [name for name in kinds if name not in attributes]
    columns = {name: [row[place] for row in texts] for place, name in enumerate(names)}
    for name, column in columns.items():
        if isinstance(kind := kinds[name], list) and (extra := {*column} - {*kind, None}):
            raise TableError(f"{where}: {extra.pop()!r} is not declared as a value of {name!r}.")
    empty = np.empty((0, len(feature_names)), np.float32)
    return Cells(columns, feature_names, np.stack(features) if features else empty)


def _read_header(lines: Iterator[tuple[int, str]], where: str) -> dict[str, str | list[str]]:
    """Return the attributes and their types, up to the line ``@data``; nominal ones as values."""
    kinds: dict[str, str | list[str]] = {}
    for number, line in lines:
        place = f"{where}, line {number}"
        word = _WORD.search(line)
        keyword = word.group().lower() if word else "%"
        if keyword.startswith("%") or keyword == "@relation":
            continue
        if keyword == "@data":
            return kinds
        if word is None or keyword != "@attribute":
            raise TableError(f"{place}: not a line of an ARFF header. Got {line.strip()[:80]!r}.")
        tokens = [t for t in _TOKEN.finditer(line, word.end()) if t["comment"] is None]
        name = _value(tokens[0]) if tokens else None
        if name is None or len(tokens) < 2 or name in kinds:
            raise TableError(
                f"{place}: an attribute needs a name of its own and a type. "
                f"Got {line.strip()[:80]!r}."
            )
        kinds[name] = _kind(tokens[1:], place)
    raise TableError(f"{where} is no ARFF file: it has no line '@DATA'.")


def _kind(tokens: Sequence[re.Match[str]], place: str) -> str | list[str]:
    if tokens[0].group() == "{" and tokens[-1].group() == "}":
        values = [_value(token) for token in tokens[1:-1]]
        if None not in values:
            return [value for value in values if value is not None]
    kind = tokens[0].group().lower()
    if len(tokens) > 1 or kind not in (*_NUMERIC, "string"):
        raise TableError(
            f"{place}: an attribute is NUMERIC, REAL, INTEGER, STRING or {{a,b,...}}. "
            f"Got {' '.join(token.group() for token in tokens)[:80]!r}."
        )
    return kind


def _split(line: str, place: str) -> list[str | None] | None:
    """Return the cells of a row, None for a missing one; None for a line without a row."""
    if not _SPECIAL.search(line):
        return [None if cell == "?" else cell for cell in _CELL.findall(line)] or None
    if line.lstrip().startswith("{"):
        raise TableError(f"{place}: sparse rows are not supported. Write dense ones.")
    cells: list[str | None] = []
    for token in _TOKEN.finditer(line):
        if token["comment"] is not None:
            break
        if token["other"] is not None:
            raise TableError(
                f"{place}: {token.group()} has no place in a row; instance weights and open quotes "
                "are not supported."
            )
        cells.append(None if token["plain"] == "?" else _value(token))
    return cells or None


def _value(token: re.Match[str]) -> str | None:
    """Return what a token stands for, None where it is a sign of the format."""
    if token["plain"] is not None:
        return token["plain"]
    quoted = token["single"] if token["single"] is not None else token["double"]
    return None if quoted is None else _ESCAPED.sub(_unescape, quoted)


def _unescape(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] == "u" and len(code) > 1:
        return chr(int(code[1:], 16))
    return chr(int(code, 8)) if code[0] in "01234567" else _CONTROLS.get(code, code)


def _quote(text: str) -> str:
    if _PLAIN.fullmatch(text):
        return text
    escaped = "".join(_escape(character) for character in text)
    return f"'{escaped}'"


def _escape(character: str) -> str:
    if character in _ESCAPES:
        return "\\" + _ESCAPES[character]
    if character in "\\'":
        return "\\" + character
    return f"\\{ord(character):03o}" if character < " " else character
