"""Predictions of a trained classifier: on embedding tables, or straight on audio.

``embeddings part -> standardise, predict, mean over the fits -> predictions part``
``slice of the plan -> processes that decode and transform -> models -> the same -> its part``
"""

import csv
import io
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.config import Limits, reject_text
from raudeep.errors import AudioError, TableError
from raudeep.evaluation.metrics import majority_vote
from raudeep.pipeline.artifacts import artifact_identity
from raudeep.pipeline.classification.classifiers import TrainedClassifier
from raudeep.pipeline.classification.predictions import (
    prediction_rows,
    row_names,
    rows_of_partitions,
)
from raudeep.pipeline.recordings.embedding import embed_like
from raudeep.pipeline.recordings.silence import warn_of_silence
from raudeep.pipeline.recordings.slices import warn_of_errors
from raudeep.pipeline.recordings.sources import (
    describe_sources,
    embedding_sources,
    has_joined_chunks,
)
from raudeep.pipeline.recordings.targets import chunks_like
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import stream
from raudeep.pipeline.stage import StageSummary, embedding_array
from raudeep.storage import uri as uris
from raudeep.storage.claim import check_claim
from raudeep.storage.index import INDEX, TableIndex, file_kind, is_table, read_index
from raudeep.storage.labels import labels_of_parts
from raudeep.storage.opening import check_stage, open_tables
from raudeep.storage.outputs import check_writable_file, write_file
from raudeep.storage.table import read_errors, read_part, read_schema, read_table
from raudeep.storage.writer import TableWriter

__all__ = ["check_predictions", "predict_corpus", "predict_table"]

logger = logging.getLogger(__name__)

_SECONDS_PER_PART = 0.2


def predict_table(
    classifier: TrainedClassifier,
    table: str,
    output: str,
    *,
    partitions: Sequence[str] = (),
    overwrite: bool = False,
) -> StageSummary:
    """Predict the rows of an embedding table, with or without labels.

    Parts that are there are not predicted again, also when the embedding table grew.

    Parameters
    ----------
    classifier : TrainedClassifier
        See `load_classifier` and `fit_table`.
    table : str
        URI of the embedding table.
    output : str
        URI of the predictions table: a row for each chunk, in fold None and repeat 0, with the mean
        probabilities of the classifier's fits. With a name in ``.tsv`` it is a file as auDeep
        writes it instead: ``file<TAB>label`` lines sorted by file, the label of a recording being
        the most frequent one of its chunks, of equally frequent ones the first in the alphabet.
    partitions : sequence of str
        Predict the rows of these alone.
    overwrite : bool
        Replace a table that was made with another configuration, or any file.

    Raises
    ------
    TableError
        If the classifier takes other embeddings, or the output holds something else.
    EvaluationError
        If a partition has no rows.
    """
    _check_made_alike(classifier, table)
    sources = {"embeddings": read_index(table, stage="embeddings")}
    with _destination(classifier, sources, partitions, output, overwrite=overwrite) as writer:
        return replace(_predict(classifier, table, writer, partitions), table=output)


def predict_corpus(
    classifier: TrainedClassifier,
    manifest: pa.Table,
    models: Sequence[str],
    output: str,
    *,
    partitions: Sequence[str] = (),
    limits: Limits | None = None,
    overwrite: bool = False,
) -> StageSummary:
    """Predict recordings, straight from audio: decode, embed, fuse and predict in one pass.

    Slices whose parts exist are not computed again; recordings that are new to a table are added to
    it in further parts. A recording that cannot be used is a row of the table's errors; where the
    output is a file, a warning names each.

    Parameters
    ----------
    classifier : TrainedClassifier
        See `load_classifier`.
    manifest : pa.Table
        The recordings, sorted by file; labels are not needed.
    models : sequence of str
        URIs of the autoencoders whose embeddings the classifier was trained on, in any order.
    output : str
        URI of the predictions table or file; see `predict_table`.
    partitions : sequence of str
        Predict the recordings of these alone.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace a table that was made with another configuration, or any file.

    Raises
    ------
    TableError
        If the models are not those of the classifier's embeddings, these are of several kinds of
        chunks, or the output holds something else.
    AudioError
        If too many recordings could not be used, or none could.
    """
    places = _models_of(classifier, models)
    manifest = manifest.take(rows_of_partitions(manifest, partitions, "the corpus"))
    with _destination(classifier, {}, partitions, output, overwrite=overwrite) as writer:
        try:
            summary, num_recordings = embed_like(
                "predictions",
                manifest,
                classifier.sources or [],
                places,
                writer,
                finish=partial(_predictions, classifier),
                limits=limits or Limits(),
                # A file is of these recordings alone, whatever a killed run left beside it.
                overwrite=overwrite or _is_file(output),
            )
        except AudioError:
            if is_table(writer.uri):
                _name_errors(read_errors(writer.uri))
            raise
        if _is_file(output):
            _name_errors(read_errors(writer.uri))
        else:
            warn_of_errors([summary], [num_recordings])
        warn_of_silence([replace(summary, table=writer.uri)], [num_recordings])
        return replace(summary, table=output)


def check_predictions(output: str, *, overwrite: bool = False) -> None:
    """Raise where predictions could not be written, before a classifier is trained for them."""
    if _is_file(output):
        output = uris.absolute(output)
        # Where the hidden table is, a run was killed that may have written the file already.
        check_writable_file(output, overwrite=overwrite, of=_hidden_table(output))
    else:
        check_stage(output, "predictions")


@contextmanager
def _destination(
    classifier: TrainedClassifier,
    sources: Mapping[str, TableIndex],
    partitions: Sequence[str],
    output: str,
    *,
    overwrite: bool,
) -> Iterator[TableWriter]:
    """Give the writer of the predictions table; for a ``.tsv`` file that of a hidden one beside it.

    The hidden one stays until the file is there, so that a killed run can go on. Where recordings
    are at fault, nothing stays.
    """
    inputs = {"classifier": classifier.identity.fingerprint}
    if partitions:  # which say what rows there are
        for index in sources.values():
            inputs |= index.labelled
    growing = partial(
        TableWriter.growing,
        stage="predictions",
        config={"partitions": sorted(partitions)},
        sources=sources,
        inputs=inputs,
    )
    if not _is_file(output):
        is_new = not uris.exists(output)
        writer = growing(output)
        (writer,) = open_tables([writer], overwrite=overwrite)
        with _deleted_for_audio(writer) if is_new else nullcontext():
            yield writer
        return
    output = uris.absolute(output)
    check_predictions(output, overwrite=overwrite)
    writer = growing(_hidden_table(output))
    # What a killed run of another configuration left is nobody's output.
    (writer,) = open_tables([writer], overwrite=True)
    with _deleted_for_audio(writer):
        yield writer
    write_file(output, _label_list(writer.uri), overwrite=overwrite)
    # The index last: as long as it is there, the same command goes on.
    for below in sorted(uris.list_files(writer.uri), key=lambda name: name == INDEX):
        uris.delete_file(uris.join(writer.uri, below))
    uris.delete(writer.uri)


@contextmanager
def _deleted_for_audio(writer: TableWriter) -> Iterator[None]:
    """Delete the folder of a table, unless another run has it, if too many recordings are bad."""
    try:
        yield
    except AudioError:
        with suppress(OSError, TableError):
            check_claim(writer.uri, writer.identity)
            uris.delete(writer.uri)
        raise


def _hidden_table(output: str) -> str:
    """Return where the predictions lie before they are a file."""
    folder, _, name = output.rpartition("/")
    return uris.join(folder, f".{name}.table")


def _is_file(output: str) -> bool:
    return output.lower().endswith(".tsv")


def _name_errors(errors: pa.Table) -> None:
    for error in errors.to_pylist():
        logger.warning("%r could not be used: %s", error["file"], error["message"])


def _predict(
    classifier: TrainedClassifier, table: str, writer: TableWriter, partitions: Sequence[str]
) -> StageSummary:
    """Write the missing parts: one for each of the embedding table, beside its errors."""
    started = time.perf_counter()
    index = read_index(table)
    metadata = read_table(table, columns=["partition"])
    chosen = np.zeros(metadata.num_rows, dtype=bool)
    chosen[rows_of_partitions(metadata, partitions, table)] = True
    missing = writer.missing(len(index.parts))
    starts = np.cumsum([0, *(part.rows for part in index.parts)])
    failed = {file_kind(part.name)[1]: part.name for part in index.errors}

    def predict(item: dict[str, Any]) -> dict[str, Any]:
        part = item["part"]
        place, beside = index.parts[part].name, failed.get(part)
        wanted = pa.array(chosen[starts[part] : starts[part + 1]])
        rows = read_part(table, place).filter(wanted)
        predicted = _predictions(classifier, rows, where=f"{place} of {table}")
        writer.write(part, predicted, read_part(table, beside) if beside else None)
        return {"rows": rows.num_rows}

    items = [{"part": part} for part in missing]
    estimate = len(items) * _SECONDS_PER_PART
    with stage_progress("predictions", unit="rows", total=int(chosen.sum())) as progress:
        for done in stream(items, predict, estimated_seconds=estimate):
            progress.advance(done["rows"])
    written = writer.commit(len(index.parts), labels=labels_of_parts(table, index))
    made = len(missing)
    return StageSummary.of_table("predictions", writer.uri, written, made=made, started=started)


def _predictions(
    classifier: TrainedClassifier, rows: pa.Table, *, where: str = "the audio"
) -> pa.Table:
    """Return the prediction of each row of embeddings: the mean over the fits."""
    probabilities = classifier.classifier.predict_proba(
        embedding_array(rows), where=where, name=row_names(rows)
    )
    mean = probabilities.mean(axis=0, keepdims=True)
    return prediction_rows(rows, np.arange(rows.num_rows), mean, classifier.labels, fold=None)


def _label_list(predictions: str) -> bytes:
    """Return the ``.tsv`` file of predictions."""
    rows = read_table(predictions, columns=["file", "predicted"]).to_pydict()
    labels = sorted(set(rows["predicted"]))
    ids = {label: label_id for label_id, label in enumerate(labels)}
    predicted = np.array([ids[label] for label in rows["predicted"]], dtype=np.int64)
    files, votes = majority_vote(rows["file"], predicted, len(labels))
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerows(sorted((file, labels[vote]) for file, vote in zip(files, votes, strict=True)))
    return text.getvalue().encode()


def _check_made_alike(classifier: TrainedClassifier, table: str) -> None:
    """Refuse embeddings of another size or, where both sides know theirs, made otherwise."""
    index = read_index(table)
    size = read_schema(table).field("embedding").type.list_size
    if size != classifier.size:
        raise TableError(
            f"{table} has embeddings of {size} values; the classifier was trained on embeddings "
            f"of {classifier.size}."
        )
    sources = embedding_sources(index.config)
    if sources is not None and classifier.sources is not None and sources != classifier.sources:
        raise TableError(
            f"{table} has embeddings of {describe_sources(sources)}; the classifier was trained on "
            f"those of {describe_sources(classifier.sources)}. Embed with the same models, "
            "readouts and chunks, and fuse them in the same order."
        )


def _models_of(classifier: TrainedClassifier, models: Sequence[str]) -> dict[str, str]:
    """Return the place of each model of the classifier's embeddings by its fingerprint."""
    reject_text(models, "models")
    if classifier.sources is None:
        raise TableError(
            "the classifier was trained on a table that names no autoencoder, so it cannot tell "
            "how to embed audio. Give it a table of embeddings made like that one."
        )
    if has_joined_chunks(classifier.sources):
        raise TableError(
            f"the classifier takes embeddings of {describe_sources(classifier.sources)}, and a "
            "recording may have more or fewer of them. Embed the audio in the same chunks, join "
            "them with `raudeep fuse-chunks`, and predict that table."
        )
    chunks_like(classifier.sources)  # which refuses several kinds, before anything is replaced
    places = {artifact_identity(model).fingerprint: model for model in models}
    needed = {source["model"] for source in classifier.sources}
    strange = [model for fingerprint, model in places.items() if fingerprint not in needed]
    if strange or needed - places.keys():
        wanted = f"the classifier takes embeddings of {describe_sources(classifier.sources)}"
        if strange:
            raise TableError(f"{wanted}; {', '.join(strange)} made none of them. Leave it out.")
        raise TableError(
            f"{wanted}. Pass the autoencoders that made them with --model; "
            f"{len(needed & places.keys())} of {len(needed)} were given."
        )
    return places
