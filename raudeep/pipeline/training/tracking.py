"""Trackers of experiments: the configuration and the losses of each epoch, to MLflow or W&B.

Server, key and project are taken from the variables of either tool (``MLFLOW_TRACKING_URI``,
``WANDB_API_KEY``, ...), which reach the workers. A training that goes on, goes on in its run.
"""

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from raudeep.config import Tracker
from raudeep.credentials import public_text
from raudeep.errors import ConfigError
from raudeep.models.fitting import EpochResult

__all__ = ["check_tracker", "track"]

logger = logging.getLogger(__name__)

Log = Callable[[EpochResult], None]
_PROJECT = "raudeep"  # unless MLFLOW_EXPERIMENT_NAME or WANDB_PROJECT names another


def check_tracker(tracker: Tracker | None) -> None:
    """Raise `ConfigError` where the package of a tracker is not installed."""
    if tracker is not None:
        _package(tracker)


@contextmanager
def track(
    tracker: Tracker | None, *, name: str, key: str, config: Mapping[str, Any]
) -> Iterator[Log]:
    """Yield what takes the finished epochs of a training run; nothing happens without a tracker.

    Parameters
    ----------
    tracker : "mlflow", "wandb" or None
        Where to.
    name, key : str
        Name of the run, and what is the same when it goes on and differs for any other run.
    config : mapping
        Sections of the configuration.

    Raises
    ------
    ConfigError
        If the tracker's package is not installed.
    """
    if tracker is None:
        yield lambda result: None
        return
    package = _package(tracker)
    flat = {
        f"{section}.{field}": value
        for section, fields in config.items()
        for field, value in fields.items()
    }
    start = {"mlflow": _start_mlflow, "wandb": _start_wandb}[tracker]
    ends: list[Finish] = []

    def log(result: EpochResult) -> None:
        values = {k: v for k, v in asdict(result).items() if k != "epoch" and v is not None}
        with _forgiving(tracker, f"epoch {result.epoch}"):
            send(values, result.epoch)

    with _forgiving(tracker, "the beginning"):
        send, finish = start(package, name, key, flat)
        ends.append(finish)
    good = False
    try:
        yield log if ends else lambda result: None
        good = True
    finally:
        for finish in ends:
            with _forgiving(tracker, "the end"):
                finish(good)


@contextmanager
def _forgiving(tracker: Tracker, what: str) -> Iterator[None]:
    """Say what goes wrong: a server that is away must not cost a training."""
    try:
        yield
    except Exception as error:
        logger.warning("%s did not take %s: %s", tracker, what, public_text(str(error)))


Send = Callable[[dict[str, float], int], None]
Finish = Callable[[bool], None]


def _start_mlflow(mlflow: Any, name: str, key: str, config: dict[str, Any]) -> tuple[Send, Finish]:
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT))
    earlier = mlflow.search_runs(
        filter_string=f"tags.raudeep_key = '{key}'", max_results=1, output_format="list"
    )
    run_id = earlier[0].info.run_id if earlier else None
    mlflow.start_run(run_id=run_id, run_name=name, tags={"raudeep_key": key})
    mlflow.log_params(config)
    return (
        lambda values, epoch: mlflow.log_metrics(values, step=epoch),
        lambda good: mlflow.end_run("FINISHED" if good else "FAILED"),
    )


def _start_wandb(wandb: Any, name: str, key: str, config: dict[str, Any]) -> tuple[Send, Finish]:
    run = wandb.init(
        project=os.environ.get("WANDB_PROJECT", _PROJECT),
        name=name,
        id=key,
        resume="allow",
        config=config,
    )
    return (
        lambda values, epoch: run.log(values, step=epoch),
        lambda good: run.finish(exit_code=0 if good else 1),
    )


def _package(tracker: Tracker) -> Any:
    try:
        return importlib.import_module(tracker)
    except ModuleNotFoundError as error:
        if error.name != tracker:
            raise
        raise ConfigError(
            f"tracker {tracker!r} needs the package {tracker}, here and on the nodes that train. "
            f"Run `pip install 'raudeep[{tracker}]'`."
        ) from error
