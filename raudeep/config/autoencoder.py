"""The fields of each kind of autoencoder, including kinds of other packages."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, ClassVar, Literal, get_args

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = [
    "ArchitectureConfig",
    "AutoencoderConfig",
    "FrequencyAutoencoderConfig",
    "FrequencyTimeAutoencoderConfig",
    "Readout",
    "architecture_of",
    "autoencoder_kinds",
    "check_readouts",
]

logger = logging.getLogger(__name__)

Readout = Literal["state", "pooled"]


def check_readouts(readouts: Iterable[str]) -> None:
    """Raise `ConfigError` if one of them is no readout."""
    if strange := [readout for readout in readouts if readout not in get_args(Readout)]:
        known = " or ".join(map(repr, get_args(Readout)))
        raise ConfigError(f"a readout is {known}. Got {strange[0]!r}.")


@dataclass(frozen=True, kw_only=True)
class ArchitectureConfig:
    """Fields that all kinds of autoencoders have; each kind derives its class from this one."""

    kind: ClassVar[str]
    """Name on the command line, in recipes and in artifacts."""
    implementation: ClassVar[str]
    """Its `raudeep.models.autoencoder.Autoencoder`, as ``module:class``; made of (bands, config).

    By name, since these fields are read where torch is not imported.
    """
    keeps_time: ClassVar[bool] = False
    """Whether the state is a vector for each frame instead of one for the spectrogram."""

    mask_silence: bool = False
    """Leave cells at the clipping floor (-1) out of the loss."""

    def __post_init__(self) -> None:
        settle(self)

    def check_bands(self, bands: int) -> None:
        """Raise `ConfigError` if spectrograms with this many bands cannot be trained on."""

    @property
    def runs_freely(self) -> bool:
        """Whether the decoder can run on its own outputs alone."""
        return False


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig(ArchitectureConfig):
    """Autoencoder that reads and rebuilds a spectrogram frame by frame."""

    kind: ClassVar[str] = "time"
    implementation: ClassVar[str] = "raudeep.models.autoencoder:TimeAutoencoder"

    cell: Literal["gru", "lstm"] = "gru"
    """Type of the recurrent cells."""
    num_layers: int = 1
    """Recurrent layers of the encoder, and of the decoder."""
    num_units: int = 16
    """Hidden units of each layer and direction."""
    bidirectional_encoder: bool = False
    """Read the spectrogram in both directions."""
    bidirectional_decoder: bool = False
    """Decode in both directions; as in auDeep, the backward half sees the target frame."""
    dropout: float = 0.2
    """Probability of dropping a value during training."""
    dropout_placement: Literal["all", "between"] = "all"
    """Drop at each layer's input and output (auDeep), or between layers only (PyTorch)."""
    initialisation: Literal["glorot", "spread", "pytorch"] = "glorot"
    """First weights: Glorot and gate biases of 1 (auDeep), spread biases, or PyTorch's."""
    encoder_noise: float = 0.0
    """Probability of zeroing a step of the encoder's input during training."""
    feed_previous_prob: float = 0.0
    """Probability that the decoder is fed its own output; 0 with a bidirectional decoder."""
    teacher: Literal["standard", "audeep"] = "standard"
    """Input of the decoder: the previous step, or as in auDeep the one before it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "dropout", 0 <= self.dropout < 1, "in the range [0, 1)")
        self._check_axis("")

    @property
    def runs_freely(self) -> bool:
        """Whether the decoder can run on its own outputs alone."""
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
    """Autoencoder that reads and rebuilds each frame band by band.

    Its embedding keeps the frames, so that a time autoencoder can be trained on it.
    """

    kind: ClassVar[str] = "frequency"
    implementation: ClassVar[str] = "raudeep.models.autoencoder:FrequencyAutoencoder"
    keeps_time: ClassVar[bool] = True

    window_bands: int = 32
    """Bands of a window; a window is a step of the recurrence."""
    overlap_bands: int = 24
    """Bands that neighbouring windows share."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "window_bands", self.window_bands >= 1, "at least 1")
        overlaps = 0 <= self.overlap_bands < self.window_bands
        rule = f"in the range [0, window_bands={self.window_bands})"
        check(self, "overlap_bands", overlaps, rule)

    def check_bands(self, bands: int) -> None:
        """Raise `ConfigError` if a window is wider than the spectrograms."""
        rule = f"at most the {bands} bands of the spectrograms"
        check(self, "window_bands", self.window_bands <= bands, rule)


@dataclass(frozen=True, kw_only=True)
class FrequencyTimeAutoencoderConfig(FrequencyAutoencoderConfig):
    """Autoencoder that reads each frame band by band, then the frames one after the other.

    Fields without the prefix `frequency_` belong to the time axis.
    """

    kind: ClassVar[str] = "frequency-time"
    implementation: ClassVar[str] = "raudeep.models.autoencoder:FrequencyTimeAutoencoder"
    keeps_time: ClassVar[bool] = False

    num_layers: int = 2
    """Recurrent layers over time."""
    num_units: int = 128
    """Hidden units of each layer and direction over time."""
    frequency_num_layers: int = 1
    """Recurrent layers over the bands."""
    frequency_num_units: int = 64
    """Hidden units of each layer and direction over the bands."""
    frequency_bidirectional_encoder: bool = False
    """Read the windows of a frame in both directions."""
    frequency_bidirectional_decoder: bool = False
    """Decode the windows of a frame in both directions."""
    frequency_encoder_noise: float = 0.0
    """Probability of zeroing a window of the encoder's input during training."""
    frequency_feed_previous_prob: float = 0.0
    """Probability that the decoder over the bands is fed its own output."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_axis("frequency_")

    @property
    def runs_freely(self) -> bool:
        """Whether the decoders of both axes can run on their own outputs alone."""
        return super().runs_freely and not self.frequency_bidirectional_decoder

    def frequency_axis(self) -> AutoencoderConfig:
        """Return the fields of the frequency axis as an autoencoder over a sequence."""
        names = [each.name for each in fields(AutoencoderConfig)]
        values: dict[str, Any] = {
            name: getattr(self, f"frequency_{name}", getattr(self, name)) for name in names
        }
        return AutoencoderConfig(**values)


_OURS = (AutoencoderConfig, FrequencyAutoencoderConfig, FrequencyTimeAutoencoderConfig)
_GROUP = "raudeep.autoencoders"


@lru_cache(maxsize=1)
def autoencoder_kinds() -> dict[str, type[ArchitectureConfig]]:
    """Return the configuration classes by kind: raudeep's first, then installed packages'.

    A package names each class in an entry point of the group ``raudeep.autoencoders``, under the
    name of the kind. A class that cannot be used is left out, with a warning.
    """
    kinds: dict[str, type[ArchitectureConfig]] = {each.kind: each for each in _OURS}
    for entry in sorted(entry_points(group=_GROUP)):
        try:
            kinds[entry.name] = _load(entry, taken=kinds)
        except Exception as error:  # whatever another package does when it is imported
            logger.warning(
                "the autoencoder %r (%s) cannot be used: %s: %s",
                entry.name,
                entry.value,
                type(error).__name__,
                error,
            )
    return kinds


def architecture_of(kind: object, *, where: str) -> type[ArchitectureConfig]:
    """Return the class of fields of a kind; `where` starts the error message.

    Raises
    ------
    ConfigError
        If no architecture that is known here has this kind.
    """
    kinds = autoencoder_kinds()
    if not isinstance(kind, str) or kind not in kinds:
        known = ", ".join(map(repr, kinds))
        raise ConfigError(
            f"{where}: the kind of an autoencoder is one of {known}, or that of a package to "
            f"install first. Got {kind!r}."
        )
    return kinds[kind]


def _load(entry: EntryPoint, *, taken: Iterable[str]) -> type[ArchitectureConfig]:
    """Return the class of fields that an entry point names."""
    found = entry.load()
    if not (isinstance(found, type) and issubclass(found, ArchitectureConfig)):
        raise ConfigError("it is no class derived from ArchitectureConfig.")
    if found.kind != entry.name:
        raise ConfigError(f"its 'kind' must be the name of the entry point. Got {found.kind!r}.")
    if not isinstance(getattr(found, "implementation", None), str):
        raise ConfigError("its 'implementation' must name its model as 'module:class'.")
    if entry.name in taken:
        raise ConfigError("another autoencoder has this name. Choose a name of its own.")
    return found
