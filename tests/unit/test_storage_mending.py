"""What a power cut leaves of a table: nothing that can be read is made again."""

from pathlib import Path

import pyarrow as pa
import pytest

from raudeep.errors import TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.schema import ERRORS, embeddings_schema
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import INDEX, read_index
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan
from raudeep.storage.plan_files import read_plans
from raudeep.storage.table import read_errors, read_table
from raudeep.storage.verification import verify_table
from tests.tables import IDENTITY as OF_VIEWS
from tests.tables import OTHER

IDENTITY = Identity("embeddings", {"readout": "state"})
BAD = "d"
DAMAGES = {
    "empty": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    "cut in half": lambda content: content[: len(content) // 2],
    "without its end": lambda content: content[:-3],
}
FILES = {
    "a part": "part-00001.parquet",
    "the errors": "__raudeep__/errors-00001.pq",
    "the plan": "__raudeep__/plan-00000.pq",
    "the index": "__raudeep__/index.json",
    "the claim": "__raudeep__/claim.json",
}


def pairs(recordings, *, is_first=True):
    count = recordings.num_rows
    return [(start, min(start + 2, count)) for start in range(0, count, 2)]


def rows_of(files):
    count = len(files)
    columns = {
        "file": files,
        "chunk": [0] * count,
        "start": [0.0] * count,
        "end": [1.0] * count,
        "label": [None] * count,
        "partition": [None] * count,
        "folds": [None] * count,
        "embedding": [[float(ord(name)), 0.5] for name in files],
    }
    return pa.table(columns, schema=embeddings_schema(2))


def make(place, names="abcdef", *, only=None, **settings):
    """Make the table as a command does; return the parts that were made, those of `only` alone."""
    writer = open_table(str(place), IDENTITY)
    recordings = [Recording(file=name, uri=f"/c/{name}", bytes=1) for name in names]
    plan = extend_plan(writer, manifest_table(recordings), pairs, **settings)
    made = []
    for part in writer.missing(plan.num_parts):
        if only is not None and part not in only:
            continue
        files = plan.slice(part)["file"].to_pylist()
        failed = [{"file": name, "message": "is empty"} for name in files if name == BAD]
        good = rows_of([name for name in files if name != BAD])
        writer.write(part, good, pa.Table.from_pylist(failed, schema=ERRORS))
        made.append(part)
    if only is None:
        writer.commit(plan.num_parts, recordings=plan.fingerprints, ends=plan.ends)
    return made


@pytest.fixture
def table(tmp_path):
    """A table of three parts of two recordings each; one of them is an error."""
    make(tmp_path / "table")
    return tmp_path / "table"


def content(place):
    return read_table(str(place)), read_errors(str(place)), read_index(str(place))


def planned(place):
    return [file.recordings["file"].to_pylist() for file in read_plans(str(place))]


def files(place):
    return {path.name for path in Path(place).rglob("*") if path.is_file()}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", FILES.values(), ids=FILES)
@pytest.mark.parametrize("repair", [False, True], ids=["the same command", "repair first"])
def test_a_power_cut_costs_the_part_that_is_lost(table, caplog, name, damage, repair):
    before, all_files = content(table), files(table)
    place = table / name
    place.write_bytes(damage(place.read_bytes()))
    if repair:
        found = {fault.name for fault in verify_table(str(table), repair=True)}
        assert found == ({name} if "claim" not in name else set())
    assert make(table) == ([1] if "-00001" in name else [])
    assert content(table) == before
    assert files(table) == all_files
    assert verify_table(str(table)) == []
    lines = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len(lines) <= (2 if "plan" in name else 1)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_everything_new_may_be_lost_at_once(table, damage):
    before = content(table)
    for name in FILES.values():
        (table / name).write_bytes(damage((table / name).read_bytes()))
    assert make(table) == [1]
    assert content(table) == before


def test_where_nothing_of_a_table_can_be_read_it_is_made_again(table):
    before = content(table)
    for path in table.rglob("*.*"):
        path.write_bytes(b"")
    assert make(table) == [0, 1, 2]
    assert content(table) == before


def test_a_file_that_only_looks_like_a_part_is_nobodys(tmp_path):
    (tmp_path / "part-00000.parquet").write_bytes(b"half a fi")
    with pytest.raises(TableError, match="holds files but no table of raudeep"):
        make(tmp_path)
    assert (tmp_path / "part-00000.parquet").read_bytes() == b"half a fi"


def lose_plan(place, number=0):
    (place / f"__raudeep__/plan-{number:05d}.pq").unlink()


def test_the_plan_of_an_unfinished_table_is_as_it_was(tmp_path):
    make(tmp_path, only=[0, 2])
    before = read_plans(str(tmp_path))
    lose_plan(tmp_path)
    assert make(tmp_path) == [1]
    assert read_plans(str(tmp_path)) == before


def test_the_plan_of_a_corpus_that_has_grown_since_is_what_the_parts_hold(table):
    lose_plan(table)
    assert make(table, "abcdefgh0") == [3, 4]
    assert planned(table) == [list("abcdef"), ["0", "g", "h"]]
    assert verify_table(str(table)) == []


def test_parts_that_no_plan_can_be_made_of_are_made_again(tmp_path, caplog):
    make(tmp_path, only=[0, 2])
    lose_plan(tmp_path)
    assert make(tmp_path, "0abcdef") == [1, 2, 3]
    assert planned(tmp_path) == [["a", "b"], ["0", "c", "d", "e", "f"]]
    assert "1 parts say what it was and stay, 1 are made again" in caplog.text
    assert verify_table(str(tmp_path)) == []


@pytest.mark.parametrize("number", [0, 1])
def test_one_of_several_plans_is_made_again(tmp_path, number):
    make(tmp_path, "bcef")
    make(tmp_path, "abcdefg")
    before = content(tmp_path), planned(tmp_path)
    lose_plan(tmp_path, number)
    assert make(tmp_path, "abcdefg") == []
    assert (content(tmp_path), planned(tmp_path)) == before


def test_where_a_recording_of_the_corpus_is_gone_its_part_goes_with_the_plan(tmp_path):
    make(tmp_path, "abcdef")
    lose_plan(tmp_path)
    assert make(tmp_path, "abcef") == [1, 2]
    assert planned(tmp_path) == [["a", "b"], ["c", "e", "f"]]
    assert verify_table(str(tmp_path)) == []


def test_a_plan_that_is_lost_without_parts_is_made_again(tmp_path):
    make(tmp_path, only=[])
    (tmp_path / "__raudeep__/plan-00000.pq").write_bytes(b"")
    assert make(tmp_path) == [0, 1, 2]


def test_a_table_with_half_an_index_is_one_that_is_not_finished(finished):
    before = uris.read_bytes(uris.join(finished, INDEX))
    uris.write_bytes(uris.join(finished, INDEX), before[:100])
    with pytest.raises(TableError, match="command that made the table makes it again of the parts"):
        read_index(finished)
    with pytest.raises(TableError, match=r"view\.n_mels"):
        open_table(finished, OTHER)
    writer = open_table(finished, OF_VIEWS)
    assert writer.missing(2) == []
    writer.commit(2)
    assert uris.read_bytes(uris.join(finished, INDEX)) == before
