"""The checks of an output before anything is written or deleted there.

One rule holds for all that raudeep writes. A folder is free where no files are in it; it may be
written to where its content shows that an output of the same kind is there; any other folder is
refused. A file is replaced where its content shows that it is raudeep's own, or with ``overwrite``.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from raudeep.errors import ConfigError, TableError
from raudeep.storage import stores
from raudeep.storage import uri as uris
from raudeep.storage.claim import claimed
from raudeep.storage.index import CLAIM, is_table

__all__ = [
    "Kind",
    "check_apart",
    "check_file",
    "check_folder",
    "check_kept",
    "check_outputs",
    "check_writable_file",
    "find_output",
    "is_json",
    "json_with",
    "visible_files",
    "write_file",
]

_COPIES = "/runtime_resources/working_dir_files/"
"""Where Ray unpacks the working directories of jobs, below its own temporary folder."""


@dataclass(frozen=True)
class Kind:
    """A kind of output that is a folder, and how it is told from the files of others."""

    name: str
    is_there: Callable[[str], bool]
    """Whether the content of the folder at a URI shows one, finished or begun."""
    files: Mapping[str, Callable[[bytes], bool]] = field(default_factory=dict)
    """Files in it that are replaced, and whether content is that of such a file."""


def check_folder(uri: str, kind: Kind) -> bool:
    """Return whether an output is at `uri`, as `find_output` does; nothing may forbid to write.

    Raises
    ------
    ConfigError, TableError
        Where `find_output` does, or nothing can be written.
    """
    found = find_output(uri, kind)
    uris.check_writable(uri)
    return found


def find_output(uri: str, kind: Kind) -> bool:
    """Return whether an output of a kind is at `uri`; False where the folder is free for one.

    Raises
    ------
    ConfigError
        See `check_kept`.
    TableError
        If other files are there, at `uri` or in the place of a file that the output needs.
    """
    check_kept(uri)
    if uris.file_size(uri) is not None:
        raise TableError(f"{uri} is a file. Choose another output.")
    names = (name for name in _visible(uri) if name != CLAIM or claimed(uri))
    found = next(names, None)  # a claim that cannot be read is of no output
    if found is not None and not kind.is_there(uri):
        raise TableError(
            f"{uri} holds files but no {kind.name} of raudeep, e.g. {found!r}. Choose another "
            "output."
        )
    for name, is_own in kind.files.items():
        place = uris.join(uri, name)
        if uris.file_size(place) is not None and not is_own(uris.read_bytes(place)):
            raise TableError(
                f"{place} is not raudeep's, and the {kind.name} needs this name. Move the file, or "
                "choose another output."
            )
    return found is not None


def check_kept(uri: str) -> None:
    """Refuse an output that would be deleted with the job that writes it.

    Raises
    ------
    ConfigError
        If the place is in the copy of the working directory that Ray makes for a job.
    """
    if uris.is_local(uri) and _COPIES in _resolved(uri):
        raise ConfigError(
            f"{uri} is in the job's copy of the working directory, which is deleted after the job. "
            "Give an absolute path, or a URI, that every node reaches."
        )


def is_json(uri: str, *keys: str) -> bool:
    """Return whether a file is there that holds a JSON object with these keys."""
    try:
        return _has_keys(uris.read_bytes(uri), keys)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return False


def json_with(*keys: str) -> Callable[[bytes], bool]:
    """Return what tells a JSON file of raudeep, for `Kind.files`, also one that is damaged.

    A power cut may leave zeros, or the beginning.
    """

    def is_own(content: bytes) -> bool:
        if _has_keys(content, keys) or not content.strip(b"\0"):
            return True
        return content.startswith(b'{\n "') and not _has_keys(content)

    return is_own


def _has_keys(content: bytes, keys: Iterable[str] = ()) -> bool:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= set(keys)


def check_apart(outputs: Iterable[str]) -> None:
    """Refuse outputs that are equal or lie inside one another.

    Raises
    ------
    ConfigError
        If two outputs share a place, whatever their spelling.
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
    ConfigError
        See `check_kept`.
    TableError
        If there is a folder, or a file and no `overwrite`: a file does not say what it is made of.
    """
    check_kept(uri)
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
    return sorted(_visible(uri))


def _visible(uri: str) -> Iterator[str]:
    for name, _ in uris.walk_files(uri):
        if "/." not in f"/{name}":
            yield name


def _resolved(uri: str) -> str:
    """Return what is the same for all URIs of a place: links and ``..`` are followed."""
    if uris.is_local(uri):
        return os.path.realpath(uris.absolute(uri))
    system, path = stores.connect(uri)
    protocol = system.protocol if isinstance(system.protocol, str) else system.protocol[0]
    return f"{protocol}://{path.rstrip('/')}"
