"""Opening encoded sound with libsndfile or FFmpeg, and saying what is wrong with it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import soundfile

from raudeep.audio.containers import ENDLESS, ContainerSound, container_of
from raudeep.audio.tags import Readable
from raudeep.errors import AudioError

__all__ = ["check_duration", "open_sound"]

# An empty or damaged header can announce any rate; a filter bank for it would be nonsense.
_MAX_SAMPLE_RATE = 1_000_000
_MOST_SAMPLES = 2**36  # that a header can promise; FLAC has so many bits for them


def check_duration(duration: float, max_duration: float | None) -> None:
    """Raise `AudioError` for a recording that is longer than what is to be taken, in seconds."""
    if max_duration is not None and duration > max_duration:
        raise AudioError(f"lasts {duration:.6g} s, longer than max_duration={max_duration:g} s")


@contextmanager
def open_sound(file: Readable, max_duration: float | None = None) -> Iterator[Any]:
    """Open encoded sound; whatever libsndfile does not like in it is an `AudioError`."""
    careful = _Careful(file)
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
    except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError) as error:
        if careful.error is not None:
            raise careful.error from error
        if file.seek(0, io.SEEK_END) == 0:
            raise AudioError("is empty") from error
        said = getattr(error, "error_string", None) or str(error) or type(error).__name__
        raise AudioError(f"cannot be decoded: {said}") from error


class _Careful:
    """A file for libsndfile, which drops what is raised while it reads; `error` keeps it."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.error: Exception | None = None

    def read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except Exception as error:
            self.error = error
            return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):  # before the start, as damaged headers ask
            return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]  # it has no types
    """Sound that is read from its start to its end.

    Where soundfile can seek, it does so after each read, and MP3 does not go on there as it would.
    """

    @property
    def frames(self) -> int:
        """Samples of each channel; `ENDLESS` where nothing says how many."""
        said = super().frames
        return said if said < _MOST_SAMPLES else ENDLESS

    def seekable(self) -> bool:
        return False


def _open(file: _Careful) -> Any:
    kind = container_of(file)
    return _Sequential(file) if kind is None else ContainerSound(file, kind=kind)
