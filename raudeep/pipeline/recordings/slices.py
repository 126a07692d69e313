"""What all stages over recordings share: decode each one apart, write its rows slice by slice.

``slice of the plan -> processes that decode -> collector (a kernel or a model) -> parts``
"""

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.config import Limits
from raudeep.errors import AudioError
from raudeep.pipeline.recordings.decoding import RecordingRow
from raudeep.pipeline.recordings.reachable import needed_places
from raudeep.pipeline.recordings.salvage import unusable_rows, warn_of_salvaged
from raudeep.pipeline.recordings.slice_worker import Collector, SliceWorker
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import Pool, stream
from raudeep.pipeline.stage import StageSummary, recording_slices, to_ipc
from raudeep.schema import FILE_METADATA, KEYS
from raudeep.storage.plan import extend_plan
from raudeep.storage.plan_files import Plan, labels_of_plan
from raudeep.storage.table import read_errors
from raudeep.storage.writer import TableWriter

__all__ = [
    "key_rows",
    "plan_recordings",
    "warn_of_errors",
    "write_recordings",
]

logger = logging.getLogger(__name__)

_LEAST_USED = 0.9  # of the audio, or a line says so
_CLIP_BYTES = 200_000  # of a recording of a few seconds


def plan_recordings(
    writers: Mapping[str, TableWriter],
    manifest: pa.Table,
    *,
    bytes_per_row: int,
    overwrite: bool = False,
    retry_errors: bool = False,
) -> dict[str, Plan]:
    """Return the plan of each table: its own, extended by the recordings that are new to it.

    With `overwrite`, a table whose recordings changed or are gone is recomputed; with
    `retry_errors`, parts that contain a failed recording are recomputed.
    """
    bounds = partial(recording_slices, bytes_per_row=bytes_per_row)
    return {
        name: extend_plan(
            writer,
            manifest,
            bounds,
            overwrite=overwrite,
            retry_errors=retry_errors,
        )
        for name, writer in writers.items()
    }


def write_recordings(
    title: str,
    writers: Mapping[str, TableWriter],
    plans: Mapping[str, Plan],
    *,
    load: Callable[[RecordingRow], Iterator[Any]],
    make_collector: Callable[[], Collector],
    seconds_per_recording: float,
    limits: Limits,
    uses_gpu: bool = False,
) -> list[StageSummary]:
    """Write the missing parts of tables that are made from recordings, each decoded once for all.

    Tables with the same plan are made in one pass. A recording that cannot be used is a row of the
    errors beside the parts; `warn_of_errors` says so.

    Parameters
    ----------
    title : str
        What the progress line says.
    writers, plans : mapping of name to TableWriter and Plan
        The tables.
    load : callable
        ``load(recording)`` yields the pieces of a recording, in a process that only decodes.
    make_collector : callable
        Makes the collector, once in each process that has one.
    seconds_per_recording : float
        Rough time for one of a few seconds on a core.
    limits : Limits
        How many recordings may fail.
    uses_gpu : bool
        Share the cluster's GPUs among the collectors.

    Returns
    -------
    list of StageSummary
        One for each table, in the order of the writers.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could.
    """
    started = time.perf_counter()
    missing = {name: set(writers[name].missing(plans[name].num_parts)) for name in writers}
    passes: dict[tuple[object, ...], list[str]] = {}
    for name, plan in plans.items():
        # The same recordings may be cut in another way, by the size of their rows.
        passes.setdefault((plan.fingerprints, plan.sizes, plan.labels), []).append(name)
    for names in passes.values():
        plan = plans[names[0]]
        items: list[dict[str, Any]] = [
            {
                "part": part,
                "targets": [name for name in names if part in missing[name]],
                "recordings": to_ipc(plan.slice(part)),
            }
            for part in sorted(set().union(*(missing[name] for name in names)))
        ]
        total = sum(plan.sizes[item["part"]] for item in items)
        worker = Pool(
            SliceWorker,
            {
                "title": title,
                "load": load,
                "make_collector": make_collector,
                "needs": needed_places(plan.recordings),
            },
            uses_gpu=uses_gpu,
        )
        allowed = limits.allowed_errors(plan.recordings.num_rows)
        failed, used, recorded = 0, 0.0, 0.0
        with stage_progress(title, unit="recordings", total=total) as progress:
            estimate = sum(_clips(plan.slice(item["part"])) for item in items)
            estimate *= seconds_per_recording
            for done in stream(items, worker, estimated_seconds=estimate):
                progress.advance(done["recordings"])
                failed += done["errors"]
                used, recorded = used + done["used"], recorded + done["recorded"]
                if allowed is not None and failed > allowed:
                    raise AudioError(
                        f"{failed} recordings could not be used, e.g. "
                        f"{done['example'].rstrip('.')}. --max-errors is {limits.max_errors}."
                    )
        if used < _LEAST_USED * recorded:
            logger.warning(
                "%s: %.0f %% of the audio is used; the rest lies beyond fixed_seconds or the "
                "chunks of a view. A larger fixed_seconds takes more, `embed --chunk-seconds` all.",
                title,
                100 * used / recorded,
            )
    summaries = []
    for name, writer in writers.items():
        plan = plans[name]
        index = writer.commit(
            plan.num_parts,
            recordings=plan.fingerprints,
            ends=plan.ends,
            # As the plan is now: another process may have brought others meanwhile.
            labels=labels_of_plan(writer.uri),
        )
        if index.num_errors:
            num_recordings, is_new = plan.recordings.num_rows, bool(missing[name])
            _check_errors(writer.uri, num_recordings, limits, is_new=is_new)
        summaries.append(
            StageSummary.of_table(
                title, writer.uri, index, made=len(missing[name]), started=started
            )
        )
    return summaries


def warn_of_errors(summaries: Sequence[StageSummary], num_recordings: Sequence[int]) -> None:
    """Warn of recordings that could not be used, and say what to do about them.

    Once, where it is the same for several tables; of each the number of recordings is given.
    """
    said: dict[str, str] = {}
    for summary, count in zip(summaries, num_recordings, strict=True):
        errors = unusable_rows(read_errors(summary.table)) if summary.errors else ()
        if len(errors):
            said.setdefault(_describe_errors(errors, count), summary.table)
    for line, table in said.items():
        logger.warning(
            "%s. `raudeep inspect %s` names all; --retry-errors tries them again.", line, table
        )
    warn_of_salvaged(summaries)


def key_rows(recordings: pa.Table, spans: Mapping[int, Sequence[tuple[float, float]]]) -> pa.Table:
    """Return keys and metadata of chunks: start and end of each by number of the recording."""
    numbers = [number for number, chunks in spans.items() for _ in chunks]
    chunks = [chunk for found in spans.values() for chunk in range(len(found))]
    flat = [span for found in spans.values() for span in found]
    inherited = recordings.take(pa.array(numbers, pa.int64()))
    columns = {
        "file": inherited["file"],
        "chunk": chunks,
        "start": [start for start, _ in flat],
        "end": [end for _, end in flat],
        **{column.name: inherited[column.name] for column in FILE_METADATA},
    }
    return pa.table(columns, schema=pa.schema([*KEYS, *FILE_METADATA]))


def _check_errors(table: str, num_recordings: int, limits: Limits, *, is_new: bool) -> None:
    """Raise `AudioError` if more recordings failed than the limits allow, or all did."""
    errors = unusable_rows(read_errors(table))
    if not errors.num_rows:
        return
    said = _describe_errors(errors, num_recordings)
    if not is_new:
        said += ". An earlier run found that; --retry-errors tries them again"
    if errors.num_rows >= num_recordings:
        raise AudioError(said)
    allowed = limits.allowed_errors(num_recordings)
    if allowed is not None and errors.num_rows > allowed:
        raise AudioError(f"{said}. --max-errors is {limits.max_errors}.")


def _describe_errors(errors: pa.Table, num_recordings: int) -> str:
    first = _example(errors.to_pylist())
    said = f"{errors.num_rows} of {num_recordings} recordings could not be used, e.g. "
    said += f"{first['file']!r}: {first['message'].rstrip('.')}"
    uri = first["uri"] or ""
    root = uri.removesuffix(f"/{first['file']}")
    if root != uri and set(errors["error"].to_pylist()) == {FileNotFoundError.__name__}:
        return f"{said}. Relative paths start in {root}"
    return said


def _example(errors: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the first error of those that are alike but for names and numbers, the most of all."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for error in errors:
        kind = re.sub(r"[\d.]+", "", error["message"].replace(error["file"], ""))
        alike.setdefault(kind, []).append(error)
    return max(alike.values(), key=len)[0]


def _clips(recordings: pa.Table) -> float:
    """Return how many recordings of a few seconds these are worth, as far as their sizes tell."""
    sizes = recordings["bytes"].fill_null(0).to_numpy()
    return float(np.maximum(1.0, sizes / _CLIP_BYTES).sum())
