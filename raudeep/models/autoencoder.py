"""The three autoencoders of spectrograms: recurrent over time, over frequency, over both.

All have the same methods, so that training, embedding and reconstruction do not ask which one they
hold. Shapes: B batch, T frames, F mel bands, K windows of W bands, S size of the representation, E
embedding size.
"""

import pkgutil
import warnings
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from raudeep.config import (
    ArchitectureConfig,
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    FrequencyTimeAutoencoderConfig,
    Readout,
)
from raudeep.errors import ConfigError
from raudeep.models.packing import Packing
from raudeep.models.sequence import SequenceAutoencoder

__all__ = [
    "Autoencoder",
    "FrequencyAutoencoder",
    "FrequencyTimeAutoencoder",
    "TimeAutoencoder",
    "build_autoencoder",
    "frame_mask",
    "reconstruction_error",
]


class Autoencoder(nn.Module, ABC):
    """Base class; `lengths` are the frames of each spectrogram, None if all have T.

    Parameters
    ----------
    bands : int
        F.
    config : ArchitectureConfig
        Architecture.
    """

    def __init__(self, bands: int, config: ArchitectureConfig) -> None:
        super().__init__()
        self.bands = bands
        self.config: Any = config

    @abstractmethod
    def encode(self, spectrograms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the representation (B, S) or (B, T, S), and one vector per frame (T, B, H)."""

    @abstractmethod
    def forward(
        self,
        spectrograms: Tensor,
        lengths: Tensor | None = None,
        *,
        free_running: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the reconstruction and its target, both (B, T, ...).

        With `free_running` the decoders are fed nothing but their own outputs.
        """

    def to_spectrograms(self, reconstruction: Tensor) -> Tensor:
        """Return a reconstruction or a target of `forward` as spectrograms (B, T, F)."""
        return reconstruction

    @property
    def reconstructed_bands(self) -> int:
        """Number of bands of `to_spectrograms`, the lowest of F."""
        return self.bands

    @property
    @abstractmethod
    def representation_size(self) -> int:
        """Size S of the representation."""

    @property
    @abstractmethod
    def frame_size(self) -> int:
        """H, the size of the vector of a frame that `encode` returns."""

    def embedding_size(self, readout: Readout) -> int:
        """Return E: S for ``state``, 2 H for ``pooled``."""
        return self.representation_size if readout == "state" else 2 * self.frame_size

    def embed(
        self,
        spectrograms: Tensor,
        readouts: tuple[Readout, ...],
        lengths: Tensor | None = None,
    ) -> dict[Readout, Tensor]:
        """Return an embedding (B, E) for each readout, or (B, T, S) where the state keeps time.

        ``state`` is the representation; ``pooled`` the mean and the standard deviation over time of
        the encoder's outputs, one for each frame.
        """
        state, frames = self.encode(spectrograms, lengths)
        embeddings: dict[Readout, Tensor] = {}
        for readout in readouts:
            embeddings[readout] = state if readout == "state" else _pool(frames, lengths)
        return embeddings


class TimeAutoencoder(Autoencoder):
    """The steps are frames (auDeep's t-rae)."""

    def __init__(self, bands: int, config: AutoencoderConfig) -> None:
        super().__init__(bands, config)
        self.core = SequenceAutoencoder(bands, config)

    @property
    def representation_size(self) -> int:
        """Size S of the representation."""
        return self.core.representation_size

    @property
    def frame_size(self) -> int:
        """Number of outputs H of the encoder's top layer."""
        return self.core.encoder.output_size

    def encode(self, spectrograms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the representation (B, S) and the encoder's top-layer outputs (T, B, H)."""
        frames = spectrograms.transpose(0, 1)
        packing = Packing(frames.shape, lengths)
        state, outputs = self.core.encode(packing.pack(frames), packing)
        return state, packing.unpack(outputs)

    def forward(
        self, spectrograms: Tensor, lengths: Tensor | None = None, *, free_running: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the reconstruction and its target, both (B, T, F)."""
        frames = spectrograms.transpose(0, 1)
        packing = Packing(frames.shape, lengths)
        packed = packing.pack(frames)
        state, _ = self.core.encode(packed, packing)
        decoded = self.core.decode(state, packed, packing, free_running=free_running)
        return packing.unpack(decoded).transpose(0, 1), spectrograms


class FrequencyAutoencoder(Autoencoder):
    """The steps are windows over the bands of a frame; every frame by itself (auDeep's f-rae).

    The representation keeps time: (B, T, S) is a sequence that a time-recurrent autoencoder can be
    trained on again.
    """

    def __init__(self, bands: int, config: FrequencyAutoencoderConfig) -> None:
        super().__init__(bands, config)
        self.windows = _Windows(bands, config)
        self.core = SequenceAutoencoder(config.window_bands, config)

    @property
    def representation_size(self) -> int:
        """Size S of the representation of a frame."""
        return self.core.representation_size

    @property
    def frame_size(self) -> int:
        """Size S of the representation."""
        return self.core.representation_size

    def encode(self, spectrograms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the representation of each frame, (B, T, S), and the same as (T, B, S)."""
        state, _ = self.core.encode(*self.windows.steps(spectrograms))
        state = state.view(*spectrograms.shape[:2], -1)
        return state, state.transpose(0, 1)

    def forward(
        self, spectrograms: Tensor, lengths: Tensor | None = None, *, free_running: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the reconstructed windows and their targets, both (B, T, K, W)."""
        steps, packing = self.windows.steps(spectrograms)
        state, _ = self.core.encode(steps, packing)
        decoded = self.core.decode(state, steps, packing, free_running=free_running)
        shape = spectrograms.shape
        return self.windows.unfold(decoded, shape), self.windows.unfold(steps, shape)

    def to_spectrograms(self, reconstruction: Tensor) -> Tensor:
        """Return windows (B, T, K, W) as spectrograms (B, T, F) of the bands that they cover."""
        return self.windows.overlap_mean(reconstruction)

    @property
    def reconstructed_bands(self) -> int:
        """Number of bands that the windows cover."""
        return self.windows.covered


class FrequencyTimeAutoencoder(Autoencoder):
    """A frequency-recurrent autoencoder around a time-recurrent one (auDeep's ft-rae).

    The windows of each frame are encoded into a vector, the sequence of these vectors into the
    representation; the time decoder gives back a vector for each frame, from which the windows are
    decoded. Both are trained at once on the reconstruction of the windows.
    """

    def __init__(self, bands: int, config: FrequencyTimeAutoencoderConfig) -> None:
        super().__init__(bands, config)
        self.windows = _Windows(bands, config)
        self.frequency = SequenceAutoencoder(config.window_bands, config.frequency_axis())
        self.time = SequenceAutoencoder(self.frequency.representation_size, config)

    @property
    def representation_size(self) -> int:
        """Size S of the representation."""
        return self.time.representation_size

    @property
    def frame_size(self) -> int:
        """Number of outputs H of the time encoder's top layer."""
        return self.time.encoder.output_size

    def encode(self, spectrograms: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the representation (B, S) and the time encoder's top-layer outputs (T, B, H)."""
        steps, windows = self.windows.steps(spectrograms)
        packing = Packing(spectrograms.transpose(0, 1).shape, lengths)
        frames = self._frames(steps, windows, packing)
        state, outputs = self.time.encode(frames, packing)
        return state, packing.unpack(outputs)

    def forward(
        self, spectrograms: Tensor, lengths: Tensor | None = None, *, free_running: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the reconstructed windows and their targets, both (B, T, K, W)."""
        steps, windows = self.windows.steps(spectrograms)
        packing = Packing(spectrograms.transpose(0, 1).shape, lengths)
        frames = self._frames(steps, windows, packing)
        state, _ = self.time.encode(frames, packing)
        decoded = packing.unpack(
            self.time.decode(state, frames, packing, free_running=free_running)
        )
        states = decoded.transpose(0, 1).flatten(0, 1)  # (B T, S of the frequency axis)
        decoded = self.frequency.decode(states, steps, windows, free_running=free_running)
        shape = spectrograms.shape
        return self.windows.unfold(decoded, shape), self.windows.unfold(steps, shape)

    def to_spectrograms(self, reconstruction: Tensor) -> Tensor:
        """Return windows (B, T, K, W) as spectrograms (B, T, F) of the bands that they cover."""
        return self.windows.overlap_mean(reconstruction)

    @property
    def reconstructed_bands(self) -> int:
        """Number of bands that the windows cover."""
        return self.windows.covered

    def _frames(self, steps: Tensor, windows: Packing, packing: Packing) -> Tensor:
        """Return a vector for each frame, (N, S of the frequency axis), packed by `packing`."""
        state, _ = self.frequency.encode(steps, windows)
        return packing.pack(state.view(packing.batch, packing.steps, -1).transpose(0, 1))


def build_autoencoder(bands: int, config: ArchitectureConfig) -> Autoencoder:
    """Return a new autoencoder of the architecture that the class of `config` names.

    Raises
    ------
    ConfigError
        If what it names, which may be another package's, is no autoencoder.
    """
    where = f"the implementation {config.implementation!r} of the kind {config.kind!r}"
    try:
        found = pkgutil.resolve_name(config.implementation)
    except Exception as error:  # whatever another package does when it is imported
        raise ConfigError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Autoencoder)):
        raise ConfigError(f"{where} is no class derived from raudeep.Autoencoder.")
    if missing := sorted(found.__abstractmethods__):
        raise ConfigError(f"{where} lacks {', '.join(map(repr, missing))}.")
    return found(bands, config)


def reconstruction_error(
    reconstruction: Tensor,
    target: Tensor,
    lengths: Tensor | None = None,
    *,
    mask_silence: bool = False,
) -> Tensor:
    """Return the squared error of each value, shaped as `target` (B, T, ...), in float32.

    Padding after `lengths` costs nothing; nor, with `mask_silence`, do values whose target is
    exactly -1 (below the clipping floor). The loss is the square root of the mean over the whole
    batch without its padding.
    """
    error = (reconstruction.float() - target).square()
    if mask_silence:
        error = error * (target != -1.0)
    if lengths is not None:
        mask = frame_mask(lengths, target.shape[1]).to(error.device)
        error = error * mask.view(*mask.shape, *[1] * (error.dim() - 2))
    return error


def frame_mask(lengths: Tensor, num_frames: int) -> Tensor:
    """Return which frames of a padded batch are not padding, bool of shape (B, T)."""
    return torch.arange(num_frames) < lengths.unsqueeze(1)


def _pool(frames: Tensor, lengths: Tensor | None) -> Tensor:
    """Return mean and standard deviation over time of vectors (T, B, H), shape (B, 2 H)."""
    if lengths is None:
        return torch.cat([frames.mean(0), frames.std(0, correction=0)], dim=-1)
    mask = frame_mask(lengths, len(frames)).T.unsqueeze(-1).to(frames.device)
    counts = lengths.unsqueeze(-1).to(frames.device)
    mean = torch.where(mask, frames, 0).sum(0) / counts
    variance = torch.where(mask, frames - mean, 0).square().sum(0) / counts
    return torch.cat([mean, variance.sqrt()], dim=-1)


class _Windows:
    """The bands of a frame as K overlapping windows of W bands; the last bands may be left over."""

    def __init__(self, bands: int, config: FrequencyAutoencoderConfig) -> None:
        self.width = config.window_bands
        self.hop = config.window_bands - config.overlap_bands
        config.check_bands(bands)
        self.count = (bands - self.width) // self.hop + 1
        self.covered = (self.count - 1) * self.hop + self.width
        if self.covered < bands:
            warnings.warn(
                f"window_bands={self.width} and overlap_bands={config.overlap_bands} leave the "
                f"last {bands - self.covered} of {bands} bands out.",
                stacklevel=2,
            )

    def steps(self, spectrograms: Tensor) -> tuple[Tensor, Packing]:
        """Return the windows of spectrograms (B, T, F) as B T packed sequences, (K B T, W)."""
        windows = spectrograms.unfold(2, self.width, self.hop)  # (B, T, K, W)
        sequences = windows.flatten(0, 1).transpose(0, 1)
        packing = Packing(sequences.shape)
        return packing.pack(sequences), packing

    def unfold(self, steps: Tensor, shape: torch.Size) -> Tensor:
        """Return packed windows (K B T, W) as (B, T, K, W), for spectrograms of a shape."""
        windows = steps.view(self.count, -1, self.width).transpose(0, 1)
        return windows.reshape(*shape[:2], self.count, self.width)

    def overlap_mean(self, windows: Tensor) -> Tensor:
        """Return (B, T, covered bands), each the mean over the windows that hold it."""
        total = windows.new_zeros(*windows.shape[:2], self.covered)
        count = windows.new_zeros(self.covered)
        for index in range(self.count):
            bands = slice(index * self.hop, index * self.hop + self.width)
            total[..., bands] += windows[..., index, :]
            count[bands] += 1
        return total / count
