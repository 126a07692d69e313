"""Two runs at one output that is no table: a model, a classifier, a sweep, a file."""

import json
from pathlib import Path

import numpy as np
import pytest

from raudeep.config import FitConfig, ResourceConfig, SvmConfig, TrainingConfig
from raudeep.config.autoencoder import AutoencoderConfig
from raudeep.errors import TableError
from raudeep.pipeline.artifacts import check_place, is_artifact
from raudeep.pipeline.classification import classifiers
from raudeep.pipeline.classification.classifiers import load_classifier, train_classifier
from raudeep.pipeline.training import runs
from raudeep.pipeline.tuning.ledger import SweepLayout, open_ledger
from raudeep.storage import outputs
from raudeep.storage import uri as uris
from raudeep.storage.claim import claim, claimed
from raudeep.storage.identity import Identity
from raudeep.storage.outputs import write_file
from tests.embeddings import separable
from tests.models import write_model
from tests.unit.test_training_data import write

FIRST, SECOND = SvmConfig(complexity=0.001), SvmConfig(complexity=0.1)
TAKEN = "there and .* now. Choose another output, or pass --overwrite"


def meanwhile(monkeypatch, module, name, happen):
    """Let something happen while a function of a module is called the first time."""
    done = getattr(module, name)

    def call(*arguments, **options):
        monkeypatch.setattr(module, name, done)
        happen()
        return done(*arguments, **options)

    monkeypatch.setattr(module, name, call)


# --- classifiers


def test_what_a_run_left_that_was_killed_after_its_last_file_goes(tmp_path):
    table, place = str(separable(tmp_path / "table")), tmp_path / "kept"
    fit(table, str(place), FIRST)
    claim(str(place), load_classifier(str(place)).identity)
    (place / "__raudeep__" / ".raudeep-0123456789ab.tmp").write_bytes(b"half a fi")
    assert fit(table, str(place), FIRST).reused == 1
    assert sorted(path.name for path in place.rglob("*")) == [
        "classifier.json",
        "classifier.safetensors",
    ]


def fit(table, output, config, **options):
    return train_classifier(str(table), output, config=config, fit=FitConfig(), **options)


def complexity(output):
    """That of a classifier whose weights are those of its configuration."""
    found = load_classifier(output)
    table = found.identity.config["svm"]["complexity"]
    assert table == found.config.complexity
    return table


@pytest.fixture
def table(tmp_path):
    return separable(tmp_path / "embeddings")


def test_of_two_classifiers_that_begin_at_one_moment_one_is_refused(table, place, monkeypatch):
    def other():
        with pytest.raises(TableError, match=TAKEN):
            fit(table, place, SECOND)

    meanwhile(monkeypatch, classifiers, "fit_table", other)
    fit(table, place, FIRST)
    assert complexity(place) == 0.001
    assert sorted(uris.list_files(place)) == ["classifier.json", "classifier.safetensors"]
    with pytest.raises(TableError, match=TAKEN):
        fit(table, place, SECOND)


def test_a_classifier_that_is_replaced_while_it_is_trained_is_not_written(
    table, place, monkeypatch
):
    meanwhile(
        monkeypatch, classifiers, "fit_table", lambda: fit(table, place, SECOND, overwrite=True)
    )
    with pytest.raises(TableError, match=TAKEN):
        fit(table, place, FIRST)
    assert complexity(place) == 0.1
    assert sorted(uris.list_files(place)) == ["classifier.json", "classifier.safetensors"]


def test_the_same_classifier_trained_twice_at_one_moment_is_one(table, place, monkeypatch):
    meanwhile(monkeypatch, classifiers, "fit_table", lambda: fit(table, place, FIRST))
    fit(table, place, FIRST)
    assert complexity(place) == 0.001


def test_a_killed_training_of_a_classifier_is_in_nobodys_way_but_that_of_another(
    table, place, monkeypatch
):
    def kill(*_, **__):
        raise SystemExit

    monkeypatch.setattr(classifiers, "fit_table", kill)
    with pytest.raises(SystemExit):
        fit(table, place, FIRST)
    monkeypatch.undo()
    assert uris.list_files(place) == {}  # nothing is left of one that could end
    claim(place, Identity("classifier", {"fit": 1}))
    with pytest.raises(TableError, match=TAKEN):
        fit(table, place, FIRST)
    fit(table, place, FIRST, overwrite=True)
    assert complexity(place) == 0.001


# --- models


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Train autoencoders without Ray: what its workers do is to write the artifact."""
    spectrograms = tmp_path / "spectrograms"
    write(spectrograms, np.random.default_rng(0), frames=5)
    monkeypatch.setattr(runs, "ensure_ray", lambda: None)
    monkeypatch.setattr(runs, "share_resources", lambda *_: "a share")
    monkeypatch.setattr(runs, "is_short", lambda *_: False)

    def fit_runs(pending, identities, *_, **__):
        for run in pending:
            check_place(run.output, identities[run.name])
            write_model(Path(run.output), units=8)
            config = Path(run.output, "config.json")
            content = json.loads(config.read_text())
            content["identity"] = vars(identities[run.name])
            config.write_text(json.dumps(content))
            yield {"name": run.name, "epoch": 1, "loss": 1.0, "done": 1, "goes_on": False}

    monkeypatch.setattr(runs, "fit_runs", fit_runs)

    def train(units, **options):
        run = runs.Run(
            name="model",
            spectrograms=(str(spectrograms),),
            output=str(tmp_path / "model"),
            model=AutoencoderConfig(num_units=units, num_layers=1),
            training=TrainingConfig(num_epochs=1),
        )
        checkpoints = str(tmp_path / "runs")
        runs.train_autoencoders([run], checkpoints=checkpoints, **options)
        return run

    return train


def test_of_two_trainings_that_begin_at_one_moment_one_is_refused(train, monkeypatch):
    def other():
        with pytest.raises(TableError, match=TAKEN):
            train(16)

    meanwhile(monkeypatch, runs, "fit_runs", other)
    run = train(8)
    check_place(run.output, run.identity())
    assert claimed(run.output) is None


def test_a_model_that_is_replaced_while_it_is_trained_is_not_written(train, monkeypatch):
    found = []
    meanwhile(monkeypatch, runs, "fit_runs", lambda: found.append(train(16, overwrite=True)))
    with pytest.raises(TableError, match=TAKEN):
        train(8)
    check_place(found[0].output, found[0].identity())


def test_a_training_that_finished_between_check_and_claim_is_not_replaced(train, monkeypatch):
    found = []
    meanwhile(monkeypatch, runs, "check_trainable", lambda: found.append(train(16)))
    with pytest.raises(TableError, match=TAKEN):
        train(8)
    check_place(found[0].output, found[0].identity())


def test_a_training_that_fails_leaves_its_place_free(train, monkeypatch):
    def fail(*_, **__):
        raise TableError("the loss is not finite")

    monkeypatch.setattr(runs, "fit_runs", fail)
    with pytest.raises(TableError, match="not finite"):
        train(8)
    monkeypatch.setattr(runs, "fit_runs", lambda *_, **__: (entry for entry in ()))
    assert not is_artifact(train(16, resources=ResourceConfig()).output)


# --- sweeps and files


def test_of_two_sweeps_that_begin_at_one_moment_one_is_refused(place):
    one, two = (Identity("sweep", {"tune": number}) for number in (1, 2))
    ledger = open_ledger(SweepLayout(place), one)
    with pytest.raises(TableError, match="tune is 1 there and 2 now"):
        open_ledger(SweepLayout(place), two)
    open_ledger(SweepLayout(place), one)
    open_ledger(SweepLayout(place), two, overwrite=True)
    with pytest.raises(TableError, match="tune is 2 there and 1 now"):
        ledger.save(ledger.add("a", {}))
    assert list(uris.list_files(place)) == ["sweep.json"]


def test_of_two_that_write_another_file_at_one_moment_one_is_refused(place, monkeypatch):
    file = uris.join(place, "matrix.svg")
    meanwhile(monkeypatch, outputs, "check_file", lambda: uris.write_bytes(file, b"one"))
    with pytest.raises(TableError, match=r"exists\. Choose another output, or"):
        write_file(file, b"two", overwrite=False)
    meanwhile(monkeypatch, outputs, "check_file", lambda: uris.write_bytes(file, b"same"))
    write_file(file, b"same", overwrite=True)
    assert uris.read_bytes(file) == b"same"
