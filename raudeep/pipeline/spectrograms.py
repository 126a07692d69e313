"""Spectrogram tables: decode each recording once, derive all views, write one part per slice.

``slice of the manifest -> decode -> all views -> one part in each view's table``
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from raudeep.audio.decode import decode, read_header
from raudeep.audio.spectrogram import Spectrogram, compute_views
from raudeep.config import SpectrogramConfig
from raudeep.errors import AudioError, RaudeepError
from raudeep.pipeline.corpus import manifest_fingerprint
from raudeep.pipeline.progress import stage_progress
from raudeep.pipeline.runtime import stream
from raudeep.pipeline.stage import StageSummary, from_ipc, slices, spectrogram_rows, to_ipc
from raudeep.schema import ERRORS, FILE_METADATA, KEYS
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.table import TableWriter, open_table

__all__ = [
    "Shape",
    "compute_slice",
    "error_row",
    "extract_spectrograms",
    "probe_shapes",
    "spectrograms_identity",
    "spectrograms_slices",
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


def spectrograms_identity(config: SpectrogramConfig, manifest: pa.Table) -> Identity:
    """Return what the spectrograms of a manifest in one view are made from."""
    return Identity("spectrograms", asdict(config), {"manifest": manifest_fingerprint(manifest)})


def spectrograms_slices(
    num_recordings: int, views: Mapping[str, SpectrogramConfig], shapes: Mapping[str, Shape]
) -> list[tuple[int, int]]:
    """Return the slices of a manifest, which all its views share."""
    chunks = max(config.chunk_count or 1 for config in views.values())
    largest = max(shape.bytes for shape in shapes.values())
    return slices(num_recordings, bytes_per_row=largest * chunks)


def extract_spectrograms(
    manifest: pa.Table,
    views: Mapping[str, SpectrogramConfig],
    outputs: Mapping[str, str],
    *,
    overwrite: bool = False,
) -> list[StageSummary]:
    """Compute the spectrograms of a corpus in all views, in one pass over the audio.

    Slices whose parts exist are not computed again. A recording that cannot be used is a row of
    the errors beside the parts.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file.
    views : mapping of name to SpectrogramConfig
        The views.
    outputs : mapping of name to URI
        The table of each view.
    overwrite : bool
        Replace tables that were made with another configuration.

    Returns
    -------
    list of StageSummary
        One for each view; the seconds are those of the common pass.

    Raises
    ------
    TableError
        If an output holds something else or cannot be written.
    """
    started = time.perf_counter()
    writers = {
        view: open_table(
            outputs[view], spectrograms_identity(config, manifest), overwrite=overwrite
        )
        for view, config in views.items()
    }
    shapes = probe_shapes(manifest, views)
    bounds = spectrograms_slices(manifest.num_rows, views, shapes)
    missing = {view: set(writer.missing(len(bounds))) for view, writer in writers.items()}
    items: list[dict[str, Any]] = [
        {
            "part": part,
            "views": [view for view in views if part in missing[view]],
            "recordings": to_ipc(manifest.slice(start, end - start)),
        }
        for part, (start, end) in enumerate(bounds)
        if any(part in parts for parts in missing.values())
    ]

    def write_parts(item: dict[str, Any]) -> dict[str, Any]:
        recordings = from_ipc(item["recordings"])
        wanted = {view: views[view] for view in item["views"]}
        tables, errors = compute_slice(recordings, wanted, shapes)
        for view, table in tables.items():
            writers[view].write(item["part"], table, errors)
        return {"recordings": recordings.num_rows, "errors": errors.num_rows}

    estimate = manifest.num_rows * _SECONDS_PER_RECORDING * len(items) / max(1, len(bounds))
    total = sum(bounds[item["part"]][1] - bounds[item["part"]][0] for item in items)
    with stage_progress("spectrograms", unit="recordings", total=total) as progress:
        for done in stream(items, [write_parts], estimated_seconds=estimate):
            progress.advance(done["recordings"])
    return [
        _finish(writer, len(bounds), reused=len(bounds) - len(missing[view]), started=started)
        for view, writer in writers.items()
    ]


def compute_slice(
    recordings: pa.Table, views: Mapping[str, SpectrogramConfig], shapes: Mapping[str, Shape]
) -> tuple[dict[str, pa.Table], pa.Table]:
    """Return the spectrogram rows of some recordings in each view, and their errors."""
    rows: dict[str, list[dict[str, Any]]] = {view: [] for view in views}
    values: dict[str, list[np.ndarray[Any, Any]]] = {view: [] for view in views}
    errors = []
    for recording in recordings.to_pylist():
        try:
            # One thread everywhere, or the rounding would depend on where a slice is computed.
            with threadpool_limits(1):
                chunks = _compute_recording(recording["uri"], views, shapes)
        except Exception as error:  # one bad recording must not cost the others
            errors.append(error_row(recording, error))
            continue
        for view, spectrograms in chunks.items():
            for chunk, spectrogram in enumerate(spectrograms):
                values[view].append(spectrogram.values)
                rows[view].append(
                    {
                        "file": recording["file"],
                        "chunk": chunk,
                        "start": spectrogram.start,
                        "end": spectrogram.end,
                        **{key: recording[key] for key in ("label", "partition", "folds")},
                    }
                )
    keys = pa.schema([*KEYS, *FILE_METADATA])
    tables = {
        view: spectrogram_rows(
            pa.Table.from_pylist(rows[view], schema=keys), values[view], astuple(shapes[view])
        )
        for view in views
    }
    return tables, pa.Table.from_pylist(errors, schema=ERRORS)


def probe_shapes(manifest: pa.Table, views: Mapping[str, SpectrogramConfig]) -> dict[str, Shape]:
    """Return the shape of each view: fixed where the configuration fixes the length.

    The sample rate is that of the first recording whose header can be read.
    """
    sample_rate = None
    for place in manifest["uri"].to_pylist():
        try:
            sample_rate = read_header(uris.read_bytes(place)).sample_rate
            break
        except (OSError, RaudeepError):
            continue
    shapes = {}
    for view, config in views.items():
        fixed = config.fixed_seconds or config.chunk_seconds
        shapes[view] = Shape(None, None)
        if fixed is not None and sample_rate is not None:
            silence = np.zeros((1, int(sample_rate * (config.fixed_seconds or 0))), np.float32)
            if config.fixed_seconds is None:
                length = (config.chunk_count or 1) * (config.chunk_seconds or 0)
                length += config.window_seconds + config.overlap_seconds
                silence = np.zeros((1, int(sample_rate * length) + 1), np.float32)
            try:
                chunks = compute_views(silence, sample_rate=sample_rate, configs=[config])[0]
            except AudioError:
                continue  # the recordings fail the same way, each as a row of errors
            shapes[view] = Shape(*chunks[0].values.shape)
    return shapes


def _compute_recording(
    uri: str, views: Mapping[str, SpectrogramConfig], shapes: Mapping[str, Shape]
) -> dict[str, list[Spectrogram]]:
    samples, sample_rate = decode(uris.read_bytes(uri))
    computed = compute_views(samples, sample_rate=sample_rate, configs=list(views.values()))
    chunks = dict(zip(views, computed, strict=True))
    for view, spectrograms in chunks.items():
        found, wanted = spectrograms[0].values.shape, shapes[view]
        if wanted.frames is not None and found != (wanted.frames, wanted.bands):
            raise AudioError(
                f"at {sample_rate} Hz gives {found[0]} frames x {found[1]} bands in view {view!r}, "
                f"the others {wanted.frames} x {wanted.bands}. Set sample_rate to resample."
            )
    return chunks


def error_row(recording: Mapping[str, Any], error: Exception) -> dict[str, str]:
    """Return the row of the errors table for a recording that could not be used."""
    stage = "decode" if isinstance(error, AudioError) else "read"
    return {
        "file": recording["file"],
        "uri": recording["uri"],
        "stage": stage if isinstance(error, AudioError | OSError) else "spectrogram",
        "error": type(error).__name__,
        "message": str(error),
    }


def _finish(writer: TableWriter, num_parts: int, *, reused: int, started: float) -> StageSummary:
    index = writer.commit(num_parts)
    return StageSummary(
        stage="spectrograms",
        table=writer.uri,
        seconds=time.perf_counter() - started,
        parts=num_parts,
        reused=reused,
        rows=index.rows,
        errors=index.num_errors,
    )
