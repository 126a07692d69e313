"""Reading and writing by URI: whole files or none, locally and in stores."""

import errno
import os
from pathlib import Path

import pytest

from raudeep.errors import TableError
from raudeep.storage import disc
from raudeep.storage import uri as uris


@pytest.fixture(params=["path", "file", "memory"])
def place(request, tmp_path, memory):
    """A folder that does not exist yet, by path, by file:// and in memory."""
    return {"path": str(tmp_path / "x"), "file": f"file://{tmp_path}/x", "memory": memory}[
        request.param
    ]


def test_what_is_written_is_read_back(place):
    file = uris.join(place, "deep", "a.bin")
    assert not uris.exists(file)
    uris.write_bytes(file, b"one")
    uris.write_bytes(file, b"two!")
    assert uris.exists(file)
    assert uris.read_bytes(file) == b"two!"
    with uris.open_file(file) as opened:
        opened.seek(1)
        assert opened.read() == b"wo!"


def test_files_are_listed_with_their_sizes_sorted_and_relative(place):
    assert uris.list_files(place) == {}
    for name in ("b.txt", "a/c.txt", "a/b/d.txt"):
        uris.write_bytes(uris.join(place, name), name.encode())
    assert uris.list_files(place) == {"a/b/d.txt": 9, "a/c.txt": 7, "b.txt": 5}
    assert list(uris.list_files(place + "/")) == ["a/b/d.txt", "a/c.txt", "b.txt"]
    assert uris.list_files(uris.join(place, "a")) == {"b/d.txt": 9, "c.txt": 7}


def test_what_may_not_be_looked_at_is_not_taken_for_missing(tmp_path, monkeypatch):
    def refuse(path, **_):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    for asked in (uris.exists, uris.file_size):
        with pytest.raises(TableError, match=r"cannot reach .*a\.wav: Permission denied"):
            asked(str(tmp_path / "a.wav"))


def test_a_folder_that_cannot_be_listed_is_an_error_and_not_empty(tmp_path, monkeypatch):
    for name in ("a/x.wav", "locked/y.wav"):
        uris.write_bytes(str(tmp_path / name), b"x")
    scan = os.scandir

    def refuse(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    for place in (tmp_path, tmp_path / "locked"):
        with pytest.raises(TableError, match=rf"cannot list {tmp_path}/locked: Permission"):
            uris.list_files(str(place))


def test_folders_may_be_nested_to_any_depth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1500):
        os.mkdir("d")
        os.chdir("d")
    Path("a.wav").touch()
    try:
        assert list(uris.list_files(str(tmp_path))) == ["d/" * 1500 + "a.wav"]
    finally:  # what deletes the folders of tests calls itself
        Path("a.wav").unlink()
        for _ in range(1500):
            os.chdir("..")
            os.rmdir("d")


def test_links_to_folders_are_followed_but_not_in_a_circle(tmp_path):
    uris.write_bytes(str(tmp_path / "elsewhere" / "a.wav"), b"one")
    corpus = tmp_path / "corpus"
    (corpus / "b").mkdir(parents=True)
    for name in ("a", "b/a"):
        (corpus / name).symlink_to(tmp_path / "elsewhere")
    (corpus / "b" / "up").symlink_to(corpus)
    (corpus / "nothing.wav").symlink_to(tmp_path / "nothing.wav")
    assert uris.list_files(str(corpus)) == {"a/a.wav": 3, "b/a/a.wav": 3, "nothing.wav": 0}


def test_folder_whose_name_begins_alike_is_not_listed(place):
    uris.write_bytes(place + "-other/a.txt", b"x")
    uris.write_bytes(uris.join(place, "b.txt"), b"y")
    assert list(uris.list_files(place)) == ["b.txt"]
    uris.delete(place + "-other")


def test_deleting_takes_a_file_or_a_folder_with_all_that_is_in_it(place):
    for name in ("a.txt", "b/c.txt"):
        uris.write_bytes(uris.join(place, name), b"x")
    uris.delete(uris.join(place, "a.txt"))
    assert list(uris.list_files(place)) == ["b/c.txt"]
    uris.delete(place)
    assert uris.list_files(place) == {}
    uris.delete(place)  # nothing there: nothing happens


def test_missing_file_is_a_file_not_found_error(place):
    with pytest.raises(FileNotFoundError):
        uris.read_bytes(uris.join(place, "none"))


def test_writable_place_stays_empty_when_checked(place):
    uris.check_writable(place)
    assert uris.list_files(place) == {}


def test_failed_write_leaves_no_temporary_file_and_the_old_content(tmp_path, monkeypatch):
    target = tmp_path / "a.bin"
    uris.write_bytes(str(target), b"old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TableError, match=r"cannot write .*a.bin: No space left on device"):
        uris.write_bytes(str(target), b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]
    assert target.read_bytes() == b"old"


def test_interrupted_write_leaves_no_temporary_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        uris.write_bytes(str(tmp_path / "a.bin"), b"new")
    assert list(tmp_path.iterdir()) == []


def test_writing_onto_a_folder_is_an_error_without_leftovers(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(TableError, match=r"cannot write .*folder: Is a directory"):
        uris.write_bytes(str(tmp_path / "folder"), b"x")
    assert [path.name for path in tmp_path.rglob("*")] == ["folder"]


def test_place_below_a_regular_file_is_not_writable_and_says_so_in_one_line(tmp_path):
    (tmp_path / "plain").write_text("x")
    with pytest.raises(
        TableError, match=r"the output .*/plain/table cannot be written: Not a "
    ) as info:
        uris.check_writable(str(tmp_path / "plain" / "table"))
    assert "\n" not in str(info.value)


def test_local_places_become_absolute_and_remote_ones_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert uris.absolute("out/") == f"{Path.cwd()}/out"
    assert uris.absolute("file:///data/out/") == "/data/out"
    assert uris.absolute("s3://bucket/out/") == "s3://bucket/out"
    assert uris.absolute("~/out") == str(Path.home() / "out")


def test_local_places_are_told_from_remote_ones():
    assert uris.is_local("/data/out")
    assert uris.is_local("file:///data/out")
    assert not uris.is_local("s3://bucket/out")


def test_joining_puts_one_slash_between():
    assert uris.join("s3://bucket/out/", "a", "b.txt") == "s3://bucket/out/a/b.txt"


def test_arrow_has_no_file_system_of_its_own_for_local_places(tmp_path):
    assert uris.arrow_filesystem(str(tmp_path)) == (None, str(tmp_path))


def test_arrow_reads_remote_places_through_fsspec(memory):
    uris.write_bytes(uris.join(memory, "a.bin"), b"abc")
    system, path = uris.arrow_filesystem(memory)
    with system.open_input_file(f"{path}/a.bin") as file:
        assert file.read() == b"abc"


@pytest.mark.parametrize("name", ["with space", "100%", "a#b", "caf\u00e9", "a?b", "[a]", "a::b"])
def test_odd_names_are_only_names(tmp_path, name):
    file = str(tmp_path / name / "a.txt")
    uris.write_bytes(file, b"x")
    assert uris.list_files(str(tmp_path / name)) == {"a.txt": 1}
    with uris.open_file(file) as opened:
        assert opened.read() == b"x"
    uris.delete(str(tmp_path / name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pattern", ["*", "?", "[ab]"])
def test_deleting_takes_a_name_literally_and_never_as_a_pattern(place, pattern):
    for name in ("a", "b", pattern):
        uris.write_bytes(uris.join(place, name, "x.txt"), b"x")
    uris.delete(uris.join(place, pattern))
    assert list(uris.list_files(place)) == ["a/x.txt", "b/x.txt"]


@pytest.mark.parametrize("pattern", ["*.txt", "?.txt", "[ab].txt"])
def test_deleting_a_file_takes_its_name_literally(place, pattern):
    for name in ("a.txt", "b.txt", pattern):
        uris.write_bytes(uris.join(place, name), b"x")
    uris.delete(uris.join(place, pattern))
    assert list(uris.list_files(place)) == ["a.txt", "b.txt"]


def test_size_is_that_of_a_file_and_none_of_a_folder_or_of_nothing(place):
    uris.write_bytes(uris.join(place, "a.bin"), b"four")
    assert uris.file_size(uris.join(place, "a.bin")) == 4
    assert uris.file_size(place) is None
    assert uris.file_size(uris.join(place, "none")) is None


def test_checking_a_new_place_removes_the_folders_it_made_and_no_other(tmp_path):
    (tmp_path / "there").mkdir()
    uris.check_writable(str(tmp_path / "there" / "new" / "deep"))
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]
    uris.check_writable(str(tmp_path / "there"))
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_checking_stops_at_a_folder_that_another_program_has_begun_to_use(tmp_path, monkeypatch):
    clean = disc.clean

    def clean_beside(folder):
        clean(folder)
        (tmp_path / "new" / "theirs.txt").write_text("x")

    monkeypatch.setattr(disc, "clean", clean_beside)
    uris.check_writable(str(tmp_path / "new" / "deep"))
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "theirs.txt"]


def test_the_home_of_nobody_is_a_name_like_any_other():
    assert not uris.exists("~nobody-of-this-name/a.wav")


def test_a_file_where_a_folder_should_be_cannot_be_written_below(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    with pytest.raises(TableError, match=r"cannot write .*a\.wav/b\.svg: "):
        uris.write_bytes(str(tmp_path / "a.wav" / "b.svg"), b"x")


def test_of_two_that_write_a_new_file_one_does(place):
    file = uris.join(place, "a.bin")
    uris.write_bytes(file, b"one", only_new=True)
    with pytest.raises(FileExistsError):
        uris.write_bytes(file, b"two", only_new=True)
    assert uris.read_bytes(file) == b"one"
    assert list(uris.list_files(place)) == ["a.bin"]
    uris.delete_file(file)
    uris.delete_file(file)
    assert not uris.exists(file)
