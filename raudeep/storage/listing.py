"""Walking the folders of this machine: everything in them, or what can be read of a corpus."""

import errno
import os
from collections.abc import Iterator, Mapping

from raudeep.errors import TableError
from raudeep.storage.regular import check_regular

__all__ = ["Files", "corpus_files", "files_below", "identity_of_folder"]


class Files(dict[str, int]):
    """Files below a folder: path relative to it (POSIX) and size in bytes."""

    tags: Mapping[str, str]
    """By path: what tells the content of an object, where the store gives it with its listing."""
    left_out: Mapping[str, str]
    """By path: what else is there, and why it gives no files: a predicate, such as "is a FIFO"."""

    def __init__(
        self,
        sizes: Mapping[str, int],
        tags: Mapping[str, str] | None = None,
        left_out: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(sizes)
        self.tags = tags or {}
        self.left_out = left_out or {}


def corpus_files(folder: str) -> Files:
    """Return the files below a local folder that can be read, and what else is there.

    A folder that may not be listed, a link to itself or a FIFO costs nothing but itself.

    Raises
    ------
    OSError
        If the folder itself cannot be listed.
    TableError
        If its drive goes away meanwhile, which looks as if there were fewer files.
    """
    before = identity_of_folder(folder)
    left_out: dict[str, str] = {}
    sizes = dict(sorted(files_below(folder, left_out)))
    if identity_of_folder(folder) != before:
        raise TableError(f"{folder} went away while it was listed. Run the same command again.")
    return Files(sizes, left_out=left_out)


def files_below(folder: str, left_out: dict[str, str] | None = None) -> Iterator[tuple[str, int]]:
    """Yield the files below a local folder with their sizes; fsspec leaves out what it cannot list.

    A link to a folder that holds it is not followed. Folders may be nested to any depth.

    Parameters
    ----------
    folder : str
        Its path.
    left_out : dict, optional
        Takes what is no file that can be read, and why. Without, a folder that cannot be listed is
        an error, and what is no regular file has the size 0.

    Raises
    ------
    OSError
        If the folder or, without `left_out`, one below it cannot be listed.
    """
    begun = [_listed(folder, "", frozenset())]
    while begun:
        for entry, name, above in begun[-1]:
            try:
                if entry.is_dir():
                    begun.append(_listed(entry.path, f"{name}/", above))
                    break
            except _Loop:
                if left_out is not None:
                    left_out[name] = "leads to a folder that holds it"
                continue
            except OSError as error:
                if left_out is None:
                    raise
                left_out[name] = _said(error)
                continue
            size, strange = _size(entry)
            if left_out is not None and strange:
                left_out[name] = strange
            else:
                yield name, size
        else:
            begun.pop()


_Inodes = frozenset[tuple[int, int]]
_Entries = Iterator[tuple[os.DirEntry[str], str, _Inodes]]


class _Loop(Exception):
    """A folder is one of those above it."""


def _listed(folder: str, prefix: str, above: _Inodes) -> _Entries:
    """Return the entries of a folder, their names, and device and inode of the folders above them.

    Raises
    ------
    _Loop
        If the folder is among those `above` it.
    OSError
        If it cannot be listed.
    """
    try:
        status = os.stat(folder)
        own = (status.st_dev, status.st_ino)
        if own in above:
            raise _Loop
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):  # gone meanwhile, or a file
        return iter(())
    return ((entry, prefix + entry.name, above | {own}) for entry in entries)


def _size(entry: os.DirEntry[str]) -> tuple[int, str]:
    """Return the bytes of a file, and what it is if it is no regular file."""
    try:
        status = entry.stat()
    except OSError:  # a link to nothing, which whoever reads it will say
        return 0, ""
    try:
        check_regular(status, entry.path)
    except OSError as error:
        return status.st_size, str(error.strerror)
    return status.st_size, ""


def _said(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "is a link that leads to itself"
    return f"cannot be listed: {error.strerror or error}"


def identity_of_folder(folder: str) -> tuple[int, int] | None:
    """Return device and inode of a folder; None where it cannot be looked at."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
