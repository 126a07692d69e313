"""Files of this machine that outlive a kill and a power cut.

What is written is on the disc before it has its name, and the name before anything that follows.
"""

import errno
import fcntl
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "OWN_PREFIX",
    "clean",
    "make_folder",
    "move_file",
    "sync_folder",
    "temporary_file",
    "write_file",
]

OWN_PREFIX = ".raudeep-"
"""Start of the names of temporary files and folders."""
_TEMPORARY = f"{OWN_PREFIX}*.tmp"
_TRIES = 100  # to make a file in a folder that others delete
_UNABLE = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EBADF)  # what a file system cannot do


def write_file(target: Path, content: bytes, *, only_new: bool = False) -> None:
    """Write a file so that it appears whole or not at all; OSError as the file system raises it.

    With `only_new`, `FileExistsError` where there is one already.
    """
    with temporary_file(target.parent) as (temporary, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        _sync(descriptor)
        if not (only_new and _link(temporary, target)):
            os.replace(temporary, target)
        sync_folder(target.parent)


def move_file(file: Path, target: Path, *, only_new: bool = False) -> None:
    """Move a file on one file system so that it appears whole.

    With `only_new`, `FileExistsError` where there is one already.
    """
    make_folder(target.parent)
    descriptor = os.open(file, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)
    if only_new and not target.is_dir() and _link(file, target):
        file.unlink()
    else:
        os.replace(file, target)
    sync_folder(target.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, if missing."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for place in missing:
        sync_folder(place.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that new and deleted names are on the disc."""
    with suppress(FileNotFoundError):  # somebody has deleted it, with what was written there
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            _sync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def temporary_file(folder: Path) -> Iterator[tuple[Path, int]]:
    """Yield a new file and its descriptor; it is deleted at the end if it still has its name.

    The folder is made if missing, also where others delete it meanwhile, since nothing is in it.
    It is locked as long as this process lives, so that others know whose file is nobody's.
    """
    while True:
        place, descriptor = _create(folder)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            break
        os.close(descriptor)  # another process took it for one of a killed process
    try:
        yield place, descriptor
    finally:
        place.unlink(missing_ok=True)
        os.close(descriptor)


def _create(folder: Path) -> tuple[Path, int]:
    """Create a file under a temporary name; return it with its descriptor."""

    def create() -> tuple[Path, int]:
        make_folder(folder)
        place = folder / _TEMPORARY.replace("*", uuid.uuid4().hex[:12])
        return place, os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666)

    for _ in range(_TRIES):
        with suppress(FileNotFoundError):
            return create()
    return create()


def clean(folder: Path, *, below: bool = False) -> None:
    """Delete the temporary files that killed processes left in a folder, also in those below it.

    Where the file system has no locks, nobody can tell whose they are: there they stay.
    """
    for place in (folder.rglob if below else folder.glob)(_TEMPORARY):
        with suppress(OSError):
            descriptor = os.open(place, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                place.unlink()
            finally:
                os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise


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
