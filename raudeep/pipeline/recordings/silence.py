"""Warnings of recordings and chunks without a sound, whose rows are all alike."""

import logging
from collections.abc import Sequence

from raudeep.pipeline.stage import StageSummary
from raudeep.storage.index import Silent, read_index
from raudeep.storage.silence import iterate_silence, total_silence

__all__ = ["warn_of_silence"]

logger = logging.getLogger(__name__)


def warn_of_silence(summaries: Sequence[StageSummary], num_recordings: Sequence[int]) -> None:
    """Warn of recordings and chunks that hold no sound, and say which flag gives them one.

    Once, where it is the same for several tables; of each the number of recordings is given.
    """
    said: dict[str, str] = {}
    for summary, count in zip(summaries, num_recordings, strict=True):
        index = read_index(summary.table)
        silent = total_silence(index)
        if silent.rows:
            line = _describe(silent, index.rows, count)
            line = f"{line}{_example(summary.table)}.{_way_out(silent)}"
            said.setdefault(line, summary.table)
    for line, table in said.items():
        logger.warning("%s `raudeep inspect %s` names all.", line, table)


def _describe(silent: Silent, num_rows: int, num_recordings: int) -> str:
    """Return how many chunks and recordings hold no sound, in words."""
    rows, recordings = sum(silent.rows.values()), sum(silent.recordings.values())
    whole = f"{recordings} of {num_recordings} recordings"
    if rows == recordings:
        return f"{whole} hold no sound"
    said = f"{rows} of {num_rows} chunks hold no sound"
    return f"{said}, in {whole} all of them" if recordings else said


def _example(table: str) -> str:
    """Return a row of a table that holds no sound, in words."""
    for rows in iterate_silence(table):
        for row in rows.slice(0, 1).to_pylist():
            since = f" from {row['start']:g} s on" if row["chunk"] else ""
            return f", e.g. {row['file']!r}{since}"
    return ""


def _way_out(silent: Silent) -> str:
    """Return what to do where a channel has a sound."""
    heard = {channel: count for channel, count in silent.rows.items() if channel != "none"}
    if not heard:
        return ""
    total, channel = sum(heard.values()), max(heard, key=lambda each: (heard[each], each))
    of = "In all of them" if total == sum(silent.rows.values()) else f"In {total} of them"
    return (
        f" {of} left and right cancel each other out, or the sound is in the other channel: "
        f"pass --channels {channel} to `extract` or `embed`."
    )
