"""What a training goes on from where a full disc or a power cut has damaged what is on record."""

import json
import shutil
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import ray
import torch

from raudeep.config import AutoencoderConfig, TrainingConfig
from raudeep.models.autoencoder import build_autoencoder
from raudeep.models.fitting import Fit
from raudeep.pipeline.training.checkpoint import Progress, find_checkpoint, write_checkpoint
from raudeep.pipeline.training.record import forget_unusable_record

RECORD = "checkpoint_manager_snapshot.json"
GOOD = {
    "ray_version": ray.__version__,
    "checkpoint_results": [],
    "checkpoint_report_indices": [],
    "latest_checkpoint_result": None,
    "pending_training_results": [],
    "pending_validation_specs": [],
    "current_report_index": 0,
    "validated_checkpoint_dir_names": [],
    "timed_out_validation_checkpoint_dir_names": [],
    "failed_validation_checkpoint_dir_names": [],
}
LOST = {"checkpoint_dir_name": "checkpoint_gone", "metrics": {}}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        bytes(200),
        json.dumps(GOOD).encode()[:100],
        b"[]",
        json.dumps(
            {**GOOD, "checkpoint_results": [LOST], "checkpoint_report_indices": [1]}
        ).encode(),
    ],
)
def test_a_record_that_ray_cannot_start_from_counts_as_none(tmp_path, caplog, content):
    (tmp_path / RECORD).write_bytes(content)
    forget_unusable_record("60db", str(tmp_path))
    assert not (tmp_path / RECORD).exists()
    assert f"60db: {tmp_path}/{RECORD} is damaged, and left out" in caplog.text
    assert len([record for record in caplog.records if record.name.startswith("raudeep")]) == 1


def test_a_record_that_ray_can_start_from_stays(tmp_path, caplog):
    forget_unusable_record("60db", str(tmp_path))
    (tmp_path / RECORD).write_text(json.dumps(GOOD))
    forget_unusable_record("60db", str(tmp_path))
    assert (tmp_path / RECORD).exists()
    assert not [record for record in caplog.records if record.name.startswith("raudeep")]


@pytest.fixture
def run(tmp_path):
    """The folder of a run with a checkpoint after each of three epochs."""
    torch.manual_seed(0)
    config = TrainingConfig(early_stopping_epochs=2, validation_fraction=0.5)
    fit = Fit(build_autoencoder(4, AutoencoderConfig(num_units=4, num_layers=1)), config)
    progress = Progress(last_epoch=9)
    for epoch in (1, 2, 3):
        folder = tmp_path / f"checkpoint_2026-11-30_0{epoch}-00-00.000000"
        folder.mkdir()
        progress.history.append({"epoch": epoch, "loss": 1.0, "validation_loss": 1.0})
        progress.judge(1 / epoch, fit)
        write_checkpoint(folder, fit, progress)
    return tmp_path


def epoch_of(run, recorded=None):
    if recorded is not None:
        place = run / f"checkpoint_2026-11-30_0{recorded}-00-00.000000"
        recorded = SimpleNamespace(as_directory=lambda: nullcontext(str(place)))
    found = find_checkpoint(recorded, str(run))
    return None if found is None else found.progress.epoch


def test_what_is_on_record_counts_and_without_it_the_newest_checkpoint(run):
    assert epoch_of(run, recorded=2) == 2
    assert epoch_of(run) == 3


@pytest.mark.parametrize("name", ["progress.json", "weights", "optimizer", "best"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: bytes(len(content)),
        lambda content: content[: len(content) // 2],
        lambda content: content[:-8] + bytes(8),
        None,
    ],
)
def test_a_damaged_checkpoint_counts_as_none(run, name, damage):
    place = run / "checkpoint_2026-11-30_03-00-00.000000" / name
    if damage is None:
        place.unlink()
    else:
        place.write_bytes(damage(place.read_bytes()))
    assert epoch_of(run, recorded=3) == 2
    assert epoch_of(run) == 2


def test_a_checkpoint_of_an_earlier_version_is_read(run):
    place = run / "checkpoint_2026-11-30_03-00-00.000000" / "progress.json"
    values = json.loads(place.read_text())
    del values["checksums"]
    place.write_text(json.dumps(values))
    assert epoch_of(run) == 3


def test_where_no_checkpoint_is_whole_a_training_begins(run):
    for folder in list(run.iterdir())[1:]:
        shutil.rmtree(folder)
    (left,) = run.iterdir()
    (left / "weights").write_bytes(b"")
    assert epoch_of(run) is None
