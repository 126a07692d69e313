"""How far a training is, and the checkpoint that holds it."""

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from torch import Tensor

from raudeep.models.artifact import pack_tensors, unpack_tensors
from raudeep.models.fitting import EpochResult, Fit
from raudeep.storage import uri as uris

__all__ = ["Checkpoint", "Progress", "find_checkpoint", "write_checkpoint"]

_PROGRESS, _WEIGHTS, _OPTIMIZER = "progress.json", "weights", "optimizer"
_BEST, _BEST_OPTIMIZER = "best", "best_optimizer"
_CHECKSUMS = "checksums"


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
    """Write what `find_checkpoint` finds, with the checksums of its files."""
    contents: dict[str, Mapping[str, Tensor]] = {
        _WEIGHTS: fit.weights(),
        _OPTIMIZER: fit.optimizer_state(),
    }
    if progress.best:
        contents |= {_BEST: progress.best, _BEST_OPTIMIZER: progress.best_optimizer}
    packed = {name: pack_tensors(tensors) for name, tensors in contents.items()}
    for name, content in packed.items():
        (folder / name).write_bytes(content)
    names = ("history", "last_epoch", "best_epoch", "best_loss")
    values = {name: getattr(progress, name) for name in names}
    values[_CHECKSUMS] = {name: zlib.crc32(content) for name, content in packed.items()}
    (folder / _PROGRESS).write_text(json.dumps(values))


def find_checkpoint(recorded: Any, run: str) -> Checkpoint | None:
    """Return what a training goes on from; None where it begins.

    Parameters
    ----------
    recorded : ray.train.Checkpoint or None
        The checkpoint that Ray Train has on record. Where it has none, or a damaged one, as after
        a disc was full, the newest whole one of the run counts.
    run : str
        URI of the folder in which Ray Train keeps the checkpoints of the run.
    """
    if recorded:
        with recorded.as_directory() as folder:
            if found := _read(lambda name: (Path(folder) / name).read_bytes()):
                return found
    kept = {name.partition("/")[0] for name in uris.list_files(run) if "/" in name}
    for folder in sorted(kept, reverse=True):  # their names are times
        place = uris.join(run, folder)
        if found := _read(partial(_read_below, place)):
            return found
    return None


def _read_below(place: str, name: str) -> bytes:
    return uris.read_bytes(uris.join(place, name))


def _read(read: Callable[[str], bytes]) -> Checkpoint | None:
    """Return the checkpoint whose files `read` gives by name; None if one is missing or damaged."""
    try:
        values = json.loads(read(_PROGRESS))
        # Those of earlier versions have no checksums.
        checksums = values.pop(_CHECKSUMS, None) or dict.fromkeys((_WEIGHTS, _OPTIMIZER))
        if values["best_epoch"]:
            checksums |= {name: checksums.get(name) for name in (_BEST, _BEST_OPTIMIZER)}
        tensors = {}
        for name, checksum in checksums.items():
            content = read(name)
            if checksum not in (None, zlib.crc32(content)):
                return None
            tensors[name] = unpack_tensors(content)
        progress = Progress(
            **values, best=tensors.get(_BEST, {}), best_optimizer=tensors.get(_BEST_OPTIMIZER, {})
        )
        return Checkpoint(progress, tensors[_WEIGHTS], tensors[_OPTIMIZER])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, SafetensorError):
        return None
