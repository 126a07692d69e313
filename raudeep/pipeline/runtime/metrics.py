"""What a run tells Ray's metrics, which Ray exports to Prometheus with the prefix ``ray_``.

Nothing is loaded, kept or sent where Ray does not run. ``cluster/grafana.json`` draws these.
"""

import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

__all__ = ["COUNTERS", "GAUGES", "add", "show"]

# Ray exports a counter under its name and ``_total``.
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "raudeep_recordings": ("Recordings that a stage has read, good and bad.", ("stage",)),
    "raudeep_audio_seconds": ("Seconds of audio that a stage has read.", ("stage",)),
    "raudeep_errors": ("Recordings that could not be used.", ("stage",)),
}
"""Description and tags of each counter, by name."""
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "raudeep_loss": ("Loss of the last epoch of a training run.", ("run", "split")),
    "raudeep_epoch": ("Last finished epoch of a training run.", ("run",)),
    "raudeep_chunks_per_second": ("Chunks a training run learnt from per second.", ("run",)),
}
"""Description and tags of each gauge, by name."""


def add(name: str, amount: float, **tags: str) -> None:
    """Count `amount` more in the counter `name`."""
    if amount > 0 and _is_shown():
        _metric(name).inc(amount, tags)


def show(name: str, value: float, **tags: str) -> None:
    """Set the gauge `name`."""
    if _is_shown():
        _metric(name).set(value, tags)


def _is_shown() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()


@cache
def _metric(name: str) -> Any:
    from ray.util.metrics import Counter, Gauge

    kind, known = (Counter, COUNTERS) if name in COUNTERS else (Gauge, GAUGES)
    description, tags = known[name]
    return kind(name, description, tags)
