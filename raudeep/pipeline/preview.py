"""One recording's spectrogram, before a long run: what the parameters do to it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.audio.decode import decode
from raudeep.audio.spectrogram import compute_spectrogram
from raudeep.config import SpectrogramConfig
from raudeep.errors import AudioError, ManifestError
from raudeep.pipeline.corpus import load_manifest
from raudeep.storage.recordings import read_recording

__all__ = ["Preview", "preview_recording"]


@dataclass(frozen=True)
class Preview:
    """Facts about a recording and its spectrogram in decibels."""

    facts: dict[str, Any]
    decibels: NDArray[np.float32]
    """All chunks one after the other, shape (T, F), not scaled."""


def preview_recording(
    corpus: str,
    config: SpectrogramConfig,
    *,
    recording: str | None = None,
    layout: str | None = None,
) -> Preview:
    """Return the spectrogram of one recording, in decibels, as a run would compute it.

    Parameters
    ----------
    corpus : str
        URI of a corpus, a manifest or a single recording.
    config : SpectrogramConfig
        The view; its values are not scaled to [-1, 1] here.
    recording : str, optional
        Its `file`, or its place in the sorted corpus, from 0; the first without.
    layout : str, optional
        Name of the corpus layout.

    Raises
    ------
    ManifestError
        If there is no such recording.
    AudioError
        If it cannot be used.
    """
    manifest, _ = load_manifest(corpus, layout=layout, labelled=False)
    files = manifest["file"].to_pylist()
    if recording is None or (recording.isdecimal() and recording not in files):
        row = int(recording or 0)
    else:
        row = files.index(recording) if recording in files else -1
    if not 0 <= row < len(files):
        raise ManifestError(
            f"{corpus} has no recording {recording!r}. Give a file such as {files[0]!r}, or a "
            f"number from 0 to {len(files) - 1}."
        )
    metadata = manifest.slice(row, 1).to_pylist()[0]
    try:
        samples, sample_rate = decode(read_recording(metadata["uri"]))
        view = replace(config, normalise=False)
        chunks = compute_spectrogram(samples, sample_rate=sample_rate, config=view)
    except (AudioError, OSError) as error:
        raise AudioError(f"recording {metadata['file']!r} {error}") from error
    values = np.concatenate([chunk.values for chunk in chunks])
    facts = {
        **{key: metadata[key] for key in ("file", "label", "partition", "folds")},
        "sample_rate": sample_rate,
        "channels": samples.shape[0],
        "duration_seconds": samples.shape[1] / sample_rate,
        "chunks": len(chunks),
        "frames": len(chunks[0].values),
        "bands": values.shape[1],
        "minimum_db": float(values.min()),
        "maximum_db": float(values.max()),
    }
    return Preview(facts, values)
