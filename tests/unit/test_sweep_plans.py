"""What `raudeep tune --dry-run` says of a sweep, and what it refuses or warns of."""

import json
import re
import sys

import pytest

from raudeep.storage import uri as uris
from raudeep.storage.recipes import load_recipe
from raudeep.sweep.recipe_file import recipe_toml
from tests.support import refused

OF_FREQUENCY = 'when = {autoencoder.kind = ["frequency"]}'


@pytest.fixture
def run(cli, tmp_path, monkeypatch):
    """Run `raudeep tune` in an empty folder; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def tune(space, *arguments):
        (tmp_path / "space.toml").write_text(space)
        return cli("tune", "demo", "space.toml", "--output", "out", *arguments)

    return tune


FLOORS = "[search]\nspectrogram.clip_below_db = {choices = [-30, -60]}\n"


def test_a_dry_run_says_what_is_searched_and_how_it_is_shared(run, tmp_path):
    code, out, _ = run(FLOORS, "--dry-run", "--json", "--grace-epochs", "3", "--start-from", "60db")
    plan = json.loads(out)
    assert code == 0
    assert (plan["autoencoder"], plan["spectrogram_tables"]) == ("60db", 2)
    assert plan["compared_after_epochs"] == [3, 9]
    assert plan["each"]["cpus_per_worker"] >= 1
    assert plan["base"]["spectrogram"]["clip_below_db"] == -60
    assert [path.name for path in tmp_path.iterdir()] == ["space.toml"]


def test_recipe_and_space_of_a_sweep_may_lie_in_a_store(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = f"memory://{tmp_path}"
    uris.write_bytes(f"{folder}/space.toml", FLOORS.encode())
    best = recipe_toml(load_recipe("demo", seed=5))
    uris.write_bytes(f"{folder}/best.toml", best.encode())
    flags = ("--output", "out", "--dry-run", "--json")
    code, out, err = cli("tune", f"{folder}/best.toml", f"{folder}/space.toml", *flags)
    assert code == 0, err
    assert (json.loads(out)["recipe"], json.loads(out)["spectrogram_tables"]) == ("demo", 2)
    code, out, err = cli("benchmark", f"{folder}/best.toml", *flags)
    assert code == 0, err
    assert json.loads(out)["recipe"]["evaluation"]["seed"] == 5
    code, _, err = cli("tune", "demo", f"{folder}/none.toml", *flags)
    assert code == 1
    assert f"no search space at {folder}/none.toml" in err
    uris.delete(folder)


def test_tables_that_a_range_makes_are_not_known_beforehand(run):
    space = "[search]\nspectrogram.clip_below_db = {low = -60, high = -30}\n"
    _, out, _ = run(space, "--dry-run", "--searcher", "random")
    assert "spectrogram tables" in out
    assert "one for each configuration of a trial" in out


@pytest.mark.parametrize("name", ["mask_silence", "frequency_bidirectional_decoder"])
def test_losses_of_other_decoders_do_not_compare(run, name):
    when = "when = {autoencoder.kind = ['frequency-time']}"
    space = f"""[search]
        autoencoder.kind = {{choices = ["time", "frequency-time"]}}
        autoencoder.{name} = {{choices = [true, false], {when}}}"""
    _, _, said = run(space, "--dry-run", "--objective", "loss")
    assert re.search(rf"that differ in .*autoencoder.{name}.* do not compare", said)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "autoencoder.num_units = {choices = [16, -3]}",
            "no trial can have -3 as 'autoencoder.num_units': the search space: The 'num_units' "
            "parameter of AutoencoderConfig must be at least 1. Got -3.",
        ),
        (
            "training.batch_size = {low = 0, high = 64}",
            "no trial can have 0 as 'training.batch_size': the search space: The 'batch_size'",
        ),
        (
            "autoencoder.dropout = {low = 0.1, high = 1.0}",
            "no trial can have 1.0 as 'autoencoder.dropout': the search space: The 'dropout'",
        ),
        (
            "spectrogram.n_mels = {choices = [16]}\n"
            'autoencoder.kind = {choices = ["time", "frequency"]}\n'
            f"autoencoder.window_bands = {{choices = [8, 32], {OF_FREQUENCY}}}\n"
            f"autoencoder.overlap_bands = {{choices = [4], {OF_FREQUENCY}}}",
            "no trial can have 32 as 'autoencoder.window_bands'",
        ),
    ],
)
def test_a_value_that_no_trial_can_have_is_refused(run, line, said):
    refused(run(f"[search]\n{line}\n", "--dry-run"), said)


def test_values_that_go_together_with_some_others_are_no_mistake(run):
    space = (
        "[search]\nspectrogram.window_seconds = {choices = [0.02, 0.08]}\n"
        "spectrogram.overlap_seconds = {choices = [0.01, 0.04]}\n"
    )
    code, _, err = run(space, "--dry-run")
    assert code == 0, err


def test_losses_that_do_not_compare_are_warned_of(run):
    _, _, said = run(FLOORS, "--dry-run", "--objective", "loss")
    assert "losses of trials that differ in spectrogram.clip_below_db do not compare" in said
    _, _, said = run(FLOORS, "--dry-run")
    assert said == ""


def test_a_representation_of_frames_cannot_be_scored(run):
    space = '[search]\nautoencoder.kind = {choices = ["time", "frequency"]}\n'
    code, _, said = run(space, "--dry-run", "--readout", "state")
    assert code == 1
    assert 'Set readout = "pooled"' in said


def test_a_missing_optuna_is_said_with_the_way_out(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    code, _, said = run(FLOORS, "--dry-run")
    assert code == 1
    assert "pip install 'raudeep[tune]', or set searcher = \"random\"" in said
