"""Reading and writing by URI, local or remote, through fsspec: the one place that opens files."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pyarrow.fs
from botocore.exceptions import NoCredentialsError
from fsspec.implementations.local import LocalFileSystem

from raudeep.errors import TableError

__all__ = [
    "ArrowPlace",
    "StoreError",
    "absolute",
    "arrow_filesystem",
    "check_writable",
    "delete",
    "delete_file",
    "exists",
    "file_size",
    "filesystem",
    "is_local",
    "join",
    "list_files",
    "open_file",
    "put_file",
    "read_bytes",
    "write_bytes",
]


# s3fs tries five times on top of these, ever less often, also where a connection breaks.
_S3_SETTINGS: dict[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 30,
    "retries": {"mode": "standard", "max_attempts": 5},
}
_S3 = ("s3", "s3a")
_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_ENDPOINT_URL": "endpoint_url",
    "AWS_ENDPOINT_URL_S3": "endpoint_url",
}
_REFUSED_KEYS = {
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_THERE_ALREADY = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_BLOCK_BYTES = 4 * 2**20  # of a remote file that is read piece by piece
_CREDENTIALS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or --anonymous"


class StoreError(OSError):
    """A store does not answer as it should, so that nothing is known of what was asked for."""


@contextmanager
def _os_errors(uri: str) -> Iterator[None]:
    """Raise whatever a store says as an OSError whose text names the URI and a way out.

    `StoreError` is what says nothing of the file.
    """
    if is_local(uri):
        yield
        return
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, "there is no such object or bucket", uri) from error
    except (FileExistsError, IsADirectoryError):
        raise
    except NoCredentialsError as error:
        raise StoreError(f"{uri}: there are no credentials. {_CREDENTIALS}.") from error
    except PermissionError as error:
        # Where the key itself is refused, the object may be as good as any.
        kind = StoreError if _code(error) in _REFUSED_KEYS else PermissionError
        raise kind(f"{uri}: access was denied ({error}). {_CREDENTIALS}.") from error
    except Exception as error:  # of the store's own library: nothing else is called within
        raise StoreError(f"{uri}: the store does not answer as it should: {error}") from error


def _code(error: BaseException) -> str:
    """Return what S3 calls an error."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _local(uri: str) -> Path:
    path = Path(uri.removeprefix("file://"))
    with suppress(RuntimeError):  # "~name" of nobody: a name like any other
        path = path.expanduser()
    return path


def is_local(uri: str) -> bool:
    """Return whether `uri` is a path on this machine."""
    return "://" not in uri or uri.startswith("file://")


def absolute(uri: str) -> str:
    """Return `uri` such that it means the same in every working directory; no slash at the end."""
    if is_local(uri):
        return str(_local(uri).absolute())
    return uri.rstrip("/")


def join(uri: str, *names: str) -> str:
    """Return the URI of something below `uri`."""
    return "/".join([uri.rstrip("/"), *names])


def filesystem(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system of `uri` and the path within it.

    Raises
    ------
    TableError
        If no file system handles the scheme, its package is not installed, or the URI lacks what it
        needs.
    StoreError
        If the store has to be connected to first, and does not answer.
    """
    if is_local(uri):  # as it is: fsspec gives `::` in a name a meaning
        return LocalFileSystem(), absolute(uri)
    try:
        kind = fsspec.get_filesystem_class(_protocol(uri))
        # Not fsspec's own function for both: it gives `::` in a name a meaning.
        settings = kind._get_kwargs_from_urls(uri)
        system = fsspec.filesystem(_protocol(uri), **{**settings, **_options(uri)})
    except OSError as error:  # some connect at once
        raise StoreError(f"{uri}: the store does not answer as it should: {error}") from error
    except (ImportError, TypeError, ValueError) as error:
        raise TableError(f"{uri!r} cannot be opened: {error}") from error
    return system, system._strip_protocol(uri)


def _options(uri: str) -> dict[str, Any]:
    """Return how a store is spoken to; what the user set by fsspec's configuration counts first.

    The keys and the endpoint of the environment are said, not left to be found: fsspec keeps a file
    system for the next call with the same options, which may be made in another environment, and
    hands it to workers of a Ray that was started without them.
    """
    if _protocol(uri) not in _S3:
        return {}
    found = {option: os.environ[name] for name, option in _VARIABLES.items() if name in os.environ}
    options = {**found, **fsspec.config.conf.get(_protocol(uri), {})}
    settings = {**_S3_SETTINGS, **options.get("config_kwargs", {})}
    if "endpoint_url" in options:
        settings.setdefault("s3", {"addressing_style": "path"})  # as MinIO and its like need it
    # Other processes write the same folders: what was listed a moment ago is out of date.
    return {**options, "config_kwargs": settings, "use_listings_cache": False}


def _protocol(uri: str) -> str:
    return uri.partition("://")[0]


class ArrowPlace(NamedTuple):
    """A place as Ray takes it: a PyArrow file system, None for the local one, and a path."""

    system: pyarrow.fs.FileSystem | None
    path: str


def arrow_filesystem(uri: str) -> ArrowPlace:
    """Return the PyArrow form of a place."""
    system, path = filesystem(uri)
    if is_local(uri):
        return ArrowPlace(None, path)
    return ArrowPlace(pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(system)), path)


def exists(uri: str) -> bool:
    """Return whether there is a file or folder at `uri`."""
    system, path = filesystem(uri)
    with _table_errors(uri), _os_errors(uri):
        return bool(system.exists(path))


def file_size(uri: str) -> int | None:
    """Return the size of a file in bytes, or None where there is no file."""
    system, path = filesystem(uri)
    with _table_errors(uri), _os_errors(uri):
        return int(system.size(path)) if system.isfile(path) else None


def read_bytes(uri: str) -> bytes:
    """Return the content of a file; OSError as the file system raises it."""
    if is_local(uri):
        return _local(uri).read_bytes()
    system, path = filesystem(uri)
    with _os_errors(uri):
        return bytes(system.cat_file(path))


def open_file(uri: str, *, whole_reads: bool = False) -> Any:
    """Return a seekable file object for reading, whose errors are OSErrors.

    With `whole_reads` nothing is asked of a store but what each read wants.
    """
    if is_local(uri):
        return _local(uri).open("rb")
    system, path = filesystem(uri)
    cache = {"cache_type": "none"} if whole_reads else {}
    with _os_errors(uri):
        return _RemoteFile(system.open(path, "rb", block_size=_BLOCK_BYTES, **cache), uri)


class _RemoteFile:
    """A file in a store; what the store's library raises while it is read names the file."""

    def __init__(self, file: Any, uri: str) -> None:
        self._file, self._uri = file, uri

    def read(self, size: int = -1) -> bytes:
        with _os_errors(self._uri):
            return bytes(self._file.read(size))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._file, name)

    def __enter__(self) -> "_RemoteFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


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
            _put(uri, content, only_new=only_new)
            return
        target = _local(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.tmp")
        try:
            temporary.write_bytes(content)
            if not (only_new and _link(temporary, target)):
                os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if only_new and isinstance(error, FileExistsError):
            raise
        raise TableError(f"cannot write {_reason(error, uri)}") from error


def _link(file: Path, target: Path) -> bool:
    """Give a file a second name, which must be new; False where the file system cannot."""
    try:
        os.link(file, target)
    except FileExistsError:
        raise
    except OSError:
        if target.exists():
            raise FileExistsError(errno.EEXIST, "is there already", str(target)) from None
        return False
    return True


def _put(uri: str, content: bytes, *, only_new: bool) -> None:
    system, path = filesystem(uri)
    with _os_errors(uri):
        if only_new and system.exists(path):
            raise FileExistsError(errno.EEXIST, "is there already", uri)
        # S3 refuses the later one of two that come at the same time; other stores may not.
        mode = {"mode": "create"} if only_new and _protocol(uri) in _S3 else {}
        try:
            system.pipe_file(path, content, **mode)
        except OSError as error:
            if only_new and _code(error) in _THERE_ALREADY:
                raise FileExistsError(errno.EEXIST, "is there already", uri) from error
            raise


def put_file(file: Path, uri: str) -> None:
    """Move a file of this machine so that it appears whole; OSError as the file system raises it.

    Locally it is renamed, which needs it on the same file system.
    """
    if is_local(uri):
        target = _local(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(file, target)
        return
    system, path = filesystem(uri)
    with _os_errors(uri):
        system.put_file(str(file), path)


def check_writable(uri: str) -> None:
    """Raise `TableError` unless files can be written below `uri`; leaves nothing behind."""
    made: list[Path] = []
    if is_local(uri):
        path = Path(absolute(uri))
        made = [place for place in (path, *path.parents) if not place.exists()]
    probe = join(uri, f".writable-{uuid.uuid4().hex[:8]}")
    try:
        write_bytes(probe, b"")
    except TableError as error:
        reason = str(error).removeprefix(f"cannot write {probe}: ")
        raise TableError(f"the output {uri} cannot be written: {reason}") from error
    delete(probe)
    for folder in made:
        try:
            folder.rmdir()
        except OSError:  # somebody else has begun to write there
            break


def delete(uri: str) -> None:
    """Delete a file or a folder with all that is in it; nothing where there is none."""
    if is_local(uri):
        path = _local(uri)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        return
    system, path_in_system = filesystem(uri)
    names = [join(path_in_system, name) for name in list_files(uri)]
    with _table_errors(uri), _os_errors(uri):
        if system.isfile(path_in_system):
            names.append(path_in_system)
        # One by one: fsspec's recursive removal takes `*`, `?` and `[` in a name for a pattern.
        for name in names:
            system.rm_file(name)


def delete_file(uri: str) -> None:
    """Delete a file; nothing where there is none."""
    if is_local(uri):
        _local(uri).unlink(missing_ok=True)
        return
    system, path = filesystem(uri)
    with _table_errors(uri), _os_errors(uri), suppress(FileNotFoundError):
        system.rm_file(path)


def list_files(uri: str) -> dict[str, int]:
    """Return every file below a folder: path relative to it (POSIX) and size in bytes.

    Sorted by path; empty where there is no such folder. On this machine links to folders are
    followed.

    Raises
    ------
    TableError
        If the folder, or one below it, cannot be listed.
    """
    try:
        if is_local(uri):
            return dict(sorted(_files_below(absolute(uri))))
        system, path = filesystem(uri)
        with _os_errors(uri):
            found = system.find(path, detail=True)
    except FileNotFoundError:
        return {}
    except OSError as error:
        place = error.filename if is_local(uri) else uri  # which may lie below
        raise TableError(f"cannot list {_reason(error, place or uri)}") from error
    prefix = path.rstrip("/") + "/"
    return {
        name.removeprefix(prefix): int(info["size"] or 0)
        for name, info in sorted(found.items())
        if name.startswith(prefix)
    }


def _files_below(
    folder: str, prefix: str = "", above: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[tuple[str, int]]:
    """Yield the files below a local folder with their sizes; fsspec leaves out what it cannot list.

    `above` are the device and inode of the folders that hold this one: a link to one of them is not
    followed.
    """
    try:
        status = os.stat(folder)
        entries = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, or a file
        return
    own = (status.st_dev, status.st_ino)
    if own in above:
        return
    for entry in entries:
        name = prefix + entry.name
        if entry.is_dir():
            yield from _files_below(entry.path, f"{name}/", above | {own})
            continue
        size = 0
        with suppress(OSError):  # a link to nothing, which whoever reads it will say
            size = entry.stat().st_size
        yield name, size


@contextmanager
def _table_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TableError(f"cannot reach {_reason(error, uri)}") from error


def _reason(error: OSError, uri: str) -> str:
    """Return the URI and why it failed; the errors of stores name it already."""
    said = error.strerror or str(error)
    return said if said.startswith(uri) else f"{uri}: {said}"
