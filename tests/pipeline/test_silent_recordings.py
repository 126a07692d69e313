"""Recordings and chunks without a sound: one line at the end, and where they are named."""

import logging

import numpy as np
import pytest
import soundfile

from raudeep.config import ChunkConfig, SpectrogramConfig, SvmConfig
from raudeep.pipeline.classification.classifiers import FitConfig, fit_table
from raudeep.pipeline.classification.predicting import predict_corpus
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.inspection import inspect_table
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.searching.queries import embed_query
from raudeep.storage.silence import read_silence
from raudeep.storage.table import read_table
from tests.models import write_two_models

pytestmark = pytest.mark.usefixtures("decoding_here")

RATE = 16000
VIEW = SpectrogramConfig(n_mels=8)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_two_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two recordings with a sound, one of zeros, one in opposite phase, one that begins late."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    first, second = (rng.uniform(-0.5, 0.5, RATE) for _ in range(2))
    sounds = {
        "a/good": np.stack([first, second], 1),
        "a/opposite": np.stack([first, -first], 1),
        "b/late": np.concatenate([np.zeros(RATE), second]),
        "b/zeros": np.zeros(RATE),
    }
    for name, samples in sounds.items():
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / f"{name}.wav", samples, RATE)
    return str(folder)


@pytest.fixture
def manifest(place):
    return load_manifest(place)[0]


def lines(caplog):
    return [line for line in caplog.messages if "no sound" in line]


def test_silence_is_one_line_for_several_tables_and_inspect_names_it(manifest, tmp_path, caplog):
    outputs = {name: str(tmp_path / name) for name in ("one", "other")}
    for _ in range(2):  # again when nothing is left to do
        caplog.clear()
        extract_spectrograms(manifest, dict.fromkeys(outputs, VIEW), outputs)
        (line,) = lines(caplog)
        assert line.startswith(
            "2 of 4 recordings hold no sound, e.g. 'a/opposite.wav'. In 1 of them left and right "
            "cancel each other out"
        )
        assert "pass --channels left to `extract` or `embed`" in line
        assert f"`raudeep inspect {outputs['one']}` names all." in line
    silent = inspect_table(outputs["other"])["silent"]
    assert [(row["file"], row["sound"]) for row in silent] == [
        ("a/opposite.wav", "left"),
        ("b/zeros.wav", "none"),
    ]
    left = SpectrogramConfig(n_mels=8, channels="left")
    caplog.clear()
    extract_spectrograms(manifest, {"left": left}, {"left": str(tmp_path / "left")})
    (line,) = lines(caplog)
    assert line.startswith("1 of 4 recordings hold no sound, e.g. 'b/zeros.wav'. `raudeep inspect")


def test_chunks_without_a_sound_are_counted_and_a_channel_embeds_them(
    manifest, models, tmp_path, caplog
):
    def embed(output, **chunks):
        embedder = Embedder(name="a", model=models["a"], outputs={"state": str(tmp_path / output)})
        embed_corpus(manifest, [embedder], chunks=ChunkConfig(**chunks))
        return read_table(str(tmp_path / output))

    rows = embed("mean", chunk_seconds=0.5)
    (line,) = lines(caplog)
    assert line.startswith("6 of 10 chunks hold no sound, in 2 of 4 recordings all of them, e.g.")
    assert "In 2 of them left and right cancel each other out" in line
    found = read_silence(str(tmp_path / "mean")).select(["file", "chunk"])
    assert found.slice(2).to_pylist() == [
        {"file": f"b/{name}.wav", "chunk": chunk} for name in ("late", "zeros") for chunk in (0, 1)
    ]
    caplog.clear()
    left = embed("left", chunk_seconds=0.5, channels="left")
    assert lines(caplog)[0].startswith("4 of 10 chunks hold no sound")
    vectors = [np.array(table["embedding"].to_pylist()) for table in (rows, left)]
    differ = np.abs(vectors[0] - vectors[1]).max(axis=1) > 1e-6
    assert differ.tolist() == [True] * 4 + [False] * 6  # of stereo, and of mono
    query = embed_query(f"{manifest['uri'][1].as_py()}", str(tmp_path / "left"), [models["a"]])
    np.testing.assert_allclose(query, vectors[1][2:4], atol=1e-6)


def test_vectors_of_several_models_are_of_silence_where_no_model_heard_a_sound(
    manifest, models, tmp_path, caplog
):
    embedders = [Embedder(name=name, model=uri) for name, uri in models.items()]
    place = str(tmp_path / "fused")
    embed_corpus(manifest, embedders, fused={"state": place})
    assert lines(caplog)[0].startswith("3 of 4 recordings hold no sound")  # of half a second
    assert read_silence(place)["file"].to_pylist() == manifest["file"].to_pylist()[1:]


def test_predictions_and_queries_of_silence_have_a_line(manifest, models, tmp_path, caplog):
    table = str(tmp_path / "table")
    embedder = Embedder(name="a", model=models["a"], outputs={"state": table})
    embed_corpus(manifest, [embedder])
    classifier = fit_table(table, config=SvmConfig(), fit=FitConfig())
    caplog.clear()
    for output in ("predictions", "predictions.tsv"):
        predict_corpus(classifier, manifest, [models["a"]], str(tmp_path / output))
    found = lines(caplog)
    assert len(found) == 2
    assert all(line.startswith("3 of 4 recordings hold no sound") for line in found)
    assert read_silence(str(tmp_path / "predictions")).num_rows == 3
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        embed_query(manifest["uri"][1].as_py(), table, [models["a"]])
    (line,) = lines(caplog)
    assert line.endswith("so it is near to silence. Its left channel has one.")
