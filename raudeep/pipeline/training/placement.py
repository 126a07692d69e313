"""Where training runs find room: what each gets of the cluster, and how many workers start now."""

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from raudeep.config import ResourceConfig
from raudeep.errors import ResourceError
from raudeep.pipeline.runtime.cluster import Resources

__all__ = ["Share", "find_places", "share_resources"]

_SECONDS_TO_PLACE = 5.0  # that Ray is given to find places, before there are fewer or none


@dataclass(frozen=True)
class Share:
    """What one run gets of the cluster, and how many runs there are at a time."""

    concurrent: int
    num_workers: int
    cpus_per_worker: int
    gpus_per_worker: float
    min_workers: int | None = None
    """Fewest workers to start with; None for all."""

    @property
    def resources_per_worker(self) -> dict[str, float]:
        """CPUs and GPUs of a worker as Ray names them."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        return {"CPU": float(self.cpus_per_worker), **gpus}


def share_resources(cluster: Resources, wanted: ResourceConfig, num_runs: int) -> Share:
    """Return how `num_runs` runs share a cluster.

    GPUs and cores are divided among the runs; a data-parallel worker never gets less than a core,
    and a whole GPU where there are GPUs. Where ``min_workers`` allows it, a run has as many workers
    as the cluster has places for.

    Raises
    ------
    ResourceError
        If one run asks for more than there is.
    """
    wished = min(num_runs, wanted.max_concurrent_runs or num_runs)
    gpus = wanted.gpus_per_worker or 0.0
    if wanted.gpus_per_worker is None and cluster.gpus >= 1:
        # Shares of a GPU are its whole parts, or the last run would not find room on any.
        gpus = 1.0 if wanted.num_workers > 1 else 1 / math.ceil(wished / cluster.gpus)
    places = _places(cluster, wanted.cpus_per_worker or 1, gpus)
    fewest = wanted.min_workers or wanted.num_workers
    workers = max(fewest, min(wanted.num_workers, places))
    if workers > 1 and 0 < gpus < 1:
        raise ResourceError(
            f"{workers} data-parallel workers with {gpus:g} GPU(s) each were requested; each needs "
            "a GPU of its own. Raise gpus_per_worker to 1, or lower num_workers to 1."
        )
    most = places // workers
    if most < 1:
        at_least = "at least " if fewest < wanted.num_workers else ""
        raise ResourceError(
            f"a run of {at_least}{fewest} worker(s) with {wanted.cpus_per_worker or 1} CPU(s) and "
            f"{gpus:g} GPU(s) each was requested; the cluster has {cluster.cpus:g} CPUs and "
            f"{cluster.gpus:g} GPUs on {len(cluster.nodes)} node(s). Lower num_workers, "
            "cpus_per_worker or gpus_per_worker."
        )
    concurrent = min(wished, most)
    cpus = wanted.cpus_per_worker or 1
    if wanted.cpus_per_worker is None:
        while _places(cluster, cpus + 1, gpus) >= concurrent * workers:
            cpus += 1
    return Share(concurrent, workers, cpus, gpus, wanted.min_workers)


def _places(cluster: Resources, cpus: int, gpus: float) -> int:
    """Return how many workers the nodes hold at once."""
    places = 0
    for node in cluster.nodes:
        fits = int(node.cpus // cpus)
        if gpus >= 1:
            fits = min(fits, int(node.gpus // gpus))
        elif gpus > 0:
            fits = min(fits, int(node.gpus) * int(1 / gpus + 1e-6))
        places += fits
    return places


def find_places(share: Share, tell: Callable[[str], None]) -> int:
    """Return how many workers of a run can start now, once these are as many as must be.

    While others hold what a run needs, `tell` is given a line from time to time. Places that are
    asked for in vain also make a cluster grow that can.
    """
    import ray
    from ray.util.placement_group import placement_group, remove_placement_group

    fewest = share.min_workers or share.num_workers
    while True:
        workers = share.num_workers
        while workers >= fewest:
            group = None
            try:
                with _uninterrupted():
                    group = placement_group([share.resources_per_worker] * workers)
                if group.wait(_SECONDS_TO_PLACE):
                    return workers
            finally:
                if group is not None:
                    with _uninterrupted():
                        remove_placement_group(group)
            free = ray.available_resources()
            tell(
                f"waiting for {workers} worker(s) with {share.cpus_per_worker} CPU(s) and "
                f"{share.gpus_per_worker:g} GPU(s) each; {free.get('CPU', 0):g} CPUs and "
                f"{free.get('GPU', 0):g} GPUs are free"
            )
            fits = [
                free.get(name, 0.0) / amount + 1e-6
                for name, amount in share.resources_per_worker.items()
            ]
            workers = min(workers - 1, int(min(fits)))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Put off what cancels a task, in its main thread, until the block is done.

    A group whose making is interrupted has no name to be removed by, and holds its places for as
    long as the process that started the run.
    """
    asked = []
    before = signal.signal(signal.SIGINT, lambda *_: asked.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt
