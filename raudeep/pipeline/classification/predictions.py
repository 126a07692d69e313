"""Predictions as rows: labels and splits of a table, what a classifier says, the score."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.config import EvaluationConfig, reject_text
from raudeep.errors import EvaluationError
from raudeep.evaluation.classifier import UNLABELLED, Name
from raudeep.evaluation.conditions import score_limits, unknown_labels
from raudeep.evaluation.folds import Split, splits_from_folds, splits_from_partitions
from raudeep.evaluation.metrics import Score, score_predictions
from raudeep.evaluation.stratified import stratified_folds
from raudeep.schema import KEYS, predictions_schema, read_metadata, with_metadata
from raudeep.storage.index import read_index
from raudeep.storage.table import read_schema, read_table

__all__ = [
    "describe_evaluation",
    "in_key_order",
    "label_ids",
    "label_map",
    "prediction_rows",
    "row_names",
    "rows_of_partitions",
    "score_table",
    "splits_of",
    "warn_of_limits",
]

logger = logging.getLogger(__name__)


def label_map(metadata: pa.Table, uri: str) -> list[str]:
    """Return the labels of a table, sorted: the position of each is its label id.

    Raises
    ------
    EvaluationError
        If there are fewer than two.
    """
    labels = sorted({label for label in metadata["label"].to_pylist() if label is not None})
    if len(labels) < 2:
        raise EvaluationError(
            f"{uri} has {len(labels)} label(s); a classifier needs at least two. Embed a labelled "
            "corpus (see --corpus-layout), or give a manifest with a 'label' column."
        )
    return labels


def label_ids(metadata: pa.Table, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return the label id of each row, `UNLABELLED` for one without a label."""
    ids = {label: label_id for label_id, label in enumerate(labels)}
    return np.array([ids.get(label, UNLABELLED) for label in metadata["label"].to_pylist()])


def row_names(rows: pa.Table) -> Name:
    """Return what names the chunk and the recording of a row of a table, for messages."""
    return lambda row: f"chunk {rows['chunk'][row].as_py()} of {rows['file'][row].as_py()!r}"


def describe_evaluation(evaluation: EvaluationConfig, classifier: object) -> dict[str, Any]:
    """Return what of an evaluation the predictions of a classifier depend on."""
    described = asdict(evaluation) | {"repeats": evaluation.repeats_of(classifier)}
    described.pop("majority_vote")  # concerns the score
    return described


def splits_of(metadata: pa.Table, evaluation: EvaluationConfig, uri: str) -> list[Split]:
    """Return the splits of a table that an evaluation asks for, training rows in order of keys.

    Raises
    ------
    EvaluationError
        If the table has neither the folds nor the partitions for it, or a split has fewer than two
        classes to train on, or no label to score by.
    """
    splits = _splits(metadata, evaluation, uri)
    labels = np.array(metadata["label"].to_pylist(), dtype=object)
    for split in splits:
        where = f"{uri}: {'the partition' if split.fold is None else f'fold {split.fold}'}"
        classes = set(labels[split.train]) - {None}
        if len(classes) < 2:
            raise EvaluationError(
                f"{where} has {len(split.train)} rows to train on, of "
                f"{' and '.join(map(repr, classes)) or 'no class'} alone; a classifier needs at "
                "least two classes."
            )
        if all(label is None for label in labels[split.valid]):
            raise EvaluationError(
                f"{where} has {len(split.valid)} rows to score, none of them with a label."
            )
    return [replace(split, train=in_key_order(metadata, split.train)) for split in splits]


def warn_of_limits(tables: Mapping[str, tuple[pa.Table, Sequence[Split]]]) -> None:
    """Warn of rows that no classifier can get right, once where several tables have the same.

    Parameters
    ----------
    tables : mapping of URI to rows and splits
        The rows have a column ``label``.
    """
    said: dict[str, str] = {}
    for uri, (rows, splits) in tables.items():
        for sentence in score_limits(rows["label"].to_pylist(), splits):
            said.setdefault(sentence, uri)
    for sentence, uri in said.items():
        logger.warning("%s: %s.", uri, sentence)


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
            group_pattern=evaluation.group_pattern,
        )
        return _chosen(splits_from_folds(files, made), evaluation.folds, uri)
    folds = metadata["folds"].to_pylist()
    if not any(folds):
        raise EvaluationError(
            f"{uri} has no folds. Pass --num-folds N to make stratified ones, or "
            "--train-partitions and --eval-partitions."
        )
    return _chosen(splits_from_folds(files, folds), evaluation.folds, uri)


def _chosen(splits: list[Split], folds: Sequence[int], uri: str) -> list[Split]:
    """Return the splits of some folds, or all of them if none is named."""
    if missing := [fold for fold in folds if fold >= len(splits)]:
        raise EvaluationError(
            f"{uri} has no fold {missing[0]}; it has {len(splits)} folds, counted from 0."
        )
    return [split for split in splits if not folds or split.fold in folds]


def in_key_order(metadata: pa.Table, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return rows of a table sorted by file and, where it has them, by chunk.

    A classifier that is fitted on them does not depend on the order of the table: rows meet
    dropout masks, and are summed, by their position.
    """
    keys = metadata.select([name for name in ("file", "chunk") if name in metadata.column_names])
    by = [(name, "ascending") for name in keys.column_names]
    order: NDArray[np.uint64] = pc.sort_indices(keys.take(pa.array(rows)), by).to_numpy()
    return rows[order]


def rows_of_partitions(
    metadata: pa.Table, partitions: Sequence[str], uri: str
) -> NDArray[np.int64]:
    """Return the rows of a table that are in one of the partitions; all rows if none is named.

    Raises
    ------
    EvaluationError
        If a partition has no rows.
    """
    reject_text(partitions, "partitions")
    if not partitions:
        return np.arange(metadata.num_rows)
    column = metadata["partition"].to_pylist()
    existing = sorted({partition for partition in column if partition is not None})
    missing = [name for name in partitions if name not in existing]
    if missing:
        raise EvaluationError(
            f"no row of {uri} is in partition {missing[0]!r}. The rows have "
            f"{', '.join(map(repr, existing)) or 'no partitions'}."
        )
    return np.flatnonzero(np.isin(np.array([name or "" for name in column]), list(partitions)))


def prediction_rows(
    rows: pa.Table,
    chosen: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    *,
    fold: int | None,
) -> pa.Table:
    """Return a prediction for each of the `chosen` rows of a table and each repeat.

    Parameters
    ----------
    rows : pa.Table
        With the keys and labels of all rows.
    chosen : ndarray of int64, shape (N,)
        The rows that were predicted.
    probabilities : ndarray of float32, shape (R, N, C)
        Of each class; the most probable one is predicted, of equal ones the first.
    labels : sequence of str, length C
        Classes in label_id order.
    fold : int or None
        Fold of all of them.
    """
    repeats, num_rows, num_classes = probabilities.shape
    keys_and_label = [*(field.name for field in KEYS), "label"]
    valid = rows.select(keys_and_label).take(pa.array(chosen))
    keys = pa.concat_tables([valid] * repeats).combine_chunks()
    predicted = [labels[label_id] for label_id in probabilities.argmax(axis=2).ravel()]
    schema = predictions_schema(num_classes)
    columns: list[Any] = [
        *keys.columns,
        pa.array(predicted, pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(probabilities.ravel()), num_classes),
        pa.array([fold] * (repeats * num_rows), pa.int16()),
        pa.array(np.repeat(np.arange(repeats), num_rows), pa.int16()),
    ]
    return pa.Table.from_arrays(columns, schema=with_metadata(schema, {"labels": list(labels)}))


def score_table(
    predictions: str, labels: Sequence[str] | None = None, *, majority_vote: bool = False
) -> Score:
    """Return the score of a table of predictions of which rows have a label.

    Parameters
    ----------
    predictions : str
        URI of a predictions table.
    labels : sequence of str, optional
        Classes in label_id order; without, those that were predicted from, then what other labels
        the rows have, none of which can be right.
    majority_vote : bool
        Score recordings by the most frequent class of their chunks instead of every chunk.

    Raises
    ------
    EvaluationError
        If no row has a label, or a label is none of `labels`.
    """
    reject_text(labels, "labels")
    read_index(predictions, stage="predictions")
    columns = ["file", "label", "predicted", "fold", "repeat"]
    rows = read_table(predictions, columns=columns).to_pydict()
    if not any(rows["label"]):
        raise EvaluationError(f"no row of {predictions} has a label to compare with.")
    if labels is None:
        known = read_metadata(read_schema(predictions))["labels"]
        labels = [*known, *sorted({*rows["label"]} - {*known, None})]
        if sentence := unknown_labels(rows["label"], known):
            logger.warning("%s: %s.", predictions, sentence)
    return score_predictions(
        files=rows["file"],
        labels=rows["label"],
        predicted=rows["predicted"],
        folds=rows["fold"],
        repeats=rows["repeat"],
        label_map=labels,
        majority_vote=majority_vote,
    )
