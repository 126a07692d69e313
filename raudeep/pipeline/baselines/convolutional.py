"""The convolutional network baseline: every fold is a task that trains, its predictions a part.

``audio -> log-mel spectrograms (a table) -> fold -> a network for each repeat -> predictions part``
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.audio.log_mel import SILENCE_DB, log_mel
from raudeep.config import CnnConfig, EvaluationConfig, Limits
from raudeep.evaluation.classifier import UNLABELLED, seeds_for
from raudeep.evaluation.folds import Split
from raudeep.evaluation.metrics import Score
from raudeep.evaluation.upsampling import upsample_rows
from raudeep.models.piczak import fit_cnn, predict_recordings
from raudeep.pipeline.baselines.layout import BASELINE
from raudeep.pipeline.classification.predictions import (
    describe_evaluation,
    label_ids,
    label_map,
    prediction_rows,
    score_table,
    splits_of,
    warn_of_limits,
)
from raudeep.pipeline.recordings.kernels import Kernel, Piece, map_recordings
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.runtime.streaming import Pool, stream
from raudeep.pipeline.stage import StageSummary, spectrogram_arrays, spectrogram_rows
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import is_table, read_index
from raudeep.storage.opening import check_stage, open_table
from raudeep.storage.outputs import check_folder
from raudeep.storage.table import read_table
from raudeep.storage.writer import TableWriter

__all__ = ["evaluate_cnn"]

SAMPLE_RATE = 22_050
N_FFT, HOP_LENGTH, N_MELS = 1024, 512, 60
_SECONDS_PER_RECORDING = 0.05
_OPERATIONS_PER_SECOND = 40e9  # of a core


def evaluate_cnn(
    manifest: pa.Table,
    output: str,
    *,
    config: CnnConfig,
    evaluation: EvaluationConfig,
    limits: Limits | None = None,
    overwrite: bool = False,
) -> tuple[Score, list[StageSummary]]:
    """Train a convolutional network for each fold and repeat, and score it.

    Spectrograms go to ``OUTPUT/spectrograms``, predictions, a row for each recording and repeat, to
    ``OUTPUT/predictions``. Run again, it trains only for the folds that are missing.

    Parameters
    ----------
    manifest : pa.Table
        The recordings, sorted by file, with labels.
    output : str
        URI of a folder.
    config : CnnConfig
        Segments, network and training.
    evaluation : EvaluationConfig
        Splits, repeats and seed; majority_vote has no bearing, since recordings are scored.
    limits : Limits, optional
        Which recordings are taken, and how many may fail.
    overwrite : bool
        Replace what was made with another configuration.

    Returns
    -------
    score : Score
    summaries : list of StageSummary
        Of the spectrograms and of the training with its evaluation.

    Raises
    ------
    EvaluationError
        If the recordings have no labels, or neither folds nor the named partitions.
    """
    check_folder(output, BASELINE)
    table = uris.join(output, "spectrograms")
    check_stage(uris.join(output, "predictions"), "predictions")  # before the work, not after it
    features = Identity(
        "log-mel",
        {"sample_rate": SAMPLE_RATE, "n_fft": N_FFT, "hop_length": HOP_LENGTH, "n_mels": N_MELS},
    )
    if is_table(table) and not overwrite:
        # First of all: what is there must be this, or must be replaced on purpose.
        _open_predictions(output, config, evaluation, overwrite=False)
    extracted = map_recordings(
        manifest,
        table,
        _log_mel_kernel,
        identity=features,
        rows=partial(spectrogram_rows, shape=(None, N_MELS)),
        sample_rate=SAMPLE_RATE,
        bytes_per_row=2**20,
        seconds_per_recording=_SECONDS_PER_RECORDING,
        limits=limits or Limits(),
        overwrite=overwrite,
    )
    started = time.perf_counter()
    # Not before: another try may have found a recording good.
    writer = _open_predictions(output, config, evaluation, overwrite=overwrite)
    metadata = read_table(table, columns=["file", "label", "partition", "folds", "frames"])
    labels = label_map(metadata, table)
    splits = splits_of(metadata, evaluation, table)
    warn_of_limits({table: (metadata, splits)})
    missing = writer.missing(len(splits))
    trainer = Pool(
        _Trainer,
        {
            "table": table,
            "labels": labels,
            "splits": splits,
            "config": config,
            "evaluation": evaluation,
            "writer": writer,
        },
    )
    frames = metadata["frames"].to_numpy()
    work = sum(_operations(config, frames[splits[part].train], len(labels)) for part in missing)
    repeats = evaluation.repeats_of(config)
    estimate = repeats * work / _OPERATIONS_PER_SECOND
    total = len(missing) * repeats
    with stage_progress("networks", unit="networks", total=total) as progress:
        for done in stream([{"part": p} for p in missing], trainer, estimated_seconds=estimate):
            progress.advance(done["networks"])
    index = writer.commit(len(splits))
    scored = StageSummary.of_table(
        "networks", writer.uri, index, made=len(missing), started=started
    )
    return score_table(writer.uri, labels, majority_vote=False), [extracted, scored]


def _open_predictions(
    output: str, config: CnnConfig, evaluation: EvaluationConfig, *, overwrite: bool
) -> TableWriter:
    """Return the writer of the predictions on the spectrograms that are there."""
    described = describe_evaluation(evaluation, config)
    settings = {"classifier": "cnn", "cnn": asdict(config), "evaluation": described}
    index = read_index(uris.join(output, "spectrograms"))
    inputs = {"spectrograms": index.fingerprint, **index.labelled}
    identity = Identity("predictions", settings, inputs)
    return open_table(uris.join(output, "predictions"), identity, overwrite=overwrite)


def _log_mel_kernel() -> Kernel:
    def kernel(samples: NDArray[np.float32]) -> Sequence[Piece]:
        spectrogram = log_mel(
            samples, sample_rate=SAMPLE_RATE, n_fft=N_FFT, hop_length=HOP_LENGTH, n_mels=N_MELS
        )
        return [Piece(0.0, samples.size / SAMPLE_RATE, spectrogram)]

    return kernel


@dataclass(frozen=True, kw_only=True)
class _Trainer:
    """An actor that trains the networks of a fold and writes what they predict."""

    table: str
    labels: list[str]
    splits: list[Split]
    config: CnnConfig
    evaluation: EvaluationConfig
    writer: TableWriter

    def __call__(self, item: dict[str, Any]) -> dict[str, Any]:
        from raudeep.models.inference import default_device

        rows = read_table(self.table)
        spectrograms = spectrogram_arrays(rows, where=self.table)
        split, ids = self.splits[item["part"]], label_ids(rows, self.labels)
        train = split.train[ids[split.train] != UNLABELLED]
        if self.evaluation.upsample:
            train = train[upsample_rows(ids[train].tolist())]
        shared: dict[str, Any] = {
            "num_classes": len(self.labels),
            "config": self.config,
            "floor_db": SILENCE_DB,
        }
        probabilities = []
        repeats = self.evaluation.repeats_of(self.config)
        for seed in seeds_for(self.evaluation.seed, split.fold, repeats):
            net, scale = fit_cnn(
                [spectrograms[row] for row in train],
                ids[train],
                seed=seed,
                frame_seconds=HOP_LENGTH / SAMPLE_RATE,
                device=default_device(),
                **shared,
            )
            valid = [spectrograms[row] for row in split.valid]
            probabilities.append(predict_recordings(net, valid, scale=scale, **shared))
        table = prediction_rows(
            rows, split.valid, np.array(probabilities), self.labels, fold=split.fold
        )
        self.writer.write(item["part"], table)
        return {"networks": repeats}


def _operations(config: CnnConfig, frames: NDArray[np.int64], num_classes: int) -> float:
    """Return roughly the floating point operations of a network's training."""
    step = max(1.0, config.segment_frames * (1 - config.segment_overlap))
    segments = np.maximum(1, frames / step).sum() * (1 + config.num_delayed)
    first = 2 * 57 * 6 * config.num_filters * 4 * (config.segment_frames - 5)
    pooled = config.num_filters * max(1, config.segment_frames // 9 - 1)
    dense = config.num_units * (pooled + config.num_units + num_classes)
    return float(6 * (first + dense) * segments * config.num_epochs)
