"""What may be written at the place of a table: nothing of another stage, nothing by accident."""

import logging
import re
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from multiprocessing.pool import ThreadPool

from raudeep.errors import TableError
from raudeep.schema import read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.claim import claim, claimed
from raudeep.storage.identity import Identity
from raudeep.storage.index import (
    FOLDER,
    TableFiles,
    indexed_stage,
    is_damaged_index,
    is_table,
    move_files,
    read_index,
    table_files,
)
from raudeep.storage.mending import drop_damaged, drop_parts
from raudeep.storage.outputs import Kind, find_output, json_with, visible_files
from raudeep.storage.table import is_readable, read_footer, read_identity
from raudeep.storage.writer import TableWriter

__all__ = [
    "check_stage",
    "check_tables",
    "holds_table",
    "open_table",
    "open_tables",
    "stored_identity",
    "stored_stage",
]

logger = logging.getLogger(__name__)

_READERS = 16


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
        _drop_replaced(writer)
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
    if not find_output(uri, _TABLE):
        uris.check_writable(uri)
        uris.clean(uri)
        return False
    uris.clean(uri)
    ours = table_files(visible_files(uri))
    if overwrite:
        _check_parts(uri, ours)
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


def _drop_replaced(writer: TableWriter) -> None:
    """Delete what is left of a table that the run of this one was killed while replacing."""
    files = table_files(uris.list_files(writer.uri))
    if files.index or claimed(writer.uri) != writer.identity:
        return

    def is_of_another(name: str) -> bool:
        return not writer.continues(read_identity(writer.uri, name))

    with ThreadPool(_READERS) as pool:
        found = list(pool.imap(is_of_another, files.names))
    others = {name for name, is_other in zip(files.names, found, strict=True) if is_other}
    slices = [*files.parts.items(), *files.errors.items()]
    drop_parts(writer.uri, files, sorted({number for number, name in slices if name in others}))
    for name in others & {*files.plans.values(), *files.others}:
        uris.delete_file(uris.join(writer.uri, name))


def _as_stored(writer: TableWriter) -> TableWriter:
    """Return the writer with the identity that its table has, of those that are equal."""
    stored = stored_identity(writer.uri)
    return writer if stored is None else writer.as_stored(stored)


def stored_identity(uri: str) -> Identity | None:
    """Return what the table at `uri`, finished or not, is made from; None where there is none."""
    if not find_output(uri, _TABLE):
        return None
    return _stored_identity(uri, table_files(visible_files(uri)))


def check_stage(uri: str, stage: str) -> None:
    """Raise `TableError` where `open_tables` would, whatever a table of `stage` is made of."""
    if find_output(uri, _TABLE):
        _refuse_other_stage(uri, stored_stage(uri), stage)


def stored_stage(uri: str) -> str | None:
    """Return the stage of the table at `uri`, finished or begun; None where there is none."""
    return _stored_stage(uri, table_files(visible_files(uri)))


def holds_table(uri: str, places: re.Pattern[str]) -> bool:
    """Return whether a table, finished or begun, lies in one of these folders below `uri`."""
    seen: set[str] = set()
    for name, _ in uris.walk_files(uri):
        folder = name.rpartition("/")[0].removesuffix(f"/{FOLDER}")
        if folder not in seen and places.fullmatch(folder):
            if stored_stage(uris.join(uri, folder)) is not None:
                return True
            seen.add(folder)
    return False


def _check_parts(uri: str, files: TableFiles) -> None:
    """Refuse Parquet files of others under names of parts; those of an index are not opened."""
    listed = set()
    with suppress(TableError):
        index = read_index(uri)
        listed = {part.name for part in (*index.parts, *index.errors)}
    names = [name for name in files.names if name.endswith(".parquet") and name not in listed]
    with ThreadPool(_READERS) as pool:
        found = pool.imap(partial(_is_foreign, uri), names)
        for name, is_foreign in zip(names, found, strict=True):
            if is_foreign:
                raise TableError(
                    f"{uris.join(uri, name)} is not raudeep's, and the table needs this name. Move "
                    "the file, or choose another output."
                )


def _is_foreign(uri: str, name: str) -> bool:
    """Return whether a file is Parquet without the metadata of a table; a damaged one is not."""
    with suppress(TableError):
        schema = read_footer(uris.join(uri, name)).schema.to_arrow_schema()
        return "stage" not in read_metadata(schema)
    return False


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


def _is_there(uri: str) -> bool:
    """Return whether a file says that it is of a table, or lies where only a table has files."""
    names = visible_files(uri)
    known = _stored_stage(uri, table_files(names)) is not None
    return known or any(name.startswith(f"{FOLDER}/") for name in names)


_TABLE = Kind(
    "table",
    is_there=_is_there,
    files={"index.json": json_with("schema_version", "stage", "parts")},
)


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
