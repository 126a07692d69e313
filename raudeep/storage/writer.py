"""The protocol of a table on storage: parts that appear whole, and an index that is written last.

A table is a directory. Its input is cut into slices; each slice yields exactly one part under a
deterministic name, and an errors part where an input of the slice failed. A slice is done
when its part is there, so that any run computes only what is missing and doing a slice twice
changes nothing. Every part carries the identity of the table, so that parts made with another
configuration are found before the index exists.
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raudeep.config import fingerprint
from raudeep.credentials import public_column
from raudeep.errors import TableError
from raudeep.schema import SAMPLE_RATES, SCHEMA_VERSION, read_metadata, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity, package_versions
from raudeep.storage.index import (
    FOLDER,
    INDEX,
    Part,
    TableFiles,
    TableIndex,
    errors_name,
    part_name,
    read_index,
    table_files,
)
from raudeep.storage.table import read_footer, read_identity

__all__ = ["TableWriter"]

_ROW_GROUP_BYTES = 16 * 2**20  # small enough to stream


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
        present = table_files(uris.list_files(self.uri))
        done = present.parts.keys() - self._outdated(present)
        return [part for part in range(num_parts) if part not in done]

    def write(self, part: int, table: pa.Table, errors: pa.Table | None = None) -> None:
        """Write the part of a slice, after the errors of that slice, if any."""
        if errors is not None and errors.num_rows:
            self.write_file(errors_name(part), errors)
        else:  # those of an attempt that was killed before it wrote its part
            uris.delete_file(uris.join(self.uri, errors_name(part)))
        self.write_file(part_name(part), table)

    def forget_errors(self) -> None:
        """Delete the parts in whose slices an input failed, so that these are done again."""
        failed = table_files(uris.list_files(self.uri)).errors
        for name in [INDEX, *map(part_name, failed)] if failed else []:
            uris.delete_file(uris.join(self.uri, name))

    def delete(self) -> None:
        """Delete the table."""
        for name in table_files(uris.list_files(self.uri)).names:
            uris.delete_file(uris.join(self.uri, name))
        uris.delete_empty(uris.join(self.uri, FOLDER))

    def commit(
        self, num_parts: int, *, recordings: Sequence[str] = (), ends: Sequence[int] = ()
    ) -> TableIndex:
        """Write and return the index, once every slice has its part.

        A table with a plan says what stands for the recordings of each file of it, and how many
        parts there are up to its end. Where another process has finished a table that has grown
        further meanwhile, that index stays.
        """
        sizes = uris.list_files(self.uri)
        names = [part_name(part) for part in range(num_parts)]
        error_names = [name for part in range(num_parts) if (name := errors_name(part)) in sizes]
        if absent := [name for name in names if name not in sizes]:
            raise TableError(f"{self.uri}: {len(absent)} parts are missing, e.g. {absent[0]}")
        rows, sample_rates = self._indexed(sizes)
        unknown = [name for name in names + error_names if name not in rows]
        with ThreadPoolExecutor(16) as pool:
            footers = pool.map(read_footer, [uris.join(self.uri, name) for name in unknown])
        for name, footer in zip(unknown, footers, strict=True):
            rows[name] = footer.num_rows
            metadata = read_metadata(footer.schema.to_arrow_schema())
            sample_rates.update(metadata.get(SAMPLE_RATES, []))

        def fingerprint_of(num_plans: int, end: int) -> str:
            errors = {
                part: rows[name] for part in range(end) if (name := errors_name(part)) in rows
            }
            return _content_fingerprint(self.identity, recordings[:num_plans], errors)

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
            sample_rates=sorted(sample_rates),
            earlier=grown or [beginning.fingerprint for beginning in self.beginnings],
        )
        if INDEX in sizes and index.fingerprint in (further := read_index(self.uri)).earlier:
            return further
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
        table = _without_credentials(table)
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

    def _outdated(self, present: TableFiles) -> set[int]:
        """Return the parts that are there of a source that was made otherwise since.

        A killed run left them when the source had grown; those that an index lists are older.
        """
        if not self.beginnings:
            return set()
        listed = {part.name for part in read_index(self.uri).parts} if present.index else set()
        names = {part: name for part, name in present.parts.items() if name not in listed}
        with ThreadPoolExecutor(16) as pool:
            found = pool.map(partial(read_identity, self.uri), names.values())
        return {
            part
            for part, identity in zip(names, found, strict=True)
            if not self.continues(identity)
        }

    def _indexed(self, sizes: Mapping[str, int]) -> tuple[dict[str, int], set[int]]:
        """Return what an earlier index knows of parts without opening them: rows, sample rates."""
        if INDEX not in sizes:
            return {}, set()
        index = read_index(self.uri)
        known = [*index.parts, *index.errors]
        rows = {part.name: part.rows for part in known if sizes.get(part.name) == part.bytes}
        return rows, set(index.sample_rates)


def _without_credentials(table: pa.Table) -> pa.Table:
    """Return a table whose URIs and messages name no password and no signature."""
    for name in ("uri", "message"):
        column = table.schema.get_field_index(name)
        if column >= 0:
            field = table.schema.field(column)
            public = public_column(table[name], text=name == "message")
            table = table.set_column(column, field, public)
    return table


def _content_fingerprint(
    identity: Identity, recordings: Sequence[str], errors: Mapping[int, int]
) -> str:
    """Return what stands for the rows of a table: what they are made with, and of what.

    Of the recordings, `errors` of each part could not be used, which another try may find good.
    """
    if not recordings:
        return identity.fingerprint
    # Under the names that errors had before they got a folder, so that a table stays what it is.
    counts = {f"errors-{part:05d}.parquet": count for part, count in errors.items()}
    return fingerprint(identity.fingerprint, list(recordings), *([counts] if counts else []))
