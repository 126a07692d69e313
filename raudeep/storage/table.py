"""The protocol of a table on storage: parts that appear whole, and an index that is written last.

A table is a directory. Its input is cut into slices; each slice yields exactly one part under a
deterministic name, and beside it an errors part where an input of the slice failed. A slice is done
when its part is there, so that any run computes only what is missing and doing a slice twice
changes nothing. Every part carries the identity of the table, so that parts made with another
configuration are found before the index exists.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from raudeep.config import fingerprint
from raudeep.errors import TableError
from raudeep.schema import ERRORS, SCHEMA_VERSION, read_metadata, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.stores import StoreError

__all__ = [
    "INDEX",
    "Part",
    "TableIndex",
    "TableWriter",
    "content_fingerprint",
    "damaged",
    "errors_name",
    "files_of_table",
    "indexed_stage",
    "is_table",
    "iterate_parts",
    "package_versions",
    "part_name",
    "read_errors",
    "read_footer",
    "read_index",
    "read_part",
    "read_schema",
    "read_table",
    "take_rows",
]

INDEX = "index.json"
_PART_NAME = re.compile(r"(part|errors|plan)-\d{5,}\.parquet")
_ROW_GROUP_BYTES = 16 * 2**20  # small enough to stream


@dataclass(frozen=True)
class Part:
    """One Parquet file of a table."""

    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, kw_only=True)
class TableIndex:
    """The content of ``index.json``."""

    schema_version: int
    stage: str
    config: dict[str, Any]
    inputs: dict[str, str]
    fingerprint: str
    versions: dict[str, str]
    parts: list[Part]
    errors: list[Part]
    recordings: list[str] = field(default_factory=list)
    """What stands for the recordings of each file of its plan, where it has one."""
    earlier: list[str] = field(default_factory=list)
    """Fingerprints that it had before it grew, the oldest first; all parts of then are there."""

    @property
    def identity(self) -> Identity:
        """What the table is made from."""
        return Identity(self.stage, self.config, self.inputs)

    @property
    def rows(self) -> int:
        """Number of rows in all parts."""
        return sum(part.rows for part in self.parts)

    @property
    def num_errors(self) -> int:
        """Number of inputs that could not be used."""
        return sum(part.rows for part in self.errors)


@dataclass(frozen=True)
class TableWriter:
    """Writes the parts of one table; survives pickling, so that any process can hold it."""

    uri: str
    identity: Identity
    row_group_bytes: int = _ROW_GROUP_BYTES
    beginnings: tuple[Identity, ...] = ()
    """What the table was before the tables that it is made of grew, the oldest first."""

    @classmethod
    def growing(
        cls,
        uri: str,
        stage: str,
        config: dict[str, Any],
        sources: Mapping[str, TableIndex],
        inputs: Mapping[str, str] | None = None,
    ) -> "TableWriter":
        """Return that of a table which grows with its sources.

        Its part of a number is made of the part of this number of the first source, and of the rows
        of the others that belong to it, so that parts which are there stay as they are when the
        sources grow. Sources that did not grow equally often have no beginning in common.
        """

        def identity(fingerprints: Iterable[str]) -> Identity:
            made_of = dict(zip(sources, fingerprints, strict=True))
            return Identity(stage, config, {**(inputs or {}), **made_of})

        histories = [index.earlier for index in sources.values()]
        alike = len({len(history) for history in histories}) == 1
        beginnings = map(identity, zip(*histories, strict=True)) if alike else ()
        now = identity(index.fingerprint for index in sources.values())
        return cls(uri, now, beginnings=tuple(beginnings))

    def continues(self, identity: Identity) -> bool:
        """Return whether parts with this identity are parts of the table."""
        return identity in (self.identity, *self.beginnings)

    def missing(self, num_parts: int) -> list[int]:
        """Return the slices of 0 … `num_parts` - 1 that have no part yet."""
        present = uris.list_files(self.uri)
        return [part for part in range(num_parts) if part_name(part) not in present]

    def write(self, part: int, table: pa.Table, errors: pa.Table | None = None) -> None:
        """Write the part of a slice, after the errors of that slice, if any."""
        if errors is not None and errors.num_rows:
            self.write_file(errors_name(part), errors)
        else:  # those of an attempt that was killed before it wrote its part
            uris.delete_file(uris.join(self.uri, errors_name(part)))
        self.write_file(part_name(part), table)

    def forget_errors(self) -> None:
        """Delete the parts in whose slices an input failed, so that these are done again."""
        present = uris.list_files(self.uri)
        failed = [name for name in present if name.startswith("errors-")]
        names = [name.replace("errors-", "part-") for name in failed]
        for name in [INDEX, *names] if failed else []:
            uris.delete_file(uris.join(self.uri, name))

    def delete(self) -> None:
        """Delete the table."""
        for name in files_of_table(uris.list_files(self.uri)):
            uris.delete_file(uris.join(self.uri, name))

    def commit(
        self, num_parts: int, *, recordings: Sequence[str] = (), ends: Sequence[int] = ()
    ) -> TableIndex:
        """Write and return the index, once every slice has its part.

        A table with a plan says what stands for the recordings of each file of it, and how many
        parts there are up to its end.
        """
        sizes = uris.list_files(self.uri)
        names = [part_name(part) for part in range(num_parts)]
        error_names = [name for part in range(num_parts) if (name := errors_name(part)) in sizes]
        if absent := [name for name in names if name not in sizes]:
            raise TableError(f"{self.uri}: {len(absent)} parts are missing, e.g. {absent[0]}")
        rows = self._indexed_rows(sizes)
        unknown = [name for name in names + error_names if name not in rows]
        with ThreadPoolExecutor(16) as pool:
            rows.update(zip(unknown, pool.map(self._rows, unknown), strict=True))

        def fingerprint_of(num_plans: int, end: int) -> str:
            errors = {name: rows[name] for name in map(errors_name, range(end)) if name in rows}
            return content_fingerprint(self.identity, recordings[:num_plans], errors)

        grown = [fingerprint_of(number, end) for number, end in enumerate(ends[:-1], start=1)]
        index = TableIndex(
            schema_version=SCHEMA_VERSION,
            stage=self.identity.stage,
            config=self.identity.config,
            inputs=self.identity.inputs,
            fingerprint=fingerprint_of(len(recordings), num_parts),
            versions=package_versions(),
            parts=[Part(name, rows[name], sizes[name]) for name in names],
            errors=[Part(name, rows[name], sizes[name]) for name in error_names],
            recordings=list(recordings),
            earlier=grown or [beginning.fingerprint for beginning in self.beginnings],
        )
        content = json.dumps(asdict(index), indent=1, sort_keys=True)
        uris.write_bytes(uris.join(self.uri, INDEX), content.encode())
        return index

    def write_file(self, name: str, table: pa.Table, *, only_new: bool = False) -> None:
        """Write a Parquet file of the table, with the identity of the table in its schema.

        With `only_new`, `FileExistsError` is raised where there is one of this name.
        """
        metadata = {
            **read_metadata(table.schema),
            "schema_version": SCHEMA_VERSION,
            "stage": self.identity.stage,
            "config": self.identity.config,
            "inputs": self.identity.inputs,
        }
        schema = with_metadata(table.schema, metadata)
        rows_per_group = max(1, self.row_group_bytes * table.num_rows // max(1, table.nbytes))
        strings = [column.name for column in schema if pa.types.is_string(column.type)]
        buffer = io.BytesIO()
        pq.write_table(
            table.cast(schema),
            buffer,
            compression="zstd",
            row_group_size=rows_per_group,
            use_dictionary=strings,
            write_page_checksum=True,
        )
        uris.write_bytes(uris.join(self.uri, name), buffer.getvalue(), only_new=only_new)

    def _indexed_rows(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Return the rows of the parts that an earlier index knows, without opening them."""
        if INDEX not in sizes:
            return {}
        index = read_index(self.uri)
        known = [*index.parts, *index.errors]
        return {part.name: part.rows for part in known if sizes.get(part.name) == part.bytes}

    def _rows(self, name: str) -> int:
        return int(read_footer(uris.join(self.uri, name)).num_rows)


def content_fingerprint(
    identity: Identity, recordings: Sequence[str], errors: Mapping[str, int]
) -> str:
    """Return what stands for the rows of a table: what they are made with, and of what.

    Of the recordings, `errors` of each part could not be used, which another try may find good.
    """
    if not recordings:
        return identity.fingerprint
    return fingerprint(identity.fingerprint, list(recordings), *([dict(errors)] if errors else []))


def files_of_table(present: Iterable[str]) -> list[str]:
    """Return which of some files are of a table, the index first: without it, it is unfinished."""
    names = [name for name in present if name == INDEX or _PART_NAME.fullmatch(name)]
    return sorted(names, key=lambda name: (name != INDEX, name))


def is_table(uri: str) -> bool:
    """Return whether a finished table lies at `uri`; OSError if nobody can tell."""
    return indexed_stage(uri) is not None


def indexed_stage(uri: str) -> str | None:
    """Return the stage of a finished table, of any schema version."""
    try:
        content = json.loads(uris.read_bytes(uris.join(uri, INDEX)))
    except (FileNotFoundError, NotADirectoryError, PermissionError, ValueError):
        return None
    if not isinstance(content, dict) or not {"schema_version", "stage", "parts"} <= content.keys():
        return None
    return str(content["stage"])


def read_index(uri: str, *, stage: str | None = None) -> TableIndex:
    """Return the index of a finished table.

    Raises
    ------
    TableError
        If there is no table, it is unfinished, of another schema version, or not of `stage`.
    """
    try:
        content = json.loads(uris.read_bytes(uris.join(uri, INDEX)))
    except FileNotFoundError as error:
        unfinished = any(name.startswith("part-") for name in uris.list_files(uri))
        reason = "is unfinished. Run the same command again" if unfinished else "holds no table"
        raise TableError(f"{uri} {reason} (no {INDEX}).") from error
    except (OSError, ValueError) as error:
        raise TableError(f"{uri}: {INDEX} cannot be read: {error}") from error
    try:
        if content["schema_version"] != SCHEMA_VERSION:
            raise TableError(
                f"{uri} has schema version {content['schema_version']!r}; this raudeep reads "
                f"version {SCHEMA_VERSION}. Make the table again."
            )
        for key in ("parts", "errors"):
            content[key] = [Part(**part) for part in content[key]]
        index = TableIndex(**content)
    except (AttributeError, KeyError, TypeError) as error:
        raise TableError(f"{uri}: {INDEX} is not that of a table ({error!r}).") from error
    if stage is not None and index.stage != stage:
        raise TableError(f"{uri} is a table of {index.stage}; a table of {stage} is needed.")
    return index


def read_table(uri: str, *, columns: Sequence[str] | None = None) -> pa.Table:
    """Return all rows of a finished table, in the order of its parts."""
    return pa.concat_tables([table for _, table in iterate_parts(uri, columns=columns)])


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
    try:
        with uris.open_file(place) as file:
            return pq.read_table(
                file,
                columns=list(columns) if columns else None,
                page_checksum_verification=True,
            )
    except (OSError, pa.ArrowException) as error:
        raise TableError(damaged(place, error)) from error


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
    first = uris.join(uri, read_index(uri).parts[0].name)
    return read_footer(first).schema.to_arrow_schema()


def damaged(place: str, error: BaseException) -> str:
    """Return the line on a part that cannot be read."""
    said = f"{place} cannot be read: {str(error).rstrip('. ')}."
    if isinstance(error, StoreError):  # the part may be good
        return said
    return f"{said} `raudeep verify TABLE --repair` drops what is damaged."


def read_errors(uri: str) -> pa.Table:
    """Return the rows of a table's errors: the inputs that could not be used."""
    parts = [read_part(uri, part.name) for part in read_index(uri).errors]
    return pa.concat_tables([part.cast(ERRORS) for part in parts] or [ERRORS.empty_table()])


def package_versions() -> dict[str, str]:
    """Return the versions of raudeep and of what its numbers depend on."""
    found = {}
    for name in ("raudeep", "numpy", "pyarrow", "ray", "scipy", "soundfile", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from an uploaded folder, not installed
            found[name] = "unknown"
    return found


def part_name(part: int) -> str:
    """Return the name of the part of a slice."""
    return f"part-{part:05d}.parquet"


def errors_name(part: int) -> str:
    """Return the name of the errors of a slice."""
    return f"errors-{part:05d}.parquet"


def read_footer(uri: str) -> Any:
    """Return what a Parquet file says of itself; TableError if it is missing or damaged."""
    try:
        with uris.open_file(uri) as file:
            return pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"{uri} cannot be read: {error}. Delete it and run again.") from error
