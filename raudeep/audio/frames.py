"""How much sound a stream of frames or pages holds, told by their headers; nothing is decoded.

MP3, AAC and Ogg have no size at their start that is always right. What they hold is the sum of
their frames, or what the last page counts.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from raudeep.audio.faults import LAST_PAGE, SEVERAL
from raudeep.audio.flac import FlacWalk
from raudeep.audio.tags import TAG_HEADER, tag_size
from raudeep.errors import AudioError

__all__ = ["FrameWalk", "OggWalk", "Walk", "says_count", "walk_of"]

_MPEG_HEADER, _AAC_HEADER = 4, 7
_MPEG_BEGINS = re.compile(rb"\xff[\xe2-\xff][\x10-\xef]")
_AAC_BEGINS = re.compile(rb"\xff[\xf0\xf1\xf8\xf9]")
_MPEG_RATES = (44100, 48000, 32000)  # of MPEG-1 in Hz; MPEG-2 has half of it, MPEG-2.5 a quarter
_KBITS = {  # whether it is MPEG-1, and layer: by the four bits of the header
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_AAC_RATES = (
    *(96000, 88200, 64000, 48000, 44100, 32000, 24000),
    *(22050, 16000, 12000, 11025, 8000, 7350),
)
_COUNTS = (b"Xing", b"Info", b"VBRI")  # in the first frame, which is no sound then
_COUNT_BYTES = 64  # of a frame, in which one of these begins
_OGG_HEADER, _OGG_TABLE = 27, 26
_OGG_KIND, _OGG_GRANULE, _OGG_SERIAL = 5, slice(6, 14), slice(14, 18)
_OGG_NUMBER = slice(18, 22)
_OGG_BEGINS = 2  # a flag of the first page of a stream
_OGG_AUDIO = (b"\x01vorbis", b"OpusHead", b"\x7fFLAC", b"Speex")
_OGG_STRAYS = 256  # bytes that a tag may have
_OPUS_RATE = 48000  # in which pages of Opus count
_LATE_SECONDS = 10.0  # where a stream that begins there was recorded from its middle


class Walk(Protocol):
    """Reads the headers of a stream that is handed to it piece by piece."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def seconds(self, sample_rate: int) -> float:
        """Return how much sound was passed; `sample_rate` is what its decoder says."""

    def spare(self) -> float:
        """Return how many seconds a decoder may leave out without a fault."""

    def check_end(self, num_unread: int) -> None:
        """Raise `AudioError` if what was passed is not all of one stream.

        The last `num_unread` bytes are those which the decoder did not ask for.
        """


class _Frame(NamedTuple):
    size: int
    kind: tuple[int, int, int]
    """Samples, rate in Hz, channels: the same in all frames of a recording."""


def walk_of(start: bytes) -> Walk | None:
    """Return the walk for a stream whose first bytes, after a tag, these are; None for others."""
    if start[:4] == b"OggS":
        return OggWalk()
    if start[:4] == b"fLaC":
        return FlacWalk()
    if _aac_frame(start[:_AAC_HEADER]):
        return FrameWalk(_aac_frame, _AAC_BEGINS, _AAC_HEADER)
    if _mpeg_frame(start[:_MPEG_HEADER]):
        return FrameWalk(_mpeg_frame, _MPEG_BEGINS, _MPEG_HEADER)
    return None


def says_count(start: bytes) -> bool:
    """Return whether an MP3 whose first frame this is says in it how many follow."""
    return any(name in start[:_COUNT_BYTES] for name in _COUNTS)


class FrameWalk:
    """The frames of MP3 (MPEG audio) or AAC (ADTS). Each frame says how long it is.

    Tags and what else lies between frames are passed over. Where one is damaged, sound goes on
    where two frames follow each other.

    Parameters
    ----------
    parse : callable
        ``parse(header)`` returns a frame, None if that is no header.
    begins : re.Pattern
        How headers begin.
    header_bytes : int
        Length of a header.
    """

    def __init__(
        self,
        parse: Callable[[bytes], _Frame | None],
        begins: re.Pattern[bytes],
        header_bytes: int,
    ) -> None:
        self._parse, self._begins, self._header_bytes = parse, begins, header_bytes
        self._sizes: dict[bytes, int] = {}  # of the headers of this kind that were seen
        self._kind: tuple[int, int, int] | None = None
        self._counts: Counter[tuple[int, int, int]] = Counter()
        self._rest = b""
        self._skip = 0
        self._holes = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + data
        place, width = self._skip, self._header_bytes
        while place + width <= len(data):
            place = self._pass_frames(data, place)
            if place + width > len(data):
                break
            place, is_found = self._next(data, place)
            if not is_found:
                break
        self._skip = max(0, place - len(data))
        self._rest = data[place:]

    def seconds(self, sample_rate: int) -> float:
        """Return how long the frames last."""
        return sum(count * samples / rate for (samples, rate, _), count in self._counts.items())

    def spare(self) -> float:
        """Return what decoders leave out at the start, and after each hole: up to three frames."""
        longest = max((samples / rate for samples, rate, _ in self._counts), default=0.0)
        return 3 * longest * (1 + self._holes)

    def check_end(self, num_unread: int) -> None:
        """Do nothing: frames end anywhere."""

    def _pass_frames(self, data: bytes, place: int) -> int:
        """Count the frames whose headers are known; return where they end."""
        sizes, width, count = self._sizes, self._header_bytes, 0
        while size := sizes.get(data[place : place + width]):
            place += size
            count += 1
        if self._kind is not None:
            self._counts[self._kind] += count
        return place

    def _next(self, data: bytes, place: int) -> tuple[int, bool]:
        """Return where the next frame or tag is, and whether enough is there to tell."""
        width = self._header_bytes
        if data[place : place + 3] == b"ID3":
            size = tag_size(data[place : place + TAG_HEADER])
            return place + (size or 0), size is not None
        frame = self._parse(data[place : place + width])
        if frame is not None and frame.kind == self._kind:
            self._sizes[data[place : place + width]] = frame.size
            return place, True
        for match in self._begins.finditer(data, place):
            found = match.start()
            if found + width > len(data):
                return found, False
            frame = self._parse(data[found : found + width])
            if frame is None:
                continue
            second = found + frame.size
            if second + width > len(data):
                return found, False
            following = self._parse(data[second : second + width])
            if following is not None and following.kind == frame.kind:
                is_first = self._kind is None
                self._holes += not is_first
                self._kind = frame.kind
                self._sizes = {data[found : found + width]: frame.size}
                is_count = is_first and says_count(data[found:second])
                return (second if is_count else found), True
        return max(place, len(data) - width + 1), False


class OggWalk:
    """The pages of Ogg: the last one of the sound counts its samples (RFC 3533)."""

    def __init__(self) -> None:
        self._rest = b""
        self._skip = 0
        self._has_begun = False  # all streams, so that one which begins later is a further one
        self._is_several = self._is_falling = False
        self._sound: tuple[bytes, bool] | None = None  # its serial number, whether it is Opus
        self._first = self._last = self._number = 0
        self._num_strays = 0  # bytes of no page

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        data = self._rest + data
        place = self._skip
        while place + _OGG_HEADER <= len(data):
            if data[place : place + 4] != b"OggS":
                found = data.find(b"OggS", place)
                self._num_strays += (found if found >= 0 else len(data) - 3) - place
                place = found if found >= 0 else len(data) - 3
                continue
            begin = place + _OGG_HEADER + data[place + _OGG_TABLE]
            size = sum(data[place + _OGG_HEADER : begin])
            if begin + min(size, 8) > len(data):
                break
            self._take(data[place : begin + 8])
            place = begin + size
        self._skip = max(0, place - len(data))
        self._rest = data[place:]

    def seconds(self, sample_rate: int) -> float:
        """Return what the pages count; 0 where that is not to be trusted: `check_end` says why."""
        if self._is_several or self._is_cut_off():
            return 0.0
        rate = _OPUS_RATE if self._sound is not None and self._sound[1] else sample_rate
        before = self._first if self._first > _LATE_SECONDS * rate else 0
        return (self._last - before) / rate

    def spare(self) -> float:
        """Return nothing: pages count what can be decoded."""
        return 0.0

    def check_end(self, num_unread: int) -> None:
        """Raise `AudioError` for several streams in a row, and if the last page is not whole.

        Streams side by side all begin at the start, one after the other they do not (RFC 3533,
        sections 4 and 6).
        """
        if self._is_several:
            raise AudioError(SEVERAL)
        if self._is_cut_off():
            raise AudioError(LAST_PAGE)
        if self._is_falling or self._num_strays > _OGG_STRAYS:
            raise AudioError(
                "is damaged: its pages do not follow each other, or count in order. To mend it: "
                "ffmpeg -i FILE NEW.wav"
            )

    def _is_cut_off(self) -> bool:
        return self._skip > 0 or self._rest.startswith(b"OggS")

    def _take(self, page: bytes) -> None:
        """Count the page that begins with these bytes."""
        serial = page[_OGG_SERIAL]
        if page[_OGG_KIND] & _OGG_BEGINS:
            self._is_several |= self._has_begun
            content = page[_OGG_HEADER + page[_OGG_TABLE] :]
            if self._sound is None and content.startswith(_OGG_AUDIO):
                self._sound = serial, content.startswith(b"OpusHead")
            return
        self._has_begun = True
        granule = int.from_bytes(page[_OGG_GRANULE], "little", signed=True)
        if granule >= 0 and self._sound is not None and serial == self._sound[0]:
            number = int.from_bytes(page[_OGG_NUMBER], "little")
            self._is_falling |= granule < self._last or number <= self._number
            self._number = number
            self._first = self._first or granule
            self._last = max(self._last, granule)


def _mpeg_frame(header: bytes) -> _Frame | None:
    """Return the frame of MPEG audio whose header these bytes are (ISO 11172-3, 2.4.1.3)."""
    if len(header) < _MPEG_HEADER or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    bits, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or bits in (0, 15) or rate == 3:
        return None
    is_first = version == 3
    hz = _MPEG_RATES[rate] // (1 if is_first else 2 if version == 2 else 4)
    speed = 1000 * _KBITS[is_first, layer][bits] // 8  # bytes per second
    samples = {1: 384, 2: 1152, 3: 1152 if is_first else 576}[layer]
    slot = 4 if layer == 1 else 1
    size = (samples // slot * speed // hz + padding) * slot
    return _Frame(size, (samples, hz, 1 if header[3] >> 6 == 3 else 2))


def _aac_frame(header: bytes) -> _Frame | None:
    """Return the frame of AAC whose header these bytes are (ISO 13818-7, 6.2)."""
    if len(header) < _AAC_HEADER or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return None
    rate = header[2] >> 2 & 15
    channels = (header[2] & 1) << 2 | header[3] >> 6
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate >= len(_AAC_RATES) or size < _AAC_HEADER:
        return None
    return _Frame(size, (1024 * (1 + (header[6] & 3)), _AAC_RATES[rate], channels))
