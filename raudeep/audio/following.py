"""Files that count what a stream holds, by the headers of its frames, while a decoder reads it."""

import io
from typing import BinaryIO

from raudeep.audio.frames import Walk, says_count, walk_of
from raudeep.audio.tags import skip_tag

__all__ = ["Followed"]

_START = 128  # bytes of a first frame that say what it is
_TOGETHER = 64  # reads that are handed to a walk at once
_READ = 2**16  # bytes that are read at once after the decoder's end
_FAR = 2**40  # bytes that no recording has


class Followed:
    """A binary file for a decoder. What the decoder reads, in order, reaches the file's walk.

    So each byte is read once, of remote files too.

    An MP3 whose first frame does not say how many follow has no end here, as seen by a decoder:
    mpg123 would guess its length from its size, and stop there. It ends with the file.

    Parameters
    ----------
    file : seekable binary file
        From its start.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._next = skip_tag(file)
        start = file.read(_START)
        file.seek(0)
        self._walk = walk_of(start)
        self._has_end = start[:1] != b"\xff" or self._walk is None or says_count(start)
        self._place = 0
        self._waiting: list[bytes] = []

    def walk(self) -> tuple[Walk | None, int]:
        """Return the walk over all of the file, and how many bytes at its end were not read before.

        There is none if the file is no such stream. The position is lost.
        """
        read = self._next
        if self._walk is not None:
            self._hand_on()
            self._file.seek(self._next)
            while data := self._file.read(_READ):
                self._walk.feed(data)
                self._next += len(data)
        return self._walk, self._next - read

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if self._place > _FAR // 2:
            return bytes(size)  # where mpg123 looks for a tag
        data = self._file.read(size)
        begin = self._place
        self._place = end = begin + len(data)
        if begin <= self._next < end and self._walk is not None:
            self._waiting.append(data if begin == self._next else data[self._next - begin :])
            self._next = end
            if len(self._waiting) >= _TOGETHER:
                self._hand_on()
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        if whence == io.SEEK_END and not self._has_end:
            offset, whence = _FAR + offset, io.SEEK_SET
        is_far = whence == io.SEEK_SET and offset > _FAR // 2
        self._place = offset if is_far else self._file.seek(offset, whence)
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def _hand_on(self) -> None:
        if self._walk is not None:
            self._walk.feed(b"".join(self._waiting))
        self._waiting = []
