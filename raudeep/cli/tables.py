"""Commands on tables: fuse, fuse-chunks, modify and upsample make new ones, relabel changes one."""

from typing import Annotated

from cyclopts import Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import (
    CorpusLayout,
    DryRun,
    Json,
    Output,
    Overwrite,
    TableUri,
    named,
    print_summary_rows,
)
from raudeep.errors import ConfigError

__all__ = ["fuse", "fuse_chunks", "modify", "relabel", "upsample"]


@app.command
def fuse(
    tables: Annotated[
        list[str], Parameter(negative="", help="Embedding tables, in the order of their values.")
    ],
    *,
    output: Output,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Join embedding tables by recording and chunk into one table of wider vectors."""
    from raudeep.pipeline.tables import fusing
    from raudeep.report.console import print_facts, print_json
    from raudeep.storage.uri import absolute

    sources, place = named(tables), absolute(output)
    if dry_run:
        (print_json if as_json else print_facts)(fusing.plan_fusion(sources, place))
        return
    summary = fusing.fuse_tables(sources, place, overwrite=overwrite)
    print_summary_rows([summary], as_json=as_json)


@app.command
def fuse_chunks(
    table: Annotated[str, Parameter(help="Embedding table of chunks.")],
    *,
    output: Output,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Join the embeddings of each recording's chunks into one row."""
    from raudeep.pipeline.tables import fusing
    from raudeep.storage.uri import absolute

    summary = fusing.fuse_chunks(absolute(table), absolute(output), overwrite=overwrite)
    print_summary_rows([summary], as_json=as_json)


@app.command
def modify(
    table: TableUri,
    *,
    output: Output,
    add_folds: Annotated[int | None, Parameter(help="Make this many stratified folds.")] = None,
    add_partitions: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="Divide the recordings among these, as train devel test or train=0.8 test=0.2.",
        ),
    ] = (),
    remove_folds: Annotated[bool, Parameter(negative="", help="Take the folds away.")] = False,
    remove_partitions: Annotated[
        bool, Parameter(negative="", help="Take the partitions away.")
    ] = False,
    seed: Annotated[int, Parameter(help="Seed of what is made.")] = 0,
    group_pattern: Annotated[
        str | None,
        Parameter(
            help="Keep recordings together in whose names this regular expression finds the same, "
            "in its first parenthesis if it has one: those of a speaker, say."
        ),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a table anew with other folds or partitions; recordings are never divided.

    Exactly one of the four actions is done.
    """
    from raudeep.pipeline.tables import modifying
    from raudeep.storage.uri import absolute

    actions = [add_folds is not None, bool(add_partitions), remove_folds, remove_partitions]
    if sum(actions) != 1:
        raise ConfigError(
            "modify needs one of --add-folds, --add-partitions, --remove-folds and "
            f"--remove-partitions. Got {sum(actions)} of them."
        )
    if group_pattern is not None and not any(actions[:2]):
        raise ConfigError("--group-pattern goes with --add-folds or --add-partitions.")
    source, place = absolute(table), absolute(output)
    if add_folds is not None:
        summary = modifying.add_folds(
            source,
            place,
            num_folds=add_folds,
            seed=seed,
            group_pattern=group_pattern,
            overwrite=overwrite,
        )
    elif add_partitions:
        summary = modifying.add_partitions(
            source,
            place,
            shares=_shares(add_partitions),
            seed=seed,
            group_pattern=group_pattern,
            overwrite=overwrite,
        )
    else:
        column = "folds" if remove_folds else "partition"
        summary = modifying.remove_splits(source, place, column=column, overwrite=overwrite)
    print_summary_rows([summary], as_json=as_json)


@app.command
def relabel(
    table: TableUri,
    *,
    manifest: Annotated[
        str, Parameter(help="Manifest or corpus with the labels, partitions and folds.")
    ],
    corpus_layout: CorpusLayout = None,
    as_json: Json = False,
) -> None:
    """Give the rows of a table other labels, partitions and folds; nothing is computed again.

    `embed`, `extract` and `benchmark` do so by themselves where those of their corpus changed.
    """
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.tables.relabelling import relabel_table
    from raudeep.storage.uri import absolute

    labels, _ = load_manifest(manifest, layout=corpus_layout, labelled=False)
    print_summary_rows([relabel_table(absolute(table), labels)], as_json=as_json)


@app.command
def upsample(
    table: TableUri,
    *,
    output: Output,
    partitions: Annotated[
        tuple[str, ...],
        Parameter(
            negative="",
            help="Upsample only the rows of these, and keep the others as they are.",
        ),
    ] = (),
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Repeat the rows of rare classes until the classes are roughly balanced."""
    from raudeep.pipeline.tables.modifying import upsample_table
    from raudeep.storage.uri import absolute

    summary = upsample_table(
        absolute(table), absolute(output), partitions=partitions, overwrite=overwrite
    )
    print_summary_rows([summary], as_json=as_json)


def _shares(words: tuple[str, ...]) -> dict[str, float]:
    """Return partitions and their shares from ``train=0.8 test=0.2``, or equal ones from names."""
    shares = {}
    for word in words:
        name, given, share = word.partition("=")
        try:
            shares[name] = float(share) if given else 1.0
        except ValueError:
            raise ConfigError(
                f"--add-partitions takes names, or names with shares as train=0.8. Got {word!r}."
            ) from None
    if len(shares) < len(words) or len({"=" in word for word in words}) > 1:
        raise ConfigError(
            "--add-partitions names each partition once, all with a share or none. "
            f"Got {' '.join(words)}."
        )
    return shares
