"""Reading recordings, wherever they lie: as files, as objects in a store, or in packed tables.

A packed table holds them in a column ``audio`` of structs ``{bytes, path}``, in Parquet; the URI of
such a recording is that of the file with the number of its row, ``part-00000.parquet#000042``.
Those that raudeep packed have a checksum each, in a column ``crc32``, so that what was damaged
since costs one recording, and not all that share its page.
"""

import io
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.credentials import public_uri
from raudeep.errors import AudioError
from raudeep.foreign import blamed
from raudeep.parquet import open_parquet
from raudeep.schema import read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.stores import StoreError

__all__ = [
    "AUDIO",
    "CRC32",
    "READ_TOGETHER",
    "has_checksums",
    "holds_recordings",
    "is_in_pack",
    "open_recording",
    "packed_uris",
    "packs_of",
    "place_of",
    "read_recording",
    "reason_of",
]

AUDIO = "audio"
"""Column of the recordings."""
CRC32 = "crc32"
"""Column of the checksums of their bytes."""

_PACKED = re.compile(r"(.+\.parquet(?:\?[^#]*)?)#(\d+)", re.DOTALL)
READ_TOGETHER = 8
"""Rows of a row group that are in memory at a time."""
_BUFFER_BYTES = 2**20
_LOCK = threading.Lock()
_OPEN_FILES = 4  # of a process; slices follow the rows, so that one or two are in use


def reason_of(error: Exception, uri: str) -> str:
    """Return why a recording could not be used; of a file that cannot be read, in plain words."""
    if isinstance(error, FileNotFoundError):
        return f"there is no file {uri}"
    if isinstance(error, OSError) and error.strerror and uris.is_local(uri):
        return f"cannot be read: {error.strerror}"
    return str(error)


def packed_uris(uri: str, num_rows: int) -> list[str]:
    """Return the URIs of the recordings in a packed Parquet file; they sort as its rows do."""
    return [f"{uri}#{row:09d}" for row in range(num_rows)]


def is_in_pack(uri: str) -> bool:
    """Return whether a recording lies in a packed table."""
    return _PACKED.fullmatch(uri) is not None


def place_of(uri: str) -> str:
    """Return the URI of the file that holds a recording: its own, or the packed table's."""
    packed = _PACKED.fullmatch(uri)
    return uri if packed is None else packed[1]


def packs_of(manifest: pa.Table) -> list[str]:
    """Return the packed files that recordings of a manifest lie in."""
    recordings = manifest["uri"]
    packed = recordings.filter(pc.match_substring_regex(recordings, r"\.parquet(\?[^#]*)?#\d+$"))
    files: list[str] = pc.replace_substring_regex(packed, r"#\d+$", "").unique().to_pylist()
    return files


def holds_recordings(schema: pa.Schema) -> bool:
    """Return whether Parquet files of this schema are packed recordings."""
    if AUDIO not in schema.names or not pa.types.is_struct(schema.field(AUDIO).type):
        return False
    audio = schema.field(AUDIO).type
    kinds = pa.types.is_binary, pa.types.is_large_binary
    return audio.get_field_index("bytes") >= 0 and any(
        is_kind(audio.field("bytes").type) for is_kind in kinds
    )


def has_checksums(schema: pa.Schema) -> bool:
    """Return whether packed files of this schema have checksums, in a column of raudeep."""
    return bool(read_metadata(schema).get("config", {}).get("checksum") == CRC32)


def read_recording(uri: str) -> bytes:
    """Return the whole content of a recording; OSError as the file system raises it.

    Raises
    ------
    AudioError
        If its packed table has no bytes for it, or they are not those that were packed.
    """
    packed = _PACKED.fullmatch(uri)
    if packed is None:
        return uris.read_bytes(uri)
    with _LOCK:
        return _open_packed(packed[1]).read(int(packed[2]))


@contextmanager
def open_recording(uri: str) -> Iterator[BinaryIO]:
    """Give a recording as a seekable file, of which no more is in memory than is asked for.

    One from a packed table is in memory as it is stored.
    """
    if _PACKED.fullmatch(uri):
        yield io.BytesIO(read_recording(uri))
        return
    with uris.open_file(uri) as file:
        yield file


class _PackedFile:
    """Reads rows of a packed file; those that follow each other without reading any twice."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        file = uris.open_file(uri)
        with blamed(f"{public_uri(uri)} cannot be read", OSError):
            self._file = open_parquet(file, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        footer = self._file.metadata
        sizes = [footer.row_group(group).num_rows for group in range(footer.num_row_groups)]
        self._ends = np.cumsum(sizes)
        self._columns = [f"{AUDIO}.bytes"]
        if has_checksums(self._file.schema_arrow):
            self._columns.append(CRC32)
        self._first = self._next = 0
        self._rows: list[dict[str, Any]] = []
        self._batches: Iterator[Any] = iter(())

    def read(self, row: int) -> bytes:
        group = int(np.searchsorted(self._ends, row, side="right"))
        if group == len(self._ends):
            raise FileNotFoundError(
                f"{public_uri(self._uri)} has {self._next} rows, none of number {row}"
            )
        begin = int(self._ends[group - 1]) if group else 0
        if not max(self._first, begin) <= row < self._ends[group] or self._next <= begin:
            self._first = self._next = begin
            self._batches = self._file.iter_batches(
                READ_TOGETHER, row_groups=[group], columns=self._columns
            )
        while self._next <= row:
            try:
                batch = next(self._batches)
            except (pa.ArrowException, OSError, StopIteration) as error:
                self._next = 0  # begin the row group anew when it is asked for again
                # What the store or the machine says is no fault of the recording. Of a damaged page
                # Arrow says an OSError without a number.
                if isinstance(error, StoreError) or getattr(error, "errno", None):
                    raise
                raise OSError(f"{public_uri(self._uri)} cannot be read: {error}") from error
            self._first, self._rows = self._next, batch.to_pylist()
            self._next += len(self._rows)
        found = self._rows[row - self._first]
        content: bytes | None = found[AUDIO] and found[AUDIO]["bytes"]
        if content is None:
            raise AudioError("has no bytes in its packed table")
        if found.get(CRC32) not in (None, zlib.crc32(content)):
            raise AudioError("was damaged since it was packed: its checksum differs")
        return content


@lru_cache(_OPEN_FILES)
def _open_packed(uri: str) -> _PackedFile:
    return _PackedFile(uri)
