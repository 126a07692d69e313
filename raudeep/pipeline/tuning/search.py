"""The two places where Ray Tune asks: which point next, and whether a trial goes on."""

import time
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from raudeep.config import TuneConfig
from raudeep.errors import ConfigError
from raudeep.pipeline.artifacts import is_artifact, read_history
from raudeep.pipeline.runtime.progress import StageProgress
from raudeep.pipeline.tuning.ledger import Ledger
from raudeep.pipeline.tuning.trials import FAILED, WAITING
from raudeep.sweep.candidates import Candidate, candidate_of
from raudeep.sweep.records import DONE, TrialRecord
from raudeep.sweep.samplers import Sampler

__all__ = ["Asha", "LedgerSearch"]

_MOST_TRIES = 200  # for a point that is new, where the sampler has no end of them
_MOST_TRIES_IN_A_GRID = 100_000


class Asha(ASHAScheduler):  # type: ignore[misc]  # Ray has no types
    """Asynchronous successive halving that knows what earlier runs of the sweep found."""

    def __init__(self, tune: TuneConfig, *, num_epochs: int) -> None:
        super().__init__(
            time_attr="epoch",
            metric="objective",
            mode="max" if tune.maximises else "min",
            max_t=num_epochs,
            grace_period=tune.grace_epochs,
            reduction_factor=tune.reduction_factor,
            # A trial that reaches its last epoch is about to write its artifact.
            stop_last_trials=False,
        )

    def replay(self, trial_id: str, history: list[dict[str, Any]]) -> None:
        """Take a trial's epochs as if they had just been reported."""
        # Ray restores a scheduler only together with its own state of all trials.
        (bracket,) = self._brackets
        for entry in history:
            worth = self._metric_op * entry["objective"]
            bracket.on_result(SimpleNamespace(trial_id=trial_id), entry["epoch"], worth)


class LedgerSearch(Searcher):  # type: ignore[misc]  # Ray has no types
    """Takes points from a sampler, and writes what becomes of them into the ledger.

    Trials of an earlier run that were interrupted or failed come first.
    """

    def __init__(
        self,
        ledger: Ledger,
        sampler: Sampler,
        base: Candidate,
        tune: TuneConfig,
        progress: StageProgress,
        asha: Asha | None,
    ) -> None:
        super().__init__(metric="objective", mode="max" if tune.maximises else "min")
        self._ledger, self._sampler, self._base, self._asha = ledger, sampler, base, asha
        self._progress = progress
        self._waiting = ledger.open()
        self._running: dict[str, tuple[TrialRecord, float]] = {}
        grid = tune.searcher == "grid"
        self._tries = _MOST_TRIES_IN_A_GRID if grid else _MOST_TRIES + len(ledger.records)
        self.refused = ""
        """Why the last point that made no configuration did not."""
        for record in ledger.done():
            sampler.tell(record.point, record.objective)
            if asha is not None:
                asha.replay(record.id, record.history)

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, or that there is none."""
        record = self._waiting.pop(0) if self._waiting else self._next()
        if record is None:
            return Searcher.FINISHED
        record.status, record.message = "running", ""
        self._running[trial_id] = record, time.monotonic()
        self._ledger.save(record)
        if self._asha is not None:
            self._asha.replay(trial_id, record.history)
        return {"point": record.point}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Write an epoch's objective down, and show what has none."""
        record, _ = self._running[trial_id]
        if self._take(record, result):
            self._ledger.save(record)
        elif WAITING in result:
            self._progress.advance(0, f"trial {record.number} is {result[WAITING]}")
        elif "loss" in result:
            note = f"epoch {result['epoch']}, loss {result['loss']:.4f}"
            self._progress.advance(0, f"trial {record.number} {record.status}, {note}")

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Write down how a trial ended."""
        record, started = self._running.pop(trial_id)
        self._take(record, result or {})
        record.seconds += time.monotonic() - started
        place = self._ledger.places.model(record.id)
        if error or FAILED in (result or {}):
            record.status = "failed"
            record.message = (result or {}).get(
                FAILED, "its process ended, more than once: --debug shows why"
            )
        elif is_artifact(place):
            record.status = "finished"
            for entry in read_history(place):
                self._take(record, entry)
        else:
            record.status = "stopped"
        self._ledger.save(record)
        self._sampler.tell(record.point, record.objective if record.status in DONE else None)
        self._progress.advance(1, self._note(record))

    def _next(self) -> TrialRecord | None:
        """Return a record of a point that no trial had."""
        for _ in range(self._tries):
            point = self._sampler.ask()
            if point is None:
                return None
            try:
                candidate = candidate_of(self._base, point)
            except ConfigError as error:
                self.refused = str(error)
                self._sampler.tell(point, None)
                continue
            known = self._ledger.records.get(candidate.id)
            if known is None:
                return self._ledger.add(candidate.id, point)
            self._sampler.tell(point, known.objective if known.status in DONE else None)
        return None

    def _take(self, record: TrialRecord, result: dict[str, Any]) -> bool:
        """Add a result to a record, and return whether it has an objective."""
        if result.get("objective") is None:
            return False
        record.add(result)
        self._progress.advance(0, self._note(record))
        return True

    def _note(self, record: TrialRecord) -> str:
        worth = "" if record.objective is None else f", objective {record.objective:.4f}"
        return f"trial {record.number} {record.status}, epoch {record.epochs}{worth}"
