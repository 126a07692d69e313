"""What is no number: a model that holds such weights, a vector that holds such values."""

import json

import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch

from raudeep.errors import AudioError, TableError
from raudeep.hear import get_scene_embeddings, get_timestamp_embeddings, load_model
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus, embed_tables
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.storage.table import read_errors, read_table
from tests.models import write_model

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "model", seed=0, fixed_seconds=0.5, n_mels=16)


@pytest.fixture
def corpus(tmp_path, rng):
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in "abc":  # the second is silent
        soundfile.write(folder / f"{name}.wav", rng.uniform(-0.5, 0.5, 8000) * (name != "b"), 8000)
    return load_manifest(str(folder), labelled=False)[0]


@pytest.fixture
def broken(monkeypatch):
    """Embed silence as a vector that is no number."""
    from raudeep.models import inference

    embed = inference.embed_spectrograms

    def embed_badly(model, spectrograms, **settings):
        found = embed(model, spectrograms, **settings)
        pieces = spectrograms.unpadded(torch.arange(len(spectrograms)))
        for vectors in found.values():
            vectors[[bool((piece == -1).all()) for piece in pieces], 0] = np.nan
        return found

    monkeypatch.setattr(inference, "embed_spectrograms", embed_badly)
    monkeypatch.setattr("raudeep.hear.embed_spectrograms", embed_badly)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_with_weights_that_are_no_numbers_is_not_loaded(model, tmp_path, value):
    path = tmp_path / "model" / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    next(iter(weights.values())).view(-1)[0] = value
    safetensors.torch.save_file(weights, path)
    with pytest.raises(TableError, match=r"model: .*weights hold NaN or infinite values, e\.g\."):
        load_autoencoder(model)


@pytest.mark.parametrize("field", ["bands", "num_units", "num_layers"])
def test_a_model_that_claims_more_than_its_weights_takes_no_memory(model, tmp_path, field):
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    (config if field == "bands" else config["autoencoder"])[field] = 10**9
    path.write_text(json.dumps(config))
    with pytest.raises(TableError, match=r"model cannot be read: .*(do not fit|none of|overflow)"):
        load_autoencoder(model)


def test_a_vector_that_is_no_number_is_an_error_and_no_row(model, corpus, tmp_path, broken):
    embedder = Embedder(name="m", model=model, outputs={"pooled": str(tmp_path / "audio")})
    embed_corpus(corpus, [embedder])
    table = str(tmp_path / "views")
    view = load_autoencoder(model).spectrogram
    extract_spectrograms(corpus, {"view": view}, {"view": table})
    again = Embedder(name="m", model=model, outputs={"pooled": str(tmp_path / "table")})
    embed_tables([again], {"m": table})
    for made in ("audio", "table"):
        rows, errors = (read(str(tmp_path / made)) for read in (read_table, read_errors))
        assert rows["file"].to_pylist() == ["a.wav", "c.wav"]
        assert errors["file"].to_pylist() == ["b.wav"]
        assert "its embedding by 'm' holds NaN" in errors["message"][0].as_py()


def test_hear_raises_for_a_vector_that_is_no_number(model, broken, monkeypatch):
    loaded = load_model(model)
    audio = torch.rand(2, loaded.sample_rate) * torch.tensor([[1], [0]])
    nan = pytest.raises(AudioError, match="the embedding of sound 1 holds NaN")
    with pytest.warns(UserWarning, match="hold no sound"), nan:
        get_scene_embeddings(audio, loaded)
    encode = loaded.autoencoders[0].encode
    monkeypatch.setattr(
        loaded.autoencoders[0], "encode", lambda *given: [each * np.nan for each in encode(*given)]
    )
    nan = pytest.raises(AudioError, match="the embedding of sound 0 holds NaN")
    with pytest.warns(UserWarning, match="hold no sound"), nan:
        get_timestamp_embeddings(audio, loaded)
