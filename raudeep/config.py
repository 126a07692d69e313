"""One frozen dataclass per stage: the Python fields, the TOML keys and the flags are these.

The line under a field is its help on the command line. Checks live in ``__post_init__``; what holds
between stages is checked by the recipe (`raudeep.recipe`).
"""

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from raudeep.errors import ConfigError

__all__ = [
    "AutoencoderConfig",
    "EvaluationConfig",
    "MlpConfig",
    "Readout",
    "ResourceConfig",
    "SpectrogramConfig",
    "TrainingConfig",
    "build",
    "fingerprint",
    "reject_unknown",
]

Readout = Literal["state", "pooled"]
Config = TypeVar("Config")


@dataclass(frozen=True, kw_only=True)
class SpectrogramConfig:
    """How audio becomes spectrograms: one view of a corpus."""

    window_seconds: float = 0.04
    """Length of the analysis window; truncated to whole samples."""
    overlap_seconds: float = 0.02
    """Overlap of neighbouring windows; truncated to whole samples on its own."""
    n_mels: int | None = None
    """Number of mel bands; None keeps the linear spectrum."""
    mel: Literal["audeep", "exact"] = "audeep"
    """Edges of the mel bands: floored to FFT bins as in auDeep, or at their exact frequencies."""
    channels: Literal["mean", "left", "right", "difference"] = "mean"
    """Which mix of the channels is analysed; mono recordings are used as they are."""
    pre_emphasis: float | None = 0.95
    """Coefficient c of y[n] = x[n] - c x[n-1]; None switches it off."""
    fixed_seconds: float | None = None
    """Cut or zero-pad every recording to this length."""
    center: bool = False
    """With fixed_seconds: cut and pad on both sides instead of at the end."""
    clip_below_db: float | None = None
    """Floor relative to the recording's maximum, which is 0 dB."""
    clip_above_db: float | None = None
    """Ceiling relative to the recording's maximum, which is 0 dB."""
    chunk_seconds: float | None = None
    """Cut each recording into chunks of this length; needs chunk_count."""
    chunk_count: int | None = None
    """Chunks per recording; longer recordings lose the rest, shorter ones are errors."""
    normalise: bool = True
    """Scale each chunk to [-1, 1]; off keeps decibels."""
    sample_rate: int | None = None
    """Resample to this rate in Hz (soxr HQ); None keeps the native rate."""

    def __post_init__(self) -> None:
        _settle(self)
        _check(self, "window_seconds", self.window_seconds > 0, "greater than 0")
        _check(
            self,
            "overlap_seconds",
            0 <= self.overlap_seconds < self.window_seconds,
            f"in the range [0, window_seconds={self.window_seconds})",
        )
        _check(self, "n_mels", self.n_mels is None or self.n_mels >= 1, "at least 1 or None")
        _check(
            self,
            "pre_emphasis",
            self.pre_emphasis is None or 0 < self.pre_emphasis <= 1,
            "in the range (0, 1] or None",
        )
        for name in ("fixed_seconds", "chunk_seconds", "chunk_count", "sample_rate"):
            value = getattr(self, name)
            _check(self, name, value is None or value > 0, "greater than 0 or None")
        floor, ceiling = self.clip_below_db, self.clip_above_db
        _check(self, "clip_below_db", floor is None or floor < 0, "less than 0 or None")
        _check(
            self,
            "clip_above_db",
            ceiling is None or (ceiling <= 0 and (floor is None or ceiling > floor)),
            "at most 0 and above clip_below_db, or None",
        )
        if (self.chunk_seconds is None) != (self.chunk_count is None):
            raise ConfigError(
                "'chunk_seconds' and 'chunk_count' of SpectrogramConfig go together. "
                f"Got chunk_seconds={self.chunk_seconds!r}, chunk_count={self.chunk_count!r}."
            )
        hop = round(self.window_seconds - self.overlap_seconds, 9)
        _check(
            self,
            "chunk_seconds",
            self.chunk_seconds is None or self.chunk_seconds >= hop,
            f"at least window_seconds - overlap_seconds = {hop:g}",
        )


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Architecture of a time-recurrent sequence-to-sequence autoencoder."""

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
    initialisation: Literal["glorot", "pytorch"] = "glorot"
    """Glorot weights and recurrent gate biases of 1 (auDeep), or PyTorch's own."""
    encoder_noise: float = 0.0
    """Probability of zeroing a whole frame of the encoder's input during training."""
    feed_previous_prob: float = 0.0
    """Probability of feeding the decoder its own output; not for a bidirectional decoder."""
    mask_silence: bool = False
    """Leave cells at exactly -1 (below the clipping floor) out of the loss."""

    def __post_init__(self) -> None:
        _settle(self)
        for name in ("num_layers", "num_units"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        _check(self, "dropout", 0 <= self.dropout < 1, "in the range [0, 1)")
        for name in ("encoder_noise", "feed_previous_prob"):
            _check(self, name, 0 <= getattr(self, name) <= 1, "in the range [0, 1]")
        if self.bidirectional_decoder and self.feed_previous_prob > 0:
            raise ConfigError(
                "The 'feed_previous_prob' parameter of AutoencoderConfig must be 0 with a "
                "bidirectional decoder, whose steps have no previous output. "
                f"Got {self.feed_previous_prob!r}."
            )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How an autoencoder is trained."""

    num_epochs: int = 10
    """Epochs of ceil(chunks / batch_size) full batches each."""
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
    seed: int = 0
    """Seed of initialisation, shuffling, dropout and the validation split."""

    def __post_init__(self) -> None:
        _settle(self)
        for name in ("num_epochs", "batch_size"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        _check(self, "seed", self.seed >= 0, "at least 0")
        _check(self, "learning_rate", self.learning_rate > 0, "greater than 0")
        for name, most in (("gradient_clip", float("inf")), ("validation_fraction", 1.0)):
            value = getattr(self, name)
            _check(self, name, value is None or 0 < value < most, f"in (0, {most}) or None")


@dataclass(frozen=True, kw_only=True)
class ResourceConfig:
    """What the runs may take; changes no number and is part of no fingerprint."""

    num_workers: int = 1
    """Data-parallel workers of each training run."""
    cpus_per_worker: int | None = None
    """CPU cores of each training worker; None shares the cores evenly among the runs."""
    gpus_per_worker: float | None = None
    """GPU share of each training worker; None shares the GPUs evenly among the runs."""
    max_concurrent_runs: int | None = None
    """Training runs at the same time; None takes as many as the cluster carries."""

    def __post_init__(self) -> None:
        _settle(self)
        _check(self, "num_workers", self.num_workers >= 1, "at least 1")
        for name in ("cpus_per_worker", "gpus_per_worker", "max_concurrent_runs"):
            value = getattr(self, name)
            _check(self, name, value is None or value > 0, "greater than 0 or None")
        share = self.gpus_per_worker
        _check(
            self,
            "gpus_per_worker",
            share is None or share <= 1 or share.is_integer(),
            "a share of one GPU or a whole number",
        )


@dataclass(frozen=True, kw_only=True)
class MlpConfig:
    """Multi-layer perceptron that scores embeddings."""

    num_layers: int = 2
    """Hidden layers."""
    num_units: int = 150
    """Hidden units of each layer."""
    num_epochs: int = 400
    """Full-batch steps."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    dropout: float = 0.4
    """Probability of dropping a hidden value during training."""

    def __post_init__(self) -> None:
        _settle(self)
        for name in ("num_layers", "num_units", "num_epochs"):
            _check(self, name, getattr(self, name) >= 1, "at least 1")
        _check(self, "learning_rate", self.learning_rate > 0, "greater than 0")
        _check(self, "dropout", 0 <= self.dropout < 1, "in the range [0, 1)")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How embeddings are scored."""

    repeats: int = 5
    """Fits per fold, each with its own seed."""
    num_folds: int | None = None
    """Make this many stratified folds by recording; None uses the corpus's own folds."""
    majority_vote: bool = False
    """Score recordings by the most frequent class of their chunks instead of scoring chunks."""
    train_partitions: tuple[str, ...] = ()
    """Train on these partitions instead of cross-validating; needs eval_partitions."""
    eval_partitions: tuple[str, ...] = ()
    """Score these partitions; needs train_partitions."""
    seed: int = 0
    """Seed of the made folds and of the classifiers."""

    def __post_init__(self) -> None:
        _settle(self)
        _check(self, "repeats", self.repeats >= 1, "at least 1")
        _check(self, "seed", self.seed >= 0, "at least 0")
        _check(self, "num_folds", self.num_folds is None or self.num_folds >= 2, "at least 2")
        if bool(self.train_partitions) != bool(self.eval_partitions):
            raise ConfigError(
                "'train_partitions' and 'eval_partitions' of EvaluationConfig go together. Got "
                f"{self.train_partitions!r} and {self.eval_partitions!r}."
            )
        if self.train_partitions and self.num_folds is not None:
            raise ConfigError(
                "EvaluationConfig takes 'num_folds' or partitions, not both. Got "
                f"num_folds={self.num_folds!r}, train_partitions={self.train_partitions!r}."
            )


def build(cls: type[Config], values: Mapping[str, Any], *, where: str) -> Config:
    """Return the dataclass `cls` with `values`, which come from the place named `where`.

    Raises
    ------
    ConfigError
        If a key is unknown or a value has the wrong type or range; the message names `where`.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    reject_unknown(values, fields, where=where)
    converted = {name: _convert(cls, name, value, where) for name, value in values.items()}
    try:
        return cls(**converted)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def reject_unknown(keys: Iterable[str], known: Iterable[str], *, where: str) -> None:
    """Raise `ConfigError` for the first of `keys` that is not `known`, naming the nearest one."""
    known = list(known)
    for key in keys:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(known)}."
            raise ConfigError(f"{where}: unknown key {key!r}. {hint}")


def fingerprint(*parts: Any) -> str:
    """Return 16 hexadecimal digits that stand for `parts` (dataclasses, dicts, numbers, text)."""
    text = json.dumps(parts, sort_keys=True, default=_jsonable)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a fingerprint")


def _convert(cls: type[Any], name: str, value: Any, where: str) -> Any:
    """Return a TOML value as the field's type, lists as tuples; refuse another type."""
    accepted = _accepted(cls.__annotations__[name])
    if isinstance(value, list):
        value = tuple(value)
    fits = type(value) in accepted or (type(value) is int and float in accepted)
    strings = type(value) is not tuple or all(isinstance(inner, str) for inner in value)
    if not (fits and strings):
        kinds = " or ".join("None" if kind is NoneType else kind.__name__ for kind in accepted)
        raise ConfigError(
            f"{where}: The {name!r} parameter of {cls.__name__} must be {kinds}. Got {value!r}."
        )
    return value


def _accepted(annotation: Any) -> list[type[Any]]:
    """Return the classes that values of a field may have."""
    if get_origin(annotation) is Literal:
        return [str]
    if get_origin(annotation) in (Union, UnionType):
        return [kind for inner in get_args(annotation) for kind in _accepted(inner)]
    return [get_origin(annotation) or annotation]


def _settle(config: Any) -> None:
    """Turn whole numbers into floats where the field is one, and check choices and finiteness.

    So 1 and 1.0 are the same configuration with the same fingerprint.
    """
    annotations: dict[str, Any] = type(config).__annotations__
    for name, annotation in annotations.items():
        value = getattr(config, name)
        if type(value) is int and float in _accepted(annotation):
            object.__setattr__(config, name, float(value))
        if isinstance(value, float):
            _check(config, name, math.isfinite(value), "finite")
        if get_origin(annotation) is Literal:
            choices = ", ".join(map(repr, get_args(annotation)))
            _check(config, name, value in get_args(annotation), f"one of {choices}")


def _check(config: object, name: str, holds: bool, rule: str) -> None:
    if not holds:
        raise ConfigError(
            f"The {name!r} parameter of {type(config).__name__} must be {rule}. "
            f"Got {getattr(config, name)!r}."
        )
