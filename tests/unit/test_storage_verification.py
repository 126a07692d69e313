"""What verify finds in a table, and what repair leaves of it."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from botocore.exceptions import EndpointConnectionError
from fsspec.implementations.memory import MemoryFileSystem

from raudeep.errors import TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.schema import ERRORS, embeddings_schema
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import INDEX, is_table
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan
from raudeep.storage.verification import verify_table
from tests.tables import files_of, flip_a_bit

IDENTITY = Identity("embeddings", {"readout": "state"})


def rows(files, size=3):
    count = len(files)
    columns = {
        "file": files,
        "chunk": [0] * count,
        "start": [0.0] * count,
        "end": [1.0] * count,
        "label": [None] * count,
        "partition": [None] * count,
        "folds": [None] * count,
        "embedding": [[0.5] * size] * count,
    }
    return pa.table(columns, schema=embeddings_schema(size))


def failure(file):
    return pa.Table.from_pylist([{"file": file, "message": "is empty"}], schema=ERRORS)


@pytest.fixture
def table(tmp_path):
    """A table of three parts of two recordings each; one of them is an error."""
    place = str(tmp_path / "table")
    make(place)
    return place


def make(place, contents=(["a", "b"], ["c"], ["e", "f"])):
    writer = open_table(place, IDENTITY)
    names = [Recording(file=name, uri=f"/c/{name}") for name in "abcdef"]
    plan = extend_plan(
        writer,
        manifest_table(names),
        lambda _, **__: [(0, 2), (2, 4), (4, 6)],
    )
    for part, files in enumerate(contents):
        writer.write(part, rows(files), failure("d") if part == 1 else None)
    writer.commit(3, recordings=plan.fingerprints)


def rules(place, **settings):
    return [(fault.rule, fault.name) for fault in verify_table(place, **settings)]


def test_a_table_as_it_was_written_has_no_fault(table):
    assert verify_table(table) == []


def test_a_table_in_memory_is_verified_too():
    place = "memory://verify/table"
    make(place)
    assert verify_table(place) == []
    uris.delete(f"{place}/part-00001.parquet")
    assert rules(place) == [("every part is there", "part-00001.parquet")]
    uris.delete("memory://verify")


def test_a_part_that_is_gone_or_of_another_size_is_found(table):
    os.unlink(f"{table}/part-00000.parquet")
    with open(f"{table}/part-00002.parquet", "ab") as file:
        file.write(b"more")
    assert rules(table) == [
        ("every part is there", "part-00000.parquet"),
        ("every part has its size", "part-00002.parquet"),
    ]


def test_a_byte_that_changed_is_found_by_the_checksum(table):
    flip_a_bit(f"{table}/part-00000.parquet")
    assert rules(table) == [("every part is readable", "part-00000.parquet")]


@pytest.mark.parametrize(
    ("files", "rule", "message"),
    [
        (["e"], "every recording is a row or an error", "1 recordings are neither .* 'f'"),
        (["e", "f", "g"], "every recording is a row or an error", "1 recordings are not planned"),
        (["a", "f"], "every key is there once", r"1 keys are there twice, e.g. \('a', 0\)"),
    ],
)
def test_rows_that_do_not_fit_the_plan_are_found(tmp_path, files, rule, message):
    place = str(tmp_path / "other")
    make(place, (["a", "b"], ["c"], files))
    faults = verify_table(place)
    assert faults[0].name == "part-00002.parquet"
    assert rule in {fault.rule for fault in faults}
    with pytest.raises(TableError, match=message):
        raise TableError("; ".join(fault.message for fault in faults))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Identity("embeddings", {"readout": "pooled"}), "was made with another configuration"),
        (Identity("embeddings", {"readout": "state"}, {"a": "0"}), "was made of other inputs"),
    ],
)
def test_a_part_of_another_table_or_with_other_columns_is_found(table, tmp_path, other, message):
    writer = open_table(str(tmp_path / "other"), other)
    writer.write(0, rows(["a", "b"], size=4))
    part = Path(table, "part-00000.parquet")
    os.replace(tmp_path / "other/part-00000.parquet", part)
    with pytest.raises(TableError, match=r"another run has written part-00000.parquet"):
        open_table(table, IDENTITY).commit(3, recordings=["0"])
    index = json.loads(Path(table, INDEX).read_text())
    index["parts"][0]["bytes"] = part.stat().st_size
    Path(table, INDEX).write_text(json.dumps(index))
    found = verify_table(table)
    assert ("every part is of the table", "part-00000.parquet", message) in found
    assert ("every part has the same columns", "part-00001.parquet") in rules(table)


def test_recordings_that_were_planned_and_never_made_are_said(table):
    writer = open_table(table, IDENTITY)
    names = [Recording(file=name, uri=f"/c/{name}") for name in "abcdefgh"]
    extend_plan(writer, manifest_table(names), lambda _, **__: [(0, 2)])
    assert rules(table) == [("the table is finished", INDEX)]


def test_repair_drops_what_is_broken_and_the_index_and_nothing_else(table):
    os.unlink(f"{table}/part-00001.parquet")
    before = uris.list_files(table)
    assert rules(table, repair=True) == [("every part is there", "part-00001.parquet")]
    gone = ("__raudeep__/errors-00001.pq", INDEX)
    assert list(uris.list_files(table)) == [name for name in before if name not in gone]
    assert open_table(table, IDENTITY).missing(3) == [1]


def test_a_broken_index_is_a_fault_that_repair_removes(table):
    Path(table, INDEX).write_text("{")
    assert rules(table, repair=True) == [("the table is finished", INDEX)]
    assert not os.path.exists(f"{table}/{INDEX}")
    assert not is_table(table)


def test_nothing_is_no_table(tmp_path):
    with pytest.raises(TableError, match="holds no table"):
        verify_table(str(tmp_path))


@pytest.mark.parametrize(
    "damage", [lambda plan: plan.write_bytes(b"PAR1"), lambda plan: plan.unlink()]
)
def test_a_plan_that_is_gone_or_damaged_is_made_again_of_its_parts(table, damage):
    before = files_of(table)
    damage(Path(table, "__raudeep__/plan-00000.pq"))
    assert ("every file of the plan is readable", "__raudeep__/plan-00000.pq") in rules(table)
    verify_table(table, repair=True)
    lost = {"__raudeep__/plan-00000.pq", INDEX}
    assert files_of(table).keys() == before.keys() - lost
    make(table)
    assert files_of(table) == before
    assert verify_table(table) == []


def test_a_good_index_stays_where_what_is_broken_is_not_in_it(table):
    before = files_of(table)
    Path(table, "part-00003.parquet").write_bytes(b"PAR1")
    Path(table, "part-00004.parquet").write_bytes(Path(table, "part-00000.parquet").read_bytes())
    Path(table, "__raudeep__/plan-00001.pq").write_bytes(b"PAR1")
    assert rules(table, repair=True) == [
        ("every file of the plan is readable", "__raudeep__/plan-00001.pq"),
        ("every part is readable", "part-00003.parquet"),
        ("every key is there once", "part-00004.parquet"),
    ]
    assert files_of(table) == before


def test_parts_are_read_that_no_index_lists(table):
    uris.delete(f"{table}/{INDEX}")
    assert rules(table) == [("the table is finished", INDEX)]
    flip_a_bit(f"{table}/part-00002.parquet")
    assert rules(table, repair=True) == [
        ("the table is finished", INDEX),
        ("every part is readable", "part-00002.parquet"),
    ]
    assert "part-00002.parquet" not in files_of(table)
    assert open_table(table, IDENTITY).missing(3) == [2]


def test_rows_that_the_index_counts_wrongly_cost_the_index_alone(table):
    index = json.loads(Path(table, INDEX).read_text())
    index["parts"][0]["rows"] = 7
    Path(table, INDEX).write_text(json.dumps(index))
    assert rules(table, repair=True) == [("every part has its rows", "part-00000.parquet")]
    assert open_table(table, IDENTITY).missing(3) == []
    assert not is_table(table)


@pytest.mark.parametrize("name", ["__raudeep__/plan-00000.pq", "part-00001.parquet"])
def test_a_store_that_does_not_answer_is_no_fault_of_the_table(monkeypatch, name):
    """Or --repair would delete what cannot be read at the moment."""
    place = "memory://verify/away"
    make(place)
    before = uris.list_files(place)
    opened = MemoryFileSystem._open

    def away(self, path, *arguments, **settings):
        if path.endswith(name):
            raise EndpointConnectionError(endpoint_url="x")
        return opened(self, path, *arguments, **settings)

    monkeypatch.setattr(MemoryFileSystem, "_open", away)
    with pytest.raises(TableError, match="the store does not answer"):
        verify_table(place, repair=True)
    assert uris.list_files(place) == before
    monkeypatch.undo()
    uris.delete(place)
