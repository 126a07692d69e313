"""How much sound a FLAC stream holds: its frames are numbered (RFC 9639, section 9.1)."""

import re
from collections import deque

from raudeep.audio.faults import SEVERAL
from raudeep.errors import AudioError

__all__ = ["FlacWalk"]

_BUFFER = 2**14  # bytes that a decoder may have read beyond what it decoded
_TAIL = 2**16  # bytes at the end in which the last two frames are
_BEGIN = b"fLaC\0\0\0\x22"  # the start of a file, up to the size of its first block
_FRAME = re.compile(rb"\xff[\xf8\xf9]")
_LEAST_HEADER, _MOST_HEADER = 6, 16  # bytes
_SIZE, _LONGEST, _INFO_END = (10, 12), (15, 18), 42  # places in the first block of a file
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
        self._start = b""
        self._pieces: deque[bytes] = deque()
        self._held = self._passed = 0  # bytes in the pieces, and before and in them

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if len(self._start) < _INFO_END:
            self._start += data[:_INFO_END]
        self._pieces.append(data)
        self._held += len(data)
        self._passed += len(data)
        while self._held - len(self._pieces[0]) >= _TAIL:
            self._held -= len(self._pieces.popleft())

    def seconds(self, sample_rate: int) -> float:
        """Return where the last frame ends, which follows another one; 0 if there is none such."""
        return self._scan(0)[0] / sample_rate

    def spare(self) -> float:
        """Return nothing: each sample is there."""
        return 0.0

    def check_end(self, num_unread: int) -> None:
        """Raise `AudioError` if another stream follows: its header, or frames that count anew."""
        tail = b"".join(self._pieces)[-num_unread - _BUFFER :]
        own = len(tail) == self._passed
        is_anew = self._scan(num_unread + _BUFFER)[1]
        if num_unread > _TAIL or tail.count(_BEGIN) > own or is_anew:
            raise AudioError(SEVERAL)

    def _scan(self, num_bytes: int) -> tuple[int, bool]:
        """Return where the last frame ends in samples, and whether frames begin to count anew.

        So many bytes at the end are looked at, and three frames before.
        """
        size, longest = (int.from_bytes(self._start[slice(*at)], "big") for at in (_SIZE, _LONGEST))
        tail = b"".join(self._pieces)[-num_bytes - 3 * (longest or _TAIL) :]
        end, last, is_anew = 0, -1, False
        for match in _FRAME.finditer(tail):
            found = _parse(tail[match.start() : match.start() + _MOST_HEADER], size)
            if found is None:
                continue
            begin, samples = found
            if begin in (0, last):
                is_anew |= begin > 0 and begin + samples <= end
                end = max(end, begin + samples)
            last = begin + samples
        return end, is_anew


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
