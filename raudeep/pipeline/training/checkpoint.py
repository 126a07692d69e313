"""How far a training is, and the checkpoint that holds it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from raudeep.models.artifact import pack_tensors, unpack_tensors
from raudeep.models.fitting import EpochResult, Fit

__all__ = ["Checkpoint", "Progress", "read_checkpoint", "write_checkpoint"]

_PROGRESS, _WEIGHTS, _OPTIMIZER = "progress.json", "weights", "optimizer"
_BEST, _BEST_OPTIMIZER = "best", "best_optimizer"


@dataclass
class Progress:
    """How far a training is: its epochs, and the best of them where it may stop early."""

    history: list[dict[str, Any]] = field(default_factory=list)
    last_epoch: int = 0
    """Epoch at which the training ends."""
    best_epoch: int = 0
    """Epoch of the lowest validation loss, 0 without early stopping."""
    best_loss: float = 0.0
    best: Mapping[str, Tensor] = field(default_factory=dict)
    """Weights of that epoch."""
    best_optimizer: Mapping[str, Tensor] = field(default_factory=dict)
    """The optimiser's state after it, from which a continued training goes on."""

    @property
    def epoch(self) -> int:
        """The last finished epoch."""
        return len(self.history)

    def is_done(self, patience: int | None) -> bool:
        """Return whether no epoch follows."""
        stopped = patience is not None and self.epoch - self.best_epoch >= patience
        return self.epoch >= self.last_epoch or (bool(self.best_epoch) and stopped)

    def add(self, result: EpochResult, fit: Fit) -> None:
        """Count an epoch, and remember its weights if they are the best so far."""
        self.history.append(asdict(result))
        self.judge(result.validation_loss, fit)

    def judge(self, validation_loss: float | None, fit: Fit) -> None:
        """Remember the weights of the last epoch if they are the best so far."""
        if fit.config.early_stopping_epochs is None or validation_loss is None:
            return
        if not self.best_epoch or validation_loss < self.best_loss:
            self.best_epoch, self.best_loss = self.epoch, validation_loss
            self.best = _copied(fit.weights())
            self.best_optimizer = _copied(fit.optimizer_state())

    @property
    def kept(self) -> dict[str, Any]:
        """Number and losses of the epoch whose weights the artifact would have by now."""
        shown = self.history[(self.best_epoch or self.epoch) - 1]
        kept = {name: shown[name] for name in ("epoch", "loss", "validation_loss")}
        # That of weights that a training began with is not that of the training they come from.
        return kept | ({"validation_loss": self.best_loss} if self.best_epoch else {})


def _copied(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}


class Checkpoint(NamedTuple):
    """What a training goes on from."""

    progress: Progress
    weights: dict[str, Tensor]
    optimizer_state: dict[str, Tensor]


def write_checkpoint(folder: Path, fit: Fit, progress: Progress) -> None:
    """Write what `read_checkpoint` reads."""
    (folder / _WEIGHTS).write_bytes(pack_tensors(fit.weights()))
    (folder / _OPTIMIZER).write_bytes(pack_tensors(fit.optimizer_state()))
    if progress.best:
        (folder / _BEST).write_bytes(pack_tensors(progress.best))
        (folder / _BEST_OPTIMIZER).write_bytes(pack_tensors(progress.best_optimizer))
    names = ("history", "last_epoch", "best_epoch", "best_loss")
    values = {name: getattr(progress, name) for name in names}
    (folder / _PROGRESS).write_text(json.dumps(values))


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return how far a training was, with the weights and the optimiser of that moment."""
    tensors = {
        name: unpack_tensors((folder / name).read_bytes())
        for name in (_WEIGHTS, _OPTIMIZER, _BEST, _BEST_OPTIMIZER)
        if (folder / name).exists()
    }
    progress = Progress(
        **json.loads((folder / _PROGRESS).read_text()),
        best=tensors.get(_BEST, {}),
        best_optimizer=tensors.get(_BEST_OPTIMIZER, {}),
    )
    return Checkpoint(progress, tensors[_WEIGHTS], tensors[_OPTIMIZER])
