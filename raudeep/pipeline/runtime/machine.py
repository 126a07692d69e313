"""What the machine of this process has."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["machine_memory"]

_CONTAINER_LIMITS = (  # of versions 2 and 1 of Linux's control groups
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the container that this process is in."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # there is no such file, or it says "max"
            limits.append(int(Path(path).read_text()))
    return min(limits)
