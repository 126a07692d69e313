"""Parameters that several commands share, and how summaries are printed."""

import dataclasses
import functools
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter
from docstring_parser import parse_from_object

from raudeep.config import (
    CLASSIFIERS,
    ArchitectureConfig,
    ChunkConfig,
    CnnConfig,
    EvaluationConfig,
    ExportConfig,
    FitConfig,
    ImportConfig,
    Limits,
    ResourceConfig,
    SoundNetConfig,
    SparseCodingConfig,
    SpectrogramConfig,
    TrainingConfig,
    TuneConfig,
    autoencoder_kinds,
)
from raudeep.errors import RaudeepError
from raudeep.recipe import shipped_recipes

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
    "RecipeName",
    "TableUri",
    "given",
    "is_quiet",
    "named",
    "overrides_of",
    "print_summary_rows",
    "shown_default",
]

_LAYOUTS = (
    "Layout of the folder: bare, class-folders, cross-validated, partitioned, esc-10, esc-50, "
    "gtzan, tut-as-2017, dcase-2018, urbansound8k, compare, lhotse, audformat, or a function of "
    "yours as FILE.py:FUNCTION."
)

Flat = Parameter(name="*")
Corpus = Annotated[
    str, Parameter(help="Folder of audio, or a manifest (CSV, TSV, Parquet); local or URI.")
]
CorpusLayout = Annotated[str | None, Parameter(help=f"{_LAYOUTS} Detected if not given.")]
RecipeLayout = Annotated[
    str | None, Parameter(help=f"{_LAYOUTS} If not given, the recipe's, or detected.")
]
RecipeName = Annotated[
    str,
    Parameter(
        help=f"A shipped recipe ({', '.join(shipped_recipes())}), or a TOML file, local or URI."
    ),
]
Output = Annotated[str, Parameter(help="Folder for the output, a local path or a URI.")]
Overwrite = Annotated[
    bool,
    Parameter(
        negative="",
        help="Replace an output with other settings, or one whose recordings changed.",
    ),
]
OverwriteFile = Annotated[bool, Parameter(negative="", help="Replace an existing file.")]
TableUri = Annotated[str, Parameter(help="A table of raudeep.")]
DryRun = Annotated[
    bool, Parameter(negative="", help="Print what would be done, and what it takes; do nothing.")
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]

_GROUPS: tuple[tuple[str, tuple[type[Any], ...]], ...] = (
    ("Spectrogram", (SpectrogramConfig,)),
    ("Chunks and channels", (ChunkConfig,)),
    ("Autoencoder", (ArchitectureConfig, *autoencoder_kinds().values())),
    ("Training", (TrainingConfig,)),
    ("Sweep", (TuneConfig,)),
    ("Evaluation", (EvaluationConfig, FitConfig)),
    ("Classifier", (*CLASSIFIERS.values(),)),
    ("Baselines", (CnnConfig, SparseCodingConfig, SoundNetConfig)),
    ("Files", (ExportConfig, ImportConfig)),
    ("Failed and long recordings", (Limits,)),
    ("Resources", (ResourceConfig,)),
)
"""Titles of the help by the class whose fields stand there, in the order of the help."""
_GROUP_OF = {
    config: Group(title, sort_key=place)
    for place, (title, configs) in enumerate(_GROUPS, 1)
    for config in configs
}
for _config, _group in _GROUP_OF.items():
    Parameter(group=_group)(_config)  # read by cyclopts wherever a command takes the class


def shown_default(value: Any) -> str | None:
    """Return a default as the help shows it; None for what says nothing, such as False."""
    if value is None or value is False or value == ():
        return None
    if value is True:
        return "yes"
    return " ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def is_quiet() -> bool:
    """Return whether --quiet was given."""
    return logging.getLogger("raudeep").getEffectiveLevel() >= logging.ERROR


def given(overrides: Any) -> dict[str, Any]:
    """Return the flags of `overrides_of` that were given, with their values (None is one)."""
    return {} if overrides is None else dict(overrides.given)


def overrides_of(
    config: type[Any],
    *,
    of: str | None = None,
    without: Collection[str] = (),
) -> Any:
    """Return a class like `config` in which every field is optional; see `given`.

    The help shows the default: the value in a file `of` that name, or the default of the field.
    Fields `without` get no flag. None cannot mean "not given", since it is a value
    (`--training.checkpoints-to-keep None`): an instance remembers which flags were given.
    """
    described = {
        each.arg_name: each.description
        for base in reversed(config.__mro__[:-1])  # inherited fields have their text there
        for each in parse_from_object(base).params
    }
    fields = []
    for field in dataclasses.fields(config):
        if field.name not in without:
            shown = shown_default(field.default)
            known = [f"the {of}'s"] * (of is not None) + [shown] * (shown is not None)
            parameter = Parameter(
                help=described.get(field.name),
                show_default=", or ".join(map(str, known)) or False,
                group=_GROUP_OF.get(config),
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
    """Return absolute URIs by their last name, or by as many names as make them differ."""
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
    """Print the summaries of stages, as a table or JSON; with --quiet only those with errors."""
    from raudeep.report.console import print_json, print_summaries

    rows: list[Mapping[str, Any]] = [summary.to_dict() for summary in summaries]
    if as_json:
        print_json(rows)
    elif shown := [row for row in rows if row["errors"] or not is_quiet()]:
        print_summaries(shown)
