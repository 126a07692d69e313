"""A file that cannot be read costs one recording; a drive that is gone stops a run."""

import errno
import os

import pytest

from raudeep.config import SpectrogramConfig
from raudeep.errors import AudioError, TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings import planning, reachable
from raudeep.pipeline.recordings.packing import _Packer, pack_corpus
from raudeep.pipeline.recordings.reachable import Needs, Places, needed_places
from raudeep.storage.index import read_index
from raudeep.storage.table import read_errors, read_table

OF_A_DRIVE = [
    *("EIO", "ENODEV", "ENXIO", "EREMOTEIO", "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN"),
    *("ECONNABORTED", "ENOENT"),
]


def error(name, path):
    code = getattr(errno, name)
    return OSError(code, os.strerror(code), str(path))


@pytest.fixture
def corpus(tmp_path):
    """400 files, of which none is audio: packing takes them as they are."""
    folder = tmp_path / "drive" / "corpus"
    for number in range(400):
        name = f"{number % 4}/{number:03d}.wav"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"%d" % number)
    return folder


@pytest.fixture
def needs(corpus):
    return needed_places(load_manifest(str(corpus))[0])


@pytest.fixture
def fail(monkeypatch):
    """Let the opening of what begins with a path fail."""
    open_file = os.open

    def fail(name, *begins):
        def refuse(path, *arguments, **settings):
            if str(path).startswith(tuple(map(str, begins))):
                raise error(name, path)
            return open_file(path, *arguments, **settings)

        monkeypatch.setattr(reachable.os, "open", refuse)

    return fail


def test_what_local_recordings_need_is_their_folder_and_some_that_were_there(corpus, needs):
    assert needs.root == str(corpus)
    assert len(needs.witnesses) == 8
    assert needs.witnesses[0] == f"{corpus}/0/000.wav"
    assert needs.witnesses[-1] == f"{corpus}/3/399.wav"


@pytest.mark.parametrize(
    ("places", "root"),
    [
        (["/a/b/x.wav", "s3://b/y.wav", "/a/bc/y.wav"], "/a"),
        (["file:///a/b/x.wav", "/a/b/y.wav"], "/a/b"),
        (["/a/b/p.parquet#000000001", "/a/b/p.parquet#000000002"], "/a/b"),
        (["s3://b/y.wav"], None),
    ],
)
def test_the_folder_of_all_local_recordings_is_needed(places, root):
    named = [Recording(file=f"{number}", uri=uri) for number, uri in enumerate(places)]
    needs = needed_places(manifest_table(named))
    assert (needs.root, needs.witnesses) == (root, [] if root else ())


@pytest.mark.parametrize("name", [*OF_A_DRIVE, "EACCES"])
@pytest.mark.parametrize("is_read", [True, False])
def test_one_file_that_cannot_be_read_is_that_recordings_error(corpus, needs, fail, name, is_read):
    bad = corpus / "1" / "001.wav"
    known = Places(needs)
    if is_read:
        known.check(f"{corpus}/0/000.wav", None)
    fail(name, bad)
    known.check(str(bad), error(name, bad))


@pytest.mark.parametrize("name", OF_A_DRIVE)
@pytest.mark.parametrize("is_read", [True, False])
def test_where_nothing_else_can_be_read_either_the_run_stops(corpus, needs, fail, name, is_read):
    known = Places(needs)
    if is_read:
        known.check(f"{corpus}/0/000.wav", None)
    fail(name, corpus)
    with pytest.raises(TableError, match=r"001.wav cannot be read, and may be good: .* same comm"):
        known.check(f"{corpus}/1/001.wav", error(name, corpus))


def test_a_folder_on_a_drive_that_is_gone_stops_the_run(corpus, needs, fail):
    """Although others lie beside it, as where each is a drive of its own."""
    known = Places(needs)
    known.check(f"{corpus}/0/000.wav", None)
    fail("EHOSTDOWN", corpus / "1")
    with pytest.raises(TableError, match=rf"Its folder {corpus}/1 cannot be opened either\. What"):
        known.check(f"{corpus}/1/001.wav", error("EHOSTDOWN", "x"))


def test_a_folder_in_the_place_of_the_root_is_another_one(corpus, needs):
    known = Places(needs)
    corpus.rename(corpus.with_name("away"))
    corpus.mkdir()  # as the folder below a drive that was mounted
    with pytest.raises(TableError, match=rf"The folder {corpus} is gone, or another one now\."):
        known.check(f"{corpus}/1/001.wav", error("ENOENT", "x"))


def test_where_a_file_that_was_read_is_gone_the_run_stops(corpus, needs):
    known = Places(needs)
    known.check(f"{corpus}/0/000.wav", None)
    (corpus / "0" / "000.wav").unlink()
    with pytest.raises(TableError, match=rf"{corpus}/0/000.wav, which was read before, cannot"):
        known.check(f"{corpus}/1/001.wav", error("ENOENT", "x"))


def test_files_that_never_were_there_or_may_not_be_read_tell_nothing_of_a_drive(tmp_path, fail):
    wrong = [Recording(file=name, uri=str(tmp_path / name)) for name in "abc"]
    Places(needed_places(manifest_table(wrong))).check(str(tmp_path / "a"), error("ENOENT", "a"))
    (tmp_path / "b").touch()
    fail("EACCES", tmp_path / "b")
    Places(Needs(witnesses=[str(tmp_path / "b")])).check("/c/d", error("ENOENT", "/c/d"))


def test_what_can_be_read_and_is_no_audio_is_not_asked_about(needs, monkeypatch):
    monkeypatch.setattr(reachable.os, "open", None)
    known = Places(needs)
    known.check("/a.wav", AudioError("is empty"))
    known.check("/a.parquet#000000003", OSError("the page is damaged"))


def test_a_dry_run_stops_as_well(corpus, tmp_path, monkeypatch):
    class Here:
        def __init__(self, function, *, processes):
            self.function = function

        def map(self, items):
            return map(self.function, items)

    monkeypatch.setattr(planning, "Crew", Here)
    manifest, _ = load_manifest(str(corpus))
    corpus.rename(tmp_path / "away")
    with pytest.raises(TableError, match="cannot be read, and may be good"):
        planning.plan_spectrograms(manifest, {"a": SpectrogramConfig()}, str(tmp_path / "table"))


def pack(corpus, output):
    manifest, _ = load_manifest(str(corpus))
    pack_corpus(manifest, str(output))
    return output


def assert_same(output, undisturbed):
    one, other = str(output), str(undisturbed)
    assert read_table(one).equals(read_table(other))
    assert read_errors(one).equals(read_errors(other))
    assert read_index(one).fingerprint == read_index(other).fingerprint
    for part in undisturbed.glob("part-*"):
        assert (output / part.name).read_bytes() == part.read_bytes()


@pytest.fixture
def small_parts(monkeypatch):
    """Parts of 40 recordings, which this process reads itself."""
    monkeypatch.setattr("raudeep.pipeline.recordings.packing._MOST_ROWS", 40)
    monkeypatch.setattr("raudeep.pipeline.recordings.slice_worker.is_fresh_cpu_actor", lambda: True)
    monkeypatch.setattr("raudeep.pipeline.recordings.slice_worker.keep_memory", lambda: None)


@pytest.mark.parametrize("after", [0, 200])
@pytest.mark.parametrize("whole", [True, False])
def test_a_drive_that_goes_away_and_comes_back_costs_a_second_run(
    corpus, tmp_path, monkeypatch, small_parts, after, whole
):
    undisturbed = pack(corpus, tmp_path / "undisturbed")
    gone = corpus.parent if whole else corpus
    begin, add, taken = _Packer.begin, _Packer.add, []

    def leave():
        if gone.exists():
            gone.rename(tmp_path / "away")
            gone.mkdir()

    def begins(self, targets):
        if not after:
            leave()
        begin(self, targets)

    def adds(self, number, piece):
        taken.append(number)
        if len(taken) == after:
            leave()
        return add(self, number, piece)

    with monkeypatch.context() as patch:
        patch.setattr(_Packer, "begin", begins)
        patch.setattr(_Packer, "add", adds)
        with pytest.raises(TableError, match="cannot be read, and may be good"):
            pack(corpus, tmp_path / "pack")
    gone.rmdir()
    (tmp_path / "away").rename(gone)
    assert not [*(tmp_path / "pack").rglob("errors-*")]
    assert_same(pack(corpus, tmp_path / "pack"), undisturbed)


def test_what_could_not_be_read_is_tried_again_once_it_can_be(corpus, tmp_path, small_parts):
    manifest, _ = load_manifest(str(corpus))
    lost = corpus / "1" / "001.wav"
    lost.rename(tmp_path / "lost")
    output = tmp_path / "pack"
    pack_corpus(manifest, str(output))
    assert read_errors(str(output))["stage"].to_pylist() == ["read"]
    times = {part: part.stat().st_mtime_ns for part in output.glob("part-*")}
    pack_corpus(manifest, str(output))
    assert {part: part.stat().st_mtime_ns for part in times} == times
    (tmp_path / "lost").rename(lost)
    pack_corpus(manifest, str(output))
    assert sum(part.stat().st_mtime_ns != time for part, time in times.items()) == 1
    assert read_errors(str(output)).num_rows == 0
    assert read_table(str(output)).num_rows == 400


def test_what_an_earlier_run_found_is_said_with_the_flag_that_tries_it_again(tmp_path, small_parts):
    wrong = manifest_table([Recording(file="a", uri=str(tmp_path / "a.wav"))])
    with pytest.raises(AudioError, match=r"1 of 1 recordings could not be used") as caught:
        pack_corpus(wrong, str(tmp_path / "pack"))
    assert "--retry-errors" not in str(caught.value)
    with pytest.raises(AudioError, match=r"An earlier run found that; --retry-errors tries them"):
        pack_corpus(wrong, str(tmp_path / "pack"))
