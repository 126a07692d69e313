"""Access to stores through fsspec: settings, errors, writes of whole objects."""

import errno
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from botocore.exceptions import NoCredentialsError

from raudeep.credentials import public_text, public_uri
from raudeep.errors import TableError

__all__ = [
    "STORE",
    "RemoteFile",
    "StoreError",
    "answers",
    "asked",
    "connect",
    "find",
    "put",
    "put_file",
    "read",
    "session",
    "store_of",
]

STORE = r"(?s)^([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/]*@)?([^/]*).*$"
"""What a URI says of its store, in two groups: the scheme, and the host or bucket."""

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
_WEB = ("http", "https")
_WEB_TIMEOUTS: dict[str, Any] = {"total": None, "sock_connect": 10, "sock_read": 30}
_WEB_WAITS = (0.5, 1, 2, 4)  # seconds between the times that a server is asked
_WEB_PATIENCE = 15.0  # seconds after which one that gives no answer is not asked again
_ASK_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_THERE_ALREADY = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_BLOCK_BYTES = 4 * 2**20  # of a file that is read piece by piece
_CREDENTIALS = "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or --anonymous"


Answer = TypeVar("Answer")


class StoreError(OSError):
    """A store gives no proper answer, so that the state of the file is unknown."""


def connect(uri: str) -> tuple[Any, str]:
    """Return the fsspec file system of `uri` and the path within it.

    Raises
    ------
    TableError
        If no file system handles the scheme, its package is not installed, or the URI lacks what it
        needs.
    StoreError
        If the store has to be connected to first, and does not answer.
    """
    try:
        kind = fsspec.get_filesystem_class(_protocol(uri))
        # Not fsspec's own function for both: it gives `::` in a name a meaning.
        settings = kind._get_kwargs_from_urls(uri)
        system = fsspec.filesystem(_protocol(uri), **{**settings, **_options(uri)})
    except OSError as error:  # some connect at once
        said = f"{public_uri(uri)}: the store does not answer as it should: {_said(uri, error)}"
        raise StoreError(said) from _cause(uri, error)
    except (ImportError, TypeError, ValueError) as error:
        said = f"{public_uri(uri)!r} cannot be opened: {_said(uri, error)}"
        raise TableError(said) from _cause(uri, error)
    return system, system._strip_protocol(uri)


def _options(uri: str) -> dict[str, Any]:
    """Return the settings for a store; settings in the user's fsspec configuration come first.

    The keys and the endpoint of the environment are said, not left to be found: fsspec keeps a file
    system for the next call with the same options, which may be made in another environment, and
    hands it to workers of a Ray that was started without them.
    """
    if _protocol(uri) in _WEB:
        import aiohttp

        options = fsspec.config.conf.get(_protocol(uri), {})
        # By default it takes five minutes to find out that a server says nothing.
        timeout = {"timeout": aiohttp.ClientTimeout(**_WEB_TIMEOUTS)}
        return {**options, "client_kwargs": {**timeout, **options.get("client_kwargs", {})}}
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


@contextmanager
def session(uri: str) -> Iterator[tuple[Any, str]]:
    """Connect, and raise errors of the store as an OSError with the URI and advice.

    `StoreError` is what says nothing of the file, also where there is no such store.
    """
    with _os_errors(uri):
        try:
            connected = connect(uri)
        except TableError as error:
            raise StoreError(str(error)) from error
        yield connected


def asked(uri: str, ask: Callable[[Any, str], Answer]) -> Answer:
    """Return what a store answers to a question that changes nothing, ``ask(system, path)``.

    A server of the web that cannot answer now is asked again, as s3fs does with its own. Errors are
    those of a `session`.
    """

    def once() -> Answer:
        with session(uri) as (system, path):
            return ask(system, path)

    return _again(uri, once)


def read(uri: str) -> bytes:
    """Return the content of a file, of S3 with one request."""
    # Else it asks for the size first, to read a large file in several pieces at a time.
    settings = {"max_concurrency": 1} if _protocol(uri) in _S3 else {}
    return asked(uri, lambda system, path: bytes(system.cat_file(path, **settings)))


def find(system: Any, path: str) -> dict[str, Any]:
    """Return what fsspec says of each file below a folder, by name."""
    folder, _, name = path.rstrip("/").rpartition("/")
    if folder and system.protocol == _S3:
        # Else two more requests ask whether an empty folder is a file.
        found: dict[str, Any] = system.find(folder, prefix=f"{name}/", detail=True)
    else:
        found = system.find(path, detail=True)
    return found


def _again(uri: str, ask: Callable[[], Answer]) -> Answer:
    waits = _WEB_WAITS if _protocol(uri) in _WEB else ()
    begun = time.monotonic()
    for wait in waits:
        try:
            return ask()
        except StoreError:
            if time.monotonic() - begun + wait > _WEB_PATIENCE:
                raise
        time.sleep(wait)
    return ask()


def store_of(uri: str) -> str:
    """Return the store of a URI: its scheme, and its host or bucket."""
    return re.sub(STORE, r"\1\2", uri)


def answers(uri: str) -> bool:
    """Return whether the store of a URI gives any answer about it."""
    try:
        asked(uri, lambda system, path: system.info(path))
    except StoreError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _os_errors(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, IsADirectoryError, StoreError, TableError):
        raise
    except Exception as error:  # of the store's own library: nothing else is called within
        raise _os_error(uri, error) from _cause(uri, error)


def _said(uri: str, error: BaseException) -> str:
    """Return the message of a library about a URI, without secrets."""
    return public_text(str(error).replace(uri, public_uri(uri)))


def _cause(uri: str, error: BaseException) -> BaseException | None:
    """Return the error of a library as a cause; None if its traceback may show a secret."""
    return error if public_uri(uri) == uri else None


def _os_error(uri: str, error: BaseException) -> OSError:
    """Return what an error of a store's library says of a file, or that it says nothing of it."""
    place = public_uri(uri)
    if isinstance(error, FileNotFoundError) and _protocol(uri) in _WEB:
        error = error.__cause__ or error  # fsspec calls every failure so
    status = getattr(error, "status", None)  # of an answer of the web
    if isinstance(error, FileNotFoundError) or status == HTTPStatus.NOT_FOUND:
        return FileNotFoundError(errno.ENOENT, "there is no such object or bucket", place)
    if isinstance(error, NoCredentialsError):
        return StoreError(f"{place}: there are no credentials. {_CREDENTIALS}.")
    if isinstance(error, PermissionError):
        # Where the key itself is refused, the object may be as good as any.
        kind = StoreError if _code(error) in _REFUSED_KEYS else PermissionError
        return kind(f"{place}: access was denied ({_said(uri, error)}). {_CREDENTIALS}.")
    if status == 0:  # as aiohttp says it
        return PermissionError(f"{place}: the server sends from one place to the next without end")
    if status in range(300, 500) and status not in _ASK_AGAIN:
        return PermissionError(f"{place}: the server does not give it: {_said(uri, error)}")
    return StoreError(f"{place}: the store does not answer as it should: {_said(uri, error)}")


def _code(error: BaseException) -> str:
    """Return the name of an error in S3."""
    response = getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


class RemoteFile:
    """A seekable file in a store, for reading; its errors are those of a `session`.

    With `whole_reads` nothing is asked of the store but what each read wants.
    """

    def __init__(self, uri: str, *, whole_reads: bool = False) -> None:
        self._uri = uri
        cache = {"cache_type": "none"} if whole_reads else {}
        self._file = asked(
            uri,
            lambda system, path: system.open(path, "rb", block_size=_BLOCK_BYTES, **cache),
        )

    def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, or all that follow."""
        begin = self._file.tell()

        def read() -> bytes:
            with _os_errors(self._uri):
                if self._file.tell() != begin:  # as an earlier try has left it
                    self._file.seek(begin)
                return bytes(self._file.read(size))

        return _again(self._uri, read)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._file, name)

    def __enter__(self) -> "RemoteFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def put(uri: str, content: bytes, *, only_new: bool = False) -> None:
    """Write an object with one request.

    Raises
    ------
    FileExistsError
        With `only_new`, if there is one already.
    """
    with _writing(uri, only_new=only_new) as (system, path, mode):
        system.pipe_file(path, content, **mode)


def put_file(file: Path, uri: str, *, only_new: bool = False) -> None:
    """Write a file of this machine as an object that appears whole; else as `put`."""
    with _writing(uri, only_new=only_new) as (system, path, mode):
        system.put_file(str(file), path, **mode)


@contextmanager
def _writing(uri: str, *, only_new: bool) -> Iterator[tuple[Any, str, dict[str, str]]]:
    """Connect, and say how an object is written that must be new."""
    with session(uri) as (system, path):
        if only_new and system.exists(path):
            raise FileExistsError(errno.EEXIST, "is there already", public_uri(uri))
        # S3 refuses the later one of two that come at the same time; other stores may not.
        mode = {"mode": "create"} if only_new and _protocol(uri) in _S3 else {}
        try:
            yield system, path, mode
        except OSError as error:
            if only_new and _code(error) in _THERE_ALREADY:
                raise FileExistsError(errno.EEXIST, "is there already", public_uri(uri)) from error
            raise
