"""Decoding audio files, with libsndfile or FFmpeg: the one place where raudeep reads sound."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from raudeep.audio.containers import ENDLESS
from raudeep.audio.following import Followed
from raudeep.audio.opening import DECODER_ERRORS, audio_error, check_duration, open_sound
from raudeep.audio.truncation import check_size, check_whole, lengthening_of
from raudeep.errors import AudioError

__all__ = [
    "Block",
    "Header",
    "OnFault",
    "decode",
    "decode_blocks",
    "read_header",
    "resample",
]

OnFault = Callable[[AudioError], None]
"""Called with the fault of a recording that was read in part."""

_PIECE = 2**18  # samples that are decoded at a time where nothing says how many there are
_SALVAGED_PIECE = 2**12  # so that few are lost before a fault


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

    What does not say its duration, as FLAC that was streamed, is read to find it.

    Raises
    ------
    AudioError
        If `content` is not audio.
    """
    file = Followed(_file(content))
    with open_sound(file) as sound:
        rate, channels = sound.samplerate, sound.channels
        if sound.frames < ENDLESS:
            duration = sound.frames / rate
        elif (walk := file.walk()[0]) is not None:
            duration = walk.seconds(rate)
        else:
            duration = sum(map(len, _Reader(sound, file, None, None).pieces(ENDLESS))) / rate
        return Header(duration, rate, channels)


def decode(
    content: bytes | BinaryIO,
    *,
    max_duration: float | None = None,
    on_fault: OnFault | None = None,
) -> tuple[NDArray[np.float32], int]:
    """Return the samples and the sample rate of an encoded recording.

    Parameters
    ----------
    content : bytes or seekable binary file
        WAV, FLAC, OGG, MP3, AIFF, AU, CAF, W64; with PyAV M4A, MP4, AAC, WMA, WebM, AMR, WavPack.
    max_duration : float, optional
        Longest recording to take, in seconds.
    on_fault : callable, optional
        Take what can be read of a recording that is cut off or damaged, or holds more than its
        header says, and call this with the error. Without it the error is raised.

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
    with _open_reader(_file(content), max_duration, on_fault) as (reader, sound):
        return _checked(reader.read(ENDLESS)), sound.samplerate


def decode_blocks(
    file: BinaryIO,
    *,
    length_seconds: float,
    hop_seconds: float,
    max_duration: float | None = None,
    on_fault: OnFault | None = None,
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
    on_fault : callable, optional
        As of `decode`.

    Raises
    ------
    AudioError
        As `decode`, or if a block is shorter than a sample.
    """
    with _open_reader(file, max_duration, on_fault) as (reader, sound):
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
            read = reader.read(length - len(kept))
            if len(read) == 0 and start > 0:
                return
            frames = np.concatenate([kept, read]) if len(kept) else read
            yield Block(_checked(frames), rate, start / rate, (start + len(frames)) / rate)
            if len(frames) < length:
                return
            kept = frames[hop:]
            start += hop
            skipped = max(0, hop - length)
            if skipped and sum(map(len, reader.pieces(skipped, length))) < skipped:
                return


def resample(
    samples: NDArray[np.float32], *, sample_rate: int, target_rate: int
) -> NDArray[np.float32]:
    """Return `samples`, shape (channels, samples), at `target_rate` in Hz (soxr, quality HQ)."""
    import soxr

    if sample_rate == target_rate:
        return samples
    resampled = soxr.resample(samples.T, sample_rate, target_rate, quality="HQ")
    return np.ascontiguousarray(resampled.T, dtype=np.float32)


class _Reader:
    """The samples of an opened sound from its start to its end. The file must end there, too.

    Where it is not, `on_fault` is called with the error, once all is read that can be; without it
    that error is raised.
    """

    def __init__(
        self,
        sound: Any,
        file: Followed,
        max_duration: float | None,
        on_fault: OnFault | None,
        fault: AudioError | None = None,
    ) -> None:
        self._sound, self._file, self._max_duration = sound, file, max_duration
        self._on_fault = on_fault
        self._passed = 0
        self._fault = fault
        self._is_over = False
        with self._noted():
            check_size(sound, file)

    def read(self, num_frames: int) -> NDArray[np.float32]:
        """Return the next samples, shape (samples, channels); fewer at the end."""
        is_known = self._sound.frames < ENDLESS
        pieces = list(self.pieces(num_frames, self._sound.frames if is_known else _PIECE))
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def pieces(self, num_frames: int, longest: int = _PIECE) -> Iterator[NDArray[np.float32]]:
        """Yield the next samples in pieces, at least one of them."""
        longest = longest if self._on_fault is None else min(longest, _SALVAGED_PIECE)
        left = num_frames
        while True:
            wanted = max(0, min(left, longest, self._sound.frames - self._passed))
            piece = self._next(wanted)
            left -= len(piece)
            self._passed += len(piece)
            check_duration(self._passed / self._sound.samplerate, self._max_duration)
            if left > 0 and (len(piece) < wanted or self._passed >= self._sound.frames):
                self._end()
                left = 0
            yield piece
            if left <= 0:
                return

    def _next(self, num_frames: int) -> NDArray[np.float32]:
        piece = np.empty((0, self._sound.channels), np.float32)
        if not self._is_over:
            with self._noted():
                piece = self._sound.read(num_frames, dtype="float32", always_2d=True)
        return piece

    def _end(self) -> None:
        """Check that all was read, and say once if it was not."""
        if self._is_over and self._fault is None:
            return
        if self._fault is None:
            with self._noted():
                check_whole(self._sound, self._file, self._passed)
        self._is_over = True
        if self._fault is not None and self._on_fault is not None:
            if not self._passed:
                raise self._fault
            self._on_fault(self._fault)
            self._fault = None

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep what is raised as the fault where faults are asked for."""
        try:
            yield
        except (AudioError, *DECODER_ERRORS) as error:
            if self._on_fault is None:
                raise
            self._is_over |= not isinstance(error, AudioError)
            self._fault = self._fault or audio_error(error)


@contextmanager
def _open_reader(
    file: BinaryIO, max_duration: float | None, on_fault: OnFault | None
) -> Iterator[tuple[_Reader, Any]]:
    """Open encoded sound and what reads it, to the file's end where faults are asked for."""
    longer = None if on_fault is None else lengthening_of(file)
    followed = Followed(file)
    with open_sound(followed, max_duration, longer) as sound:
        fault = None if longer is None else longer.fault
        yield _Reader(sound, followed, max_duration, on_fault, fault), sound


def _file(content: bytes | BinaryIO) -> BinaryIO:
    return io.BytesIO(content) if isinstance(content, bytes) else content


def _checked(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples (channels, samples) from (samples, channels), which must be usable."""
    if frames.shape[0] == 0:
        raise AudioError("holds no samples")
    if not np.isfinite(frames).all():
        raise AudioError("holds samples that are NaN or infinite")
    return np.ascontiguousarray(frames.T)
