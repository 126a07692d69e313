"""Regular files of this machine: what is opened for reading is one, and never waits for a writer.

A FIFO or a terminal gives nothing until somebody writes, ``/dev/zero`` never ends. They lie among
the files of a folder, or a link leads to them.
"""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_regular", "open_regular", "regular_size"]

_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> BinaryIO:
    """Return a file, opened for reading.

    Raises
    ------
    OSError
        If it is no regular file, or cannot be opened.
    """
    check_regular(path.stat(), path)  # before it is opened: that alone can move a tape
    # Without waiting, since what was a file a moment ago may be a FIFO now.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        check_regular(os.fstat(descriptor), path)
        os.set_blocking(descriptor, True)  # an archive may have to fetch the file from a tape
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def regular_size(path: Path) -> int | None:
    """Return the bytes of a file; None where there is none, or a folder.

    Raises
    ------
    OSError
        If it is neither a regular file nor a folder.
    """
    if not path.exists():
        return None
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        return None
    check_regular(status, path)
    return status.st_size


def check_regular(status: os.stat_result, path: str | Path) -> None:
    """Raise `OSError` for what is no regular file, by its status."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise OSError(errno.EINVAL, f"is {kind}, and only regular files are read", str(path))
