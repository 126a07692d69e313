"""The commands on autoencoders, in-process: what they refuse, and how."""

import json

import pytest

from raudeep.config import SpectrogramConfig
from raudeep.corpora.demo import write_demo_corpus
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.spectrograms import extract_spectrograms


@pytest.fixture(scope="module")
def spectrograms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("spectrograms")
    write_demo_corpus(folder / "corpus", clips_per_class=5)
    manifest, _ = load_manifest(str(folder / "corpus"))
    view = SpectrogramConfig(window_seconds=0.064, n_mels=16, fixed_seconds=0.5)
    extract_spectrograms(manifest, {"view": view}, {"view": str(folder / "table")})
    return folder / "table"


@pytest.mark.parametrize(
    ("command", "shown", "hidden"),
    [
        ("time", ["--num-units", "--teacher"], ["--window-bands", "--frequency-num-units"]),
        ("frequency", ["--num-units", "--window-bands"], ["--frequency-num-units"]),
        ("frequency-time", ["--num-units", "--window-bands", "--frequency-num-units"], []),
    ],
)
def test_help_of_each_kind_shows_its_own_flags(cli, command, shown, hidden):
    code, out, _ = cli("train", command, "--help")
    assert code == 0
    for flag in [*shown, "--continue-from", "--early-stopping-epochs", "--checkpoints-to-keep"]:
        assert flag in out
    for flag in hidden:
        assert flag not in out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("frequency", "--window-bands", 17, "--overlap-bands", 1),
            ["'window_bands'", "at most the 16 bands", "Got 17"],
        ),
        (("frequency", "--overlap-bands", 32), ["'overlap_bands'", "[0, window_bands=32)"]),
        (
            ("time", "--early-stopping-epochs", 2),
            ["'early_stopping_epochs'", "validation_fraction"],
        ),
        (("time", "--checkpoints-to-keep", 0), ["'checkpoints_to_keep'", "at least 1"]),
        (("time", "--continue-from", "nowhere"), ["nowhere", "no finished autoencoder"]),
    ],
)
def test_impossible_training_is_one_line_and_leaves_nothing(
    cli, spectrograms, tmp_path, arguments, words
):
    kind, *flags = arguments
    code, out, err = cli("train", kind, spectrograms, "--output", tmp_path / "model", *flags)
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    for word in words:
        assert word in err
    assert not (tmp_path / "model").exists()


def test_trained_model_embeds_by_epoch_and_reconstructs(cli, spectrograms, tmp_path):
    model = tmp_path / "model"
    flags = ("--num-units", 8, "--num-epochs", 3, "--checkpoints-to-keep", 2)
    code, _, err = cli("train", "time", spectrograms, "--output", model, *flags)
    assert code == 0, err
    table = tmp_path / "embeddings"
    code, out, err = cli(
        *("embed", spectrograms, "--model", model, "--output", table, "--epochs", 2, 3, "--json")
    )
    assert code == 0, err
    places = [row["table"] for row in json.loads(out)]
    assert places == [str(table / "epoch-2"), str(table / "epoch-3")]
    command = ("embed", spectrograms, "--model", model, "--output", tmp_path / "two")
    code, out, err = cli(*command, "--readouts", "state", "pooled", "--json")
    assert code == 0, err
    places = [row["table"] for row in json.loads(out)]
    assert places == [str(tmp_path / "two" / name / "model") for name in ("state", "pooled")]
    code, out, err = cli("embed", spectrograms, "--model", model, "--output", table, "--epochs", 1)
    assert (code, out) == (1, "")
    assert "no weights of epoch 1; it has 2, 3" in err
    page = tmp_path / "page.html"
    command = ("reconstruct", spectrograms, "--model", model, "--output", tmp_path / "made")
    code, out, err = cli(*command, "--page", page, "--num-pictures", 3, "--json")
    assert code == 0, err
    assert json.loads(out)[0]["rows"] == 25
    assert page.read_text().count("<img") == 3
    code, out, err = cli(
        "train", "frequency", spectrograms, "--output", tmp_path / "f", "--continue-from", model
    )
    assert (code, out) == (1, "")
    assert "is a time autoencoder" in err


def test_reconstructing_what_is_no_table_of_spectrograms_is_one_line(cli, tmp_path):
    code, out, err = cli(
        *(
            "reconstruct",
            tmp_path / "nothing",
            "--model",
            tmp_path / "m",
            "--output",
            tmp_path / "o",
        )
    )
    assert (code, out) == (1, "")
    assert "holds no table" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "flags", [("--retry-errors",), ("--corpus-layout", "nonsense"), ("--chunk-seconds", 1)]
)
def test_flags_of_audio_are_refused_for_spectrograms(cli, spectrograms, tmp_path, flags):
    code, out, err = cli(
        *("embed", spectrograms, "--model", tmp_path / "m", "--output", tmp_path / "o", *flags)
    )
    assert (code, out) == (1, "")
    assert "are for audio" in err
    assert flags[0] in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o").exists()
