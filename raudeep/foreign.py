"""Content that others wrote: what is wrong with it is one line and names the file.

Parsers raise whatever they like, and there is no end to it: only their calls stand within `blamed`,
so that a fault of raudeep's own stays one. What they give is checked for its types before anything
else sees it.
"""

import json
import re
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from raudeep.errors import RaudeepError, TableError

__all__ = ["blamed", "gunzip", "parse_json", "parse_toml", "parse_yaml", "visible"]

MOST_BYTES = 64 * 2**20
"""Of a document that is held as Python objects, which take some twenty times as much."""
MOST_TOML_BYTES = 64 * 2**10
"""People write it, and the time that reading takes grows with the square of a name's parts."""
_SAID = 200  # characters of a reason
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NOT_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


@contextmanager
def blamed(what: str, kind: type[Exception] = TableError) -> Iterator[None]:
    """Make an error of `kind` of all that content leads to; `what` says which and begins the line.

    For calls of a parser, and for nothing else.
    """
    try:
        yield
    except (RaudeepError, MemoryError, kind):
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise kind(f"{what}: {said[:_SAID]}") from error


def parse_json(content: bytes, what: str, kind: type[Exception] = TableError) -> Any:
    """Return what JSON says, all of it text that can be written again.

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
    return said


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
    """Return what a gzip file holds, of which no more than a document may have is unpacked."""
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


def _check_size(
    content: bytes | bytearray, what: str, kind: type[Exception], most: int = MOST_BYTES
) -> None:
    if len(content) > most:
        raise kind(f"{what}: it is larger than {most // 2**10} KiB, as no such file is")
