"""What all configuration dataclasses share: building from plain values, checks, fingerprints."""

import dataclasses
import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import numpy as np

from raudeep.errors import ConfigError

__all__ = [
    "accepted",
    "build",
    "check",
    "convert",
    "fingerprint",
    "reject_text",
    "reject_unknown",
    "settle",
]

Config = TypeVar("Config")


def build(cls: type[Config], values: Mapping[str, Any], *, where: str) -> Config:
    """Return the dataclass `cls` with `values`, which come from the place named `where`.

    Raises
    ------
    ConfigError
        If a key is unknown or a value has the wrong type or range; the message names `where`.
    """
    names = [field.name for field in dataclasses.fields(cls)]  # type: ignore[arg-type]
    reject_unknown(values, names, where=where)
    try:
        return cls(**values)
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


def reject_text(values: object, name: str) -> None:
    """Raise `ConfigError` for one text where several are wanted, or its letters would be these."""
    if isinstance(values, str):
        raise ConfigError(f"{name} must be a list, also of one. Got {values!r}.")


def fingerprint(*parts: Any) -> str:
    """Return 16 hexadecimal digits that stand for `parts` (dataclasses, dicts, numbers, text)."""
    text = json.dumps(parts, sort_keys=True, default=_jsonable)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _jsonable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a fingerprint")


def convert(cls: type[Any], field: dataclasses.Field[Any], value: Any) -> Any:
    """Return a value as the field's type: plain numbers, lists as tuples, whole ones as floats.

    Another type is refused, as in TOML: 2.0 is no number of repeats, and text is no tuple of its
    letters.
    """
    kinds = accepted(field.type)
    inner = accepted(get_args(field.type)[0]) if tuple in kinds else []
    plain = _plain(value)
    if type(plain) is int and float in kinds:
        return float(plain)
    each_fits = type(plain) is not tuple or all(type(each) in inner for each in plain)
    if type(plain) not in kinds or not each_fits:
        of = f" of {_names(inner)}" if inner else ""
        raise ConfigError(
            f"The {field.name!r} parameter of {cls.__name__} must be {_names(kinds)}{of}. "
            f"Got {value!r}."
        )
    return plain


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's, which JSON takes, and a list as a tuple."""
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value


def _names(kinds: Iterable[type[Any]]) -> str:
    return " or ".join("None" if kind is NoneType else kind.__name__ for kind in kinds)


def accepted(annotation: Any) -> list[type[Any]]:
    """Return the classes that values of a field may have."""
    if get_origin(annotation) is Literal:
        return [str]
    if get_origin(annotation) in (Union, UnionType):
        return [kind for inner in get_args(annotation) for kind in accepted(inner)]
    return [get_origin(annotation) or annotation]


def settle(config: Any) -> None:
    """Turn the values of a configuration into its fields' types, and check choices and finiteness.

    So 1 and 1.0 are the same configuration with the same fingerprint.
    """
    for field in dataclasses.fields(config):
        name, annotation = field.name, field.type
        value = convert(type(config), field, getattr(config, name))
        object.__setattr__(config, name, value)
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
