"""Where the checkpoints of a training are kept: by Ray Train, or in a folder without Ray.

Both write the same folder, so that one goes on from what the other left.
"""

import logging
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Protocol

from raudeep.pipeline.runtime.cluster import silence
from raudeep.pipeline.training.checkpoint import Checkpoint, find_checkpoint
from raudeep.storage import uri as uris

__all__ = ["FolderRecord", "RayRecord", "Record", "forget_unusable_record"]

logger = logging.getLogger(__name__)

_RECORD = "checkpoint_manager_snapshot.json"  # as Ray Train calls it

Write = Callable[[Path], None]
"""Writes the files of a checkpoint into a folder."""


class Record(Protocol):
    """Keeps the newest checkpoint of a run."""

    def find(self) -> Checkpoint | None:
        """Return the checkpoint from which the training goes on; None where it begins."""

    def add(self, epoch: int, write: Write | None) -> None:
        """Take a finished epoch and, from the worker of rank 0, its checkpoint."""


class RayRecord:
    """The record of Ray Train, for one of its workers.

    Parameters
    ----------
    run : str
        URI of the folder in which Ray Train keeps the checkpoints of the run.
    """

    def __init__(self, run: str) -> None:
        self._run = run

    def find(self) -> Checkpoint | None:
        """Return the checkpoint from which the training goes on; None where it begins."""
        import ray.train

        return find_checkpoint(ray.train.get_checkpoint(), self._run)

    def add(self, epoch: int, write: Write | None) -> None:
        """Report an epoch to Ray Train, which copies its checkpoint, if there is one."""
        import ray.train

        metrics = {"epoch": epoch}
        if write is None:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


class FolderRecord:
    """The record of a training in this process.

    Parameters
    ----------
    run : str
        URI of the folder for the checkpoints of the run.
    """

    def __init__(self, run: str) -> None:
        self._run = run

    def find(self) -> Checkpoint | None:
        """Return the checkpoint from which the training goes on; None where it begins."""
        return find_checkpoint(None, self._run)

    def add(self, epoch: int, write: Write | None) -> None:
        """Write a checkpoint, and delete earlier ones."""
        if write is None:  # which a single process never has
            return
        before = list(uris.list_files(self._run))
        name = f"checkpoint_{datetime.now():%Y-%m-%d_%H-%M-%S.%f}"  # as Ray Train names them
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder))
            for path in sorted(Path(folder).iterdir()):
                uris.write_bytes(uris.join(self._run, name, path.name), path.read_bytes())
        for earlier in before:  # also the record of Ray Train, which names what is deleted here
            uris.delete_file(uris.join(self._run, earlier))


def forget_unusable_record(name: str, run: str) -> None:
    """Delete the record of a run in the folder `run` if Ray Train could not start from it.

    Ray writes it in its place: a full disc, a kill or a power cut leaves half of it, and Ray never
    starts such a run again. Without one it does.
    """
    from ray.train import Result

    record = uris.join(run, _RECORD)
    if not uris.exists(record):
        return
    silence()
    place = uris.arrow_filesystem(run)
    try:
        Result.from_path(place.path, storage_filesystem=place.system)
    except OSError:  # the store does not answer, which the run will say
        return
    except Exception:
        logger.warning(
            "%s: %s is damaged, and left out. The training goes on from the newest checkpoint that "
            "is whole.",
            name,
            record,
        )
        uris.delete_file(record)
