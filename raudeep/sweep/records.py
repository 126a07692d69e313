"""What became of each trial of a sweep, and their ranking."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from raudeep.sweep.space import Point

__all__ = ["DONE", "TrialRecord", "rank_trials"]

Status = Literal["running", "finished", "stopped", "failed"]
DONE: tuple[Status, ...] = ("finished", "stopped")
"""What is not run again."""


@dataclass(kw_only=True)
class TrialRecord:
    """A trial: a configuration and how it did."""

    id: str
    """The fingerprint of what is trained."""
    number: int
    """From 1, in the order of the first starts."""
    point: Point
    status: Status = "running"
    """Or finished; stopped early; failed, which `message` explains."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The epochs at which the objective was measured, with its value and its name.

    That is the epoch, with its losses, whose weights the artifact would have: with early stopping,
    the best one so far.
    """
    seconds: float = 0.0
    message: str = ""

    @property
    def objective(self) -> float | None:
        """The last one."""
        return None if not self.history else float(self.history[-1]["objective"])

    @property
    def epochs(self) -> int:
        """The epoch after which the objective was taken."""
        return int(self.history[-1]["epoch"]) if self.history else 0

    def add(self, entry: dict[str, Any]) -> None:
        """Take an epoch; one that was trained again after an interruption counts once."""
        earlier = [each for each in self.history if each["epoch"] < entry["epoch"]]
        kept = entry.get("kept") or entry
        figures = {"epoch": entry["epoch"], "objective": entry["objective"]}
        losses = {name: kept.get(name) for name in ("loss", "validation_loss")}
        self.history = [*earlier, figures | {"kept_epoch": kept["epoch"]} | losses]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain values, for JSON."""
        return asdict(self)


def rank_trials(records: Iterable[TrialRecord], *, maximises: bool) -> list[dict[str, Any]]:
    """Return a row for each finished or stopped trial, the best first.

    Finished trials come first: of a trial that was stopped nobody knows how good it would have
    become. Stopped ones follow, those that came furthest first, then what failed. The searched
    fields are columns; None in a trial that has no value for one.
    """
    ended = [record for record in records if record.status != "running"]
    fields = list(dict.fromkeys(name for record in ended for name in record.point))
    sign = -1 if maximises else 1

    def key(record: TrialRecord) -> tuple[float, ...]:
        order = ("finished", "stopped", "failed").index(record.status)
        furthest = -record.epochs if record.status == "stopped" else 0
        worth = float("inf") if record.objective is None else sign * record.objective
        return order, furthest, worth, record.number

    return [
        {
            "rank": rank,
            "trial": record.id,
            "number": record.number,
            "status": record.status,
            "objective": record.objective,
            "epochs": record.epochs,
            **_kept(record),
            "seconds": record.seconds,
            **{name: record.point.get(name) for name in fields},
        }
        for rank, record in enumerate(sorted(ended, key=key), start=1)
    ]


def _kept(record: TrialRecord) -> dict[str, Any]:
    """Return the epoch that a trial keeps, and its losses."""
    last = record.history[-1] if record.history else {}
    return {name: last.get(name) for name in ("kept_epoch", "loss", "validation_loss")}
