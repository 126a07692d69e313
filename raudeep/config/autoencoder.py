"""The autoencoders, their training, and what it may take."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = [
    "AUTOENCODERS",
    "AutoencoderConfig",
    "FrequencyAutoencoderConfig",
    "FrequencyTimeAutoencoderConfig",
    "Readout",
    "ResourceConfig",
    "Tracker",
    "TrainingConfig",
    "check_readouts",
]

Readout = Literal["state", "pooled"]
Tracker = Literal["mlflow", "wandb"]


def check_readouts(readouts: Iterable[str]) -> None:
    """Raise `ConfigError` unless all are readouts."""
    if strange := [readout for readout in readouts if readout not in get_args(Readout)]:
        known = " or ".join(map(repr, get_args(Readout)))
        raise ConfigError(f"a readout is {known}. Got {strange[0]!r}.")


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Architecture of a time-recurrent sequence-to-sequence autoencoder."""

    kind: ClassVar[str] = "time"
    keeps_time: ClassVar[bool] = False
    """Whether the state is a vector for each frame instead of one for the spectrogram."""

    cell: Literal["gru", "lstm"] = "gru"
    """Recurrent cell."""
    num_layers: int = 1
    """Recurrent layers of encoder and decoder."""
    num_units: int = 16
    """Hidden units of each layer and direction."""
    bidirectional_encoder: bool = False
    """Read the spectrogram in both directions."""
    bidirectional_decoder: bool = False
    """Decode in both directions; the backward half sees the target frame itself, as in auDeep."""
    dropout: float = 0.2
    """Probability of dropping a value during training."""
    dropout_placement: Literal["all", "between"] = "all"
    """Drop at each layer's input and output (auDeep), or between layers only (PyTorch)."""
    initialisation: Literal["glorot", "spread", "pytorch"] = "glorot"
    """Glorot weights and gate biases of 1 (auDeep), gates that keep spread out, or PyTorch's."""
    encoder_noise: float = 0.0
    """Probability of zeroing a step of the encoder's input in training, a frame or part of one."""
    feed_previous_prob: float = 0.0
    """Probability of feeding the decoder its own output; not for a bidirectional decoder."""
    teacher: Literal["standard", "audeep"] = "standard"
    """Decoder input: the step before, or (audeep) two before and a second output layer."""
    mask_silence: bool = False
    """Leave cells at exactly -1 (below the clipping floor) out of the loss."""

    def __post_init__(self) -> None:
        settle(self)
        check(self, "dropout", 0 <= self.dropout < 1, "in the range [0, 1)")
        self._check_axis("")

    def check_bands(self, bands: int) -> None:
        """Raise `ConfigError` unless spectrograms of so many bands can be trained on."""

    @property
    def runs_freely(self) -> bool:
        """Whether the decoders can be fed nothing but their own outputs."""
        return not self.bidirectional_decoder

    def _check_axis(self, prefix: str) -> None:
        """Check the fields of one recurrent axis, whose names start with `prefix`."""
        for name in ("num_layers", "num_units"):
            check(self, prefix + name, getattr(self, prefix + name) >= 1, "at least 1")
        for name in ("encoder_noise", "feed_previous_prob"):
            value = getattr(self, prefix + name)
            check(self, prefix + name, 0 <= value <= 1, "in the range [0, 1]")
        own = getattr(self, f"{prefix}feed_previous_prob")
        if getattr(self, f"{prefix}bidirectional_decoder") and own > 0:
            raise ConfigError(
                f"The '{prefix}feed_previous_prob' parameter of {type(self).__name__} must be 0 "
                f"with a bidirectional decoder, whose steps have no previous output. Got {own!r}."
            )


@dataclass(frozen=True, kw_only=True)
class FrequencyAutoencoderConfig(AutoencoderConfig):
    """Architecture of a frequency-recurrent autoencoder: the steps are windows over the bands.

    Its embedding keeps the frames: a time-recurrent autoencoder can be trained on it again.
    """

    kind: ClassVar[str] = "frequency"
    keeps_time: ClassVar[bool] = True

    window_bands: int = 32
    """Bands of a window, one step of the recurrence."""
    overlap_bands: int = 24
    """Bands that neighbouring windows share."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "window_bands", self.window_bands >= 1, "at least 1")
        overlaps = 0 <= self.overlap_bands < self.window_bands
        rule = f"in the range [0, window_bands={self.window_bands})"
        check(self, "overlap_bands", overlaps, rule)

    def check_bands(self, bands: int) -> None:
        """Raise `ConfigError` unless a window is at most as wide as the spectrograms."""
        rule = f"at most the {bands} bands of the spectrograms"
        check(self, "window_bands", self.window_bands <= bands, rule)


@dataclass(frozen=True, kw_only=True)
class FrequencyTimeAutoencoderConfig(FrequencyAutoencoderConfig):
    """Architecture of an autoencoder that is recurrent over the bands of a frame, then over time.

    The fields without a prefix are those of the time axis.
    """

    kind: ClassVar[str] = "frequency-time"
    keeps_time: ClassVar[bool] = False

    num_layers: int = 2
    """Recurrent layers of encoder and decoder over time."""
    num_units: int = 128
    """Hidden units of each layer and direction over time."""
    frequency_num_layers: int = 1
    """Recurrent layers of encoder and decoder over the bands."""
    frequency_num_units: int = 64
    """Hidden units of each layer and direction over the bands."""
    frequency_bidirectional_encoder: bool = False
    """Read the windows of a frame in both directions."""
    frequency_bidirectional_decoder: bool = False
    """Decode the windows of a frame in both directions."""
    frequency_encoder_noise: float = 0.0
    """Probability of zeroing a whole window of the encoder's input during training."""
    frequency_feed_previous_prob: float = 0.0
    """Probability of feeding the decoder of the bands its own output."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_axis("frequency_")

    @property
    def runs_freely(self) -> bool:
        """Whether the decoders of both axes can be fed nothing but their own outputs."""
        return super().runs_freely and not self.frequency_bidirectional_decoder

    def frequency_axis(self) -> AutoencoderConfig:
        """Return the architecture over the bands as that of a sequence of its own."""
        names = [each.name for each in fields(AutoencoderConfig)]
        values: dict[str, Any] = {
            name: getattr(self, f"frequency_{name}", getattr(self, name)) for name in names
        }
        return AutoencoderConfig(**values)


AUTOENCODERS: dict[str, type[AutoencoderConfig]] = {
    each.kind: each
    for each in (AutoencoderConfig, FrequencyAutoencoderConfig, FrequencyTimeAutoencoderConfig)
}
"""The architectures by name; `raudeep.models.autoencoder` has the model of each."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How an autoencoder is trained."""

    num_epochs: int = 10
    """Epochs of ceil(chunks / batch_size) full batches each, floor where they are streamed."""
    batch_size: int = 64
    """Chunks per step, over all workers."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    gradient_clip: float | None = 2.0
    """Clip each gradient value to [-gradient_clip, gradient_clip]; None switches it off."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Arithmetic of the layers; auto takes bfloat16 where the device is faster with it."""
    validation_fraction: float | None = None
    """Share of the recordings held out for a validation loss each epoch; None trains on all."""
    early_stopping_epochs: int | None = None
    """Stop after so many epochs without a lower validation loss, and keep the best epoch."""
    in_memory_gb: float = 2.0
    """Gigabytes of spectrograms that stay on the device; more than that is streamed each epoch."""
    shuffle_buffer_gb: float = 0.5
    """Gigabytes among which streamed ones are shuffled, and which each run then has in memory."""
    checkpoints_to_keep: int | None = 1
    """Epochs whose weights the artifact keeps, the last ones; None keeps all."""
    seed: int = 0
    """Seed of initialisation, shuffling, dropout and the validation split."""

    def __post_init__(self) -> None:
        settle(self)
        for name in ("num_epochs", "batch_size"):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("seed", "in_memory_gb"):
            check(self, name, getattr(self, name) >= 0, "at least 0")
        for name in ("learning_rate", "shuffle_buffer_gb"):
            check(self, name, getattr(self, name) > 0, "greater than 0")
        for name, most in (("gradient_clip", float("inf")), ("validation_fraction", 1.0)):
            value = getattr(self, name)
            check(self, name, value is None or 0 < value < most, f"in (0, {most}) or None")
        for name in ("early_stopping_epochs", "checkpoints_to_keep"):
            value = getattr(self, name)
            check(self, name, value is None or value >= 1, "at least 1 or None")
        if self.early_stopping_epochs is not None and self.validation_fraction is None:
            raise ConfigError(
                "The 'early_stopping_epochs' parameter of TrainingConfig needs "
                f"'validation_fraction'. Got {self.early_stopping_epochs!r} without."
            )


@dataclass(frozen=True, kw_only=True)
class ResourceConfig:
    """What the runs may take, and who is told; part of no fingerprint.

    Only num_workers changes numbers: each worker draws dropout of its own.
    """

    num_workers: int = 1
    """Data-parallel workers of each training run."""
    min_workers: int | None = None
    """Fewest workers to start with while others hold the rest of the places; None waits for all."""
    cpus_per_worker: int | None = None
    """CPU cores of each training worker; None shares the cores evenly among the runs."""
    gpus_per_worker: float | None = None
    """GPU share of each training worker; None shares the GPUs evenly among the runs."""
    max_concurrent_runs: int | None = None
    """Training runs at the same time; None takes as many as the cluster carries."""
    tracker: Tracker | None = None
    """Where configuration and losses of each epoch go besides TensorBoard; None to nowhere."""

    def __post_init__(self) -> None:
        settle(self)
        check(self, "num_workers", self.num_workers >= 1, "at least 1")
        few, many = self.min_workers, self.num_workers
        check(
            self,
            "min_workers",
            few is None or 1 <= few <= many,
            f"in the range [1, num_workers={many}] or None",
        )
        for name in ("cpus_per_worker", "gpus_per_worker", "max_concurrent_runs"):
            value = getattr(self, name)
            check(self, name, value is None or value > 0, "greater than 0 or None")
        share = self.gpus_per_worker
        check(
            self,
            "gpus_per_worker",
            share is None or share <= 1 or share.is_integer(),
            "a share of one GPU or a whole number",
        )
        known = (None, *get_args(Tracker))
        check(self, "tracker", self.tracker in known, "'mlflow', 'wandb' or None")
