"""Reads content that others wrote; a fault is an error of one line that names the file.

Parsers raise whatever they like, and there is no end to it: only their calls stand within `blamed`,
so that a fault of raudeep's own stays one. What they give is checked for its types before anything
else sees it.
"""

import dataclasses
import json
import re
import tomllib
import types
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from raudeep.errors import RaudeepError, TableError

__all__ = ["blamed", "gunzip", "parse_json", "parse_toml", "parse_yaml", "typed", "visible"]

MOST_BYTES = 64 * 2**20
"""Of a document that is held as Python objects, which take some twenty times as much."""
MOST_TOML_BYTES = 64 * 2**10
"""People write it, and the time that reading takes grows with the square of a name's parts."""
_MOST_NESTED = 100
_LARGEST = 2**63
_SAID = 200  # characters of a reason
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@contextmanager
def blamed(what: str, kind: type[Exception] = TableError, then: str = "") -> Iterator[None]:
    """Turn every error inside into one of `kind`, whose message begins with `what`.

    For calls of a parser, and for nothing else. `then` says what to do.
    """
    try:
        yield
    except (RaudeepError, MemoryError, kind):
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        said = f"{what}: {said[:_SAID]}"
        raise kind(f"{said.rstrip('. ')}. {then}" if then else said) from error


def parse_json(content: bytes, what: str, kind: type[Exception] = TableError) -> Any:
    """Return the value of a JSON text; all strings in it can be written again.

    Raises
    ------
    kind
        If it is no JSON, too deep, or too much to be a description.
    """
    _check_size(content, what, kind)
    with blamed(what, kind):
        said = json.loads(content)
        if _SURROGATE.search(content):
            json.dumps(said, ensure_ascii=False).encode()
    _check_depth(said, what, kind)
    return said


def typed(form: Any, value: Any, what: str, kind: type[Exception] = TableError) -> Any:
    """Return a JSON value as `form`: a dataclass or an annotated type.

    Members that a dataclass does not have are left out: a newer raudeep may write more.

    Raises
    ------
    kind
        If the value, or something in it, is of another type.
    """
    try:
        return _typed(form, value, "it")
    except _MismatchError as error:
        raise kind(f"{what}: {error}") from error


def parse_toml(content: bytes, what: str, kind: type[Exception] = TableError) -> dict[str, Any]:
    """Return what TOML says; `kind` is raised as by `parse_json`."""
    _check_size(content, what, kind, MOST_TOML_BYTES)
    with blamed(what, kind):
        return tomllib.loads(content.decode("utf-8"))


def parse_yaml(content: bytes, what: str, kind: type[Exception] = TableError) -> Any:
    """Return what YAML says as plain values: no tag makes an object; `kind` as by `parse_json`."""
    import yaml

    _check_size(content, what, kind)
    with blamed(what, kind):
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def gunzip(content: bytes, what: str, kind: type[Exception] = TableError) -> bytes:
    """Return the content of a gzip file; a content larger than a document may be is refused."""
    unpacked = bytearray()
    with blamed(what, kind):
        while content:  # one member after the other
            member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            unpacked += member.decompress(content, MOST_BYTES + 1 - len(unpacked))
            _check_size(unpacked, what, kind)
            if not member.eof:
                raise EOFError("it ends too early")
            content = member.unused_data.lstrip(b"\0")
    return bytes(unpacked)


def visible(text: str) -> str:
    r"""Return text for a terminal: what would steer it is written as an escape, such as ``\x1b``.

    That is control characters but tabs and ends of lines, and what turns the direction of writing.
    """
    return _NOT_SHOWN.sub(lambda found: ascii(found[0])[1:-1], text)


class _MismatchError(Exception):
    """A value is of another type than it must be."""


def _typed(form: Any, value: Any, place: str) -> Any:
    if form is Any:
        return value
    origin, inner = get_origin(form), get_args(form)
    if dataclasses.is_dataclass(form) and isinstance(value, dict):
        return _dataclass_of(form, value, place)
    if origin in (Union, types.UnionType):
        for each in inner[:-1]:
            try:
                return _typed(each, value, place)
            except _MismatchError:
                continue
        return _typed(inner[-1], value, place)
    if origin is Literal and value in inner:
        return value
    if origin is list and isinstance(value, list):
        return [_typed(inner[0], each, f"{place}[{n}]") for n, each in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _typed(inner[1], each, f"{place}[{key!r}]") for key, each in value.items()}
    fits = type(value) is form or (form is float and type(value) is int)
    if fits and not (type(value) is int and abs(value) >= _LARGEST):
        return value
    name = getattr(form, "__name__", str(form)) if origin is None else str(form)
    raise _MismatchError(f"{place} must be {name}. Got {value!r:.80}")


def _dataclass_of(form: Any, values: dict[str, Any], place: str) -> Any:
    hints = get_type_hints(form)
    found = {}
    for field in dataclasses.fields(form):
        if field.name in values:
            inner = f"{place}[{field.name!r}]"
            found[field.name] = _typed(hints[field.name], values[field.name], inner)
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise _MismatchError(f"{place} has no {field.name!r}")
    return form(**found)


def _check_depth(said: Any, what: str, kind: type[Exception]) -> None:
    """Refuse what is nested so deeply that functions that call themselves would fail on it."""
    level = [said] if isinstance(said, dict | list) else []
    for _ in range(_MOST_NESTED):
        inner = (each.values() if isinstance(each, dict) else each for each in level)
        level = [value for each in inner for value in each if isinstance(value, dict | list)]
        if not level:
            return
    raise kind(f"{what}: it is nested more than {_MOST_NESTED} times")


def _check_size(
    content: bytes | bytearray, what: str, kind: type[Exception], most: int = MOST_BYTES
) -> None:
    if len(content) > most:
        raise kind(f"{what}: it is larger than {most // 2**10} KiB, as no such file is")
