"""Settings of published systems that representations are compared with."""

from dataclasses import dataclass
from typing import Literal

from raudeep.config.fields import check, settle

__all__ = ["BASELINES", "Baseline", "CnnConfig", "SoundNetConfig", "SparseCodingConfig"]

Baseline = Literal["cnn", "sparse-coding", "band-statistics"]
"""Baselines that a benchmark can score."""
BASELINES: tuple[Baseline, ...] = ("cnn", "sparse-coding", "band-statistics")


@dataclass(frozen=True, kw_only=True)
class CnnConfig:
    """Convolutional network on segments of log-mel spectrograms and their deltas (Piczak 2015)."""

    segment_frames: int = 41
    """Frames of 23 ms in a segment; 101 for the paper's long segments."""
    segment_overlap: float = 0.5
    """Share of a segment that overlaps with the next."""
    voting: Literal["probability", "majority"] = "probability"
    """Score recordings by the mean probability or the most frequent class of segments."""
    num_delayed: int = 10
    """Copies of each training recording, delayed by up to 1 s (ESC-10: 10, ESC-50: 4)."""
    num_filters: int = 80
    """Filters of each convolutional layer."""
    num_units: int = 5000
    """Units of each dense layer."""
    num_epochs: int = 300
    """Passes over the training segments; 150 for the paper's long segments."""
    batch_size: int = 1000
    """Segments of a training step."""
    learning_rate: float = 0.002
    """Step size of SGD with Nesterov momentum 0.9; 0.01 for the paper's long segments."""
    l2: float = 0.001
    """Weight of the L2 penalty in the loss."""
    dropout: float = 0.5
    """Probability of dropping a value after the first pooling and after each dense layer."""

    def __post_init__(self) -> None:
        settle(self)
        # What two convolutions and two poolings over time leave must be a frame.
        check(self, "segment_frames", self.segment_frames >= 20, "at least 20")
        check(self, "segment_overlap", 0 <= self.segment_overlap < 1, "in the range [0, 1)")
        check(self, "num_delayed", self.num_delayed >= 0, "at least 0")
        for name in ("num_filters", "num_units", "num_epochs", "batch_size"):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        check(self, "learning_rate", self.learning_rate > 0, "greater than 0")
        check(self, "l2", self.l2 >= 0, "at least 0")
        check(self, "dropout", 0 <= self.dropout < 1, "in the range [0, 1)")


@dataclass(frozen=True, kw_only=True)
class SparseCodingConfig:
    """Sparse codes of constant-Q frames, pooled over windows (after Henaff et al. 2011)."""

    lowest_hz: float = 65.40639
    """Centre of the lowest band in Hz; the default is the note C2."""
    num_octaves: int = 4
    """Octaves above the lowest band."""
    bands_per_octave: int = 24
    """Bands of each octave; 24: quarter tones."""
    patch: Literal["octave", "frame"] = "octave"
    """A dictionary for each octave of a frame, or one for whole frames."""
    num_atoms: int = 512
    """Atoms of all dictionaries together."""
    sparsity: float = 0.5
    """Weight of the L1 norm of the codes."""
    num_patches: int = 100_000
    """Patches, drawn from all recordings, to learn dictionaries and encoders on."""
    num_steps: int = 300
    """Training steps of each dictionary, and of each encoder."""
    batch_size: int = 1000
    """Patches of a training step."""
    window_seconds: float = 5.0
    """Seconds over which codes are pooled; the windows overlap by half."""

    def __post_init__(self) -> None:
        settle(self)
        for name in ("lowest_hz", "sparsity", "window_seconds"):
            check(self, name, getattr(self, name) > 0, "greater than 0")
        for name in ("num_octaves", "bands_per_octave", "num_patches", "num_steps", "batch_size"):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        parts = self.num_octaves if self.patch == "octave" else 1
        check(
            self,
            "num_atoms",
            self.num_atoms >= parts and self.num_atoms % parts == 0,
            f"a positive multiple of num_octaves={parts}" if parts > 1 else "at least 1",
        )
        # At the rate that recordings are resampled to.
        highest = self.lowest_hz * 2**self.num_octaves
        check(
            self,
            "num_octaves",
            highest <= 11_025,
            f"such that the highest band, at {highest:.0f} Hz, is at most 11025 Hz",
        )


@dataclass(frozen=True, kw_only=True)
class SoundNetConfig:
    """Features of a SoundNet with published weights (Aytar et al. 2016)."""

    layer: Literal[
        "pool1",
        "pool2",
        "conv3",
        "conv4",
        "conv5",
        "pool5",
        "conv6",
        "conv7",
        "conv8",
    ] = "pool5"
    """Layer to take; conv8: scores of 1000 objects and 401 scenes."""
    pooling: Literal["mean", "max"] = "mean"
    """How each channel is pooled over time."""

    def __post_init__(self) -> None:
        settle(self)
