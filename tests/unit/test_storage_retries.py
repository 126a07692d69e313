"""Recordings that could not be used: which of them the next run tries again."""

import os
import shutil

import pyarrow as pa
import pytest

from raudeep.manifest import Recording, manifest_table
from raudeep.schema import ERRORS
from raudeep.storage import retries
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan
from raudeep.storage.stores import StoreError

NAMES = ("a.wav", "b.wav", "c.wav", "d.wav")


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(name.encode() * 9000)
    return folder


@pytest.fixture
def writer(tmp_path):
    return open_table(str(tmp_path / "table"), Identity("embeddings", {}))


def manifest(folder, names=NAMES):
    return manifest_table(
        [Recording(file=name, uri=f"{folder}/{name}", bytes=9000 * len(name)) for name in names]
    )


@pytest.fixture
def extend(writer):
    """Plan the recordings, two in a part; return the parts that are missing then."""

    def extend(folder, **settings):
        extend_plan(writer, manifest(folder), lambda *_, **__: [(0, 2), (2, 4)], **settings)
        return writer.missing(2)

    return extend


@pytest.fixture
def fail(writer, corpus, extend):
    """Write both parts, in which some recordings have failed at a stage."""

    def fail(stage, *files):
        extend(corpus)
        for part, names in enumerate((NAMES[:2], NAMES[2:])):
            good = pa.table({"file": [name for name in names if name not in files]})
            bad = [{"file": name, "stage": stage} for name in names if name in files]
            writer.write(part, good, pa.Table.from_pylist(bad, schema=ERRORS))

    return fail


def test_what_could_not_be_read_is_tried_again_where_it_can_be_now(corpus, extend, fail, caplog):
    fail("read", "a.wav", "b.wav", "d.wav")
    (corpus / "d.wav").rename(corpus / "away")
    caplog.set_level("INFO")
    assert extend(corpus) == [0]
    assert "2 recordings that could not be used can be read now, or have changed" in caplog.text
    assert extend(corpus) == [0]
    (corpus / "away").rename(corpus / "d.wav")
    assert extend(corpus) == [0, 1]


def test_what_could_not_be_decoded_is_not_tried_again(corpus, extend, fail):
    for stage in ("decode", "spectrogram"):
        fail(stage, "a.wav", "d.wav")
        assert extend(corpus) == []
    assert extend(corpus, retry_errors=True) == [0, 1]


def test_a_file_whose_time_is_another_one_is_tried_again_once(corpus, extend, fail, writer):
    """As one that was mended in the middle, of which only some blocks are compared."""
    fail("decode", "a.wav", "d.wav")
    os.utime(corpus / "a.wav", ns=(1, 1))
    os.utime(corpus / "c.wav", ns=(1, 1))  # which is good
    assert extend(corpus) == [0]
    fail("decode", "a.wav", "d.wav")
    assert extend(corpus) == []


def test_a_copy_elsewhere_is_no_reason_to_try_again(corpus, extend, fail, tmp_path):
    fail("decode", "a.wav")
    shutil.copytree(corpus, tmp_path / "copy", copy_function=shutil.copyfile)
    os.utime(tmp_path / "copy" / "a.wav", ns=(1, 1))
    assert extend(tmp_path / "copy") == []


def test_a_table_that_is_made_again_is_not_looked_at(corpus, extend, fail, monkeypatch):
    fail("read", "a.wav")
    (corpus / "b.wav").write_bytes(b"other".ljust(9000 * 5))
    monkeypatch.setattr(retries, "open_recording", None)
    assert extend(corpus, overwrite=True) == [0, 1]


def test_a_damaged_part_of_the_errors_stops_nothing(corpus, extend, fail, tmp_path):
    fail("read", "a.wav")
    (errors,) = (tmp_path / "table").rglob("errors-*")
    errors.write_bytes(errors.read_bytes()[:-9])
    extend(corpus)


def test_a_store_that_does_not_answer_is_asked_twice(monkeypatch):
    asked = []

    def refuse(uri):
        asked.append(uri)
        raise StoreError("it does not answer")

    monkeypatch.setattr(retries, "open_recording", refuse)
    monkeypatch.setattr(retries, "_THREADS", 1)
    assert retries._readable([f"s3://bucket/{number}" for number in range(9)]) == [False] * 9
    assert len(asked) == 2
