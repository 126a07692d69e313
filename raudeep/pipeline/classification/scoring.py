"""Evaluation: every split of every embedding table is a task, its predictions are a part.

``embedding table -> split -> standardise, fit all repeats at once, predict -> predictions part``
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from raudeep.config import ClassifierConfig, EvaluationConfig, SvmConfig
from raudeep.evaluation.classifier import seeds_for
from raudeep.evaluation.cross_validation import evaluate_split
from raudeep.evaluation.folds import Split
from raudeep.evaluation.metrics import Score
from raudeep.pipeline.classification.classifiers import (
    check_fit,
    describe_classifier,
    estimate_fit,
    fit_function,
)
from raudeep.pipeline.classification.predictions import (
    describe_evaluation,
    label_ids,
    label_map,
    prediction_rows,
    row_names,
    score_table,
    splits_of,
    warn_of_limits,
)
from raudeep.pipeline.costs import Cost, check_disk
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import stream
from raudeep.pipeline.stage import StageSummary, embedding_array
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index
from raudeep.storage.opening import check_tables, open_tables, stored_identity
from raudeep.storage.table import read_schema, read_table
from raudeep.storage.writer import TableWriter

__all__ = ["Evaluation", "evaluate_embeddings", "plan_evaluation"]


_METADATA = ("file", "chunk", "label", "partition", "folds")

_SVM_REPEATS_BEFORE = 5  # without a number that was asked for; they differ by rounding at most


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Score of an embedding table and how it came about."""

    score: Score
    size: int
    """Values of an embedding."""
    summary: StageSummary


def evaluate_embeddings(
    tables: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    classifier: ClassifierConfig,
    evaluation: EvaluationConfig,
    overwrite: bool = False,
) -> dict[str, Evaluation]:
    """Score embedding tables with a classifier, all splits of all tables side by side.

    Parameters
    ----------
    tables : mapping of name to URI
        Embedding tables with labels.
    outputs : mapping of name to URI
        The predictions table of each: a row for each chunk, fold and repeat.
    classifier : MlpConfig or SvmConfig
        The classifier.
    evaluation : EvaluationConfig
        Splits, repeats and seed.
    overwrite : bool
        Replace tables that were made with another configuration.

    Raises
    ------
    EvaluationError
        If a table has no labels, or neither folds nor the named partitions.

    Notes
    -----
    Without a majority vote every chunk counts. auDeep then scores a recording by its last chunk
    alone.
    """
    started = time.perf_counter()
    described = describe_evaluation(evaluation, classifier)
    config = {**describe_classifier(classifier), "evaluation": described}
    indices = {name: read_index(uri, stage="embeddings") for name, uri in tables.items()}
    new = []
    for name, index in indices.items():
        inputs = {"embeddings": index.fingerprint, **index.labelled}
        identity = Identity("predictions", config, inputs)
        if evaluation.repeats is None and isinstance(classifier, SvmConfig):
            identity = _with_repeats_of_before(identity, outputs[name])
        new.append(TableWriter(outputs[name], identity))
    check_tables(new, overwrite=overwrite)
    writers = dict(zip(tables, new, strict=True))
    repeats = {name: _repeats(writer.identity) for name, writer in writers.items()}
    splits: dict[str, list[Split]] = {}
    labels: dict[str, list[str]] = {}
    costs: dict[str, Cost] = {}
    limited: dict[str, tuple[pa.Table, list[Split]]] = {}
    for name, uri in tables.items():
        metadata = read_table(uri, columns=_METADATA)
        labels[name] = label_map(metadata, uri)
        splits[name] = splits_of(metadata, evaluation, uri)
        limited[uri] = metadata, splits[name]
        costs[name] = _cost(uri, splits[name], len(labels[name]), classifier, repeats[name])
        if overwrite or writers[name].missing(len(splits[name])):
            check_fit(costs[name], classifier, uri)  # before anything is replaced
            check_disk(costs[name].output_bytes, outputs[name])
    warn_of_limits(limited)
    writers = dict(zip(tables, open_tables(new, overwrite=overwrite), strict=True))
    missing = {name: writer.missing(len(splits[name])) for name, writer in writers.items()}
    items: list[dict[str, Any]] = [
        {"name": name, "part": part} for name, parts in missing.items() for part in parts
    ]
    estimate = sum(
        costs[name].estimated_seconds * len(parts) / len(splits[name])
        for name, parts in missing.items()
    )
    memory = max(costs[name].memory_bytes for name in tables)

    def score(item: dict[str, Any]) -> dict[str, Any]:
        name, split = item["name"], splits[item["name"]][item["part"]]
        rows = read_table(tables[name])
        probabilities = evaluate_split(
            embedding_array(rows),
            label_ids(rows, labels[name]),
            split,
            fit=fit_function(classifier),
            num_classes=len(labels[name]),
            seeds=seeds_for(evaluation.seed, split.fold, repeats[name]),
            upsample=evaluation.upsample,
            name=row_names(rows),
        )
        predicted = prediction_rows(rows, split.valid, probabilities, labels[name], fold=split.fold)
        writers[name].write(item["part"], predicted)
        return {"fits": repeats[name]}

    # The largest first: at the end no core waits for a long one.
    items.sort(key=lambda item: -indices[item["name"]].parts[0].bytes)
    total = sum(repeats[item["name"]] for item in items)
    with stage_progress("evaluation", unit="fits", total=total) as progress:
        for done in stream(items, score, estimated_seconds=estimate, memory_bytes=memory):
            progress.advance(done["fits"])
    results = {}
    for name, writer in writers.items():
        index = writer.commit(len(splits[name]))
        results[name] = Evaluation(
            score=score_table(writer.uri, labels[name], majority_vote=evaluation.majority_vote),
            size=read_schema(tables[name]).field("embedding").type.list_size,
            summary=StageSummary.of_table(
                "evaluation", writer.uri, index, made=len(missing[name]), started=started
            ),
        )
    return results


def _with_repeats_of_before(identity: Identity, output: str) -> Identity:
    """Return the identity of predictions with the number of repeats that an SVM once had.

    Only where such predictions are there: nobody has to make them again.
    """
    evaluation = {**identity.config["evaluation"], "repeats": _SVM_REPEATS_BEFORE}
    before = replace(identity, config={**identity.config, "evaluation": evaluation})
    return before if stored_identity(output) == before else identity


def _repeats(identity: Identity) -> int:
    return int(identity.config["evaluation"]["repeats"])


def plan_evaluation(
    table: str, output: str, *, classifier: ClassifierConfig, evaluation: EvaluationConfig
) -> dict[str, Any]:
    """Return what `evaluate_embeddings` would do with one table, and what it would cost.

    Parameters
    ----------
    table, output, classifier, evaluation
        As `evaluate_embeddings` takes them.

    Returns
    -------
    dict
        Rows, classes, splits, fits, memory, bytes of the output, seconds on one core.

    Raises
    ------
    EvaluationError, ResourceError, TableError
        Where `evaluate_embeddings` would.
    """
    read_index(table, stage="embeddings")
    metadata = read_table(table, columns=_METADATA)
    labels, splits = label_map(metadata, table), splits_of(metadata, evaluation, table)
    warn_of_limits({table: (metadata, splits)})
    repeats = evaluation.repeats_of(classifier)
    cost = _cost(table, splits, len(labels), classifier, repeats)
    check_fit(cost, classifier, table)
    check_disk(cost.output_bytes, output)
    counts = {"classes": len(labels), "splits": len(splits), "fits": len(splits) * repeats}
    return {"table": table, **counts, **cost.to_dict()}


def _cost(
    table: str,
    splits: Sequence[Split],
    num_classes: int,
    classifier: ClassifierConfig,
    repeats: int,
) -> Cost:
    """Return what it costs to score all splits of a table, one after the other."""
    size = read_schema(table).field("embedding").type.list_size
    fits = [
        estimate_fit(
            classifier,
            num_rows=len(split.train),
            size=size,
            num_classes=num_classes,
            repeats=repeats,
        )
        for split in splits
    ]
    num_scored = [len(split.valid) for split in splits]
    probabilities = 4 * num_classes * repeats
    return Cost(
        rows=max(len(split.train) for split in splits),
        # Probabilities as an array, as rows, and as the file that they become.
        memory_bytes=max(fit.memory_bytes for fit in fits) + 3 * probabilities * max(num_scored),
        estimated_seconds=sum(fit.estimated_seconds for fit in fits),
        output_bytes=probabilities * sum(num_scored),
    )
