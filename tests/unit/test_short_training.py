"""Trainings that end before workers of Ray would start run in the process of the command."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from raudeep.config import AutoencoderConfig, ResourceConfig, TrainingConfig
from raudeep.errors import ConfigError, ResourceError
from raudeep.pipeline.artifacts import load_autoencoder, read_history
from raudeep.pipeline.training import estimate, runs, saving, worker
from raudeep.pipeline.training.estimate import is_short
from raudeep.pipeline.training.runs import Run, train_autoencoders
from raudeep.storage import uri as uris
from tests.unit.test_training_data import write

ONE = ResourceConfig()


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of six epochs; Ray must not be asked for anything."""
    monkeypatch.setattr(runs, "ensure_ray", lambda: pytest.fail("Ray was started"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    write(tmp_path / "spectrograms", np.random.default_rng(0), frames=5)
    return Run(
        name="model",
        spectrograms=(str(tmp_path / "spectrograms"),),
        output=str(tmp_path / "model"),
        model=AutoencoderConfig(num_units=4, num_layers=1),
        training=TrainingConfig(num_epochs=6, batch_size=4, checkpoints_to_keep=2),
    )


def train(run):
    train_autoencoders([run], checkpoints=f"{run.output}-runs")
    return load_autoencoder(run.output).model.state_dict()


def test_little_work_is_short_and_much_work_is_not(run, monkeypatch):
    assert is_short([run], ONE)
    for changed in (ResourceConfig(num_workers=2), ResourceConfig(cpus_per_worker=2)):
        assert not is_short([run], changed)
    monkeypatch.setattr(estimate, "read_table", lambda *_, **__: pytest.fail("rows were read"))
    assert not is_short([replace(run, training=TrainingConfig(num_epochs=10**6))], ONE)


def test_several_runs_are_short_while_workers_beside_each_other_would_not_be_sooner(
    run, monkeypatch
):
    monkeypatch.setattr(estimate, "_seconds", lambda run: 14.0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert is_short([run] * 2, ONE)
    assert not is_short([run] * 3, ONE)


def test_a_cluster_that_cannot_be_joined_is_an_error_with_little_work_too(run, monkeypatch):
    def fail():
        raise ResourceError("no cluster answers")

    monkeypatch.setenv("RAY_ADDRESS", "nowhere:1")
    monkeypatch.setattr(estimate, "ensure_ray", fail)
    with pytest.raises(ResourceError, match="no cluster answers"):
        is_short([run], ONE)


def test_a_short_training_changes_neither_random_numbers_nor_threads_of_the_process(
    run, monkeypatch
):
    states = []

    def train_between(job):
        for step in (lambda: None, lambda: worker.train_here(replace(job, threads=2))):
            step()
            states.append((torch.get_rng_state().tolist(), torch.get_num_threads()))

    monkeypatch.setattr(runs, "train_here", train_between)
    train(run)
    assert states[0] == states[1]
    assert [epoch["epoch"] for epoch in read_history(run.output)] == [1, 2, 3, 4, 5, 6]
    assert not uris.list_files(f"{run.output}-runs")


@pytest.mark.parametrize(("seconds_between", "goes_on_after"), [(0.0, 4), (100.0, None)])
def test_one_that_is_killed_ends_with_the_weights_of_an_undisturbed_one(
    run, tmp_path, monkeypatch, caplog, seconds_between, goes_on_after
):
    caplog.set_level("INFO", logger="raudeep")
    expected = train(replace(run, output=str(tmp_path / "undisturbed")))

    def kill(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_SAVE_SECONDS", seconds_between)
    monkeypatch.setattr(saving, "_SHARE", math.inf)
    check = worker._check
    monkeypatch.setattr(worker, "_check", lambda result, name: result.epoch < 5 or kill())
    with pytest.raises(KeyboardInterrupt):
        train(run)
    monkeypatch.setattr(worker, "_check", check)
    weights = train(run)
    said = [] if goes_on_after is None else [f"model goes on after epoch {goes_on_after}."]
    assert [line for line in caplog.messages if "goes on" in line] == said
    assert expected.keys() == weights.keys()
    for name, values in expected.items():
        assert torch.equal(weights[name], values)


def test_a_loss_that_is_not_finite_is_one_line(run):
    lost = replace(run, training=replace(run.training, num_epochs=50, learning_rate=1e38))
    with pytest.raises(ConfigError, match="Lower learning_rate"):
        train(lost)
