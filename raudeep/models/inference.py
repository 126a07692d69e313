"""Spectrograms to embeddings and reconstructions: arrays in, arrays out, in batches.

Batches hold neighbours in length, so that little is padded; results are in the order of the input.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raudeep.config import Readout
from raudeep.models.autoencoder import Autoencoder, reconstruction_error
from raudeep.models.batching import Spectrograms, batches_by_length

__all__ = [
    "default_batch_size",
    "default_device",
    "embed_spectrograms",
    "measure_reconstructions",
    "reconstruct_spectrograms",
]

Floats = NDArray[np.float32]


def default_device() -> torch.device:
    """Return the GPU that this process may use, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def default_batch_size(device: torch.device) -> int:
    """Return how many spectrograms are embedded at once.

    Larger batches gain nothing on a CPU: they do not fit into its caches.
    """
    return 256 if device.type == "cuda" else 64


@torch.inference_mode()
def embed_spectrograms(
    model: Autoencoder,
    spectrograms: Spectrograms,
    *,
    readouts: tuple[Readout, ...],
    batch_size: int | None = None,
) -> dict[Readout, Floats]:
    """Return an array (N, E) of embeddings for each readout.

    Where the model keeps time, its ``state`` is a vector for each frame instead: shape (sum of the
    lengths, S), the spectrograms one after the other.

    Parameters
    ----------
    model : Autoencoder
        In evaluation mode, on the device to use.
    spectrograms : Spectrograms
        Values in [-1, 1].
    readouts : tuple of {"state", "pooled"}
        See `Autoencoder.embed`.
    batch_size : int, optional
        Spectrograms per pass; `default_batch_size` if None.
    """
    device = next(model.parameters()).device
    batch_size = batch_size or default_batch_size(device)
    pieces: dict[Readout, list[Floats]] = {r: [_NOTHING] * len(spectrograms) for r in readouts}
    for rows in batches_by_length(spectrograms.lengths, batch_size):
        batch, lengths = spectrograms.batch(rows, device)
        for readout, values in model.embed(batch, readouts, lengths).items():
            _scatter(values, rows, spectrograms.lengths, into=pieces[readout])
    return {
        readout: np.concatenate([_NOTHING, *map(np.ravel, found)]).reshape(
            -1, model.embedding_size(readout)
        )
        for readout, found in pieces.items()
    }


@torch.inference_mode()
def measure_reconstructions(model: Autoencoder, spectrograms: Spectrograms) -> Floats:
    """Return the RMSE of each reconstruction, shape (N,), as `reconstruct_spectrograms` does.

    The decoder is fed the expected previous steps, as in training. `model` is in evaluation mode,
    on the device to use.
    """
    device = next(model.parameters()).device
    rmse = np.empty(len(spectrograms), np.float32)
    for rows in batches_by_length(spectrograms.lengths, default_batch_size(device)):
        _, rmse[rows.numpy()] = _reconstruct(model, spectrograms, rows)
    return rmse


@torch.inference_mode()
def reconstruct_spectrograms(
    model: Autoencoder,
    spectrograms: Spectrograms,
    *,
    free_running: bool = False,
) -> tuple[list[Floats], Floats]:
    """Return the reconstructions, each (T, F), and the RMSE of each, without dropout.

    Parameters
    ----------
    model : Autoencoder
        On the device to use.
    spectrograms : Spectrograms
        Values in [-1, 1].
    free_running : bool
        Decode from the representation alone: the decoder is fed its own outputs. Without, it is fed
        the expected previous steps, as in training. Not for bidirectional decoders.
    """
    was_training = model.training
    device = next(model.parameters()).device
    pieces: list[Floats] = [_NOTHING] * len(spectrograms)
    rmse = np.empty(len(spectrograms), np.float32)
    model.eval()
    try:
        for rows in batches_by_length(spectrograms.lengths, default_batch_size(device)):
            decoded, rmse[rows.numpy()] = _reconstruct(
                model, spectrograms, rows, free_running=free_running
            )
            _scatter(model.to_spectrograms(decoded), rows, spectrograms.lengths, into=pieces)
    finally:
        model.train(was_training)
    return pieces, rmse


def _reconstruct(
    model: Autoencoder, spectrograms: Spectrograms, rows: Tensor, *, free_running: bool = False
) -> tuple[Tensor, Floats]:
    """Return the reconstructions of some spectrograms (B, T, ...) and the RMSE of each, (B,)."""
    batch, lengths = spectrograms.batch(rows, next(model.parameters()).device)
    decoded, target = model(batch, lengths, free_running=free_running)
    error = reconstruction_error(decoded, target, lengths).flatten(1).sum(1)
    cells = spectrograms.lengths[rows] * target[0, 0].numel()
    rmse: Floats = (error.cpu() / cells).sqrt().numpy()
    return decoded, rmse


_NOTHING: Floats = np.empty(0, np.float32)


def _scatter(values: Tensor, rows: Tensor, lengths: Tensor, *, into: list[Floats]) -> None:
    """Put the result of each row of a batch in its place, frames (B, T, ...) without padding."""
    arrays = values.float().cpu().numpy()
    for array, row in zip(arrays, rows.tolist(), strict=True):
        into[row] = array[: int(lengths[row])] if array.ndim == 2 else array
