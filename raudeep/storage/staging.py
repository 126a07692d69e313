"""Builds files piece by piece on this machine, and moves them to their place when all are done."""

import fcntl
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from raudeep.errors import TableError
from raudeep.foreign import parse_json
from raudeep.storage import uri as uris
from raudeep.storage.disc import OWN_PREFIX

__all__ = ["staging", "unfinished_files"]

logger = logging.getLogger(__name__)

_STAGING_PREFIX = f"{OWN_PREFIX}staging-"
"""Start of the name of a folder with unfinished files; the next process deletes it."""
_UNFINISHED = f"{OWN_PREFIX}unfinished.json"
"""Name of a file that lies in a folder while several files are moved there."""


def unfinished_files(uri: str) -> list[str] | None:
    """Return the files that a killed process left incomplete in a folder; None if all are whole.

    They are those that it was to write and those that it was to replace.

    Raises
    ------
    TableError
        If the process is alive, as far as the file system can tell, or nobody can tell.
    """
    with _alone(uri) as is_alone:
        said = _read_note(uri)
    if said is not None and not is_alone:
        raise TableError(_at_once(uri))
    return said


def _read_note(uri: str) -> list[str] | None:
    note = uris.join(uri, _UNFINISHED)
    try:
        said = parse_json(uris.read_bytes(note), note)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except TableError:
        return []
    except OSError as error:
        raise TableError(f"{note} cannot be read: {error}") from error
    return [str(name) for name in said] if isinstance(said, list) else []


@contextmanager
def _alone(uri: str) -> Iterator[bool]:
    """Lock a folder and yield whether no other process holds it; True if there are no locks."""
    if not uris.is_local(uri):
        yield True
        return
    try:
        descriptor = os.open(uris.absolute(uri), os.O_RDONLY)
    except OSError:  # there is no such folder
        yield True
        return
    try:
        is_alone = True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            is_alone = False
        except OSError:
            pass
        yield is_alone
    finally:
        os.close(descriptor)


@contextmanager
def staging(uri: str, *, replacing: Collection[str] = ()) -> Iterator[Path]:
    """Yield a folder to build files in; without an error they are moved to the folder `uri`.

    Each file appears whole. If one cannot be moved, all is as it was before: new files are taken
    away again, and old ones put back. If the process is killed before the last of several is in its
    place, `unfinished_files` tells. Several processes may write to one folder at once; what killed
    ones left there goes when one begins that is alone.

    Parameters
    ----------
    uri : str
        The folder, local or remote; made if missing.
    replacing : collection of str
        Paths of files in `uri` that the new ones take the place of.

    Raises
    ------
    TableError
        If the place cannot be written, or another process has put such a file there meanwhile, or
        puts several ones.
    """
    uris.check_writable(uri)
    left = unfinished_files(uri)
    with ExitStack() as stack:
        parent = None
        try:
            if uris.is_local(uri):  # within the place, where a file can be renamed without a copy
                parent = stack.enter_context(_held(Path(uris.absolute(uri))))
            work = Path(tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=parent))
            new, old = work / "new", work / "old"
            new.mkdir()
        except OSError as error:
            raise TableError(f"cannot write {uri}: {error.strerror or error}") from error
        touched: list[str] = []
        whole, begun = True, False
        try:
            yield new
            built = sorted(
                path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file()
            )
            names = [*built, *sorted(set(replacing) - set(built))]
            goes_on = left is not None and not set(left).isdisjoint(names)
            if goes_on or len(names) > 1:
                _begin(uri, names, replacing, goes_on=goes_on)
                begun = True
            for name in names:
                _keep(uri, name, old)
            for name in names:
                touched.append(name)
                if (new / name).exists():
                    place = uris.join(uri, name)
                    uris.put_file(new / name, place, only_new=name not in replacing)
                else:
                    uris.delete_file(uris.join(uri, name))
                    _prune(uri, name)
            if begun:
                uris.delete_file(uris.join(uri, _UNFINISHED))
        except BaseException as error:
            was_quicker = isinstance(error, FileExistsError) and bool(touched)
            if isinstance(error, OSError) and touched:  # that one is as it was
                _prune(uri, touched.pop())
            whole = _undo(uri, touched, old)
            if whole and begun:
                with suppress(OSError, TableError):
                    uris.delete_file(uris.join(uri, _UNFINISHED))
            if was_quicker:
                raise TableError(_at_once(uri)) from error
            if isinstance(error, OSError):
                raise TableError(f"cannot write {uri}: {error.strerror or error}") from error
            raise
        finally:
            if whole:
                shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[Path]:
    """Hold a folder, made if missing; first clear it of what killed processes left.

    They are known to be dead where nobody else holds it. Where the file system has no such locks,
    as NFS has none of folders, what they left stays.
    """
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for left in folder.glob(f"{_STAGING_PREFIX}*"):
                shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield folder
    finally:
        os.close(descriptor)
        for place in made:
            with suppress(OSError):  # something is in it
                place.rmdir()


def _begin(uri: str, names: Sequence[str], replacing: Collection[str], *, goes_on: bool) -> None:
    """Mark a folder into which several files are moved, if no other process does the same."""
    note = uris.join(uri, _UNFINISHED)
    try:
        uris.write_bytes(note, json.dumps(names).encode(), only_new=not goes_on)
    except FileExistsError as error:
        raise TableError(_at_once(uri)) from error
    present = uris.list_files(uri)
    if any(name in present for name in names if name not in replacing):
        uris.delete_file(note)
        raise TableError(_at_once(uri))


def _at_once(uri: str) -> str:
    return f"another process writes to {uri} as well. Choose another output, or run again later."


def _keep(uri: str, name: str, old: Path) -> None:
    """Keep a copy of a file below `uri`, if it exists."""
    place = uris.join(uri, name)
    if uris.file_size(place) is not None:
        (old / name).parent.mkdir(parents=True, exist_ok=True)
        uris.fetch_file(place, old / name)


def _undo(uri: str, names: Iterable[str], old: Path) -> bool:
    """Restore files below `uri` from their copies, or delete them; return whether all worked."""
    whole = True
    for name in names:
        place = uris.join(uri, name)
        try:
            if os.path.lexists(old / name):  # which may be a link to nothing, from there
                uris.put_file(old / name, place)
            else:
                uris.delete_file(place)
        except (OSError, TableError) as error:
            kept = f"; what it held is in {old / name}" if os.path.lexists(old / name) else ""
            logger.warning("%s cannot be put back: %s%s", place, error, kept)
            whole = False
        _prune(uri, name)
    return whole


def _prune(uri: str, name: str) -> None:
    """Delete the folders between `uri` and a file that it leaves empty."""
    if uris.is_local(uri):
        for folder in list(Path(name).parents)[:-1]:
            with suppress(OSError):
                (Path(uris.absolute(uri)) / folder).rmdir()
