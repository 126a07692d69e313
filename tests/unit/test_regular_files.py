"""What is no regular file is not read: a FIFO, a socket, a device, a link to one."""

import os
import socket

import pytest

from raudeep.audio.decode import read_header
from raudeep.errors import ManifestError, TableError
from raudeep.pipeline.corpus import load_manifest
from raudeep.storage import regular
from raudeep.storage import uri as uris
from raudeep.storage.recordings import open_recording, read_recording
from tests.support import assert_one_line

KINDS = {"fifo": "a FIFO", "socket": "a socket", "link": "a FIFO", "zero": "a device"}


@pytest.fixture(params=KINDS)
def special(request, tmp_path):
    """Return a place that waits, or gives bytes, for ever when it is read; and its kind."""
    place = tmp_path / "x.wav"
    match request.param:
        case "fifo":
            os.mkfifo(place)
        case "link":
            os.mkfifo(tmp_path / "pipe")
            place.symlink_to("pipe")
        case "zero":
            place.symlink_to("/dev/zero")
        case "socket":
            with socket.socket(socket.AF_UNIX) as bound, pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path)  # the path of a socket is short
                bound.bind(place.name)
    return str(place), KINDS[request.param]


@pytest.mark.parametrize("scheme", ["", "file://", "local://"])
@pytest.mark.parametrize("read", [uris.read_bytes, uris.open_file, read_recording])
def test_what_is_no_regular_file_is_not_opened(special, read, scheme):
    place, kind = special
    with pytest.raises(OSError, match=f"is {kind}, and only regular files are read"):
        read(f"{scheme}{place}")
    with pytest.raises(OSError, match=kind), open_recording(f"{scheme}{place}") as file:
        read_header(file)


def test_a_corpus_passes_it_over_and_as_a_single_recording_it_is_one_line(special, tmp_path, cli):
    place, kind = special
    (tmp_path / "y.wav").write_bytes(b"")
    manifest, _ = load_manifest(str(tmp_path), labelled=False)
    assert manifest["file"].to_pylist() == ["y.wav"]
    code, out, err = cli("inspect", str(tmp_path), "--json")
    assert (code, "x.wav" in out) == (0, False)
    assert f"{place} is {kind}" in err
    with pytest.raises(ManifestError, match=f"x.wav cannot be read: .* is {kind}"):
        load_manifest(place)
    code, out, err = cli("inspect", place)
    assert code == 1
    assert_one_line(err, f"is {kind}")
    with pytest.raises(TableError, match=f"is {kind}"):
        uris.file_size(place)


def test_a_fifo_that_takes_the_place_of_a_file_meanwhile_is_not_waited_for(tmp_path, monkeypatch):
    place = tmp_path / "x.wav"
    place.write_bytes(b"x")
    check, seen = regular.check_regular, []

    def replaced(status, path):
        check(status, path)
        if not seen:
            seen.append(path)
            path.unlink()
            os.mkfifo(path)

    monkeypatch.setattr(regular, "check_regular", replaced)
    with pytest.raises(OSError, match="is a FIFO"):
        uris.read_bytes(str(place))


def test_a_regular_file_is_read_as_before(tmp_path):
    place = tmp_path / "x.wav"
    place.write_bytes(b"content")
    assert uris.read_bytes(str(place)) == b"content"
    assert uris.file_size(str(place)) == 7
    with uris.open_file(str(place)) as file:
        assert os.get_blocking(file.fileno())
        assert (file.seek(3), file.read()) == (3, b"tent")
    with pytest.raises(IsADirectoryError):
        uris.read_bytes(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        uris.open_file(str(tmp_path / "nothing"))
    assert uris.file_size(str(tmp_path)) is None
    assert uris.file_size(str(tmp_path / "nothing" / "x")) is None
