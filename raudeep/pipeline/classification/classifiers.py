"""Classifiers: fitted on a table of embeddings, kept as JSON and safetensors, nothing pickled."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc
import safetensors.numpy
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from raudeep.config import CLASSIFIERS, ClassifierConfig, FitConfig, MlpConfig, build
from raudeep.errors import ConfigError, TableError
from raudeep.evaluation.classifier import Classifier, FitFunction, Fitted, fit_classifier, seeds_for
from raudeep.evaluation.svm import LinearSvms, fit_svms
from raudeep.foreign import blamed, parse_json, typed
from raudeep.pipeline.classification.predictions import (
    in_key_order,
    label_ids,
    label_map,
    row_names,
    rows_of_partitions,
)
from raudeep.pipeline.costs import Cost, check_memory
from raudeep.pipeline.recordings.sources import Source, checked_sources, embedding_sources
from raudeep.pipeline.stage import StageSummary, embedding_array
from raudeep.storage import uri as uris
from raudeep.storage.claim import check_claim, claimed, claiming, release
from raudeep.storage.found import instead
from raudeep.storage.identity import Identity, package_versions
from raudeep.storage.index import TableIndex, read_index
from raudeep.storage.outputs import Kind, find_output, is_json, json_with
from raudeep.storage.table import read_schema, read_table

__all__ = [
    "TrainedClassifier",
    "check_fit",
    "describe_classifier",
    "estimate_fit",
    "fit_function",
    "fit_table",
    "load_classifier",
    "train_classifier",
]

FORMAT_VERSION = 2
CONFIG_FILE, WEIGHTS_FILE = "classifier.json", "classifier.safetensors"
_CONFIG_KEYS = ("format_version", "labels", "identity")

# On one core: arithmetic of a value of the first layer's weights, per row and epoch.
_SECONDS_PER_PRODUCT = 4 / 80e9
_SECONDS_PER_SVM_VALUE = 1e-6
_COPIES = 5  # of the rows as float32: in the table, as an array, trained on, standardised, turned
_SMALL_PRODUCT = 1e9


@dataclass(frozen=True, kw_only=True)
class TrainedClassifier:
    """Classifiers with all that is needed to use them on embeddings."""

    config: ClassifierConfig
    labels: list[str]
    """Classes in label_id order."""
    classifier: Classifier
    sources: list[Source] | None
    """What made each piece of an embedding; None where no autoencoder did."""
    identity: Identity
    """What it was made from."""

    @property
    def size(self) -> int:
        """Values of an embedding."""
        return len(self.classifier.mean)


def describe_classifier(config: ClassifierConfig) -> dict[str, Any]:
    """Return the kind and the settings of a classifier, for an identity."""
    kind = _kind(config)
    return {"classifier": kind, kind: asdict(config)}


def fit_function(config: ClassifierConfig) -> FitFunction:
    """Return the function that fits the classifier; torch is imported for networks only."""
    if isinstance(config, MlpConfig):
        from raudeep.models.inference import default_device
        from raudeep.models.mlp import fit_mlps

        device = default_device().type

        def fit(
            X: NDArray[np.float32], y: NDArray[np.int64], num_classes: int, seeds: Sequence[int]
        ) -> Fitted:
            # On a busy machine a small product waits for its second thread a hundred times longer
            # than it takes.
            small = X.size * config.num_units * len(seeds) < _SMALL_PRODUCT
            with threadpool_limits(1 if small else None):
                return fit_mlps(
                    X, y, num_classes=num_classes, config=config, seeds=seeds, device=device
                )

        return fit
    machines = partial(fit_svms, config=config)
    return lambda X, y, classes, seeds: machines(X, y, num_classes=classes, seeds=seeds)


def estimate_fit(
    config: ClassifierConfig, *, num_rows: int, size: int, num_classes: int, repeats: int
) -> Cost:
    """Return what fits on `num_rows` embeddings of `size` values cost, side by side.

    The estimates hold within a factor of two or so.
    """
    values = num_rows * size
    if not isinstance(config, MlpConfig):
        # scikit-learn has the rows as float64, and its solver once more with an index each.
        memory = (_COPIES * 4 + 8 + 16) * values + 16 * num_classes * size * repeats
        seconds = _SECONDS_PER_SVM_VALUE * values * repeats
        return Cost(rows=num_rows, memory_bytes=memory, estimated_seconds=seconds)
    units, layers = config.num_units, config.num_layers
    weights = units * (size + (layers - 1) * units + num_classes)
    products = num_rows * weights * config.num_epochs * repeats
    # Outputs and their gradients of each layer; of hidden ones masks and the bits they are from.
    per_row = repeats * (8 * (layers * units + num_classes) + 7 * layers * units)
    batch = min(num_rows, config.batch_size or num_rows)
    memory = _COPIES * 4 * values + per_row * batch + 16 * weights * repeats
    return Cost(
        rows=num_rows, memory_bytes=memory, estimated_seconds=_SECONDS_PER_PRODUCT * products
    )


def check_fit(cost: Cost, config: ClassifierConfig, table: str) -> None:
    """Raise `ResourceError` if a fit needs more memory than a process may take."""
    way_out = "Take a sample of the rows"
    if isinstance(config, MlpConfig) and config.batch_size is None:
        way_out = "Pass --batch-size 1024 (with fewer --num-epochs)"
    check_memory(cost.memory_bytes, f"{table}: training on {cost.rows} rows", way_out=f"{way_out}.")


def fit_table(table: str, *, config: ClassifierConfig, fit: FitConfig) -> TrainedClassifier:
    """Return a classifier trained on an embedding table.

    Parameters
    ----------
    table : str
        URI of an embedding table with labels.
    config : MlpConfig or SvmConfig
        The classifier.
    fit : FitConfig
        Which rows, how often, the seed.

    Raises
    ------
    EvaluationError
        If the rows have fewer than two labels, or a partition has no rows.
    """
    index = read_index(table, stage="embeddings")
    cost = estimate_fit(
        config,
        num_rows=index.rows,
        size=read_schema(table).field("embedding").type.list_size,
        num_classes=len(pc.unique(read_table(table, columns=["label"])["label"])),
        repeats=fit.repeats,
    )
    check_fit(cost, config, table)
    rows = read_table(table)
    chosen = in_key_order(rows, rows_of_partitions(rows, fit.train_partitions, table))
    labels = label_map(rows.take(chosen), table)
    classifier = fit_classifier(
        embedding_array(rows),
        label_ids(rows, labels),
        chosen,
        fit=fit_function(config),
        num_classes=len(labels),
        seeds=seeds_for(fit.seed, None, fit.repeats),
        upsample=fit.upsample,
        where=table,
        name=row_names(rows),
    )
    return TrainedClassifier(
        config=config,
        labels=labels,
        classifier=classifier,
        sources=embedding_sources(index.config),
        identity=_identity(index, config, fit),
    )


def train_classifier(
    table: str,
    output: str,
    *,
    config: ClassifierConfig,
    fit: FitConfig,
    overwrite: bool = False,
) -> StageSummary:
    """Train a classifier on an embedding table and write it to a folder.

    Parameters
    ----------
    table : str
        URI of an embedding table with labels.
    output : str
        URI of the folder for ``classifier.json`` and ``classifier.safetensors``.
    config, fit
        See `fit_table`.
    overwrite : bool
        Replace a classifier that was made with another configuration.

    Raises
    ------
    EvaluationError
        If the rows have fewer than two labels, or a partition has no rows.
    TableError
        If the place holds something else or cannot be written.
    """
    started = time.perf_counter()
    find_output(output, CLASSIFIER)
    index = read_index(table, stage="embeddings")
    metadata = read_table(table, columns=["partition", "label"])
    chosen = metadata.take(rows_of_partitions(metadata, fit.train_partitions, table))
    identity = _identity(index, config, fit)
    uris.clean(output)
    reused = _is_made(output, identity, overwrite=overwrite)
    if reused:
        release(output, identity)
    else:
        uris.check_writable(output)
        with claiming(output, identity, overwrite=overwrite):
            files = _pack(fit_table(table, config=config, fit=fit))
            _is_made(output, identity, overwrite=overwrite)  # by another run meanwhile
            check_claim(output, identity)
            uris.delete(uris.join(output, CONFIG_FILE))
            for name, content in files.items():
                check_claim(output, identity)
                uris.write_bytes(uris.join(output, name), content)
    return StageSummary(
        stage="classifier",
        table=output,
        seconds=time.perf_counter() - started,
        parts=1,
        reused=int(reused),
        rows=chosen.num_rows - chosen["label"].null_count,
    )


def _is_made(output: str, identity: Identity, *, overwrite: bool) -> bool:
    """Return whether the classifier is there; `TableError` if another is that is to stay."""
    if not _is_finished(output):
        return False
    stored = load_classifier(output).identity
    if stored != identity and not (overwrite or stored.differs_in_labels(identity)):
        raise TableError(stored.conflict(identity, place=output))
    return stored == identity


def load_classifier(uri: str) -> TrainedClassifier:
    """Return the classifier that lies at `uri`.

    Raises
    ------
    TableError
        If there is none, or it is damaged or of another format version.
    """
    said = f"{uri}: the classifier cannot be read"
    try:
        described = parse_json(uris.read_bytes(uris.join(uri, CONFIG_FILE)), said)
        stored = uris.read_bytes(uris.join(uri, WEIGHTS_FILE))
    except FileNotFoundError as error:
        missing = str(error.filename or error).rsplit("/", 1)[-1]
        said = f"{uri} holds no finished classifier ({missing} missing)."
        raise TableError(f"{said}{instead(uri, 'classifier')}") from error
    except OSError as error:
        raise TableError(f"{said}: {error}") from error
    version = typed(_Versioned, described, f"{said}: {CONFIG_FILE}").format_version
    if version != FORMAT_VERSION:
        raise TableError(
            f"{uri}: classifier format {version!r:.80}; this raudeep reads {FORMAT_VERSION}. "
            "Delete it and train it again."
        )
    config: _Described = typed(_Described, described, f"{said}: {CONFIG_FILE}")
    kind = typed(str, config.identity.config.get("classifier"), f"{said}: its kind")
    if kind not in CLASSIFIERS:
        raise TableError(f"{said}: there is no kind {kind!r:.80}.")
    values = typed(dict[str, Any], config.identity.config.get(kind), f"{said}: its settings")
    try:
        settings = build(CLASSIFIERS[kind], values, where=said)
    except ConfigError as error:
        raise TableError(str(error)) from error
    with blamed(said):
        arrays = dict(safetensors.numpy.load(stored))
        classifier = _classifier_of(settings, arrays, len(config.labels))
    return TrainedClassifier(
        config=settings,
        labels=config.labels,
        classifier=classifier,
        sources=None if config.sources is None else checked_sources(config.sources),
        identity=config.identity,
    )


@dataclass(frozen=True)
class _Versioned:
    """The first thing that is wanted of a configuration."""

    format_version: Any


@dataclass(frozen=True)
class _Described:
    """What the configuration of a kept classifier says."""

    labels: list[str]
    sources: list[dict[str, Any]] | None
    identity: Identity


def _classifier_of(
    config: ClassifierConfig, arrays: dict[str, NDArray[Any]], num_classes: int
) -> Classifier:
    """Return a classifier of its arrays, which predicts a row of zeros; ValueError if it cannot."""
    for name, values in arrays.items():
        # The bias of a class that a machine has not seen is minus infinity.
        if not (np.isfinite(values) | (values == -np.inf)).all():
            raise ValueError(f"{name!r} holds NaN or infinite values")
    mean, std = arrays.pop("mean"), arrays.pop("std")
    if mean.ndim != 1 or mean.shape != std.shape or not (std > 0).all():
        raise ValueError("'mean' and 'std' must be of one shape, and 'std' positive")
    classifier = Classifier(mean=mean, std=std, fitted=_fitted(config, arrays))
    shape = classifier.predict_proba(mean[np.newaxis].astype(np.float32)).shape
    if len(shape) != 3 or shape[2] != num_classes:
        raise ValueError(f"there are {num_classes} labels, and probabilities of shape {shape}")
    return classifier


def _is_finished(uri: str) -> bool:
    return is_json(uris.join(uri, CONFIG_FILE), *_CONFIG_KEYS)


def _is_begun(uri: str) -> bool:
    """Return whether a classifier is begun: its claim or its weights are there."""
    if (owner := claimed(uri)) and owner.stage == "classifier":
        return True
    try:
        content = uris.read_bytes(uris.join(uri, WEIGHTS_FILE))
        with blamed(uri):
            tensors = safetensors.numpy.load(content)
    except (OSError, TableError):
        return False
    return "mean" in tensors and "std" in tensors


CLASSIFIER = Kind(
    "classifier",
    is_there=lambda uri: _is_finished(uri) or _is_begun(uri),
    files={CONFIG_FILE: json_with(*_CONFIG_KEYS)},
)


def _identity(index: TableIndex, config: ClassifierConfig, fit: FitConfig) -> Identity:
    settings = {**describe_classifier(config), "fit": asdict(fit)}
    inputs = {"embeddings": index.fingerprint, **index.labelled}
    return Identity("classifier", settings, inputs)


def _pack(trained: TrainedClassifier) -> dict[str, bytes]:
    """Return the files of a classifier, the configuration last: where it is, the rest is."""
    arrays = {
        "mean": trained.classifier.mean,
        "std": trained.classifier.std,
        **trained.classifier.fitted.arrays(),
    }
    described = {
        "format_version": FORMAT_VERSION,
        "labels": trained.labels,
        "size": trained.size,
        "sources": trained.sources,
        "identity": asdict(trained.identity),
        "versions": package_versions(),
    }
    in_order: Mapping[str, NDArray[Any]] = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
    return {
        WEIGHTS_FILE: bytes(safetensors.numpy.save(dict(in_order))),
        CONFIG_FILE: json.dumps(described, indent=1, sort_keys=True).encode(),
    }


def _fitted(config: ClassifierConfig, arrays: Mapping[str, NDArray[Any]]) -> Fitted:
    if isinstance(config, MlpConfig):
        from raudeep.models.mlp import MlpEnsemble

        return MlpEnsemble.from_arrays(arrays)
    return LinearSvms.from_arrays(arrays)


def _kind(config: ClassifierConfig) -> str:
    return next(kind for kind, cls in CLASSIFIERS.items() if isinstance(config, cls))
