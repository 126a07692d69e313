"""The stages on a small local Ray, against the same kernels in a plain loop."""

import json
import shutil
import time
from contextlib import suppress

import numpy as np
import psutil
import pytest

from raudeep.config import AutoencoderConfig, SpectrogramConfig, TrainingConfig
from raudeep.errors import ConfigError, FusionError, TableError
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus, embed_tables
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.runtime import streaming
from raudeep.pipeline.stage import embedding_array
from raudeep.pipeline.tables.fusing import fuse_tables
from raudeep.pipeline.training.runs import Run, train_autoencoders
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from tests.tables import flip_a_bit

pytestmark = pytest.mark.usefixtures("decoding_here")

VIEW = SpectrogramConfig(
    window_seconds=0.064, overlap_seconds=0.032, n_mels=16, fixed_seconds=0.5, clip_below_db=-60
)


def train(spectrograms, folder, *, num_units=8, **training):
    """Train a small autoencoder; three epochs with validation unless `training` says otherwise."""
    settings = {"num_epochs": 3, "batch_size": 8, "validation_fraction": 0.2} | training
    run = Run(
        name="model",
        spectrograms=(str(spectrograms),),
        output=str(folder / "model"),
        model=AutoencoderConfig(num_units=num_units),
        training=TrainingConfig(**settings),
    )
    train_autoencoders([run], checkpoints=str(folder / "runs"))


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """Return a folder with spectrograms and a trained autoencoder, made in-process and by Ray."""
    folder = tmp_path_factory.mktemp("trained")
    manifest, _ = load_manifest(str(corpus))
    extract_spectrograms(manifest, {"view": VIEW}, {"view": str(folder / "spectrograms")})
    train(folder / "spectrograms", folder)
    return folder


def test_a_trained_autoencoder_has_weights_card_history_and_events(trained):
    files = {path.name for path in (trained / "model").iterdir()}
    assert {"model.safetensors", "config.json", "README.md", "history.json"} <= files
    assert list((trained / "model" / "tensorboard").iterdir())
    history = json.loads((trained / "model" / "history.json").read_text())
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]
    assert load_autoencoder(str(trained / "model")).sample_rates == (16000,)
    assert all(epoch["validation_loss"] > 0 for epoch in history)


def controllers():
    """Return the processes of Ray Train's controllers below this one."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            found += [child] if "TrainController" in " ".join(child.cmdline()) else []
    return found


def test_no_controller_outlives_its_training(trained):
    deadline = time.monotonic() + 30
    while (left := controllers()) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left


def test_a_training_whose_loss_is_lost_ends_at_once_and_leaves_no_autoencoder(trained, tmp_path):
    with pytest.raises(ConfigError, match=r"loss of 'model' after epoch \d+ is (nan|inf)\. Lower"):
        train(trained / "spectrograms", tmp_path, num_epochs=1000, learning_rate=1e38)
    assert not (tmp_path / "model" / "config.json").exists()


def test_a_training_on_a_damaged_table_says_what_to_do(trained, tmp_path):
    table = shutil.copytree(trained / "spectrograms", tmp_path / "spectrograms")
    flip_a_bit(table / "part-00001.parquet")
    with pytest.raises(TableError, match=r"part-00001\.parquet .* verify TABLE --repair"):
        train(table, tmp_path)


def test_spectrograms_by_ray_equal_those_of_a_plain_loop(trained, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_START_SECONDS", 0.0)
    manifest, _ = load_manifest(str(corpus))
    output = str(tmp_path / "spectrograms")
    extract_spectrograms(manifest, {"view": VIEW}, {"view": output})
    assert read_table(output).equals(read_table(str(trained / "spectrograms")))
    assert read_index(output).fingerprint == read_index(str(trained / "spectrograms")).fingerprint


def test_embeddings_from_audio_equal_those_from_a_table(trained, corpus, tmp_path):
    def embedder(name):
        outputs = {readout: str(tmp_path / name / readout) for readout in ("state", "pooled")}
        return Embedder(name="model", model=str(trained / "model"), outputs=outputs)

    manifest, _ = load_manifest(str(corpus))
    embed_corpus(manifest, [embedder("audio")])
    embed_tables([embedder("table")], {"model": str(trained / "spectrograms")})
    for readout, size in (("state", 8), ("pooled", 16)):
        audio = read_table(str(tmp_path / "audio" / readout))
        table = read_table(str(tmp_path / "table" / readout))
        assert audio.drop_columns("embedding").equals(table.drop_columns("embedding"))
        np.testing.assert_allclose(embedding_array(audio), embedding_array(table), atol=1e-6)
        assert audio["embedding"].type.list_size == size


def test_embedding_a_table_of_another_view_names_the_parameter(trained, corpus, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    other = SpectrogramConfig(
        window_seconds=0.064, overlap_seconds=0.032, n_mels=16, fixed_seconds=0.5
    )
    extract_spectrograms(manifest, {"view": other}, {"view": str(tmp_path / "other")})
    embedder = Embedder(
        name="model", model=str(trained / "model"), outputs={"state": str(tmp_path / "out")}
    )
    with pytest.raises(TableError, match=r"clip_below_db=None.*clip_below_db=-60"):
        embed_tables([embedder], {"model": str(tmp_path / "other")})


def test_an_output_of_another_configuration_is_refused_by_field(trained, corpus):
    manifest, _ = load_manifest(str(corpus))
    other = SpectrogramConfig(window_seconds=0.05, fixed_seconds=0.5)
    with pytest.raises(TableError, match=r"config\.\w+ is .* --overwrite"):
        extract_spectrograms(manifest, {"view": other}, {"view": str(trained / "spectrograms")})


def test_an_autoencoder_of_another_configuration_is_refused_by_field(trained):
    with pytest.raises(TableError, match=r"config\.autoencoder\.num_units is 8 there and 9 now"):
        train(trained / "spectrograms", trained, num_units=9)


def test_fusing_tables_of_other_recordings_names_a_key(trained, corpus, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    for name, rows in (("all", manifest), ("fewer", manifest.slice(1))):
        outputs = {"state": str(tmp_path / name)}
        embed_corpus(rows, [Embedder(name="model", model=str(trained / "model"), outputs=outputs)])
    with pytest.raises(FusionError, match=r"1 \(file, chunk\) keys are only in 'all', e.g."):
        fuse_tables(
            {"all": str(tmp_path / "all"), "fewer": str(tmp_path / "fewer")}, str(tmp_path / "out")
        )
    assert not (tmp_path / "out").exists()


def test_fusing_by_ray_equals_a_plain_loop(trained, corpus, tmp_path, monkeypatch):
    manifest, _ = load_manifest(str(corpus))
    outputs = {readout: str(tmp_path / readout) for readout in ("state", "pooled")}
    embed_corpus(manifest, [Embedder(name="model", model=str(trained / "model"), outputs=outputs)])
    fuse_tables(outputs, str(tmp_path / "loop"))
    monkeypatch.setattr(streaming, "_WORKER_SECONDS", 0.0)
    monkeypatch.setattr(streaming, "_START_SECONDS", 0.0)
    fuse_tables(outputs, str(tmp_path / "ray"))
    fused = read_table(str(tmp_path / "ray"))
    assert fused.equals(read_table(str(tmp_path / "loop")))
    both = [embedding_array(read_table(outputs[readout])) for readout in outputs]
    np.testing.assert_array_equal(embedding_array(fused), np.concatenate(both, axis=1))


def test_evaluate_prints_scores_for_people_and_machines(trained, corpus, tmp_path, cli):
    manifest, _ = load_manifest(str(corpus))
    table = tmp_path / "embeddings"
    embed_corpus(
        manifest,
        [Embedder(name="m", model=str(trained / "model"), outputs={"state": str(table)})],
    )
    command = ("evaluate", "mlp", table, "--repeats", 2, "--num-epochs", 20)
    code, stdout, stderr = cli(*command, "--output", tmp_path / "a", "--json")
    assert code == 0, stderr
    score = json.loads(stdout)
    assert score["num_splits"] == 5
    assert np.sum(score["confusion"]) == 2 * 25
    code, stdout, _ = cli(*command, "--output", tmp_path / "b")
    assert code == 0
    assert f"{100 * score['accuracy']:.1f}" in stdout
