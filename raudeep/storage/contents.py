"""Whether recordings are what they were: when their files changed, and what tells their content.

The time of a file costs nothing, but a copy has another one. So where the time differs a hash is
compared, of some blocks of the file. Stores give a tag with their listing, and packed recordings
have a checksum. Where either side is not known, a recording counts as the same.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.pool import ThreadPool
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.credentials import public_column
from raudeep.schema import CONTENT, MANIFEST, MODIFIED
from raudeep.storage import uri as uris
from raudeep.storage.recordings import is_in_pack

__all__ = [
    "Compared",
    "compare",
    "content_of_checksum",
    "content_of_tag",
    "hash_content",
    "with_contents",
    "with_known_contents",
    "with_times",
]

_LAST_BLOCK = 3  # four blocks at equal distances in a file, counted from 0
_BLOCK_BYTES = 2**12
_BLOCKS, _ETAG = "blocks", "etag"  # kinds of contents
_THREADS = 16  # that wait for a disc or a network
_AT_ONCE = 64  # files of a thread
Value = TypeVar("Value")


class Compared(NamedTuple):
    """Recordings of a plan, compared with their files of today."""

    changed: NDArray[np.bool_]
    """Which have another content."""
    modified: pa.Array
    """When the file of each changed, as far as anybody knows."""
    content: pa.Array
    """What tells the content of each, likewise; of those that changed, of today or null."""


def with_times(manifest: pa.Table) -> pa.Table:
    """Return the recordings of a manifest with the times and contents that cost nothing.

    It has the columns of a manifest, `MODIFIED` and `CONTENT`. Unknown values are null.
    """
    columns = manifest.select(MANIFEST.names)
    if MODIFIED.name in manifest.column_names:
        times, contents = manifest[MODIFIED.name], manifest[CONTENT.name]
    else:
        times = pa.array(_for_each(_modified, manifest["uri"].to_pylist()), MODIFIED.type)
        contents = pa.nulls(manifest.num_rows, CONTENT.type)
    return columns.append_column(MODIFIED, times).append_column(CONTENT, contents)


def content_of_tag(tag: str) -> str:
    """Return what tells the content of an object by the tag that its store gives."""
    return f"{_ETAG}:{tag}"


def content_of_checksum(checksum: int) -> str:
    """Return what tells the content of a packed recording by its checksum."""
    return f"crc32:{checksum:08x}"


def with_known_contents(manifest: pa.Table, contents: Mapping[str, str]) -> pa.Table:
    """Return a manifest with what tells the contents of recordings by URI, if anything does."""
    if not contents:
        return manifest
    found = pa.array([contents.get(uri) for uri in manifest["uri"].to_pylist()], CONTENT.type)
    times = pa.nulls(manifest.num_rows, MODIFIED.type)
    return manifest.append_column(MODIFIED, times).append_column(CONTENT, found)


def compare(before: pa.Table, today: pa.Table) -> Compared:
    """Compare planned recordings, row by row, with the same ones as they are today.

    Only files whose time is another one, or was not known, are read.

    Parameters
    ----------
    before, today : pa.Table
        Columns ``uri``, ``bytes``, `MODIFIED` and `CONTENT`; nulls for what is gone.
    """
    changed = _true(pc.not_equal(before["bytes"], today["bytes"]))
    old = before[CONTENT.name].to_pylist()
    same_time = _true(pc.equal(before[MODIFIED.name], today[MODIFIED.name]))
    moved = _true(pc.not_equal(before["uri"], public_column(today["uri"])))
    rows = np.flatnonzero(~changed & ~(same_time & before[CONTENT.name].is_valid().to_numpy()))
    to_read = np.zeros(today.num_rows, dtype=bool)
    to_read[[row for row in rows if _kind(old[row]) in (None, _BLOCKS)]] = True
    new = with_contents(today, to_read)[CONTENT.name].to_pylist()
    for row in map(int, rows):
        of_a_kind = _kind(old[row]) == _kind(new[row]) is not None
        if of_a_kind and not (_kind(old[row]) == _ETAG and moved[row]):
            changed[row] = old[row] != new[row]
    times = pc.coalesce(today[MODIFIED.name], before[MODIFIED.name])
    contents = [now or was for was, now in zip(old, new, strict=True)]
    return Compared(changed, times, pa.array(contents, CONTENT.type))


def with_contents(recordings: pa.Table, rows: NDArray[np.bool_] | None = None) -> pa.Table:
    """Return recordings of `with_times`, some or all with contents that have to be read.

    Where a content cannot be read it stays null.
    """
    contents = recordings[CONTENT.name].to_pylist()
    readable = recordings[MODIFIED.name].is_valid().to_numpy()
    wanted = readable if rows is None else readable & rows
    to_read = [int(row) for row in np.flatnonzero(wanted) if contents[row] is None]
    places = recordings["uri"].take(pa.array(to_read, pa.int64())).to_pylist()
    for row, content in zip(to_read, _for_each(hash_content, places), strict=True):
        contents[row] = content
    position = recordings.schema.get_field_index(CONTENT.name)
    return recordings.set_column(position, CONTENT, pa.array(contents, CONTENT.type))


def hash_content(uri: str) -> str | None:
    """Return what tells the content of a file of this machine, or None where it cannot be read."""
    try:
        descriptor = os.open(_path(uri), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):  # whoever decodes it will say why
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        digest = hashlib.blake2b(str(status.st_size).encode(), digest_size=8)
        last = max(0, status.st_size - _BLOCK_BYTES)
        for place in sorted({last * block // _LAST_BLOCK for block in range(_LAST_BLOCK + 1)}):
            digest.update(os.pread(descriptor, _BLOCK_BYTES, place))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return f"{_BLOCKS}:{digest.hexdigest()}"


def _modified(uri: str) -> int | None:
    """Return when a file of this machine changed, in nanoseconds; None of anything else."""
    if not uris.is_local(uri) or is_in_pack(uri):
        return None
    try:
        status = os.stat(_path(uri))
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns if stat.S_ISREG(status.st_mode) else None


def _path(uri: str) -> str:
    return uri if uri.startswith("/") else uris.absolute(uri)  # which is slow, for a million


def _for_each(function: Callable[[str], Value], places: Sequence[str]) -> list[Value]:
    """Return what a function says of each place; several wait for discs at once."""

    def several(some: Sequence[str]) -> list[Value]:
        return [function(place) for place in some]

    with ThreadPool(_THREADS) as pool:
        return [value for values in pool.imap(several, _batches(places)) for value in values]


def _batches(places: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(places), _AT_ONCE):
        yield places[start : start + _AT_ONCE]


def _kind(content: str | None) -> str | None:
    return None if content is None else content.partition(":")[0]


def _true(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Return where a column is true; null is not."""
    return np.array(pc.fill_null(column, False).to_numpy())
