"""Commands that look into tables: search, validate, verify, visualize."""

from typing import Annotated, Literal

from cyclopts import Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import DryRun, Json, OverwriteFile, TableUri
from raudeep.errors import ConfigError, TableError
from raudeep.foreign import visible

__all__ = ["search", "validate", "verify", "visualize"]


@app.command
def search(
    table: Annotated[str, Parameter(help="Embedding table.")],
    query: Annotated[str | None, Parameter(help="A recording, local or URI.")] = None,
    *,
    model: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="Autoencoder that made the table; all of them if it is fused.",
        ),
    ] = (),
    recording: Annotated[
        str | None, Parameter(help="Instead of a query: a recording of the table, by its file.")
    ] = None,
    sample_rate: Annotated[
        int | None,
        Parameter(help="Resample the query to this rate in Hz, such as that of the table's audio."),
    ] = None,
    num_results: Annotated[int, Parameter(help="Recordings to show.")] = 10,
    metric: Annotated[Literal["cosine", "euclidean"], Parameter(help="What is near.")] = "cosine",
    index: Annotated[
        str | None,
        Parameter(
            help="File for an index of a large table, made once: quick, and nearly always exact. "
            "Needs the extra `search`."
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Find the recordings of a table that sound most like a recording."""
    from raudeep.pipeline.searching.nearest import find_nearest, plan_search
    from raudeep.pipeline.searching.queries import embed_query, vectors_of
    from raudeep.report.console import print_facts, print_json, print_matches
    from raudeep.storage.uri import absolute

    if (query is None) == (recording is None) or (query is None) == bool(model):
        raise ConfigError("search takes a recording with --model, or --recording alone.")
    if sample_rate is not None and (query is None or sample_rate < 1):
        raise ConfigError(f"--sample-rate, at least 1, is of a query. Got {sample_rate}.")
    if num_results < 1:
        raise ConfigError(f"--num-results must be at least 1. Got {num_results}.")
    place = absolute(table)
    file = None if index is None else absolute(index)
    if dry_run:
        (print_json if as_json else print_facts)(plan_search(place, index=file))
        return
    if query is not None:
        models = [absolute(uri) for uri in model]
        vectors = embed_query(absolute(query), place, models, sample_rate=sample_rate)
    else:
        vectors = vectors_of(str(recording), place)
    found = find_nearest(
        place,
        vectors,
        num_results=num_results,
        metric=metric,
        without=recording,
        index=file,
    )
    plain = found.astype(object).where(found.notna(), None)
    matches = [dict(zip(plain.columns, row, strict=True)) for row in plain.itertuples(index=False)]
    (print_json if as_json else print_matches)(matches)


@app.command
def verify(
    table: TableUri,
    *,
    repair: Annotated[
        bool,
        Parameter(
            negative="",
            help="Drop what is broken, so that the command that made the table makes it again.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a table's files against its index; the exit code is 1 if something was wrong.

    Every part is read: size, rows, columns, keys that are there twice, recordings that are neither
    rows nor errors.
    """
    from raudeep.report.console import print_faults, print_json
    from raudeep.storage.uri import absolute
    from raudeep.storage.verification import verify_table

    place = absolute(table)
    faults = [fault._asdict() for fault in verify_table(place, repair=repair)]
    if as_json:
        print_json(faults)
    elif faults:
        print_faults(faults)
    else:
        print(visible(f"{place} is as its index says."))
    if faults:
        way = "--repair drops what is broken; the command that made the table makes it again."
        if repair:
            way = "What was broken is dropped; the command that made the table makes it again."
        raise TableError(f"{place}: {len(faults)} fault(s). {way}")


@app.command
def validate(
    table: TableUri,
    *,
    detailed: Annotated[bool, Parameter(negative="", help="List every violation.")] = False,
    as_json: Json = False,
) -> None:
    """Check the invariants of a table; the exit code is 1 if one is violated."""
    from raudeep.pipeline.tables.validation import validate_table
    from raudeep.report.console import print_json, print_rules
    from raudeep.storage.uri import absolute

    results = [result.to_dict() for result in validate_table(absolute(table))]
    if as_json:
        print_json(results)
    else:
        print_rules(results, detailed=detailed)
    if broken := [result["rule"] for result in results if not result["passed"]]:
        raise TableError(f"{table}: {len(broken)} of {len(results)} rules are violated.")


@app.command
def visualize(
    table: Annotated[str, Parameter(help="Embedding table.")],
    *,
    output: Annotated[str, Parameter(help="SVG file for the picture.")],
    method: Annotated[
        Literal["tsne", "pca", "umap"], Parameter(help="How the plane is found.")
    ] = "tsne",
    perplexity: Annotated[float, Parameter(help="Of t-SNE: about how many neighbours.")] = 50.0,
    seed: Annotated[int, Parameter(help="Seed of the starting points and of a sample.")] = 0,
    max_points: Annotated[
        int | None,
        Parameter(
            help="Most rows to draw; of a larger table a sample is drawn. Without, 10000 for tsne, "
            "50000 for umap, 200000 for pca."
        ),
    ] = None,
    overwrite: OverwriteFile = False,
    dry_run: DryRun = False,
) -> None:
    """Draw embeddings as points in the plane, coloured by label."""
    from raudeep.report.console import print_facts
    from raudeep.report.pictures import check_picture, plan_projection, write_projection
    from raudeep.storage.uri import absolute

    source, place = absolute(table), absolute(output)
    if dry_run:
        check_picture(place, overwrite=overwrite)
        print_facts(plan_projection(source, method=method, max_points=max_points))
        return
    write_projection(
        source,
        place,
        method=method,
        perplexity=perplexity,
        seed=seed,
        max_points=max_points,
        overwrite=overwrite,
    )
    print(visible(place))
