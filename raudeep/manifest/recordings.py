"""Recordings, and the table that they are."""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from raudeep.schema import MANIFEST

__all__ = ["OWN_URI", "Folds", "Recording", "fold_roles", "manifest_table", "uri_of"]

logger = logging.getLogger(__name__)

OWN_URI = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://")
"""How a place begins that is one by itself, without the root of a corpus."""
Folds = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One audio file and what its corpus says about it."""

    file: str
    uri: str
    label: str | None = None
    partition: str | None = None
    folds: Folds | None = None
    bytes: int | None = None


def fold_roles(fold: int, num_folds: int) -> Folds:
    """Return the roles of a recording that is valid (1) in `fold`, from 1, and train (0) else."""
    return tuple(int(number == fold) for number in range(1, num_folds + 1))


def uri_of(file: str, root: str, *, is_below: bool = False) -> str:
    """Return where a recording of the corpus at `root` lies; with `is_below` surely below it."""
    is_own = OWN_URI.match(file) and not is_below
    return file if is_own else f"{root.rstrip('/')}/{file}"


def manifest_table(recordings: Iterable[Recording]) -> pa.Table:
    """Return `recordings` as a manifest, sorted by `file`.

    A name that is not valid UTF-8, which no table can hold, is escaped. Nothing is found under
    what it is then, so that the recording becomes an error where it is used.
    """
    rows = list(recordings)
    try:
        return _table_of(rows)
    except UnicodeEncodeError:
        escaped = [_escaped(row) for row in rows]
    strange = [new.uri for old, new in zip(rows, escaped, strict=True) if new != old]
    logger.warning(
        "%d of %d names are not valid UTF-8, e.g. '%s', and cannot be used. Rename them.",
        len(strange),
        len(rows),
        strange[0],
    )
    return _table_of(escaped)


def _table_of(recordings: Iterable[Recording]) -> pa.Table:
    ordered = sorted(recordings, key=lambda recording: recording.file)
    known = set(Recording.__dataclass_fields__)
    columns = [
        [getattr(row, name) for row in ordered] if name in known else [None] * len(ordered)
        for name in MANIFEST.names
    ]
    return pa.Table.from_pydict(dict(zip(MANIFEST.names, columns, strict=True)), MANIFEST)


def _escaped(recording: Recording) -> Recording:
    """Return a recording with escapes for what is not valid UTF-8 in its texts."""
    names = ("file", "uri", "label", "partition")
    texts = {name: getattr(recording, name) for name in names}
    escaped = {
        name: text.encode(errors="backslashreplace").decode()
        for name, text in texts.items()
        if text is not None
    }
    return replace(recording, **escaped)
