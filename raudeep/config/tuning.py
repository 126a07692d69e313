"""How a sweep searches: its objective, its searcher, and the folds that it must not see."""

from dataclasses import dataclass
from typing import Literal

from raudeep.config.autoencoder import Readout
from raudeep.config.evaluation import check_complexity
from raudeep.config.fields import check, settle

__all__ = ["TuneConfig"]


@dataclass(frozen=True, kw_only=True)
class TuneConfig:
    """How a sweep tries configurations."""

    num_trials: int = 20
    """Configurations to try, including those that earlier runs of this sweep tried."""
    searcher: Literal["tpe", "random", "grid"] = "tpe"
    """Optuna's TPE, which learns from finished trials; random draws; or a whole grid."""
    objective: Literal["uar", "loss"] = "uar"
    """Rank trials by the UAR of a linear SVM on the embeddings, or by validation loss."""
    readout: Readout = "pooled"
    """Readout whose embeddings are scored."""
    complexity: float = 0.001
    """C of this SVM."""
    reserved_folds: tuple[int, ...] = ()
    """Folds, from 0, that no trial sees and the best recipe is scored on. Default: the last."""
    scored_folds: tuple[int, ...] = ()
    """Folds, from 0, that score a trial. Default: all that are not reserved."""
    validation_fraction: float = 0.2
    """Share of the recordings for the validation loss, if the recipe holds out none."""
    scheduler: Literal["asha", "none"] = "asha"
    """ASHA stops trials that are worse than most others at the same epoch."""
    grace_epochs: int = 4
    """Epochs that every trial gets."""
    reduction_factor: int = 3
    """ASHA's k: about one trial in k continues after grace_epochs, k × grace_epochs, …"""
    seed: int = 0
    """Seed of the searcher."""

    def __post_init__(self) -> None:
        settle(self)
        check(self, "num_trials", 1 <= self.num_trials <= 10**6, "in the range [1, 1000000]")
        check(self, "seed", self.seed >= 0, "at least 0")
        check_complexity(self)
        check(self, "validation_fraction", 0 < self.validation_fraction < 1, "in (0, 1)")
        check(self, "grace_epochs", self.grace_epochs >= 1, "at least 1")
        check(self, "reduction_factor", self.reduction_factor >= 2, "at least 2")
        for name in ("reserved_folds", "scored_folds"):
            folds = getattr(self, name)
            once = len(set(folds)) == len(folds)
            check(self, name, once and min(folds, default=0) >= 0, "folds from 0, each once")
        both = set(self.reserved_folds) & set(self.scored_folds)
        check(self, "scored_folds", not both, f"none of reserved_folds={self.reserved_folds}")

    @property
    def maximises(self) -> bool:
        """Whether a larger objective is a better one."""
        return self.objective == "uar"

    def rungs(self, num_epochs: int) -> tuple[int, ...]:
        """Return the epochs after which trials are compared, all before the last."""
        found, epoch = [], self.grace_epochs
        while self.scheduler == "asha" and epoch < num_epochs:
            found.append(epoch)
            epoch *= self.reduction_factor
        return tuple(found)
