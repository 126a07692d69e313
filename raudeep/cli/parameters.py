"""Parameters that several commands share, and what they print."""

import dataclasses
import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter
from docstring_parser import parse_from_object

from raudeep.errors import RaudeepError

if TYPE_CHECKING:
    from raudeep.pipeline.stage import StageSummary

__all__ = [
    "Corpus",
    "CorpusLayout",
    "DryRun",
    "Flat",
    "Json",
    "Output",
    "Overwrite",
    "OverwriteFile",
    "RecipeLayout",
    "TableUri",
    "given",
    "is_quiet",
    "named",
    "overrides_of",
    "print_summary_rows",
]

Flat = Parameter(name="*")
Corpus = Annotated[
    str, Parameter(help="Folder of audio, or a manifest (CSV, TSV, Parquet); local or URI.")
]
CorpusLayout = Annotated[
    str | None, Parameter(help="Name of the layout of a folder; detected if not given.")
]
RecipeLayout = Annotated[
    str | None,
    Parameter(
        help="Name of the layout of a folder; the recipe's if not given, detected if it has none."
    ),
]
Output = Annotated[str, Parameter(help="Where the output goes, a local path or a URI.")]
Overwrite = Annotated[
    bool,
    Parameter(
        negative="",
        help="Replace an output made with another configuration, or of recordings that changed.",
    ),
]
OverwriteFile = Annotated[bool, Parameter(negative="", help="Replace a file that is there.")]
TableUri = Annotated[str, Parameter(help="A table of raudeep.")]
DryRun = Annotated[bool, Parameter(negative="", help="Print what would be done, and do nothing.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]


def is_quiet() -> bool:
    """Return whether --quiet was given."""
    return logging.getLogger("raudeep").getEffectiveLevel() >= logging.ERROR


def given(overrides: Any) -> dict[str, Any]:
    """Return the values of `overrides_of` that were given, None among them; none without."""
    return {} if overrides is None else dict(overrides.given)


def overrides_of(
    config: type[Any],
    *,
    of: str | None = None,
    without: Collection[str] = (),
) -> Any:
    """Return `config` with every field optional: only given flags count, see `given`.

    The help says what holds without a flag: what a file `of` that name says, or the default of the
    field. Fields `without` are no flags. None cannot stand for "not given": it is a value
    (`--training.checkpoints-to-keep None`). What the class is made with are the flags that were
    given.
    """
    described = {p.arg_name: p.description for p in parse_from_object(config).params}
    fields = []
    for field in dataclasses.fields(config):
        if field.name not in without:
            known = [] if of is None else [f"the {of}'s"]
            if field.default != ():
                known.append(str(field.default))
            parameter = Parameter(
                help=described.get(field.name), show_default=", or ".join(known) or False
            )
            hint: Any = field.type
            fields.append((field.name, Annotated[hint | None, parameter], None))
    partial: Any = dataclasses.make_dataclass(f"{config.__name__}Overrides", fields, kw_only=True)
    partial.__module__ = __name__  # cyclopts opens up no class of the standard library's `types`
    fill = partial.__init__

    @functools.wraps(fill)
    def remember(self: Any, **flags: Any) -> None:
        fill(self, **flags)
        self.given = flags

    partial.__init__ = remember
    return partial | None


def named(uris: Sequence[str]) -> dict[str, str]:
    """Return absolute URIs by their last name, or by as many names as tell them apart."""
    from raudeep.storage.uri import absolute

    places = [absolute(uri) for uri in uris]
    if len(set(places)) < len(places):
        raise RaudeepError(f"each path is given once. Got {', '.join(places)}.")
    parts = [place.split("/") for place in places]
    names: list[str] = []
    for count in range(1, 1 + max(map(len, parts), default=0)):
        names = ["-".join(part[-count:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return dict(zip(names, places, strict=True))


def print_summary_rows(summaries: "Sequence[StageSummary]", *, as_json: bool) -> None:
    """Print what stages did, as a table or as JSON; with --quiet the stages with errors alone."""
    from raudeep.report.console import print_json, print_summaries

    rows: list[Mapping[str, Any]] = [summary.to_dict() for summary in summaries]
    if as_json:
        print_json(rows)
    elif shown := [row for row in rows if row["errors"] or not is_quiet()]:
        print_summaries(shown)
