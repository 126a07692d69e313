"""Samplers: random draws, a grid, or Optuna's TPE.

Every sampler may be asked for a point that was tried before; whoever asks knows what was tried, and
tells what became of it. So a search that was interrupted goes on: what is known is told again.
"""

import itertools
import json
from typing import Any, Protocol

import numpy as np

from raudeep.config import TuneConfig
from raudeep.errors import ConfigError
from raudeep.sweep.domain import Domain, Value
from raudeep.sweep.space import Point, SearchSpace

__all__ = ["GridSampler", "RandomSampler", "Sampler", "TpeSampler", "make_sampler"]

_LARGEST_GRID = 100_000


class Sampler(Protocol):
    """What is asked for points and told what they are worth."""

    def ask(self) -> Point | None:
        """Return the next point; None after the last."""

    def tell(self, point: Point, objective: float | None) -> None:
        """Learn what a point is worth; None where it came to nothing."""


class RandomSampler:
    """Independent draws, the same ones for the same seed."""

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        self._space = space
        self._rng = np.random.default_rng(seed)

    def ask(self) -> Point:
        """Return the next point."""
        return self._space.draw(lambda _, domain: domain.at(self._rng.random()))

    def tell(self, point: Point, objective: float | None) -> None:
        """Learn nothing."""


class GridSampler:
    """Every point of a space once, in an order that depends on the seed.

    Raises
    ------
    ConfigError
        If the grid has no end, or more than 100,000 points.
    """

    def __init__(self, space: SearchSpace, *, seed: int) -> None:
        points = list(itertools.islice(space.grid(), _LARGEST_GRID + 1))
        if len(points) > _LARGEST_GRID:
            raise ConfigError(
                f"the grid has more than {_LARGEST_GRID} points. Search fewer fields or values, or "
                'set searcher = "random".'
            )
        # Shuffled: neighbours in a grid are alike, and stopping early compares the first ones.
        order = np.random.default_rng(seed).permutation(len(points))
        self._points = iter([points[i] for i in order])

    def ask(self) -> Point | None:
        """Return the next point; None after the last."""
        return next(self._points, None)

    def tell(self, point: Point, objective: float | None) -> None:
        """Learn nothing."""


class TpeSampler:
    """Optuna's tree-structured Parzen estimator.

    Ray's own wrapper of it takes no finished trials where a space has conditions.

    References
    ----------
    Bergstra et al., Algorithms for Hyper-Parameter Optimization, NIPS 2011.
    """

    def __init__(
        self, space: SearchSpace, *, seed: int, maximises: bool, num_startup: int = 10
    ) -> None:
        try:
            import optuna
        except ImportError as error:
            raise ConfigError(
                "the searcher 'tpe' needs Optuna: pip install 'raudeep[tune]', or set "
                'searcher = "random".'
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._space = space
        self._asked: dict[str, Any] = {}
        self._study = optuna.create_study(
            direction="maximize" if maximises else "minimize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=num_startup),
        )

    def ask(self) -> Point:
        """Return the point that promises most, at first a random one."""
        trial = self._study.ask()
        point = self._space.draw(lambda name, domain: _suggest(trial, name, domain))
        self._asked[_key(point)] = trial
        return point

    def tell(self, point: Point, objective: float | None) -> None:
        """Learn what a point is worth, asked for or not."""
        from optuna.trial import TrialState, create_trial

        trial = self._asked.pop(_key(point), None)
        if trial is not None and objective is None:
            self._study.tell(trial, state=TrialState.FAIL)
        elif trial is not None:
            self._study.tell(trial, objective)
        elif objective is not None:
            params: dict[str, Any] = {}
            distributions: dict[str, Any] = {}

            def known(name: str, domain: Domain) -> Value:
                value = point[name.partition("#")[0]]
                params[name] = _position(domain, value) if domain.steps else value
                distributions[name] = _distribution(domain)
                return value

            self._space.draw(known)
            self._study.add_trial(
                create_trial(params=params, distributions=distributions, value=objective)
            )


def make_sampler(space: SearchSpace, tune: TuneConfig, *, num_known: int) -> Sampler:
    """Return the sampler that `tune` names; `num_known` trials were done by earlier runs."""
    if tune.searcher == "grid":
        return GridSampler(space, seed=tune.seed)
    if tune.searcher == "random":
        return RandomSampler(space, seed=tune.seed)
    # A small sweep must not spend all its trials on random points. A continued run draws other
    # random points than the run before.
    return TpeSampler(
        space,
        seed=int(np.random.SeedSequence((tune.seed, num_known)).generate_state(1)[0]),
        maximises=tune.maximises,
        num_startup=min(10, max(4, tune.num_trials // 4)),
    )


def _suggest(trial: Any, name: str, domain: Domain) -> Value:
    values = domain.values() or ()
    suggested: Value
    if domain.choices:
        suggested = trial.suggest_categorical(name, domain.choices)
    elif domain.steps:
        suggested = values[trial.suggest_int(name, 0, len(values) - 1)]
    elif domain.integer:
        suggested = trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log)
    else:
        suggested = trial.suggest_float(name, domain.low, domain.high, log=domain.log)
    return suggested


def _distribution(domain: Domain) -> Any:
    """Return what `_suggest` asks for, as Optuna keeps it."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if domain.choices:
        return CategoricalDistribution(domain.choices)
    if domain.steps:
        return IntDistribution(0, len(domain.values() or ()) - 1)
    if domain.integer:
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log)
    return FloatDistribution(domain.low, domain.high, log=domain.log)


def _position(domain: Domain, value: Value) -> int:
    return (domain.values() or ()).index(value)


def _key(point: Point) -> str:
    return json.dumps(point, sort_keys=True)
