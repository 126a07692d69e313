"""What a training shows of each epoch: TensorBoard events with a few examples, Ray's metrics."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.tensorboard import SummaryWriter

from raudeep.models.autoencoder import Autoencoder
from raudeep.models.batching import Spectrograms
from raudeep.models.fitting import EpochResult
from raudeep.models.inference import reconstruct_spectrograms
from raudeep.pipeline.runtime import metrics

__all__ = ["Examples", "log_epoch", "show_metrics"]


@dataclass(frozen=True)
class Examples:
    """A few chunks to look at: their keys and their spectrograms."""

    metadata: pa.Table
    spectrograms: Spectrograms

    def pairs(self, model: Autoencoder) -> list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
        """Return target and reconstruction of each, of the bands that are reconstructed."""
        targets = torch.split(self.spectrograms.frames, self.spectrograms.lengths.tolist())
        decoded, _ = reconstruct_spectrograms(model, self.spectrograms)
        return [
            (target.numpy()[:, : found.shape[1]], found)
            for target, found in zip(targets, decoded, strict=True)
        ]

    def table(self, model: Autoencoder) -> pa.Table:
        """Return the examples and their reconstructions as rows."""
        pairs = self.pairs(model)
        columns = {
            "frames": pa.array([len(target) for target, _ in pairs], pa.int32()),
            "bands": pa.array([target.shape[1] for target, _ in pairs], pa.int32()),
            "spectrogram": pa.array([target.ravel() for target, _ in pairs]),
            "reconstruction": pa.array([found.ravel() for _, found in pairs]),
        }
        table = self.metadata
        for name, column in columns.items():
            table = table.append_column(name, column)
        return table


def log_epoch(
    writer: SummaryWriter,
    result: EpochResult,
    model: Autoencoder,
    examples: Examples,
    *,
    pictures: bool,
) -> None:
    """Write TensorBoard events: losses, and at times the representation and reconstructions."""
    writer.add_scalar("loss/train", result.loss, result.epoch)
    if result.validation_loss is not None:
        writer.add_scalar("loss/validation", result.validation_loss, result.epoch)
    writer.add_scalar("chunks_per_second", result.chunks_per_second, result.epoch)
    if pictures:
        model.eval()
        device = next(model.parameters()).device
        with torch.inference_mode():
            rows = torch.arange(len(examples.spectrograms))
            state, _ = model.encode(*examples.spectrograms.batch(rows, device))
        writer.add_scalar("representation/mean", float(state.mean()), result.epoch)
        writer.add_scalar("representation/std", float(state.std()), result.epoch)
        writer.add_histogram("representation", state.flatten().cpu().numpy(), result.epoch)
        for index, pair in enumerate(examples.pairs(model)):
            picture = np.concatenate(pair, axis=0).T[::-1]  # target left, reconstruction right
            writer.add_image(f"example/{index}", (picture[np.newaxis] + 1) / 2, result.epoch)
    writer.flush()


def show_metrics(name: str, result: EpochResult) -> None:
    """Tell Ray's metrics."""
    metrics.show("raudeep_loss", result.loss, run=name, split="train")
    if result.validation_loss is not None:
        metrics.show("raudeep_loss", result.validation_loss, run=name, split="validation")
    metrics.show("raudeep_epoch", result.epoch, run=name)
    metrics.show("raudeep_chunks_per_second", result.chunks_per_second, run=name)
