"""Fixtures of the tests of storage and tables."""

import pytest

from raudeep.storage import uri as uris
from raudeep.storage.opening import open_table
from tests.chunks import LABELS, rows_of, write
from tests.tables import IDENTITY, failures, rows


@pytest.fixture
def memory(tmp_path):
    """A folder on fsspec's in-memory file system, deleted afterwards."""
    place = f"memory://{tmp_path.name}/x"
    yield place
    uris.delete(place)


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    """Where a table may go, on disk and on fsspec's in-memory file system."""
    uri = str(tmp_path / "table") if request.param == "local" else f"memory://{tmp_path.name}"
    yield uri
    uris.delete(uri)


@pytest.fixture
def finished(place):
    """A finished table of two parts with errors in the second slice."""
    writer = open_table(place, IDENTITY)
    writer.write(1, rows(3, 5), failures("005.wav"))
    writer.write(0, rows(0, 3))
    writer.commit(2)
    return place


@pytest.fixture
def table(tmp_path):
    """A table of embeddings of nine recordings with labels, each of three chunks."""
    return write(tmp_path / "table", rows_of(LABELS))
