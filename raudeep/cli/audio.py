"""Commands on audio: `raudeep inspect`, `preview`, `extract` and `pack`."""

from typing import Annotated

from cyclopts import Parameter

from raudeep.cli.app import app
from raudeep.cli.parameters import (
    Corpus,
    CorpusLayout,
    DryRun,
    Flat,
    Json,
    Output,
    Overwrite,
    OverwriteFile,
    print_summary_rows,
)
from raudeep.config import Limits, SpectrogramConfig

__all__ = ["extract", "inspect", "pack", "preview"]


@app.command
def inspect(
    path: Annotated[str, Parameter(help="A corpus, a manifest, a table, a model or a classifier.")],
    *,
    recording: Annotated[str | None, Parameter(help="Show one recording, by its `file`.")] = None,
    folds: Annotated[
        bool, Parameter(negative="", help="Show the classes of each fold and partition.")
    ] = False,
    corpus_layout: CorpusLayout = None,
    as_json: Json = False,
) -> None:
    """Show a corpus, a table or a model: counts, labels, folds, durations, settings.

    The exit code is 1 if recordings of a manifest are missing.
    """
    from raudeep.pipeline import inspection
    from raudeep.report.console import print_facts, print_json

    if recording is not None:
        facts = inspection.inspect_recording(path, recording, layout=corpus_layout)
    elif folds:
        facts = inspection.inspect_folds(path, layout=corpus_layout)
    else:
        facts = inspection.inspect_path(path, layout=corpus_layout)
    (print_json if as_json else print_facts)(facts)
    inspection.check_found(facts)


@app.command
def preview(
    corpus: Annotated[str, Parameter(help="Folder of audio, a manifest or one recording.")],
    *,
    output: Annotated[str, Parameter(help="SVG file for the picture.")],
    recording: Annotated[
        str | None, Parameter(help="Its file, or its number from 0; the first if not given.")
    ] = None,
    corpus_layout: CorpusLayout = None,
    spectrogram: Annotated[SpectrogramConfig | None, Flat] = None,
    overwrite: OverwriteFile = False,
    as_json: Json = False,
) -> None:
    """Draw one recording's spectrogram and the histogram of its values, before a long run."""
    from raudeep.report.console import print_facts, print_json
    from raudeep.report.pictures import write_preview
    from raudeep.storage.uri import absolute

    config = spectrogram or SpectrogramConfig()
    facts = write_preview(
        corpus,
        config,
        absolute(output),
        recording=recording,
        layout=corpus_layout,
        overwrite=overwrite,
    )
    (print_json if as_json else print_facts)(facts)


@app.command
def extract(
    corpus: Corpus,
    *,
    output: Output,
    corpus_layout: CorpusLayout = None,
    spectrogram: Annotated[SpectrogramConfig | None, Flat] = None,
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Compute the spectrograms of a corpus into a table."""
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.recordings.planning import plan_spectrograms
    from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
    from raudeep.report.console import print_facts, print_json
    from raudeep.storage.opening import check_stage
    from raudeep.storage.uri import absolute

    views, place = {"spectrogram": spectrogram or SpectrogramConfig()}, absolute(output)
    check_stage(place, "spectrograms")  # before the corpus is listed
    manifest, _ = load_manifest(corpus, layout=corpus_layout, labelled=False)
    if dry_run:
        plan = plan_spectrograms(manifest, views, place, limits=limits, overwrite=overwrite)
        (print_json if as_json else print_facts)(plan)
        return
    summaries = extract_spectrograms(
        manifest, views, {"spectrogram": place}, limits=limits, overwrite=overwrite
    )
    print_summary_rows(summaries, as_json=as_json)


@app.command
def pack(
    corpus: Corpus,
    *,
    output: Output,
    corpus_layout: CorpusLayout = None,
    limits: Annotated[Limits | None, Flat] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Put many small recordings into a few Parquet files; every command takes them as a corpus.

    Labels, partitions and folds are kept. Run again, it continues and adds new recordings.
    """
    from raudeep.pipeline.corpus import load_manifest
    from raudeep.pipeline.recordings.packing import pack_corpus
    from raudeep.storage.opening import check_stage
    from raudeep.storage.uri import absolute

    place = absolute(output)
    check_stage(place, "recordings")  # before the corpus is listed
    manifest, _ = load_manifest(corpus, layout=corpus_layout, labelled=False)
    summary = pack_corpus(manifest, place, limits=limits, overwrite=overwrite)
    print_summary_rows([summary], as_json=as_json)
