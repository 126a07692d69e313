"""The convolutional network of Piczak (2015): segments of log-mel spectrograms to classes.

Where the paper leaves a choice, its published notebooks are followed: initial weights, the silence
threshold, one mean and one deviation for all values, deltas of what is scaled by them. Departures:
all training recordings are trained on (the notebooks hold one fold back, without using it to stop),
delays are whole frames, mel bands are HTK's instead of Slaney's, and nothing is stretched or
transposed (within limits that were set by hand for each class).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from raudeep.config import CnnConfig
from raudeep.errors import EvaluationError

__all__ = ["PiczakNet", "cut_segments", "deltas", "fit_cnn", "predict_recordings"]

Floats = NDArray[np.float32]

RANGE_DB = 80.0
"""What lies further below a segment's maximum is raised to that."""
SILENT_DB = -70.0
"""Segments with a mean of at most this are silent."""
DELTA_FRAMES = 4
"""Frames on either side that a delta looks at."""
MAX_DELAY_SECONDS = 1.0
MOMENTUM = 0.9
KERNEL_BANDS = 57
"""Bands that the filters of the first layer span."""
PREDICT_SEGMENTS = 1000


class PiczakNet(nn.Module):
    """Two convolutional and two dense layers, all ReLU, and linear logits.

    Parameters
    ----------
    config : CnnConfig
        Sizes and dropout.
    n_mels : int
        Bands F of a segment, at least 60.
    num_classes : int
        Number of classes C.

    References
    ----------
    Piczak, Environmental sound classification with convolutional neural networks, MLSP 2015,
    section 3.2, and its replication data (github.com/karolpiczak/paper-2015-esc-convnet).
    """

    def __init__(self, config: CnnConfig, *, n_mels: int, num_classes: int) -> None:
        super().__init__()
        filters, units = config.num_filters, config.num_units
        first = nn.Conv2d(2, filters, (KERNEL_BANDS, 6))
        second = nn.Conv2d(filters, filters, (1, 3))
        self.convolutions = nn.Sequential(
            first,
            nn.ReLU(),
            nn.MaxPool2d((4, 3), stride=(1, 3)),
            nn.Dropout(config.dropout),
            second,
            nn.ReLU(),
            nn.MaxPool2d((1, 3), stride=(1, 3)),
            nn.Flatten(),
        )
        with torch.no_grad():
            size = self.convolutions(torch.zeros(1, 2, n_mels, config.segment_frames)).shape[1]
        self.dense = nn.Sequential(
            nn.Linear(size, units),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(units, units),
            nn.ReLU(),
            nn.Dropout(config.dropout),
            nn.Linear(units, num_classes),
        )
        nn.init.uniform_(first.weight, -0.001, 0.001)
        nn.init.constant_(first.bias, 0.1)  # type: ignore[arg-type]
        nn.init.uniform_(second.weight, -0.1, 0.1)
        nn.init.zeros_(second.bias)  # type: ignore[arg-type]
        for layer in self.dense:
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, segments: Tensor) -> Tensor:
        """Return logits (B, C) of standardised log-mel segments (B, T, F)."""
        x_BFT = segments.transpose(1, 2)
        both = torch.stack([x_BFT, deltas(x_BFT)], dim=1)
        logits: Tensor = self.dense(self.convolutions(both))
        return logits


def deltas(spectrograms: Tensor) -> Tensor:
    """Return the slope over time of each band of spectrograms (B, F, T).

    The slope of the line that fits 9 frames best; beyond the ends the last frame is repeated.
    """
    steps = torch.arange(-DELTA_FRAMES, DELTA_FRAMES + 1.0, device=spectrograms.device)
    weights = (steps / steps.square().sum()).to(spectrograms.dtype)
    padded = functional.pad(spectrograms, (DELTA_FRAMES, DELTA_FRAMES), mode="replicate")
    return padded.unfold(-1, 2 * DELTA_FRAMES + 1, 1) @ weights


def cut_segments(spectrogram: Floats, *, frames: int, overlap: float, floor_db: float) -> Floats:
    """Return the segments (S, frames, F) of a log-mel spectrogram (T, F) in decibels.

    What is left at the end is dropped, a shorter spectrogram filled up with `floor_db`. Silent
    segments are left out; of a recording with no other, the loudest stays.
    """
    short = max(0, frames - len(spectrogram))
    padded = np.pad(spectrogram, ((0, short), (0, 0)), constant_values=floor_db)
    step = max(1, round(frames * (1 - overlap)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, frames, axis=0)[::step]
    segments = windows.transpose(0, 2, 1).copy()
    np.maximum(segments, segments.max(axis=(1, 2), keepdims=True) - RANGE_DB, out=segments)
    levels = segments.mean(axis=(1, 2))
    return np.asarray(segments[(levels > SILENT_DB) | (levels == levels.max())])


def fit_cnn(
    spectrograms: Sequence[Floats],
    label_ids: NDArray[np.int64],
    *,
    num_classes: int,
    config: CnnConfig,
    seed: int,
    frame_seconds: float,
    floor_db: float,
    device: torch.device,
) -> tuple[PiczakNet, tuple[float, float]]:
    """Return a trained network and the mean and deviation that its input is scaled by.

    SGD with Nesterov momentum on the cross entropy and the squared weights (not the biases).

    Parameters
    ----------
    spectrograms : sequence of ndarray of float32, shape (T, F)
        Log-mel spectrograms of the training recordings, in decibels.
    label_ids : ndarray of int64, shape (N,)
        Class of each recording, in [0, num_classes).
    num_classes : int
        Number of classes C.
    config : CnnConfig
        Network, segments and training.
    seed : int >= 0
        Seed of delays, weights, order and dropout.
    frame_seconds : float
        Seconds from one frame to the next.
    floor_db : float
        Decibels of silence.
    device : torch.device
        Where to train.

    Raises
    ------
    EvaluationError
        If the loss is not finite after an epoch.
    """
    segments, targets = _training_segments(
        spectrograms, label_ids, config, seed, MAX_DELAY_SECONDS / frame_seconds, floor_db
    )
    mean, std = float(segments.mean()), float(segments.std()) or 1.0
    segments -= mean
    segments /= std
    torch.manual_seed(seed)
    net = PiczakNet(config, n_mels=segments.shape[2], num_classes=num_classes).to(device).train()
    weights = [p for p in net.parameters() if p.ndim > 1]
    biases = [p for p in net.parameters() if p.ndim == 1]
    # The gradient of l2 * w ** 2 is twice what PyTorch adds for a decay of l2.
    decayed: dict[str, Any] = {"params": weights, "weight_decay": 2 * config.l2}
    optimizer = torch.optim.SGD(
        [decayed, {"params": biases}],
        lr=config.learning_rate,
        momentum=MOMENTUM,
        nesterov=True,
    )
    inputs, classes = torch.from_numpy(segments), torch.from_numpy(targets)
    num_batches = -(-len(inputs) // config.batch_size)
    for epoch in range(config.num_epochs):
        for rows in torch.tensor_split(torch.randperm(len(inputs)), num_batches):
            loss = functional.cross_entropy(net(inputs[rows].to(device)), classes[rows].to(device))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        if not loss.isfinite():
            raise EvaluationError(
                f"the loss of the CNN after epoch {epoch + 1} is {loss.item()}. Lower its "
                f"learning_rate, which is {config.learning_rate:g}."
            )
    return net.eval(), (mean, std)


@torch.inference_mode()
def predict_recordings(
    net: PiczakNet,
    spectrograms: Sequence[Floats],
    *,
    scale: tuple[float, float],
    num_classes: int,
    config: CnnConfig,
    floor_db: float,
) -> Floats:
    """Return class probabilities (N, C) of recordings: the mean over segments, or share of votes.

    `scale` is what `fit_cnn` returned; the other arguments are as there.
    """
    device = next(net.parameters()).device
    mean, std = scale
    rows = []
    for spectrogram in spectrograms:
        segments = cut_segments(
            spectrogram,
            frames=config.segment_frames,
            overlap=config.segment_overlap,
            floor_db=floor_db,
        )
        inputs = torch.from_numpy((segments - np.float32(mean)) / np.float32(std))
        blocks = [net(block.to(device)) for block in torch.split(inputs, PREDICT_SEGMENTS)]
        probabilities = torch.cat(blocks).softmax(dim=1)
        if config.voting == "majority":
            winners = probabilities.argmax(dim=1)
            probabilities = functional.one_hot(winners, num_classes).float()
        rows.append(probabilities.mean(dim=0).cpu().numpy())
    return np.array(rows, np.float32).reshape(-1, num_classes)


def _training_segments(
    spectrograms: Sequence[Floats],
    label_ids: NDArray[np.int64],
    config: CnnConfig,
    seed: int,
    max_delay_frames: float,
    floor_db: float,
) -> tuple[Floats, NDArray[np.int64]]:
    """Return the segments of all recordings and their delayed copies, and the class of each."""
    rng = np.random.default_rng(seed)
    segments, targets = [], []
    for spectrogram, label_id in zip(spectrograms, label_ids, strict=True):
        delays = [0, *rng.integers(0, int(max_delay_frames) + 1, config.num_delayed)]
        for delay in delays:
            delayed = np.pad(spectrogram, ((delay, 0), (0, 0)), constant_values=floor_db)
            cut = cut_segments(
                delayed,
                frames=config.segment_frames,
                overlap=config.segment_overlap,
                floor_db=floor_db,
            )
            segments.append(cut)
            targets.append(np.full(len(cut), label_id, np.int64))
    return np.concatenate(segments), np.concatenate(targets)
