"""Sweeps: killed and continued in a store, and what trials share, fail at and must not see."""

import json
import os
import signal
import time
import tomllib

import pytest

from raudeep.config import TuneConfig
from raudeep.errors import TableError
from raudeep.pipeline.tuning.sweep import tune_autoencoders
from raudeep.storage import uri as uris
from raudeep.storage.index import read_index
from raudeep.storage.recipes import load_recipe
from raudeep.storage.stores import connect
from raudeep.storage.table import read_table
from raudeep.sweep.space import parse_space
from tests.s3 import moto_server, set_environment
from tests.support import run, start

SPACE = """
[search]
autoencoder.num_units = {choices = [4, 8]}
training.learning_rate = {low = 1e-3, high = 1e-1, log = true}
spectrogram.clip_below_db = {choices = [-30, -60]}

[tune]
num_trials = 3
grace_epochs = 2
reduction_factor = 2
"""


@pytest.fixture
def store(corpus, monkeypatch):
    """A store with the small corpus in the bucket ``audio``, and the empty bucket ``out``."""
    with moto_server() as port:
        set_environment(monkeypatch, port)
        for bucket in ("audio", "out"):
            connect(f"s3://{bucket}")[0].mkdir(bucket)
        for path in sorted(path for path in corpus.rglob("*.*") if path.is_file()):
            place = f"s3://audio/{path.relative_to(corpus).as_posix()}"
            uris.write_bytes(place, path.read_bytes())
        yield


def _trials(output):
    """Return the records of the trials that a sweep has begun."""
    names = uris.list_files(uris.join(output, "trials"))
    found = (json.loads(uris.read_bytes(uris.join(output, "trials", name))) for name in names)
    return {record["id"]: record for record in found}


def _done(output):
    records = _trials(output).values()
    return {each["id"]: each for each in records if each["status"] in ("finished", "stopped")}


@pytest.mark.timeout(1200)
def test_a_sweep_in_a_store_that_is_killed_goes_on_and_repeats_no_trial(store, recipe):
    space = "s3://out/space.toml"
    uris.write_bytes(space, SPACE.encode())
    output = "s3://out/sweep"
    command = ("tune", recipe, space, "--corpus", "s3://audio", "--output", output)
    process = start(*command)
    deadline = time.monotonic() + 500
    while not _done(output):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = _done(output)
    assert len(before) < 3

    code, stdout, stderr = run(*command, "--json")
    assert code == 0, stderr
    results = json.loads(stdout)
    after = _trials(output)
    assert len(results["ranking"]) == len(after) == 3
    assert {name: after[name] for name in before} == before
    best = results["ranking"][0]
    assert (best["status"], best["epochs"], results["best"]["trial"]) == (
        "finished",
        6,
        best["trial"],
    )

    # Trials share the tables of two floors, and none holds a recording of the reserved fold.
    assert (results["reserved"]["folds"], results["reserved"]["recordings"]) == ([4], 5)
    rows = read_table(f"{output}/manifest").to_pylist()
    reserved = {row["file"] for row in rows if row["folds"][4] == 1}
    tables = {name.split("/")[0] for name in uris.list_files(f"{output}/spectrograms")}
    assert len(tables) == 2
    for name in tables:
        files = set(
            read_table(f"{output}/spectrograms/{name}", columns=["file"])["file"].to_pylist()
        )
        assert len(files) == 20
        assert not files & reserved

    files = uris.list_files(output)
    assert not [name for name in files if name.startswith("runs/")]
    for name in ("ranking.csv", "history.svg", "parallel.svg", "importance.svg"):
        assert name in files
    tuned = load_recipe(f"{output}/best.toml")
    (winner,) = tuned.autoencoders.values()
    assert winner.model.num_units == best["autoencoder.num_units"]
    assert tuned.evaluation.folds == (4,)


@pytest.mark.timeout(600)
def test_a_trial_that_fails_is_a_row_and_tables_are_made_when_a_trial_needs_them(
    corpus, recipe, tmp_path
):
    # The floor depends on another field: which tables there will be is not known beforehand.
    space = parse_space(
        tomllib.loads(
            "autoencoder.num_units = {choices = [4, 8]}\n"
            "spectrogram.clip_below_db = {choices = [-40], when = {autoencoder.num_units = [4]}}\n"
            "[training.learning_rate]\n"
            "choices = [1e-3, 1e38]\n"
            "when = {autoencoder.num_units = [8]}\n"
        ),
        where="space",
    )
    small = load_recipe(recipe, overrides={"training": {"num_epochs": 3}})
    tune = TuneConfig(searcher="grid", objective="loss", scheduler="none", num_trials=9)
    output = str(tmp_path / "sweep")
    results = tune_autoencoders(small, space, str(corpus), output, tune=tune)
    statuses = {
        (row.get("training.learning_rate"), row["autoencoder.num_units"]): row["status"]
        for row in results["ranking"]
    }
    assert statuses == {
        (None, 4): "finished",
        (1e-3, 8): "finished",
        (1e38, 8): "failed",  # its loss is not finite
    }
    assert any("Lower learning_rate" in message for message in results["messages"].values())
    floors = {
        read_index(f"{output}/spectrograms/{name.split('/')[0]}").config["clip_below_db"]
        for name in uris.list_files(f"{output}/spectrograms")
    }
    assert floors == {-40.0, -30.0}
    best = results["ranking"][0]
    assert best["validation_loss"] == best["objective"]

    again = tune_autoencoders(small, space, str(corpus), output, tune=tune)
    assert [row["trial"] for row in again["ranking"]] == [r["trial"] for r in results["ranking"]]
    assert again["ranking"][:2] == results["ranking"][:2]

    other = parse_space({"training": {"batch_size": {"choices": [4]}}}, where="space")
    with pytest.raises(TableError, match=r"config\.search\.\S+ is .* Choose another output"):
        tune_autoencoders(small, other, str(corpus), output, tune=tune)
