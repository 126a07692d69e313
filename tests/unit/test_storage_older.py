"""Tables of an earlier version, whose files lie beside their parts: read, grown, mended, replaced.

How the fixture was made stands in its README.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from raudeep.errors import TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.storage import uri as uris
from raudeep.storage.index import INDEX, indexed_stage, move_files, read_index
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan
from raudeep.storage.plan_files import planned_uri, read_plans
from raudeep.storage.table import read_errors, read_part, read_table
from raudeep.storage.verification import verify_table
from tests.tables import files_of

OLDER = Path(__file__).parents[1] / "fixtures" / "older"
BELOW = ["__raudeep__/errors-00008.pq", INDEX, "__raudeep__/plan-00000.pq"]
BESIDE = ["errors-00008.parquet", "index.json", "plan-00000.parquet"]


@pytest.fixture
def older(place):
    """A copy of the embeddings of an earlier version."""
    for file in (OLDER / "embeddings").iterdir():
        uris.write_bytes(uris.join(place, file.name), file.read_bytes())
    return place


def others(place):
    """What lies there beside the parts."""
    return [name for name in files_of(place) if not name.startswith("part-")]


@pytest.mark.parametrize(
    ("name", "num_rows", "num_errors"),
    [("spectrograms", 8, 1), ("embeddings", 8, 1), ("predictions", 8, 0)],
)
def test_a_table_of_an_earlier_version_is_read_and_verified_as_it_lies(name, num_rows, num_errors):
    place = str(OLDER / name)
    assert indexed_stage(place) == name
    assert read_table(place).num_rows == read_index(place).rows == num_rows
    assert read_errors(place).num_rows == num_errors
    assert verify_table(place) == []


def test_its_plan_is_found(older):
    recordings = read_plans(older)[0].recordings
    assert recordings.num_rows == 9
    assert planned_uri(older, "tone/0.wav") == "/tmp/older/corpus/tone/0.wav"
    assert others(older) == BESIDE


def test_whoever_writes_to_it_moves_its_files_and_changes_nothing_else(older):
    index, rows, errors = read_index(older), read_table(older), read_errors(older)
    writer = open_table(older, index.identity)
    assert others(older) == BELOW
    assert writer.missing(9) == []
    written = writer.commit(9, recordings=index.recordings, ends=[9])
    assert written.fingerprint == index.fingerprint
    assert read_table(older).equals(rows)
    assert read_errors(older).equals(errors)
    assert verify_table(older) == []


def test_it_grows(older):
    index = read_index(older)
    planned = read_plans(older)[0].recordings
    writer = open_table(older, index.identity)
    names = ["file", "uri", "label", "partition", "folds", "bytes"]
    rows = [Recording(**row) for row in planned.select(names).to_pylist()]
    manifest = manifest_table([*rows, Recording(file="z.wav", uri="/z.wav")])
    plan = extend_plan(writer, manifest, lambda *_, **__: [(0, 1)])
    assert writer.missing(plan.num_parts) == [9]
    part = read_part(older, "part-00000.parquet")
    writer.write(9, part.set_column(0, part.schema.field(0), [["z.wav"]]))
    grown = writer.commit(plan.num_parts, recordings=plan.fingerprints, ends=plan.ends)
    assert grown.earlier == [index.fingerprint]
    assert (grown.rows, grown.num_errors) == (9, 1)
    assert verify_table(older) == []


@pytest.mark.parametrize("failing", ["write_bytes", "delete_file"])
@pytest.mark.parametrize("after", range(3))
def test_killed_while_its_files_move_it_is_as_whole_as_before(older, monkeypatch, failing, after):
    rows, errors = read_table(older), read_errors(older)
    left = [None] * after
    done = getattr(uris, failing)

    def kill(*arguments, **options):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return done(*arguments, **options)

    monkeypatch.setattr(uris, failing, kill)
    with pytest.raises(KeyboardInterrupt):
        move_files(older)
    monkeypatch.undo()
    assert read_table(older).equals(rows)
    assert read_errors(older).equals(errors)
    assert verify_table(older) == []
    assert len(read_plans(older)) == 1
    move_files(older)
    assert others(older) == BELOW
    assert verify_table(older) == []


def test_an_index_json_of_somebody_else_stays_where_it_is(older):
    move_files(older)
    uris.write_bytes(uris.join(older, "index.json"), b'{"name": "of a page"}')
    for overwrite in (False, True):
        with pytest.raises(TableError, match=r"index\.json is not raudeep's, and the table needs"):
            open_table(older, read_index(older).identity, overwrite=overwrite)
    assert others(older) == sorted([*BELOW, "index.json"])


def test_it_is_mended(older):
    rows, index = read_table(older), read_index(older)
    first = read_part(older, "part-00000.parquet")
    uris.write_bytes(uris.join(older, "part-00000.parquet"), b"PAR1")
    assert {fault.name for fault in verify_table(older, repair=True)} == {"part-00000.parquet"}
    writer = open_table(older, index.identity)
    assert writer.missing(9) == [0]
    writer.write(0, first)
    assert writer.commit(9, recordings=index.recordings, ends=[9]).rows == index.rows
    assert read_table(older).equals(rows)


def test_it_is_refused_for_another_configuration_and_replaced_on_purpose(older):
    other = replace(read_index(older).identity, config={"readout": "state"})
    with pytest.raises(TableError, match="readout is 'pooled' there and 'state' now"):
        open_table(older, other)
    assert others(older) == BESIDE
    open_table(older, other, overwrite=True)
    assert others(older) == []


def test_an_unfinished_one_goes_on(older, tmp_path):
    rows, index = read_table(older), read_index(older)
    whole = tmp_path / "whole"
    shutil.copytree(OLDER / "embeddings", whole)
    for name in ("index.json", "part-00003.parquet"):
        uris.delete_file(uris.join(older, name))
    writer = open_table(older, index.identity)
    assert writer.missing(9) == [3]
    writer.write(3, read_part(str(whole), "part-00003.parquet"))
    assert writer.commit(9, recordings=index.recordings, ends=[9]).rows == index.rows
    assert read_table(older).equals(rows)
