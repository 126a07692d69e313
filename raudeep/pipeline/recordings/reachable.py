"""What it means that a recording cannot be read: that it is bad, or that nobody can tell.

A URI that is wrong costs one recording. A store that does not answer, or a machine that has no
more memory, says nothing of the recordings: a run that went on would call all of them bad.
"""

import errno
from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from raudeep.credentials import public_uri
from raudeep.errors import TableError
from raudeep.storage import uri as uris
from raudeep.storage.stores import STORE, StoreError, answers, store_of

__all__ = ["Stores", "needed_stores"]

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
_MANY = 0.5  # of the recordings of a run, which no store may take with it that does not answer


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


class Stores:
    """What a process has heard of the stores that the recordings of a run lie in.

    Parameters
    ----------
    needed : collection of str
        The stores that must answer, or the run stops.
    """

    def __init__(self, needed: Collection[str]) -> None:
        self._needed = needed
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
        if not isinstance(error, StoreError):
            if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
                raise _unknown(uri, error) from error
            if not uris.is_local(uri):
                self._heard[store_of(uri)] = uri
        elif not self._is_to_blame(uri):
            raise _unknown(uri, error) from error

    def _is_to_blame(self, uri: str) -> bool:
        """Return whether it is the URI, and not its store, that gives no answer."""
        store = store_of(uri)
        if store in self._silent or answers(self._heard.get(store, store)):
            return True
        if store in self._heard or store in self._needed:
            return False
        self._silent.add(store)
        return True


def _unknown(uri: str, error: Exception) -> TableError:
    return TableError(
        f"{public_uri(uri)} cannot be read, and may be good: {error}. What is finished stays; run "
        "the same command again."
    )
