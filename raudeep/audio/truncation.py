"""Whether encoded sound is all there: decoders take a file that was cut off for a shorter one."""

import io
import re
from typing import Any, BinaryIO

from raudeep.errors import AudioError

__all__ = ["check_size", "check_whole"]

# libsndfile's log of a header that promises more, or less, than the file holds.
_SIZE = re.compile(r"(?:data|SSND|Data Size|riff|Riff size)\s*:\s*(\d+) \(should be (\d+)\)")
_STREAMED = 0x7FFFF000  # sizes from here on were written by who did not know the end
_ENDLESS = 2**62  # samples of a FLAC stream whose header does not say how many there are
_SPARE_BYTES = 8192  # that a careless header may promise too many
_SPARE_SECONDS = 0.1  # likewise; MP3 counts the delay of its decoder
_OGG_HEADER, _OGG_TABLE = 27, 26
_OGG_MOST = _OGG_HEADER + 255 + 255 * 255  # bytes of a page


def check_size(sound: Any, file: BinaryIO) -> None:
    """Raise `AudioError` if a file ends before its container says so.

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
        _check_last_page(file)


def check_whole(sound: Any, file: BinaryIO, num_frames: int) -> None:
    """Raise `AudioError` if fewer samples were read of each channel than the header promises.

    `file` is what `sound` reads from; its position is lost, so nothing more can be read.
    """
    if sound.frames >= _ENDLESS or (sound.format == "MP3" and not _counts_frames(file)):
        return
    if num_frames < sound.frames - _SPARE_SECONDS * sound.samplerate:
        raise AudioError(f"is cut off: it holds {num_frames} of {sound.frames} samples")


def _counts_frames(file: BinaryIO) -> bool:
    """Return whether an MP3 file says how long it is; else the decoder has guessed.

    The count is in the first frame, which follows the ID3v2 tag, if any.
    """
    file.seek(0)
    tag = file.read(10)
    size = 0
    if tag[:3] == b"ID3":
        for byte in tag[6:]:
            size = size << 7 | byte
        size += len(tag)
    file.seek(size)
    first = file.read(256)
    return any(name in first for name in (b"Xing", b"Info", b"VBRI"))


def _check_last_page(file: BinaryIO) -> None:
    """Raise `AudioError` if the last page of an Ogg file is not whole (RFC 3533, section 6)."""
    position = file.tell()
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
