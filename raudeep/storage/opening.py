"""What may be written at the place of a table: nothing of another stage, nothing by accident."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from raudeep.errors import TableError
from raudeep.schema import read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.outputs import visible_files
from raudeep.storage.table import (
    INDEX,
    TableWriter,
    files_of_table,
    indexed_stage,
    is_table,
    read_footer,
    read_index,
)

__all__ = ["check_no_table", "check_stage", "check_tables", "open_table", "open_tables"]


def open_table(uri: str, identity: Identity, *, overwrite: bool = False) -> TableWriter:
    """Return a writer for the table at `uri`, new, unfinished or finished.

    Raises
    ------
    TableError
        If what is there was made with another identity (the message names the field that differs)
        or is not a table; with `overwrite` it is deleted instead. A table of another stage never
        is: it may be what this one is made from.
    """
    return open_tables({"table": (uri, identity)}, overwrite=overwrite)["table"]


def open_tables(
    tables: Mapping[str, tuple[str, Identity]], *, overwrite: bool = False
) -> dict[str, TableWriter]:
    """Return a writer for each of several tables (see `open_table`), by the same names.

    Nothing is deleted unless all can be opened.
    """
    replaced = _to_be_replaced(tables, overwrite=overwrite)
    for writer in replaced:
        writer.delete()
    return {name: TableWriter(uri, identity) for name, (uri, identity) in tables.items()}


def check_tables(tables: Mapping[str, tuple[str, Identity]], *, overwrite: bool = False) -> None:
    """Raise `TableError` where `open_tables` would; nothing is deleted or left behind."""
    _to_be_replaced(tables, overwrite=overwrite)


def _to_be_replaced(
    tables: Mapping[str, tuple[str, Identity]], *, overwrite: bool
) -> list[TableWriter]:
    for place, times in Counter(uris.absolute(uri) for uri, _ in tables.values()).items():
        if times > 1:
            raise TableError(f"{place} is the output of {times} tables; each needs its own.")
    return [
        TableWriter(uri, identity)
        for uri, identity in tables.values()
        if _is_to_be_replaced(uri, identity, overwrite=overwrite)
    ]


def _is_to_be_replaced(uri: str, identity: Identity, *, overwrite: bool) -> bool:
    """Return whether a table has to be deleted first; raise where what is there has to stay."""
    present = visible_files(uri)
    ours = files_of_table(present)
    if not ours:
        if present:
            raise TableError(f"{uri} holds files but no table of raudeep. Choose another output.")
        if uris.file_size(uri) is not None:
            raise TableError(f"{uri} is a file. Choose another output.")
        uris.check_writable(uri)
        return False
    try:
        stored = _stored_identity(uri, ours)
    except TableError:
        if not overwrite:
            raise
        # What cannot be read is replaced only where something else says that it was a table.
        stage = _stored_stage(uri, ours)
        if stage is None:
            raise
    else:
        if stored == identity:
            return False
        stage = stored.stage
    _refuse_other_stage(uri, stage, identity.stage)
    if not overwrite:
        raise TableError(stored.conflict(identity, place=uri))
    return True


def check_stage(uri: str, stage: str) -> None:
    """Raise `TableError` if a table of another stage lies at `uri`: it is never replaced."""
    ours = files_of_table(visible_files(uri))
    _refuse_other_stage(uri, _stored_stage(uri, ours) if ours else None, stage)


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


def _stored_stage(uri: str, present: Sequence[str]) -> str | None:
    """Return the stage of which the index, or the first file that can be read, says to be."""
    if stage := indexed_stage(uri):
        return stage
    for name in present:
        with suppress(TableError):
            if stage := _file_metadata(uri, name).get("stage"):
                return str(stage)
    return None


def _file_metadata(uri: str, name: str) -> dict[str, Any]:
    return read_metadata(read_footer(uris.join(uri, name)).schema.to_arrow_schema())


def _stored_identity(uri: str, present: Sequence[str]) -> Identity:
    if INDEX in present:
        return read_index(uri).identity
    metadata = _file_metadata(uri, present[0])
    if "stage" not in metadata:
        raise TableError(f"{uri} holds Parquet files, but not of raudeep. Choose another output.")
    return Identity(metadata["stage"], metadata["config"], metadata["inputs"])
