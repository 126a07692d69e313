"""Files that outlive a power cut, and what killed processes leave."""

import errno
import fcntl
import os
import signal
from pathlib import Path

import pytest

from raudeep.errors import TableError
from raudeep.storage import disc
from raudeep.storage import uri as uris

SYNCED, NAMED = "synced", "named"


@pytest.fixture
def events(monkeypatch):
    """What was brought onto the disc and what got a name, in that order."""
    found = []

    def name_of(descriptor):
        return Path(os.readlink(f"/proc/self/fd/{descriptor}"))

    def recording(function, kind):
        def call(*arguments):
            place = name_of(arguments[0]) if kind == SYNCED else Path(arguments[1])
            found.append((kind, "a temporary file" if place.suffix == ".tmp" else place.name))
            return function(*arguments)

        return call

    monkeypatch.setattr(os, "fsync", recording(os.fsync, SYNCED))
    monkeypatch.setattr(os, "replace", recording(os.replace, NAMED))
    monkeypatch.setattr(os, "link", recording(os.link, NAMED))
    return found


@pytest.mark.parametrize("only_new", [True, False])
def test_a_file_is_on_the_disc_before_it_has_its_name(tmp_path, events, only_new):
    place = tmp_path / "a" / "b" / "part.parquet"
    uris.write_bytes(str(place), b"rows", only_new=only_new)
    assert events == [
        (SYNCED, "a"),
        (SYNCED, tmp_path.name),
        (SYNCED, "a temporary file"),
        (NAMED, "part.parquet"),
        (SYNCED, "b"),
    ]


def test_a_file_that_is_moved_is_on_the_disc_before_it_has_its_name(tmp_path, events):
    (tmp_path / "new").write_bytes(b"rows")
    uris.put_file(tmp_path / "new", str(tmp_path / "part"))
    assert events == [(SYNCED, "new"), (NAMED, "part"), (SYNCED, tmp_path.name)]


def test_a_file_system_that_knows_no_fsync_is_written_all_the_same(tmp_path, monkeypatch):
    def fail(number):
        def fsync(_):
            raise OSError(number, os.strerror(number))

        return fsync

    monkeypatch.setattr(os, "fsync", fail(errno.EINVAL))
    uris.write_bytes(str(tmp_path / "a"), b"a")
    monkeypatch.setattr(os, "fsync", fail(errno.ENOSPC))
    with pytest.raises(TableError, match=r"cannot write .*b: No space left"):
        uris.write_bytes(str(tmp_path / "b"), b"b")
    assert os.listdir(tmp_path) == ["a"]


def test_temporary_files_of_killed_processes_go_and_those_of_others_stay(tmp_path):
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        with disc.temporary_file(tmp_path):
            os.write(told, b".")
            signal.pause()
    os.read(ready, 1)
    (tmp_path / ".raudeep-notes").write_text("no temporary file")
    (tmp_path / ".thesis.tmp").write_text("precious")
    uris.check_writable(str(tmp_path))
    assert len(list(tmp_path.glob(".raudeep-*.tmp"))) == 1
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    uris.check_writable(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".raudeep-notes", ".thesis.tmp"]


def test_a_temporary_file_that_somebody_took_for_a_dead_one_is_made_again(tmp_path, monkeypatch):
    lock = fcntl.flock

    def take_away(descriptor, operation):
        monkeypatch.undo()
        (path,) = tmp_path.iterdir()
        path.unlink()
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", take_away)
    uris.write_bytes(str(tmp_path / "a"), b"a")
    assert (tmp_path / "a").read_bytes() == b"a"
    assert os.listdir(tmp_path) == ["a"]


def test_a_folder_that_another_process_deletes_while_it_is_empty_is_made_again(
    tmp_path, monkeypatch
):
    made, left = disc.make_folder, [None] * 3

    def make_and_lose(folder):
        made(folder)
        if left:
            left.pop()
            folder.rmdir()

    monkeypatch.setattr(disc, "make_folder", make_and_lose)
    disc.write_file(tmp_path / "new" / "a.txt", b"a")
    assert (tmp_path / "new" / "a.txt").read_bytes() == b"a"
