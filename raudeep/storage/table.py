"""Reading a finished table: all of it, a part, single rows, its columns, its errors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.errors import RaudeepError, TableError
from raudeep.foreign import blamed, typed
from raudeep.parquet import footer_of, open_parquet, read_rows, size_of
from raudeep.schema import ERRORS, read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import Part, TableIndex, read_index
from raudeep.storage.stores import StoreError

__all__ = [
    "blamed_on_damage",
    "damaged",
    "identity_of",
    "is_damage",
    "is_readable",
    "iterate_parts",
    "read_errors",
    "read_footer",
    "read_identity",
    "read_part",
    "read_schema",
    "read_table",
    "schema_of",
    "take_rows",
]


def read_table(uri: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Return all rows of a finished table, in the order of its parts."""
    parts = [table for _, table in iterate_parts(uri, columns=columns)]
    with blamed(f"{uri}: its parts do not belong together"):
        return pa.concat_tables(parts)


def iterate_parts(
    uri: str, *, columns: Sequence[str] | None = None
) -> Iterator[tuple[Part, pa.Table]]:
    """Yield the parts of a finished table one after the other."""
    for part in read_index(uri).parts:
        yield part, read_part(uri, part.name, columns=columns)


def read_part(uri: str, name: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Return one part of a table, whose pages are compared with their checksums.

    Raises
    ------
    TableError
        If the file is missing or damaged.
    """
    place = uris.join(uri, name)
    with blamed_on_damage(place), uris.open_file(place) as file:
        parquet = open_parquet(file, page_checksum_verification=True)
        return read_rows(parquet, size_of(file), columns=columns or None)


def take_rows(
    uri: str,
    index: TableIndex,
    numbers: NDArray[np.int64],
    *,
    columns: Sequence[str] | None = None,
) -> pa.Table:
    """Return rows of a finished table by their number, in the order asked for.

    The parts that hold them are read one after the other.
    """
    parts = index.parts
    ends = np.cumsum([part.rows for part in parts])
    owners = np.searchsorted(ends, numbers, side="right")
    places, found = [], []
    for owner in np.unique(owners):
        rows = read_part(uri, parts[owner].name, columns=columns)
        places.append(np.flatnonzero(owners == owner))
        found.append(rows.take(pa.array(numbers[places[-1]] - ends[owner] + parts[owner].rows)))
    if not found:
        return read_part(uri, parts[0].name, columns=columns).slice(0, 0)
    return pa.concat_tables(found).take(pa.array(np.argsort(np.concatenate(places))))


def read_schema(uri: str) -> pa.Schema:
    """Return the columns of a finished table, without its rows."""
    parts = read_index(uri).parts
    if not parts:
        raise TableError(f"{uri} has no parts, so nothing says what its columns are.")
    return schema_of(read_footer(uris.join(uri, parts[0].name)), uri)


def read_errors(uri: str) -> pa.Table:
    """Return the rows of a table's errors: the inputs that could not be used."""
    parts = [read_part(uri, part.name) for part in read_index(uri).errors]
    return pa.concat_tables([part.cast(ERRORS) for part in parts] or [ERRORS.empty_table()])


def read_identity(uri: str, name: str) -> Identity:
    """Return what one part of a table, finished or not, is made from.

    Raises
    ------
    TableError
        If the file is missing, damaged, or not of raudeep.
    """
    return identity_of(read_footer(uris.join(uri, name)), where=uri)


def identity_of(footer: Any, *, where: str) -> Identity:
    """Return what a part with this footer is made from; `TableError` if it is not of raudeep."""
    metadata = read_metadata(schema_of(footer, where))
    if not {"stage", "config", "inputs"} <= metadata.keys():
        raise TableError(f"{where} holds Parquet files, but not of raudeep. Choose another output.")
    identity: Identity = typed(Identity, metadata, f"{where}: a part does not say what made it")
    return identity


def schema_of(footer: Any, where: str) -> pa.Schema:
    """Return the columns that a footer names; `TableError`, with `where`, if they are damaged."""
    with blamed(f"{where}: the columns of a part cannot be read"):
        return footer.schema.to_arrow_schema()


def is_readable(uri: str, name: str) -> bool:
    """Return whether a Parquet file of a table is whole as far as its footer tells.

    Raises
    ------
    TableError
        If nobody can tell, as where a store does not answer or reading is not allowed.
    """
    try:
        read_footer(uris.join(uri, name))
    except TableError as error:
        if not is_damage(error):
            raise
        return False
    return True


def is_damage(error: TableError) -> bool:
    """Return whether a file that could not be read is damaged or gone, not only out of reach."""
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError) or not isinstance(cause, OSError | None):
        return True  # whatever else a parser raises
    # Of some damaged files Arrow says an OSError, which has no number.
    return type(cause) is OSError and cause.errno is None


def read_footer(uri: str) -> Any:
    """Return what a Parquet file says of itself; TableError if it is missing or damaged."""
    said = blamed(f"{uri} cannot be read", then="Delete it and run again.")
    with said, uris.open_file(uri) as file:
        return footer_of(file)


@contextmanager
def blamed_on_damage(place: str) -> Iterator[None]:
    """Say of what a part leads to as it is read that it is damaged, unless a store did not answer.

    For calls of a parser, as `blamed`.
    """
    try:
        yield
    except (RaudeepError, MemoryError):
        raise
    except Exception as error:
        raise TableError(damaged(place, error)) from error


def damaged(place: str, error: BaseException) -> str:
    """Return the line on a part that cannot be read."""
    said = f"{place} cannot be read: {' '.join(str(error).split()).rstrip('. ')}."
    if isinstance(error, StoreError):  # the part may be good
        return said
    return f"{said} `raudeep verify TABLE --repair` drops what is damaged."
