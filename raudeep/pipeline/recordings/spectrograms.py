"""Spectrogram tables: decode each recording once, derive all views, write one part per slice.

``slice of the plan -> decode -> all views -> one part in each view's table``
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.audio.decode import Header
from raudeep.audio.spectrogram import compute_views
from raudeep.config import Limits, SpectrogramConfig
from raudeep.errors import AudioError, RaudeepError
from raudeep.pipeline.recordings.decoding import Views, load_header, load_views
from raudeep.pipeline.recordings.isolation import Crew
from raudeep.pipeline.recordings.rates import warn_of_mixed_rates
from raudeep.pipeline.recordings.silence import warn_of_silence
from raudeep.pipeline.recordings.slice_worker import Taken, taken_of
from raudeep.pipeline.recordings.slices import (
    key_rows,
    plan_recordings,
    warn_of_errors,
    write_recordings,
)
from raudeep.pipeline.stage import StageSummary, spectrogram_rows
from raudeep.schema import with_sample_rates
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index
from raudeep.storage.opening import open_tables
from raudeep.storage.plan_files import read_plans
from raudeep.storage.silence import with_silence
from raudeep.storage.writer import TableWriter

__all__ = [
    "Shape",
    "bytes_per_recording",
    "extract_spectrograms",
    "first_header",
    "spectrograms_identity",
    "view_shapes",
]

_SECONDS_PER_RECORDING = 0.015
_UNKNOWN_BYTES = 4 * 2**20


@dataclass(frozen=True)
class Shape:
    """Frames (T) and bands (F) of a view; None where recordings differ."""

    frames: int | None
    bands: int | None

    @property
    def bytes(self) -> int:
        """Size of one spectrogram, a guess where recordings differ."""
        if self.frames is None or self.bands is None:
            return _UNKNOWN_BYTES
        return 4 * self.frames * self.bands


def spectrograms_identity(config: SpectrogramConfig) -> Identity:
    """Return what the spectrograms of a view are made with; of what, says the table's plan."""
    return Identity("spectrograms", asdict(config))


def extract_spectrograms(
    manifest: pa.Table,
    views: Mapping[str, SpectrogramConfig],
    outputs: Mapping[str, str],
    *,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> list[StageSummary]:
    """Compute the spectrograms of a corpus in all views, in one pass over the audio.

    Slices whose parts exist are not computed again; recordings that are new to a table are added to
    it in further parts. A recording that cannot be used is a row of the errors beside the parts.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file.
    views : mapping of name to SpectrogramConfig
        The views.
    outputs : mapping of name to URI
        The table of each view.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace a table that was made with another configuration.

    Returns
    -------
    list of StageSummary
        One for each view; the seconds are those of the common pass.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could.
    TableError
        If an output holds something else or cannot be written.
    """
    limits = limits or Limits()
    new = [TableWriter(outputs[view], spectrograms_identity(views[view])) for view in views]
    writers = dict(zip(views, open_tables(new, overwrite=overwrite), strict=True))
    # What an unfinished or growing table began with says which shape its rows have.
    begun = [file.recordings for writer in new for file in read_plans(writer.uri)]
    known = _still_there(begun[0], manifest) if begun else manifest
    shapes = view_shapes(views, first_header(known))
    size = bytes_per_recording(views, shapes)
    plans = plan_recordings(
        writers,
        manifest,
        bytes_per_row=size,
        overwrite=overwrite,
        retry_errors=limits.retry_errors,
    )
    summaries = write_recordings(
        "spectrograms",
        writers,
        plans,
        load=partial(load_views, views=dict(views), max_duration=limits.max_duration),
        make_collector=partial(_SpectrogramCollector, writers, shapes),
        seconds_per_recording=_SECONDS_PER_RECORDING,
        limits=limits,
    )
    num_recordings = [plan.recordings.num_rows for plan in plans.values()]
    warn_of_errors(summaries, num_recordings)
    warn_of_silence(summaries, num_recordings)
    warn_of_mixed_rates(read_index(writer.uri).sample_rates for writer in writers.values())
    return summaries


def _still_there(plan: pa.Table, manifest: pa.Table) -> pa.Table:
    """Return the recordings of a plan as a manifest has them today, or, if none is left, others.

    In the manifest's order, as when the table was begun: the first one decides on the shape.
    """
    there = manifest.filter(pc.is_in(manifest["file"], value_set=plan["file"].combine_chunks()))
    return there if there.num_rows else manifest


def first_header(recordings: pa.Table) -> Header | None:
    """Return the header of the first recording that has one; None if none of the first 1000 has."""
    crew = Crew(load_header, processes=1)
    try:
        for pieces in crew.map(recordings.select(["file", "uri"]).slice(0, 1000).to_pylist()):
            try:
                found: Header = next(pieces)
                return found
            except (OSError, ValueError, RaudeepError):  # a name that no file can have
                continue
        return None
    finally:
        crew.close()


def view_shapes(views: Mapping[str, SpectrogramConfig], header: Header | None) -> dict[str, Shape]:
    """Return the shape of each view: fixed where the configuration fixes the length.

    Processes that decode are silent, so a warning of empty mel bands comes from here.
    """
    shapes = dict.fromkeys(views, Shape(None, None))
    if header is None:
        return shapes
    for view, config in views.items():
        length = config.fixed_seconds
        if length is None:
            length = (config.chunk_count or 1) * (config.chunk_seconds or 0)
            length += config.window_seconds + config.overlap_seconds + 1 / header.sample_rate
        silence = np.zeros((1, int(header.sample_rate * length)), np.float32)
        try:
            chunks = compute_views(silence, sample_rate=header.sample_rate, configs=[config])[0]
        except AudioError:
            continue  # the recordings fail the same way, each as a row of errors
        if config.fixed_seconds is not None or config.chunk_seconds is not None:
            shapes[view] = Shape(*chunks[0].values.shape)
    return shapes


def bytes_per_recording(views: Mapping[str, SpectrogramConfig], shapes: Mapping[str, Shape]) -> int:
    """Return the size of a recording's spectrograms in the largest view."""
    chunks = max(config.chunk_count or 1 for config in views.values())
    return max(shape.bytes for shape in shapes.values()) * chunks


@dataclass
class _SpectrogramCollector:
    """Holds the spectrograms of a slice in all views."""

    writers: Mapping[str, TableWriter]
    shapes: Mapping[str, Shape]
    _recordings: dict[int, Views] = field(default_factory=dict)
    _wanted: Sequence[str] = ()

    def begin(self, targets: Sequence[str]) -> None:
        self._recordings, self._wanted = {}, targets

    def add(self, number: int, piece: Views) -> Taken:
        for view in self._wanted:
            wanted, found = self.shapes[view], piece[view][0].values.shape
            if wanted.frames is not None and found != (wanted.frames, wanted.bands):
                raise AudioError(
                    f"gives {found[0]} frames x {found[1]} bands in view {view!r}, the others "
                    f"{wanted.frames} x {wanted.bands}. Set sample_rate to resample."
                )
        self._recordings[number] = {view: piece[view] for view in self._wanted}
        return taken_of(piece)

    def drop(self, number: int) -> None:
        self._recordings.pop(number, None)

    def unusable(self) -> Mapping[int, AudioError]:
        return {}

    def write(self, part: int, recordings: pa.Table, errors: pa.Table) -> None:
        for view in self._wanted:
            chunks = {number: views[view] for number, views in self._recordings.items()}
            spans = {
                number: [(each.start, each.end) for each in found]
                for number, found in chunks.items()
            }
            values = [each.values for found in chunks.values() for each in found]
            rows = spectrogram_rows(key_rows(recordings, spans), values, astuple(self.shapes[view]))
            rates = {each.sample_rate for found in chunks.values() for each in found}
            silence = [each.silence for found in chunks.values() for each in found]
            rows = with_silence(with_sample_rates(rows, rates), silence)
            self.writers[view].write(part, rows, errors)
        self._recordings = {}
