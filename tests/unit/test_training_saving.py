"""When a training that runs is saved, and that all of its workers save it at one time."""

import math
from types import SimpleNamespace

import pytest
import torch

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.models.autoencoder import build_autoencoder
from raudeep.models.fitting import Fit
from raudeep.pipeline.artifacts import kept_epochs
from raudeep.pipeline.training import saving
from raudeep.pipeline.training.checkpoint import Progress
from raudeep.pipeline.training.run import Run, WorkerJob
from raudeep.pipeline.training.saving import Saving, has_kept_epochs
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity

IDENTITY = Identity("autoencoder", {}, {})


class Clock:
    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now


class Recorded:
    """Takes checkpoints; each takes some seconds."""

    def __init__(self, clock, seconds=0.0):
        self.epochs, self.with_checkpoint = [], []
        self._clock, self._seconds = clock, seconds

    def find(self):
        return None

    def add(self, epoch, write):
        self.epochs.append(epoch)
        self.with_checkpoint.append(write is not None)
        self._clock.now += self._seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(saving, "time", clock)
    return clock


def make(tmp_path, record, *, keep=1, fit=None):
    config = TrainingConfig(num_epochs=100, checkpoints_to_keep=keep)
    architecture = AutoencoderConfig(num_units=4, num_layers=1)
    fit = fit or Fit(build_autoencoder(4, architecture), config)
    run = Run(
        name="60db",
        spectrograms=("table",),
        output=str(tmp_path / "model"),
        model=architecture,
        training=config,
    )
    job = WorkerJob(run, IDENTITY, 1, print, str(tmp_path / "runs"))
    logs = tmp_path / "logs"
    logs.mkdir(exist_ok=True)
    (logs / f"events.out.tfevents.1.host.{IDENTITY.fingerprint}").write_bytes(b"losses")
    progress = Progress(last_epoch=100)
    return Saving(job, record, fit, progress, logs), progress, job


def finish_epochs(saved, progress, clock, *, seconds, count):
    for _ in range(count):
        clock.now += seconds
        progress.history.append({"epoch": progress.epoch + 1})
        saved.add()


def test_short_epochs_are_saved_every_few_seconds_and_long_ones_each(tmp_path, clock):
    record = Recorded(clock)
    saved, progress, _ = make(tmp_path, record)
    finish_epochs(saved, progress, clock, seconds=0.1, count=40)
    assert not record.epochs
    assert not uris.list_files(str(tmp_path / "model"))
    finish_epochs(saved, progress, clock, seconds=2.0, count=6)
    assert record.epochs == [41, 44]
    finish_epochs(saved, progress, clock, seconds=6.0, count=2)
    assert record.epochs == [41, 44, 47, 48]


def test_saving_takes_a_small_share_of_the_time(tmp_path, clock):
    record = Recorded(clock, seconds=3.0)
    saved, progress, _ = make(tmp_path, record)
    finish_epochs(saved, progress, clock, seconds=10.0, count=7)
    assert record.epochs == [1, 4, 7]


@pytest.mark.parametrize("keep", [2, None])
def test_kept_weights_are_there_for_each_epoch_that_a_kill_can_lead_back_to(tmp_path, clock, keep):
    record = Recorded(clock)
    saved, progress, job = make(tmp_path, record, keep=keep)
    for _ in range(6):
        finish_epochs(saved, progress, clock, seconds=1.0, count=5)
        for epoch in [0, *record.epochs][-3:]:
            history = [{"epoch": number} for number in range(1, epoch + 1)]
            assert has_kept_epochs(job, Progress(history, last_epoch=100))
    assert record.epochs == [5, 10, 15, 20, 25, 30]
    kept = kept_epochs(job.run.output, IDENTITY.fingerprint)
    assert kept == (list(range(1, 31)) if keep is None else [19, 20, 24, 25, 29, 30])
    saved.write()
    saved.forget(progress.epoch)
    kept = kept_epochs(job.run.output, IDENTITY.fingerprint)
    assert kept == (list(range(1, 31)) if keep is None else [29, 30])


def test_weights_that_wait_are_written_before_they_fill_the_memory(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(saving, "_MOST_BYTES", 2000)
    monkeypatch.setattr(saving, "_SHARE", math.inf)
    record = Recorded(clock)
    saved, progress, _ = make(tmp_path, record, keep=None)
    finish_epochs(saved, progress, clock, seconds=0.0, count=9)
    assert len(record.epochs) >= 3


@pytest.mark.parametrize("chosen", [True, False])
def test_another_worker_reports_when_that_of_rank_0_does_whatever_its_clock_says(
    tmp_path, clock, chosen
):
    record = Recorded(clock)
    other = SimpleNamespace(rank=1, agreed=lambda _: chosen)
    saved, progress, _ = make(tmp_path, record, keep=3, fit=other)
    finish_epochs(saved, progress, clock, seconds=0.0 if chosen else 100.0, count=2)
    assert record.epochs == ([1, 2] if chosen else [])
    assert not any(record.with_checkpoint)
    assert not uris.list_files(str(tmp_path / "model"))


def test_a_worker_alone_decides_for_itself():
    fit = Fit(build_autoencoder(4, AutoencoderConfig(num_units=4, num_layers=1)), TrainingConfig())
    assert fit.agreed(True)
    assert not fit.agreed(False)
    assert not torch.distributed.is_initialized()
