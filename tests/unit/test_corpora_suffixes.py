"""Which files of a folder are taken by their names, and what is said of the others."""

import io

import numpy as np
import pytest
import soundfile

from raudeep.audio import containers
from raudeep.audio.decode import decode
from raudeep.corpora import AUDIO_SUFFIXES, is_archive
from raudeep.corpora.suffixes import (
    BY_FFMPEG,
    BY_LIBSNDFILE,
    FILM_SUFFIXES,
    NOT_BY_NAME,
    describe_files,
    others_of_interest,
)
from raudeep.errors import ManifestError
from raudeep.pipeline.corpus import load_manifest
from raudeep.storage import uri as uris


def test_each_format_that_libsndfile_reads_has_suffixes_or_is_left_out_on_purpose():
    assert {*BY_LIBSNDFILE, *NOT_BY_NAME} == {*soundfile.available_formats()}
    assert set(containers._MAGIC.values()) <= {*BY_FFMPEG, *map(str.lower, BY_LIBSNDFILE)}
    assert len(set(AUDIO_SUFFIXES)) == len(AUDIO_SUFFIXES)
    assert not set(AUDIO_SUFFIXES) & set(FILM_SUFFIXES)


@pytest.mark.parametrize("kind", BY_LIBSNDFILE)
def test_what_has_a_suffix_is_read(kind):
    file = io.BytesIO()
    subtype = "ALAW" if kind == "WVE" else soundfile.default_subtype(kind)
    soundfile.write(file, np.sin(np.arange(8000) / 9), 8000, format=kind, subtype=subtype)
    assert decode(file.getvalue())[0].shape[1] >= 8000


@pytest.fixture
def corpus(tmp_path):
    def build(*names):
        for name in names:
            place = tmp_path / name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(b"x")
        return str(tmp_path)

    return build


def warned(caplog):
    return [line for line in caplog.messages if "passed over" in line]


@pytest.mark.parametrize("suffix", AUDIO_SUFFIXES)
def test_a_folder_gives_its_files_of_each_suffix(corpus, suffix, caplog):
    manifest, _ = load_manifest(corpus(f"a.{suffix}", f"B.{suffix.upper()}"), labelled=False)
    assert manifest["file"].to_pylist() == [f"B.{suffix.upper()}", f"a.{suffix}"]
    assert warned(caplog) == []


def test_what_a_folder_holds_besides_is_counted_in_one_line(corpus, caplog):
    place = corpus("a.wav", "b.ape", "sub/c.APE", "d.mp4", "e.tar.gz", "f", "README", "n.txt", ".h")
    load_manifest(place, labelled=False)
    (line,) = warned(caplog)
    assert line.startswith(f"{place}: 5 files are passed over: 2 .ape, 1 ")
    for said in (
        "1 .mp4",
        "1 .tar.gz",
        "1 without one",
        f"as '{place}/d.mp4' or in the column 'file' of a manifest",
    ):
        assert said in line
    assert "pip install 'raudeep[ffmpeg]'" in line
    assert "Unpack archives, such as 'e.tar.gz'" in line


def test_a_store_is_counted_in_the_same_way(memory, caplog):
    for name in ("a.wav", "b.ape", "c.zip"):
        uris.write_bytes(uris.join(memory, name), b"x")
    load_manifest(memory, labelled=False)
    (line,) = warned(caplog)
    assert line.startswith(f"{memory}: 2 files are passed over: 1 .ape, 1 .zip. Unpack archives")


def test_what_nobody_takes_for_a_recording_is_not_mentioned(corpus, caplog):
    names = ("a.csv", "b.jsonl.gz", "c.TextGrid", "d.png", "LICENSE", ".DS_Store", "._a.ape")
    load_manifest(corpus("a.wav", *names), labelled=False)
    assert warned(caplog) == []
    assert others_of_interest(["x.ape", "README.md"]) == ["x.ape"]


def test_where_nothing_is_audio_all_is_counted_and_the_way_out_is_named(corpus):
    place = corpus("a.mp4", "b.mp4", "notes.txt", "c.zip")
    said = r"none of its 4 files is audio by its name \(2 \.mp4, 1 \.zip, 1 \.txt\)\. The sound of"
    with pytest.raises(ManifestError, match=said) as caught:
        load_manifest(place, labelled=False)
    assert "Unpack archives, such as 'c.zip'" in str(caught.value)


@pytest.mark.parametrize("name", ["a.aifc", "a.mp4", "a.anything", "without"])
def test_what_is_named_is_tried_whatever_its_suffix(corpus, name, caplog):
    place = f"{corpus(name)}/{name}"
    manifest, layout = load_manifest(place)
    assert (manifest["uri"].to_pylist(), layout) == ([place], "bare")
    assert warned(caplog) == []


@pytest.mark.parametrize("name", ["a.zip", "a.TAR", "a.tar.gz", "a.tgz", "a.7z"])
def test_an_archive_that_is_named_has_to_be_unpacked(corpus, name):
    place = f"{corpus(name, 'b.wav')}/{name}"
    with pytest.raises(ManifestError, match=r"is an archive by its name.* Unpack it, and name"):
        load_manifest(place)
    with pytest.raises(ManifestError, match="Unpack it"):
        load_manifest([place.replace(name, "b.wav"), place])
    assert is_archive(name)


def test_many_suffixes_are_shortened():
    files = [f"{number}.s{number}" for number in range(9)]
    assert describe_files([*files, "b.s3"]).startswith("2 .s3, 1 .s0")
    assert describe_files(files).endswith("1 .s5, 3 of other kinds")
