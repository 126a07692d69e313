"""What work on a table costs, and whether this machine or cluster has it: before it begins."""

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from raudeep.errors import ResourceError
from raudeep.pipeline.runtime.cluster import ensure_ray
from raudeep.pipeline.runtime.machine import machine_memory
from raudeep.storage import uri as uris

__all__ = ["Cost", "check_disk", "check_memory", "usable_memory"]

_USABLE = 0.8  # of the memory of a machine; the rest is the system's and Python's


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a piece of work on a table will take, estimated from the sizes of the table."""

    rows: int
    """Rows that are worked on."""
    memory_bytes: int
    """Most memory of one process."""
    estimated_seconds: float
    """Time on one core."""
    output_bytes: int = 0
    """Size of what is written."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for `--dry-run`."""
        return asdict(self) | {"estimated_seconds": round(self.estimated_seconds, 1)}


def usable_memory() -> int:
    """Return how many bytes a process may take: of this machine, its container, or the cluster.

    In a cluster it is the machine with the most memory.
    """
    if os.environ.get("RAY_ADDRESS"):
        return int(max(node.memory for node in ensure_ray().nodes))
    return int(_USABLE * machine_memory())


def check_memory(needed: int, what: str, *, way_out: str) -> None:
    """Raise `ResourceError` if work needs more memory than a process may take.

    Parameters
    ----------
    needed : int
        Bytes.
    what : str
        Begins the message: what needs them.
    way_out : str
        Ends it: what needs less.
    """
    usable = usable_memory()
    if needed > usable:
        raise ResourceError(
            f"{what} needs about {needed / 2**30:.1f} GB of memory; {usable / 2**30:.1f} GB can be "
            f"used. {way_out}"
        )


def check_disk(size: int, output: str) -> int:
    """Return the size in bytes of an output that its disk has room for.

    Raises
    ------
    ResourceError
        If less is free there. Of a store nobody knows.
    """
    if not uris.is_local(output):
        return size
    place = Path(uris.absolute(output))
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if size > free and os.access(place, os.R_OK):
        raise ResourceError(
            f"the output needs about {size / 2**30:.1f} GB; {place} has {free / 2**30:.1f} GB "
            "free. Choose another output."
        )
    return size
