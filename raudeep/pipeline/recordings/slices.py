"""What all stages over recordings share: decode each one apart, write its rows slice by slice.

``slice of the plan -> processes that decode -> collector (a kernel or a model) -> parts``
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from raudeep.config import Limits
from raudeep.errors import AudioError, TableError
from raudeep.pipeline.recordings.decoding import RecordingRow, Salvaged, Views
from raudeep.pipeline.recordings.isolation import Crew, keep_memory
from raudeep.pipeline.recordings.reachable import Needs, Places, needed_places
from raudeep.pipeline.recordings.salvage import salvaged_row, unusable_rows, warn_of_salvaged
from raudeep.pipeline.runtime import metrics
from raudeep.pipeline.runtime.cluster import assigned_cores, is_fresh_cpu_actor
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import Pool, stream
from raudeep.pipeline.stage import StageSummary, from_ipc, recording_slices, to_ipc
from raudeep.schema import ERRORS, FILE_METADATA, KEYS
from raudeep.storage import uri as uris
from raudeep.storage.plan import extend_plan
from raudeep.storage.plan_files import Plan, labels_of_plan
from raudeep.storage.recordings import READ_TOGETHER, is_in_pack, reason_of
from raudeep.storage.retries import READ
from raudeep.storage.table import read_errors
from raudeep.storage.writer import TableWriter

__all__ = [
    "Collector",
    "Taken",
    "key_rows",
    "num_decoders",
    "plan_recordings",
    "taken_of",
    "warn_of_errors",
    "write_recordings",
]

logger = logging.getLogger(__name__)

_READERS_PER_CORE = 3  # of a store: while one waits for it, another decodes
_LEAST_USED = 0.9  # of the audio, or a line says so
_CLIP_BYTES = 200_000  # of a recording of a few seconds


class Taken(NamedTuple):
    """What was taken of a recording, in seconds."""

    until: float
    """Where it ends."""
    used: float = 0.0
    """How much of it a table has, the one with the least."""
    recorded: float = 0.0
    """How much there is of it."""


class Collector(Protocol):
    """Makes the rows of a slice from the pieces of its recordings, and writes them."""

    def begin(self, targets: Sequence[str]) -> None:
        """Start a slice, of which the parts of these tables are wanted."""

    def add(self, number: int, piece: Any) -> Taken:
        """Take a piece of the recording of this number in the slice, and say how much that is.

        `AudioError` says that the recording cannot be used.
        """

    def drop(self, number: int) -> None:
        """Forget a recording that turned out to be bad."""

    def unusable(self) -> Mapping[int, AudioError]:
        """Return which recordings turned out to be bad after all were taken, and why."""

    def write(self, part: int, recordings: pa.Table, errors: pa.Table) -> None:
        """Write the parts of the slice."""


def plan_recordings(
    writers: Mapping[str, TableWriter],
    manifest: pa.Table,
    *,
    bytes_per_row: int,
    overwrite: bool = False,
    retry_errors: bool = False,
) -> dict[str, Plan]:
    """Return the plan of each table: its own, extended by the recordings that are new to it.

    With `overwrite`, a table is made anew where recordings of it changed or are gone; with
    `retry_errors`, its parts are where one could not be used.
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
            _SliceWorker,
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


class _SliceWorker:
    """Computes slices of recordings, which it decodes itself or has processes for.

    On a core of its own, with recordings at hand, a process beside it has nothing to gain and
    costs copies and caches. It decodes there itself, and what kills a decoder kills the worker:
    Ray starts it again, and from then on the processes do.
    """

    def __init__(
        self,
        *,
        title: str,
        load: Callable[[RecordingRow], Iterator[Any]],
        make_collector: Callable[[], Collector],
        needs: Needs,
    ) -> None:
        self._title = title
        self._load = load
        self._places = Places(needs)
        self._crew: Crew | None = None
        self._is_alone = is_fresh_cpu_actor()
        if self._is_alone:
            keep_memory()
            threadpool_limits(1)  # as those processes: the rounding must not depend on where
        self._collector = make_collector()

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        recordings = from_ipc(item["recordings"])
        rows = recordings.select(["file", "uri"]).to_pylist()
        self._collector.begin(list(item["targets"]))
        self._used = self._recorded = 0.0
        errors, salvaged = [], {}
        for number, (recording, pieces) in enumerate(zip(rows, self._decode(rows), strict=True)):
            try:
                if (part := self._take(number, pieces)) is not None:
                    salvaged[number] = salvaged_row(recording, part)
                self._places.check(recording["uri"], None)
            except Exception as error:  # one bad recording must not cost the others
                self._places.check(recording["uri"], error)
                self._collector.drop(number)
                salvaged.pop(number, None)
                errors.append(_error_row(recording, error))
            metrics.add("raudeep_recordings", 1, stage=self._title)
        for number, reason in self._collector.unusable().items():
            self._collector.drop(number)
            salvaged.pop(number, None)
            errors.append(_error_row(rows[number], reason))
        if errors:
            metrics.add("raudeep_errors", len(errors), stage=self._title)
        failed = pa.Table.from_pylist([*errors, *salvaged.values()], schema=ERRORS)
        self._collector.write(item["part"], recordings, failed)
        example = f"{errors[0]['file']!r}: {errors[0]['message']}" if errors else ""
        return {
            "recordings": len(rows),
            "errors": len(errors),
            "example": example,
            "used": self._used,
            "recorded": self._recorded,
        }

    def _decode(self, recordings: Sequence[RecordingRow]) -> Iterator[Iterator[Any]]:
        """Yield the pieces of each recording."""
        uri = recordings[0]["uri"]
        if self._is_alone and uris.is_local(uri):
            return map(self._load, recordings)
        if self._crew is None:
            # What lies in a pack is read in runs, or each process would read all of it.
            run = READ_TOGETHER if is_in_pack(uri) else 1
            self._crew = Crew(self._load, processes=num_decoders(uri, assigned_cores()), run=run)
        return self._crew.map(recordings)

    def _take(self, number: int, pieces: Iterator[Any]) -> Salvaged | None:
        """Hand on what is made of a recording; return what says that it is not all of it."""
        until = used = recorded = 0.0
        salvaged = None
        for piece in pieces:
            if isinstance(piece, Salvaged):
                salvaged = piece
                continue
            try:
                taken = self._collector.add(number, piece)
            except AudioError:
                raise
            except Exception as error:
                # Not the recording's fault: a GPU without memory, a disc that is full.
                raise TableError(f"the stage failed: {type(error).__name__}: {error}") from error
            metrics.add("raudeep_audio_seconds", taken.until - until, stage=self._title)
            until = taken.until
            used, recorded = used + taken.used, recorded + taken.recorded
        self._used, self._recorded = self._used + used, self._recorded + recorded
        return salvaged


def taken_of(views: Views) -> Taken:
    """Return what the spectrograms of a piece, in all views, are of its recording."""
    found = [(chunks[0].start, chunks[-1].end) for chunks in views.values()]
    recorded = next(iter(views.values()))[0].recorded
    used = min(recorded, *(end - start for start, end in found))
    return Taken(max(end for _, end in found), used, recorded)


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
    first = errors.slice(0, 1).to_pylist()[0]
    said = f"{errors.num_rows} of {num_recordings} recordings could not be used, e.g. "
    said += f"{first['file']!r}: {first['message'].rstrip('.')}"
    uri = first["uri"] or ""
    root = uri.removesuffix(f"/{first['file']}")
    if root != uri and set(errors["error"].to_pylist()) == {FileNotFoundError.__name__}:
        return f"{said}. Relative paths start in {root}"
    return said


def num_decoders(uri: str, cores: int) -> int:
    """Return how many processes of a worker decode recordings that lie where this one does."""
    # One more than cores, which takes over while another hands on what it decoded.
    return (1 if uris.is_local(uri) else _READERS_PER_CORE) * cores + 1


def _clips(recordings: pa.Table) -> float:
    """Return how many recordings of a few seconds these are worth, as far as their sizes tell."""
    sizes = recordings["bytes"].fill_null(0).to_numpy()
    return float(np.maximum(1.0, sizes / _CLIP_BYTES).sum())


def _error_row(recording: RecordingRow, error: Exception) -> dict[str, str]:
    """Return the row of the errors table for a recording that could not be used."""
    stage = "decode" if isinstance(error, AudioError) else READ
    return {
        "file": recording["file"],
        "uri": recording["uri"],
        "stage": stage if isinstance(error, AudioError | OSError) else "spectrogram",
        "error": type(error).__name__,
        "message": reason_of(error, recording["uri"]),
    }
