"""Which rows of a table hold no sound: each part says it of its rows, the index counts them.

It is no column, which other tables would not have, nor an error: the rows are there. A part that
was made of recordings by an earlier version says nothing of it.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa

from raudeep.errors import TableError
from raudeep.foreign import typed
from raudeep.schema import KEYS, read_metadata, with_metadata
from raudeep.storage.index import Silent, TableIndex, read_index
from raudeep.storage.table import read_part

__all__ = [
    "SILENT",
    "iterate_silence",
    "read_silence",
    "silence_of_part",
    "silent_of",
    "total_silence",
    "with_silence",
]

SILENT = pa.schema([*KEYS, pa.field("sound", pa.string(), nullable=False)])
"""Rows that hold no sound, and the channel of their recording that has one, or ``none``."""
_SILENCE = "silence"
_SOUNDS = ("left", "right", "none")
_RUNS = dict[str, list[list[int]]]


def with_silence(rows: pa.Table, silence: Sequence[str | None]) -> pa.Table:
    """Return rows made of recordings, carrying which of them hold no sound.

    Parameters
    ----------
    rows : pa.Table
        With the column `file`.
    silence : sequence of str or None
        For each row None, or the channel that has a sound where the row has none, or ``none``.
    """
    runs: _RUNS = {}
    first = 0
    for found, alike in groupby(silence):
        count = len(list(alike))
        if found is not None:
            runs.setdefault(found, []).append([first, count])
        first += count
    said = {"runs": runs, "recordings": _silent_recordings(rows, silence) if runs else {}}
    metadata = {**read_metadata(rows.schema), _SILENCE: said}
    return rows.replace_schema_metadata(with_metadata(rows.schema, metadata).metadata)


def silent_of(schema: pa.Schema) -> Silent | None:
    """Return how much of a part with this schema holds no sound; None where there is nothing."""
    said = _said(schema)
    if not said or not said["runs"]:
        return None
    runs = said["runs"].items()
    rows = {channel: sum(count for _, count in found) for channel, found in runs}
    return Silent(rows=rows, recordings=said["recordings"])


def silence_of_part(rows: pa.Table) -> list[str | None] | None:
    """Return for each row of a part what `with_silence` was given; None where nothing says it."""
    said = _said(rows.schema)
    if said is None:
        return None
    silence: list[str | None] = [None] * rows.num_rows
    for channel, runs in said["runs"].items():
        for first, count in runs:
            silence[first : first + count] = [channel] * len(silence[first : first + count])
    return silence


def read_silence(uri: str) -> pa.Table:
    """Return the keys of the rows of a table that hold no sound.

    The column `sound` says which channel of the recording has one (``left`` or ``right``), or
    ``none``. Tables made by an earlier version, and those made of other tables, do not say it.

    Raises
    ------
    TableError
        If there is no table, or a part of it is damaged.
    """
    return pa.concat_tables([SILENT.empty_table(), *iterate_silence(uri)])


def iterate_silence(uri: str) -> Iterator[pa.Table]:
    """Yield `read_silence` of each part that has some."""
    for part in read_index(uri).parts:
        if part.silent is None:
            continue
        keys = read_part(uri, part.name, columns=[field.name for field in KEYS])
        silence = silence_of_part(keys) or []
        rows = [row for row, channel in enumerate(silence) if channel is not None]
        sound = pa.array([silence[row] for row in rows], pa.string())
        keys = keys.take(pa.array(rows, pa.int64())).append_column("sound", sound)
        yield keys.select(SILENT.names).cast(SILENT)


def total_silence(index: TableIndex) -> Silent:
    """Return how much of a table holds no sound."""
    rows: Counter[str] = Counter()
    recordings: Counter[str] = Counter()
    for part in index.parts:
        if part.silent is not None:
            rows.update(part.silent.rows)
            recordings.update(part.silent.recordings)
    return Silent(
        rows={channel: rows[channel] for channel in _SOUNDS if channel in rows},
        recordings={channel: recordings[channel] for channel in _SOUNDS if channel in recordings},
    )


def _said(schema: pa.Schema) -> dict[str, Any] | None:
    said = read_metadata(schema).get(_SILENCE)
    if said is None:
        return None
    where = "what a part says of its silence"
    said = typed(dict[str, Any], said, where)
    runs = typed(_RUNS, said.get("runs"), where)
    recordings = typed(dict[str, int], said.get("recordings"), where)
    pairs = [run for found in runs.values() for run in found]
    if {*runs, *recordings} - {*_SOUNDS} or any(len(run) != 2 or min(run) < 0 for run in pairs):
        raise TableError(f"{where}: it names other channels than left and right, or no rows")
    return {"runs": runs, "recordings": recordings}


def _silent_recordings(rows: pa.Table, silence: Sequence[str | None]) -> dict[str, int]:
    """Return how many recordings hold no sound in any row, by the channel that has one."""
    found: dict[str, set[str | None]] = {}
    for file, channel in zip(rows["file"].to_pylist(), silence, strict=True):
        found.setdefault(file, set()).add(channel)
    alike = [channels for channels in found.values() if None not in channels]
    return dict(Counter(min(channels, key=_by_sound) or "" for channels in alike))


def _by_sound(channel: str | None) -> tuple[bool, str]:
    return channel == "none", channel or ""
