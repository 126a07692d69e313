"""A user's manifest, a file or a frame, as a table of the columns that mean something."""

import difflib
import logging
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raudeep.errors import ManifestError
from raudeep.foreign import blamed
from raudeep.manifest.columns import complete_manifest, unusable
from raudeep.manifest.folds import FOLD_COLUMN
from raudeep.manifest.separated import as_utf8, find_separator, header_of, read_separated
from raudeep.parquet import open_parquet, read_rows
from raudeep.schema import MANIFEST

__all__ = ["MANIFEST_SUFFIXES", "is_frame", "manifest_of_frame", "parse_manifest"]

logger = logging.getLogger(__name__)

MANIFEST_SUFFIXES = (".csv", ".tsv", ".parquet")

_KNOWN = (*MANIFEST.names, "fold")
_TEXTS = ("file", "uri", "partition", "folds")
_FILE = re.compile(r".+\.[a-z][a-z0-9]{1,3}", re.IGNORECASE)
"""The name of a file, which no column has."""
_INDEX = re.compile(r"|unnamed: \d+|__index_level_\d+__")
"""What pandas calls the row numbers that it writes beside the columns."""
_MEANT = {
    "file": "filename file_name filepath file_path path audio audio_file audio_path wav recording",
    "uri": "url",
    "label": "class class_name category target labels",
    "partition": "split subset set",
    "fold": "cv_fold fold_id",
    "sample_rate": "samplerate sampling_rate sr",
    "duration": "length seconds",
}
"""What others call the columns of a manifest."""
_MEANING = {other: column for column, others in _MEANT.items() for other in others.split()}


def parse_manifest(content: bytes, *, name: str, root: str | None) -> pa.Table:
    """Return a user's CSV, TSV or Parquet manifest as a checked manifest, sorted by `file`.

    Parameters
    ----------
    content : bytes
        The file's content. It needs the column `file`; the other columns of a manifest may follow,
        and columns that are not of a manifest are ignored with a warning. Labels stay text.
        `folds` is one role per fold, a list or a text such as ``0 1 0``, with ``null`` for neither;
        instead, columns `fold_1` to `fold_N` may hold one role each, or a column `fold` may number
        the one fold, from 1 or from 0, in which the recording is valid; where it is empty, the
        recording takes no part in any fold.
    name : str
        The file's name; its suffix, ``.csv``, ``.tsv`` or ``.parquet``, says what it is.
    root : str or None
        URI of the corpus, where recordings without a `uri`, or with a relative one, lie. A `file`
        that is an absolute path or has a scheme is its own URI.

    Raises
    ------
    ManifestError
        If the file cannot be read as this, or breaks a rule of `check_manifest`.
    """
    if not name.lower().endswith(MANIFEST_SUFFIXES):
        raise ManifestError(f"{name}: a manifest's name must end in '.csv', '.tsv' or '.parquet'.")
    read = _read_parquet if name.lower().endswith(".parquet") else _read_text
    with blamed(f"{name}: not usable as a manifest", ManifestError):
        table = read(content, name)
    return complete_manifest(table, name=name, root=root)


def is_frame(value: object) -> bool:
    """Return whether a value is a table of some library, such as a frame of pandas or Polars."""
    columns = hasattr(value, "columns") or hasattr(value, "column_names")
    return columns and hasattr(value, "__arrow_c_stream__")


def manifest_of_frame(frame: Any, *, name: str, root: str) -> pa.Table:
    """Return a frame of pandas or Polars, or an Arrow table, as a checked manifest.

    Raises
    ------
    ManifestError
        If it breaks a rule of `check_manifest`.
    """
    try:
        table = pa.table(_with_plain_objects(frame))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise unusable(name, error) from error
    chosen = _choose(table.column_names, name)
    table = pa.table({new: table[old] for old, new in chosen.items()})
    return complete_manifest(table, name=name, root=root)


def _with_plain_objects(frame: Any) -> Any:
    """Return a frame of pandas with paths and mixed values turned into text.

    An index that has a name is a column.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        return frame
    if any(frame.index.names):
        frame = frame.reset_index()
    mended = {}
    for column in frame.columns:
        values = frame[column]
        if not isinstance(values, pd.Series) or values.dtype != object:
            continue
        try:
            pa.array(values, from_pandas=True)
        except (pa.ArrowException, TypeError):
            mended[column] = values.map(str, na_action="ignore")
    return frame.assign(**mended) if mended else frame


def _read_parquet(content: bytes, name: str) -> pa.Table:
    with open_parquet(pa.BufferReader(content)) as file:
        chosen = _choose(file.schema_arrow.names, name)
        table = read_rows(file, len(content), columns=list(chosen))
    return pa.table({new: table[old] for old, new in chosen.items()})


def _read_text(content: bytes, name: str) -> pa.Table:
    text = as_utf8(content, name)
    separator = find_separator(text, ["file"])
    chosen = _choose(header_of(text, separator), name)
    numbers = [old for old, new in chosen.items() if new not in _TEXTS]
    table = read_separated(text, separator, list(chosen), numbers=numbers, name=name)
    return pa.table({new: table[old] for old, new in chosen.items()})


def _choose(names: Sequence[str], name: str) -> dict[str, str]:
    """Return the columns to read with their names in a manifest; warn of ignored ones.

    Raises
    ------
    ManifestError
        If there is no `file`, or a column, or the folds, are there twice.
    """
    called = [(given, given.strip().lower()) for given in names]
    known = [each for each in called if each[1] in _KNOWN or FOLD_COLUMN.fullmatch(each[1])]
    ignored = [given for given, meant in called if (given, meant) not in known]
    columns = [meant for _, meant in known]
    if not names:
        raise ManifestError(f"{name}: it is empty. The first line of a manifest names its columns.")
    if "file" not in columns:
        raise ManifestError(f"{name}: a manifest needs the column 'file'.{_way_out(names)}")
    folds = {FOLD_COLUMN.sub("fold_1", c) for c in columns} & {"fold", "folds", "fold_1"}
    if max(Counter(columns).values()) > 1 or len(folds) > 1:
        raise ManifestError(
            f"{name}: a manifest has each column once, and 'fold', 'folds' or 'fold_1', ..., not "
            f"several of these. Got {', '.join(given for given, _ in known)}."
        )
    strange = [given for given in ignored if not _INDEX.fullmatch(given.strip().lower())]
    if strange:
        shown = [repr(given) + _meant(given, columns) for given in strange[:20]]
        logger.warning("%s: ignored columns that no manifest has: %s", name, ", ".join(shown))
    return dict(known)


def _way_out(names: Sequence[str]) -> str:
    """Return what to do about a header without `file`."""
    shown = ", ".join(repr(given) for given in names[:10])
    got = f" Its first line names {shown}."
    for given in names:
        if _meaning(given) == "file":
            return f"{got} Rename {given!r} to 'file'."
    if any(_FILE.fullmatch(given) for given in names):
        return f"{got} Put a line with the names of the columns first, such as: file,label"
    return got


def _meant(given: str, columns: Sequence[str]) -> str:
    meaning = _meaning(given)
    return f" (meant {meaning!r}?)" if meaning and meaning not in columns else ""


def _meaning(given: str) -> str | None:
    """Return the column of a manifest that a name is like."""
    plain = re.sub(r"[\s-]+", "_", given.strip().lower())
    near = difflib.get_close_matches(plain, _KNOWN, n=1)
    return _MEANING.get(plain) or next(iter(near), None)
