"""Whether encoded sound is all there: decoders take a file that was cut off for a shorter one."""

import io
import re
from typing import Any, BinaryIO, Protocol

from raudeep.errors import AudioError

__all__ = ["Readable", "check_size", "check_whole", "skip_tag"]

# libsndfile's log of a header that promises more, or less, than the file holds.
_SIZE = re.compile(r"(?:data|SSND|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)")
_STREAMED = 0x7FFFF000  # sizes from here on were written by who did not know the end
_SPARE_BYTES = 8192  # that a careless header may promise too many
_SPARE_SECONDS = 0.1  # likewise; MP3 counts the delay of its decoder
_OGG_HEADER, _OGG_TABLE = 27, 26
_OGG_KIND, _OGG_SERIAL = 5, slice(14, 18)
_OGG_BEGINS = 2  # a flag of the first page of a stream
_OGG_MOST = _OGG_HEADER + 255 + 255 * 255  # bytes of a page


class Readable(Protocol):
    """A binary file, as far as it is needed to look into it."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """Return the place."""


def check_size(sound: Any, file: BinaryIO) -> None:
    """Raise `AudioError` if a file ends before its container says so, or after what is decoded.

    Parameters
    ----------
    sound : soundfile.SoundFile
        The file, opened.
    file : seekable binary file
        What `sound` reads from; its position is kept.
    """
    for promised, held in re.findall(_SIZE, sound.extra_info):
        missing = int(promised) - int(held)
        if int(promised) < _STREAMED and missing > min(_SPARE_BYTES, int(promised) // 100):
            raise AudioError(f"is cut off: {missing} of {promised} bytes are missing")
    if sound.format == "OGG":
        _check_pages(file)


def check_whole(sound: Any, file: BinaryIO, num_frames: int) -> None:
    """Raise `AudioError` if fewer samples were read of each channel than the header promises.

    `file` is what `sound` reads from; its position is lost, so nothing more can be read.
    """
    if sound.format == "MP3" and not _counts_frames(file):
        return
    if num_frames < sound.frames - _SPARE_SECONDS * sound.samplerate:
        raise AudioError(f"is cut off: it holds {num_frames} of {sound.frames} samples")


def skip_tag(file: Readable) -> None:
    """Go to the start of a file, or past the ID3v2 tag that is there."""
    file.seek(0)
    tag = file.read(10)
    size = 0
    if tag[:3] == b"ID3":
        for byte in tag[6:]:
            size = size << 7 | byte
        size += len(tag)
    file.seek(size)


def _counts_frames(file: BinaryIO) -> bool:
    """Return whether an MP3 file says how long it is, in its first frame; else that is guessed."""
    skip_tag(file)
    first = file.read(256)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def _check_pages(file: BinaryIO) -> None:
    """Raise `AudioError` if the last page of an Ogg file is not whole, or of a further stream.

    Streams side by side all begin at the start, one after the other they do not (RFC 3533, sections
    4 and 6).
    """
    position = file.tell()
    streams = _first_streams(file)
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _OGG_MOST))
    tail = file.read(_OGG_MOST)
    file.seek(position)
    page = tail[tail.rfind(b"OggS") :] if b"OggS" in tail else b""
    segments = page[_OGG_TABLE] if len(page) > _OGG_TABLE else 0
    table = page[_OGG_HEADER : _OGG_HEADER + segments]
    size = _OGG_HEADER + segments + sum(table)
    if len(page) < size or len(table) < segments:
        raise AudioError("is cut off: its last page is not whole")
    if page[_OGG_SERIAL] not in streams:
        raise AudioError(
            "holds several streams, of which only the first can be read; encode it as one"
        )


def _first_streams(file: BinaryIO) -> set[bytes]:
    """Return the serial numbers of the streams that begin at the start of an Ogg file."""
    file.seek(0)
    found = set()
    while len(header := file.read(_OGG_HEADER)) == _OGG_HEADER and header[_OGG_KIND] & _OGG_BEGINS:
        found.add(header[_OGG_SERIAL])
        file.seek(sum(file.read(header[_OGG_TABLE])), io.SEEK_CUR)
    return found
