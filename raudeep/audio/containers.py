"""Containers that libsndfile does not know (M4A, MP4, AAC, WMA, WebM …), decoded by FFmpeg in PyAV.

Its first bytes say what a file is, and only these kinds reach FFmpeg, each under its own name:
asked to guess, it takes a text for an image, and a list of other files for a recording.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.audio.tags import Readable, skip_tag
from raudeep.errors import AudioError

__all__ = ["ENDLESS", "ContainerSound", "container_of"]

ENDLESS = 2**62
"""Samples of what does not say how long it is; libsndfile has more for such FLAC."""

_MAGIC = {  # where it stands, and FFmpeg's name for what it begins
    (4, b"ftyp"): "mov",  # M4A, M4B, MP4, 3GP
    (0, b"\x1aE\xdf\xa3"): "matroska",  # WebM, MKA
    (0, b"0&\xb2u\x8ef\xcf\x11"): "asf",  # WMA
    (0, b"\xff\xf0"): "aac",
    (0, b"#!AMR"): "amr",
    (0, b"wvpk"): "wv",  # WavPack
}
_ADTS = 0xF6  # of the second byte of AAC what is always the same; MP3 differs in it
_UNCOUNTED = ("aac", "amr")  # they do not say how long they are, and FFmpeg guesses


def container_of(file: Readable) -> str | None:
    """Return which of the containers a file is, and go to its start; None if none."""
    skip_tag(file)
    start = file.read(16)
    file.seek(0)
    for (offset, magic), kind in _MAGIC.items():
        found = start[offset : offset + len(magic)]
        if kind == "aac" and len(found) == len(magic):
            found = bytes([found[0], found[1] & _ADTS])
        if found == magic:
            return kind
    return None


class ContainerSound:
    """The first audio stream of a container, read as a `soundfile.SoundFile` is.

    Parameters
    ----------
    file : seekable binary file
        At its start.
    kind : str
        What `container_of` says of it.
    frames : int, optional
        How many samples of each channel it has, where that was counted.

    Raises
    ------
    AudioError
        If PyAV is not installed, or there is no audio in it.
    ValueError
        If FFmpeg cannot read it; so do its methods.
    """

    extra_info = ""

    def __init__(self, file: Readable, *, kind: str, frames: int | None = None) -> None:
        self.format = kind
        with _value_errors():
            self._container = _av().open(file, format=kind)
        streams = self._container.streams.audio
        if not streams:
            self._container.close()
            raise AudioError("holds no audio")
        self._stream = streams[0]
        self.samplerate: int = self._stream.codec_context.sample_rate
        self.channels: int = self._stream.codec_context.layout.nb_channels
        self.frames = self._promised() if frames is None else frames
        """Samples of each channel; `ENDLESS` where nothing says. What is beyond is not read."""
        self._left = self.frames
        self._blocks = self._decoded()
        self._waiting = np.empty((0, self.channels), np.float32)

    def read(
        self, frames: int, dtype: str = "float32", always_2d: bool = True
    ) -> NDArray[np.float32]:
        """Return the next samples, shape (samples, channels); fewer at the end."""
        frames = min(frames, self._left)
        held, blocks = len(self._waiting), [self._waiting]
        while held < frames and (block := next(self._blocks, None)) is not None:
            blocks.append(block)
            held += len(block)
        joined = np.concatenate(blocks)
        self._waiting = joined[frames:]
        self._left -= len(joined[:frames])
        return joined[:frames]

    def __enter__(self) -> "ContainerSound":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End reading; the file stays open."""
        self._container.close()

    def _promised(self) -> int:
        stream, whole = self._stream, self._container.duration
        if self.format in _UNCOUNTED or (stream.duration is None and whole is None):
            return ENDLESS
        if stream.duration is not None:
            return round(float(stream.duration * stream.time_base) * self.samplerate)
        return round(float(whole / _av().time_base) * self.samplerate)

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Yield what the stream's frames hold, at one rate, whatever each of them says."""
        resampler = _av().AudioResampler(format="fltp", rate=self.samplerate)
        with _value_errors():
            for frame in self._container.decode(self._stream):
                for block in resampler.resample(frame):
                    yield block.to_ndarray().T


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise AudioError(
            "is of a kind that is read with PyAV: pip install 'raudeep[ffmpeg]'"
        ) from error
    return av


@contextmanager
def _value_errors() -> Iterator[None]:
    try:
        yield
    except _av().FFmpegError as error:
        raise ValueError(error.strerror or str(error)) from error
