"""What may stand around sound of any kind: ID3v2 tags, with pictures in them."""

from typing import Protocol

__all__ = ["TAG_HEADER", "Readable", "skip_tag", "tag_size"]

TAG_HEADER = 10
"""Bytes that say that there is a tag, and how long it is."""


class Readable(Protocol):
    """A binary file, as far as it is needed to look into it."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place."""

    def tell(self) -> int:
        """Return the place."""


def skip_tag(file: Readable) -> int:
    """Go to the start of a file, or past the tag that is there; return that place."""
    file.seek(0)
    size = tag_size(file.read(TAG_HEADER)) or 0
    file.seek(size)
    return size


def tag_size(start: bytes) -> int | None:
    """Return how many bytes a tag has that begins so; None if it is none, or not all is there."""
    if start[:3] != b"ID3" or len(start) < TAG_HEADER:
        return None
    size = 0
    for byte in start[6:TAG_HEADER]:
        size = size << 7 | byte & 0x7F
    return TAG_HEADER + size
