"""What computes a slice of recordings: decode each one apart, collect its rows, write them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
from threadpoolctl import threadpool_limits

from raudeep.errors import AudioError, TableError
from raudeep.pipeline.recordings.decoding import RecordingRow, Salvaged, Views
from raudeep.pipeline.recordings.isolation import Crew, keep_memory
from raudeep.pipeline.recordings.reachable import Needs, Places
from raudeep.pipeline.recordings.salvage import salvaged_row
from raudeep.pipeline.runtime import metrics
from raudeep.pipeline.runtime.cluster import assigned_cores, is_fresh_cpu_actor
from raudeep.pipeline.stage import from_ipc
from raudeep.schema import ERRORS
from raudeep.storage import uri as uris
from raudeep.storage.recordings import READ_TOGETHER, is_in_pack, reason_of
from raudeep.storage.retries import READ

__all__ = ["Collector", "SliceWorker", "Taken", "num_decoders", "taken_of"]

_READERS_PER_CORE = 3  # of a store: while one waits for it, another decodes


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


class SliceWorker:
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
        """Return how many recordings, errors and seconds a slice had, whose part is written."""
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


def num_decoders(uri: str, cores: int) -> int:
    """Return how many processes of a worker decode recordings that lie where this one does."""
    # One more than cores, which takes over while another hands on what it decoded.
    return (1 if uris.is_local(uri) else _READERS_PER_CORE) * cores + 1


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
