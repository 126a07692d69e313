"""Ray: started once, quietly; what the cluster has; items streamed through stages."""

import atexit
import json
import logging
import math
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from raudeep import errors
from raudeep.errors import RaudeepError, ResourceError

__all__ = [
    "Node",
    "Pool",
    "Resources",
    "assigned_cores",
    "ensure_ray",
    "find_resources",
    "is_fresh_cpu_actor",
    "stream",
    "unwrap",
]

logger = logging.getLogger(__name__)

DEBUG_VARIABLE = "RAUDEEP_DEBUG"
"""Set in the environment, Ray's own output is shown."""

Item = dict[str, Any]
_ERROR = "raudeep error"  # of an item that failed: the name of the error's class
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Runs have helper processes without a core of their own; Ray warns of them on stdout.
    "RAY_worker_maximum_startup_concurrency": "16",
}
# A Ray of this process's own has no dashboard to show these, and a machine that nobody takes away;
# each of a dozen helper processes would spend a percent of a core on them.
_EMBEDDED_SETTINGS = {
    "RAY_enable_metrics_collection": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
_QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_TQDM": "0",
}
_START_SECONDS = 15.0  # of Ray with the worker processes of a first stage, on two cores
_WORKER_SECONDS = 4.0  # of the worker processes of a stage, where Ray runs already
_ACTORS_PER_GPU = 2  # the models are small: one alone leaves the GPU waiting
_CREDENTIALS = ("AWS_", "FSSPEC_", "GOOGLE_", "AZURE_STORAGE_", "MLFLOW_", "WANDB_", "RAUDEEP_")


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster has."""

    cpus: float
    gpus: float
    memory: float = 0.0
    """Bytes; 0 where it is not known."""


@dataclass(frozen=True)
class Resources:
    """What the cluster has, machine by machine: a worker never spans two."""

    nodes: tuple[Node, ...]

    @property
    def cpus(self) -> float:
        """Cores in all."""
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> float:
        """GPUs in all."""
        return sum(node.gpus for node in self.nodes)


@dataclass(frozen=True)
class Pool:
    """A stage that keeps state: `factory(**arguments)` is made once per actor.

    The number of actors is fixed: two for each of the cluster's GPUs, which they share with the
    cores beside it, or one for each core where there is no GPU or it is of no use. Where there are
    fewer items than cores, each actor has several.
    """

    factory: type[Any]
    arguments: Mapping[str, Any]
    uses_gpu: bool = True


def ensure_ray() -> Resources:
    """Start Ray unless this process has, and return what the cluster has.

    With ``RAY_ADDRESS`` (set by the user, or by a submitted job) that cluster is joined; without, a
    Ray of this process's own is started on this machine. Credentials for object storage in the
    environment are handed to the workers.
    """
    import ray

    if not ray.is_initialized():
        quiet = not os.environ.get(DEBUG_VARIABLE)
        joins = bool(os.environ.get("RAY_ADDRESS"))
        environment = _SETTINGS | ({} if joins else _EMBEDDED_SETTINGS) | (_QUIET if quiet else {})
        for name, value in environment.items():
            os.environ.setdefault(name, value)
        settings: dict[str, Any] = {
            "log_to_driver": not quiet,
            "logging_level": "ERROR" if quiet else "INFO",
            "runtime_env": {"env_vars": _environment()},
        }
        started = time.perf_counter()
        if not joins:
            settings |= {"address": "local", "include_dashboard": False}
        with _keeping_termination(), _without_log_notice():
            ray.init(**settings)
        atexit.register(ray.shutdown)
        if quiet:
            _silence()
        logger.debug("Ray was ready after %.1f s", time.perf_counter() - started)
    return _resources()


@contextmanager
def _keeping_termination() -> Iterator[None]:
    """Keep what this process does on SIGTERM, which Ray replaces by a dump of addresses."""
    before = signal.getsignal(signal.SIGTERM)
    came = False
    try:
        yield
    except SystemExit as end:  # what Ray makes of one that comes while it starts
        came = end.code == signal.SIGTERM
        if not came:
            raise
    finally:
        with suppress(ValueError):  # not the main thread
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)  # None: it was not Python's
    if came:
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def _without_log_notice() -> Iterator[None]:
    """Take from stderr the line with which Ray's core says that it was told to say little."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as said:
        before = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            said.seek(0)
            for line in said:
                if b"Set ray log level" not in line:
                    os.write(2, line)


def _resources() -> Resources:
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return Resources(
        tuple(
            Node(node.get("CPU", 0.0), node.get("GPU", 0.0), node.get("memory", 0.0))
            for node in nodes
        )
    )


def find_resources() -> Resources:
    """Return what a stage would have, without starting a Ray on this machine for it."""
    if os.environ.get("RAY_ADDRESS"):
        return ensure_ray()
    import torch

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Resources((Node(assigned_cores(), torch.cuda.device_count(), memory),))


def stream(
    items: Sequence[Item],
    stage: Callable[[Item], Item] | Pool,
    *,
    estimated_seconds: float,
) -> Iterator[Item]:
    """Yield each item after it went through a stage, in any order.

    Parameters
    ----------
    items : sequence of dict
        Values that Arrow can hold; large ones as bytes.
    stage : function or Pool
        A function runs as Ray Data tasks, a pool as a fixed number of actors. What a killed worker
        or a lost node had in hand is done again.
    estimated_seconds : float
        What the work would take on one core. Work that is done sooner than Ray and its workers have
        started is done in a plain loop in this process.
    """
    import ray

    start = _WORKER_SECONDS if ray.is_initialized() else _START_SECONDS
    if not items or estimated_seconds < start:
        function = stage.factory(**stage.arguments) if isinstance(stage, Pool) else stage
        for item in items:
            yield function(item)
        return
    cluster = ensure_ray()
    if not any(node.cpus >= 1 for node in cluster.nodes):
        raise ResourceError(f"the cluster has {cluster.cpus:g} CPUs; a node needs at least 1.")
    import ray.data

    _silence()
    dataset = ray.data.from_items(list(items), override_num_blocks=len(items))
    if isinstance(stage, Pool):
        dataset = _map_in_pool(dataset, stage, cluster, num_items=len(items))
    else:
        dataset = dataset.map(_guarded(stage), num_cpus=1)
    rows = dataset.iter_rows()
    try:
        for row in rows:
            if _ERROR in row:
                kind: type[RaudeepError] = getattr(errors, row[_ERROR])
                raise kind(row["message"])
            yield row
    except ray.exceptions.RayError as error:
        raise unwrap(error) from error


def assigned_cores() -> int:
    """Return the cores that this process may use: those of its Ray actor, or the machine's."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        context = ray.get_runtime_context()
        if context.get_actor_id() is not None:
            return max(1, int(context.get_assigned_resources().get("CPU", 1)))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_fresh_cpu_actor() -> bool:
    """Return whether this process is a Ray actor of one core that never died.

    One that does is started again, and what it had in hand is done again.
    """
    import ray

    context = ray.get_runtime_context() if ray.is_initialized() else None
    if context is None or context.get_actor_id() is None:
        return False
    assigned = context.get_assigned_resources()
    is_core = assigned.get("CPU", 1) == 1 and not assigned.get("GPU")
    return is_core and not context.was_current_actor_reconstructed


def _map_in_pool(dataset: Any, pool: Pool, cluster: Resources, *, num_items: int) -> Any:
    from ray.data import ActorPoolStrategy

    size, gpus = int(cluster.cpus), None
    nodes = [node for node in cluster.nodes if node.cpus >= 1]
    cpus = int(min(node.cpus for node in nodes)) // math.ceil(num_items / len(nodes))
    with_gpus = [node for node in nodes if node.gpus >= 1]
    if pool.uses_gpu and with_gpus:
        size = _ACTORS_PER_GPU * int(sum(node.gpus for node in with_gpus))
        gpus = 1 / _ACTORS_PER_GPU
        cpus = int(min(node.cpus / (int(node.gpus) * _ACTORS_PER_GPU) for node in with_gpus))
    return dataset.map(
        _Actor,
        fn_constructor_kwargs={"factory": pool.factory, "arguments": dict(pool.arguments)},
        # One more is at hand, or an actor would wait 0.15 s for Ray between two items. With more,
        # the last ones would lie with some actors while others have none.
        compute=ActorPoolStrategy(size=min(size, num_items), max_tasks_in_flight_per_actor=2),
        num_cpus=max(1, cpus),
        num_gpus=gpus,
    )


def _guarded(function: Callable[[Item], Item]) -> Callable[[Item], Item]:
    """Return a stage that hands on an error of ours as an item.

    Ray Data loses the cause of what a stage raises; its one line would be lost with it.
    """

    def call(item: Item) -> Item:
        if _ERROR in item:
            return item
        try:
            return function(item)
        except RaudeepError as error:
            return _failed(error)

    return call


def _failed(error: RaudeepError) -> Item:
    return {_ERROR: type(error).__name__, "message": str(error)}


class _Actor:
    """What a `Pool` has several of."""

    def __init__(self, factory: type[Any], arguments: Mapping[str, Any]) -> None:
        try:
            self._call = _guarded(factory(**arguments))
        except RaudeepError as error:
            failed = _failed(error)
            self._call = lambda item: failed

    def __call__(self, item: Item) -> Item:
        return self._call(item)


def unwrap(error: BaseException) -> BaseException:
    """Return the error of ours that a Ray error carries, or the Ray error."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RaudeepError):
            # Ray makes errors that are both a RayError and ours; ours alone has a one-line text.
            kind = next(cls for cls in type(seen).__mro__ if cls.__module__ == "raudeep.errors")
            ours: BaseException = kind(str(getattr(seen, "cause", seen)))
            return ours
        seen = getattr(seen, "cause", None) or seen.__cause__
    return error


def _environment() -> dict[str, str]:
    """Return the variables for the workers, but for those that a submitted job hands on itself.

    Ray refuses to be told a variable twice.
    """
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
    told = (job.get("runtime_env") or {}).get("env_vars") or {}
    return {
        key: value
        for key, value in os.environ.items()
        if key.startswith(_CREDENTIALS) and key not in told
    }


def _silence() -> None:
    """Keep Ray's own chatter off the terminal; it sets its loggers up anew when first used."""
    if os.environ.get(DEBUG_VARIABLE):
        return
    import ray.data

    # What raylets say of workers and nodes that died goes to stdout, which is the command's own,
    # whatever `log_to_driver` is. The switch is that of Ray's debugger.
    ray._private.worker._worker_logs_enabled = False
    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray", "ray.data", "ray.train", "ray.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
