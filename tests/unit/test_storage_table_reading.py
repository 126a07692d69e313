"""Reading tables back, whole or damaged, finished or not."""

import json

import pytest

from raudeep.errors import TableError
from raudeep.schema import SCHEMA_VERSION, embeddings_schema
from raudeep.storage import uri as uris
from raudeep.storage.index import INDEX, is_table, read_index
from raudeep.storage.table import iterate_parts, read_part, read_table
from tests.tables import flip_a_bit, rows


def test_nothing_is_no_table(place):
    assert not is_table(place)
    with pytest.raises(TableError, match=r"holds no table \(no __raudeep__/index.json\)"):
        read_index(place)


@pytest.mark.parametrize("content", [b"", b"garbage", b'{"schema_version": 1', b"\xff\xfe"])
def test_damaged_index_is_a_table_error(place, content):
    uris.write_bytes(uris.join(place, INDEX), content)
    with pytest.raises(TableError, match=r"index.json cannot be read"):
        read_index(place)


@pytest.mark.parametrize(
    "content",
    [
        b"[1]",
        b"3",
        b"null",
        b"{}",
        b'{"name": "of a web page"}',
        b'{"schema_version": 2}',
        b'{"schema_version": 2, "parts": 3, "errors": []}',
        b'{"schema_version": 2, "parts": [3], "errors": []}',
        b'{"schema_version": 2, "parts": [{"name": "a"}], "errors": []}',
        b'{"schema_version": 2, "parts": [], "errors": [], "other": 1}',
    ],
)
def test_json_that_is_no_index_is_a_table_error(place, content):
    uris.write_bytes(uris.join(place, INDEX), content)
    assert not is_table(place)
    with pytest.raises(TableError, match=r"index.json is not that of a table"):
        read_index(place)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, None])
def test_other_schema_version_is_refused(finished, version):
    index = json.loads(uris.read_bytes(uris.join(finished, INDEX)))
    content = json.dumps({**index, "schema_version": version}).encode()
    uris.write_bytes(uris.join(finished, INDEX), content)
    with pytest.raises(
        TableError, match=rf"schema version {version}; .*reads version {SCHEMA_VERSION}"
    ):
        read_index(finished)


def test_table_of_another_stage_is_refused_where_a_stage_is_asked_for(finished):
    assert read_index(finished, stage="embeddings").rows == 5
    with pytest.raises(TableError, match=r"is a table of embeddings; a table of spectrograms is"):
        read_index(finished, stage="spectrograms")


def test_rows_come_in_the_order_of_their_parts(finished):
    table = read_table(finished)
    assert table.column_names == embeddings_schema(3).names
    assert table["file"].to_pylist() == [f"{number:03d}.wav" for number in range(5)]
    assert table.to_pylist() == rows(0, 5).to_pylist()
    names = [(part.name, table.num_rows) for part, table in iterate_parts(finished)]
    assert names == [("part-00000.parquet", 3), ("part-00001.parquet", 2)]


def test_only_the_columns_asked_for_are_read(finished):
    table = read_table(finished, columns=["file", "label"])
    assert table.column_names == ["file", "label"]
    assert table.num_rows == 5


def test_a_bit_that_changed_is_a_table_error(finished):
    flip_a_bit(uris.join(finished, "part-00000.parquet"))
    with pytest.raises(TableError, match=r"part-00000.parquet .* checksum verification failed"):
        read_table(finished)


def test_missing_or_damaged_part_is_a_table_error(finished):
    with pytest.raises(TableError, match=r"part-00009.parquet cannot be read"):
        read_part(finished, "part-00009.parquet")
    uris.write_bytes(uris.join(finished, "part-00001.parquet"), b"half a fi")
    with pytest.raises(TableError, match=r"part-00001.parquet cannot be read"):
        read_table(finished)
