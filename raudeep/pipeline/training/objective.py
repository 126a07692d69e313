"""What a sweep ranks trials by, computed by the worker that trains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
from torch import Tensor

from raudeep.config import Readout, SvmConfig
from raudeep.evaluation.classifier import seeds_for
from raudeep.evaluation.cross_validation import evaluate_split
from raudeep.evaluation.folds import splits_from_folds
from raudeep.evaluation.metrics import score_predictions
from raudeep.models.autoencoder import Autoencoder
from raudeep.models.batching import SpectrogramSource
from raudeep.models.inference import embed_spectrograms
from raudeep.pipeline.classification.classifiers import fit_function
from raudeep.pipeline.classification.predictions import label_ids, label_map
from raudeep.storage.table import read_table

__all__ = ["Objective"]


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The validation loss, or the UAR of a linear SVM on the embeddings of the current weights."""

    kind: Literal["loss", "uar"]
    rungs: tuple[int, ...] = ()
    """Epochs after which the UAR is taken, beside the last one; the loss is there after each."""
    readout: Readout = "pooled"
    svm: SvmConfig = field(default_factory=SvmConfig)
    majority_vote: bool = False
    seed: int = 0

    def is_due(self, epoch: int) -> bool:
        """Return whether the objective is taken after an epoch."""
        return self.kind == "loss" or epoch in self.rungs

    def score(
        self,
        model: Autoencoder,
        weights: Mapping[str, Tensor],
        spectrograms: SpectrogramSource,
        tables: Sequence[str],
    ) -> float:
        """Return the mean UAR over the folds that the rows of the tables carry.

        Parameters
        ----------
        model : Autoencoder
            As it is trained.
        weights : mapping
            Embed with these instead of its own; empty for its own.
        spectrograms : SpectrogramSource
            All rows of the tables.
        tables : sequence of URI
            The tables, which say file, label and folds of each row.
        """
        own = {name: value.detach().clone() for name, value in model.state_dict().items()}
        if weights:
            model.load_state_dict(weights)
        model.eval()  # an epoch begins with training mode
        embeddings = np.concatenate(
            [
                embed_spectrograms(model, piece, readouts=(self.readout,))[self.readout]
                for piece in spectrograms.pieces()
            ]
        )
        model.load_state_dict(own)
        columns = ["file", "label", "folds"]
        rows = pa.concat_tables([read_table(uri, columns=columns) for uri in tables])
        labels = label_map(rows, ", ".join(tables))
        ids, files = label_ids(rows, labels), rows["file"].to_pylist()
        scores = []
        for split in splits_from_folds(files, rows["folds"].to_pylist()):
            probabilities = evaluate_split(
                embeddings,
                ids,
                split,
                fit=fit_function(self.svm),
                num_classes=len(labels),
                seeds=seeds_for(self.seed, split.fold, 1),
            )
            predicted = probabilities[0].argmax(axis=1)
            score = score_predictions(
                files=[files[row] for row in split.valid],
                labels=[rows["label"][int(row)].as_py() for row in split.valid],
                predicted=[labels[label_id] for label_id in predicted],
                folds=[split.fold] * len(split.valid),
                repeats=[0] * len(split.valid),
                label_map=labels,
                majority_vote=self.majority_vote,
            )
            scores.append(score.uar)
        return sum(scores) / len(scores)
