"""What is said of good recordings that may not be what was meant.

Bands of other sample rates are other frequencies; what lies beyond a fixed length is not used.
"""

import logging
from dataclasses import replace

import pytest
import soundfile

from raudeep.config import ChunkConfig, SpectrogramConfig
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus, embed_tables
from raudeep.pipeline.recordings.planning import plan_embedding, plan_spectrograms
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.storage.index import read_index
from tests.models import write_model

pytestmark = pytest.mark.usefixtures("decoding_here")

VIEW = SpectrogramConfig(
    window_seconds=0.08, overlap_seconds=0.04, n_mels=16, fixed_seconds=0.5, clip_below_db=-60
)


@pytest.fixture
def manifest(tmp_path, rng):
    """Return a function that makes a manifest of recordings at the rates that it is given."""

    def make(*rates):
        folder = tmp_path / "audio"
        folder.mkdir(exist_ok=True)
        for rate in rates:
            soundfile.write(folder / f"{rate}.wav", rng.uniform(-0.5, 0.5, rate // 2), rate)
        return load_manifest(str(folder), labelled=False)[0]

    return make


def said(caplog):
    """Return what was said of rates since the last time."""
    lines = [record.getMessage() for record in caplog.records if " Hz" in record.getMessage()]
    caplog.clear()
    return lines


def test_mixed_rates_are_said_once_for_all_views(manifest, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    views = {"60db": VIEW, "30db": replace(VIEW, clip_below_db=-30)}
    outputs = {name: str(tmp_path / name) for name in views}
    extract_spectrograms(manifest(16000), views, outputs)
    assert said(caplog) == []
    extract_spectrograms(manifest(8000, 11025), views, outputs)
    assert [read_index(uri).sample_rates for uri in outputs.values()] == 2 * [[8000, 11025, 16000]]
    (line,) = said(caplog)
    assert "at 8000, 11025 and 16000 Hz are mixed" in line
    plan_spectrograms(manifest(), {"60db": VIEW}, str(tmp_path / "planned"))
    assert said(caplog) == [line]


def test_what_is_resampled_is_mixed_with_nothing(manifest, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    view = replace(VIEW, sample_rate=8000)
    extract_spectrograms(manifest(8000, 16000), {"view": view}, {"view": str(tmp_path / "table")})
    assert read_index(str(tmp_path / "table")).sample_rates == [8000]
    plan_spectrograms(manifest(), {"view": view}, str(tmp_path / "planned"))
    assert said(caplog) == []


@pytest.mark.parametrize("trained_at", [(16000,), (8000, 16000), ()])
def test_a_model_says_what_it_was_not_trained_on(manifest, tmp_path, caplog, trained_at):
    caplog.set_level(logging.WARNING)
    settings = {"units": 8, "fixed_seconds": 0.5, "n_mels": 16, "sample_rates": trained_at}
    models = [write_model(tmp_path / name, **settings) for name in "ab"]
    recordings = manifest(8000, 16000)
    embedders = [
        Embedder(name=model[-1], model=model, outputs={"state": f"{tmp_path}/{model[-1]}-state"})
        for model in models
    ]
    embed_corpus(recordings, embedders)
    lines = said(caplog)
    if trained_at == (16000,):
        (line,) = lines
        assert "Recordings at 8000 Hz" in line
        assert "trained at 16000 Hz" in line
        assert line.endswith("`embed` and `search` with --sample-rate 16000 resample them.")
    else:
        assert lines == []
    planned = [replace(each, outputs={"pooled": f"{each.model}-p"}) for each in embedders]
    plan_embedding(recordings, planned)
    assert said(caplog) == lines
    spectrograms = str(tmp_path / "spectrograms")
    extract_spectrograms(recordings, {"view": VIEW}, {"view": spectrograms})
    caplog.clear()
    again = replace(embedders[0], outputs={"state": str(tmp_path / "again")})
    embed_tables([again], {"a": spectrograms})
    assert said(caplog) == lines
    assert load_autoencoder(models[0]).sample_rates == trained_at


def test_how_much_is_used_is_said_where_it_is_little(tmp_path, rng, caplog):
    caplog.set_level(logging.WARNING)
    for name, seconds in (("a", 0.52), ("b", 0.55), ("c", 4.0)):
        soundfile.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, int(8000 * seconds)), 8000)

    def lines(view, *names):
        """Return what is said of extracting recordings in a view."""
        files = [str(tmp_path / f"{name}.wav") for name in names]
        manifest, _ = load_manifest(files, labelled=False)
        output = str(tmp_path / f"{''.join(names)}-{view.center}-{view.fixed_seconds}")
        caplog.clear()
        extract_spectrograms(manifest, {"view": view}, {"view": output})
        return [record.getMessage() for record in caplog.records if "used" in record.getMessage()]

    assert lines(VIEW, "a", "b") == []
    for view in (VIEW, replace(VIEW, center=True)):
        (line,) = lines(view, "a", "b", "c")
        assert line.startswith("spectrograms: 30 % of the audio is used")  # 1.5 of 5.07 s
    assert lines(replace(VIEW, fixed_seconds=4), "a", "b", "c") == []
    assert lines(replace(VIEW, fixed_seconds=None), "b", "c") == []

    model = write_model(tmp_path / "model", units=8, fixed_seconds=0.5, n_mels=16)
    manifest, _ = load_manifest(str(tmp_path / "c.wav"), labelled=False)
    caplog.clear()
    chunked = Embedder(name="model", model=model, outputs={"state": str(tmp_path / "chunked")})
    embed_corpus(manifest, [chunked], chunks=ChunkConfig(chunk_seconds=0.5))
    assert caplog.records == []
    whole = Embedder(name="model", model=model, outputs={"state": str(tmp_path / "whole")})
    embed_corpus(manifest, [whole])
    assert "embeddings: 12 % of the audio is used" in caplog.records[0].getMessage()
