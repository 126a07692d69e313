"""The checks of an output before anything is written or deleted there."""

import os
from collections.abc import Iterable
from itertools import pairwise

from raudeep.errors import ConfigError, TableError
from raudeep.storage import stores
from raudeep.storage import uri as uris
from raudeep.storage.disc import OWN_PREFIX
from raudeep.storage.index import is_table

__all__ = [
    "check_apart",
    "check_file",
    "check_outputs",
    "check_writable_file",
    "visible_files",
    "write_file",
]


def check_apart(outputs: Iterable[str]) -> None:
    """Refuse outputs of which one is another, or lies in it.

    Raises
    ------
    ConfigError
        If two are no places of their own, however they are written.
    """
    places = sorted((f"{_resolved(uri)}/", uri) for uri in outputs)
    for (outer, first), (inner, second) in pairwise(places):  # what is below a place comes next
        if inner.startswith(outer):
            raise ConfigError(
                f"the output {second} {'is' if inner == outer else 'lies in'} the output {first}; "
                "choose folders beside each other."
            )


def check_outputs(outputs: Iterable[str], inputs: Iterable[str]) -> None:
    """Refuse an output that is one of the inputs, or holds one: what is replaced there is deleted.

    Raises
    ------
    TableError
        If an input lies at an output or below it, however the two are written.
    """
    read = {_resolved(uri): uri for uri in inputs}
    for output in outputs:
        place = _resolved(output)
        for source, uri in read.items():
            if source == place or source.startswith(f"{place}/"):
                said = f"{output} {'is' if source == place else 'holds'} the input {uri}"
                raise TableError(f"the output {said}; choose another output.")


def check_file(uri: str, *, overwrite: bool) -> bool:
    """Return whether there is a file at `uri`, which is to be replaced.

    Raises
    ------
    TableError
        If there is a folder, or a file and no `overwrite`: a file does not say what it is made of.
    """
    if not uris.exists(uri):
        return False
    if uris.file_size(uri) is None or not overwrite:
        raise TableError(
            f"{uri} exists. Choose another output, or pass --overwrite to replace a file."
        )
    return True


def check_writable_file(uri: str, *, overwrite: bool, of: str | None = None) -> None:
    """Raise `TableError` where `check_file` does, or where a file cannot be written.

    What is drawn `of` a table may be there already where that is finished: then it takes no time to
    draw it again, and `write_file` refuses another one.
    """
    check_file(uri, overwrite=overwrite or (of is not None and is_table(of)))
    uris.check_writable(uri.rpartition("/")[0] or "/")


def write_file(uri: str, content: bytes, *, overwrite: bool) -> None:
    """Write a file, unless this very one is there already.

    Raises
    ------
    TableError
        If another file is there and no `overwrite`, or the place cannot be written.
    """
    if uris.file_size(uri) is None or uris.read_bytes(uri) != content:
        check_file(uri, overwrite=overwrite)
        try:
            uris.write_bytes(uri, content, only_new=not overwrite)
        except FileExistsError:  # another process was quicker
            write_file(uri, content, overwrite=overwrite)


def visible_files(uri: str) -> list[str]:
    """Return what an output is judged by: its files, without hidden ones.

    Those are temporary ones of a killed run, wherever they lie, or of no concern.
    """
    return [
        name
        for name in uris.list_files(uri)
        if not name.startswith(".") and f"/{OWN_PREFIX}" not in name
    ]


def _resolved(uri: str) -> str:
    """Return what is the same for all URIs of a place: links and ``..`` are followed."""
    if uris.is_local(uri):
        return os.path.realpath(uris.absolute(uri))
    system, path = stores.connect(uri)
    protocol = system.protocol if isinstance(system.protocol, str) else system.protocol[0]
    return f"{protocol}://{path.rstrip('/')}"
