"""What runs for a trial: its spectrograms, once for all trials that share them, and its training.

``point -> spectrogram table -> training run -> objective to Ray Tune``
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from raudeep.config import Limits, SpectrogramConfig, TuneConfig, fingerprint
from raudeep.errors import EvaluationError, RaudeepError
from raudeep.manifest import manifest_fingerprint
from raudeep.pipeline.artifacts import is_artifact, read_history
from raudeep.pipeline.ledger import SweepLayout
from raudeep.pipeline.objective import Objective
from raudeep.pipeline.runtime import unwrap
from raudeep.pipeline.spectrograms import extract_spectrograms
from raudeep.pipeline.stage import from_ipc, to_ipc
from raudeep.pipeline.training import Run, Share, check_trainable, fit_runs
from raudeep.storage.table import is_table
from raudeep.sweep.candidates import Candidate, candidate_of

__all__ = ["FAILED", "Shelf", "TrialPlan", "extract_tables", "make_shelf", "run_trial"]

FAILED = "failed"  # key of a result: why a trial came to nothing


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What all trials of a sweep have in common."""

    places: SweepLayout
    base: Candidate
    tune: TuneConfig
    objective: Objective
    share: Share
    shelf: Any
    """Handle of the actor that has the spectrogram tables."""


def run_trial(config: dict[str, Any], plan: TrialPlan) -> None:
    """Train the autoencoder of a point and report to Ray Tune; a trial's function."""
    import ray
    from ray import tune

    candidate = candidate_of(plan.base, config["point"])
    try:
        table = ray.get(plan.shelf.table.remote(candidate.spectrogram))
        run = Run(
            name=candidate.id,
            spectrograms=(table,),
            output=plan.places.model(candidate.id),
            model=candidate.model,
            training=candidate.training,
        )
        if not is_artifact(run.output):  # else it was made just before an interruption
            check_trainable(run)
            rungs = plan.tune.rungs(run.training.num_epochs)
            fit_runs(
                [run],
                {run.name: run.identity()},
                plan.places.checkpoints,
                plan.share,
                tell=_report,
                objective=dataclasses.replace(plan.objective, rungs=rungs),
            )
        result = read_history(run.output)[-1]
    except (RaudeepError, ray.exceptions.RayError) as error:
        # One that failed is a row of the ranking, and no reason to end the others.
        tune.report({FAILED: _line(unwrap(error))})
        return
    _report({**result, "last": False})


def _report(entry: dict[str, Any]) -> None:
    """Report an epoch, but the last one only when the artifact is there.

    Whatever Ray Tune decides then, the trial has finished.
    """
    from ray import tune

    figures = {name: entry.get(name) for name in ("loss", "validation_loss", "objective")}
    for name, value in figures.items():
        if value is not None and not math.isfinite(value):
            raise EvaluationError(
                f"the {name.replace('_', ' ')} after epoch {entry['epoch']} is {value}. Lower the "
                "learning rate or gradient_clip."
            )
    if not entry.get("last"):
        known = {name: value for name, value in figures.items() if value is not None}
        tune.report({"epoch": entry["epoch"], **known})


def _line(error: BaseException) -> str:
    """Return an error of ours as it is, and of any other the last line, which names it."""
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


class Shelf:
    """Has the spectrogram tables of a sweep, and makes each that is missing once; an actor."""

    def __init__(self, places: SweepLayout, recordings: bytes, limits: Limits) -> None:
        self._places, self._limits = places, limits
        self._recordings = recordings
        self._fingerprint = manifest_fingerprint(from_ipc(recordings))
        self._made: dict[str, Any] = {}

    async def table(self, config: SpectrogramConfig) -> str:
        """Return the URI of the table of a configuration, as soon as it is there."""
        import ray

        uri = _place(self._places, self._fingerprint, config)
        if uri not in self._made and not is_table(uri):
            # Without a core of its own: what it starts takes those that the trial is yet to use.
            task = ray.remote(num_cpus=0, max_retries=0)(_extract)
            self._made[uri] = task.remote(self._recordings, config, uri, self._limits)
        if uri in self._made:
            await self._made[uri]
        return uri


def make_shelf(places: SweepLayout, recordings: pa.Table, limits: Limits) -> Any:
    """Start the actor that has the tables, and return its handle."""
    import ray

    return ray.remote(num_cpus=0)(Shelf).remote(places, to_ipc(recordings), limits)


def extract_tables(
    places: SweepLayout,
    recordings: pa.Table,
    configs: list[SpectrogramConfig],
    limits: Limits,
) -> None:
    """Make the tables of several configurations in one pass over the audio."""
    views = {fingerprint(config): config for config in configs}
    known = manifest_fingerprint(recordings)
    outputs = {name: _place(places, known, config) for name, config in views.items()}
    extract_spectrograms(recordings, views, outputs, limits=limits)


def _place(places: SweepLayout, recordings: str, config: SpectrogramConfig) -> str:
    """Return where the spectrograms lie that trials of a configuration share.

    The name stands for the recordings too: no trial can come to see those of another division.
    """
    return places.spectrograms(fingerprint(recordings, config))


def _extract(recordings: bytes, config: SpectrogramConfig, uri: str, limits: Limits) -> None:
    extract_spectrograms(from_ipc(recordings), {"view": config}, {"view": uri}, limits=limits)
