"""Packed recordings are read in place of the folder, whoever packed them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from raudeep.config import FitConfig, Limits, SpectrogramConfig, SvmConfig
from raudeep.errors import AudioError, ManifestError, TableError
from raudeep.pipeline.classification.classifiers import train_classifier
from raudeep.pipeline.corpus import load_manifest, write_manifest
from raudeep.pipeline.inspection import inspect_corpus, inspect_path, inspect_recording
from raudeep.pipeline.preview import preview_recording
from raudeep.pipeline.recordings import packing
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.packing import pack_corpus
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.storage.claim import claim
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index
from raudeep.storage.recordings import open_recording, read_recording
from raudeep.storage.table import read_errors, read_table
from tests.models import write_model
from tests.support import assert_one_line

pytestmark = pytest.mark.usefixtures("decoding_here")

VIEW = SpectrogramConfig(fixed_seconds=0.5, n_mels=16)


@pytest.fixture
def pack(corpus, tmp_path):
    """The small corpus as a packed table of several parts and row groups."""
    place = str(tmp_path / "pack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "_PART_BYTES", 200_000)
        patch.setattr(packing, "_ROW_GROUP_BYTES", 50_000)
        pack_corpus(load_manifest(str(corpus))[0], place)
    return place


@pytest.fixture(scope="module")
def models(corpus, tmp_path_factory):
    """Return the places of an autoencoder and of a classifier of its embeddings."""
    folder = tmp_path_factory.mktemp("models")
    model = write_model(folder / "model", units=8, fixed_seconds=0.5, n_mels=16)
    table, kept = str(folder / "table"), str(folder / "kept")
    embedder = Embedder(name="m", model=model, outputs={"state": table})
    embed_corpus(load_manifest(str(corpus))[0], [embedder])
    train_classifier(table, kept, config=SvmConfig(), fit=FitConfig())
    return {"MODEL": model, "KEPT": kept}


def spectrograms(corpus, output):
    manifest, _ = load_manifest(str(corpus), labelled=False)
    extract_spectrograms(manifest, {"view": VIEW}, {"view": str(output)})
    return read_table(str(output)).sort_by("file")


def test_a_pack_has_the_manifest_of_its_corpus_and_what_the_headers_say(corpus, pack):
    before, after = load_manifest(str(corpus))[0], load_manifest(pack)[0]
    columns = ["file", "label", "partition", "folds", "bytes"]
    assert after.select(columns).equals(before.select(columns))
    assert set(after["sample_rate"].to_pylist()) == {16000}
    assert min(after["duration"].to_pylist()) > 0
    index = read_index(pack)
    assert index.stage == "recordings"
    assert len(index.parts) > 1


def test_every_recording_comes_out_as_it_went_in_whatever_the_order(corpus, pack, rng):
    manifest = load_manifest(pack)[0]
    rows = manifest.select(["file", "uri"]).to_pylist()
    for number in rng.permutation(len(rows)).tolist() + list(range(len(rows))):
        row = rows[number]
        expected = (corpus / row["file"]).read_bytes()
        assert read_recording(row["uri"]) == expected
    with open_recording(rows[0]["uri"]) as file:
        assert file.read() == (corpus / rows[0]["file"]).read_bytes()


def test_stages_make_of_a_pack_what_they_make_of_the_folder(corpus, pack, tmp_path):
    assert spectrograms(pack, tmp_path / "a").equals(spectrograms(corpus, tmp_path / "b"))


def test_a_pack_is_inspected_and_previewed(corpus, pack):
    assert inspect_corpus(pack)["duration"]["recordings"] == 25
    assert inspect_path(pack)["rows"] == 25
    file = read_table(pack, columns=["file"])["file"][0].as_py()
    (row,) = inspect_recording(pack, file)["rows"]
    assert row["sample_rate"]
    assert "audio" not in row
    file = load_manifest(pack)[0]["file"][3].as_py()
    packed = preview_recording(pack, VIEW, recording=file)
    direct = preview_recording(str(corpus), VIEW, recording=file)
    assert packed.facts == direct.facts


def test_packing_again_adds_what_is_new_and_keeps_the_rest(corpus, tmp_path):
    folder, place = tmp_path / "corpus", str(tmp_path / "pack")
    shutil.copytree(corpus, folder)
    pack_corpus(load_manifest(str(folder))[0], place)
    shutil.copy(folder / "fold_1/hum/hum-000.wav", folder / "fold_1/hum/new.wav")
    summary = pack_corpus(load_manifest(str(folder))[0], place)
    assert (summary.parts, summary.reused, summary.rows) == (2, 1, 26)
    assert load_manifest(place)[0].num_rows == 26


def test_what_cannot_be_read_is_an_error_and_what_is_no_audio_is_packed(corpus, tmp_path):
    folder, place = tmp_path / "corpus", str(tmp_path / "pack")
    shutil.copytree(corpus, folder)
    (folder / "fold_1/hum/text.wav").write_text("no audio")
    manifest, _ = load_manifest(str(folder))
    (folder / "fold_1/hum/hum-000.wav").unlink()
    summary = pack_corpus(manifest, place)
    assert (summary.rows, summary.errors) == (25, 1)
    assert read_errors(place)["error"].to_pylist() == ["FileNotFoundError"]
    spectrograms(place, tmp_path / "table")
    assert read_errors(str(tmp_path / "table"))["file"].to_pylist() == ["fold_1/hum/text.wav"]
    with pytest.raises(AudioError, match="--max-errors is 0"):
        pack_corpus(manifest, place, limits=Limits(max_errors="0"))


def test_what_is_longer_than_wanted_is_not_packed(corpus, tmp_path):
    place = str(tmp_path / "pack")
    manifest, _ = load_manifest(str(corpus))
    durations = inspect_corpus(str(corpus))["duration"]
    longest = (durations["min_seconds"] + durations["max_seconds"]) / 2
    pack_corpus(manifest, place, limits=Limits(max_duration=longest))
    packed, errors = read_table(place), read_errors(place)
    assert 0 < packed.num_rows == 25 - errors.num_rows < 25
    assert max(packed["duration"].to_pylist()) <= longest
    assert set(errors["error"].to_pylist()) == {"AudioError"}
    assert f"longer than max_duration={longest:g} s" in errors["message"][0].as_py()


@pytest.fixture
def hugging_face(pack, tmp_path):
    """The recordings as a data set of Hugging Face: shuffled, labels as numbers, in a folder."""

    def write(**columns):
        table = read_table(pack)
        table = table.take(np.random.default_rng(0).permutation(table.num_rows))
        names = sorted(set(table["label"].to_pylist()))
        numbers = [names.index(label) for label in table["label"].to_pylist()]
        found = {"audio": table["audio"], "label": pa.array(numbers), **columns}
        features = {"label": {"names": names, "_type": "ClassLabel"}, "audio": {"_type": "Audio"}}
        about = json.dumps({"info": {"features": features}})
        table = pa.table(found).replace_schema_metadata({"huggingface": about})
        folder = tmp_path / "hf" / "data"
        folder.mkdir(parents=True)
        for number, start in enumerate((0, 13)):
            place = folder / f"train-{number:05d}-of-00002.parquet"
            pq.write_table(table.slice(start, 13), place, row_group_size=5)
        return folder

    return write


def test_audio_of_hugging_face_is_read_in_place(corpus, hugging_face, tmp_path):
    folder = hugging_face()
    manifest, layout = load_manifest(str(folder.parent), layout="esc-10")  # as a recipe names one
    assert layout == "packed"
    direct = load_manifest(str(corpus))[0]
    assert manifest.select(["file", "label"]).equals(direct.select(["file", "label"]))
    expected = spectrograms(corpus, tmp_path / "b").drop_columns(["folds"])
    assert spectrograms(folder, tmp_path / "a").drop_columns(["folds"]).equals(expected)
    one, _ = load_manifest(str(folder / "train-00001-of-00002.parquet"))
    assert one.num_rows == 12


def test_recordings_without_a_name_of_their_own_are_named_by_their_place(hugging_face, pack):
    audio = read_table(pack)["audio"].combine_chunks()
    nameless = pa.StructArray.from_arrays(
        [audio.field("bytes"), pa.nulls(len(audio), pa.string())], ["bytes", "path"]
    )
    folder = hugging_face(audio=nameless)
    manifest, _ = load_manifest(str(folder))
    assert manifest["file"][0].as_py() == "train-00000-of-00002.parquet#000000000"
    assert manifest.num_rows == 25
    one, _ = load_manifest(str(folder / "train-00001-of-00002.parquet"))
    assert one["file"].to_pylist() == manifest["file"].to_pylist()[13:]

    before = load_manifest(str(folder.parent))[0]["file"].to_pylist()
    assert before == [f"data/{file}" for file in manifest["file"].to_pylist()]
    shutil.copytree(folder, folder.parent / "added")
    added = [file.replace("data/", "added/") for file in before]
    assert load_manifest(str(folder.parent))[0]["file"].to_pylist() == added + before


def test_a_label_without_a_name_is_one_line(hugging_face):
    folder = hugging_face(label=pa.array([None, -1, *[0] * 22, 99]))
    with pytest.raises(ManifestError, match=r"-00001-of-00002\.parquet: labels .* Got 99\. "):
        load_manifest(str(folder))


def test_a_recording_without_bytes_is_an_error(hugging_face, pack, tmp_path):
    audio = read_table(pack)["audio"].combine_chunks()
    contents = audio.field("bytes").to_pylist()
    contents[4] = None
    paths = [f"{number}.wav" for number in range(len(contents))]
    missing = pa.StructArray.from_arrays(
        [pa.array(contents, pa.binary()), pa.array(paths)], ["bytes", "path"]
    )
    folder = hugging_face(audio=missing)
    assert spectrograms(folder, tmp_path / "table").num_rows == 24
    (error,) = read_errors(str(tmp_path / "table")).to_pylist()
    assert (error["file"], error["message"]) == ("4.wav", "has no bytes in its packed table")


def test_of_a_damaged_pack_only_what_is_damaged_is_lost(corpus, pack, tmp_path):
    """A sample of a WAV file that is another number still is a sample."""
    part = Path(pack, "part-00000.parquet")
    table = pq.read_table(part)
    damaged = table["file"][2].as_py()
    contents = table["audio"].combine_chunks().field("bytes").to_pylist()
    contents[2] = contents[2][:2000] + bytes([contents[2][2000] ^ 1]) + contents[2][2001:]
    audio = pa.array([{"bytes": each, "path": None} for each in contents], table["audio"].type)
    place = table.column_names.index("audio")
    pq.write_table(table.set_column(place, table.field("audio"), audio), part)
    rows = spectrograms(pack, tmp_path / "table")
    whole = spectrograms(corpus, tmp_path / "whole")
    assert rows.equals(whole.filter(pc.not_equal(whole["file"], damaged)))
    (error,) = read_errors(str(tmp_path / "table")).to_pylist()
    assert (error["file"], error["error"]) == (damaged, "AudioError")
    assert error["message"] == "was damaged since it was packed: its checksum differs"


def test_a_pack_of_other_sounds_is_seen_by_their_checksums(corpus, pack, tmp_path, caplog):
    before = spectrograms(pack, tmp_path / "table")
    part = Path(pack, "part-00000.parquet")
    table = pq.read_table(part)
    other = pa.array([1, *table["crc32"].to_pylist()[1:]], pa.uint32())
    place = table.column_names.index("crc32")
    pq.write_table(table.set_column(place, table.field("crc32"), other), part)
    assert spectrograms(pack, tmp_path / "table").equals(before)
    assert "1 recordings changed since they were computed" in caplog.text


def test_a_pack_of_an_earlier_version_grows_without_checksums(corpus, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    place = tmp_path / "pack"
    claim(str(place), Identity("recordings", {}))
    for count in (3, 5):
        summary = pack_corpus(manifest.slice(0, count), str(place))
        assert summary.rows == count
    assert "crc32" not in read_table(str(place)).column_names
    packed, _ = load_manifest(str(place))
    assert packed["file"].to_pylist() == manifest["file"].to_pylist()[:5]


def test_other_tables_are_no_corpus(corpus, tmp_path):
    spectrograms(corpus, tmp_path / "table")
    with pytest.raises(ManifestError, match="is a table of spectrograms, not a corpus"):
        load_manifest(str(tmp_path / "table"))


def test_a_damaged_pack_is_one_line(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ManifestError, match=r"x.parquet cannot be read: "):
        load_manifest(str(tmp_path / "x.parquet"))


def test_an_unfinished_pack_says_so(pack):
    Path(pack, "__raudeep__/index.json").unlink()
    with pytest.raises(TableError, match=r"is unfinished\. Run the same command again"):
        load_manifest(pack)


def test_sizes_that_a_manifest_does_not_say_are_asked_for(corpus, tmp_path, monkeypatch):
    """Or a part could outgrow what a column of Parquet holds."""
    monkeypatch.setattr(packing, "_PART_BYTES", 100_000)
    manifest, _ = load_manifest(str(corpus))
    sizes = pa.nulls(manifest.num_rows, pa.int64())
    unknown = manifest.set_column(manifest.column_names.index("bytes"), "bytes", sizes)
    known = pack_corpus(manifest, str(tmp_path / "known"))
    assert pack_corpus(unknown.cast(manifest.schema), str(tmp_path / "b")).parts == known.parts > 4


def test_sizes_of_recordings_in_a_pack_of_somebody_else_are_told_by_its_footer(
    hugging_face, tmp_path, monkeypatch
):
    monkeypatch.setattr(packing, "_PART_BYTES", 100_000)
    manifest, _ = load_manifest(str(hugging_face()))
    assert manifest["bytes"].null_count == manifest.num_rows
    pack_corpus(manifest, str(tmp_path / "again"))
    parts = [pq.read_table(path)["bytes"] for path in (tmp_path / "again").glob("part-*")]
    assert len(parts) > 4
    assert max(pc.sum(sizes).as_py() for sizes in parts) < 150_000


def test_a_size_that_nobody_says_is_taken_for_a_megabyte(hugging_face, tmp_path):
    """Counted as nothing, any number of recordings would be one part."""
    folder = hugging_face()
    packed, _ = load_manifest(str(folder))
    for path in folder.iterdir():
        path.write_bytes(b"damaged since")
    nowhere = pa.array([str(tmp_path / f"{n}.wav") for n in range(1000)])
    for places in (nowhere, pa.array(packed["uri"].to_pylist() * 40)):
        table = pa.table({"uri": places, "bytes": pa.nulls(1000, pa.int64())})
        assert packing._slices(table, is_first=True)[0] == (0, 256)


@pytest.mark.parametrize("source", ["", "/part-00001.parquet"])
@pytest.mark.parametrize(
    "command",
    [("extract",), ("pack",), ("embed", "--model", "MODEL"), ("predict", "--classifier", "KEPT")],
)
def test_audio_is_not_deleted_for_what_is_made_of_it(cli, pack, models, command, source):
    before = read_table(pack)
    name, *flags = [models.get(word, word) for word in command]
    if name == "predict":
        flags += ["--model", models["MODEL"]]
    for overwrite in ((), ("--overwrite",)):
        code, out, err = cli(name, pack + source, *flags, "--output", pack, *overwrite)
        assert (code, out) == (1, "")
        said = "holds the input" if name == "pack" else "is a table of recordings"
        assert_one_line(err.splitlines()[-1], f"{pack} {said}", "hoose another output")
        assert read_table(pack).equals(before)


def test_a_pack_is_not_deleted_by_python_either(pack, models, tmp_path):
    before = read_table(pack)
    manifest, _ = load_manifest(pack)
    outputs = {"pooled": str(tmp_path / "other"), "state": pack}
    embedder = Embedder(name="m", model=models["MODEL"], outputs=outputs)
    with pytest.raises(TableError, match="pack is a table of recordings"):
        embed_corpus(manifest, [embedder], overwrite=True)
    with pytest.raises(TableError, match="pack is a table of recordings"):
        embed_corpus(manifest, [], fused={"state": pack}, overwrite=True)
    assert read_table(pack).equals(before)
    assert not (tmp_path / "other").exists()


def test_a_manifest_table_is_not_written_over_by_what_is_made_of_it(cli, corpus, models, tmp_path):
    place = tmp_path / "manifest"
    write_manifest(load_manifest(str(corpus))[0], str(place))
    before = read_table(str(place))
    for command in (("extract",), ("embed", "--model", models["MODEL"])):
        code, out, err = cli(command[0], place, *command[1:], "--output", place, "--overwrite")
        assert (code, out) == (1, "")
        assert_one_line(err, "is a table of manifest", "Choose another output")
        assert read_table(str(place)).equals(before)


def test_a_manifest_is_not_written_over_by_a_sweep_of_it(cli, corpus, tmp_path):
    """The sweep would add folds of its own."""
    place, space = tmp_path / "sweep" / "manifest", tmp_path / "space.toml"
    write_manifest(load_manifest(str(corpus))[0], str(place))
    (tmp_path / "sweep" / "sweep.json").write_text('{"identity": {}}')
    space.write_text("[search]\nspectrogram.clip_below_db = {choices = [-30, -60]}\n")
    before = read_table(str(place))
    flags = ("--corpus", place, "--output", place.parent, "--overwrite")
    code, out, err = cli("tune", "demo", space, *flags)
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "is the input", "choose another output")
    assert read_table(str(place)).equals(before)
