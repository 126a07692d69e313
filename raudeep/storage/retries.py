"""Which recordings that could not be used are tried again without being asked for.

Those of which there is reason to hope: what could not be read can be now, or the file is another
one. What could not be decoded is the same for ever; ``--retry-errors`` is for a new decoder.
"""

from collections.abc import Sequence
from multiprocessing.pool import ThreadPool

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.errors import RaudeepError, TableError
from raudeep.schema import ERRORS
from raudeep.storage import uri as uris
from raudeep.storage.changes import Changes
from raudeep.storage.index import TableFiles
from raudeep.storage.recordings import open_recording
from raudeep.storage.stores import StoreError, store_of
from raudeep.storage.table import is_damage, read_part

__all__ = ["READ", "to_try_again"]

READ = "read"
"""Stage of the errors of what could not be read, which may be good."""
_THREADS = 16  # that wait for a disc or a network
_BLOCK_BYTES = 2**20
_SILENT = 2  # URIs of a store that does not answer, after which no other one of it is asked for


def to_try_again(uri: str, present: TableFiles, changes: Changes) -> NDArray[np.bool_]:
    """Return which planned recordings are errors of a table, finished or not, and worth a try.

    Of what could not be read all is read, since a try costs all recordings of the same part.

    Parameters
    ----------
    uri : str
        URI of the table.
    present : TableFiles
        Which of its files are there.
    changes : Changes
        Its plan beside the manifest of today.
    """
    errors = _errors(uri, present)
    files = changes.before["file"]
    failed = _true(pc.is_in(files, value_set=errors["file"].combine_chunks())) & changes.here
    if not failed.any():
        return failed
    unread = errors["file"].filter(pc.equal(errors["stage"], READ)).combine_chunks()
    again = failed & changes.touched
    asked = np.flatnonzero(failed & ~again & _true(pc.is_in(files, value_set=unread)))
    places = changes.today["uri"].take(pa.array(asked, pa.int64())).to_pylist()
    again[asked] = _readable(places)
    return np.asarray(again)


def _errors(uri: str, present: TableFiles) -> pa.Table:
    """Return what could not be used, of parts that are there; those of others are made anyway."""
    names = [name for part, name in present.errors.items() if part in present.parts]

    def read(name: str) -> pa.Table:
        try:
            found = read_part(uri, name, columns=["file", "stage"])
        except TableError as error:
            if not is_damage(error):
                raise
            return empty  # `raudeep verify` finds it
        return found.cast(empty.schema)

    empty = ERRORS.empty_table().select(["file", "stage"])
    with ThreadPool(_THREADS) as pool:
        return pa.concat_tables([empty, *pool.imap(read, names)])


def _readable(places: Sequence[str]) -> list[bool]:
    """Return which recordings can be read to the end; several are asked for at once."""
    silent: dict[str, int] = {}

    def is_readable(uri: str) -> bool:
        store = None if uris.is_local(uri) else store_of(uri)
        if store and silent.get(store, 0) >= _SILENT:
            return False
        try:
            with open_recording(uri) as file:
                while file.read(_BLOCK_BYTES):
                    pass
        except StoreError:
            silent[store or ""] = silent.get(store or "", 0) + 1
            return False
        except (OSError, ValueError, RaudeepError):
            return False
        return True

    with ThreadPool(_THREADS) as pool:
        return list(pool.imap(is_readable, places))


def _true(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.array(column.to_numpy())
