"""Features of recordings: decode each one, hand it to a kernel, write what it gives as rows.

``slice of the manifest -> decode, one channel, one rate -> kernel -> a part``
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from raudeep.audio.decode import decode, resample
from raudeep.audio.framing import mix_channels
from raudeep.errors import AudioError, TableError
from raudeep.pipeline.progress import stage_progress
from raudeep.pipeline.runtime import Pool, stream
from raudeep.pipeline.spectrograms import error_row
from raudeep.pipeline.stage import (
    StageSummary,
    from_ipc,
    slices,
    spectrogram_values,
    to_ipc,
)
from raudeep.schema import ERRORS, FILE_METADATA, KEYS
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.table import TableWriter, is_table, open_table, read_errors

__all__ = [
    "Kernel",
    "Piece",
    "Rows",
    "check_errors",
    "check_folder",
    "map_recordings",
    "spectrogram_arrays",
]

logger = logging.getLogger(__name__)


class Piece(NamedTuple):
    """What a kernel makes of a recording, from `start` to `end` in seconds."""

    start: float
    end: float
    values: NDArray[np.float32]


Kernel = Callable[[NDArray[np.float32]], Sequence[Piece]]
"""``kernel(samples)``: the pieces of a recording, of which a row each is written."""
Rows = Callable[[pa.Table, Sequence[NDArray[np.float32]]], pa.Table]
"""``rows(keys, values)``: the rows of a table."""


def map_recordings(
    manifest: pa.Table,
    output: str,
    make_kernel: Callable[[], Kernel],
    *,
    identity: Identity,
    rows: Rows,
    sample_rate: int,
    bytes_per_row: int,
    seconds_per_recording: float,
    on_gpu: bool = False,
    max_errors: int | None = None,
    overwrite: bool = False,
) -> StageSummary:
    """Write a table with the pieces that a kernel makes of each recording of a corpus.

    Slices whose parts exist are not computed again. A recording that cannot be used is a row of
    the errors beside the parts.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file.
    output : str
        URI of the table.
    make_kernel : callable
        Makes the kernel, once in each process that runs it.
    identity : Identity
        What the table is made from.
    rows : callable
        See `Rows`.
    sample_rate : int
        Recordings reach the kernel as the mean of their channels, at this rate in Hz.
    bytes_per_row : int
        Rough size of what becomes of a recording.
    seconds_per_recording : float
        Rough time for one on a core.
    on_gpu : bool
        Run the kernel in actors that share the cluster's GPUs.
    max_errors : int, optional
        Fail once more recordings than this could not be used.
    overwrite : bool
        Replace a table that was made with another configuration.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could.
    TableError
        If the output holds something else or cannot be written.
    """
    started = time.perf_counter()
    writer = open_table(output, identity, overwrite=overwrite)
    bounds = slices(manifest.num_rows, bytes_per_row=bytes_per_row)
    missing = writer.missing(len(bounds))
    items: list[dict[str, Any]] = [
        {
            "part": part,
            "recordings": to_ipc(
                manifest.slice(bounds[part][0], bounds[part][1] - bounds[part][0])
            ),
        }
        for part in missing
    ]
    arguments: dict[str, Any] = {
        "make_kernel": make_kernel,
        "writer": writer,
        "rows": rows,
        "rate": sample_rate,
    }
    stage = Pool(_Mapper, arguments) if on_gpu else _Mapper(**arguments)
    total = sum(bounds[part][1] - bounds[part][0] for part in missing)
    estimate = total * seconds_per_recording
    with stage_progress(identity.stage, unit="recordings", total=total) as progress:
        for done in stream(items, [stage], estimated_seconds=estimate):
            progress.advance(done["recordings"])
    index = writer.commit(len(bounds))
    check_errors(read_errors(output).to_pylist(), manifest.num_rows, max_errors=max_errors)
    return StageSummary(
        stage=identity.stage,
        table=writer.uri,
        seconds=time.perf_counter() - started,
        parts=len(bounds),
        reused=len(bounds) - len(missing),
        rows=index.rows,
        errors=index.num_errors,
    )


def check_errors(
    errors: Sequence[Mapping[str, Any]], num_recordings: int, *, max_errors: int | None
) -> None:
    """Name the recordings that could not be used; raise where there are too many.

    Raises
    ------
    AudioError
        If more than `max_errors` recordings failed, or all did.
    """
    if not errors:
        return
    first = errors[0]
    said = f"{len(errors)} of {num_recordings} recordings could not be used, e.g. {first['file']!r}"
    said += f": {first['message']}"
    if len(errors) >= num_recordings:
        raise AudioError(said)
    if max_errors is not None and len(errors) > max_errors:
        raise AudioError(f"{said}. --max-errors is {max_errors}.")
    logger.warning("%s. The errors table names all.", said)


def check_folder(uri: str) -> None:
    """Raise `TableError` where a table lies at `uri`, which is to be a folder of tables."""
    if is_table(uri):
        raise TableError(f"{uri} is a table; the output is a folder of several. Choose another.")


def spectrogram_arrays(table: pa.Table, *, where: str) -> list[NDArray[np.float32]]:
    """Return the spectrograms of a table, each (T, F), which may differ in length."""
    values, lengths = spectrogram_values(table, where=where)
    ends = np.cumsum(lengths)
    return [values[end - length : end] for end, length in zip(ends, lengths, strict=True)]


class _Mapper:
    """Computes and writes parts."""

    def __init__(
        self, *, make_kernel: Callable[[], Kernel], writer: TableWriter, rows: Rows, rate: int
    ) -> None:
        self._kernel = make_kernel()
        self._writer, self._rows, self._rate = writer, rows, rate

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        recordings = from_ipc(item["recordings"])
        keys, values, errors = [], [], []
        for recording in recordings.to_pylist():
            try:
                # One thread everywhere, or the rounding would depend on where a slice is computed.
                with threadpool_limits(1):
                    pieces = self._kernel(self._samples(recording["uri"]))
                if not all(np.isfinite(piece.values).all() for piece in pieces):
                    raise AudioError("holds amplitudes too large for float32")
            except Exception as error:  # one bad recording must not cost the others
                errors.append(error_row(recording, error))
                continue
            inherited = {field.name: recording[field.name] for field in FILE_METADATA}
            for chunk, piece in enumerate(pieces):
                span = {"chunk": chunk, "start": piece.start, "end": piece.end}
                keys.append({"file": recording["file"], **span, **inherited})
                values.append(piece.values)
        table = pa.Table.from_pylist(keys, schema=pa.schema([*KEYS, *FILE_METADATA]))
        failed = pa.Table.from_pylist(errors, schema=ERRORS)
        self._writer.write(item["part"], self._rows(table, values), failed)
        return {"recordings": recordings.num_rows}

    def _samples(self, uri: str) -> NDArray[np.float32]:
        samples, sample_rate = decode(uris.read_bytes(uri))
        mono = mix_channels(samples, "mean")[np.newaxis]
        return np.asarray(resample(mono, sample_rate=sample_rate, target_rate=self._rate)[0])
