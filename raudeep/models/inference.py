"""Spectrograms to embeddings and reconstructions: arrays in, arrays out, in batches."""

import numpy as np
import torch
from numpy.typing import NDArray

from raudeep.config import Readout
from raudeep.models.autoencoder import TimeAutoencoder

__all__ = ["default_device", "embed_spectrograms", "reconstruct_spectrograms"]


def default_device() -> torch.device:
    """Return the GPU that this process may use, or the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@torch.inference_mode()
def embed_spectrograms(
    model: TimeAutoencoder,
    spectrograms: NDArray[np.float32],
    *,
    readouts: tuple[Readout, ...],
    batch_size: int = 256,
) -> dict[Readout, NDArray[np.float32]]:
    """Return an array (N, E) of embeddings for each readout.

    Parameters
    ----------
    model : TimeAutoencoder
        In evaluation mode, on the device to use.
    spectrograms : ndarray of float32, shape (N, T, F)
        Values in [-1, 1].
    readouts : tuple of {"state", "pooled"}
        See `TimeAutoencoder.embed`.
    batch_size : int
        Spectrograms per pass.
    """
    device = next(model.parameters()).device
    embeddings = {
        readout: np.empty((len(spectrograms), model.embedding_size(readout)), np.float32)
        for readout in readouts
    }
    for start in range(0, len(spectrograms), batch_size):
        batch = torch.tensor(spectrograms[start : start + batch_size], device=device)
        for readout, values in model.embed(batch, readouts).items():
            embeddings[readout][start : start + batch_size] = values.float().cpu().numpy()
    return embeddings


@torch.inference_mode()
def reconstruct_spectrograms(
    model: TimeAutoencoder, spectrograms: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return the reconstructions (N, T, F) of a few spectrograms, without dropout."""
    was_training = model.training
    device = next(model.parameters()).device
    try:
        reconstruction = model.eval()(torch.tensor(spectrograms, device=device))
    finally:
        model.train(was_training)
    return np.asarray(reconstruction.float().cpu().numpy())
