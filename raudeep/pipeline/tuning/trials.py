"""A trial of a sweep: its training run, epoch by epoch, as Ray Tune asks for it.

``point -> spectrogram table -> training run -> objective``
"""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.tune import Trainable

from raudeep.config import Tracker, TuneConfig
from raudeep.errors import error_for_user
from raudeep.pipeline.artifacts import AUTOENCODER, is_artifact, read_history
from raudeep.pipeline.runtime.streaming import unwrap
from raudeep.pipeline.training.checks import check_trainable
from raudeep.pipeline.training.objective import Objective
from raudeep.pipeline.training.placement import Share
from raudeep.pipeline.training.runs import Run, fit_runs
from raudeep.pipeline.tuning.ledger import SweepLayout
from raudeep.storage.outputs import check_folder
from raudeep.sweep.candidates import Candidate, candidate_of

__all__ = ["FAILED", "WAITING", "Trial", "TrialPlan"]

# Keys of a result:
FAILED = "failed"  # why a trial came to nothing
WAITING = "waiting"  # what it waits for


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What all trials of a sweep have in common."""

    places: SweepLayout
    base: Candidate
    tune: TuneConfig
    objective: Objective
    share: Share
    tracker: Tracker | None
    shelf: Any
    """Handle of the actor that has the spectrogram tables."""


class Trial(Trainable):  # type: ignore[misc]  # Ray has no types
    """Trains the autoencoder of a point; a step is an epoch, or a line of what it waits for."""

    def setup(self, config: dict[str, Any], plan: TrialPlan) -> None:
        """Take the point."""
        self._results = _results(plan, candidate_of(plan.base, config["point"]))

    def step(self) -> dict[str, Any]:
        """Return what is next to be told."""
        return next(self._results)

    def cleanup(self) -> None:
        """End the training; what it held is free when this returns."""
        self._results.close()


def _results(plan: TrialPlan, candidate: Candidate) -> Generator[dict[str, Any], None, None]:
    """Yield what is reported of a trial; the last result has the key ``done``."""
    try:
        yield from _train(plan, candidate)
    # One that failed is a row of the ranking, and no reason to end the others.
    except ray.exceptions.RayError as error:
        yield {FAILED: _line(unwrap(error)), "done": True}
    except Exception as error:
        ours = error_for_user(error)
        if ours is None:
            raise
        yield {FAILED: _line(ours), "done": True}


def _train(plan: TrialPlan, candidate: Candidate) -> Generator[dict[str, Any], None, None]:
    table = ray.get(plan.shelf.table.remote(candidate.spectrogram))
    run = Run(
        name=candidate.id,
        spectrograms=(table,),
        output=plan.places.model(candidate.id),
        model=candidate.model,
        training=candidate.training,
    )
    if not is_artifact(run.output):  # else it was made just before an interruption
        check_folder(run.output, AUTOENCODER)
        check_trainable(run)
        identities = {run.name: run.identity()}
        objective = replace(plan.objective, rungs=plan.tune.rungs(run.training.num_epochs))
        entries = fit_runs(
            [run],
            identities,
            plan.places.checkpoints,
            plan.share,
            tracker=plan.tracker,
            objective=objective,
        )
        with closing(entries):
            for entry in entries:
                if WAITING in entry:
                    yield {WAITING: entry[WAITING]}
                # The last one is reported when the artifact is there: then nothing can stop it.
                elif not entry.get("last", False):
                    yield _result(entry)
    yield {**_result(read_history(run.output)[-1]), "done": True}


def _result(entry: dict[str, Any]) -> dict[str, Any]:
    """Return what is reported of an epoch."""
    figures = {name: entry.get(name) for name in ("loss", "validation_loss", "objective", "kept")}
    known = {name: value for name, value in figures.items() if value is not None}
    return {"epoch": entry["epoch"], **known}


def _line(error: BaseException) -> str:
    """Return an error of ours as it is, and of any other the last line, which names it."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
