"""What a stage on Ray raises reaches the caller as it was, and leaves the cores free."""

import os
import signal
import time

import pytest
import ray

from raudeep.errors import AudioError, EvaluationError, ResourceError, error_for_user
from raudeep.pipeline.runtime.cluster import assigned_cores, ensure_ray
from raudeep.pipeline.runtime.streaming import Pool, stream

ITEMS = [{"part": part} for part in range(6)]


@pytest.fixture(scope="module", autouse=True)
def running_ray():
    ensure_ray()


@pytest.fixture
def stages():
    """Return stages by name; local, so that they travel by value to workers without this file."""

    def fails(item):
        if item["part"] == 1:
            raise AudioError("the second is broken.")
        return item

    class Doubler:
        def __init__(self, usable, fails=False):
            if not usable:
                raise EvaluationError("no classes here.")
            self._fails = fails

        def __call__(self, item):
            if self._fails:
                return fails(item)
            return {**item, "twice": 2 * item["part"]}

    def takes_too_much(item):
        return {**item, "much": bytearray(10**18)}

    return {
        "fails": fails,
        "takes too much": takes_too_much,
        "works": Pool(Doubler, {"usable": True}),
        "fails at an item": Pool(Doubler, {"usable": True, "fails": True}),
        "never starts": Pool(Doubler, {"usable": False}),
    }


def run(stage):
    return list(stream(ITEMS, stage, estimated_seconds=1000))


def test_items_go_through_functions_and_pools(stages):
    rows = run(lambda item: {"next": item["part"] + 1})
    assert sorted(row["next"] for row in rows) == [1, 2, 3, 4, 5, 6]
    rows = run(stages["works"])
    assert sorted(row["twice"] for row in rows) == [0, 2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("fails", AudioError, "the second is broken."),
        ("fails at an item", AudioError, "the second is broken."),
        ("never starts", EvaluationError, "no classes here."),
        ("takes too much", ResourceError, str(error_for_user(MemoryError()))),
    ],
)
def test_an_error_of_ours_arrives_as_it_was_and_frees_the_cores(stages, name, error, text):
    with pytest.raises(error) as caught:
        run(stages[name])
    assert (type(caught.value), str(caught.value)) == (error, text)
    deadline = time.monotonic() + 60
    while ray.available_resources().get("CPU") != ray.cluster_resources()["CPU"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_fewer_items_than_cores_have_several_cores_each():
    class Counter:
        def __call__(self, item):
            return {**item, "cores": assigned_cores()}

    (node,) = ensure_ray().nodes
    (alone,) = stream(ITEMS[:1], Pool(Counter, {}), estimated_seconds=1000)
    assert alone["cores"] == node.cpus > 1
    many = stream(ITEMS, Pool(Counter, {}), estimated_seconds=1000)
    assert {row["cores"] for row in many} == {1}


def test_what_raylets_say_of_dead_workers_is_not_on_stdout(capfd):
    @ray.remote(max_retries=0)
    def dies():
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(dies.remote())
    time.sleep(3)  # messages come later, by a thread of Ray's
    assert capfd.readouterr().out == ""


def test_what_a_killed_worker_had_in_hand_is_done_again(tmp_path):
    class Mortal:
        def __call__(self, item):
            marker = tmp_path / f"tried {item['part']}"
            if item["part"] in (0, 3) and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return item

    rows = run(Pool(Mortal, {}))
    assert sorted(row["part"] for row in rows) == list(range(6))
    assert len(list(tmp_path.iterdir())) == 2
