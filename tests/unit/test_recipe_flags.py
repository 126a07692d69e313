"""Flags of `raudeep benchmark` that replace what the recipe says."""

import json

import pydantic  # noqa: F401 -- once it is imported, cyclopts checks every value with it
import pytest

from tests.support import assert_one_line

COMMAND = ("benchmark", "demo", "--output", "out", "--dry-run", "--json")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_flags_win_over_the_recipe(cli):
    code, out, _ = cli(
        *[*COMMAND, "--seed", "5"],
        *["--training.num-epochs", "2", "--mlp.dropout", "0.1", "--spectrogram.n-mels", "20"],
    )
    recipe = json.loads(out)["recipe"]
    assert code == 0
    assert recipe["evaluation"]["seed"] == 5
    assert recipe["mlp"]["dropout"] == 0.1
    assert {a["training"]["num_epochs"] for a in recipe["autoencoders"].values()} == {2}
    assert {view["n_mels"] for view in recipe["views"].values()} == {20}


@pytest.mark.parametrize("flag", ["--training.gradient-clip", "--spectrogram.fixed-seconds"])
def test_none_is_a_value_like_any_other(cli, flag):
    _, out, _ = cli(*COMMAND)
    section, name = flag.strip("-").replace("-", "_").split(".")
    assert None not in _values(out, section, name)
    code, out, err = cli(*COMMAND, flag, "None")
    assert code == 0, err
    assert _values(out, section, name) == {None}


def test_none_is_refused_where_a_field_takes_none(cli):
    code, out, err = cli(*COMMAND, "--training.num-epochs", "None")
    assert (code, out) == (1, "")
    assert_one_line(err, "--training.num-epochs must be int. Got None")


def test_none_is_refused_without_a_recipe_as_well(cli, tmp_path):
    (tmp_path / "m.csv").write_text("file,label\na.wav,a\nb.wav,b\n")
    code, out, err = cli("baseline", "cnn", "m.csv", "--output", "out", "--seed", "None")
    assert (code, out) == (1, "")
    assert_one_line(err, "--seed must be int. Got None")


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--training.num-epochs", "three", "int"),
        ("--spectrogram.channels", "middle", "difference"),
    ],
)
def test_value_of_the_wrong_kind_is_wrong_usage(cli, flag, value, said):
    code, out, err = cli(*COMMAND, flag, value)
    assert (code, out) == (2, "")
    assert value in err
    assert said in err


def test_choices_are_taken_in_any_case_and_listed_where_none_is_of_that_name(cli):
    code, out, err = cli(*COMMAND, "--autoencoder.cell", "LSTM", "--spectrogram.channels", "Left")
    assert code == 0, err
    recipe = json.loads(out)["recipe"]
    assert {each["model"]["cell"] for each in recipe["autoencoders"].values()} == {"lstm"}
    assert {view["channels"] for view in recipe["views"].values()} == {"left"}
    code, out, err = cli(*COMMAND, "--autoencoder.cell", "elman")
    assert (code, out) == (2, "")
    assert "gru" in err
    assert "lstm" in err


@pytest.mark.parametrize("command", [COMMAND, ("tune", "demo", "space.toml", *COMMAND[2:])])
def test_a_flag_that_every_view_of_the_recipe_hides_is_refused(cli, command):
    code, out, err = cli(*command, "--spectrogram.clip-below-db", "-20")
    assert (code, out) == (1, "")
    assert_one_line(
        err, "--spectrogram.clip-below-db changes nothing: ", "of demo: 30db, 60db. Edit"
    )


def test_folds_of_a_benchmark_are_given_after_one_flag(cli):
    code, out, err = cli(*COMMAND, "--evaluation.folds", "3", "4", "--seed", "5")
    assert code == 0, err
    recipe = json.loads(out)["recipe"]
    assert (recipe["evaluation"]["folds"], recipe["evaluation"]["seed"]) == ([3, 4], 5)


def _values(out, section, name):
    recipe = json.loads(out)["recipe"]
    if section == "spectrogram":
        return {view[name] for view in recipe["views"].values()}
    return {each[section][name] for each in recipe["autoencoders"].values()}
