"""What a sweep came to, for people: pictures beside the results, and the ranking on stdout."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from raudeep.errors import TableError
from raudeep.pipeline.ledger import SweepLayout
from raudeep.report import sweep_plots
from raudeep.report.console import _console, _table
from raudeep.report.text import duration
from raudeep.storage import uri as uris

__all__ = ["print_sweep", "write_sweep_pictures"]

_SHOWN = 20


def write_sweep_pictures(output: str) -> list[str]:
    """Write ``history.svg``, ``parallel.svg`` and ``importance.svg``, and return their URIs.

    Raises
    ------
    TableError
        If there are no results of a sweep at `output`.
    """
    places = SweepLayout(output)
    try:
        results = json.loads(uris.read_bytes(places.results))
        rows, fields = results["ranking"], results["fields"]
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"no results of a sweep at {places.results}. Run `raudeep tune`."
        ) from error
    maximises = results["objective"] == "uar"
    name = _objective(results)
    pictures = {
        "history.svg": sweep_plots.trial_history(rows, objective=name, maximises=maximises),
        "parallel.svg": sweep_plots.parallel_coordinates(
            rows, fields, objective=name, maximises=maximises
        ),
        "importance.svg": sweep_plots.importance(results["importance"]),
    }
    for file, picture in pictures.items():
        uris.write_bytes(places.below(file), picture.encode())
    return [places.below(file) for file in pictures]


def print_sweep(results: Mapping[str, Any], pictures: Sequence[str]) -> None:
    """Print the ranking, what was reserved, and where things are."""
    console = _console()
    title = f"{results['recipe']}/{results['autoencoder']}: trials by {_objective(results)}"
    names = [name.partition(".")[2] for name in results["fields"]]
    table = _table("", "trial", "status", results["objective"], "epochs", *names, title=title)
    ranking = results["ranking"]
    for row in ranking[:_SHOWN]:
        worth = "" if row["objective"] is None else f"{row['objective']:.4f}"
        values = [row.get(name) for name in results["fields"]]
        table.add_row(
            str(row["rank"]),
            str(row["number"]),
            row["status"],
            worth,
            str(row["epochs"]),
            *(escape(_text(value)) for value in values),
        )
    console.print(table)
    if len(ranking) > _SHOWN:
        console.print(f"… and {len(ranking) - _SHOWN} more.")
    for trial, message in results["messages"].items():
        number = next((row["number"] for row in ranking if row["trial"] == trial), "?")
        console.print(f"Trial {number} failed: {escape(message)}")
    reserved = results["reserved"]
    kind = "folds" if reserved["folds"] else "partitions"
    if reserved[kind]:
        which = ", ".join(map(str, reserved[kind]))
        console.print(
            f"Reserved for the final evaluation: {kind} {escape(which)}, "
            f"{reserved['recordings']} recordings."
        )
    console.print(f"{duration(results['seconds'])}. Output: {escape(results['output'])}")
    console.print(f"Best recipe: {escape(results['best']['recipe'])}", soft_wrap=True)
    for picture in pictures:
        console.print(f"Picture: {escape(picture)}", soft_wrap=True)


def _objective(results: Mapping[str, Any]) -> str:
    return f"UAR ({results['readout']})" if results["objective"] == "uar" else "validation loss"


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
