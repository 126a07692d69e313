"""What all configuration dataclasses share: building from plain values, checks, fingerprints."""

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from raudeep.errors import ConfigError

__all__ = ["accepted", "build", "check", "convert", "fingerprint", "reject_unknown", "settle"]

Config = TypeVar("Config")


def build(cls: type[Config], values: Mapping[str, Any], *, where: str) -> Config:
    """Return the dataclass `cls` with `values`, which come from the place named `where`.

    Raises
    ------
    ConfigError
        If a key is unknown or a value has the wrong type or range; the message names `where`.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    reject_unknown(values, fields, where=where)
    converted = {name: convert(cls, fields[name], value, where) for name, value in values.items()}
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


def convert(cls: type[Any], field: dataclasses.Field[Any], value: Any, where: str) -> Any:
    """Return a TOML value as the field's type, lists as tuples; refuse another type."""
    kinds = accepted(field.type)
    if isinstance(value, list):
        value = tuple(value)
    fits = type(value) in kinds or (type(value) is int and float in kinds)
    inner = accepted(get_args(field.type)[0]) if tuple in kinds else []
    if not fits or (type(value) is tuple and any(type(each) not in inner for each in value)):
        names = " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)
        raise ConfigError(
            f"{where}: The {field.name!r} parameter of {cls.__name__} must be {names}. "
            f"Got {value!r}."
        )
    return value


def accepted(annotation: Any) -> list[type[Any]]:
    """Return the classes that values of a field may have."""
    if get_origin(annotation) is Literal:
        return [str]
    if get_origin(annotation) in (Union, UnionType):
        return [kind for inner in get_args(annotation) for kind in accepted(inner)]
    return [get_origin(annotation) or annotation]


def settle(config: Any) -> None:
    """Turn whole numbers into floats where the field is one, and check choices and finiteness.

    So 1 and 1.0 are the same configuration with the same fingerprint.
    """
    for field in dataclasses.fields(config):
        name, annotation = field.name, field.type
        value = getattr(config, name)
        if type(value) is int and float in accepted(annotation):
            object.__setattr__(config, name, float(value))
        if isinstance(value, float):
            check(config, name, math.isfinite(value), "finite")
        if get_origin(annotation) is Literal:
            choices = ", ".join(map(repr, get_args(annotation)))
            check(config, name, value in get_args(annotation), f"one of {choices}")


def check(config: object, name: str, holds: bool, rule: str) -> None:
    """Raise `ConfigError`, saying that the field `name` must be `rule`, unless that `holds`."""
    if not holds:
        raise ConfigError(
            f"The {name!r} parameter of {type(config).__name__} must be {rule}. "
            f"Got {getattr(config, name)!r}."
        )
