"""All autoencoders through the stages: stacking, several lengths, kept epochs, continuing."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from raudeep.config import (
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    FrequencyTimeAutoencoderConfig,
    SpectrogramConfig,
    TrainingConfig,
)
from raudeep.errors import ConfigError, TableError
from raudeep.models.fitting import split_by_recording
from raudeep.pipeline.artifacts import (
    artifact_identity,
    kept_epochs,
    load_autoencoder,
    read_history,
    read_metrics,
    read_optimizer_state,
)
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus, embed_tables
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.stage import embedding_array, spectrogram_values
from raudeep.pipeline.tables.reconstruction import reconstruct_table
from raudeep.pipeline.training.checks import check_trainable
from raudeep.pipeline.training.runs import Run, train_autoencoders
from raudeep.report.reconstructions import write_reconstructions
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from tests.models import write_model

pytestmark = pytest.mark.usefixtures("decoding_here")

VIEW = SpectrogramConfig(window_seconds=0.032, overlap_seconds=0.016, n_mels=16, clip_below_db=-60)
SMALL = {"num_units": 8, "dropout": 0.0}
WINDOWS = {"window_bands": 6, "overlap_bands": 1}
KINDS = {
    "time": AutoencoderConfig(**SMALL),
    "frequency": FrequencyAutoencoderConfig(**SMALL, **WINDOWS),
    "frequency-time": FrequencyTimeAutoencoderConfig(
        **SMALL, **WINDOWS, num_layers=1, frequency_num_units=4
    ),
}
TRAINING = TrainingConfig(
    num_epochs=4, batch_size=8, learning_rate=0.01, checkpoints_to_keep=3, precision="float32"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with recordings of 0.2 to 2 s, their spectrograms and three autoencoders."""
    folder = tmp_path_factory.mktemp("lengths")
    rng = np.random.default_rng(0)
    for index in range(24):
        label = "low" if index % 2 else "high"
        seconds = rng.uniform(0.2, 2.0)
        times = np.arange(int(16000 * seconds)) / 16000
        tone = np.sin(2 * np.pi * (300 if index % 2 else 2000) * times)
        place = folder / "corpus" / label / f"{index}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(place, 0.5 * tone + 0.01 * rng.standard_normal(len(times)), 16000)
    manifest, _ = load_manifest(str(folder / "corpus"))
    extract_spectrograms(manifest, {"view": VIEW}, {"view": str(folder / "spectrograms")})
    train_autoencoders([run(folder, kind) for kind in KINDS], checkpoints=str(folder / "runs"))
    return folder


def run(folder, kind, **changes):
    settings = {
        "name": kind,
        "spectrograms": (str(folder / "spectrograms"),),
        "output": str(folder / kind),
        "model": KINDS[kind],
        "training": TRAINING,
    }
    return Run(**{**settings, **changes})


def embed(folder, model, table, output, **settings):
    embedder = Embedder(
        name="model", model=str(folder / model), outputs={"state": str(output)}, **settings
    )
    embed_tables([embedder], {"model": str(table)})
    return read_table(str(output))


def test_losses_of_all_kinds_fall_on_recordings_of_many_lengths(folder):
    frames = read_table(str(folder / "spectrograms"))["frames"].to_pylist()
    assert len(set(frames)) > 15
    for kind in KINDS:
        losses = [epoch["loss"] for epoch in read_history(str(folder / kind))]
        assert len(losses) == 4
        assert losses[-1] < 0.9 * losses[0], kind


def test_checkpoints_of_what_is_finished_are_deleted(folder):
    checkpoints = folder / "runs"
    assert not checkpoints.exists()
    finished = run(folder, "time")
    left = checkpoints / f"{finished.name}-{finished.identity().fingerprint}"
    (left / "checkpoint").mkdir(parents=True)  # as where it was killed before it deleted them
    (checkpoints / "another").mkdir()
    train_autoencoders([finished], checkpoints=str(checkpoints))
    assert [path.name for path in checkpoints.iterdir()] == ["another"]
    (checkpoints / "another").rmdir()
    train_autoencoders([finished], checkpoints=str(checkpoints))
    assert not checkpoints.exists()


def test_a_recording_alone_gives_the_embedding_that_it_has_among_others(folder, tmp_path):
    manifest, _ = load_manifest(str(folder / "corpus"))
    for kind in ("time", "frequency-time"):
        together = embed(folder, kind, folder / "spectrograms", tmp_path / kind)
        row = together["file"].to_pylist().index("high/4.wav")
        one = manifest.filter([name == "high/4.wav" for name in manifest["file"].to_pylist()])
        outputs = {"state": str(tmp_path / f"{kind}-alone")}
        embed_corpus(one, [Embedder(name="m", model=str(folder / kind), outputs=outputs)])
        alone = embedding_array(read_table(outputs["state"]))
        np.testing.assert_allclose(embedding_array(together)[row], alone[0], rtol=0, atol=1e-5)


def test_a_time_autoencoder_is_trained_on_what_a_frequency_autoencoder_gives(folder, tmp_path):
    spectrograms = read_table(str(folder / "spectrograms"))
    sequences = embed(folder, "frequency", folder / "spectrograms", tmp_path / "sequences")
    index = read_index(str(tmp_path / "sequences"), stage="spectrograms")
    assert sequences["frames"].equals(spectrograms["frames"])
    assert set(sequences["bands"].to_pylist()) == {8}
    values, _ = spectrogram_values(sequences, where="")
    assert np.abs(values).max() <= 1
    stacked = run(folder, "time", name="stacked", output=str(tmp_path / "stacked"))
    stacked = Run(**{**vars(stacked), "spectrograms": (str(tmp_path / "sequences"),)})
    train_autoencoders([stacked], checkpoints=str(tmp_path / "runs"))
    embedded = embed(tmp_path, "stacked", tmp_path / "sequences", tmp_path / "embeddings")
    assert embedding_array(embedded).shape == (24, 8)
    assert load_autoencoder(str(tmp_path / "stacked")).input == index.config
    manifest, _ = load_manifest(str(folder / "corpus"))
    from_audio = Embedder(name="m", model=stacked.output, outputs={"state": str(tmp_path / "no")})
    with pytest.raises(TableError, match="trained on the representations of another one"):
        embed_corpus(manifest, [from_audio])
    with pytest.raises(TableError, match="was trained with"):
        embed(tmp_path, "stacked", folder / "spectrograms", tmp_path / "no")


def test_kept_epochs_embed_each_in_its_own_way(folder, tmp_path):
    owner = artifact_identity(str(folder / "time")).fingerprint
    assert kept_epochs(str(folder / "time"), owner) == [2, 3, 4]
    tables = {
        epoch: embedding_array(
            embed(folder, "time", folder / "spectrograms", tmp_path / str(epoch), epoch=epoch)
        )
        for epoch in (2, 4)
    }
    last = embedding_array(embed(folder, "time", folder / "spectrograms", tmp_path / "last"))
    np.testing.assert_array_equal(tables[4], last)
    assert not np.allclose(tables[2], last)
    with pytest.raises(TableError, match="no weights of epoch 1; it has 2, 3, 4"):
        embed(folder, "time", folder / "spectrograms", tmp_path / "1", epoch=1)
    assert not (tmp_path / "1").exists()


def test_continued_training_equals_a_longer_one(folder, tmp_path):
    longer = TrainingConfig(**{**vars(TRAINING), "num_epochs": 6})
    more = TrainingConfig(**{**vars(TRAINING), "num_epochs": 2})
    earlier = str(folder / "time")
    runs = [
        run(folder, "time", name="longer", output=str(tmp_path / "longer"), training=longer),
        run(
            folder,
            "time",
            name="continued",
            output=str(tmp_path / "continued"),
            training=more,
            continue_from=earlier,
        ),
    ]
    train_autoencoders(runs, checkpoints=str(tmp_path / "runs"))
    histories = [read_history(each.output) for each in runs]
    assert [epoch["epoch"] for epoch in histories[1]] == [1, 2, 3, 4, 5, 6]
    losses = [[epoch["loss"] for epoch in history] for history in histories]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    other = run(folder, "time", model=AutoencoderConfig(num_units=9), continue_from=earlier)
    other = Run(**{**vars(other), "output": str(tmp_path / "other")})
    with pytest.raises(ConfigError, match="has another architecture"):
        train_autoencoders([other], checkpoints=str(tmp_path / "runs"))


@pytest.mark.parametrize(
    ("earlier", "said"),
    [
        ({}, "is of recordings that .*model was trained on, which held out none"),
        ({"validation_fraction": 0.5, "seed": 4}, "validation_fraction=0.5 and seed=4 do again"),
        ({"validation_fraction": 0.25}, None),
    ],
)
def test_a_continued_training_that_holds_out_others_says_so(
    folder, tmp_path, caplog, earlier, said
):
    settings = TrainingConfig(**earlier)
    place = write_model(tmp_path / "model", config=KINDS["time"], n_mels=16, training=settings)
    again = run(
        folder,
        "time",
        training=TrainingConfig(validation_fraction=0.25),
        continue_from=place,
    )
    check_trainable(again)
    assert bool(caplog.text) == bool(said)
    assert said is None or re.search(said, caplog.text)


def test_early_stopping_keeps_the_epoch_of_the_lowest_validation_loss(folder, tmp_path, caplog):
    training = TrainingConfig(
        num_epochs=60,
        batch_size=8,
        learning_rate=0.3,  # it soon does more harm than good
        validation_fraction=0.3,
        early_stopping_epochs=3,
        precision="float32",
    )
    stopped = run(folder, "time", output=str(tmp_path / "model"), training=training)
    train_autoencoders([stopped], checkpoints=str(tmp_path / "runs"))
    history = read_history(stopped.output)
    losses = [epoch["validation_loss"] for epoch in history]
    best = int(np.argmin(losses)) + 1
    assert len(history) < 60
    assert len(history) == best + 3
    assert load_autoencoder(stopped.output).metrics["epoch"] == best
    kept = {name: history[best - 1][name] for name in ("epoch", "loss", "validation_loss")}
    assert kept.items() <= read_metrics(stopped.output).items()

    # Weights, optimiser and history that a further training goes on from are of one moment.
    files = read_table(stopped.spectrograms[0], columns=["file"])["file"].to_pylist()
    rows, _ = split_by_recording(files, fraction=0.3, seed=training.seed)
    steps = {float(v) for k, v in read_optimizer_state(stopped.output).items() if "step" in k}
    assert steps == {best * math.ceil(len(rows) / 8)}
    more = replace(
        stopped,
        name="more",
        output=str(tmp_path / "more"),
        training=replace(training, num_epochs=1, learning_rate=30.0),
        continue_from=stopped.output,
    )
    train_autoencoders([more], checkpoints=str(tmp_path / "runs"))
    history = read_history(more.output)
    assert [epoch["epoch"] for epoch in history] == [*range(1, best + 2)]
    # What it began with is better than what became of it, and stays.
    assert history[-1]["validation_loss"] > kept["validation_loss"]
    assert read_metrics(more.output)["epoch"] == best
    assert read_metrics(more.output)["validation_loss"] == pytest.approx(kept["validation_loss"])
    for name, value in load_autoencoder(stopped.output).model.state_dict().items():
        assert torch.equal(value, load_autoencoder(more.output).model.state_dict()[name])
    assert caplog.text == ""
    (Path(stopped.output) / "optimizer.safetensors").unlink()
    with pytest.raises(TableError, match=r"optimizer\.safetensors cannot be read"):
        train_autoencoders([replace(more, output=f"{more.output}-2")], checkpoints="runs")


def test_kept_epochs_are_those_of_the_training_whatever_was_there_before(folder, tmp_path):
    place, checkpoints = str(tmp_path / "model"), str(tmp_path / "runs")
    first = run(folder, "time", output=place)
    other = replace(first, training=replace(TRAINING, learning_rate=0.01, checkpoints_to_keep=None))
    for each in (first, other, first):
        train_autoencoders([each], checkpoints=checkpoints, overwrite=True)
    owner = artifact_identity(place).fingerprint
    assert kept_epochs(place, owner) == [2, 3, 4]
    undisturbed = str(folder / "time")
    for epoch in (2, 3, 4):
        weights = load_autoencoder(place, epoch=epoch).model.state_dict()
        expected = load_autoencoder(undisturbed, epoch=epoch).model.state_dict()
        for name, value in expected.items():  # on another number of threads
            torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
    assert len(list((tmp_path / "model" / "checkpoints").iterdir())) == 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("free_running", [False, True])
def test_reconstructions_have_the_shape_of_their_targets_and_say_how_far_off_they_are(
    folder, tmp_path, kind, free_running
):
    spectrograms = str(folder / "spectrograms")
    output = str(tmp_path / "reconstructions")
    reconstruct_table(spectrograms, str(folder / kind), output, free_running=free_running)
    made, targets = read_table(output), read_table(spectrograms)
    for name in ("file", "chunk", "label", "frames", "bands"):
        assert made[name].equals(targets[name])
    rmse = made["reconstruction_rmse"].to_numpy()
    assert (rmse > 0).all()
    if kind == "time":
        pairs = zip(
            made["spectrogram"].to_pylist(), targets["spectrogram"].to_pylist(), strict=True
        )
        wanted = [np.sqrt(np.mean(np.subtract(a, b) ** 2)) for a, b in pairs]
        np.testing.assert_allclose(rmse, wanted, rtol=1e-4)
    page = tmp_path / "page.html"
    write_reconstructions(spectrograms, output, str(page), count=4)
    html = page.read_text()
    assert html.count("<img") == 4
    worst = made["file"].to_pylist()[int(rmse.argmax())]
    assert worst in html
    assert f"{rmse.max():.4f}" in html


@pytest.mark.parametrize("kind", KINDS)
def test_an_embedding_says_how_far_off_its_reconstruction_is_where_it_is_asked_for(
    folder, tmp_path, kind
):
    spectrograms = str(folder / "spectrograms")
    reconstruct_table(spectrograms, str(folder / kind), str(tmp_path / "reconstructions"))
    made = read_table(str(tmp_path / "reconstructions"), columns=["file", "reconstruction_rmse"])
    wanted = dict(zip(*made.to_pydict().values(), strict=True))
    readouts = ["pooled"] if kind == "frequency" else ["state", "pooled"]

    def embedder(place, **changes):
        outputs = {readout: str(tmp_path / place / readout) for readout in readouts}
        return Embedder(name=kind, model=str(folder / kind), outputs=outputs, **changes)

    manifest, _ = load_manifest(str(folder / "corpus"))
    embed_corpus(manifest, [embedder("plain")])
    embed_corpus(manifest, [embedder("audio", reconstruction_rmse=True)])
    both = [embedder("table", reconstruction_rmse=True)]
    embed_tables(both, {kind: spectrograms})
    for readout in readouts:
        plain = read_table(str(tmp_path / "plain" / readout))
        for place in ("audio", "table"):
            rows = read_table(str(tmp_path / place / readout))
            rmse = dict(zip(*(rows[n].to_pylist() for n in made.column_names), strict=True))
            assert rmse == pytest.approx(wanted, abs=1e-6)
            np.testing.assert_allclose(embedding_array(rows), embedding_array(plain), atol=1e-6)
    other = [embedder("plain", reconstruction_rmse=True)]
    with pytest.raises(TableError, match="reconstruction_rmse"):
        embed_tables(other, {kind: spectrograms})


def test_the_state_of_a_model_that_keeps_time_has_no_reconstruction_error(folder, tmp_path):
    output = tmp_path / "state"
    asked = Embedder(
        name="f",
        model=str(folder / "frequency"),
        outputs={"state": str(output)},
        reconstruction_rmse=True,
    )
    with pytest.raises(ConfigError, match=r"'f' is a table of spectrograms.*raudeep reconstruct"):
        embed_tables([asked], {"f": str(folder / "spectrograms")})
    assert not output.exists()


def test_a_bidirectional_decoder_cannot_run_freely(folder, tmp_path):
    model = AutoencoderConfig(**SMALL, bidirectional_decoder=True)
    training = TrainingConfig(num_epochs=1, batch_size=24)
    both = run(folder, "time", model=model, training=training, output=str(tmp_path / "model"))
    train_autoencoders([both], checkpoints=str(tmp_path / "runs"))
    with pytest.raises(ConfigError, match=r"bidirectional decoder.*--free-running"):
        reconstruct_table(
            str(folder / "spectrograms"), both.output, str(tmp_path / "out"), free_running=True
        )
    assert not (tmp_path / "out").exists()


def test_an_artifact_is_made_of_plain_files(folder):
    names = {path.name for path in (folder / "frequency-time").iterdir()}
    assert {"model.safetensors", "optimizer.safetensors", "config.json"} <= names
    config = json.loads((folder / "frequency-time" / "config.json").read_text())
    assert config["kind"] == "frequency-time"
    assert config["autoencoder"]["frequency_num_units"] == 4
