"""How much sound a FLAC stream holds: its frames are numbered (RFC 9639, section 9.1)."""

import re

from raudeep.audio.tags import SEVERAL
from raudeep.errors import AudioError

__all__ = ["FlacWalk"]

_TAIL = 2**17  # bytes at the end in which the last two frames are
_BEGIN = b"fLaC\0\0\0\x22"  # of a file, with that of its first block
_FRAME = re.compile(rb"\xff[\xf8\xf9]")
_FIRST = re.compile(rb"\xff[\xf8\xf9][\x10-\xff].\0", re.DOTALL)  # a frame of number 0
_LEAST_HEADER, _MOST_HEADER = 6, 16  # bytes
_OWN_BEGINS = 2  # the file, and its first frame
_INFO_END = 42  # where the first block of a file ends
_SIZES = (0, 192, *(576 << each for each in range(4)), 0, 0, *(256 << each for each in range(8)))
_SIZE_BYTES = {6: 1, 7: 2}  # by the code of a block size: where it is written behind the number
_RATE_BYTES = {12: 1, 13: 2, 14: 2}
_VARIES = 1  # a bit of the second byte: frames of different lengths are numbered by sample
_CRC8 = [0] * 256
for _byte in range(256):
    _crc = _byte
    for _ in range(8):
        _crc = (_crc << 1 ^ 7) & 0xFF if _crc & 0x80 else _crc << 1
    _CRC8[_byte] = _crc


class FlacWalk:
    """The last frames of a FLAC stream, which say where they stand."""

    def __init__(self) -> None:
        self._tail = b""
        self._num_begins = 0  # of files and of their frames
        self._start = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if len(self._start) < _INFO_END:
            self._start += data[:_INFO_END]
        new = max(0, len(self._tail) - _MOST_HEADER)
        data = self._tail + data
        self._num_begins += data.count(_BEGIN, new)
        for match in _FIRST.finditer(data, new):
            header = data[match.start() : match.start() + _MOST_HEADER]
            self._num_begins += _parse(header, 1) is not None
        self._tail = data[-_TAIL:]

    def seconds(self, sample_rate: int) -> float:
        """Return where the last frame ends, which follows another one; 0 if there is none such."""
        size, longest = int.from_bytes(self._start[10:12], "big"), self._start[15:18]
        place = max(0, len(self._tail) - 3 * (int.from_bytes(longest, "big") or _TAIL))
        end, last = 0, -1
        for match in _FRAME.finditer(self._tail, place):
            found = _parse(self._tail[match.start() : match.start() + _MOST_HEADER], size)
            if found is None:
                continue
            begin, samples = found
            if begin == last or begin == 0:
                end = max(end, begin + samples)
            last = begin + samples
        return end / sample_rate

    def spare(self) -> float:
        """Return nothing: each sample is there."""
        return 0.0

    def check_end(self) -> None:
        """Raise `AudioError` if another stream follows."""
        if self._num_begins > _OWN_BEGINS:
            raise AudioError(SEVERAL)


def _parse(header: bytes, size: int) -> tuple[int, int] | None:
    """Return number of the first sample, and of samples, of a frame; None if that is none.

    `size` is what all frames have but the last, where they are of one length.
    """
    if len(header) < _LEAST_HEADER:
        return None
    ones = 8 - (header[4] ^ 0xFF).bit_length()  # of the number, which is written as UTF-8 is
    if ones in (1, 8):
        return None
    number = header[4] & (0x7F >> ones)
    end = 5 + max(0, ones - 1)
    for byte in header[5:end]:
        number = number << 6 | byte & 0x3F
    code = header[2] >> 4
    samples = _SIZES[code]
    if code in _SIZE_BYTES:
        begin, end = end, end + _SIZE_BYTES[code]
        samples = 1 + int.from_bytes(header[begin:end], "big")
    end += _RATE_BYTES.get(header[2] & 15, 0)
    check = 0
    for byte in header[:end]:
        check = _CRC8[check ^ byte]
    if not samples or end >= len(header) or check != header[end]:
        return None
    return (number if header[1] & _VARIES else number * size), samples
