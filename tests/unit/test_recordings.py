"""Recordings in packed tables: whose fault it is that one cannot be read."""

import errno

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raudeep.storage import recordings
from raudeep.storage import uri as uris
from raudeep.storage.recordings import packed_uris, read_recording
from raudeep.storage.stores import StoreError

ROWS = 64


@pytest.fixture
def pack(tmp_path):
    place = tmp_path / "pack.parquet"
    audio = [{"bytes": bytes([row]) * 10_000, "path": None} for row in range(ROWS)]
    pq.write_table(pa.table({"audio": audio}), place, row_group_size=8, compression="none")
    return str(place)


class Failing:
    """A file that fails once it was read for a while."""

    def __init__(self, file, error, reads):
        self._file, self._error, self._left = file, error, reads

    def read(self, *arguments):
        self._left -= 1
        if self._left < 0:
            raise self._error
        return self._file.read(*arguments)

    def __getattr__(self, name):
        return getattr(self._file, name)


@pytest.mark.parametrize(
    "error",
    [StoreError("the store does not answer"), OSError(errno.ESTALE, "Stale file handle")],
)
def test_what_a_store_says_in_the_middle_of_a_pack_is_handed_on_as_it_is(pack, monkeypatch, error):
    opened = uris.open_file(pack)
    monkeypatch.setattr(uris, "open_file", lambda uri: Failing(opened, error, reads=8))
    recordings._open_packed.cache_clear()
    with pytest.raises(type(error)) as caught:
        list(map(read_recording, packed_uris(pack, ROWS)))
    assert (type(caught.value), caught.value.errno) == (type(error), error.errno)
    recordings._open_packed.cache_clear()


def test_what_is_damaged_in_a_pack_says_nothing_of_the_store(pack):
    recordings._open_packed.cache_clear()
    with open(pack, "r+b") as file:
        file.seek(4)
        file.write(b"\xff" * 40)  # the header of the first page
    with pytest.raises(OSError, match="cannot be read") as caught:
        read_recording(packed_uris(pack, ROWS)[0])
    assert (type(caught.value), caught.value.errno) == (OSError, None)
    recordings._open_packed.cache_clear()
