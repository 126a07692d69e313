"""Reading recordings, wherever they lie: as files, as objects in a store, or in a packed table."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from raudeep.storage import uri as uris

__all__ = ["open_recording", "read_recording"]


def read_recording(uri: str) -> bytes:
    """Return the whole content of a recording; OSError as the file system raises it."""
    return uris.read_bytes(uri)


@contextmanager
def open_recording(uri: str) -> Iterator[BinaryIO]:
    """Give a recording as a seekable file, of which no more is in memory than is asked for."""
    with uris.open_file(uri) as file:
        yield file
