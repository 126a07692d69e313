"""What the processes that decode do with a recording: see `raudeep.pipeline.recordings.isolation`.

``a row of the manifest -> decode (whole, or block by block) -> spectrograms in all views``

Nothing here imports torch or Ray: each of these processes would carry them along.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raudeep.audio.decode import (
    Header,
    OnFault,
    decode,
    decode_blocks,
    read_header,
    resample,
)
from raudeep.audio.framing import mix_channels
from raudeep.audio.spectrogram import Spectrogram, compute_views
from raudeep.config import ChunkConfig, SpectrogramConfig
from raudeep.errors import AudioError
from raudeep.storage.recordings import open_recording, read_recording

__all__ = ["RecordingRow", "Salvaged", "Views", "load_header", "load_mono", "load_views"]

RecordingRow = Mapping[str, Any]
"""A row of a manifest."""


class Salvaged(NamedTuple):
    """What was taken of a recording that is cut off or damaged."""

    until: float
    """Where it ends, in seconds."""
    reason: str


Views = dict[str, list[Spectrogram]]
"""Chunks by view: all of a recording or, where it is read block by block, one."""


def load_views(
    recording: RecordingRow,
    *,
    views: Mapping[str, SpectrogramConfig],
    chunks: ChunkConfig | None = None,
    max_duration: float | None = None,
) -> Iterator[Views | Salvaged]:
    """Yield the spectrograms of a recording, once or, with `chunks`, for one chunk at a time.

    Each chunk is a recording of its own: 0 dB is the loudest cell in it. Where a view has a fixed
    length, that of the chunks takes its place, and the last chunk is padded to it. After the first
    chunk, what is shorter than a window is none, with a fixed length neither. With `salvage`, the
    last thing says why there is not more of a recording that is cut off or damaged.
    """
    faults: list[AudioError] = []
    on_fault = faults.append if chunks is not None and chunks.salvage else None
    end = 0.0
    for found, until in _loaded(recording, views, chunks, max_duration, on_fault):
        yield found
        end = until
    if faults:
        yield Salvaged(end, str(faults[0]))


def _loaded(
    recording: RecordingRow,
    views: Mapping[str, SpectrogramConfig],
    chunks: ChunkConfig | None,
    max_duration: float | None,
    on_fault: OnFault | None,
) -> Iterator[tuple[Views, float]]:
    """Yield the spectrograms of a recording, or of one chunk after the other, and where it ends."""
    if chunks is None or chunks.chunk_seconds is None or chunks.hop_seconds is None:
        content = read_recording(recording["uri"])
        samples, rate = decode(content, max_duration=max_duration, on_fault=on_fault)
        yield _compute(samples, rate, views), samples.shape[1] / rate
        return
    views = {name: _of_a_chunk(view, chunks.chunk_seconds) for name, view in views.items()}
    with open_recording(recording["uri"]) as file:
        blocks = decode_blocks(
            file,
            length_seconds=chunks.chunk_seconds,
            hop_seconds=chunks.hop_seconds,
            max_duration=max_duration,
            on_fault=on_fault,
        )
        for block in blocks:
            if block.start > 0 and _is_short(block.samples, block.sample_rate, views):
                return  # what is left over is no chunk, padded neither
            try:
                found = _compute(block.samples, block.sample_rate, views)
            except AudioError as error:
                raise AudioError(f"from {block.start:g} s on: {error}") from error
            spectrograms = {
                name: [replace(each, start=block.start, end=block.end) for each in of_view]
                for name, of_view in found.items()
            }
            yield spectrograms, block.end


def load_mono(
    recording: RecordingRow, *, sample_rate: int, max_duration: float | None = None
) -> Iterator[NDArray[np.float32]]:
    """Yield the mean of a recording's channels at a sample rate in Hz, shape (samples,)."""
    samples, rate = decode(read_recording(recording["uri"]), max_duration=max_duration)
    mono = mix_channels(samples, "mean")[np.newaxis]
    yield resample(mono, sample_rate=rate, target_rate=sample_rate)[0]


def load_header(recording: RecordingRow) -> Iterator[Header]:
    """Yield the header of a recording."""
    with open_recording(recording["uri"]) as file:
        yield read_header(file)


def _compute(
    samples: NDArray[np.float32], rate: int, views: Mapping[str, SpectrogramConfig]
) -> Views:
    computed = compute_views(samples, sample_rate=rate, configs=list(views.values()))
    return dict(zip(views, computed, strict=True))


def _of_a_chunk(view: SpectrogramConfig, seconds: float) -> SpectrogramConfig:
    fixed = None if view.fixed_seconds is None else seconds
    return replace(view, fixed_seconds=fixed, center=False, chunk_seconds=None, chunk_count=None)


def _is_short(
    samples: NDArray[np.float32], rate: int, views: Mapping[str, SpectrogramConfig]
) -> bool:
    """Return whether one of the views has a window that is longer than the samples."""
    for view in views.values():
        target = view.sample_rate or rate
        resampled = int(samples.shape[1] * target / rate + 0.5)  # as soxr rounds
        if resampled < int(view.window_seconds * target):
            return True
    return False
