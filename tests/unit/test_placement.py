import itertools

import pytest

from raudeep.config import ResourceConfig
from raudeep.errors import ResourceError
from raudeep.pipeline.runtime.cluster import Node, Resources
from raudeep.pipeline.training.placement import Share, share_resources


def machines(*nodes):
    """A cluster of nodes, each given as (cores, GPUs)."""
    return Resources(tuple(Node(*node) for node in nodes))


@pytest.mark.parametrize(
    ("cluster", "wanted", "num_runs", "expected"),
    [
        (machines((2, 0)), {}, 4, Share(2, 1, 1, 0.0)),
        (machines((2, 0)), {}, 1, Share(1, 1, 2, 0.0)),
        (machines((16, 0)), {}, 4, Share(4, 1, 4, 0.0)),
        (machines((16, 0)), {}, 3, Share(3, 1, 5, 0.0)),
        (machines((16, 1)), {}, 4, Share(4, 1, 4, 0.25)),
        (machines((2, 1)), {}, 4, Share(2, 1, 1, 0.25)),
        (machines((16, 8)), {}, 4, Share(4, 1, 4, 1.0)),
        (machines((16, 2)), {"num_workers": 2}, 4, Share(1, 2, 8, 1.0)),
        (machines((16, 8)), {"num_workers": 2}, 4, Share(4, 2, 2, 1.0)),
        (machines((16, 0)), {"num_workers": 2}, 4, Share(4, 2, 2, 0.0)),
        (machines((4, 0)), {"num_workers": 4}, 4, Share(1, 4, 1, 0.0)),
        (machines((16, 0)), {"cpus_per_worker": 8}, 4, Share(2, 1, 8, 0.0)),
        (machines((16, 2)), {"gpus_per_worker": 0.5}, 8, Share(4, 1, 4, 0.5)),
        (machines((16, 0)), {"max_concurrent_runs": 2}, 4, Share(2, 1, 8, 0.0)),
        # a worker has its cores on one node
        (machines((2, 0), (2, 0)), {}, 1, Share(1, 1, 2, 0.0)),
        (machines((2, 0), (2, 0)), {}, 4, Share(4, 1, 1, 0.0)),
        (machines((16, 0), (16, 0), (16, 0)), {}, 4, Share(4, 1, 8, 0.0)),
        (machines((16, 0), (16, 0), (16, 0)), {"cpus_per_worker": 16}, 4, Share(3, 1, 16, 0.0)),
        (machines((3, 0), (3, 0)), {"cpus_per_worker": 2}, 4, Share(2, 1, 2, 0.0)),
        (machines((4, 0), (2, 0)), {"num_workers": 2}, 1, Share(1, 2, 2, 0.0)),
        (machines((8, 0), (8, 1)), {}, 2, Share(2, 1, 4, 0.5)),
        # and its share of one GPU there
        (machines((16, 3)), {}, 4, Share(4, 1, 4, 0.5)),
        (machines((8, 1), (8, 1)), {}, 3, Share(3, 1, 4, 0.5)),
        (machines((8, 1), (8, 1)), {"num_workers": 2}, 4, Share(1, 2, 8, 1.0)),
        (machines((16, 2)), {"gpus_per_worker": 0.6}, 4, Share(2, 1, 8, 0.6)),
        (machines((16, 1)), {"max_concurrent_runs": 1}, 4, Share(1, 1, 16, 1.0)),
        (machines((16, 1)), {"max_concurrent_runs": 2}, 4, Share(2, 1, 8, 0.5)),
        # with fewer workers than asked for, where that is allowed
        (machines((16, 2)), {"num_workers": 4, "min_workers": 1}, 1, Share(1, 2, 8, 1.0, 1)),
        (machines((16, 8)), {"num_workers": 4, "min_workers": 1}, 4, Share(2, 4, 2, 1.0, 1)),
        (machines((2, 0)), {"num_workers": 4, "min_workers": 2}, 3, Share(1, 2, 1, 0.0, 2)),
    ],
)
def test_cores_and_gpus_are_divided_among_the_runs(cluster, wanted, num_runs, expected):
    assert share_resources(cluster, ResourceConfig(**wanted), num_runs) == expected


@pytest.mark.parametrize(
    ("cluster", "wanted", "words"),
    [
        (machines((2, 0)), {"num_workers": 3}, r"3 worker\(s\).*has 2 CPUs"),
        (machines((2, 0)), {"cpus_per_worker": 4}, r"4 CPU\(s\).*has 2 CPUs"),
        (machines((2, 0)), {"gpus_per_worker": 1.0}, r"1 GPU\(s\).*has 2 CPUs and 0 GPUs"),
        (machines((16, 1)), {"num_workers": 2}, r"2 worker\(s\).*1 GPU\(s\).*and 1 GPUs"),
        (machines((0, 0)), {}, r"1 worker\(s\).*has 0 CPUs"),
        (machines((2, 0), (2, 0)), {"cpus_per_worker": 4}, r"4 CPU.*has 4 CPUs.*on 2 node\(s\)"),
        (machines((8, 1), (8, 1)), {"gpus_per_worker": 2.0}, r"2 GPU\(s\).*2 GPUs on 2 node"),
        (machines((2, 0)), {"num_workers": 4, "min_workers": 3}, r"at least 3 worker\(s\)"),
        (machines((8, 2)), {"num_workers": 2, "gpus_per_worker": 0.5}, "needs a GPU of its own"),
    ],
)
def test_asking_for_more_than_there_is_is_refused_with_both_numbers(cluster, wanted, words):
    with pytest.raises(ResourceError, match=words):
        share_resources(cluster, ResourceConfig(**wanted), 1)


@pytest.mark.parametrize("num_workers", [1, 2, 3])
@pytest.mark.parametrize("gpus", [0, 1, 2, 8])
def test_runs_never_take_more_than_the_cluster_has(num_workers, gpus):
    for cpus, num_runs in itertools.product([1, 2, 3, 7, 16, 64], [1, 2, 3, 4, 5, 20]):
        cluster, wanted = machines((cpus, gpus)), ResourceConfig(num_workers=num_workers)
        if num_workers > cpus or 0 < gpus < num_workers:
            with pytest.raises(ResourceError):
                share_resources(cluster, wanted, num_runs)
            continue
        share = share_resources(cluster, wanted, num_runs)
        assert share.num_workers == num_workers
        assert 1 <= share.concurrent <= num_runs
        assert share.cpus_per_worker >= 1
        workers = share.concurrent * share.num_workers
        assert workers * share.cpus_per_worker <= cpus
        assert workers * share.gpus_per_worker <= gpus + 1e-6
        assert (share.gpus_per_worker > 0) == (gpus > 0)
