"""Claims the folder of an output for one run, before anything is written there.

A claim is a file with the identity of what is made. Of two processes that begin at one moment only
one can create it. Who makes the same shares the folder: the run that goes on, a second process of
it. Who makes something else is refused, or replaces claim and output on purpose. Whoever lost the
claim ends before its next write, because each write looks at the claim first.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from raudeep.errors import TableError
from raudeep.foreign import parse_json, typed
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import CLAIM, FOLDER

__all__ = ["check_claim", "claim", "claimed", "claiming", "release"]


def claim(
    uri: str,
    identity: Identity,
    *,
    name: str = CLAIM,
    continues: Callable[[Identity], bool] | None = None,
    overwrite: bool = False,
) -> None:
    """Claim a folder for an output; a second claim for the same output changes nothing.

    Parameters
    ----------
    uri : str
        The folder.
    identity : Identity
        Of the output.
    name : str
        Of the file of the claim, below the folder.
    continues : callable, optional
        ``continues(identity)``: whether this output goes on from a claimed one.
    overwrite : bool
        Replace the claim of any other output.

    Raises
    ------
    TableError
        If the folder is claimed for another output (the message names the field that differs), or
        cannot be written.
    """
    content = json.dumps({"identity": asdict(identity)}, indent=1, sort_keys=True).encode()
    found = claimed(uri, name=name)
    if found is None:
        try:
            uris.write_bytes(uris.join(uri, name), content, only_new=True)
            return
        except FileExistsError:  # another process was quicker, or it is damaged
            found = claimed(uri, name=name)
    if found == identity:
        return
    if found is not None and not overwrite and not (continues and continues(found)):
        raise TableError(found.conflict(identity, place=uri))
    uris.write_bytes(uris.join(uri, name), content)


def claimed(uri: str, *, name: str = CLAIM) -> Identity | None:
    """Return the output that a folder is claimed for; None without a readable claim.

    Raises
    ------
    TableError
        If nobody can tell.
    """
    try:
        content = uris.read_bytes(uris.join(uri, name))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TableError(f"{uris.join(uri, name)} cannot be read: {error}") from error
    try:
        found: _Claim = typed(_Claim, parse_json(content, name), name)
    except TableError:
        return None
    return found.identity


@dataclass(frozen=True)
class _Claim:
    """The content of the file."""

    identity: Identity


def check_claim(uri: str, identity: Identity) -> None:
    """Raise `TableError` if a folder is claimed for another output."""
    found = claimed(uri)
    if found not in (None, identity):
        raise TableError(found.conflict(identity, place=uri))


@contextmanager
def claiming(uri: str, identity: Identity, *, overwrite: bool = False) -> Iterator[None]:
    """Hold the claim of a folder while an output is made that later identifies itself."""
    claim(uri, identity, overwrite=overwrite)
    try:
        yield
    finally:
        release(uri, identity)


def release(uri: str, identity: Identity) -> None:
    """Give back the claim of a folder if it belongs to this output.

    A finished one may have it still: its run was killed before it could give it back.
    """
    if claimed(uri) == identity:
        uris.delete_file(uris.join(uri, CLAIM))
        uris.delete_empty(uris.join(uri, FOLDER))
