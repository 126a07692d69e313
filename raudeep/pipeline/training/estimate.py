"""How long trainings take, so that short ones do not wait for workers of Ray."""

import os
from collections.abc import Sequence

import numpy as np

from raudeep.config import ResourceConfig
from raudeep.models.autoencoder import build_autoencoder
from raudeep.models.inference import default_device
from raudeep.pipeline.runtime.cluster import ensure_ray
from raudeep.pipeline.training.run import Run
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table

__all__ = ["is_short"]

_START_SECONDS = 15.0  # of Ray and the processes of a first training, on two cores
# The step of the demo recipe takes a third of that with `models.kernel`, and more without. The
# operations are what a slow core does in float32.
_SECONDS_PER_ROW = 1e-4  # at the least
_SECONDS_PER_STEP = 3e-4  # of all layers, for each frame of the longest row of a mini-batch
_OPERATIONS_PER_SECOND = 2e10
_OPERATIONS = 6  # of a parameter and a frame: a product forward and two backward


def is_short(runs: Sequence[Run], resources: ResourceConfig) -> bool:
    """Return whether runs are trained in this process sooner than workers of Ray start.

    Never with a GPU, or where `resources` ask for more than one core.
    """
    if os.environ.get("RAY_ADDRESS"):
        ensure_ray()  # a cluster that cannot be joined is an error with little work, too
    alone = resources.num_workers == 1 and resources.cpus_per_worker in (None, 1)
    if not alone or resources.gpus_per_worker or default_device().type != "cpu":
        return False
    if any(_least_seconds(run) >= _START_SECONDS for run in runs):
        return False  # nothing of a large table is read for it
    seconds = list(map(_seconds, runs))
    with_workers = max(max(seconds), sum(seconds) / (os.cpu_count() or 1)) + _START_SECONDS
    return sum(seconds) < with_workers and max(seconds) < _START_SECONDS


def _least_seconds(run: Run) -> float:
    rows = sum(read_index(uri).rows for uri in run.spectrograms)
    return run.training.num_epochs * rows * _SECONDS_PER_ROW


def _seconds(run: Run) -> float:
    """Return about how long a run takes on one core."""
    columns = ["frames", "bands"]
    tables = [read_table(uri, columns=columns) for uri in run.spectrograms]
    frames = np.concatenate([table["frames"].to_numpy() for table in tables])
    model = build_autoencoder(tables[0]["bands"][0].as_py(), run.model)
    weights = sum(values.numel() for values in model.parameters())
    steps = -(-len(frames) // run.training.batch_size) * frames.max()
    operations = _OPERATIONS * weights * frames.sum()
    epoch = steps * _SECONDS_PER_STEP + operations / _OPERATIONS_PER_SECOND
    return float(run.training.num_epochs * epoch)
