"""From a point to the configuration that it stands for, and from the best one to a recipe."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from raudeep.config import (
    ArchitectureConfig,
    SpectrogramConfig,
    TrainingConfig,
    TuneConfig,
    architecture_of,
    build,
    fingerprint,
)
from raudeep.errors import ConfigError
from raudeep.recipe import NamedAutoencoder, Recipe
from raudeep.sweep.domain import Domain, Value
from raudeep.sweep.space import KIND, SEARCHED, Point, SearchSpace

__all__ = ["Candidate", "base_of", "candidate_of", "check_values", "recipe_of"]

_DRAWS = 1000  # so that what goes together with one in a hundred others is found


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration: a view, an autoencoder and its training."""

    name: str
    """That of the recipe's autoencoder."""
    spectrogram: SpectrogramConfig
    model: ArchitectureConfig
    training: TrainingConfig

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that stand for what is trained."""
        return fingerprint(self.spectrogram, self.model.kind, self.model, self.training)


def base_of(recipe: Recipe, autoencoder: str | None, tune: TuneConfig) -> Candidate:
    """Return the autoencoder of the recipe that the search starts from. Default: the first.

    Raises
    ------
    ConfigError
        If the recipe has no autoencoder of that name.
    """
    name = next(iter(recipe.autoencoders)) if autoencoder is None else autoencoder
    if name not in recipe.autoencoders:
        raise ConfigError(
            f"recipe {recipe.name!r} has no autoencoder {name!r}. It has "
            f"{', '.join(map(repr, recipe.autoencoders))}."
        )
    own = recipe.autoencoders[name]
    training = own.training
    if tune.objective == "loss" and training.validation_fraction is None:
        training = dataclasses.replace(training, validation_fraction=tune.validation_fraction)
    return Candidate(
        name=name, spectrogram=recipe.views[own.view], model=own.model, training=training
    )


def candidate_of(base: Candidate, point: Point) -> Candidate:
    """Return `base` with the values of a point.

    Raises
    ------
    ConfigError
        If the values do not go together.
    """
    own: dict[str, dict[str, Any]] = {section: {} for section in SEARCHED}
    for name, value in point.items():
        section, _, key = name.partition(".")
        own[section][key] = value
    kind = own["autoencoder"].pop(KIND.partition(".")[2], base.model.kind)
    shape = architecture_of(kind, where="the search space")
    known = {field.name for field in dataclasses.fields(shape)}
    if foreign := sorted(own["autoencoder"].keys() - known):
        raise ConfigError(
            f"an autoencoder of kind {kind!r} has no {foreign[0]!r}. Search it on a condition: "
            f"when = {{autoencoder.kind = […]}}."
        )
    shared = {k: v for k, v in dataclasses.asdict(base.model).items() if k in known}
    where = "the search space"
    spectrogram: SpectrogramConfig = build(
        SpectrogramConfig,
        {**dataclasses.asdict(base.spectrogram), **own["spectrogram"]},
        where=where,
    )
    model: ArchitectureConfig = build(shape, {**shared, **own["autoencoder"]}, where=where)
    if spectrogram.n_mels is not None:
        model.check_bands(spectrogram.n_mels)
    return Candidate(
        name=base.name,
        spectrogram=spectrogram,
        model=model,
        training=build(
            TrainingConfig,
            {**dataclasses.asdict(base.training), **own["training"]},
            where=where,
        ),
    )


def check_values(base: Candidate, space: SearchSpace) -> None:
    """Raise `ConfigError` for the first value that is invalid in every trial.

    Of ranges the ends are looked at. Values that go together with some others only are no mistake:
    points that hold them with others are left out when they are drawn.
    """
    for parameter in space.parameters:
        for domain in (alternative.domain for alternative in parameter.alternatives):
            for value in domain.choices or domain.ends:
                error = _reason_against(base, space, parameter.name, domain, value)
                if error is not None:
                    raise ConfigError(
                        f"no trial can have {value!r} as {parameter.name!r}: {error}"
                    ) from error


def _reason_against(
    base: Candidate, space: SearchSpace, name: str, domain: Domain, value: Value
) -> ConfigError | None:
    """Return why no point with this value of a domain makes a candidate; None if one does."""
    rng = np.random.default_rng(0)
    reason = None

    def choose(_: str, other: Domain) -> Value:
        return value if other is domain else other.at(rng.random())

    for _ in range(_DRAWS):
        point = space.draw(choose)
        if point.get(name) != value:
            continue  # the condition of the domain does not hold
        try:
            candidate_of(base, point)
        except ConfigError as error:
            reason = error
        else:
            return None
    return reason


def recipe_of(
    recipe: Recipe, base: Candidate, point: Point, *, reserved_folds: tuple[int, ...]
) -> Recipe:
    """Return the recipe of one point, evaluated on the reserved folds.

    What a search held out for its own loss is trained on, unless the training stops early by it.
    """
    best = candidate_of(base, point)
    own = recipe.autoencoders[base.name]
    training = best.training
    if "training.validation_fraction" not in point and training.early_stopping_epochs is None:
        fraction = own.training.validation_fraction
        training = dataclasses.replace(training, validation_fraction=fraction)
    evaluation = recipe.evaluation
    if reserved_folds:
        evaluation = dataclasses.replace(evaluation, num_folds=None, folds=reserved_folds)
    return dataclasses.replace(
        recipe,
        name=f"{recipe.name}-tuned",
        views={own.view: best.spectrogram},
        autoencoders={
            base.name: NamedAutoencoder(view=own.view, model=best.model, training=training)
        },
        readouts=("pooled",) if best.model.keeps_time else recipe.readouts,
        evaluation=evaluation,
    )
