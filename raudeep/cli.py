"""The command line: each command parses and calls one function of the pipeline.

Flags are the fields of the configuration dataclasses. Results go to stdout, everything else to
stderr. Exit codes: 0 done, 1 an error that a line explains, 2 wrong usage, 130 interrupted.
"""

import dataclasses
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from docstring_parser import parse_from_object

from raudeep.config import (
    AutoencoderConfig,
    EvaluationConfig,
    MlpConfig,
    Readout,
    ResourceConfig,
    SpectrogramConfig,
    TrainingConfig,
)
from raudeep.errors import RaudeepError
from raudeep.recipe import SECTIONS, load_recipe

if TYPE_CHECKING:
    from raudeep.pipeline.stage import StageSummary

__all__ = ["app", "main"]

logger = logging.getLogger(__name__)

app = App(
    name="raudeep",
    help="Unsupervised representations of sound: recurrent autoencoders on spectrograms, on Ray.",
    help_format="plaintext",
)
train_app = App(name="train", help="Train an autoencoder on spectrogram tables.")
evaluate_app = App(name="evaluate", help="Score an embedding table with a classifier.")
app.command(train_app)
app.command(evaluate_app)
app.meta.group_parameters = Group("Global options", sort_key=99)

Flat = Parameter(name="*")
Corpus = Annotated[
    str, Parameter(help="Folder of audio, or a CSV or Parquet manifest; local or URI.")
]
CorpusLayout = Annotated[
    str | None, Parameter(help="Name of the corpus layout; detected if not given.")
]
Output = Annotated[str, Parameter(help="Where the output goes, a local path or a URI.")]
Overwrite = Annotated[
    bool, Parameter(negative="", help="Replace an output made with another configuration.")
]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]
MaxErrors = Annotated[
    int | None, Parameter(help="Fail once more recordings than this could not be used.")
]


def _overrides(config: type[Any]) -> Any:
    """Return `config` with every field optional and None by default: only given flags count."""
    described = {p.arg_name: p.description for p in parse_from_object(config).params}
    fields = []
    for field in dataclasses.fields(config):
        parameter = Parameter(help=described.get(field.name))
        hint: Any = field.type
        fields.append((field.name, Annotated[hint | None, parameter], None))
    partial = dataclasses.make_dataclass(
        f"{config.__name__}Overrides", fields, frozen=True, kw_only=True
    )
    partial.__module__ = __name__  # cyclopts opens up no class of the standard library's `types`
    return partial | None


@app.command
def benchmark(
    recipe: Annotated[str, Parameter(help="Name of a shipped recipe, or path of a TOML file.")],
    *,
    output: Output,
    corpus: Annotated[
        str | None, Parameter(help="Folder or manifest; the demo recipe makes its own without.")
    ] = None,
    corpus_layout: CorpusLayout = None,
    seed: Annotated[int | None, Parameter(help="Replaces the recipe's seed.")] = None,
    max_errors: MaxErrors = None,
    overwrite: Overwrite = False,
    dry_run: Annotated[
        bool, Parameter(negative="", help="Print what would be done, and do nothing.")
    ] = False,
    as_json: Json = False,
    resources: ResourceConfig | None = None,
    spectrogram: _overrides(SpectrogramConfig) = None,  # type: ignore[valid-type]
    autoencoder: _overrides(AutoencoderConfig) = None,  # type: ignore[valid-type]
    training: _overrides(TrainingConfig) = None,  # type: ignore[valid-type]
    evaluation: _overrides(EvaluationConfig) = None,  # type: ignore[valid-type]
    mlp: _overrides(MlpConfig) = None,  # type: ignore[valid-type]
) -> None:
    """Run a recipe on a corpus: spectrograms, autoencoders, embeddings, fusion, scores, report."""
    from raudeep.pipeline.benchmark import plan_benchmark, run_benchmark
    from raudeep.report.benchmark import write_report
    from raudeep.report.console import print_benchmark, print_json

    given = dict(zip(SECTIONS, (spectrogram, autoencoder, training, evaluation, mlp), strict=True))
    overrides = {
        section: {k: v for k, v in dataclasses.asdict(values).items() if v is not None}
        for section, values in given.items()
        if values is not None
    }
    chosen = load_recipe(recipe, seed=seed, overrides=overrides)
    if corpus_layout is not None:
        chosen = dataclasses.replace(chosen, corpus_layout=corpus_layout)
    if dry_run:
        print_json(plan_benchmark(chosen, corpus, output))
        return
    results = run_benchmark(
        chosen, corpus, output, resources=resources, max_errors=max_errors, overwrite=overwrite
    )
    report = write_report(output)
    if as_json:
        print_json(results)
    else:
        print_benchmark(results, report=report)


@app.command
def report(output: Annotated[str, Parameter(help="Output of a finished benchmark.")]) -> None:
    """Write the report of a finished benchmark again."""
    from raudeep.report.benchmark import write_report

    print(write_report(output))


@app.command
def inspect(
    path: Annotated[str, Parameter(help="A corpus, a manifest or a table.")],
    *,
    corpus_layout: CorpusLayout = None,
    as_json: Json = False,
) -> None:
    """Show what a corpus or a table holds: counts, labels, folds, durations, sample rates."""
    from raudeep.pipeline.inspection import inspect_path
    from raudeep.report.console import print_facts, print_json

    facts = inspect_path(path, layout=corpus_layout)
    (print_json if as_json else print_facts)(facts)


@app.command
def extract(
    corpus: Corpus,
    *,
    output: Output,
    corpus_layout: CorpusLayout = None,
    spectrogram: Annotated[SpectrogramConfig | None, Flat] = None,
    max_errors: MaxErrors = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Compute the spectrograms of a corpus into a table."""
    from raudeep.pipeline.benchmark import check_errors
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.spectrograms import extract_spectrograms
    from raudeep.storage.table import read_errors
    from raudeep.storage.uri import absolute

    manifest, _ = load_manifest(corpus, layout=corpus_layout, labelled=False)
    table = absolute(output)
    views = {"spectrogram": spectrogram or SpectrogramConfig()}
    summaries = extract_spectrograms(manifest, views, {"spectrogram": table}, overwrite=overwrite)
    check_errors(read_errors(table).to_pylist(), manifest.num_rows, max_errors=max_errors)
    _print_summaries(summaries, as_json=as_json)


@train_app.command(name="time")
def train_time(
    spectrograms: Annotated[
        list[str], Parameter(negative="", help="Spectrogram tables, all of one shape.")
    ],
    *,
    output: Output,
    name: Annotated[
        str | None, Parameter(help="Name of the model; the output's by default.")
    ] = None,
    autoencoder: Annotated[AutoencoderConfig | None, Flat] = None,
    training: Annotated[TrainingConfig | None, Flat] = None,
    resources: Annotated[ResourceConfig | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Train a time-recurrent autoencoder; an interrupted training goes on when run again."""
    from raudeep.pipeline.training import Run, train_autoencoders
    from raudeep.storage.uri import absolute, join

    place = absolute(output)
    run = Run(
        name=name or place.rsplit("/", 1)[-1],
        spectrograms=tuple(absolute(uri) for uri in spectrograms),
        output=place,
        model=autoencoder or AutoencoderConfig(),
        training=training or TrainingConfig(),
    )
    summaries = train_autoencoders(
        [run], checkpoints=join(place, "runs"), resources=resources, overwrite=overwrite
    )
    _print_summaries(summaries, as_json=as_json)


@app.command
def embed(
    source: Annotated[
        str, Parameter(help="Audio (folder, manifest, file) or a spectrogram table.")
    ],
    *,
    model: Annotated[list[str], Parameter(negative="", help="Trained autoencoders.")],
    output: Output,
    readouts: Annotated[
        tuple[Readout, ...],
        Parameter(
            negative="", help="Embeddings to write; with several, each to a folder of its name."
        ),
    ] = ("state",),
    corpus_layout: CorpusLayout = None,
    max_errors: MaxErrors = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Embed audio, or a spectrogram table, with one or several autoencoders.

    One model and one readout write the table OUTPUT; several write OUTPUT/READOUT/MODEL.
    """
    from raudeep.pipeline.benchmark import check_errors
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.embedding import Embedder, embed_corpus, embed_tables
    from raudeep.storage.table import is_table, read_errors, read_index
    from raudeep.storage.uri import absolute, join

    place, models = absolute(output), _named(model)
    single = len(models) == 1 and len(readouts) == 1
    embedders = [
        Embedder(
            name=name,
            model=uri,
            outputs={r: place if single else join(place, r, name) for r in readouts},
        )
        for name, uri in models.items()
    ]
    table = absolute(source)
    if is_table(table) and read_index(table).stage == "spectrograms":
        summaries = embed_tables(embedders, dict.fromkeys(models, table), overwrite=overwrite)
    else:
        manifest, _ = load_manifest(source, layout=corpus_layout, labelled=False)
        summaries = embed_corpus(manifest, embedders, overwrite=overwrite)
        errors = read_errors(summaries[0].table).to_pylist()
        check_errors(errors, manifest.num_rows, max_errors=max_errors)
    _print_summaries(summaries, as_json=as_json)


@app.command
def fuse(
    tables: Annotated[
        list[str], Parameter(negative="", help="Embedding tables, in the order of their values.")
    ],
    *,
    output: Output,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Join embedding tables by recording and chunk into one table of wider vectors."""
    from raudeep.pipeline.fusing import fuse_tables
    from raudeep.storage.uri import absolute

    summary = fuse_tables(_named(tables), absolute(output), overwrite=overwrite)
    _print_summaries([summary], as_json=as_json)


@evaluate_app.command(name="mlp")
def evaluate_mlp_command(
    table: Annotated[str, Parameter(help="Embedding table with labels.")],
    *,
    output: Annotated[str, Parameter(help="Where the predictions table goes.")],
    mlp: Annotated[MlpConfig | None, Flat] = None,
    evaluation: Annotated[EvaluationConfig | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Score embeddings with multi-layer perceptrons, cross-validated or by partitions."""
    from raudeep.pipeline.scoring import evaluate_mlp
    from raudeep.report.console import print_json, print_score
    from raudeep.storage.uri import absolute

    result = evaluate_mlp(
        {"table": absolute(table)},
        {"table": absolute(output)},
        mlp=mlp or MlpConfig(),
        evaluation=evaluation or EvaluationConfig(),
        overwrite=overwrite,
    )["table"]
    score = {"size": result.size, **result.score.to_dict()}
    (print_json if as_json else print_score)(score)


def _named(uris: Sequence[str]) -> dict[str, str]:
    """Return absolute URIs by their last name, or by all of it where that is ambiguous."""
    from raudeep.storage.uri import absolute

    places = [absolute(uri) for uri in uris]
    names = [place.rsplit("/", 1)[-1] for place in places]
    if len(set(names)) < len(names):
        names = ["-".join(place.rsplit("/", 2)[1:]) for place in places]
    if len(set(names)) < len(names):
        raise RaudeepError(f"the last two names of each path must differ. Got {', '.join(places)}.")
    return dict(zip(names, places, strict=True))


def _print_summaries(summaries: "Sequence[StageSummary]", *, as_json: bool) -> None:
    from raudeep.report.console import print_json, print_summaries

    rows: list[Mapping[str, Any]] = [summary.to_dict() for summary in summaries]
    (print_json if as_json else print_summaries)(rows)


@app.meta.default
def _launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    verbose: Annotated[
        bool, Parameter(name=["--verbose", "-v"], negative="", help="Say more on stderr.")
    ] = False,
    quiet: Annotated[
        bool, Parameter(name=["--quiet", "-q"], negative="", help="Say only what went wrong.")
    ] = False,
    debug: Annotated[
        bool, Parameter(negative="", help="Show tracebacks and the output of Ray.")
    ] = False,
    log_file: Annotated[Path | None, Parameter(help="Write the log to this file as well.")] = None,
) -> int:
    _configure_logging(verbose=verbose or debug, quiet=quiet, log_file=log_file)
    if debug:
        os.environ["RAUDEEP_DEBUG"] = "1"  # read where Ray is started
    try:
        command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=True)
        command(*bound.args, **bound.kwargs)
    except CycloptsError:
        return 2
    except RaudeepError as error:
        if debug:
            raise
        print(f"raudeep: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "raudeep: interrupted. What is finished stays; the same command goes on from there.",
            file=sys.stderr,
        )
        return 130
    return 0


def _configure_logging(*, verbose: bool, quiet: bool, log_file: Path | None) -> None:
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        handlers.append(logging.FileHandler(log_file))
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=handlers, force=True)
    logging.getLogger("raudeep").setLevel(level)
    logging.captureWarnings(capture=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        code = app.meta(
            arguments, exit_on_error=False, print_error=True, result_action="return_value"
        )
    except CycloptsError:
        code = 2
    sys.exit(code)
