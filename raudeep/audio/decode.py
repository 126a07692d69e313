"""Decoding audio files with libsndfile: the one place where raudeep reads sound."""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
from numpy.typing import NDArray

from raudeep.errors import AudioError

__all__ = ["Header", "decode", "read_header", "resample"]

# An empty or damaged header can announce any rate; a filter bank for it would be nonsense.
_MAX_SAMPLE_RATE = 1_000_000


@dataclass(frozen=True)
class Header:
    """What a file says of itself: duration in seconds, sample rate in Hz, channels."""

    duration: float
    sample_rate: int
    channels: int


def read_header(content: bytes) -> Header:
    """Return duration, sample rate and channels without decoding.

    Raises
    ------
    AudioError
        If `content` is not audio that libsndfile knows.
    """
    try:
        info = soundfile.info(io.BytesIO(content))
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise AudioError(_reason(error, content)) from error
    return Header(info.frames / info.samplerate, info.samplerate, info.channels)


def decode(content: bytes) -> tuple[NDArray[np.float32], int]:
    """Return the samples and the sample rate of an encoded recording.

    Parameters
    ----------
    content : bytes
        WAV, FLAC, OGG, MP3, AIFF, AU or CAF.

    Returns
    -------
    samples : ndarray of float32, shape (channels, samples)
        Amplitudes, nominally in [-1, 1].
    sample_rate : int
        In Hz.

    Raises
    ------
    AudioError
        If the content is empty, not audio, or holds no finite sample.
    """
    try:
        samples, sample_rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise AudioError(_reason(error, content)) from error
    if samples.shape[0] == 0:
        raise AudioError("holds no samples")
    if not 0 < sample_rate <= _MAX_SAMPLE_RATE:
        raise AudioError(f"claims a sample rate of {sample_rate} Hz")
    if not np.isfinite(samples).all():
        raise AudioError("holds samples that are NaN or infinite")
    return np.ascontiguousarray(samples.T), sample_rate


def resample(
    samples: NDArray[np.float32], *, sample_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Return `samples`, shape (channels, samples), at `target_rate` in Hz (soxr, quality HQ)."""
    import soxr

    if sample_rate == target_rate:
        return samples
    resampled = soxr.resample(samples.T, sample_rate, target_rate, quality="HQ")
    return np.ascontiguousarray(resampled.T, dtype=np.float32)


def _reason(error: Exception, content: bytes) -> str:
    if not content:
        return "is empty"
    return f"cannot be decoded: {getattr(error, 'error_string', error)}"
