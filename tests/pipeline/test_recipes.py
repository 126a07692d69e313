"""The recipes of GTZAN and TUT Acoustic Scenes 2017 on small trees of their layouts."""

import json

import numpy as np
import pytest
import soundfile

from raudeep.pipeline.benchmark import run_benchmark
from raudeep.pipeline.recordings import decoding
from raudeep.pipeline.stage import spectrogram_values
from raudeep.storage.recipes import load_recipe
from raudeep.storage.recordings import read_recording
from raudeep.storage.table import read_errors, read_table

pytestmark = pytest.mark.usefixtures("decoding_here")

SMALL = {
    "spectrogram": {"n_mels": 24},
    "autoencoder": {"num_layers": 1, "num_units": 6},
    "training": {"num_epochs": 2},
    "evaluation": {"repeats": 2},
    "mlp": {"num_epochs": 100, "num_units": 16},
}
GENRES = {"blues": 300, "jazz": 3000}


def tone(hertz, seconds, rate, rng):
    times = np.arange(int(seconds * rate)) / rate
    return 0.5 * np.sin(2 * np.pi * hertz * times) + 0.02 * rng.standard_normal(len(times))


@pytest.fixture
def gtzan(tmp_path, rng):
    folder = tmp_path / "gtzan"
    for genre, hertz in GENRES.items():
        (folder / "genres" / genre).mkdir(parents=True)
        for number in range(6):
            place = folder / "genres" / genre / f"{genre}.{number:05d}.wav"
            soundfile.write(place, tone(hertz, 30, 8000, rng), 8000)
    damaged = folder / "genres/jazz/jazz.00054.wav"
    damaged.write_bytes(b"\0" * 4096)
    return folder


def test_gtzan_is_cut_into_chunks_and_scored_by_majority_with_a_damaged_file(gtzan, tmp_path):
    output = tmp_path / "out"
    recipe = load_recipe("gtzan", overrides=SMALL)
    results = run_benchmark(recipe, str(gtzan), str(output))
    assert results["corpus"]["layout"] == "gtzan"
    assert results["corpus"]["num_folds"] == 5  # made ones
    assert [error["file"] for error in results["errors"]] == ["genres/jazz/jazz.00054.wav"]
    for view in recipe.views:
        table = read_table(str(output / "spectrograms" / view))
        assert table.num_rows == 12 * 15
        assert set(table["chunk"].to_pylist()) == set(range(15))
        assert read_errors(str(output / "spectrograms" / view)).num_rows == 1
    predictions = read_table(str(output / "predictions/state/fused")).to_pandas()
    folds = predictions.groupby("file")["fold"].nunique()
    assert set(folds) == {1}  # the chunks of a recording are in one fold
    assert predictions["fold"].nunique() == 5
    fused = next(
        row for row in results["scores"] if (row["readout"], row["embedding"]) == ("state", "fused")
    )
    # Recordings are scored, not chunks: 12 of them, in each of two repeats.
    assert np.sum(fused["confusion"]) == 12 * 2
    votes = predictions.groupby(["repeat", "fold", "file"])["predicted"].agg(
        lambda names: names.value_counts().sort_index().idxmax()
    )
    truth = predictions.groupby(["repeat", "fold", "file"])["label"].first()
    right = (votes == truth).groupby(["repeat", "fold"]).mean().mean()
    assert fused["accuracy"] == pytest.approx(right)


@pytest.fixture
def tut(tmp_path, rng):
    folder = tmp_path / "tut"
    (folder / "audio").mkdir(parents=True)
    (folder / "evaluation_setup").mkdir()
    lines = []
    for number in range(8):
        label, hertz = (("beach", 400), ("tram", 4000))[number % 2]
        left, right = tone(hertz, 2, 16000, rng), 0.3 * tone(hertz * 1.5, 2, 16000, rng)
        soundfile.write(folder / f"audio/{number}.wav", np.stack([left, right], 1), 16000)
        lines.append((f"audio/{number}.wav", label, number // 2 + 1))
    (folder / "meta.txt").write_text("".join(f"{f}\t{label}\ts\n" for f, label, _ in lines))
    for fold in range(1, 5):
        kept = "".join(f"{f}\t{label}\n" for f, label, other in lines if other != fold)
        (folder / f"evaluation_setup/fold{fold}_train.txt").write_text(kept)
    return folder


def test_tut_is_analysed_in_four_channel_views_and_decoded_once(tut, tmp_path, monkeypatch):
    some = {**SMALL["evaluation"], "folds": [0, 2]}
    recipe = load_recipe("tut-as-2017", overrides={**SMALL, "evaluation": some})
    output = tmp_path / "out"
    results = run_benchmark(recipe, str(tut), str(output))
    read = []
    monkeypatch.setattr(
        decoding, "read_recording", lambda uri: read.append(uri) or read_recording(uri)
    )
    recordings = read_table(str(output / "manifest")).to_pylist()
    pieces = [piece for row in recordings for piece in decoding.load_views(row, views=recipe.views)]
    assert len(read) == 8
    assert [set(piece) for piece in pieces] == [{"mean", "difference", "left", "right"}] * 8
    assert results["corpus"]["layout"] == "tut-as-2017"
    assert results["corpus"]["num_folds"] == 2  # those that are scored
    views = {}
    for view in ("mean", "difference", "left", "right"):
        table = read_table(str(output / "spectrograms" / view))
        views[view], lengths = spectrogram_values(table, where=view)
        assert set(lengths.tolist()) == {24}
    for one in views:
        for other in views:
            assert np.array_equal(views[one], views[other]) == (one == other)
    found = {(row["readout"], row["embedding"]) for row in results["scores"]}
    assert ("state", "fused") in found
    assert len(found) == 2 * 5
    assert json.loads((output / "results.json").read_text())["recipe"] == "tut-as-2017"
