"""Items streamed through stages on Ray, and the errors that come back."""

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raudeep import errors
from raudeep.errors import RaudeepError, ResourceError, error_for_user
from raudeep.pipeline.runtime.cluster import Resources, ensure_ray, silence

__all__ = ["Pool", "stream", "unwrap"]

Item = dict[str, Any]
_ERROR = "raudeep error"  # of an item that failed: the name of the error's class
_START_SECONDS = 15.0  # of Ray with the worker processes of a first stage, on two cores
_WORKER_SECONDS = 4.0  # of the worker processes of a stage, where Ray runs already
_CAUSES = ("cause", "health_check_failure", "controller_failure")  # attributes of Ray's errors
_LOW_ON_MEMORY = "running low on memory"  # says Ray of what it has killed for that
_ACTORS_PER_GPU = 2  # the models are small: one alone leaves the GPU waiting


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


def stream(
    items: Sequence[Item],
    stage: Callable[[Item], Item] | Pool,
    *,
    estimated_seconds: float,
    memory_bytes: int = 0,
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
    memory_bytes : int
        What a call of a function takes; only as many run at once as there is memory for.
    """
    import ray

    if os.environ.get("RAY_ADDRESS"):
        ensure_ray()  # a cluster that cannot be joined is told of with little work, too
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

    silence()
    dataset = ray.data.from_items(list(items), override_num_blocks=len(items))
    if isinstance(stage, Pool):
        dataset = _map_in_pool(dataset, stage, cluster, num_items=len(items))
    else:
        dataset = dataset.map(_guarded(stage), num_cpus=1, **_memory(cluster, memory_bytes))
    rows = dataset.iter_rows()
    try:
        for row in rows:
            if _ERROR in row:
                kind: type[RaudeepError] = getattr(errors, row[_ERROR])
                raise kind(row["message"])
            yield row
    except ray.exceptions.RayError as error:
        raise unwrap(error) from error


def _memory(cluster: Resources, memory_bytes: int) -> dict[str, int]:
    """Return what to ask Ray for, where a task takes more than its core's share of the memory."""
    if all(memory_bytes <= node.memory / max(1.0, node.cpus) for node in cluster.nodes):
        return {}
    # More than any machine has would wait for ever.
    return {"memory": min(memory_bytes, int(max(node.memory for node in cluster.nodes)))}


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
        except Exception as error:
            return _failed(error)

    return call


def _failed(error: Exception) -> Item:
    """Return an error as an item; one that is not for the user is raised again."""
    ours = error_for_user(error)
    if ours is None:
        raise error
    return {_ERROR: type(ours).__name__, "message": str(ours)}


class _Actor:
    """What a `Pool` has several of."""

    def __init__(self, factory: type[Any], arguments: Mapping[str, Any]) -> None:
        try:
            self._call = _guarded(factory(**arguments))
        except Exception as error:
            failed = _failed(error)
            self._call = lambda item: failed

    def __call__(self, item: Item) -> Item:
        return self._call(item)


def unwrap(error: BaseException) -> BaseException:
    """Return the error of ours that Ray's carries, or that says what Ray's means, or Ray's."""
    from ray import exceptions

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, RaudeepError):
            # Ray makes errors that are both a RayError and ours; ours alone has a one-line text.
            kind = next(cls for cls in type(cause).__mro__ if cls.__module__ == "raudeep.errors")
            ours: BaseException = kind(str(getattr(cause, "cause", cause)))
            return ours
    died = (
        exceptions.ActorDiedError,
        exceptions.NodeDiedError,
        exceptions.OutOfMemoryError,
        exceptions.WorkerCrashedError,
    )
    lost = next((cause for cause in causes if isinstance(cause, died)), None)
    return error if lost is None else ResourceError(_why_lost(lost))


def _why_lost(error: BaseException) -> str:
    """Return why a process of Ray is gone, as far as it is known."""
    from ray import exceptions

    said = str(error)
    by_ray = isinstance(error, exceptions.OutOfMemoryError) or _LOW_ON_MEMORY in said
    if by_ray or _memory_kills() > _MEMORY_KILLS_BEFORE:
        return (
            "a process was killed because the memory of its machine ran out. Lower batch_size, "
            "num_units or what runs at a time; the same command goes on from what is finished."
        )
    if getattr(error, "actor_init_failed", False):  # the text ends with what it raised
        reason = said.strip().splitlines()[-1].strip()
    else:
        detail = said.partition("Worker exit detail: ")[2]  # guesses of many kinds follow
        reason = re.split(r" There are| Some common causes", detail)[0]
        reason = reason or said.strip().partition("\n")[0]
    return (
        f"a process of Ray ended before its work was done: {reason.strip().rstrip('.')}. The same "
        "command goes on from what is finished; with --debug Ray says more."
    )


def _memory_kills() -> int:
    """Return how many processes the kernel of this machine has killed because memory ran out."""
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


_MEMORY_KILLS_BEFORE = _memory_kills()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, what it was raised from, and what failed in each worker of a training."""
    while error is not None:
        yield error
        for failure in getattr(error, "worker_failures", {}).values():
            yield from _causes(failure)
        found = (getattr(error, name, None) for name in _CAUSES)
        error = next((each for each in found if isinstance(each, BaseException)), error.__cause__)
