"""Opening encoded sound with libsndfile or FFmpeg, and saying what is wrong with it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import soundfile
from numpy.typing import NDArray

from raudeep.audio.channels import wave_order
from raudeep.audio.containers import (
    ENDLESS,
    ContainerSound,
    container_of,
    has_ffmpeg,
    shared_container_of,
)
from raudeep.audio.reasons import reason_of
from raudeep.audio.tags import Readable
from raudeep.audio.truncation import Lengthening
from raudeep.errors import AudioError

__all__ = ["DECODER_ERRORS", "audio_error", "check_duration", "open_sound"]

DECODER_ERRORS = (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError)
"""What decoders raise of a file that they cannot read."""

# An empty or damaged header can announce any rate; a filter bank for it would be nonsense.
_MAX_SAMPLE_RATE = 1_000_000
_MOST_SAMPLES = 2**36  # that a header can promise; FLAC has so many bits for them


def check_duration(duration: float, max_duration: float | None) -> None:
    """Raise `AudioError` for a recording that is longer than what is to be taken, in seconds."""
    if max_duration is not None and duration > max_duration:
        raise AudioError(f"lasts {duration:.6g} s, longer than max_duration={max_duration:g} s")


@contextmanager
def open_sound(
    file: Readable, max_duration: float | None = None, lengthening: Lengthening | None = None
) -> Iterator[Any]:
    """Open encoded sound; whatever libsndfile does not like in it is an `AudioError`."""
    careful = _Careful(file, lengthening)
    try:
        with _open(careful) as sound:
            if not 0 < sound.samplerate <= _MAX_SAMPLE_RATE:
                raise AudioError(f"claims a sample rate of {sound.samplerate} Hz")
            if sound.frames < ENDLESS:
                check_duration(sound.frames / sound.samplerate, max_duration)
            yield sound
            if careful.error is not None:  # what was read until then looks like the end
                raise careful.error
    except AudioError as error:
        raise (careful.error or error) from None
    except DECODER_ERRORS as error:
        if careful.error is not None:
            raise careful.error from error
        if file.seek(0, io.SEEK_END) == 0:
            raise AudioError("is empty") from error
        raise audio_error(error) from error


def audio_error(error: Exception) -> AudioError:
    """Return the error of a recording for what a decoder raised."""
    if isinstance(error, AudioError):
        return error
    return AudioError(f"cannot be decoded: {reason_of(error)}")


class _Careful:
    """A file for decoders, which drop what is raised while they read; `error` keeps it.

    With a `lengthening`, its header says how long the file is.
    """

    def __init__(self, file: Readable, lengthening: Lengthening | None) -> None:
        self._file = file
        self._lengthening = lengthening
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            data = self._file.read(size)
        except Exception as error:
            self.error = error
            return b""
        if self._lengthening is None:
            return data
        place = self._lengthening.place - (self._file.tell() - len(data))
        return _replaced(data, place, self._lengthening.size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; stay before the start, and end at the end, as damaged headers ask.

        Files of different kinds do different things there: one in memory goes to its start.
        """
        here = self._file.tell()
        place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: here, io.SEEK_END: self._size}[whence]
        return self._file.seek(min(place, self._size) if place >= 0 else here)

    def tell(self) -> int:
        return self._file.tell()


def _replaced(data: bytes, place: int, new: bytes) -> bytes:
    """Return data with what stands at a place, as far as that is in it, replaced."""
    first, last = max(0, place), min(len(data), place + len(new))
    if first >= last:
        return data
    return data[:first] + new[first - place : last - place] + data[last:]


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """Sound that is read from its start to its end, its channels in the order of WAV.

    Where soundfile can seek, it does so after each read, and MP3 does not go on there as it would.
    """

    def __init__(self, file: _Careful) -> None:
        super().__init__(file)
        self._order = wave_order(self, file)

    @property
    def frames(self) -> int:
        """Samples of each channel; `ENDLESS` where nothing says how many."""
        said = super().frames
        return said if said < _MOST_SAMPLES else ENDLESS

    def seekable(self) -> bool:
        return False

    def read(self, frames: int, **settings: Any) -> NDArray[Any]:
        """Return the next samples, shape (samples, channels)."""
        samples: NDArray[Any] = super().read(frames, **settings)
        return samples if self._order is None else samples[:, list(self._order)]


def _open(file: _Careful) -> Any:
    kind = container_of(file)
    if kind is not None:
        return ContainerSound(file, kind=kind)
    try:
        return _Sequential(file)
    except soundfile.LibsndfileError as error:
        kind = shared_container_of(file)
        if kind is None or file.error is not None:
            raise
        return _handed_on(file, kind, error)


def _handed_on(file: _Careful, kind: str, error: soundfile.LibsndfileError) -> ContainerSound:
    """Open with FFmpeg what libsndfile cannot; raise its `error` where FFmpeg cannot either."""
    if not has_ffmpeg():
        raise AudioError(
            f"cannot be decoded: it is {kind.upper()} with a codec that libsndfile does not read, "
            "or damaged; pip install 'raudeep[ffmpeg]' to read more codecs, or convert it to WAV"
        ) from error
    try:
        return ContainerSound(file, kind=kind)
    except (AudioError, ValueError):
        raise error from None
