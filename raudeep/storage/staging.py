"""Files that are built piece by piece, on this machine, before any of them appears in its place."""

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raudeep.errors import TableError
from raudeep.storage import uri as uris

__all__ = ["STAGING_PREFIX", "staging"]

STAGING_PREFIX = ".staging-"
"""Begins the name of a folder that a killed process may leave behind."""


@contextmanager
def staging(uri: str, *, replacing: Collection[str] = ()) -> Iterator[Path]:
    """Give a folder to build files in; without an error they are moved to the folder `uri`.

    Each file appears whole. If one cannot be moved, those before it are taken away again.

    Parameters
    ----------
    uri : str
        The folder, local or remote; made if missing.
    replacing : collection of str
        Paths of files in `uri` that the new ones take the place of.

    Raises
    ------
    TableError
        If the place cannot be written.
    """
    uris.check_writable(uri)
    made: list[Path] = []
    parent = None
    if uris.is_local(uri):  # within the place, where a file can be renamed without being copied
        parent = Path(uris.absolute(uri))
        made = [place for place in (parent, *parent.parents) if not place.exists()]
        parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=STAGING_PREFIX, dir=parent))
    moved: list[str] = []
    try:
        yield folder
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            moved.append(file.relative_to(folder).as_posix())
            uris.put_file(file, uris.join(uri, moved[-1]))
        for name in set(replacing) - set(moved):
            _delete(uri, name)
    except BaseException as error:
        for name in moved:
            _delete(uri, name)
        if isinstance(error, OSError):
            raise TableError(f"cannot write {uri}: {error.strerror or error}") from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for place in made:
            with suppress(OSError):  # something is in it
                place.rmdir()


def _delete(uri: str, name: str) -> None:
    """Delete a file below `uri`, and the folders in between that it leaves empty."""
    uris.delete(uris.join(uri, name))
    if uris.is_local(uri):
        for folder in list(Path(name).parents)[:-1]:
            with suppress(OSError):
                (Path(uris.absolute(uri)) / folder).rmdir()
