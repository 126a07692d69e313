"""Files built aside: all of them appear in their place, or none."""

import fcntl
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from raudeep.errors import TableError
from raudeep.storage import uri as uris
from raudeep.storage.staging import staging, unfinished_files


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    uri = str(tmp_path / "new" / "out") if request.param == "local" else f"memory://{tmp_path.name}"
    yield uri
    uris.delete(uri)


def build(folder, *names, error=None):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    if error is not None:
        raise error


def test_files_appear_when_all_are_built(place):
    with staging(place) as folder:
        build(folder, "a.csv", "train/fold_1/b.csv")
        assert [name for name in uris.list_files(place) if not name.startswith(".")] == []
    assert list(uris.list_files(place)) == ["a.csv", "train/fold_1/b.csv"]
    assert uris.read_bytes(uris.join(place, "a.csv")) == b"content of a.csv"


def test_new_files_take_the_place_of_old_ones_and_of_nothing_else(place):
    for name in ("a.csv", "fold_2/b.csv", "kept.txt"):
        uris.write_bytes(uris.join(place, name), b"old")
    with staging(place, replacing=["a.csv", "fold_2/b.csv"]) as folder:
        build(folder, "a.csv", "fold_1/b.csv")
    assert list(uris.list_files(place)) == ["a.csv", "fold_1/b.csv", "kept.txt"]
    assert uris.read_bytes(uris.join(place, "a.csv")) == b"content of a.csv"
    if uris.is_local(place):
        assert not os.path.exists(uris.join(place, "fold_2"))


@pytest.mark.parametrize("error", [TableError("bad row"), KeyboardInterrupt()])
def test_nothing_appears_and_old_files_stay_when_building_fails(place, error):
    uris.write_bytes(uris.join(place, "a.csv"), b"old")
    with pytest.raises(type(error)), staging(place, replacing=["a.csv"]) as folder:
        build(folder, "a.csv", error=error)
    assert uris.list_files(place) == {"a.csv": 3}


def test_no_folder_is_left_behind_when_building_fails(tmp_path):
    with pytest.raises(TableError), staging(str(tmp_path / "new" / "out")) as folder:
        build(folder, "a.csv", error=TableError("bad row"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def full(monkeypatch):
    """Let `b.csv` find no space."""
    move = uris.put_file

    def fail_at_the_second(file, uri, **options):
        if file.name == "b.csv":
            raise OSError(28, "No space left on device")
        move(file, uri, **options)

    with monkeypatch.context() as patch:
        patch.setattr(uris, "put_file", fail_at_the_second)
        yield


@contextmanager
def refused_for_space():
    with pytest.raises(TableError, match=r"cannot write .*: No space left"):
        yield


def test_files_moved_before_one_that_cannot_be_are_taken_away(place, full):
    with refused_for_space(), staging(place) as folder:
        build(folder, "fold_1/a.csv", "fold_1/b.csv")
    assert uris.list_files(place) == {}
    if uris.is_local(place):
        assert not os.path.exists(place)


def test_old_files_are_put_back_when_a_new_one_cannot_be_moved(place, full):
    old = {"a.csv": b"a", "b.csv": b"bb", "c.csv": b"ccc", "fold_2/a.csv": b"dddd"}
    for name, content in old.items():
        uris.write_bytes(uris.join(place, name), content)
    with refused_for_space(), staging(place, replacing=list(old)) as folder:
        build(folder, "a.csv", "a/a.csv", "b.csv", "fold_1/a.csv")
    assert {name: uris.read_bytes(uris.join(place, name)) for name in uris.list_files(place)} == old
    if uris.is_local(place):
        assert sorted(os.listdir(place)) == ["a.csv", "b.csv", "c.csv", "fold_2"]


@pytest.mark.parametrize("links", [True, False])
def test_old_files_stay_where_one_cannot_be_deleted(tmp_path, monkeypatch, links):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    def refuse_but_notes(uri):
        if uri.endswith(".csv"):
            refuse()
        delete(uri)

    delete = uris.delete_file
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr(uris, "delete_file", refuse_but_notes)
        if not links:
            patch.setattr(os, "link", refuse)
        with (
            pytest.raises(TableError, match=r"cannot write .*: Operation not permitted"),
            staging(str(tmp_path), replacing=["a.csv", "b.csv"]) as folder,
        ):
            build(folder, "a.csv")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.csv": "old",
        "b.csv": "old",
    }


def test_a_folder_in_the_place_of_a_file_keeps_what_is_in_it(tmp_path):
    (tmp_path / "b.csv").mkdir()
    (tmp_path / "b.csv" / "mine").write_text("mine")
    with (
        pytest.raises(TableError, match=r"cannot write .*: Is a directory"),
        staging(str(tmp_path)) as folder,
    ):
        build(folder, "a.csv", "b.csv")
    assert [path.name for path in tmp_path.rglob("*")] == ["b.csv", "mine"]


def test_what_cannot_be_put_back_is_kept_and_named(place, monkeypatch, caplog):
    move = uris.put_file

    def fail_from_the_second(file, uri, **options):
        if moved:
            raise OSError(28, "No space left on device")
        moved.append(move(file, uri, **options))

    moved = []
    uris.write_bytes(uris.join(place, "a.csv"), b"old")
    monkeypatch.setattr(uris, "put_file", fail_from_the_second)
    with refused_for_space(), staging(place, replacing=["a.csv"]) as folder:
        build(folder, "a.csv", "b.csv")
    (line,) = caplog.messages
    assert "a.csv cannot be put back: [Errno 28]" in line
    kept = Path(line.partition("what it held is in ")[2])
    assert kept.read_text() == "old"
    shutil.rmtree(kept.parents[1])


def test_what_killed_processes_left_goes_when_nobody_else_is_there(tmp_path):
    left = tmp_path / ".raudeep-staging-left" / "new" / "a.csv"
    left.parent.mkdir(parents=True)
    left.write_text("half a li")
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)  # as another process that builds here does
    with staging(str(tmp_path)) as folder:
        build(folder, "b.csv")
    assert left.exists()
    os.close(held)
    with staging(str(tmp_path)) as one, staging(str(tmp_path)) as other:
        assert not left.exists()
        build(one, "c.csv")
        build(other, "d.csv")
    assert sorted(os.listdir(tmp_path)) == ["b.csv", "c.csv", "d.csv"]


def test_folders_without_locks_are_written_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(9, "Bad file descriptor")

    (tmp_path / ".raudeep-staging-left").mkdir()
    monkeypatch.setattr(fcntl, "flock", refuse)
    with staging(str(tmp_path)) as folder:
        build(folder, "a.csv")
    assert sorted(os.listdir(tmp_path)) == [".raudeep-staging-left", "a.csv"]


def test_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "plain").write_text("x")
    with (
        pytest.raises(TableError, match="cannot be written: Not a directory"),
        staging(str(tmp_path / "plain" / "out")),
    ):
        pass


@pytest.mark.parametrize(
    ("early", "late"), [(["b.csv", "c.csv"], ["a.csv", "b.csv"]), (["a.csv"], ["a.csv"])]
)
def test_of_two_processes_that_put_files_into_a_folder_one_does(place, early, late):
    def put(names, meanwhile=lambda: None):
        with staging(place) as folder:
            meanwhile()
            build(folder, *names)

    with pytest.raises(TableError, match=r"another process writes to .* as well"):
        put(late, meanwhile=lambda: put(early))
    assert list(uris.list_files(place)) == early


def test_files_that_a_process_is_putting_there_are_not_those_of_a_killed_one(tmp_path, monkeypatch):
    move, place = uris.put_file, str(tmp_path)

    def look_at_the_second(file, uri, **options):
        if file.name == "b.csv":
            with pytest.raises(TableError, match=r"another process writes to .* as well"):
                unfinished_files(place)
        move(file, uri, **options)

    monkeypatch.setattr(uris, "put_file", look_at_the_second)
    with staging(place) as folder:
        build(folder, "a.csv", "b.csv")
    assert unfinished_files(place) is None


def test_half_of_several_files_are_known_until_all_are_there(place, monkeypatch):
    class Killed(BaseException):
        """Nothing is put back after it."""

    move = uris.put_file

    def fail_at_the_second(file, uri, **options):
        if file.name == "b.csv":
            raise Killed
        move(file, uri, **options)

    assert unfinished_files(place) is None
    uris.write_bytes(uris.join(place, "c.csv"), b"old")
    with monkeypatch.context() as patch:
        patch.setattr(uris, "put_file", fail_at_the_second)
        patch.setattr("raudeep.storage.staging._undo", lambda *_: False)
        with pytest.raises(Killed), staging(place, replacing=["c.csv"]) as folder:
            build(folder, "a.csv", "b.csv")
    assert unfinished_files(place) == ["a.csv", "b.csv", "c.csv"]
    with staging(place, replacing=["a.csv", "c.csv"]) as folder:
        build(folder, "a.csv", "b.csv")
    assert unfinished_files(place) is None
    assert list(uris.list_files(place)) == ["a.csv", "b.csv"]
