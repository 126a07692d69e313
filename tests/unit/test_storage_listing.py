"""Listing a corpus: what cannot be listed or read costs nothing but itself."""

import errno
import os

import pytest

from raudeep.errors import TableError
from raudeep.pipeline.corpus import load_manifest
from raudeep.storage import listing
from raudeep.storage import uri as uris


@pytest.fixture
def corpus(tmp_path):
    for name in ("a.wav", "b/c.wav"):
        uris.write_bytes(str(tmp_path / name), b"x")
    return tmp_path


def lock(monkeypatch, *names, code=errno.EACCES):
    """Refuse the listing of folders, as to an ordinary user."""
    scan = os.scandir

    def refuse(folder):
        if os.path.basename(folder) in names:
            raise OSError(code, os.strerror(code), folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", refuse)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_a_folder_that_cannot_be_listed_is_left_out(corpus, monkeypatch, code):
    (corpus / "lost+found").mkdir()
    lock(monkeypatch, "lost+found", code=code)
    found = uris.list_corpus(str(corpus))
    assert found == {"a.wav": 1, "b/c.wav": 1}
    assert found.left_out == {"lost+found": f"cannot be listed: {os.strerror(code)}"}


def test_the_folder_itself_has_to_be_listed(corpus, monkeypatch):
    lock(monkeypatch, "b")
    with pytest.raises(TableError, match=r"cannot list .*/b: Permission denied"):
        uris.list_corpus(str(corpus / "b"))


def test_links_in_a_circle_and_what_is_no_regular_file_are_left_out(corpus):
    (corpus / "b" / "up").symlink_to(corpus)
    (corpus / "self.wav").symlink_to("self.wav")
    os.mkfifo(corpus / "pipe.wav")
    (corpus / "zero.wav").symlink_to("/dev/zero")
    (corpus / "nothing.wav").symlink_to("nothing")
    found = uris.list_corpus(str(corpus))
    assert found == {"a.wav": 1, "b/c.wav": 1, "nothing.wav": 0}
    assert found.left_out == {
        "b/up": "leads to a folder that holds it",
        "self.wav": "is a link that leads to itself",
        "pipe.wav": "is a FIFO, and only regular files are read",
        "zero.wav": "is a device, and only regular files are read",
    }


def test_each_of_the_first_is_warned_of_and_then_how_many(corpus, caplog):
    for number in range(8):
        os.mkfifo(corpus / f"{number}.wav")
    manifest, _ = load_manifest(str(corpus), labelled=False)
    assert manifest["file"].to_pylist() == ["a.wav", "b/c.wav"]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said[0] == f"{corpus}/0.wav is a FIFO, and only regular files are read. It is left out."
    assert said[5:6] == [f"{corpus}: 3 more of this kind are left out."]


def test_a_drive_that_goes_away_meanwhile_is_no_smaller_corpus(corpus, tmp_path, monkeypatch):
    scan = os.scandir

    def unmount(folder):
        if folder.endswith("/b"):
            corpus.rename(corpus.with_name("away"))
            corpus.mkdir()
        return scan(folder)

    monkeypatch.setattr(listing.os, "scandir", unmount)
    with pytest.raises(TableError, match=r"went away while it was listed\. Run the same command"):
        uris.list_corpus(str(corpus))


def test_a_store_is_listed_as_ever(memory):
    uris.write_bytes(uris.join(memory, "a.wav"), b"x")
    found = uris.list_corpus(memory)
    assert (found, found.left_out) == ({"a.wav": 1}, {})
