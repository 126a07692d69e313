"""How autoencoders are trained, and which resources they may use."""

from dataclasses import dataclass
from typing import Literal, get_args

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = ["ResourceConfig", "Tracker", "TrainingConfig"]

Tracker = Literal["mlflow", "wandb"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How an autoencoder is trained.

    `in_memory_gb`, `shuffle_buffer_gb` and `checkpoints_to_keep` are limits: a training continues
    under other limits. Streamed spectrograms come in another order, so that losses differ a little.
    """

    num_epochs: int = 10
    """Passes over the spectrograms."""
    batch_size: int = 64
    """Chunks of a training step, over all workers."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    gradient_clip: float | None = 2.0
    """Largest absolute value of a gradient. None: not clipped."""
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    """Arithmetic of the layers; auto: bfloat16 where it is faster."""
    validation_fraction: float | None = None
    """Share of the recordings held out for a validation loss. None: train on all."""
    early_stopping_epochs: int | None = None
    """Stop after this many epochs without a lower validation loss; keep the best. None: never."""
    in_memory_gb: float = 2.0
    """Keep up to this many GB of spectrograms in memory; stream larger tables each epoch."""
    shuffle_buffer_gb: float = 0.5
    """Size in GB of the buffer that shuffles streamed spectrograms."""
    checkpoints_to_keep: int | None = 1
    """Keep the weights of this many last epochs. None: of all."""
    seed: int = 0
    """Seed of first weights, shuffling, dropout and the validation split."""

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
    """What training may use, and which tracker is told; changes no fingerprint.

    Only num_workers changes results: each worker draws its own dropout.
    """

    num_workers: int = 1
    """Workers that train one autoencoder together."""
    min_workers: int | None = None
    """Start with this many workers if there is no place for all yet. None: wait for all."""
    cpus_per_worker: int | None = None
    """CPU cores of each worker. None: shared evenly among the runs."""
    gpus_per_worker: float | None = None
    """GPUs of each worker, such as 0.5. None: shared evenly among the runs."""
    max_concurrent_runs: int | None = None
    """Training runs at the same time. None: as many as fit."""
    tracker: Tracker | None = None
    """Also send settings and losses of each epoch to this tracker. None: TensorBoard only."""

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
