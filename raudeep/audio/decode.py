"""Decoding audio files, with libsndfile or FFmpeg: the one place where raudeep reads sound."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raudeep.audio.opening import open_sound
from raudeep.audio.truncation import check_size, check_whole
from raudeep.errors import AudioError

__all__ = [
    "Block",
    "Header",
    "decode",
    "decode_blocks",
    "read_header",
    "resample",
]


@dataclass(frozen=True)
class Header:
    """What a file says of itself: duration in seconds, sample rate in Hz, channels."""

    duration: float
    sample_rate: int
    channels: int


class Block(NamedTuple):
    """A piece of a recording, samples (channels, samples), from `start` to `end` in seconds."""

    samples: NDArray[np.float32]
    sample_rate: int
    start: float
    end: float


def read_header(content: bytes | BinaryIO) -> Header:
    """Return duration, sample rate and channels without decoding.

    What does not say its duration, as FLAC that was streamed, is decoded to find it.

    Raises
    ------
    AudioError
        If `content` is not audio.
    """
    with open_sound(_file(content)) as sound:
        return Header(sound.frames / sound.samplerate, sound.samplerate, sound.channels)


def decode(
    content: bytes | BinaryIO, *, max_duration: float | None = None
) -> tuple[NDArray[np.float32], int]:
    """Return the samples and the sample rate of an encoded recording.

    Parameters
    ----------
    content : bytes or seekable binary file
        WAV, FLAC, OGG, MP3, AIFF, AU, CAF, W64; with PyAV M4A, MP4, AAC, WMA, WebM, AMR, WavPack.
    max_duration : float, optional
        Longest recording to take, in seconds.

    Returns
    -------
    samples : ndarray of float32, shape (channels, samples)
        Amplitudes, nominally in [-1, 1].
    sample_rate : int
        In Hz.

    Raises
    ------
    AudioError
        If the content is empty, not audio, cut off, too long, or holds no finite sample.
    """
    file = _file(content)
    with open_sound(file, max_duration) as sound:
        check_size(sound, file)
        samples = sound.read(sound.frames, dtype="float32", always_2d=True)
        check_whole(sound, file, len(samples))
        return _checked(samples), sound.samplerate


def decode_blocks(
    file: BinaryIO,
    *,
    length_seconds: float,
    hop_seconds: float,
    max_duration: float | None = None,
) -> Iterator[Block]:
    """Yield a recording in blocks that overlap or follow each other, reading no more than one.

    Length and hop are rounded to samples; block k starts at k hops. The last block ends with the
    recording and may be shorter; there is none that holds only what the one before it held.

    Parameters
    ----------
    file : seekable binary file
        As the content of `decode`.
    length_seconds, hop_seconds : float
        Length of a block and distance from one start to the next, greater than 0.
    max_duration : float, optional
        Longest recording to take, in seconds.

    Raises
    ------
    AudioError
        As `decode`, or if a block is shorter than a sample.
    """
    with open_sound(file, max_duration) as sound:
        check_size(sound, file)
        rate = sound.samplerate
        length, hop = round(length_seconds * rate), round(hop_seconds * rate)
        if min(length, hop) < 1:
            raise AudioError(
                f"has a sample rate of {rate} Hz, too low for blocks of {length_seconds} s every "
                f"{hop_seconds} s"
            )
        kept = np.empty((0, sound.channels), np.float32)
        start = 0
        while True:
            wanted = min(length - len(kept), sound.frames)
            read = sound.read(wanted, dtype="float32", always_2d=True)
            if len(kept) + len(read) < length:
                check_whole(sound, file, start + len(kept) + len(read))
            if len(read) == 0 and start > 0:
                return
            frames = np.concatenate([kept, read]) if len(kept) else read
            yield Block(_checked(frames), rate, start / rate, (start + len(frames)) / rate)
            if len(frames) < length:
                return
            kept = frames[hop:]
            start += hop
            skipped = max(0, hop - length)
            while skipped > 0:
                passed = len(sound.read(min(skipped, length), dtype="float32", always_2d=True))
                if passed == 0:
                    check_whole(sound, file, start - skipped)
                    return
                skipped -= passed


def resample(
    samples: NDArray[np.float32], *, sample_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Return `samples`, shape (channels, samples), at `target_rate` in Hz (soxr, quality HQ)."""
    import soxr

    if sample_rate == target_rate:
        return samples
    resampled = soxr.resample(samples.T, sample_rate, target_rate, quality="HQ")
    return np.ascontiguousarray(resampled.T, dtype=np.float32)


def _file(content: bytes | BinaryIO) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content


def _checked(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples (channels, samples) from (samples, channels), which must be usable."""
    if frames.shape[0] == 0:
        raise AudioError("holds no samples")
    if not np.isfinite(frames).all():
        raise AudioError("holds samples that are NaN or infinite")
    return np.ascontiguousarray(frames.T)
