"""When a training leaves what it has on storage: every few seconds, not after each epoch."""

import time
from collections import deque
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from raudeep.models.fitting import Fit
from raudeep.pipeline.artifacts import (
    check_place,
    forget_epochs,
    keep_epoch,
    kept_epochs,
    write_events,
)
from raudeep.pipeline.training.checkpoint import Progress, write_checkpoint
from raudeep.pipeline.training.record import Record
from raudeep.pipeline.training.run import WorkerJob

__all__ = ["Saving", "has_kept_epochs"]

_SHARE = 0.1  # of the time, at most, that checkpoints take
_UNRECORDED = 2  # checkpoints that were reported, at most, when Ray Train has none of them yet
_MOST_BYTES = 500_000_000  # of kept weights that wait for the next checkpoint


class Saving:
    """Saves a training that runs: its checkpoint, the weights of epochs that it keeps, its events.

    All data-parallel workers call it alike. That of rank 0 writes, and says to all when: a clock
    that each of them asks would let one report an epoch which the others do not.

    Parameters
    ----------
    job : WorkerJob
        What is trained.
    record : Record
        Takes the checkpoints.
    fit, progress : Fit, Progress
        The training, and how far it is.
    logs : Path
        Folder of this machine with the events of TensorBoard.
    """

    def __init__(
        self, job: WorkerJob, record: Record, fit: Fit, progress: Progress, logs: Path
    ) -> None:
        self._job, self._record, self._logs = job, record, logs
        self._fit, self._progress = fit, progress
        self._most = job.run.training.checkpoints_to_keep
        self._kept: dict[int, Mapping[str, Tensor]] = {}  # and not written yet
        # A kill can lead back to any of these epochs.
        self._saved = deque([progress.epoch], maxlen=1 + _UNRECORDED)
        self._last, self._pause = time.monotonic(), job.save_seconds

    def add(self) -> None:
        """Take a finished epoch, and save the training where the last time is seconds ago."""
        epoch, leads = self._progress.epoch, self._fit.rank == 0
        if leads:
            self._keep(epoch)
        if not self._fit.agreed(self._is_due()):
            return
        began = time.monotonic()
        if leads:
            self.write()  # first: a checkpoint counts with the epochs that should be kept by then
            write = partial(write_checkpoint, fit=self._fit, progress=self._progress)
            self._record.add(epoch, write)
            self._saved.append(epoch)
            self.forget(self._saved[0])
        else:
            self._record.add(epoch, None)
        self._last = time.monotonic()
        self._pause = max(self._job.save_seconds, (self._last - began) / _SHARE)

    def write(self) -> None:
        """Write events and kept weights; `TableError` where another training took the place."""
        run, identity = self._job.run, self._job.identity
        check_place(run.output, identity)
        write_events(run.output, {path.name: path.read_bytes() for path in self._logs.iterdir()})
        for epoch, weights in self._kept.items():
            keep_epoch(run.output, identity.fingerprint, epoch, weights)
        self._kept.clear()

    def forget(self, epoch: int) -> None:
        """Delete kept weights that a training which is at `epoch` does not need."""
        if self._most not in (None, 1) and epoch > self._most:
            run, owner = self._job.run, self._job.identity.fingerprint
            forget_epochs(run.output, owner, up_to=epoch - self._most)

    def _keep(self, epoch: int) -> None:
        if self._most == 1:  # that one is the artifact's own
            return
        weights = self._fit.weights()
        self._kept[epoch] = {name: value.detach().cpu().clone() for name, value in weights.items()}
        if self._most is not None:
            self._kept.pop(epoch - self._most, None)

    def _is_due(self) -> bool:
        if time.monotonic() - self._last >= self._pause:
            return True
        held = (value for weights in self._kept.values() for value in weights.values())
        return sum(value.nbytes for value in held) > _MOST_BYTES


def has_kept_epochs(job: WorkerJob, progress: Progress) -> bool:
    """Return whether the weights of all epochs that should be kept until now are there.

    Where the artifact was deleted, or another training took its place, they are gone with it.
    """
    training, output = job.run.training, job.run.output
    most = training.checkpoints_to_keep
    if most == 1:  # that one is the artifact's own
        return True
    first = progress.last_epoch - training.num_epochs + 1
    if most is not None:
        first = max(first, progress.epoch - most + 1)
    kept = kept_epochs(output, job.identity.fingerprint)
    return set(range(first, progress.epoch + 1)) <= set(kept)
