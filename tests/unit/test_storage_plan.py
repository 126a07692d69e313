"""The plan of a table: parts of recordings, more of them for new ones, and nothing else changes."""

import logging
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raudeep.errors import TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.schema import ERRORS, read_metadata, with_metadata
from raudeep.storage import plan, plan_files
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan
from raudeep.storage.plan_files import read_plans
from raudeep.storage.stores import StoreError
from raudeep.storage.writer import TableWriter


def manifest(*names, **settings):
    return manifest_table(
        [Recording(file=name, uri=f"/c/{name}", bytes=1, **settings) for name in names]
    )


def pairs(recordings, *, is_first=True):
    count = recordings.num_rows
    return [(start, min(start + 2, count)) for start in range(0, count, 2)]


@pytest.fixture
def extend(tmp_path):
    def extend(recordings, slices=pairs, **settings):
        writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
        return extend_plan(writer, recordings, slices, **settings)

    return extend


def parts(plan):
    return [plan.slice(part)["file"].to_pylist() for part in range(plan.num_parts)]


def test_a_plan_is_written_once_and_read_again(extend, tmp_path):
    recordings = manifest("a", "b", "c")
    plan = extend(recordings)
    assert parts(plan) == [["a", "b"], ["c"]]
    assert plan.sizes == (2, 1)
    written = (tmp_path / "table" / "__raudeep__/plan-00000.pq").stat().st_mtime_ns
    again = extend(recordings)
    assert parts(again) == parts(plan)
    assert again.fingerprints == plan.fingerprints
    assert (tmp_path / "table" / "__raudeep__/plan-00000.pq").stat().st_mtime_ns == written


def test_new_recordings_are_further_parts(extend, tmp_path, caplog):
    first = extend(manifest("b", "d", "f"))
    with caplog.at_level(logging.INFO, logger="raudeep"):
        second = extend(manifest("a", "b", "c", "d", "e", "f"))
    assert parts(second) == [["b", "d"], ["f"], ["a", "c"], ["e"]]
    assert second.fingerprints[:1] == first.fingerprints
    assert "3 new recordings" in caplog.text
    assert [file.recordings.num_rows for file in read_plans(str(tmp_path / "table"))] == [3, 3]
    assert parts(extend(manifest("a", "b", "c", "d", "e", "f"))) == parts(second)


def test_what_is_gone_is_reported_and_stays_in_its_part(extend, caplog):
    extend(manifest("a", "b", "c"))
    plan = extend(manifest("a", "c"))
    assert parts(plan) == [["a", "b"], ["c"]]
    assert "1 recordings are no longer in the corpus, e.g. 'b'" in caplog.text


@pytest.mark.parametrize("settings", [{"label": "dog"}, {"partition": "train"}, {"folds": (0, 1)}])
def test_other_labels_are_planned_and_stand_for_no_other_sounds(extend, caplog, settings):
    before = extend(manifest("a", "b"))
    plan = extend(manifest("a", "b", **settings))
    assert plan.fingerprints == before.fingerprints
    assert plan.labels != before.labels
    ((name, value),) = settings.items()
    planned = plan.recordings[name].to_pylist()
    assert [each if isinstance(each, str) else tuple(each) for each in planned] == [value] * 2
    assert extend(manifest("a", "b")).recordings.equals(plan.recordings)
    assert caplog.text == ""


def of_sizes(**sizes):
    return manifest_table(
        [Recording(file=name, uri=f"/c/{name}", bytes=size) for name, size in sizes.items()]
    )


def test_what_has_no_row_yet_is_planned_as_large_as_it_is_today(extend, tmp_path, caplog):
    """Or a row would be made of other audio than the fingerprints of the table stand for."""
    before = extend(of_sizes(a=1, b=1, c=1))
    writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
    writer.write(0, pa.table({"file": ["a", "b"]}))
    extend(of_sizes(a=1, b=1, c=1, d=1))
    after = extend(of_sizes(a=2, b=1, c=2, d=2))
    assert "1 recordings changed since they were computed, e.g. 'a'" in caplog.text
    assert after.recordings["bytes"].to_pylist() == [1, 1, 2, 2]
    assert len({*before.fingerprints, *after.fingerprints}) == 3
    again = extend(of_sizes(a=1, b=1, c=2, d=2))
    assert again.fingerprints == after.fingerprints
    stored = [file.fingerprint for file in read_plans(str(tmp_path / "table"))]
    assert tuple(stored) == after.fingerprints


def test_a_size_that_nobody_says_today_stays_as_planned(extend):
    before = extend(of_sizes(a=1, b=None))
    after = extend(of_sizes(a=None, b=1))
    assert after.recordings["bytes"].to_pylist() == [1, None]
    assert after.fingerprints == before.fingerprints


def test_an_error_that_was_replaced_is_tried_again(extend, tmp_path, caplog):
    """The rest of its slice is, too; the fingerprint says so."""
    before = extend(of_sizes(a=1, b=1, c=1))
    writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
    error = {"file": "b", "uri": "/c/b", "stage": "embeddings", "error": "AudioError"}
    writer.write(0, pa.table({"file": ["a"]}), pa.Table.from_pylist([error], schema=ERRORS))
    writer.write(1, pa.table({"file": ["c"]}))
    assert extend(of_sizes(a=1, b=1, c=1)).fingerprints == before.fingerprints
    assert writer.missing(2) == []
    extend(of_sizes(a=2, b=1, c=1))
    assert "1 recordings changed since they were computed, e.g. 'a'" in caplog.text
    caplog.clear()
    after = extend(of_sizes(a=2, b=2, c=1))
    assert after.recordings["bytes"].to_pylist() == [2, 2, 1]
    assert after.fingerprints != before.fingerprints
    assert writer.missing(2) == [0]


def test_a_size_that_is_not_known_is_no_change(extend, caplog):
    extend(manifest("a"))
    extend(manifest_table([Recording(file="a", uri="/c/a")]))
    assert caplog.text == ""


def test_a_corpus_that_moved_is_read_where_it_is_now(extend):
    extend(manifest("a", "b"))
    moved = manifest_table([Recording(file=n, uri=f"/new/{n}", bytes=1) for n in ("a", "b")])
    assert extend(moved).recordings["uri"].to_pylist() == ["/new/a", "/new/b"]


def test_what_was_planned_takes_labels_and_folds_of_today(extend):
    extend(manifest("a", "c", "d", label="old", folds=(0, 1)))
    later = extend(manifest("a", "b", "c", label="new", folds=(0, 1, 0))).recordings
    assert later["file"].to_pylist() == ["a", "c", "d", "b"]
    assert later["label"].to_pylist() == ["new", "new", "old", "new"]
    assert later["folds"].to_pylist() == [[0, 1, 0], [0, 1, 0], [0, 1], [0, 1, 0]]


def test_a_manifest_without_labels_takes_none_away(extend):
    before = extend(manifest("a", "b", label="dog", partition="train"))
    after = extend(manifest("a", "b", partition="test"))
    assert after.recordings["label"].to_pylist() == ["dog", "dog"]
    assert after.recordings["partition"].to_pylist() == ["test", "test"]
    assert before.labels != after.labels


def test_the_plan_of_an_earlier_version_is_taken_as_it_is(extend, tmp_path):
    """Its fingerprint stands for the labels, too, until there are others."""
    plan = tmp_path / "table" / "__raudeep__/plan-00000.pq"
    extend(manifest("a", "b", label="dog"))
    table = pq.read_table(plan).drop_columns(["modified", "content"])
    said = {key: value for key, value in read_metadata(table.schema).items() if key != "labels"}
    said["recordings"] = "0123456789abcdef"
    table = table.replace_schema_metadata(with_metadata(table.schema, said).metadata)
    pq.write_table(table, plan)
    same = extend(manifest("a", "b", label="dog"))
    assert (same.fingerprints, same.labels) == (("0123456789abcdef",), None)
    other = extend(manifest("a", "b", label="cat"))
    assert other.fingerprints == same.fingerprints
    assert other.labels is not None


def test_parts_follow_the_order_in_storage_not_of_the_names(extend):
    rows = [("a", "p.parquet#2"), ("b", "p.parquet#0"), ("c", "p.parquet#1")]
    packed = manifest_table([Recording(file=file, uri=uri) for file, uri in rows])
    assert parts(extend(packed)) == [["b", "c"], ["a"]]
    assert parts(extend(packed)) == [["b", "c"], ["a"]]


def test_of_two_processes_that_extend_a_table_the_first_counts(extend):
    """Or the parts of the one would hold recordings that the plan of the other does not name."""
    others = iter([manifest("a", "b", "c")])

    def slowly(recordings, *, is_first):
        for other in others:
            extend(other)
        return pairs(recordings)

    plan = extend(manifest("a", "b", "d"), slowly)
    assert parts(plan) == [["a", "b"], ["c"], ["d"]]
    assert parts(extend(manifest("a", "b", "c", "d"))) == parts(plan)


def test_overwriting_makes_a_table_anew_where_its_recordings_changed(extend, tmp_path):
    extend(manifest("a", "b", "c"))
    part = tmp_path / "table" / "part-00000.parquet"
    shutil.copy(tmp_path / "table" / "__raudeep__/plan-00000.pq", part)
    assert parts(extend(manifest("a", "b", "c", "d"), overwrite=True))[-1] == ["d"]
    assert part.exists()
    assert parts(extend(manifest("a", "b"), overwrite=True)) == [["a", "b"]]
    assert not part.exists()


def test_overwriting_makes_no_table_anew_where_only_labels_changed(extend, tmp_path):
    extend(manifest("a", "b"))
    part = tmp_path / "table" / "part-00000.parquet"
    shutil.copy(tmp_path / "table" / "__raudeep__/plan-00000.pq", part)
    plan = extend(manifest("a", "b", label="dog"), overwrite=True)
    assert plan.recordings["label"].to_pylist() == ["dog", "dog"]
    assert part.exists()


def test_a_store_that_is_away_is_no_reason_to_make_a_table_again(extend, tmp_path, monkeypatch):
    extend(manifest("a"))

    def away(uri, name):
        raise TableError("the store does not answer") from StoreError("503")

    monkeypatch.setattr(plan_files, "read_part", away)
    with pytest.raises(TableError, match="does not answer"):
        extend(manifest("a"), overwrite=True)
    assert (tmp_path / "table" / "__raudeep__/plan-00000.pq").exists()


@pytest.mark.parametrize("stale", [3, 100])
def test_a_store_that_does_not_list_what_it_holds_is_asked_a_few_times(
    extend, tmp_path, monkeypatch, stale
):
    before = extend(manifest("a"))
    listed, asked = uris.list_files, []

    def list_files(uri):
        asked.append(uri)
        return {name: size for name, size in listed(uri).items() if len(asked) > stale}

    monkeypatch.setattr(plan.uris, "list_files", list_files)
    monkeypatch.setattr(plan, "_WAITS", (0,) * 4)
    writer = TableWriter(str(tmp_path / "table"), Identity("embeddings", {}))
    if stale == 3:
        again = extend_plan(writer, manifest("a"), pairs)
        assert again.fingerprints == before.fingerprints
        return
    with pytest.raises(TableError, match=r"does not list, .* Run the same command again later"):
        extend_plan(writer, manifest("a"), pairs)
    assert len(asked) == 4
