"""The row groups of a table, in which tables larger than memory are read."""

from collections.abc import Sequence
from multiprocessing.pool import ThreadPool
from typing import Any, NamedTuple

import pyarrow as pa

from raudeep.parquet import open_parquet, read_rows, size_of
from raudeep.storage import uri as uris
from raudeep.storage.index import read_index
from raudeep.storage.table import blamed_on_damage, read_footer

__all__ = ["RowGroup", "read_row_group", "row_groups"]

_READERS = 16  # a footer is a small question to a store that answers many at once


class RowGroup(NamedTuple):
    """Where a row group lies."""

    uri: str
    """Of the part."""
    number: int
    rows: int
    footer: Any
    """Of the part, so that it is not read again with each of its groups."""


def row_groups(uri: str) -> list[RowGroup]:
    """Return the row groups of a finished table, in the order of its rows."""
    places = [uris.join(uri, part.name) for part in read_index(uri).parts]
    with ThreadPool(_READERS) as pool:
        footers = list(pool.imap(read_footer, places))
    return [
        RowGroup(place, number, footer.row_group(number).num_rows, footer)
        for place, footer in zip(places, footers, strict=True)
        for number in range(footer.num_row_groups)
    ]


def read_row_group(group: RowGroup, *, columns: Sequence[str]) -> pa.Table:
    """Return the rows of a row group.

    Raises
    ------
    TableError
        If the file is missing or damaged.
    """
    with blamed_on_damage(group.uri), uris.open_file(group.uri, whole_reads=True) as file:
        # The columns lie side by side: with `pre_buffer` they are one request to a store.
        parquet = open_parquet(
            file, footer=group.footer, pre_buffer=True, page_checksum_verification=True
        )
        return read_rows(
            parquet, size_of(file), columns=columns, row_groups=[group.number], use_threads=False
        )
