"""Training autoencoders with Ray Train: one run per configuration, as many at once as fit.

``spectrogram tables -> run (a TorchTrainer started from a 0-CPU task) -> artifact``

What is trained sooner than the workers of Ray Train start is trained in this process.
"""

import logging
import os
import time
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from raudeep.config import ResourceConfig, Tracker
from raudeep.errors import RaudeepError, TableError
from raudeep.pipeline.artifacts import (
    AUTOENCODER,
    CHECKPOINTS,
    artifact_identity,
    check_place,
    delete_artifact,
    is_artifact,
)
from raudeep.pipeline.runtime.cluster import ensure_ray
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import unwrap
from raudeep.pipeline.stage import StageSummary
from raudeep.pipeline.training.board import Board
from raudeep.pipeline.training.checks import check_names, check_trainable, warn_of_epochs
from raudeep.pipeline.training.estimate import is_short
from raudeep.pipeline.training.objective import Objective
from raudeep.pipeline.training.placement import Share, find_places, share_resources
from raudeep.pipeline.training.record import forget_unusable_record
from raudeep.pipeline.training.run import Run, WorkerJob
from raudeep.pipeline.training.tracking import check_tracker
from raudeep.pipeline.training.worker import train_here, train_worker
from raudeep.storage import uri as uris
from raudeep.storage.claim import claiming, release
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index
from raudeep.storage.outputs import check_apart, check_folder, check_outputs

__all__ = ["Run", "fit_runs", "train_autoencoders"]

logger = logging.getLogger(__name__)

_SAVE_SECONDS = 5.0  # between two checkpoints of a run, at the least
_MAX_FAILURES = 3  # of a run's workers, before the run fails
_MAX_STARTS = 20  # of a run whose places are gone, or taken by others, when it starts
_SETTINGS = {  # of Ray Train, for its processes
    # That workers are given to take the places that were found for them.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "30",
    # Between two polls. A worker that reports waits until what it reported before was taken.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
}
_SECONDS_TO_END = 30.0  # that a cancelled run is waited for


def train_autoencoders(
    runs: Sequence[Run],
    *,
    checkpoints: str,
    resources: ResourceConfig | None = None,
    overwrite: bool = False,
) -> list[StageSummary]:
    """Train autoencoders, several at once, and write an artifact for each.

    A run whose artifact exists is not repeated; an interrupted one goes on from its last
    checkpoint, which is seconds old or of the last epoch.

    Parameters
    ----------
    runs : sequence of Run
        The autoencoders.
    checkpoints : str
        URI of the folder for the checkpoints of runs that are not finished.
    resources : ResourceConfig, optional
        What each run may take.
    overwrite : bool
        Replace artifacts that were made with another configuration. Other files in their folders
        stay.

    Returns
    -------
    list of StageSummary
        One for each run, in their order.

    Raises
    ------
    ConfigError
        If an architecture cannot be trained, a loss is not finite, a tracker's package is not
        installed, or an output lies in another one.
    ResourceError
        If a single run asks for more than the cluster has, or needs more memory.
    TableError
        If an output holds another artifact, one that is continued, or files that are not raudeep's,
        or the tables cannot be read or trained on.
    """
    started = time.perf_counter()
    resources = resources or ResourceConfig()
    check_tracker(resources.tracker)
    check_names(runs)
    check_apart(run.output for run in runs)
    checkpoints = uris.absolute(checkpoints)
    identities = {run.name: run.identity() for run in runs}
    inputs = [uri for run in runs for uri in (*run.spectrograms, run.continue_from) if uri]
    pending, replaced = [], []
    for run in runs:
        identity = identities[run.name]
        stored = artifact_identity(run.output) if is_artifact(run.output) else None
        if stored == identity:
            warn_of_epochs(run)
            continue
        check_folder(run.output, AUTOENCODER)
        pending.append(run)
        if stored is not None:
            check_outputs([run.output], inputs)
            if not overwrite:
                raise TableError(stored.conflict(identity, place=run.output))
            replaced.append(run)
    if pending:
        check_folder(checkpoints, CHECKPOINTS)
    for run in pending:
        check_trainable(run)
    for run in runs:  # what killed runs left
        uris.clean(run.output)
        if run not in pending:
            release(run.output, identities[run.name])
    if pending:
        share = None
        if not is_short(pending, resources):
            logger.info("training starts workers of Ray, which takes some seconds.")
            share = share_resources(ensure_ray(), resources, len(pending))
        with ExitStack() as held:  # now that nothing of any run can be refused
            for run in pending:
                identity = identities[run.name]
                held.enter_context(claiming(run.output, identity, overwrite=overwrite))
                if run not in replaced:  # another run may have finished one meanwhile
                    check_place(run.output, identity)
            for run in replaced:
                if is_artifact(run.output):
                    stored = artifact_identity(run.output)
                    uris.delete(_checkpoints_of(run, stored, checkpoints))
                delete_artifact(run.output)
            _fit_all(pending, identities, checkpoints, share, tracker=resources.tracker)
    for run in runs:  # the artifact holds all that they do
        uris.delete(_checkpoints_of(run, identities[run.name], checkpoints))
    uris.delete_empty(checkpoints)
    return [
        StageSummary(
            stage="training",
            table=run.output,
            seconds=time.perf_counter() - started,
            parts=1,
            reused=int(run not in pending),
            rows=sum(read_index(uri).rows for uri in run.spectrograms),
        )
        for run in runs
    ]


def _fit_all(
    runs: Sequence[Run],
    identities: dict[str, Identity],
    checkpoints: str,
    share: Share | None,
    *,
    tracker: Tracker | None,
) -> None:
    """Run all, with Ray Train or, without a share, in this process, and show how far they are."""
    epochs = sum(run.training.num_epochs for run in runs)
    done = dict.fromkeys(identities, 0)

    def show(entry: dict[str, Any]) -> None:
        name = entry["name"]
        if "waiting" in entry:
            progress.advance(0, f"{name} is {entry['waiting']}")
            return
        if entry["goes_on"]:
            logger.info("%s goes on after epoch %d.", name, entry["epoch"])
        note = f"{name} epoch {entry['epoch']}, loss {entry['loss']:.4f}"
        progress.advance(max(0, entry["done"] - done[name]), note)
        done[name] = max(done[name], entry["done"])

    with stage_progress("training", unit="epochs", total=epochs) as progress:
        if share is None:
            for run in runs:
                identity = identities[run.name]
                place = _checkpoints_of(run, identity, checkpoints)
                job = WorkerJob(run, identity, 1, show, place, tracker, save_seconds=_SAVE_SECONDS)
                train_here(job)
            return
        with closing(fit_runs(runs, identities, checkpoints, share, tracker=tracker)) as entries:
            for entry in entries:
                show(entry)


def _run_name(run: Run, identity: Identity) -> str:
    """Return how Ray Train names a run, whose folder of checkpoints has this name, too.

    The fingerprint makes the same command resume, and no other one.
    """
    return f"{run.name}-{identity.fingerprint}"


def _checkpoints_of(run: Run, identity: Identity, checkpoints: str) -> str:
    return uris.join(checkpoints, _run_name(run, identity))


def fit_runs(
    runs: Sequence[Run],
    identities: dict[str, Identity],
    checkpoints: str,
    share: Share,
    *,
    tracker: Tracker | None = None,
    objective: Objective | None = None,
) -> Generator[dict[str, Any], None, None]:
    """Run all, never more at once than fit, and yield every epoch of every run.

    An entry with the key ``waiting`` says what a run that has not started waits for. Closed before
    its end it ends the runs, and returns when what they held is free.

    Raises
    ------
    RaudeepError
        What a worker cannot go on from, such as a loss that is not finite.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Beside this process: what only waits must not be lost with a node that trains, and not lie in
    # the placement group of a trial that starts it, which has no room for workers.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    board = ray.remote(num_cpus=0, scheduling_strategy=here)(Board).remote()
    waiting = list(runs)
    running: set[Any] = set()
    # No CPU of its own: a task that waits must not starve the workers it waits for. The address
    # reaches the processes of Ray Train, one of which asks for the run's state by HTTP and, left
    # alone, may ask another Ray on this machine, miss the run there, and end it.
    settings_of_task = {
        "num_cpus": 0,
        "max_retries": 0,
        "scheduling_strategy": here,
        "runtime_env": {
            "env_vars": {
                "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
                **{name: os.environ.get(name, value) for name, value in _SETTINGS.items()},
            },
        },
    }
    try:
        while waiting or running:
            while waiting and len(running) < share.concurrent:
                run = waiting.pop(0)
                cpus, identity = share.cpus_per_worker, identities[run.name]
                place = _checkpoints_of(run, identity, checkpoints)
                forget_unusable_record(run.name, place)
                tell = partial(_put, board)
                job = WorkerJob(run, identity, cpus, tell, place, tracker, objective, _SAVE_SECONDS)
                task = ray.remote(**settings_of_task)(_fit)
                running.add(task.remote(job, checkpoints, share))
            finished, _ = ray.wait(list(running), timeout=1.0)
            for entry in ray.get(board.take.remote()):
                if "failed" in entry:
                    raise entry["failed"]
                yield entry
            for reference in finished:
                running.remove(reference)
                ray.get(reference)
    except ray.exceptions.RayError as error:
        raise unwrap(error) from error
    except (GeneratorExit, RaudeepError):
        _cancel(running)
        if running:
            ray.wait(list(running), num_returns=len(running), timeout=_SECONDS_TO_END)
            running.clear()
        raise
    finally:
        _cancel(running)
        ray.kill(board)


def _put(board: Any, entry: dict[str, Any]) -> None:
    board.put.remote(entry)


def _cancel(references: set[Any]) -> None:
    import ray

    for reference in references:
        ray.cancel(reference)


def _fit(job: WorkerJob, checkpoints: str, share: Share) -> None:
    """Train one autoencoder; runs as a Ray task."""
    import logging
    import signal

    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.exceptions import ControllerError, TrainingFailedError

    from raudeep.pipeline.training.controller import EndsAtOnce

    logging.getLogger("ray").setLevel(logging.ERROR)
    storage = uris.arrow_filesystem(checkpoints)

    def tell(line: str) -> None:
        job.tell({"name": job.run.name, "waiting": line})

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run that waits ends by it
    for start in range(1, _MAX_STARTS + 1):
        trainer = TorchTrainer(
            train_worker,
            train_loop_config={"job": job},
            scaling_config=ScalingConfig(
                num_workers=find_places(share, tell),
                use_gpu=share.gpus_per_worker > 0,
                resources_per_worker=share.resources_per_worker,
            ),
            run_config=RunConfig(
                name=_run_name(job.run, job.identity),
                storage_path=storage.path,
                storage_filesystem=storage.system,
                checkpoint_config=CheckpointConfig(num_to_keep=1),
                callbacks=[EndsAtOnce()],
                # Where the places are gone, others are looked for, which may be fewer.
                failure_config=FailureConfig(
                    max_failures=_MAX_FAILURES, controller_failure_limit=0
                ),
            ),
        )
        try:
            trainer.fit()
        except ControllerError as error:
            # Ray's own classes for places that are gone, or workers that died as they started.
            failed_to_start = type(error.controller_failure).__name__.startswith("WorkerGroupStart")
            if not failed_to_start or start == _MAX_STARTS:
                raise unwrap(error) from error
        except TrainingFailedError as error:
            raise unwrap(error) from error
        except SystemExit:  # what Ray makes of a run that was cancelled; it would end the process
            return
        else:
            return
        finally:
            # Ray Train leaves a handler of its own, which no wait ends by, and which keeps the
            # controller: its process would live as long as this one.
            signal.signal(signal.SIGINT, signal.default_int_handler)
