"""Sound that FFmpeg decodes, in PyAV: containers and codecs that libsndfile does not read.

Its first bytes say what a file is, and only the kinds below reach FFmpeg, each under its own name:
asked to guess, it takes a text for an image, and a list of other files for a recording.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raudeep.audio.faults import cut_off, longer
from raudeep.audio.tags import Readable, skip_tag
from raudeep.errors import AudioError

__all__ = ["ENDLESS", "ContainerSound", "container_of", "has_ffmpeg", "shared_container_of"]

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
_SHARED_MAGIC = {  # of what libsndfile reads as well, but not with every codec
    (0, b"OggS"): "ogg",
    (0, b"caff"): "caf",
    (0, b"fLaC"): "flac",
    (0, b".snd"): "au",
    (0, b"riff\x2e\x91\xcf\x11"): "w64",
    (8, b"WAVE"): "wav",
    (8, b"AIFF"): "aiff",
    (8, b"AIFC"): "aiff",
}
_ADTS = 0xF6  # of the second byte of AAC what is always the same; MP3 differs in it
_UNCOUNTED = ("aac", "amr")  # they do not say how long they are, and FFmpeg guesses
_FILLED = 4096  # samples that an encoder adds at most at the start, or to fill its last packet
_SPARE_SECONDS = 0.1  # that headers, which round, may say too few or too many


def container_of(file: Readable) -> str | None:
    """Return which of the containers that only FFmpeg reads a file is, and go to its start."""
    return _kind_of(file, _MAGIC)


def shared_container_of(file: Readable) -> str | None:
    """Return which of the containers that libsndfile reads as well a file is; go to its start."""
    return _kind_of(file, _SHARED_MAGIC)


def has_ffmpeg() -> bool:
    """Return whether PyAV is installed."""
    try:
        _av()
    except AudioError:
        return False
    return True


class ContainerSound:
    """The first audio stream of a container, read as a `soundfile.SoundFile` is.

    Parameters
    ----------
    file : seekable binary file
        At its start.
    kind : str
        What `container_of` or `shared_container_of` says of it.

    Raises
    ------
    AudioError
        If PyAV is not installed, there is no audio in it, or the header contradicts what follows.
    ValueError
        If FFmpeg cannot read it; so do its methods.
    """

    extra_info = ""

    def __init__(self, file: Readable, *, kind: str) -> None:
        self.format = kind.upper()
        with _value_errors():
            self._container = _av().open(file, format=kind)
        streams = self._container.streams.audio
        if not streams:
            self._container.close()
            raise AudioError("holds no audio")
        self._stream = streams[0]
        if self._stream.codec_context is None:
            self._container.close()
            raise ValueError("Decoder not found")  # as FFmpeg says where it looks for one
        if (kind, self._stream.codec_context.name) == ("caf", "alac"):
            # FFmpeg would take from the last frame what CAF counts too many for it, twice.
            self._stream.codec_context.options = {"flags2": "+skip_manual"}
        self._whole_seconds: float | None = None
        """Up to where all streams together go, where that has to be checked."""
        self.samplerate: int = self._stream.codec_context.sample_rate
        self.channels: int = self._stream.codec_context.channels
        self.frames = self._promised(kind)
        """Samples of each channel; `ENDLESS` where nothing says. What is beyond is not read."""
        self._left = self.frames
        self._longest = 0  # samples of a packet
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
        if len(joined) < frames and self._left < min(2 * self._longest, _FILLED):
            self.frames -= self._left  # some count the delay, and the last packet as a full one
            self._left = 0
        elif self._left == 0:
            self._check_rest()
        return joined[:frames]

    def __enter__(self) -> "ContainerSound":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End reading; the file stays open."""
        self._container.close()

    def _promised(self, kind: str) -> int:
        """Return how many samples the header says that the stream has.

        What it says of the whole is right for a stream that is alone in it and begins with it.
        """
        stream, whole = self._stream, self._container.duration
        if kind in _UNCOUNTED:
            return ENDLESS
        if stream.duration is not None:
            return round(float(stream.duration * stream.time_base) * self.samplerate)
        if whole is None:
            return ENDLESS
        seconds = float(whole / _av().time_base)
        start = float((stream.start_time or 0) * stream.time_base)
        if len(self._container.streams) > 1 or start > _SPARE_SECONDS:
            self._whole_seconds = seconds
            return ENDLESS
        return round(seconds * self.samplerate)

    def _decoded(self) -> Iterator[NDArray[np.float32]]:
        """Yield what the stream's frames hold, shape (samples, channels)."""
        # Packed: PyAV 18 does not survive the planes of eight channels.
        resampler = _av().AudioResampler(format="flt", rate=self.samplerate)
        rate, decoded = None, 0
        with _value_errors():
            for frame in self._frames():
                seconds = decoded / self.samplerate
                rate = rate or frame.sample_rate
                _check_same("channels", self.channels, frame.layout.nb_channels, seconds)
                _check_same("sample rate", rate, frame.sample_rate, seconds)
                for packed in resampler.resample(frame):
                    block = packed.to_ndarray().reshape(-1, self.channels)
                    self._longest = max(self._longest, len(block))
                    decoded += len(block)
                    yield block

    def _frames(self) -> Iterator[Any]:
        if self._whole_seconds is None:
            yield from self._container.decode(self._stream)
            return
        ends: dict[int, tuple[float, float]] = {}  # of each stream the last start, and the end
        for packet in self._container.demux():
            if packet.pts is not None:
                start = float(packet.pts * packet.time_base)
                last = ends.get(packet.stream.index, (start, start))[0]
                duration = float((packet.duration or 0) * packet.time_base) or start - last
                ends[packet.stream.index] = start, start + duration
            if packet.stream.index == self._stream.index:
                yield from packet.decode()
        end = max((end for _, end in ends.values()), default=0.0)
        if end < self._whole_seconds - _SPARE_SECONDS:
            raise cut_off(f"{self._whole_seconds:.6g} s", f"{end:.6g} s")

    def _check_rest(self) -> None:
        """Raise `AudioError` if more follows than what an encoder adds to fill its packets."""
        rest, self._waiting = len(self._waiting), self._waiting[:0]
        rest += sum(map(len, self._blocks))
        if rest > max(_SPARE_SECONDS * self.samplerate, min(2 * self._longest, _FILLED)):
            promised, held = (n / self.samplerate for n in (self.frames, self.frames + rest))
            raise longer(f"{promised:.6g} s", f"{held:.6g} s", "ffmpeg -i FILE NEW.wav")


def _kind_of(file: Readable, magics: Mapping[tuple[int, bytes], str]) -> str | None:
    skip_tag(file)
    start = file.read(16)
    file.seek(0)
    for (offset, magic), kind in magics.items():
        found = start[offset : offset + len(magic)]
        if kind == "aac" and len(found) == len(magic):
            found = bytes([found[0], found[1] & _ADTS])
        if found == magic:
            return kind
    return None


def _check_same(name: str, before: int, now: int, seconds: float) -> None:
    if before != now:
        raise AudioError(
            f"changes its {name} from {before} to {now} after {seconds:.6g} s; "
            "to mend it: ffmpeg -i FILE NEW.wav"
        )


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
