"""Numbers as the report writes them."""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = [
    "SPREADS",
    "duration",
    "grouped",
    "objective_name",
    "percent",
    "thousands",
    "with_own_spreads",
]

SPREADS = {"folds": "num_splits", "repeats": "repeats"}
"""What scores are repeated over, and where a score says how often."""

_VARIABLE = re.compile(r"'[^']*'|\S*/\S*|[0-9.]+")  # quoted names, paths, numbers


def percent(share: float | None) -> str:
    """Return a share in percent with one decimal; a dash where there is none."""
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.1f}"


def duration(seconds: float | None) -> str:
    """Return seconds in the units that people read; nothing where there are none."""
    if seconds is None:
        return ""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def grouped(failures: Iterable[tuple[str, str]], *, most: int = 10) -> list[str]:
    """Return a line for each kind of failure, the most common first, with an example.

    Parameters
    ----------
    failures : iterable of (file, message)
        What failed, and why. Messages are of one kind if they differ in names and numbers only.
    most : int
        So many kinds, and a last line that counts the others.
    """
    kinds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for file, message in failures:
        kinds[_VARIABLE.sub("", message.replace(file, ""))].append((file, message))
    ordered = sorted(kinds.values(), key=len, reverse=True)
    lines = [
        f"{file}: {message}" if len(alike) == 1 else f"{len(alike)}, e.g. {file}: {message}"
        for alike in ordered[:most]
        for file, message in alike[:1]
    ]
    return [*lines, f"and {len(ordered) - most} other kinds"] if len(ordered) > most else lines


def thousands(value: Any) -> str:
    """Return an int with thin spaces between thousands, anything else as it is, None as nothing."""
    if value is None:
        return ""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else str(value)


def objective_name(results: Mapping[str, Any]) -> str:
    """Return what the trials of a sweep are ranked by."""
    return f"UAR ({results['readout']})" if results["objective"] == "uar" else "validation loss"


def with_own_spreads(score: Mapping[str, Any]) -> dict[str, Any]:
    """Return a score without its spreads over one split or fit, which mean nothing."""
    single = [over for over, count in SPREADS.items() if score.get(count) == 1]
    return {**score, **{f"{of}_std_{over}": None for of in ("accuracy", "uar") for over in single}}
