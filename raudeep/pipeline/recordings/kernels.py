"""Stages that make something of each recording by a kernel, without a model of their own.

``slice of the plan -> processes that decode -> kernel -> parts``
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from raudeep.config import Limits
from raudeep.errors import AudioError
from raudeep.pipeline.recordings.decoding import load_mono
from raudeep.pipeline.recordings.slice_worker import Taken
from raudeep.pipeline.recordings.slices import (
    key_rows,
    plan_recordings,
    warn_of_errors,
    write_recordings,
)
from raudeep.pipeline.stage import StageSummary
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.writer import TableWriter

__all__ = ["Kernel", "MakeRows", "Piece", "map_recordings"]


class Piece(NamedTuple):
    """What a kernel makes of a recording, from `start` to `end` in seconds."""

    start: float
    end: float
    values: NDArray[np.float32]


Kernel = Callable[[NDArray[np.float32]], Sequence[Piece]]
"""``kernel(samples)``: the pieces of a recording, of which a row each is written."""
MakeRows = Callable[[pa.Table, Sequence[NDArray[np.float32]]], pa.Table]
"""``rows(keys, values)``: the rows of a table."""


def map_recordings(
    manifest: pa.Table,
    output: str,
    make_kernel: Callable[[], Kernel],
    *,
    identity: Identity,
    rows: MakeRows,
    sample_rate: int,
    bytes_per_row: int,
    seconds_per_recording: float,
    limits: Limits,
    uses_gpu: bool = False,
    overwrite: bool = False,
) -> StageSummary:
    """Write a table with the pieces that a kernel makes of each recording of a corpus.

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
        See `MakeRows`.
    sample_rate : int
        Recordings reach the kernel as the mean of their channels, at this rate in Hz.
    bytes_per_row : int
        Rough size of what becomes of a recording.
    seconds_per_recording : float
        Rough time for one on a core.
    limits : Limits
        Which recordings are taken, and how many may fail.
    uses_gpu : bool
        Run the kernel in actors that share the cluster's GPUs.
    overwrite : bool
        Replace a table that was made with another configuration.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could.
    TableError
        If the output holds something else or cannot be written.
    """
    writers = {output: open_table(output, identity, overwrite=overwrite)}
    plans = plan_recordings(
        writers,
        manifest,
        bytes_per_row=bytes_per_row,
        overwrite=overwrite,
        retry_errors=limits.retry_errors,
    )
    summaries = write_recordings(
        identity.stage,
        writers,
        plans,
        load=partial(load_mono, sample_rate=sample_rate, max_duration=limits.max_duration),
        make_collector=partial(_KernelCollector, make_kernel, writers[output], rows),
        seconds_per_recording=seconds_per_recording,
        limits=limits,
        uses_gpu=uses_gpu,
    )
    warn_of_errors(summaries, [plan.recordings.num_rows for plan in plans.values()])
    return summaries[0]


@dataclass
class _KernelCollector:
    make_kernel: Callable[[], Kernel]
    writer: TableWriter
    rows: MakeRows
    _pieces: dict[int, Sequence[Piece]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._kernel = self.make_kernel()

    def begin(self, targets: Sequence[str]) -> None:
        self._pieces = {}

    def add(self, number: int, piece: NDArray[np.float32]) -> Taken:
        # One thread everywhere, or the rounding would depend on where a slice is computed.
        with threadpool_limits(1):
            pieces = self._kernel(piece)
        if not all(np.isfinite(each.values).all() for each in pieces):
            raise AudioError("holds amplitudes too large for float32")
        self._pieces[number] = pieces
        return Taken(max((each.end for each in pieces), default=0.0))

    def drop(self, number: int) -> None:
        self._pieces.pop(number, None)

    def unusable(self) -> Mapping[int, AudioError]:
        return {}

    def write(self, part: int, recordings: pa.Table, errors: pa.Table) -> None:
        spans = {
            number: [(each.start, each.end) for each in pieces]
            for number, pieces in self._pieces.items()
        }
        values = [each.values for pieces in self._pieces.values() for each in pieces]
        self.writer.write(part, self.rows(key_rows(recordings, spans), values), errors)
