"""Results as text on stdout: tables for people, JSON for machines."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from raudeep.credentials import public_text, public_values
from raudeep.foreign import visible
from raudeep.recipe import FUSED
from raudeep.report.text import duration, grouped, objective_name, percent, with_own_spreads

__all__ = [
    "print_benchmark",
    "print_facts",
    "print_faults",
    "print_json",
    "print_matches",
    "print_rules",
    "print_score",
    "print_summaries",
    "print_sweep",
]

_WIDTH = 200
_MOST_TRIALS = 20


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    print(json.dumps(public_values(value), indent=1, default=str))


def print_benchmark(results: Mapping[str, Any], *, report: str) -> None:
    """Print the scores, the time of each stage and where things are."""
    console = _console()
    console.print(
        _score_table(results["scores"], title=f"{escape(results['recipe'])}: accuracy and UAR, %")
    )
    stages = _table("stage", "time", "rows", "parts", "there before", "errors")
    for row in results["stages"]:
        cells = (row["rows"], row["parts"], row["reused"], row["errors"])
        stages.add_row(row["stage"], duration(row["seconds"]), *map(str, cells))
    console.print(stages)
    console.print(f"{duration(results['seconds'])} in all. Output: {_place(results['output'])}")
    console.print(f"Report: {_place(report)}", soft_wrap=True)


def print_score(score: Mapping[str, Any]) -> None:
    """Print a score and its confusion matrix."""
    console = _console()
    console.print(_score_table([score], title=None))
    labels = score["labels"]
    if len(labels) <= 15:
        matrix = _table("true / predicted", *map(str, range(len(labels))))
        for index, (label, row) in enumerate(zip(labels, score["confusion"], strict=True)):
            matrix.add_row(f"{index} {escape(label)}", *map(str, row))
        console.print(matrix)


def print_summaries(summaries: Sequence[Mapping[str, Any]]) -> None:
    """Print what stages did."""
    table = _table("stage", "rows", "errors", "parts", "there before", "time", "output")
    for row in summaries:
        cells = (row["rows"], row["errors"], row["parts"], row["reused"])
        table.add_row(
            row["stage"], *map(str, cells), duration(row["seconds"]), _place(row["table"])
        )
    _console().print(table)


def print_rules(results: Sequence[Mapping[str, Any]], *, detailed: bool) -> None:
    """Print which rules hold, with the first violation of the others; `detailed`: all.

    A rule that need not hold is a note where something breaks it.
    """
    table = _table("", "rule", "violations")
    for result in results:
        count = len(result["violations"])
        word = "FAIL" if not result["passed"] else "NOTE" if count else "PASS"
        table.add_row(word, escape(result["rule"]), str(count))
        for violation in result["violations"] if detailed else result["violations"][:1]:
            table.add_row("", escape(f"  {violation}"), "")
    _console().print(table)


def print_faults(faults: Sequence[Mapping[str, Any]]) -> None:
    """Print which files of a table break which rule, and how."""
    table = _table("rule", "", "")
    for fault in faults:
        cells = (fault["rule"], fault["name"], fault["message"])
        table.add_row(*(escape(cell) for cell in cells))
    _console().print(table)


def print_matches(matches: Sequence[Mapping[str, Any]]) -> None:
    """Print the recordings that were found, nearest first."""
    # A query of one chunk needs no column for its chunks.
    several = any(match["query_chunk"] for match in matches)
    table = _table("recording", "label", "start", "end", *["query chunk"] * several, "score")
    for match in matches:
        chunk = [str(match["query_chunk"])] * several
        span = ("" if match[name] is None else f"{match[name]:.2f} s" for name in ("start", "end"))
        label, score = escape(match["label"] or ""), f"{match['score']:.4f}"
        table.add_row(escape(match["file"]), label, *span, *chunk, score)
    _console().print(table)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print nested facts as a table of names and values; recordings that failed by reason.

    And so the rows that hold no sound.
    """
    table = _table("", "", show_header=False)
    facts = public_values(facts)
    failed = [*facts.get("unreadable", {}).items()]
    failed += [(row["file"], row["message"]) for row in facts.get("errors", ())]
    silent = [_silence(row) for row in facts.get("silent", ())]
    listed = {
        "unusable": "\n".join(grouped(failed)),
        "silent": "\n".join(grouped(silent)),
        "commands": "\n".join(facts.get("commands", ())),
    }
    shown = {name: value for name, value in facts.items() if name not in ("unreadable", "errors")}
    for name, value in _lines({**shown, **listed}):
        if value not in (None, {}, [], (), ""):
            table.add_row(escape(name), escape(_text(value)))
    _console().print(table)


def _silence(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return what a row is of that holds no sound, and which channel has one."""
    place = f"{row['file']} at {row['start']:g} s" if row["start"] else row["file"]
    if row["sound"] == "none":
        return place, "no channel has a sound"
    return place, f"the {row['sound']} channel has a sound (--channels {row['sound']})"


def print_sweep(results: Mapping[str, Any], pictures: Sequence[str]) -> None:
    """Print the ranking, what was reserved, and where things are."""
    console = _console()
    started_from = escape(f"{results['recipe']}/{results['autoencoder']}")
    title = f"{started_from}: trials by {objective_name(results)}"
    names = [name.partition(".")[2] for name in results["fields"]]
    table = _table("", "trial", "status", results["objective"], "epochs", *names, title=title)
    ranking = results["ranking"]
    for row in ranking[:_MOST_TRIALS]:
        worth = "" if row["objective"] is None else f"{row['objective']:.4f}"
        values = [row.get(name) for name in results["fields"]]
        table.add_row(
            str(row["rank"]),
            str(row["number"]),
            row["status"],
            worth,
            str(row["epochs"]),
            *(escape(_searched(value)) for value in values),
        )
    console.print(table)
    if len(ranking) > _MOST_TRIALS:
        console.print(f"… and {len(ranking) - _MOST_TRIALS} more.")
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
    console.print(f"{duration(results['seconds'])}. Output: {_place(results['output'])}")
    console.print(f"Best recipe: {_place(results['best']['recipe'])}", soft_wrap=True)
    for picture in pictures:
        console.print(f"Picture: {_place(picture)}", soft_wrap=True)


def _place(uri: str) -> str:
    return escape(public_text(uri))


def _searched(value: Any) -> str:
    """Return the value of a searched field, a dash where a trial has none."""
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _score_table(scores: Sequence[Mapping[str, Any]], title: str | None) -> Table:
    named = "embedding" in scores[0]
    names = ("readout", "embedding") if named else ()
    sized = any(row["size"] is not None for row in scores)
    columns = (*names, *["values"] * sized, "accuracy", "± folds", "± repeats", "UAR")
    table = _table(*columns, title=title)
    for row in map(with_own_spreads, scores):
        figures = ("accuracy", "accuracy_std_folds", "accuracy_std_repeats", "uar")
        table.add_row(
            *(escape(row[name]) for name in names),
            *["" if row["size"] is None else str(row["size"])] * sized,
            *(percent(row[figure]) for figure in figures),
            style="bold" if named and row["embedding"] == FUSED else "",
        )
    return table


def _table(*columns: str, title: str | None = None, show_header: bool = True) -> Table:
    table = Table(title=title, title_justify="left", box=None, show_header=show_header)
    for index, column in enumerate(columns):
        justify: JustifyMethod = "left" if index < 1 or not column else "right"
        table.add_column(column, justify=justify, overflow="fold")
    return table


def _lines(facts: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and values; what is nested deeper than once, has lines of its own."""
    for name, value in facts.items():
        name = f"{within} {name}" if within else name.replace("_", " ")
        if isinstance(value, Mapping) and any(isinstance(each, Mapping) for each in value.values()):
            yield from _lines(value, name)
        else:
            yield name, value


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        # Several facts each are lines of their own.
        between = "\n" if value and isinstance(value[0], Mapping) else ", "
        return between.join(_text(inner) for inner in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


class _Console(Console):
    def render_str(self, text: str, **options: Any) -> Text:
        """Return text, of a cell or a line, that cannot steer the terminal."""
        return super().render_str(visible(text), **options)

    def on_broken_pipe(self) -> None:
        """Say it as `print` does, instead of leaving with a code that means a failure."""
        raise BrokenPipeError


def _console() -> Console:
    # A file or a pipe has no width that a path should be folded to.
    told = sys.stdout.isatty() or "COLUMNS" in os.environ
    return _Console(highlight=False, width=None if told else _WIDTH)
