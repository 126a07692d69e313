"""Recordings of which only a part could be read, and was taken: the errors have a row of each."""

import logging
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from raudeep.pipeline.recordings.decoding import RecordingRow, Salvaged
from raudeep.pipeline.stage import StageSummary
from raudeep.storage.table import read_errors

__all__ = ["salvaged_row", "unusable_rows", "warn_of_salvaged"]

logger = logging.getLogger(__name__)

_SALVAGED = "salvage"  # the stage of such a row of the errors


def salvaged_row(recording: RecordingRow, found: Salvaged) -> dict[str, str]:
    """Return the row of the errors that says up to where a recording was taken, and why."""
    return {
        "file": recording["file"],
        "uri": recording["uri"],
        "stage": _SALVAGED,
        "error": "AudioError",
        "message": f"taken up to {found.until:.6g} s: {found.reason}",
    }


def unusable_rows(errors: pa.Table) -> pa.Table:
    """Return the errors of recordings of which nothing was taken."""
    return errors.filter(pc.not_equal(errors["stage"], _SALVAGED))


def warn_of_salvaged(summaries: Sequence[StageSummary]) -> None:
    """Warn of recordings of which a part was taken, once for several tables with the same."""
    said: dict[str, str] = {}
    for summary in (each for each in summaries if each.errors):
        errors = read_errors(summary.table)
        rows = errors.filter(pc.equal(errors["stage"], _SALVAGED))
        if rows.num_rows:
            (first,) = rows.slice(0, 1).to_pylist()
            line = (
                f"{rows.num_rows} recordings are cut off or damaged; what can be read of them was "
                f"taken, e.g. {first['file']!r}: {first['message'].rstrip('.')}"
            )
            said.setdefault(line, summary.table)
    for line, table in said.items():
        logger.warning("%s. `raudeep inspect %s` names all.", line, table)
