"""How autoencoders are trained, and what their training may take."""

from dataclasses import dataclass
from typing import Literal, get_args

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = ["ResourceConfig", "Tracker", "TrainingConfig"]

Tracker = Literal["mlflow", "wandb"]


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How an autoencoder is trained.

    `in_memory_gb`, `shuffle_buffer_gb` and `checkpoints_to_keep` are limits: they do not make a
    model another one. What is streamed is shuffled otherwise, so that its losses differ a little.
    """

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
