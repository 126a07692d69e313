"""What can be read of damaged recordings is embedded where that is asked for, and named."""

import io

import numpy as np
import pytest
import soundfile

from raudeep.audio.decode import decode, decode_blocks
from raudeep.config import ChunkConfig, Limits
from raudeep.errors import TableError
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.inspection import inspect_table
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.storage.table import read_errors, read_table
from tests.models import write_two_models

RATE = 16000


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_two_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def manifest(tmp_path):
    """Recordings of 2 s that are whole, and cut off in the middle, and one that is none."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE)
    for kind in ("WAV", "FLAC", "MP3"):
        file = io.BytesIO()
        soundfile.write(file, samples, RATE, format=kind)
        content = file.getvalue()
        (folder / f"whole.{kind.lower()}").write_bytes(content)
        (folder / f"cut.{kind.lower()}").write_bytes(content[: len(content) // 2])
    (folder / "none.wav").write_bytes(b"none")
    return load_manifest(str(folder), labelled=False)[0]


@pytest.mark.parametrize("seconds", [None, 0.5])
def test_what_can_be_read_is_taken_and_the_errors_say_up_to_where(
    manifest, models, tmp_path, caplog, seconds
):
    place = str(tmp_path / "table")
    embedder = Embedder(name="a", model=models["a"], outputs={"state": place})
    chunks = ChunkConfig(chunk_seconds=seconds, salvage=True)
    for _ in range(2):  # again when nothing is left to do
        caplog.clear()
        embed_corpus(manifest, [embedder], chunks=chunks, limits=Limits(max_errors=1))
        assert "1 of 7 recordings could not be used, e.g. 'none.wav'" in caplog.text
        assert "3 recordings are cut off or damaged; what can be read of them was" in caplog.text
    rows = read_table(place).select(["file", "end"]).to_pylist()
    ends = {row["file"]: row["end"] for row in rows}
    assert set(manifest["file"].to_pylist()) - set(ends) == {"none.wav"}
    errors = {row["file"]: row for row in read_errors(place).to_pylist()}
    assert {file for file, row in errors.items() if row["stage"] == "salvage"} == {
        f"cut.{kind}" for kind in ("wav", "flac", "mp3")
    }
    assert errors["cut.wav"]["message"].startswith("taken up to 0.99")
    for kind in ("wav", "flac", "mp3"):
        if seconds is not None:
            assert 0.4 < ends[f"cut.{kind}"] < 1.3
        assert not [row for row in inspect_table(place)["errors"] if row["file"].startswith("wh")]
    with pytest.raises(TableError, match="salvage"):
        embed_corpus(manifest, [embedder], chunks=ChunkConfig(chunk_seconds=seconds))


@pytest.mark.parametrize("promised", [0, 44, 2 * RATE])
def test_a_wav_whose_recorder_lost_its_power_is_read_to_its_end(promised):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 2 * RATE).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, samples, RATE, format="WAV", subtype="FLOAT")
    content = file.getvalue()
    place = content.index(b"data") + 4
    early = content[:place] + promised.to_bytes(4, "little") + content[place + 4 :]
    faults = []
    found, _ = decode(early, on_fault=faults.append)
    np.testing.assert_array_equal(found[0], samples)
    blocks = decode_blocks(
        io.BytesIO(early), length_seconds=0.5, hop_seconds=0.5, on_fault=faults.append
    )
    assert [block.end for block in blocks] == [0.5, 1.0, 1.5, 2.0]
    said = f"the header says {promised} bytes, the file has {4 * len(samples)} bytes"
    assert [said in str(fault) for fault in faults] == [True, True]


def test_without_it_tables_are_what_they_were(manifest, models, tmp_path):
    place = str(tmp_path / "table")
    embedder = Embedder(name="a", model=models["a"], outputs={"state": place})
    embed_corpus(manifest, [embedder], chunks=ChunkConfig(chunk_seconds=0.5))
    assert "salvage" not in inspect_table(place)["config"]
    assert read_errors(place).num_rows == 4
