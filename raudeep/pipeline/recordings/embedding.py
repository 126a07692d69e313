"""Embeddings: straight from audio with nothing stored in between, or from spectrogram tables.

``slice of the plan -> processes that decode and transform -> models -> a part per table``
``part of a spectrogram table -> models -> a part per table``
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa

from raudeep.config import ChunkConfig, Limits, Readout, SpectrogramConfig, settled
from raudeep.errors import TableError
from raudeep.models.artifact import TrainedAutoencoder
from raudeep.pipeline.recordings.decoding import load_views
from raudeep.pipeline.recordings.encoding import EmbeddingCollector, TableEncoder
from raudeep.pipeline.recordings.rates import warn_of_other_rates
from raudeep.pipeline.recordings.silence import warn_of_silence
from raudeep.pipeline.recordings.slices import plan_recordings, warn_of_errors, write_recordings
from raudeep.pipeline.recordings.sources import Source
from raudeep.pipeline.recordings.targets import (
    Embedder,
    Target,
    chunks_like,
    embedders_like,
    embedding_targets,
    input_views,
    load_models,
    open_targets,
)
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import Pool, stream
from raudeep.pipeline.stage import StageSummary
from raudeep.storage.index import TableIndex, read_index
from raudeep.storage.labels import labels_of_parts
from raudeep.storage.outputs import check_outputs
from raudeep.storage.table import read_table
from raudeep.storage.writer import TableWriter

__all__ = ["check_input", "embed_corpus", "embed_like", "embed_tables"]

_SECONDS_PER_RECORDING = 0.03
_BYTES_PER_ROW = 2**12


def embed_corpus(
    manifest: pa.Table,
    embedders: Sequence[Embedder],
    *,
    fused: Mapping[Readout, str] | None = None,
    chunks: ChunkConfig | None = None,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> list[StageSummary]:
    """Embed a corpus straight from audio: each recording is decoded once for all models.

    Slices whose parts exist are not computed again; recordings that are new to a table are added to
    it in further parts. A recording that cannot be used is a row of the errors beside the parts.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file.
    embedders : sequence of Embedder
        The models and their outputs.
    fused : mapping of readout to URI, optional
        Tables of the vectors of all embedders side by side, in their order.
    chunks : ChunkConfig, optional
        Embed chunks of recordings of any length, each read by itself; whole recordings without.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace tables that were made with another configuration.

    Returns
    -------
    list of StageSummary
        One for each output, those of the embedders first.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could.
    ConfigError
        If no chunk holds a window of one of the models.
    TableError
        If a model does not say how audio becomes its input, or an output holds something else.
    """
    chunks, limits = chunks or ChunkConfig(), limits or Limits()
    trained = load_models(embedders)
    views = input_views(trained, chunks)
    targets = embedding_targets(embedders, trained, fused=fused, chunks=chunks)
    targets = open_targets(targets, overwrite=overwrite)
    summaries, num_recordings = _write_targets(
        "embeddings",
        manifest,
        embedders,
        targets,
        views=views,
        chunks=chunks,
        limits=limits,
        overwrite=overwrite,
    )
    warn_of_errors(summaries, num_recordings)
    warn_of_silence(summaries, num_recordings)
    warn_of_other_rates(_sample_rates(targets), [each.sample_rates for each in trained.values()])
    return summaries


def embed_like(
    title: str,
    manifest: pa.Table,
    sources: Sequence[Source],
    places: Mapping[str, str],
    writer: TableWriter,
    *,
    finish: Callable[[pa.Table], pa.Table] | None = None,
    sample_rate: int | None = None,
    limits: Limits,
    overwrite: bool = False,
) -> tuple[StageSummary, int]:
    """Embed a corpus as `sources` did into a table that has been opened, in one pass.

    Parameters
    ----------
    title : str
        What the progress line says.
    manifest, limits, overwrite
        As `embed_corpus` takes them.
    sources : sequence of Source
        At least one, none of joined chunks.
    places : mapping of fingerprint to URI
        The models of the sources.
    writer : TableWriter
        Of the table.
    finish : callable, optional
        Makes its rows of those of the embeddings, which they are without.
    sample_rate : int, optional
        Resample to this rate in Hz; that of the sources, if any, without.

    Returns
    -------
    summary : StageSummary
    num_recordings : int
        Recordings of the table's plan.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could.
    TableError
        If the sources cut recordings in different ways.
    """
    embedders, pieces = embedders_like(sources, places)
    chunks = chunks_like(sources)
    if sample_rate is not None:
        chunks = replace(chunks, sample_rate=sample_rate)
    trained = load_models(embedders)
    targets = {title: Target(pieces, writer, finish)}
    summaries, num_recordings = _write_targets(
        title,
        manifest,
        embedders,
        targets,
        views=input_views(trained, chunks),
        chunks=chunks,
        limits=limits,
        overwrite=overwrite,
    )
    warn_of_other_rates(_sample_rates(targets), [each.sample_rates for each in trained.values()])
    return summaries[0], num_recordings[0]


def _write_targets(
    title: str,
    manifest: pa.Table,
    embedders: Sequence[Embedder],
    targets: Mapping[str, Target],
    *,
    views: Mapping[str, SpectrogramConfig],
    chunks: ChunkConfig,
    limits: Limits,
    overwrite: bool,
) -> tuple[list[StageSummary], list[int]]:
    """Write opened tables in one pass; return the summary and the number of recordings of each."""
    writers = {name: target.writer for name, target in targets.items()}
    plans = plan_recordings(
        writers,
        manifest,
        bytes_per_row=_BYTES_PER_ROW,
        overwrite=overwrite,
        retry_errors=limits.retry_errors,
    )
    summaries = write_recordings(
        title,
        writers,
        plans,
        load=partial(load_views, views=views, chunks=chunks, max_duration=limits.max_duration),
        make_collector=partial(EmbeddingCollector, list(embedders), targets),
        seconds_per_recording=_SECONDS_PER_RECORDING,
        limits=limits,
        uses_gpu=True,
    )
    return summaries, [plan.recordings.num_rows for plan in plans.values()]


def embed_tables(
    embedders: Sequence[Embedder], tables: Mapping[str, str], *, overwrite: bool = False
) -> list[StageSummary]:
    """Embed spectrogram tables: each part is read once for all readouts of a model.

    Parts that are there are not computed again, also when the spectrogram tables grew.

    Parameters
    ----------
    embedders : sequence of Embedder
        The models and their outputs.
    tables : mapping of name to URI
        The spectrogram table of each embedder, by its name.
    overwrite : bool
        Replace tables that were made with another configuration.

    Returns
    -------
    list of StageSummary
        One for each output.

    Raises
    ------
    TableError
        If a table was made with other parameters than the model was trained on.
    """
    started = time.perf_counter()
    check_outputs(_outputs(embedders), tables.values())
    indices = {each.name: read_index(tables[each.name], stage="spectrograms") for each in embedders}
    trained = load_models(embedders)
    for each in embedders:
        model, index = trained[each.name], indices[each.name]
        check_input(model, index, model=each.model, table=tables[each.name])
        warn_of_other_rates(index.sample_rates, [model.sample_rates])
    targets = embedding_targets(embedders, trained, sources=indices)
    targets = open_targets(targets, overwrite=overwrite)
    items: list[dict[str, Any]] = []
    for each in embedders:
        own = [name for name, target in targets.items() if target.sources == (each.name,)]
        index = indices[each.name]
        missing = {name: set(targets[name].writer.missing(len(index.parts))) for name in own}
        items += [
            {
                "part": number,
                "embedder": each.name,
                "targets": [name for name in own if number in missing[name]],
                "table": tables[each.name],
                "name": part.name,
                "rows": part.rows,
            }
            for number, part in enumerate(index.parts)
            if any(number in parts for parts in missing.values())
        ]
    total = sum(item["rows"] for item in items)
    encoder = Pool(TableEncoder, {"embedders": list(embedders), "targets": targets})
    with stage_progress("embeddings", unit="spectrograms", total=total) as progress:
        estimate = total * _SECONDS_PER_RECORDING
        for done in stream(items, encoder, estimated_seconds=estimate):
            progress.advance(done["rows"])
    summaries, recordings = [], []
    for name, target in targets.items():
        (source,) = target.sources
        labels = labels_of_parts(tables[source], indices[source])
        index = target.writer.commit(len(indices[source].parts), labels=labels)
        made = sum(name in item["targets"] for item in items)
        place = target.writer.uri
        summaries.append(
            StageSummary.of_table("embeddings", place, index, made=made, started=started)
        )
        count = 0
        if index.errors:  # which nearly no table has
            count = len(read_table(tables[source], columns=["file"])["file"].unique())
        recordings.append(count)
    warn_of_errors(summaries, recordings)
    return summaries


def check_input(trained: TrainedAutoencoder, index: TableIndex, *, model: str, table: str) -> None:
    """Raise `TableError` unless a table was made as what an autoencoder was trained on."""
    made, trained_on = (settled(each, "spectrograms") for each in (index.config, trained.input))
    for key in {**trained_on, **made}:
        found, wanted = made.get(key), trained_on.get(key)
        if found != wanted:
            raise TableError(
                f"{table} has {key}={found!r}, but {model} was trained with {key}={wanted!r}. "
                "Give it a table made like the one that it was trained on, or audio."
            )


def _sample_rates(targets: Mapping[str, Target]) -> set[int]:
    """Return the sample rates of the spectrograms that finished tables are made of."""
    return set().union(*(read_index(each.writer.uri).sample_rates for each in targets.values()))


def _outputs(embedders: Sequence[Embedder]) -> list[str]:
    return [uri for each in embedders for uri in each.outputs.values()]
