"""What it means that a recording cannot be read: that it is bad, or that nobody can tell.

A URI or a sector that is bad costs one recording. A store that does not answer, a drive that is
gone, or a machine that has no more memory, says nothing of the recordings: a run that went on would
call all of them bad.
"""

import errno
import os
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.credentials import public_uri
from raudeep.errors import TableError
from raudeep.schema import MODIFIED
from raudeep.storage import uri as uris
from raudeep.storage.listing import identity_of_folder
from raudeep.storage.recordings import place_of
from raudeep.storage.stores import STORE, StoreError, answers, store_of

__all__ = ["Needs", "Places", "needed_places", "needed_stores"]

_OF_THE_MACHINE = {
    errno.EAGAIN,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOTCONN,
    errno.ESTALE,
    errno.ETIMEDOUT,
}
"""Errors of the operating system that say nothing of the recording that was asked for."""
_OF_THE_NAME = {
    errno.EACCES,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
}
"""Errors of opening a folder that do not tell whether its drive is there."""
_MANY = 0.5  # of the recordings of a run, which no store may take with it that does not answer
_WITNESSES = 8


class Needs(NamedTuple):
    """The places without which a run is of no use."""

    stores: Collection[str] = ()
    """Stores that must answer."""
    root: str | None = None
    """Folder of this machine that holds all local recordings."""
    witnesses: Collection[str] = ()
    """Some local files that were there when they were planned."""


def needed_places(recordings: pa.Table) -> Needs:
    """Return what the recordings of a run need; columns as in a manifest, or as in a plan."""
    places = recordings["uri"]
    places = pc.replace_substring_regex(places, "^(file|local)://", "")
    is_local = pc.invert(pc.match_substring(places, "://"))
    local = places.filter(is_local)
    if not len(local):
        return Needs(needed_stores(recordings["uri"]))
    # What all have in common, the first and the last have in order.
    ends = [_folder_of(end.as_py()) for end in pc.min_max(local).values()]
    known = pc.greater(recordings["bytes"].fill_null(0), 0)  # a link to nothing has none
    if MODIFIED.name in recordings.column_names:
        known = pc.or_(known, recordings[MODIFIED.name].is_valid())
    there = local.filter(known.filter(is_local))
    chosen = np.linspace(0, len(there) - 1, min(_WITNESSES, len(there))).astype(int)
    files = [_path_of(there[int(row)].as_py()) for row in chosen]
    return Needs(needed_stores(recordings["uri"]), os.path.commonpath(ends), files)


def needed_stores(recordings: pa.ChunkedArray) -> list[str]:
    """Return the stores, by the URIs of a run's recordings, without which it is of no use.

    Those that have all of the recordings, or at least two and half of them.
    """
    remote = recordings.filter(pc.match_substring(recordings, "://"))
    counts = pc.replace_substring_regex(remote, STORE, r"\1\2").value_counts().to_pylist()
    total = len(recordings)
    return [
        each["values"]
        for each in counts
        if each["counts"] == total or each["counts"] >= max(2, _MANY * total)
    ]


class Places:
    """What a process has heard of the stores and drives that the recordings of a run lie in.

    Parameters
    ----------
    needs : Needs
        What must be there, or the run stops.
    """

    def __init__(self, needs: Needs) -> None:
        self._needs = needs
        self._root = None if needs.root is None else identity_of_folder(needs.root)
        self._read: str | None = None  # the last local URI that could be read
        self._heard: dict[str, str] = {}  # the last URI that was answered, by store
        self._silent: set[str] = set()

    def check(self, uri: str, error: Exception | None) -> None:
        """Take what reading a recording ended with; None where it was read.

        Raises
        ------
        TableError
            If nobody can tell whether the recording is good.
        """
        if isinstance(error, TableError):  # of the stage itself
            raise error
        if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
            raise _unknown(uri, error) from error
        if uris.is_local(uri):
            if error is None:
                self._read = uri
            elif isinstance(error, OSError) and error.errno and (gone := self._gone(uri)):
                raise _unknown(uri, error, f" {gone}.") from error
        elif not isinstance(error, StoreError):
            self._heard[store_of(uri)] = uri
        elif not self._is_to_blame(uri):
            raise _unknown(uri, error) from error

    def _gone(self, uri: str) -> str:
        """Return in words what else is gone beside a local file; nothing where its drive is there.

        As the file itself may be: on a drive with a bad sector, or with files that are deleted.
        """
        path, root = _path_of(uri), self._needs.root
        folder = os.path.dirname(path)
        try:
            os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno not in _OF_THE_NAME:
                return f"Its folder {folder} cannot be opened either"
        if root is not None and identity_of_folder(root) != self._root:
            return f"The folder {root} is gone, or another one now"
        if self._read is not None:
            read = _path_of(self._read)
            said = f"{read}, which was read before, cannot be read now either"
            return "" if _is_there(read) else said
        others = [file for file in self._needs.witnesses if file != path]
        if not others or any(_is_there(file, denied=True) for file in others):
            return ""
        return f"Others that were there cannot be read either, e.g. {others[0]}"

    def _is_to_blame(self, uri: str) -> bool:
        """Return whether it is the URI, and not its store, that gives no answer."""
        store = store_of(uri)
        if store in self._silent or answers(self._heard.get(store, store)):
            return True
        if store in self._heard or store in self._needs.stores:
            return False
        self._silent.add(store)
        return True


def _is_there(path: str, *, denied: bool = False) -> bool:
    """Return whether the drive gives the first byte of a file; or `denied` where it may not."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        return denied
    except OSError:
        return False
    try:
        with suppress(AttributeError, OSError):  # or what is in memory would answer for the drive
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.read(descriptor, 1)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _path_of(uri: str) -> str:
    """Return the local file that holds a recording, which may be packed."""
    return uris.absolute(place_of(uri))


def _folder_of(uri: str) -> str:
    return os.path.dirname(_path_of(uri))


def _unknown(uri: str, error: Exception, why: str = "") -> TableError:
    return TableError(
        f"{public_uri(uri)} cannot be read, and may be good: {error}.{why} What is finished stays; "
        "run the same command again."
    )
