"""What is taken for a corpus, before any of it is decoded."""

import pyarrow as pa
import pytest

from raudeep.errors import ManifestError
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline.corpus import load_manifest, write_manifest
from raudeep.storage import uri as uris
from raudeep.storage.stores import StoreError


@pytest.fixture(params=["local", "memory"])
def place(request, tmp_path):
    """A folder that does not exist yet, on disk and in memory."""
    uri = str(tmp_path / "c") if request.param == "local" else f"memory://{tmp_path.name}/c"
    yield uri
    uris.delete(uri)


def test_single_recording_is_a_corpus_with_its_real_size(place):
    uris.write_bytes(uris.join(place, "a.wav"), b"seven b")
    uris.write_bytes(uris.join(place, "other.wav"), b"x")
    manifest, layout = load_manifest(uris.join(place, "a.wav"))
    assert layout == "bare"
    (row,) = manifest.to_pylist()
    assert (row["file"], row["bytes"], row["label"]) == ("a.wav", 7, None)
    assert uris.read_bytes(row["uri"]) == b"seven b"


def test_empty_folder_named_like_a_recording_is_an_empty_corpus(tmp_path):
    (tmp_path / "x.wav").mkdir()
    with pytest.raises(ManifestError, match=r"x.wav: no audio found: it is empty"):
        load_manifest(str(tmp_path / "x.wav"))


def test_folder_named_like_a_recording_is_a_folder(place):
    uris.write_bytes(uris.join(place, "x.wav", "a.wav"), b"x")
    manifest, _ = load_manifest(uris.join(place, "x.wav"), labelled=False)
    assert manifest["file"].to_pylist() == ["a.wav"]


def test_a_layout_that_is_not_used_is_named(tmp_path, caplog):
    (tmp_path / "m.csv").write_text("file,uri\na,/a\n")
    (tmp_path / "a.wav").write_bytes(b"x")
    for name, kind in (("m.csv", "manifest"), ("a.wav", "bare")):
        place = str(tmp_path / name)
        assert load_manifest(place, layout="esc-10")[1] == kind
        line = f"{place}: no folder of audio, so the layout 'esc-10' is not used."
        assert caplog.messages[-1] == line
        caplog.clear()
        load_manifest(place)
        assert not [record for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("name", ["m.parquet", "m.csv"])
def test_a_table_is_one_whatever_it_is_called(place, name):
    table = uris.join(place, name)
    write_manifest(manifest_table([Recording(file="a", uri="/a", bytes=1)]), table)
    assert load_manifest(table)[0]["file"].to_pylist() == ["a"]


def test_a_manifest_is_read_where_nothing_else_may_be(tmp_path, monkeypatch):
    place, read = f"memory://{tmp_path.name}/m.csv", uris.read_bytes
    uris.write_bytes(place, b"file,uri\na,/a\n")

    def refuse_others(uri):
        if uri != place:
            raise StoreError(f"{uri}: the store does not answer as it should")
        return read(uri)

    monkeypatch.setattr(uris, "read_bytes", refuse_others)
    assert load_manifest(place)[0]["file"].to_pylist() == ["a"]
    uris.delete(place)


def test_folder_named_like_a_manifest_is_a_folder(tmp_path):
    uris.write_bytes(str(tmp_path / "x.csv" / "a.wav"), b"x")
    manifest, _ = load_manifest(str(tmp_path / "x.csv"), labelled=False)
    assert manifest["file"].to_pylist() == ["a.wav"]


def test_empty_folder_holds_no_audio(tmp_path):
    with pytest.raises(ManifestError, match=r"no audio found: it is empty. Looked for .wav"):
        load_manifest(str(tmp_path))


def test_nothing_is_no_corpus(place):
    with pytest.raises(ManifestError, match=r"no corpus at .*no such folder or file"):
        load_manifest(place)


def test_folder_without_a_recording_holds_no_audio(place):
    uris.write_bytes(uris.join(place, "notes.txt"), b"x")
    with pytest.raises(ManifestError, match=r"no audio found: none of its 1 files is audio"):
        load_manifest(place)


def test_manifest_table_is_read_as_it_was_written(place):
    recordings = [Recording(file=name, uri=f"/corpus/{name}", bytes=1) for name in ("a", "b")]
    write_manifest(manifest_table(recordings), place)
    manifest, layout = load_manifest(place)
    assert layout == "manifest"
    assert isinstance(manifest, pa.Table)
    assert manifest["file"].to_pylist() == ["a", "b"]


def test_folder_of_audio_with_an_index_of_something_else_is_a_folder_of_audio(place):
    uris.write_bytes(uris.join(place, "a.wav"), b"x")
    uris.write_bytes(uris.join(place, "__raudeep__/index.json"), b'{"name": "of a web page"}')
    manifest, layout = load_manifest(place, labelled=False)
    assert layout == "bare"
    assert manifest["file"].to_pylist() == ["a.wav"]


def test_corpus_lies_in_a_folder_with_two_colons_in_its_name(tmp_path):
    uris.write_bytes(str(tmp_path / "a::b" / "x.wav"), b"x")
    manifest, _ = load_manifest(str(tmp_path / "a::b"), labelled=False)
    assert manifest["file"].to_pylist() == ["x.wav"]
