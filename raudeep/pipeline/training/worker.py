"""What trains an autoencoder: read the tables, train, tell of each epoch, write the artifact."""

import logging
import math
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from raudeep.config import fingerprint
from raudeep.credentials import public_uri
from raudeep.errors import ConfigError, error_for_user
from raudeep.models.artifact import TrainedAutoencoder
from raudeep.models.autoencoder import build_autoencoder
from raudeep.models.batching import SpectrogramSource, mix_seed
from raudeep.models.fitting import EpochResult, Fit, split_by_recording
from raudeep.models.inference import default_device
from raudeep.pipeline.artifacts import (
    forget_epochs,
    load_autoencoder,
    read_history,
    read_metrics,
    read_optimizer_state,
    write_artifact,
)
from raudeep.pipeline.training.checkpoint import Progress
from raudeep.pipeline.training.data import loaded_if_small, read_training_data
from raudeep.pipeline.training.events import Examples, log_epoch, show_metrics
from raudeep.pipeline.training.objective import Objective
from raudeep.pipeline.training.record import FolderRecord, RayRecord, Record
from raudeep.pipeline.training.run import WorkerJob
from raudeep.pipeline.training.saving import Saving, has_kept_epochs
from raudeep.pipeline.training.tracking import track
from raudeep.storage.index import read_index
from raudeep.storage.stores import StoreError

__all__ = ["train_here", "train_worker"]

logger = logging.getLogger(__name__)

_NUM_EXAMPLES = 3


def train_worker(loop_config: dict[str, Any]) -> None:
    """Train one autoencoder, on one of its data-parallel workers."""
    job: WorkerJob = loop_config["job"]
    try:
        _train(job, RayRecord(job.checkpoints))
    except Exception as error:
        ours = error_for_user(error)
        # Ray Train would try three more times, which is of use where a store did not answer.
        if ours is not None and not isinstance(error.__cause__, StoreError):
            job.tell({"name": job.run.name, "failed": ours})  # the driver ends the run
        raise


def train_here(job: WorkerJob) -> None:
    """Train one autoencoder in this process; its random numbers and threads stay as they were.

    Raises
    ------
    RaudeepError
        If the loss is not finite, memory runs out, or a table cannot be read.
    """
    threads = torch.get_num_threads()
    try:
        with torch.random.fork_rng(devices=[]):
            _train(job, FolderRecord(job.checkpoints))
    except Exception as error:
        ours = error_for_user(error)
        if ours is None:
            raise
        raise ours from error
    finally:
        torch.set_num_threads(threads)


def _train(job: WorkerJob, record: Record) -> None:
    run = job.run
    torch.set_num_threads(job.threads)
    metadata, spectrograms = read_training_data(run.spectrograms, run.training)
    rows, held_out = split_by_recording(
        metadata["file"].to_pylist(),
        fraction=run.training.validation_fraction,
        seed=run.training.seed,
    )
    device = default_device()
    chosen = (spectrograms.take(rows) if len(held_out) else spectrograms).to(device)
    validation = None
    if len(held_out):  # read once, if that can be: its rows are spread over all of the table
        validation = loaded_if_small(spectrograms.take(held_out), run.training).to(device)

    torch.manual_seed(mix_seed(run.training.seed))
    fit = Fit(build_autoencoder(spectrograms.bands, run.model).to(device), run.training)
    progress = _restore(job, fit, record)
    begins_early = run.training.early_stopping_epochs is not None and not progress.best_epoch
    if progress.epoch and begins_early and validation is not None:
        progress.judge(fit.validate(validation), fit)  # or a worse epoch would be the best one
    num_chunks = len(spectrograms)
    rows = torch.arange(0, num_chunks, max(1, num_chunks // _NUM_EXAMPLES))[:_NUM_EXAMPLES]
    examples = Examples(metadata.take(rows.numpy()), spectrograms.take(rows).loaded())
    scored = None if job.objective is None else spectrograms
    del spectrograms  # with some held out, the rest is a copy: memory is not to hold both
    with tempfile.TemporaryDirectory() as logs, _track(job, rank=fit.rank) as log:
        suffix = f".{job.identity.fingerprint}"
        writer = SummaryWriter(logs, filename_suffix=suffix) if fit.rank == 0 else None
        saving = Saving(job, record, fit, progress, Path(logs))
        while not progress.is_done(run.training.early_stopping_epochs):
            result = fit.run_epoch(progress.epoch + 1, chosen, validation)
            _check(result, name=run.name)
            progress.add(result, fit)
            if writer is not None:
                if job.objective is not None and scored is not None:
                    progress.history[-1] |= _measure(job, job.objective, fit, progress, scored)
                last = result.epoch == progress.last_epoch
                pictures = last or result.epoch % 8 == 1
                log_epoch(writer, result, fit.model, examples, pictures=pictures)
                show_metrics(run.name, result)
                log(result)
            saving.add()
            if writer is not None:
                _tell(job, progress)
        if writer is not None:
            writer.close()
            saving.write()
            _write(job, fit, progress, examples, num_chunks=num_chunks)
            saving.forget(progress.epoch)  # last: until then a kill goes on from them


def _restore(job: WorkerJob, fit: Fit, record: Record) -> Progress:
    """Return how far the training is, with the weights and the optimiser of that moment."""
    run = job.run
    if found := record.find():
        if has_kept_epochs(job, found.progress):
            fit.restore(found.weights, found.optimizer_state)
            if fit.rank == 0:
                _tell(job, found.progress, goes_on=True)
            return found.progress
        if fit.rank == 0:
            logger.warning(
                "%s begins anew: weights that it kept until epoch %d are missing below %s.",
                run.name,
                found.progress.epoch,
                run.output,
            )
    if fit.rank == 0:
        forget_epochs(run.output, job.identity.fingerprint)
    if run.continue_from is None:
        return Progress(last_epoch=run.training.num_epochs)
    earlier = load_autoencoder(run.continue_from)
    fit.restore(dict(earlier.model.state_dict()), read_optimizer_state(run.continue_from))
    # Of a training that was stopped early, as of any other, what led to these weights.
    history = read_history(run.continue_from)[: read_metrics(run.continue_from)["epoch"]]
    return Progress(history=history, last_epoch=len(history) + run.training.num_epochs)


def _check(result: EpochResult, *, name: str) -> None:
    """Refuse to go on from weights that are lost."""
    for kind in ("loss", "validation_loss"):
        value = getattr(result, kind)
        if value is not None and not math.isfinite(value):
            raise ConfigError(
                f"the {kind.replace('_', ' ')} of {name!r} after epoch {result.epoch} is {value}. "
                "Lower learning_rate or gradient_clip."
            )


def _measure(
    job: WorkerJob,
    objective: Objective,
    fit: Fit,
    progress: Progress,
    spectrograms: SpectrogramSource,
) -> dict[str, Any]:
    """Return the objective of what the artifact would hold if the training ended here."""
    last = progress.is_done(job.run.training.early_stopping_epochs)
    if not (last or objective.is_due(progress.epoch)):
        return {}
    if objective.kind == "loss":
        value = progress.kept["validation_loss"]
    else:
        value = objective.score(fit.model, progress.best, spectrograms, job.run.spectrograms)
    return {"objective": value, "last": last, "kept": progress.kept}


def _tell(job: WorkerJob, progress: Progress, *, goes_on: bool = False) -> None:
    """Tell the driver how far this run is, or from where it goes on."""
    done = progress.epoch - progress.last_epoch + job.run.training.num_epochs
    entry = {"name": job.run.name, "done": done, "goes_on": goes_on, **progress.history[-1]}
    job.tell(entry)


def _track(job: WorkerJob, *, rank: int) -> AbstractContextManager[Callable[[EpochResult], None]]:
    """Return what takes finished epochs to the tracker, if this worker is the one that tells."""
    run = job.run
    return track(
        job.tracker if rank == 0 else None,
        name=run.name,
        key=fingerprint(asdict(job.identity), public_uri(run.output)),
        config={
            "spectrogram": read_index(run.spectrograms[0]).config,
            "autoencoder": {"kind": run.model.kind, **asdict(run.model)},
            "training": asdict(run.training),
        },
    )


def _write(
    job: WorkerJob, fit: Fit, progress: Progress, examples: Examples, *, num_chunks: int
) -> None:
    """Write the artifact, with the weights of the best epoch where there is one."""
    optimizer_state: Mapping[str, Tensor] = fit.optimizer_state()
    if progress.best:
        fit.model.load_state_dict(progress.best)
        optimizer_state = progress.best_optimizer
    tables = [read_index(uri) for uri in job.run.spectrograms]
    trained = TrainedAutoencoder(
        name=job.run.name,
        model=fit.model,
        input=tables[0].config,
        sample_rates=tuple(sorted({rate for table in tables for rate in table.sample_rates})),
        training=job.run.training,
        identity=asdict(job.identity),
        metrics={"chunks": num_chunks, **progress.kept},
    )
    write_artifact(
        job.run.output,
        trained,
        history=progress.history,
        examples=examples.table(fit.model),
        optimizer_state=optimizer_state,
    )
