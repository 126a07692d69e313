"""Search spaces: the fields to search, their values and their conditions.

A space is a TOML file. ``[search]`` holds a table for each searched field; a list of tables are
alternatives: the first whose ``when`` holds is taken, or the recipe's own value if none
does. ``[tune]`` may hold the fields of `TuneConfig`::

    [search]
    autoencoder.num_layers = {choices = [1, 2]}
    autoencoder.num_units = [
        {choices = [128, 256, 512], when = {autoencoder.num_layers = [1]}},
        {choices = [64, 128, 256]},
    ]
    training.learning_rate = {low = 1e-4, high = 1e-2, log = true}
    spectrogram.clip_below_db = {low = -75, high = -30, steps = 4}
"""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from raudeep.config import (
    ArchitectureConfig,
    SpectrogramConfig,
    TrainingConfig,
    TuneConfig,
    architecture_of,
    autoencoder_kinds,
    build,
    reject_unknown,
)
from raudeep.config.fields import accepted, convert
from raudeep.errors import ConfigError
from raudeep.sweep.domain import Domain, Value

__all__ = ["Alternative", "Parameter", "Point", "SearchSpace", "parse_space", "parse_sweep"]

Point = dict[str, Value]
"""A value for each field that is searched on the conditions of the others, by ``section.field``."""

SEARCHED = ("spectrogram", "autoencoder", "training")
KIND = "autoencoder.kind"
_KEYS = ("choices", "low", "high", "log", "steps", "when")


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Values of a field, and the condition on which they are drawn."""

    domain: Domain
    when: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    """Values that other searched fields must have."""

    def holds(self, point: Point) -> bool:
        """Return whether a point, of the fields before this one, meets the condition."""
        return all(point.get(name) in values for name, values in self.when.items())


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A searched field and its alternatives."""

    name: str
    """``section.field``."""
    alternatives: tuple[Alternative, ...]


@dataclass(frozen=True)
class SearchSpace:
    """The searched fields, each after those that its conditions name."""

    parameters: tuple[Parameter, ...]

    def draw(self, choose: Callable[[str, Domain], Value]) -> Point:
        """Return the point whose values `choose` gives.

        It is called with the name of each alternative whose condition holds and its domain. The
        name is the field's, with the number of the alternative where there are several.
        """
        point: Point = {}
        for parameter in self.parameters:
            for number, alternative in enumerate(parameter.alternatives):
                if alternative.holds(point):
                    single = len(parameter.alternatives) == 1
                    name = parameter.name if single else f"{parameter.name}#{number}"
                    point[parameter.name] = choose(name, alternative.domain)
                    break
        return point

    def grid(self) -> Iterator[Point]:
        """Yield every point.

        Raises
        ------
        ConfigError
            If a range has no end of values.
        """
        for parameter in self.parameters:
            if any(alternative.domain.values() is None for alternative in parameter.alternatives):
                raise ConfigError(
                    f"a grid takes choices, integers, or ranges with 'steps'; {parameter.name!r} "
                    "is a range without."
                )
        return self._extend(0, {})

    def to_dict(self) -> dict[str, list[dict[str, Any]]]:
        """Return the space as plain values, for JSON."""
        return {
            parameter.name: [
                alternative.domain.to_dict()
                | {f"when {name}": list(values) for name, values in alternative.when.items()}
                for alternative in parameter.alternatives
            ]
            for parameter in self.parameters
        }

    def _extend(self, position: int, point: Point) -> Iterator[Point]:
        if position == len(self.parameters):
            yield point
            return
        parameter = self.parameters[position]
        held = [each for each in parameter.alternatives if each.holds(point)]
        if not held:
            yield from self._extend(position + 1, point)
            return
        for value in held[0].domain.values() or ():
            yield from self._extend(position + 1, {**point, parameter.name: value})


def parse_sweep(
    content: Mapping[str, Any], *, where: str, overrides: Mapping[str, Any] | None = None
) -> tuple[SearchSpace, TuneConfig]:
    """Return the search space of a file, and how to search it.

    `where` names the file in messages; `overrides` as in `raudeep.storage.recipes.load_space`.

    Raises
    ------
    ConfigError
        If a key is unknown, or a value is not one of its field.
    """
    reject_unknown(content, ("search", "tune"), where=where)
    for key in ("search", "tune"):
        if not isinstance(content.get(key, {}), dict):
            raise ConfigError(f"{where}: {key!r} must be a table. Got {content[key]!r}.")
    settings = {**content.get("tune", {}), **(overrides or {})}
    tune: TuneConfig = build(TuneConfig, settings, where=f"{where}: [tune]")
    return parse_space(content.get("search", {}), where=f"{where}: [search]"), tune


def parse_space(content: Mapping[str, Any], *, where: str) -> SearchSpace:
    """Return the search space of a TOML table; `where` names it in messages.

    Raises
    ------
    ConfigError
        If it is empty, a key is unknown, a value is not one of its field, or a condition cannot be
        decided.
    """
    parameters = {
        name: Parameter(name=name, alternatives=_alternatives(name, value, where))
        for name, value in _flat(content, where).items()
    }
    if not parameters:
        raise ConfigError(
            f"{where} searches nothing. Add a field, as in training.learning_rate = "
            "{low = 1e-4, high = 1e-2, log = true}."
        )
    for parameter in parameters.values():
        _check_conditions(parameter, parameters, where)
    return SearchSpace(tuple(_ordered(parameters, where)))


def _flat(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a table of sections as one by ``section.field``, which may be written as well."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if "." in key:
            flat[key] = value
        elif isinstance(value, Mapping):
            reject_unknown([key], SEARCHED, where=where)
            flat.update({f"{key}.{inner}": each for inner, each in value.items()})
        else:
            raise ConfigError(f"{where}: {key!r} must be a table of fields. Got {value!r}.")
    return flat


def _alternatives(name: str, value: Any, where: str) -> tuple[Alternative, ...]:
    tables = value if isinstance(value, list) else [value]
    place = f"{where}: {name!r}"
    if not tables or not all(isinstance(table, Mapping) for table in tables):
        raise ConfigError(
            f"{place} must be a table with 'choices' or with 'low' and 'high', or a list of such "
            f"tables. Got {value!r}."
        )
    return tuple(_alternative(name, table, place, where) for table in tables)


def _alternative(name: str, table: Mapping[str, Any], place: str, where: str) -> Alternative:
    reject_unknown(table, _KEYS, where=place)
    conditions = table.get("when", {})
    if not isinstance(conditions, Mapping):
        raise ConfigError(f"{place}: 'when' must be a table of fields. Got {conditions!r}.")
    when = {}
    for other, values in _flat(conditions, f"{place}: 'when'").items():
        listed = values if isinstance(values, list) else [values]
        when[other] = tuple(_value(other, each, where) for each in listed)
    return Alternative(domain=_domain(name, table, place, where), when=when)


def _domain(name: str, table: Mapping[str, Any], place: str, where: str) -> Domain:
    _, _, kinds = _field(name, where)
    ranged = {"low", "high"} <= table.keys()
    if ("choices" in table) == bool(table.keys() & {"low", "high", "log", "steps"}) or not (
        "choices" in table or ranged
    ):
        raise ConfigError(
            f"{place} takes either 'choices', or 'low' and 'high' with or without 'log' and "
            f"'steps'. Got {dict(table)!r}."
        )
    if not ranged:
        choices = table["choices"]
        if not isinstance(choices, list) or not choices:
            raise ConfigError(f"{place}: 'choices' must be a list of values. Got {choices!r}.")
        return Domain(choices=tuple(dict.fromkeys(_value(name, each, where) for each in choices)))
    if not {int, float} & set(kinds):
        raise ConfigError(f"{place} is not a number: give 'choices'. Got {dict(table)!r}.")
    low, high = _value(name, table["low"], where), _value(name, table["high"], where)
    log, steps = table.get("log", False), table.get("steps")
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low < high):
        raise ConfigError(f"{place}: 'low' must be less than 'high'. Got {low!r} and {high!r}.")
    if float not in kinds and max(-low, high, high - low) >= 2**63 - 1:
        raise ConfigError(
            f"{place}: 'low', 'high' and their distance must be below 2**63 - 1. Got {low!r} and "
            f"{high!r}."
        )
    if not math.isfinite(high - low):
        raise ConfigError(f"{place}: 'low' and 'high' must be finite. Got {low!r} and {high!r}.")
    if type(log) is not bool or (log and low <= 0):
        raise ConfigError(
            f"{place}: 'log' is true or false, and takes a 'low' greater than 0. Got {log!r} with "
            f"low={low!r}."
        )
    if steps is not None and (type(steps) is not int or steps < 2):
        raise ConfigError(f"{place}: 'steps' must be at least 2. Got {steps!r}.")
    return Domain(low=low, high=high, log=log, steps=steps, integer=float not in kinds)


def _field(name: str, where: str) -> tuple[type[Any], dataclasses.Field[Any] | None, list[Any]]:
    """Return the configuration that has a field, the field, and the types of its values."""
    section, _, key = name.partition(".")
    reject_unknown([section], SEARCHED, where=where)
    kinds: dict[str, list[type[Any]]] = {
        "spectrogram": [SpectrogramConfig],
        "autoencoder": list(autoencoder_kinds().values()),
        "training": [TrainingConfig],
    }
    known = {each.name: (cls, each) for cls in kinds[section] for each in dataclasses.fields(cls)}
    if name == KIND:
        return ArchitectureConfig, None, [str]
    extra = [KIND.partition(".")[2]] if section == "autoencoder" else []
    reject_unknown([key], [*known, *extra], where=f"{where}: {section}")
    cls, found = known[key]
    return cls, found, accepted(found.type)


def _value(name: str, value: Any, where: str) -> Value:
    """Return a value as its field holds it; refuse one of another type."""
    cls, found, _ = _field(name, where)
    if found is None:
        return architecture_of(value, where=f"{where}: {name!r}").kind
    try:
        settled: Value = convert(cls, found, value)
    except ConfigError as error:
        raise ConfigError(f"{where}: {name!r}: {error}") from error
    return settled


def _check_conditions(
    parameter: Parameter, parameters: Mapping[str, Parameter], where: str
) -> None:
    """Refuse alternatives that no point could have."""
    place = f"{where}: {parameter.name!r}"
    for number, alternative in enumerate(parameter.alternatives, start=1):
        if not alternative.when and number < len(parameter.alternatives):
            raise ConfigError(
                f"{place}: alternative {number} has no 'when', so that none after it is ever "
                "taken. Put it last."
            )
        for other, values in alternative.when.items():
            if other not in parameters:
                raise ConfigError(
                    f"{place} is searched when {other!r} has some value, but that is not "
                    "searched. Add it, or leave the condition out."
                )
            domains = [each.domain for each in parameters[other].alternatives]
            if not any(domain.holds(value) for domain in domains for value in values):
                listed = " or ".join(map(repr, values))
                raise ConfigError(
                    f"{place} is searched when {other!r} is {listed or 'nothing'}, which is none "
                    "of its values."
                )


def _ordered(parameters: Mapping[str, Parameter], where: str) -> Iterator[Parameter]:
    """Yield parameters in their order, but each after those that its conditions name."""
    done: set[str] = set()
    waiting = dict(parameters)
    while waiting:
        ready = [
            name
            for name, parameter in waiting.items()
            if all(key in done for each in parameter.alternatives for key in each.when)
        ]
        if not ready:
            raise ConfigError(
                f"{where}: the conditions of {', '.join(map(repr, waiting))} wait for each other."
            )
        done.add(ready[0])
        yield waiting.pop(ready[0])
