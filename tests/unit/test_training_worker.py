"""Which errors of a training worker end the run, and which Ray Train may try again."""

from types import SimpleNamespace

import pytest

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.errors import ConfigError, ResourceError, TableError
from raudeep.pipeline.training import worker
from raudeep.pipeline.training.worker import Run, WorkerJob, train_worker
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
    def fail(job):
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
        board=SimpleNamespace(put=SimpleNamespace(remote=entries.append)),
    )
    with pytest.raises(type(error)):
        train_worker({"job": job})
    assert [(entry["name"], type(entry["failed"])) for entry in entries] == (
        [("60db", told)] if told else []
    )
