"""Which errors of a training worker end the run; from what it goes on after a kill."""

import math
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pyarrow as pa
import pytest
import ray.train
import torch

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.errors import ConfigError, ResourceError, TableError
from raudeep.models.batching import Spectrograms
from raudeep.pipeline.artifacts import forget_epochs, kept_epochs
from raudeep.pipeline.training import saving, worker
from raudeep.pipeline.training.run import Run, WorkerJob
from raudeep.pipeline.training.worker import train_worker
from raudeep.storage.identity import Identity
from raudeep.storage.stores import StoreError


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("the loss is nan."), ConfigError),
        (caused(TableError("is damaged."), OSError("checksum")), TableError),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB."), ResourceError),
        (MemoryError(), ResourceError),
        (caused(TableError("cannot be read."), StoreError("503")), None),
        (StoreError("503"), None),
        (RuntimeError("NCCL: a peer is gone"), None),
    ],
)
def test_the_driver_is_told_what_no_other_attempt_would_change(monkeypatch, error, told):
    def fail(*_):
        raise error

    entries = []
    monkeypatch.setattr(worker, "_train", fail)
    job = WorkerJob(
        run=Run(
            name="60db",
            spectrograms=("table",),
            output="model",
            model=AutoencoderConfig(),
            training=TrainingConfig(),
        ),
        identity=Identity("autoencoder", {}, {}),
        threads=1,
        tell=entries.append,
        checkpoints="runs",
    )
    with pytest.raises(type(error)):
        train_worker({"job": job})
    assert [(entry["name"], type(entry["failed"])) for entry in entries] == (
        [("60db", told)] if told else []
    )


@pytest.mark.parametrize("spectrograms", ["work/s", (), []])
def test_a_run_takes_a_tuple_of_tables(spectrograms):
    with pytest.raises(
        ConfigError, match=r"'spectrograms' of run 'a' must be a tuple of one"
    ) as error:
        Run(
            name="a",
            spectrograms=spectrograms,
            output="model",
            model=AutoencoderConfig(),
            training=TrainingConfig(),
        )
    assert str(error.value).endswith(f"Got {spectrograms!r}.")


class Killed(BaseException):
    pass


def train(folder, monkeypatch, *, killed_after, recorded=None):
    """Train until an epoch is told, from the checkpoint `recorded`; return what was told."""
    told = []

    def tell(entry):
        told.append(entry)
        if entry["done"] == killed_after and not entry["goes_on"]:
            raise Killed

    def report(metrics, checkpoint):
        shutil.copytree(checkpoint.path, folder / f"checkpoint-{metrics['epoch']}")

    found = None
    if recorded is not None:
        found = SimpleNamespace(as_directory=lambda: nullcontext(folder / f"checkpoint-{recorded}"))
        for later in range(recorded + 1, 10):
            shutil.rmtree(folder / f"checkpoint-{later}", ignore_errors=True)
    values = torch.rand(4, 3, 5, generator=torch.Generator().manual_seed(0))
    rows = pa.table({"file": list("abcd")})
    lengths = torch.full((4,), 3)
    with monkeypatch.context() as patch:
        patch.setattr(ray.train, "get_checkpoint", lambda: found)
        patch.setattr(ray.train, "report", report)
        patch.setattr(
            worker, "read_training_data", lambda *_: (rows, Spectrograms(values, lengths))
        )
        patch.setattr(saving, "_SHARE", math.inf)
        patch.setattr(worker, "Examples", lambda *_: None)
        patch.setattr(worker, "log_epoch", lambda *_, **__: None)
        patch.setattr(worker, "_track", lambda *_, **__: nullcontext(lambda result: None))
        job = WorkerJob(
            run=Run(
                name="60db",
                spectrograms=("table",),
                output=str(folder / "model"),
                model=AutoencoderConfig(num_units=4, num_layers=1),
                training=TrainingConfig(num_epochs=9, batch_size=4, checkpoints_to_keep=2),
            ),
            identity=Identity("autoencoder", {}, {}),
            threads=torch.get_num_threads(),
            tell=tell,
            checkpoints=str(folder / "runs"),
            save_seconds=0.0,
        )
        with pytest.raises(Killed):
            train_worker({"job": job})
    return [(entry["epoch"], entry["goes_on"]) for entry in told]


@pytest.mark.parametrize("behind", [1, 2])
def test_a_kill_before_the_last_epochs_are_on_record_loses_those_alone(
    tmp_path, monkeypatch, caplog, behind
):
    assert train(tmp_path, monkeypatch, killed_after=6)[-1] == (6, False)
    told = train(tmp_path, monkeypatch, killed_after=7, recorded=6 - behind)
    assert told[0] == (6 - behind, True)
    assert told[-1] == (7, False)
    assert not caplog.messages
    owner = Identity("autoencoder", {}, {}).fingerprint
    assert kept_epochs(str(tmp_path / "model"), owner) == [4, 5, 6, 7]


def test_a_training_that_begins_anew_says_so(tmp_path, monkeypatch, caplog):
    train(tmp_path, monkeypatch, killed_after=3)
    forget_epochs(str(tmp_path / "model"), Identity("autoencoder", {}, {}).fingerprint)
    for earlier in (1, 2):
        shutil.rmtree(tmp_path / f"checkpoint-{earlier}")
    shutil.move(tmp_path / "checkpoint-3", tmp_path / "checkpoint-0")
    assert train(tmp_path, monkeypatch, killed_after=1, recorded=0) == [(1, False)]
    said = f"60db begins anew: weights that it kept until epoch 3 are missing below {tmp_path}"
    assert said in caplog.text
