"""Files that count what a stream holds, by the headers of its frames, while a decoder reads it."""

import io
from typing import BinaryIO

from raudeep.audio.frames import Walk, says_count, walk_of
from raudeep.audio.tags import skip_tag

__all__ = ["Followed"]

_START = 128  # bytes of a first frame that say what it is
_TOGETHER = 2**16  # bytes that are handed to a walk at once
_FAR = 2**40  # bytes that no recording has


class Followed:
    """A binary file of which a decoder reads; what it reads, in order, reaches the file's walk.

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
        self._beyond: int | None = None  # a place that is not there
        self._waiting: list[bytes] = []
        self._num_waiting = 0

    def walk(self) -> Walk | None:
        """Return the walk over all of the file; None if it is no such stream.

        The position is lost.
        """
        if self._walk is not None:
            self._hand_on()
            self._file.seek(self._next)
            while data := self._file.read(_TOGETHER):
                self._walk.feed(data)
                self._next += len(data)
        return self._walk

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if self._beyond is not None:
            return bytes(size)  # where mpg123 looks for a tag
        data = self._file.read(size)
        if self._walk is not None and data:
            new = self._file.tell() - self._next
            if 0 < new <= len(data):
                self._waiting.append(data[-new:])
                self._next += new
                self._num_waiting += new
                if self._num_waiting >= _TOGETHER:
                    self._hand_on()
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        if whence == io.SEEK_END and not self._has_end:
            offset, whence = _FAR + offset, io.SEEK_SET
        self._beyond = offset if offset > _FAR // 2 and not self._has_end else None
        return self._file.seek(offset, whence) if self._beyond is None else self._beyond

    def tell(self) -> int:
        """Return the place."""
        return self._file.tell() if self._beyond is None else self._beyond

    def _hand_on(self) -> None:
        if self._walk is not None:
            self._walk.feed(b"".join(self._waiting))
        self._waiting, self._num_waiting = [], 0
