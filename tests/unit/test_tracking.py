"""Trackers of experiments, which are asked for by name and stand in as modules here."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from raudeep.config import ResourceConfig
from raudeep.errors import ConfigError
from raudeep.models.fitting import EpochResult
from raudeep.pipeline.training import runs
from raudeep.pipeline.training.tracking import check_tracker, track

EPOCH = EpochResult(epoch=3, loss=0.5, validation_loss=None, seconds=2.0, chunks_per_second=10.0)
CONFIG = {"autoencoder": {"num_units": 8}, "training": {"num_epochs": 5}}
SENT = {"loss": 0.5, "seconds": 2.0, "chunks_per_second": 10.0}


class FakeMlflow:
    """The part of MLflow's contract that is used."""

    def __init__(self, earlier=()):
        self.calls, self.earlier = [], list(earlier)

    def search_runs(self, *, filter_string, max_results, output_format):
        assert output_format == "list"
        self.calls.append(("search_runs", filter_string))
        return self.earlier[:max_results]

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, *args, kwargs))


class FakeWandb:
    """The part of W&B's contract that is used."""

    def __init__(self):
        self.calls = []

    def init(self, **settings):
        self.calls.append(("init", settings))
        return self

    def log(self, values, *, step):
        self.calls.append(("log", values, step))

    def finish(self, *, exit_code):
        self.calls.append(("finish", exit_code))


@pytest.fixture(autouse=True)
def own_project(monkeypatch):
    for name in ("MLFLOW_EXPERIMENT_NAME", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def run(tracker, *epochs):
    with track(tracker, name="60db", key="abc", config=CONFIG) as log:
        for epoch in epochs:
            log(epoch)


def test_mlflow_gets_the_configuration_and_each_epoch(monkeypatch):
    fake = FakeMlflow()
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    run("mlflow", EPOCH, replace(EPOCH, epoch=4, validation_loss=0.75))
    assert fake.calls == [
        ("set_experiment", "raudeep", {}),
        ("search_runs", "tags.raudeep_key = 'abc'"),
        ("start_run", {"run_id": None, "run_name": "60db", "tags": {"raudeep_key": "abc"}}),
        ("log_params", {"autoencoder.num_units": 8, "training.num_epochs": 5}, {}),
        ("log_metrics", SENT, {"step": 3}),
        ("log_metrics", SENT | {"validation_loss": 0.75}, {"step": 4}),
        ("end_run", "FINISHED", {}),
    ]


def test_mlflow_goes_on_in_the_run_of_a_training_that_goes_on(monkeypatch):
    earlier = SimpleNamespace(info=SimpleNamespace(run_id="r1"))
    fake = FakeMlflow([earlier])
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    run("mlflow")
    assert [call[-1]["run_id"] for call in fake.calls if call[0] == "start_run"] == ["r1"]


def test_wandb_gets_the_configuration_and_each_epoch(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.setenv("WANDB_PROJECT", "sounds")
    run("wandb", EPOCH)
    flat = {"autoencoder.num_units": 8, "training.num_epochs": 5}
    init = {"project": "sounds", "name": "60db", "id": "abc", "resume": "allow", "config": flat}
    assert fake.calls == [("init", init), ("log", SENT, 3), ("finish", 0)]


def test_a_failed_training_is_a_failed_run(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with pytest.raises(MemoryError), track("wandb", name="n", key="k", config=CONFIG):
        raise MemoryError
    assert fake.calls[-1] == ("finish", 1)


def test_a_server_that_is_away_costs_a_warning_and_no_training(monkeypatch, caplog):
    class Away(FakeWandb):
        def log(self, values, *, step):
            raise ConnectionError("no route")

    monkeypatch.setitem(sys.modules, "wandb", Away())
    run("wandb", EPOCH)
    assert "wandb did not take epoch 3: no route" in caplog.text


def test_without_a_tracker_nothing_happens():
    check_tracker(None)
    run(None, EPOCH)


@pytest.mark.parametrize("tracker", ["mlflow", "wandb"])
def test_a_missing_package_is_one_line_before_anything_is_trained(monkeypatch, tracker):
    monkeypatch.setitem(sys.modules, tracker, None)
    monkeypatch.setattr("importlib.import_module", lambda name: _missing(name), raising=True)
    resources = ResourceConfig(tracker=tracker)
    with pytest.raises(ConfigError, match=rf"pip install 'raudeep\[{tracker}\]'") as error:
        runs.train_autoencoders([], checkpoints="nowhere", resources=resources)
    assert "\n" not in str(error.value)


def _missing(name):
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_an_unknown_tracker_is_refused():
    with pytest.raises(ConfigError, match=r"must be 'mlflow', 'wandb' or None\. Got 'comet'"):
        ResourceConfig(tracker="comet")


@pytest.mark.parametrize("call", ["set_experiment", "end_run"])
def test_a_server_that_goes_away_at_either_end_costs_no_training(monkeypatch, caplog, call):
    def refuse(*_, **__):
        raise ConnectionError("gone")

    fake = FakeMlflow()
    monkeypatch.setattr(fake, call, refuse, raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", fake)
    run("mlflow", EPOCH)
    assert "gone" in caplog.text
    with (
        pytest.raises(ValueError, match="of the training"),
        track("mlflow", name="60db", key="abc", config=CONFIG),
    ):
        raise ValueError("of the training")
