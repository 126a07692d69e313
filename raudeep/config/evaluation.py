"""Classifiers, and how embeddings are scored with them."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from raudeep.config.fields import check, settle
from raudeep.errors import ConfigError

__all__ = [
    "CLASSIFIERS",
    "ClassifierConfig",
    "EvaluationConfig",
    "FitConfig",
    "MlpConfig",
    "SvmConfig",
    "check_complexity",
    "check_pattern",
]

_COUNTED = 2**15  # what int16 counts from 0: repeats and folds in predictions
# Liblinear multiplies by C and does not end where that vanishes or overflows, as at 1e-300 and
# 1e300. Within these bounds it does, and long before either the scores no longer change.
_LEAST_C, _MOST_C = 1e-12, 1e6


@dataclass(frozen=True, kw_only=True)
class MlpConfig:
    """Multi-layer perceptron that scores embeddings."""

    num_layers: int = 2
    """Hidden layers."""
    num_units: int = 150
    """Hidden units of each layer."""
    num_epochs: int = 400
    """Passes over all rows."""
    batch_size: int | None = None
    """Rows of a training step. None: all rows, as in auDeep; needs memory for all."""
    learning_rate: float = 1e-3
    """Step size of Adam."""
    dropout: float = 0.4
    """Probability of dropping a hidden value during training."""
    variant: Literal["standard", "audeep"] = "standard"
    """Linear outputs, or a ReLU on them as in auDeep."""

    def __post_init__(self) -> None:
        settle(self)
        for name in ("num_layers", "num_units", "num_epochs"):
            check(self, name, getattr(self, name) >= 1, "at least 1")
        some = self.batch_size is None or self.batch_size >= 1
        check(self, "batch_size", some, "at least 1 or None")
        check(self, "learning_rate", self.learning_rate > 0, "greater than 0")
        check(self, "dropout", 0 <= self.dropout < 1, "in the range [0, 1)")


@dataclass(frozen=True, kw_only=True)
class SvmConfig:
    """Linear support vector machine, one class against the others."""

    complexity: float = 0.001
    """C: larger values fit the training rows more closely."""
    max_iterations: int = 10_000
    """Largest number of steps of the solver."""

    def __post_init__(self) -> None:
        settle(self)
        check_complexity(self)
        check(self, "max_iterations", self.max_iterations >= 1, "at least 1")


def check_complexity(config: Any) -> None:
    """Raise `ConfigError` unless the solver ends at the `complexity` of a configuration."""
    holds = _LEAST_C <= config.complexity <= _MOST_C
    check(config, "complexity", holds, f"in the range [{_LEAST_C:g}, {_MOST_C:g}]")


ClassifierConfig = MlpConfig | SvmConfig
CLASSIFIERS: dict[str, type[ClassifierConfig]] = {"mlp": MlpConfig, "svm": SvmConfig}
"""Classifiers by their names on the command line and in artifacts."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a classifier that predicts is trained."""

    repeats: int = 1
    """Fits with different seeds; their probabilities are averaged."""
    upsample: bool = False
    """Repeat rows of small classes until all classes are about equally large."""
    train_partitions: tuple[str, ...] = ()
    """Train on these partitions. Default: on all rows with a label."""
    seed: int = 0
    """Seed of the fits."""

    def __post_init__(self) -> None:
        settle(self)
        check(self, "repeats", self.repeats >= 1, "at least 1")
        check(self, "seed", self.seed >= 0, "at least 0")


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """How embeddings are scored."""

    repeats: int | None = None
    """Fits for each fold, with different seeds. None: 5 for an MLP, 1 for an SVM or a CNN."""
    num_folds: int | None = None
    """Make this many folds, stratified, by recording. None: the folds of the corpus."""
    group_pattern: str | None = None
    """Regular expression on names; recordings with the same match stay in one made fold."""
    folds: tuple[int, ...] = ()
    """Score only these folds, from 0. Default: all."""
    majority_vote: bool = False
    """Score recordings, by the most frequent class of their chunks, instead of chunks."""
    upsample: bool = False
    """Repeat training rows of small classes until all classes are about equally large."""
    train_partitions: tuple[str, ...] = ()
    """Train on these partitions, without cross-validation; needs eval_partitions."""
    eval_partitions: tuple[str, ...] = ()
    """Score these partitions; needs train_partitions."""
    seed: int = 0
    """Seed of the made folds and of the classifiers."""

    def __post_init__(self) -> None:
        settle(self)
        some = self.repeats is None or 1 <= self.repeats <= _COUNTED
        check(self, "repeats", some, f"in the range [1, {_COUNTED}] or None")
        check(self, "seed", self.seed >= 0, "at least 0")
        made = self.num_folds is None or 2 <= self.num_folds <= _COUNTED
        check(self, "num_folds", made, f"in the range [2, {_COUNTED}] or None")
        if self.group_pattern is not None:
            check_pattern(self.group_pattern)
            if self.num_folds is None:
                raise ConfigError(
                    "'group_pattern' of EvaluationConfig is for made folds. Set num_folds as well."
                )
        once = len(set(self.folds)) == len(self.folds)
        check(self, "folds", once and min(self.folds, default=0) >= 0, "folds from 0, each once")
        if bool(self.train_partitions) != bool(self.eval_partitions):
            raise ConfigError(
                "'train_partitions' and 'eval_partitions' of EvaluationConfig go together "
                "(--train-partitions, --eval-partitions). Got "
                f"{self.train_partitions!r} and {self.eval_partitions!r}."
            )
        for name in ("num_folds", "folds"):
            if self.train_partitions and getattr(self, name):
                raise ConfigError(
                    f"EvaluationConfig takes {name!r} or partitions, not both. Got "
                    f"{name}={getattr(self, name)!r}, train_partitions={self.train_partitions!r}."
                )

    def repeats_of(self, classifier: object) -> int:
        """Return the fits per fold of a classifier, given by its configuration.

        Those of an SVM differ by rounding at most; the CNN is trained once, as in its paper.
        """
        if self.repeats is not None:
            return self.repeats
        return 5 if isinstance(classifier, MlpConfig) else 1


def check_pattern(pattern: str) -> None:
    """Raise `ConfigError` unless this is a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"group_pattern must be a regular expression. Got {pattern!r}: {error}."
        ) from error
