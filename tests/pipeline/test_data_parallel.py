"""Several workers for one autoencoder: losses, streams, a killed worker, places that are taken."""

import signal
import threading
import time
from contextlib import suppress
from functools import partial
from importlib import import_module

import psutil
import pytest
import ray

from raudeep.config import AutoencoderConfig, ResourceConfig, SpectrogramConfig, TrainingConfig
from raudeep.corpora.demo import write_demo_corpus
from raudeep.errors import ResourceError
from raudeep.pipeline.artifacts import read_history
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.runtime.cluster import ensure_ray
from raudeep.pipeline.training import runs
from raudeep.pipeline.training.board import Board
from raudeep.pipeline.training.placement import Share, find_places
from raudeep.pipeline.training.run import WorkerJob
from raudeep.pipeline.training.runs import Run, _fit, _put, train_autoencoders
from raudeep.storage.row_groups import row_groups

places_of_ray = import_module("ray.util.placement_group")  # whose name a function of Ray has
EPOCHS = 12
VIEW = SpectrogramConfig(window_seconds=0.064, overlap_seconds=0.032, n_mels=16, clip_below_db=-60)
STREAMED = {"in_memory_gb": 0.0, "shuffle_buffer_gb": 1e-4}
TWO = ResourceConfig(num_workers=2)


@pytest.fixture(scope="module")
def spectrograms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data-parallel")
    write_demo_corpus(folder / "corpus", clips_per_class=24)
    manifest, _ = load_manifest(str(folder / "corpus"))
    table = str(folder / "spectrograms")
    extract_spectrograms(manifest, {"view": VIEW}, {"view": table})
    return table


def make_run(spectrograms, folder, **changes):
    training = {
        "num_epochs": EPOCHS,
        "batch_size": 16,
        "learning_rate": 0.01,
        "validation_fraction": 0.2,
        "precision": "float32",
        **changes,
    }
    return Run(
        name="model",
        spectrograms=(spectrograms,),
        output=str(folder / "model"),
        model=AutoencoderConfig(num_units=16, dropout=0.0),
        training=TrainingConfig(**training),
    )


def train(spectrograms, folder, resources, **changes):
    """Return the losses of each epoch."""
    run = make_run(spectrograms, folder, **changes)
    train_autoencoders([run], checkpoints=str(folder / "runs"), resources=resources)
    history = read_history(run.output)
    assert [each["epoch"] for each in history] == list(range(1, run.training.num_epochs + 1))
    return [each[name] for each in history for name in ("loss", "validation_loss")]


@pytest.fixture
def killer(tmp_path, monkeypatch):
    """Kill a worker, as the kernel would, each time that there is a new checkpoint."""
    monkeypatch.setattr(runs, "_SAVE_SECONDS", 0.0)
    killed: list[int] = []

    def checkpoints():
        return set((tmp_path / "killed" / "runs").glob("*/checkpoint_*"))

    def kill(times):
        seen = set()
        while len(killed) < times:
            time.sleep(0.1)
            if not checkpoints() - seen:
                continue
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if "RayTrainWorker" in " ".join(child.cmdline()):
                        child.kill()
                        killed.append(child.pid)
                        time.sleep(1)  # what it was writing is no sign of the next one
                        seen = checkpoints()
                        break

    def start(times):
        threading.Thread(target=kill, args=(times,), daemon=True).start()
        return killed

    return start


def test_two_workers_of_which_one_is_killed_have_the_losses_of_one(spectrograms, tmp_path, killer):
    assert len(row_groups(spectrograms)) > 2
    alone = train(spectrograms, tmp_path / "one", None, num_epochs=60, **STREAMED)
    killed = killer(times=1)
    together = train(spectrograms, tmp_path / "killed", TWO, num_epochs=60, **STREAMED)
    assert killed
    assert together == pytest.approx(alone, rel=1e-3)
    assert together[-2] < 0.8 * together[0]


def test_a_worker_that_is_killed_again_and_again_ends_the_run_with_a_line(
    spectrograms, tmp_path, killer
):
    killed = killer(times=4)
    with pytest.raises(ResourceError, match=r"process of Ray ended .* goes on from"):
        train(spectrograms, tmp_path / "killed", None, num_epochs=100_000)
    assert len(killed) == 4


@ray.remote(num_cpus=1)
class Holder:
    """Somebody else's work, which holds a core."""

    def ready(self):
        return True


@pytest.fixture
def holder():
    assert ensure_ray().cpus == 2
    holder = Holder.remote()
    ray.get(holder.ready.remote())
    yield holder
    ray.kill(holder)


def test_a_run_starts_with_the_workers_that_find_a_place(spectrograms, tmp_path, holder):
    resources = ResourceConfig(num_workers=2, min_workers=1)
    losses = train(spectrograms, tmp_path, resources, num_epochs=1)
    assert losses[0] > 0


def test_a_run_waits_for_its_places_and_says_what_is_free(holder):
    lines = []

    def tell(line):
        lines.append(line)
        ray.kill(holder)

    assert find_places(Share(1, 2, 1, 0.0), tell) == 2
    assert lines == [
        "waiting for 2 worker(s) with 1 CPU(s) and 0 GPU(s) each; 1 CPUs and 0 GPUs are free"
    ]


def test_fewer_workers_are_tried_as_many_as_are_free(holder):
    lines = []
    started = time.monotonic()
    assert find_places(Share(1, 20, 1, 0.0, 1), lines.append) == 1
    assert len(lines) == 1
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("name", ["placement_group", "remove_placement_group"])
@pytest.mark.parametrize("is_before", [True, False])
def test_a_run_that_is_cancelled_while_it_asks_for_places_holds_none(monkeypatch, name, is_before):
    ensure_ray()
    asked = getattr(places_of_ray, name)

    def interrupted(*arguments):
        if is_before:
            signal.raise_signal(signal.SIGINT)
        found = asked(*arguments)
        if not is_before:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(places_of_ray, name, interrupted)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            find_places(Share(1, 2, 1, 0.0), lambda _: None)
    finally:
        signal.signal(signal.SIGINT, handler)
    groups = places_of_ray.placement_group_table().values()
    assert groups
    assert {group["state"] for group in groups} == {"REMOVED"}


def test_a_run_that_waits_ends_when_it_is_cancelled(spectrograms, tmp_path, holder):
    @ray.remote(num_cpus=0)
    def fit(job):
        # As Ray Train leaves it behind in a process that has trained before.
        signal.signal(signal.SIGINT, lambda *_: None)
        _fit(job, str(tmp_path / "runs"), Share(1, 2, 1, 0.0))

    board = ray.remote(num_cpus=0)(Board).remote()
    run = make_run(spectrograms, tmp_path)
    task = fit.remote(
        WorkerJob(run, run.identity(), 1, partial(_put, board), str(tmp_path / "runs"))
    )
    deadline = time.monotonic() + 60
    while not ray.get(board.take.remote()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    ray.cancel(task)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(task, timeout=20)
