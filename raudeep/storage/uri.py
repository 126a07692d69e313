"""Reading and writing by URI, local or in a store: the one place that opens files."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.fs

from raudeep.credentials import public_uri
from raudeep.errors import TableError
from raudeep.storage import disc, stores
from raudeep.storage.listing import Files, corpus_files, files_below
from raudeep.storage.regular import open_regular, regular_size

__all__ = [
    "ArrowPlace",
    "Files",
    "absolute",
    "arrow_filesystem",
    "check_writable",
    "clean",
    "delete",
    "delete_empty",
    "delete_file",
    "exists",
    "fetch_file",
    "file_size",
    "is_local",
    "join",
    "list_corpus",
    "list_files",
    "open_file",
    "put_file",
    "read_bytes",
    "split_query",
    "walk_files",
    "write_bytes",
]


_LOCAL = ("file://", "local://")  # as fsspec calls it, too


def _local(uri: str) -> Path:
    path = Path(uri.removeprefix("file://").removeprefix("local://"))
    with suppress(RuntimeError):  # "~name" of nobody: a name like any other
        path = path.expanduser()
    return path


def is_local(uri: str) -> bool:
    """Return whether `uri` is a path on this machine."""
    return "://" not in uri or uri.startswith(_LOCAL)


def absolute(uri: str) -> str:
    """Return an absolute URI without a slash at the end."""
    if is_local(uri):
        return str(_local(uri).absolute())
    place, query = split_query(uri)
    return place.rstrip("/") + query


def split_query(uri: str) -> tuple[str, str]:
    """Return the place of a URI, and its query with the question mark; empty where there is none.

    In a store as on this machine, `?` is a letter of a name.
    """
    if "?" in public_uri(uri) or is_local(uri):
        return uri, ""
    place, mark, query = uri.partition("?")
    return place, mark + query


def join(uri: str, *names: str) -> str:
    """Return the URI of something below `uri`."""
    place, query = split_query(uri)
    return "/".join([place.rstrip("/"), *names]) + query


class ArrowPlace(NamedTuple):
    """A place as Ray takes it: a PyArrow file system, None for the local one, and a path."""

    system: pyarrow.fs.FileSystem | None
    path: str


def arrow_filesystem(uri: str) -> ArrowPlace:
    """Return the PyArrow form of a place."""
    if is_local(uri):
        return ArrowPlace(None, absolute(uri))
    system, path = stores.connect(uri)
    return ArrowPlace(pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(system)), path)


def exists(uri: str) -> bool:
    """Return whether there is a file or folder at `uri`."""
    with _table_errors(uri):
        if is_local(uri):
            return _local(uri).exists()
        with stores.session(uri) as (system, path):
            return bool(system.exists(path))


def file_size(uri: str) -> int | None:
    """Return the size of a file in bytes, or None where there is no file.

    Raises
    ------
    TableError
        If it cannot be reached, or is a FIFO, a socket or a device.
    """
    with _table_errors(uri):
        if is_local(uri):
            return regular_size(_local(uri))
        return stores.asked(
            uri, lambda system, path: int(system.size(path)) if system.isfile(path) else None
        )


def read_bytes(uri: str) -> bytes:
    """Return the content of a file; OSError as the file system raises it."""
    if is_local(uri):
        with open_regular(_local(uri)) as file:
            return file.read()
    return stores.read(uri)


def open_file(uri: str, *, whole_reads: bool = False) -> Any:
    """Return a seekable file object for reading, whose errors are OSErrors.

    With `whole_reads` nothing is asked of a store but what each read wants.
    """
    if is_local(uri):
        return open_regular(_local(uri))
    return stores.RemoteFile(uri, whole_reads=whole_reads)


def write_bytes(uri: str, content: bytes, *, only_new: bool = False) -> None:
    """Write a file so that it appears whole or not at all.

    Locally under a temporary name that is renamed, on object storage with one PUT.

    Raises
    ------
    TableError
        If the place cannot be written.
    FileExistsError
        With `only_new`, if there is a file already, also one that another process has just written.
    """
    try:
        if not is_local(uri):
            stores.put(uri, content, only_new=only_new)
            return
        disc.write_file(_local(uri), content, only_new=only_new)
    except OSError as error:
        if only_new and isinstance(error, FileExistsError):
            raise
        raise TableError(f"cannot write {_reason(error, uri)}") from error


def put_file(file: Path, uri: str, *, only_new: bool = False) -> None:
    """Move a file of this machine so that it appears whole; OSError as the file system raises it.

    Locally it is renamed, which needs it on the same file system. With `only_new`,
    `FileExistsError` is raised where there is one already.
    """
    if is_local(uri):
        disc.move_file(file, _local(uri), only_new=only_new)
    else:
        stores.put_file(file, uri, only_new=only_new)


def fetch_file(uri: str, file: Path) -> None:
    """Copy a file to one of this machine; OSError as the file system raises it.

    Locally it is a second name for it, where the file system has such.
    """
    if is_local(uri):
        try:
            os.link(_local(uri), file)
        except OSError:
            shutil.copyfile(_local(uri), file)
        return
    with stores.session(uri) as (system, path):
        system.get_file(path, str(file))


def check_writable(uri: str) -> None:
    """Raise `TableError` if files cannot be written below `uri`; leaves nothing behind.

    What killed processes left there goes, too.
    """
    probe = join(uri, f"{disc.OWN_PREFIX}{uuid.uuid4().hex[:12]}.tmp")
    made: list[Path] = []
    try:
        if is_local(uri):
            folder = Path(absolute(uri))
            made = [place for place in (folder, *folder.parents) if not place.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            disc.clean(folder)
            with disc.temporary_file(folder):
                pass
        else:
            stores.put(probe, b"")
            delete_file(probe)
    except OSError as error:
        reason = _reason(error, probe).removeprefix(f"{public_uri(probe)}: ")
        raise TableError(f"the output {uri} cannot be written: {reason}") from error
    for place in made:
        try:
            place.rmdir()
        except OSError:  # somebody else has begun to write there
            break


def clean(uri: str) -> None:
    """Delete the temporary files that killed processes left below a local folder."""
    if is_local(uri):
        disc.clean(_local(uri), below=True)


def delete(uri: str) -> None:
    """Delete a file, or a folder with its content; do nothing if it does not exist."""
    if is_local(uri):
        local = _local(uri)
        if local.is_dir() and not local.is_symlink():
            shutil.rmtree(local)
        else:
            local.unlink(missing_ok=True)
        return
    below = list_files(uri)
    with _table_errors(uri), stores.session(uri) as (system, path):
        names = [join(path, name) for name in below]
        if system.isfile(path):
            names.append(path)
        # One by one: fsspec's recursive removal takes `*`, `?` and `[` in a name for a pattern.
        for name in names:
            system.rm_file(name)


def delete_empty(uri: str) -> None:
    """Delete an empty folder; stores have none."""
    if is_local(uri):
        with suppress(OSError):
            _local(uri).rmdir()


def delete_file(uri: str) -> None:
    """Delete a file; do nothing if it does not exist."""
    if is_local(uri):
        _local(uri).unlink(missing_ok=True)
        return
    with _table_errors(uri), suppress(FileNotFoundError), stores.session(uri) as (system, path):
        system.rm_file(path)


def list_files(uri: str) -> Files:
    """Return every file below a folder.

    Sorted by path; empty where there is no such folder. On this machine links to folders are
    followed.

    Raises
    ------
    TableError
        If the folder, or one below it, cannot be listed.
    """
    if is_local(uri):
        with _listing(uri):
            return Files(dict(sorted(files_below(absolute(uri)))))
    try:
        with _listing(uri), stores.session(uri) as (system, path):
            found = stores.find(system, path)
    except FileNotFoundError:
        return Files({})
    prefix = path.rstrip("/") + "/"
    below = {
        name.removeprefix(prefix): info
        for name, info in sorted(found.items())
        if name.startswith(prefix)
    }
    tags = {name: str(info["ETag"]).strip('"') for name, info in below.items() if "ETag" in info}
    return Files({name: int(info["size"] or 0) for name, info in below.items()}, tags)


def list_corpus(uri: str) -> Files:
    """Return every readable file below a folder, as `list_files`, and the other entries.

    Raises
    ------
    TableError
        If the folder itself cannot be listed.
    """
    if not is_local(uri):  # a store has objects, and nothing else
        return list_files(uri)
    with _listing(uri):
        return corpus_files(absolute(uri))


def walk_files(uri: str) -> Iterator[tuple[str, int]]:
    """Yield what `list_files` returns, folder by folder: on this machine before all is listed."""
    if not is_local(uri):
        yield from list_files(uri).items()
        return
    with _listing(uri):
        yield from files_below(absolute(uri))


@contextmanager
def _listing(uri: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        place = error.filename if is_local(uri) else uri  # which may lie below
        raise TableError(f"cannot list {_reason(error, place or uri)}") from error


@contextmanager
def _table_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TableError(f"cannot reach {_reason(error, uri)}") from error


def _reason(error: OSError, uri: str) -> str:
    """Return the URI and why it failed; the errors of stores name it already."""
    said, place = error.strerror or str(error), public_uri(uri)
    return said if said.startswith(place) else f"{place}: {said}"
