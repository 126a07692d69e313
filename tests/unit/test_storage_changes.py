"""Recordings of a plan that are not what they were: files of the same size, objects, packs."""

import os
import shutil

import pyarrow as pa
import pytest

from raudeep.manifest import Recording, manifest_table
from raudeep.storage import contents
from raudeep.storage import uri as uris
from raudeep.storage.contents import hash_content
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan
from tests.tables import failures

CHANGED = "1 recordings changed since they were computed, e.g. 'a'"


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("a", "b"):
        (folder / name).write_bytes(name.encode() * 300_000)
    return folder


@pytest.fixture
def extend(tmp_path):
    def extend(recordings, **settings):
        writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
        return extend_plan(writer, recordings, lambda _, **__: [(0, 2)], **settings)

    return extend


@pytest.fixture
def make(tmp_path, extend):
    """Write the part of a plan, with errors if there are any."""

    def make(recordings, **settings):
        plan = extend(recordings, **settings)
        files = [file for file in ("a", "b") if file not in settings.get("failed", ())]
        writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
        writer.write(0, pa.table({"file": files}))
        return plan

    return make


def manifest(folder, *, sizes=True, **contents_of):
    recordings = [
        Recording(file=path.name, uri=str(path), bytes=path.stat().st_size if sizes else None)
        for path in sorted(folder.iterdir())
    ]
    return manifest_table(recordings)


def replace_content(path, *, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("at", [0, 100_000, -1])
@pytest.mark.parametrize("sizes", [True, False])
def test_a_file_of_the_same_size_has_changed(corpus, make, extend, caplog, at, sizes):
    before = make(manifest(corpus, sizes=sizes))
    replace_content(corpus / "a", at=at)
    for _ in range(2):
        caplog.clear()
        assert extend(manifest(corpus, sizes=sizes)).fingerprints == before.fingerprints
        assert CHANGED in caplog.text
        assert "Their rows stay, without --overwrite" in caplog.text
    after = extend(manifest(corpus, sizes=sizes), overwrite=True)
    assert after.fingerprints != before.fingerprints


def test_a_copy_is_no_change_and_is_read_once(corpus, make, extend, caplog, monkeypatch, tmp_path):
    before = make(manifest(corpus))
    other = tmp_path / "other"
    shutil.copytree(corpus, other, copy_function=shutil.copyfile)
    for path in other.iterdir():
        os.utime(path, ns=(5, 5))
    assert extend(manifest(other)).fingerprints == before.fingerprints
    monkeypatch.setattr(contents, "hash_content", lambda uri: pytest.fail(uri))
    assert extend(manifest(other)).fingerprints == before.fingerprints
    assert caplog.text == ""


def test_what_has_no_row_yet_is_planned_as_it_is_today(corpus, extend, caplog):
    before = extend(manifest(corpus))
    replace_content(corpus / "a", at=0)
    after = extend(manifest(corpus))
    assert after.fingerprints != before.fingerprints
    assert after.recordings["content"][0].as_py() == hash_content(str(corpus / "a"))
    assert caplog.text == ""


def test_an_error_of_the_same_size_is_tried_again_where_it_was_replaced(corpus, extend, tmp_path):
    extend(manifest(corpus))
    writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
    writer.write(0, pa.table({"file": ["b"]}), failures("a"))
    replace_content(corpus / "b", at=0)
    extend(manifest(corpus))
    assert writer.missing(1) == []
    replace_content(corpus / "a", at=0)
    extend(manifest(corpus))
    assert writer.missing(1) == [0]


def test_a_table_of_an_earlier_version_learns_what_tells_a_content(corpus, make, extend, caplog):
    plain = manifest(corpus)
    unknown = plain.append_column("modified", pa.nulls(2, pa.int64()))
    unknown = unknown.append_column("content", pa.nulls(2, pa.string()))
    before = make(unknown)
    assert extend(plain).fingerprints == before.fingerprints
    assert caplog.text == ""
    replace_content(corpus / "a", at=0)
    extend(plain)
    assert CHANGED in caplog.text


def test_contents_that_could_not_be_read_when_planned_are_those_of_today(
    corpus, extend, tmp_path, monkeypatch
):
    """The fingerprint is that of a plan which was made while the drive was there."""
    with monkeypatch.context() as patch:
        patch.setattr(contents, "hash_content", lambda uri: None)
        away = extend(manifest(corpus))
    assert away.recordings["content"].null_count == 2
    back = extend(manifest(corpus))
    uris.delete(str(tmp_path / "table"))
    undisturbed = extend(manifest(corpus))
    assert back.fingerprints == undisturbed.fingerprints != away.fingerprints


def in_store(tags, *, bucket="b"):
    rows = manifest_table(
        [Recording(file=name, uri=f"s3://{bucket}/{name}", bytes=1) for name in "ab"]
    )
    rows = rows.append_column("modified", pa.nulls(2, pa.int64()))
    return rows.append_column("content", pa.array(tags, pa.string()))


@pytest.mark.parametrize(
    ("tags", "bucket", "changed"),
    [
        (["etag:1", "etag:2"], "b", False),
        (["etag:3", "etag:2"], "b", True),
        (["etag:3", "etag:2"], "other", False),
        ([None, "etag:2"], "b", False),
        (["crc32:1", "etag:2"], "b", False),
    ],
)
def test_a_tag_tells_of_an_object_at_its_place(make, extend, caplog, tags, bucket, changed):
    make(in_store(["etag:1", "etag:2"]))
    extend(in_store(tags, bucket=bucket))
    assert (CHANGED in caplog.text) == changed


def test_an_object_that_moved_is_known_by_its_tag_there(make, extend, caplog):
    make(in_store(["etag:1", "etag:2"]))
    extend(in_store(["etag:3", "etag:4"], bucket="other"))
    assert caplog.text == ""
    extend(in_store(["etag:5", "etag:4"], bucket="other"))
    assert CHANGED in caplog.text


def test_a_checksum_tells_of_a_packed_recording_wherever_the_pack_lies(make, extend, caplog):
    make(in_store(["crc32:1", "crc32:2"]))
    extend(in_store(["crc32:1", "crc32:2"], bucket="other"))
    assert caplog.text == ""
    extend(in_store(["crc32:3", "crc32:2"], bucket="third"))
    assert CHANGED in caplog.text


def test_what_is_no_file_has_no_content(tmp_path):
    assert hash_content(str(tmp_path / "missing")) is None
    assert hash_content(str(tmp_path)) is None
