"""What is said of a process of Ray that is gone."""

import pytest
from ray import exceptions
from ray.core.generated.common_pb2 import ActorDiedErrorContext

from raudeep.errors import ResourceError
from raudeep.pipeline.runtime import streaming
from raudeep.pipeline.runtime.streaming import unwrap

DIED = (
    "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker "
    "exit detail: {} There are some potential root causes. (1) The process is killed by SIGKILL by "
    "OOM killer due to high memory usage. (2) ray stop --force is called."
)
END = "Worker unexpectedly exits with a connection error code 2. End of file."


def actor(detail):
    context = ActorDiedErrorContext(error_message=DIED.format(detail), actor_id=bytes(16))
    return exceptions.ActorDiedError(context)


def refused_to_start():
    trace = "ray::Controller.__init__()\n  File a.py, line 1\nValueError: the record is empty."
    return exceptions.ActorDiedError(exceptions.RayTaskError("f", trace, ValueError("x")))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (refused_to_start(), "ValueError: the record is empty. The same"),
        (actor(END), f"{END} The same"),
        (exceptions.WorkerCrashedError(), "The worker died unexpectedly"),
        (exceptions.NodeDiedError("Task failed because the node it was on died"), "the node it"),
    ],
)
def test_memory_is_not_named_where_nothing_says_so(error, reason):
    found = unwrap(error)
    assert isinstance(found, ResourceError)
    assert reason in str(found)
    assert "memory" not in str(found).lower()
    assert "\n" not in str(found)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."),
        actor("Task was killed due to the node running low on memory."),
    ],
)
def test_memory_is_named_where_ray_says_so(error):
    assert "because the memory of its machine ran out" in str(unwrap(error))


def test_memory_is_named_where_the_kernel_has_killed_for_it(monkeypatch):
    monkeypatch.setattr(streaming, "_MEMORY_KILLS_BEFORE", -1)
    assert "because the memory of its machine ran out" in str(unwrap(actor(END)))
