"""What may be written at the place of a table: nothing of another stage, nothing by accident."""

import logging
from collections import Counter
from collections.abc import Collection
from contextlib import suppress

from raudeep.errors import TableError
from raudeep.storage import uri as uris
from raudeep.storage.claim import claim, claimed
from raudeep.storage.identity import Identity
from raudeep.storage.index import (
    TableFiles,
    indexed_stage,
    is_damaged_index,
    is_table,
    move_files,
    read_index,
    table_files,
)
from raudeep.storage.mending import drop_damaged
from raudeep.storage.outputs import visible_files
from raudeep.storage.table import is_readable, read_identity
from raudeep.storage.writer import TableWriter

__all__ = [
    "check_no_table",
    "check_stage",
    "check_tables",
    "open_table",
    "open_tables",
    "stored_identity",
]

logger = logging.getLogger(__name__)


def open_table(uri: str, identity: Identity, *, overwrite: bool = False) -> TableWriter:
    """Return a writer for the table at `uri`, new, unfinished or finished; see `open_tables`."""
    (writer,) = open_tables([TableWriter(uri, identity)], overwrite=overwrite)
    return writer


def open_tables(writers: Collection[TableWriter], *, overwrite: bool = False) -> list[TableWriter]:
    """Return the writers that go on with the tables at their places, in order.

    Nothing is deleted unless all places can be made ready. What an earlier version of raudeep made
    goes on with the identity that it has.

    Raises
    ------
    TableError
        If what is there was made with another identity (the message names the field that differs)
        or is not a table; with `overwrite` it is deleted instead, and without where nothing but
        the labels of an input is another one. A table of another stage never is: it may be what
        this one is made from.
    """
    replaced = _to_be_replaced(writers, overwrite=overwrite)
    for writer in replaced:
        # First of all: a run that still writes there is to end before its next write.
        claim(writer.uri, writer.identity, overwrite=True)
        writer.delete()
    for writer in writers:
        move_files(writer.uri)
        drop_damaged(writer.uri)
    kept = [writer if writer in replaced else _as_stored(writer) for writer in writers]
    for writer in kept:
        if is_table(writer.uri):  # what a killed run was to make of it is nobody's output
            claim(writer.uri, writer.identity, overwrite=True)
    return kept


def check_tables(writers: Collection[TableWriter], *, overwrite: bool = False) -> None:
    """Raise `TableError` where `open_tables` would; nothing is deleted or left behind."""
    _to_be_replaced(writers, overwrite=overwrite)


def _to_be_replaced(writers: Collection[TableWriter], *, overwrite: bool) -> list[TableWriter]:
    for place, times in Counter(uris.absolute(writer.uri) for writer in writers).items():
        if times > 1:
            raise TableError(f"{place} is the output of {times} tables; each needs its own.")
    return [writer for writer in writers if _is_to_be_replaced(writer, overwrite=overwrite)]


def _is_to_be_replaced(writer: TableWriter, *, overwrite: bool) -> bool:
    """Return whether a table has to be deleted first; raise where what is there has to stay."""
    uri = writer.uri
    present = visible_files(uri)
    ours = table_files(present)
    if not ours.names and not ours.claim:
        if present:
            raise TableError(f"{uri} holds files but no table of raudeep. Choose another output.")
        if uris.file_size(uri) is not None:
            raise TableError(f"{uri} is a file. Choose another output.")
        uris.check_writable(uri)
        uris.clean(uri)
        return False
    uris.clean(uri)
    try:
        stored = _stored_identity(uri, ours)
    except TableError:
        # What cannot be read is replaced only where something else says that it was a table.
        stage = _stored_stage(uri, ours) if overwrite else None
        if stage is None:
            raise
    else:
        if stored is None or writer.continues(stored):
            return False
        if stored.differs_in_labels(writer.identity):
            logger.info("%s: made again, as the labels changed.", uri)
            return True
        stage = stored.stage
        if stage == writer.identity.stage and not overwrite:
            raise TableError(stored.conflict(writer.identity, place=uri))
    _refuse_other_stage(uri, stage, writer.identity.stage)
    return True


def _as_stored(writer: TableWriter) -> TableWriter:
    """Return the writer with the identity that its table has, of those that are equal."""
    stored = stored_identity(writer.uri)
    return writer if stored is None else writer.as_stored(stored)


def stored_identity(uri: str) -> Identity | None:
    """Return what the table at `uri`, finished or not, is made from; None where there is none."""
    files = table_files(visible_files(uri))
    return _stored_identity(uri, files) if files.names or files.claim else None


def check_stage(uri: str, stage: str) -> None:
    """Raise `TableError` if a table of another stage lies at `uri`: it is never replaced."""
    _refuse_other_stage(uri, _stored_stage(uri, table_files(visible_files(uri))), stage)


def check_no_table(uri: str) -> None:
    """Raise `TableError` where a table lies at `uri`, which is to be a folder of other things."""
    if is_table(uri):
        raise TableError(f"{uri} is a table, and the output is none. Choose another output.")


def _refuse_other_stage(uri: str, stored: str | None, wanted: str) -> None:
    if stored not in (None, wanted):
        raise TableError(
            f"{uri} is a table of {stored}, which one of {wanted} does not replace. Choose another "
            "output, or delete it."
        )


def _stored_stage(uri: str, files: TableFiles) -> str | None:
    """Return the stage of which the index, or the first file that can be read, says to be."""
    if files.index and (stage := indexed_stage(uri)):
        return stage
    for name in files.names:
        with suppress(TableError):
            return read_identity(uri, name).stage
    owner = claimed(uri) if files.claim else None
    return owner.stage if owner else None


def _stored_identity(uri: str, files: TableFiles) -> Identity | None:
    """Return what a table is made from; None where nothing is left that says so.

    Where there is no index yet, files need not be of the run that has the claim.
    """
    if files.index and not is_damaged_index(uri):
        return read_index(uri).identity
    if files.claim and (owner := claimed(uri)):
        return owner
    names = [name for name in files.names if name != files.index]
    for name in names:
        if is_readable(uri, name):
            return read_identity(uri, name)
    if files.claim or files.plans or files.errors:  # which only a table of raudeep has
        return None
    raise TableError(
        f"{uri}: {(names or files.names)[0]} cannot be read, and nothing says that it is of a "
        "table. Delete it and run again, or choose another output."
    )
