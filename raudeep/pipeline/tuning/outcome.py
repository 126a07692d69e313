"""What comes of a sweep: the ranking as a table, and the best trial as a recipe."""

import io
from typing import Any

import pandas as pd

from raudeep.config import TuneConfig
from raudeep.errors import EvaluationError
from raudeep.pipeline.tuning.ledger import SWEEP, Ledger, SweepLayout
from raudeep.pipeline.tuning.reserving import Division
from raudeep.recipe import Recipe
from raudeep.storage import uri as uris
from raudeep.storage.outputs import check_folder
from raudeep.sweep.candidates import Candidate, recipe_of
from raudeep.sweep.importance import field_importance
from raudeep.sweep.recipe_file import recipe_toml
from raudeep.sweep.records import rank_trials
from raudeep.sweep.space import SearchSpace

__all__ = ["reserved_of", "write_outcome"]


def write_outcome(
    recipe: Recipe,
    base: Candidate,
    space: SearchSpace,
    tune: TuneConfig,
    division: Division,
    ledger: Ledger,
) -> dict[str, Any]:
    """Write ranking and best recipe, and return what is known now.

    Raises
    ------
    EvaluationError
        If no trial finished.
    TableError
        If files of others have come under the names of the sweep's.
    """
    places = ledger.places
    check_folder(places.output, SWEEP)
    ranking = rank_trials(ledger.records.values(), maximises=tune.maximises)
    if not ranking or ranking[0]["status"] != "finished":
        failed = next((each for each in ledger.records.values() if each.message), None)
        reason = f" Trial {failed.number}: {failed.message}" if failed else ""
        raise EvaluationError(f"none of {len(ranking)} trials finished.{reason}")
    names = [parameter.name for parameter in space.parameters]
    buffer = io.StringIO()
    pd.DataFrame(ranking).to_csv(buffer, index=False)
    uris.write_bytes(places.ranking, buffer.getvalue().encode())
    best, reserved = ranking[0], reserved_of(division)
    winner = recipe_of(
        recipe,
        base,
        ledger.records[best["trial"]].point,
        reserved_folds=division.reserved_folds,
    )
    comment = _comment(recipe, base, tune, best, reserved, places)
    uris.write_bytes(places.best, recipe_toml(winner, comment=comment).encode())
    return {
        "objective": tune.objective,
        "readout": tune.readout if tune.objective == "uar" else None,
        "searcher": tune.searcher,
        "fields": names,
        "reserved": reserved,
        "scored_folds": list(division.scored_folds),
        "ranking": ranking,
        "messages": {r.id: r.message for r in ledger.records.values() if r.message},
        "importance": field_importance(ranking, names),
        "best": {"trial": best["trial"], "objective": best["objective"], "recipe": places.best},
    }


def reserved_of(division: Division) -> dict[str, Any]:
    """Return what a sweep does not see, as plain values."""
    return {
        "folds": list(division.reserved_folds),
        "partitions": list(division.reserved_partitions),
        "recordings": division.num_reserved,
    }


def _comment(
    recipe: Recipe,
    base: Candidate,
    tune: TuneConfig,
    best: dict[str, Any],
    reserved: dict[str, Any],
    places: SweepLayout,
) -> str:
    """Return what the best recipe says of itself."""
    lines = [
        f"The best trial ({best['trial']}) of a sweep over {recipe.name}, autoencoder {base.name}:",
        f"{tune.objective} {best['objective']:.4f} after {best['kept_epoch']} epochs.",
    ]
    if tune.objective == "loss":
        lines.append("The lowest reconstruction loss is not the best representation: score it.")
    if reserved["recordings"]:
        kind = "folds" if reserved["folds"] else "partitions"
        names = ", ".join(map(str, reserved[kind]))
        lines += [
            f"Reserved {kind}: {names}{', counted from 0' * (kind == 'folds')}.",
            f"No trial was trained or scored on their {reserved['recordings']} recordings; "
            "this recipe is scored on them alone.",
        ]
    lines.append(f"raudeep benchmark best.toml --corpus {places.manifest} --output OUTPUT")
    return "\n".join(lines)
