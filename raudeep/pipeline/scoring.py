"""Evaluation: every split of every embedding table is a task, its predictions are a part.

``embedding table -> split -> standardise, fit all repeats at once, predict -> predictions part``
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.config import EvaluationConfig, MlpConfig
from raudeep.errors import EvaluationError
from raudeep.evaluation.cross_validation import UNLABELLED, evaluate_split, seeds_for
from raudeep.evaluation.folds import (
    Split,
    splits_from_folds,
    splits_from_partitions,
    stratified_folds,
)
from raudeep.evaluation.metrics import Score, score_predictions
from raudeep.pipeline.progress import stage_progress
from raudeep.pipeline.runtime import stream
from raudeep.pipeline.stage import StageSummary, embedding_array
from raudeep.schema import predictions_schema, with_metadata
from raudeep.storage.identity import Identity
from raudeep.storage.table import TableWriter, open_table, read_index, read_table

__all__ = ["Evaluation", "evaluate_mlp"]

# Of a fit on one core: arithmetic of a value of the first layer's weights, per row and epoch.
_SECONDS_PER_PRODUCT = 4 / 80e9


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Score of an embedding table and how it came about."""

    score: Score
    size: int
    """Values of an embedding."""
    summary: StageSummary


def evaluate_mlp(
    tables: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    mlp: MlpConfig,
    evaluation: EvaluationConfig,
    overwrite: bool = False,
) -> dict[str, Evaluation]:
    """Score embedding tables with multi-layer perceptrons, all splits of all tables side by side.

    Parameters
    ----------
    tables : mapping of name to URI
        Embedding tables with labels.
    outputs : mapping of name to URI
        The predictions table of each.
    mlp : MlpConfig
        The classifier.
    evaluation : EvaluationConfig
        Splits, repeats and seed.
    overwrite : bool
        Replace tables that were made with another configuration.

    Raises
    ------
    EvaluationError
        If a table has no labels, or neither folds nor the named partitions.
    """
    started = time.perf_counter()
    config = {"classifier": "mlp", "mlp": asdict(mlp), "evaluation": asdict(evaluation)}
    writers: dict[str, TableWriter] = {}
    splits: dict[str, list[Split]] = {}
    labels: dict[str, list[str]] = {}
    missing: dict[str, list[int]] = {}
    items: list[dict[str, Any]] = []
    work = 0.0
    for name, uri in tables.items():
        index = read_index(uri, stage="embeddings")
        identity = Identity("predictions", config, {"embeddings": index.identity.fingerprint})
        writers[name] = open_table(outputs[name], identity, overwrite=overwrite)
        metadata = read_table(uri, columns=["file", "label", "partition", "folds"])
        labels[name] = _label_map(metadata, uri)
        splits[name] = _splits(metadata, evaluation, uri)
        missing[name] = writers[name].missing(len(splits[name]))
        items += [{"name": name, "part": part} for part in missing[name]]
        size = sum(part.bytes for part in index.parts) / 4
        work += size * mlp.num_units * mlp.num_epochs * evaluation.repeats * len(missing[name])

    def score(item: dict[str, Any]) -> dict[str, Any]:
        from raudeep.models.inference import default_device
        from raudeep.models.mlp import mlp_classifier

        name, split = item["name"], splits[item["name"]][item["part"]]
        rows = read_table(tables[name])
        label_ids = {label: label_id for label_id, label in enumerate(labels[name])}
        probabilities = evaluate_split(
            embedding_array(rows),
            np.array([label_ids.get(label, UNLABELLED) for label in rows["label"].to_pylist()]),
            split,
            classifier=mlp_classifier(mlp, default_device().type),
            num_classes=len(label_ids),
            seeds=seeds_for(evaluation.seed, split.fold, evaluation.repeats),
        )
        writers[name].write(item["part"], _predictions(rows, split, probabilities, labels[name]))
        return {"fits": evaluation.repeats}

    # The largest first: at the end no core waits for a long one.
    items.sort(key=lambda item: -read_index(tables[item["name"]]).parts[0].bytes)
    with stage_progress(
        "evaluation", unit="fits", total=len(items) * evaluation.repeats
    ) as progress:
        for done in stream(items, [score], estimated_seconds=work * _SECONDS_PER_PRODUCT):
            progress.advance(done["fits"])
    results = {}
    for name, writer in writers.items():
        index = writer.commit(len(splits[name]))
        results[name] = Evaluation(
            score=_score(writer.uri, labels[name], majority_vote=evaluation.majority_vote),
            size=read_table(tables[name], columns=["embedding"]).schema[0].type.list_size,
            summary=StageSummary(
                stage="evaluation",
                table=writer.uri,
                seconds=time.perf_counter() - started,
                parts=len(splits[name]),
                reused=len(splits[name]) - len(missing[name]),
                rows=index.rows,
            ),
        )
    return results


def _label_map(metadata: pa.Table, uri: str) -> list[str]:
    labels = sorted({label for label in metadata["label"].to_pylist() if label is not None})
    if len(labels) < 2:
        raise EvaluationError(
            f"{uri} has {len(labels)} label(s); a classifier needs at least two. Embed a labelled "
            "corpus (see --corpus-layout), or give a manifest with a 'label' column."
        )
    return labels


def _splits(metadata: pa.Table, evaluation: EvaluationConfig, uri: str) -> list[Split]:
    files = metadata["file"].to_pylist()
    if evaluation.train_partitions:
        return splits_from_partitions(
            files,
            metadata["partition"].to_pylist(),
            train=evaluation.train_partitions,
            valid=evaluation.eval_partitions,
        )
    if evaluation.num_folds is not None:
        made = stratified_folds(
            files,
            metadata["label"].to_pylist(),
            num_folds=evaluation.num_folds,
            seed=evaluation.seed,
        )
        return splits_from_folds(files, made)
    folds = metadata["folds"].to_pylist()
    if not any(folds):
        raise EvaluationError(
            f"{uri} has no folds. Pass --num-folds N to make stratified ones, or "
            "--train-partitions and --eval-partitions."
        )
    return splits_from_folds(files, folds)


def _predictions(
    rows: pa.Table, split: Split, probabilities: np.ndarray[Any, Any], labels: list[str]
) -> pa.Table:
    """Return the prediction rows of a split: all repeats, shape (R, N, C)."""
    repeats, num_rows, num_classes = probabilities.shape
    valid = rows.select(["file", "chunk", "label"]).take(pa.array(split.valid))
    keys = pa.concat_tables([valid] * repeats).combine_chunks()
    predicted = [labels[label_id] for label_id in probabilities.argmax(axis=2).ravel()]
    schema = predictions_schema(num_classes)
    columns = [
        *keys.columns,
        pa.array(predicted, pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), num_classes),
        pa.array([split.fold] * (repeats * num_rows), pa.int16()),
        pa.array(np.repeat(np.arange(repeats), num_rows), pa.int16()),
    ]
    return pa.Table.from_arrays(columns, schema=with_metadata(schema, {"labels": labels}))


def _score(predictions: str, labels: list[str], *, majority_vote: bool) -> Score:
    columns = ["file", "label", "predicted", "fold", "repeat"]
    rows = read_table(predictions, columns=columns).to_pydict()
    return score_predictions(
        files=rows["file"],
        labels=rows["label"],
        predicted=rows["predicted"],
        folds=rows["fold"],
        repeats=rows["repeat"],
        label_map=labels,
        majority_vote=majority_vote,
    )
