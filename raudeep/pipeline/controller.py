"""The controller of Ray Train, a process beside the workers of each training: how it ends."""

import atexit
import os
from collections.abc import Callable
from typing import Any

from ray.train import UserCallback

__all__ = ["EndsAtOnce"]


class EndsAtOnce(UserCallback):  # type: ignore[misc]  # Ray has no types
    """Ends the process that it is sent to where Python ends.

    What Ray 2.60 takes apart after that does not always end: the core of one controller in ten
    hands a last message to an event loop that is gone, waits for ever, and holds 0.8 GB. The
    workers of a training get it as well, and need it as little as the controller what would follow.
    """

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return _arrive, ()


def _arrive() -> EndsAtOnce:
    atexit.register(os._exit, 0)
    return EndsAtOnce()
