"""Files built aside: all of them appear in their place, or none."""

import os

import pytest

from raudeep.errors import TableError
from raudeep.storage import uri as uris
from raudeep.storage.staging import staging


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


def test_files_moved_before_one_that_cannot_be_are_taken_away(place, monkeypatch):
    move = uris.put_file

    def fail_at_the_second(file, uri):
        if file.name == "b.csv":
            raise OSError(28, "No space left on device")
        move(file, uri)

    monkeypatch.setattr(uris, "put_file", fail_at_the_second)
    with (
        pytest.raises(TableError, match=r"cannot write .*: No space left"),
        staging(place) as folder,
    ):
        build(folder, "fold_1/a.csv", "fold_1/b.csv")
    assert uris.list_files(place) == {}


def test_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "plain").write_text("x")
    with (
        pytest.raises(TableError, match="cannot be written: Not a directory"),
        staging(str(tmp_path / "plain" / "out")),
    ):
        pass
