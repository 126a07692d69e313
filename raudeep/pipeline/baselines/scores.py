"""What representations are compared with, by name: audio in, scores out, on the same folds.

Each baseline writes below a folder of its own; run again, it does only what is missing.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.audio.statistics import band_statistics
from raudeep.config import (
    Baseline,
    CnnConfig,
    EvaluationConfig,
    Limits,
    MlpConfig,
    SparseCodingConfig,
    SvmConfig,
)
from raudeep.errors import TableError
from raudeep.evaluation.metrics import Score
from raudeep.pipeline.baselines.convolutional import evaluate_cnn
from raudeep.pipeline.baselines.layout import BASELINE
from raudeep.pipeline.baselines.sparse_codes import embed_sparse_codes
from raudeep.pipeline.classification.scoring import evaluate_embeddings
from raudeep.pipeline.runtime.streaming import stream
from raudeep.pipeline.stage import StageSummary, embedding_rows, spectrogram_arrays
from raudeep.storage import uri as uris
from raudeep.storage.index import read_index
from raudeep.storage.labels import labels_of_parts
from raudeep.storage.opening import check_stage, open_tables
from raudeep.storage.outputs import check_folder
from raudeep.storage.table import read_part, read_table
from raudeep.storage.writer import TableWriter

__all__ = [
    "BaselineScore",
    "run_baselines",
    "score_band_statistics",
    "score_cnn",
    "score_sparse_coding",
]

_SECONDS_PER_SPECTROGRAM = 0.001


@dataclass(frozen=True, kw_only=True)
class BaselineScore:
    """Score of a baseline and how it came about."""

    score: Score
    size: int | None
    """Values of an embedding; None where there is none."""
    summaries: list[StageSummary]


def run_baselines(
    names: tuple[Baseline, ...],
    manifest: pa.Table,
    spectrograms: Mapping[str, str],
    output: str,
    *,
    cnn: CnnConfig,
    sparse_coding: SparseCodingConfig,
    mlp: MlpConfig,
    evaluation: EvaluationConfig,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> dict[str, BaselineScore]:
    """Score baselines on a corpus, each below ``OUTPUT/NAME``.

    Parameters
    ----------
    names : tuple of str
        Which of them.
    manifest : pa.Table
        The recordings, sorted by file, with labels.
    spectrograms : mapping of view to URI
        Spectrogram tables; ``band-statistics`` is scored on each.
    output : str
        URI of the folder of all baselines.
    cnn, sparse_coding, mlp, evaluation
        Their settings, and the splits and the seed of all; the repeats are the MLP's.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace what was made with another configuration.

    Returns
    -------
    dict
        By name of the baseline; ``band-statistics-VIEW`` where there are several views. The names
        of their stages begin with the baseline's.
    """
    scores: dict[str, BaselineScore] = {}
    found: dict[str, BaselineScore]
    for name in names:
        place = uris.join(output, name)
        if name == "cnn":
            score = score_cnn(
                manifest,
                place,
                config=cnn,
                evaluation=replace(evaluation, repeats=None),
                limits=limits,
                overwrite=overwrite,
            )
            found = {name: score}
        elif name == "sparse-coding":
            score = score_sparse_coding(
                manifest,
                place,
                config=sparse_coding,
                svm=SvmConfig(),
                evaluation=evaluation,
                limits=limits,
                overwrite=overwrite,
            )
            found = {name: score}
        else:
            suffixed = {f"{name}-{view}": view for view in spectrograms}
            views = suffixed if len(spectrograms) > 1 else dict.fromkeys([name], *spectrograms)
            found = score_band_statistics(
                {label: spectrograms[view] for label, view in views.items()},
                {label: uris.join(place, view) for label, view in views.items()},
                mlp=mlp,
                evaluation=evaluation,
                overwrite=overwrite,
            )
        scores |= {label: _as_stages_of(name, each) for label, each in found.items()}
    return scores


def _as_stages_of(name: str, baseline: BaselineScore) -> BaselineScore:
    """Return a score whose stages are not taken for those of the benchmark or other baselines."""
    own = [replace(each, stage=f"{name}: {each.stage}") for each in baseline.summaries]
    return replace(baseline, summaries=own)


def score_cnn(
    manifest: pa.Table,
    output: str,
    *,
    config: CnnConfig,
    evaluation: EvaluationConfig,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> BaselineScore:
    """Score the convolutional network on log-mel segments, fit anew on each split.

    Parameters
    ----------
    manifest : pa.Table
        The labelled recordings.
    output : str
        URI of a folder.
    config, evaluation, limits, overwrite
        As `raudeep.pipeline.baselines.convolutional.evaluate_cnn` takes them.
    """
    score, summaries = evaluate_cnn(
        manifest,
        output,
        config=config,
        evaluation=evaluation,
        limits=limits,
        overwrite=overwrite,
    )
    return BaselineScore(score=score, size=None, summaries=summaries)


def score_sparse_coding(
    manifest: pa.Table,
    output: str,
    *,
    config: SparseCodingConfig,
    svm: SvmConfig,
    evaluation: EvaluationConfig,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> BaselineScore:
    """Score pooled sparse codes with a linear SVM and a majority vote of a recording's windows.

    Embeddings go to ``OUTPUT/embeddings`` (see `embed_sparse_codes`), predictions to
    ``OUTPUT/predictions``. The vote is taken whatever the evaluation says.

    Parameters
    ----------
    manifest : pa.Table
        The labelled recordings, sorted by file.
    output : str
        URI of a folder.
    config, limits, overwrite
        As `embed_sparse_codes` takes them.
    svm : SvmConfig
        The classifier.
    evaluation : EvaluationConfig
        The splits and the seed, that of the dictionaries, too.
    """
    predictions = uris.join(output, "predictions")
    check_folder(output, BASELINE)
    check_stage(predictions, "predictions")  # before the work, not after it
    summaries = embed_sparse_codes(
        manifest,
        output,
        config=config,
        seed=evaluation.seed,
        limits=limits,
        overwrite=overwrite,
    )
    result = evaluate_embeddings(
        {"codes": uris.join(output, "embeddings")},
        {"codes": predictions},
        classifier=svm,
        evaluation=replace(evaluation, majority_vote=True, repeats=None),
        overwrite=overwrite,
    )["codes"]
    return BaselineScore(
        score=result.score, size=result.size, summaries=[*summaries, result.summary]
    )


def score_band_statistics(
    tables: Mapping[str, str],
    outputs: Mapping[str, str],
    *,
    mlp: MlpConfig,
    evaluation: EvaluationConfig,
    overwrite: bool = False,
) -> dict[str, BaselineScore]:
    """Score mean and standard deviation over time of each band of spectrograms with the MLP.

    Parameters
    ----------
    tables : mapping of name to URI
        Spectrogram tables.
    outputs : mapping of name to URI
        A folder for each, for ``embeddings`` and ``predictions``.
    mlp, evaluation
        The classifier, and splits, repeats and seed.
    overwrite : bool
        Replace what was made with another configuration.
    """
    for output in outputs.values():
        check_folder(output, BASELINE)
    embeddings = {name: uris.join(output, "embeddings") for name, output in outputs.items()}
    predictions = {name: uris.join(output, "predictions") for name, output in outputs.items()}
    for place in predictions.values():
        check_stage(place, "predictions")
    started = time.perf_counter()
    summaries = {
        name: _embed_statistics(table, embeddings[name], started=started, overwrite=overwrite)
        for name, table in tables.items()
    }
    results = evaluate_embeddings(
        embeddings,
        predictions,
        classifier=mlp,
        evaluation=evaluation,
        overwrite=overwrite,
    )
    return {
        name: BaselineScore(
            score=result.score, size=result.size, summaries=[summaries[name], result.summary]
        )
        for name, result in results.items()
    }


def _embed_statistics(table: str, output: str, *, started: float, overwrite: bool) -> StageSummary:
    """Embed one of the tables that are embedded one after the other since `started`."""
    index = read_index(table, stage="spectrograms")
    bands = _bands(table)
    writer = TableWriter.growing(
        output, "embeddings", {"readout": "band-statistics"}, {"spectrograms": index}
    )
    (writer,) = open_tables([writer], overwrite=overwrite)
    missing = writer.missing(len(index.parts))

    def embed(item: dict[str, Any]) -> dict[str, Any]:
        rows = read_part(table, index.parts[item["part"]].name)
        found = [band_statistics(each) for each in spectrogram_arrays(rows, where=table)]
        matrix = np.array(found, np.float32).reshape(-1, 2 * bands)
        writer.write(item["part"], embedding_rows(rows, matrix))
        return item

    estimate = index.rows * _SECONDS_PER_SPECTROGRAM
    for _ in stream([{"part": part} for part in missing], embed, estimated_seconds=estimate):
        pass
    index = writer.commit(len(index.parts), labels=labels_of_parts(table, index))
    return StageSummary.of_table(
        "embeddings", writer.uri, index, made=len(missing), started=started
    )


def _bands(table: str) -> int:
    """Return the number of bands that all spectrograms of a table have."""
    found = sorted(set(read_table(table, columns=["bands"])["bands"].to_pylist()))
    if len(found) != 1:
        raise TableError(
            f"{table}: band statistics need spectrograms of equally many bands; these have "
            f"{', '.join(map(str, found[:5])) or 'none'}. Extract with n_mels or sample_rate."
        )
    return int(found[0])
