"""The protocol of a table on storage: parts that appear whole, and an index that is written last.

A table is a directory. Its input is cut into slices; each slice yields exactly one part under a
deterministic name, and an errors part where an input of the slice failed. A slice is done
when its part is there, so that any run computes only what is missing and doing a slice twice
changes nothing. Every part carries the identity of the table, so that parts made with another
configuration are found before the index exists.
"""

import io
import json
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.pool import ThreadPool
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raudeep.config import fingerprint
from raudeep.credentials import public_column
from raudeep.errors import TableError
from raudeep.schema import SAMPLE_RATES, SCHEMA_VERSION, read_metadata, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.claim import claim
from raudeep.storage.identity import Identity, package_versions
from raudeep.storage.index import (
    INDEX,
    Part,
    TableIndex,
    errors_name,
    file_kind,
    part_name,
    read_index,
    table_files,
)
from raudeep.storage.labels import Labels, differing, label_columns, relabelled
from raudeep.storage.silence import silent_of
from raudeep.storage.table import (
    identity_of,
    is_damage,
    read_footer,
    read_identity,
    read_part,
)

__all__ = ["TableWriter"]

logger = logging.getLogger(__name__)

_THREADS = 16  # that wait for a store
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

    def as_stored(self, stored: Identity) -> "TableWriter":
        """Return the writer that goes on with a table whose identity, or past, is equal."""

        def kept(identity: Identity) -> Identity:
            return stored if identity == stored else replace(identity, config=stored.config)

        beginnings = tuple(map(kept, self.beginnings))
        return replace(self, identity=kept(self.identity), beginnings=beginnings)

    def missing(self, num_parts: int) -> list[int]:
        """Return the slices of 0 … `num_parts` - 1 that have no part of this table yet."""
        sizes = uris.list_files(self.uri)
        done = table_files(sizes).parts.keys() - self._unusable(sizes)
        return [part for part in range(num_parts) if part not in done]

    def write(self, part: int, table: pa.Table, errors: pa.Table | None = None) -> None:
        """Write the part of a slice, after the errors of that slice, if any."""
        if errors is not None and errors.num_rows:
            self.write_file(errors_name(part), errors)
        else:  # those of an attempt that was killed before it wrote its part
            self._claim()
            uris.delete_file(uris.join(self.uri, errors_name(part)))
        self.write_file(part_name(part), table)

    def forget(self, parts: Collection[int]) -> None:
        """Delete some parts, so that their slices are done again."""
        self._claim()
        for name in [INDEX, *map(part_name, parts)] if parts else []:
            uris.delete_file(uris.join(self.uri, name))

    def delete(self) -> None:
        """Delete the table; its place stays claimed."""
        self._claim()
        for name in table_files(uris.list_files(self.uri)).names:
            uris.delete_file(uris.join(self.uri, name))

    def commit(
        self,
        num_parts: int,
        *,
        recordings: Sequence[str] = (),
        ends: Sequence[int] = (),
        labels: Labels | None = None,
    ) -> TableIndex:
        """Write and return the index, once every slice has its part.

        A table with a plan says what stands for the recordings of each file of it, and how many
        parts there are up to its end. Where another process has finished a table that has grown
        further meanwhile, that index stays. Rows take over `labels`; without, they keep theirs.

        Raises
        ------
        TableError
            If a part is missing, or of another table, or the place was claimed for one.
        """
        self._claim()
        sizes = uris.list_files(self.uri)
        names = [part_name(part) for part in range(num_parts)]
        if absent := [name for name in names if name not in sizes]:
            raise TableError(f"{self.uri}: {len(absent)} parts are missing, e.g. {absent[0]}")
        before = self._index_before(sizes)
        if labels is not None and self._take_over(labels, num_parts, sizes, before):
            sizes = uris.list_files(self.uri)
        error_names = [name for part in range(num_parts) if (name := errors_name(part)) in sizes]
        known = _known_files(before, sizes)
        sample_rates = set(before.sample_rates if before else ())
        unknown = [name for name in names + error_names if name not in known]
        with ThreadPool(_THREADS) as pool:
            places = [uris.join(self.uri, name) for name in unknown]
            footers = list(pool.imap(read_footer, places))
        for name, footer in zip(unknown, footers, strict=True):
            if not self.continues(identity_of(footer, where=self.uri)):
                raise TableError(
                    f"{self.uri}: another run has written {name} meanwhile, with another "
                    "configuration. Run the same command again."
                )
            schema = footer.schema.to_arrow_schema()
            known[name] = Part(name, footer.num_rows, sizes[name], silent_of(schema))
            sample_rates.update(read_metadata(schema).get(SAMPLE_RATES, []))

        def fingerprint_of(num_plans: int, end: int) -> str:
            planned = recordings[:num_plans]
            errors = {
                part: known[name].rows
                for part in range(end)
                if (name := errors_name(part)) in known
            }
            if before and before.identity == self.identity and _holds(before, planned, errors):
                return before.fingerprint  # which an earlier version may have made otherwise
            return _content_fingerprint(self.identity, planned, errors)

        grown = [fingerprint_of(number, end) for number, end in enumerate(ends[:-1], start=1)]
        index = TableIndex(
            schema_version=SCHEMA_VERSION,
            stage=self.identity.stage,
            config=self.identity.config,
            inputs=self.identity.inputs,
            fingerprint=fingerprint_of(len(recordings), num_parts),
            versions=package_versions(),
            parts=[known[name] for name in names],
            errors=[known[name] for name in error_names],
            recordings=list(recordings),
            sample_rates=sorted(sample_rates),
            earlier=grown or [beginning.fingerprint for beginning in self.beginnings],
            labels=_labels_of(before) if labels is None else labels.fingerprint,
        )
        if INDEX in sizes and index.fingerprint in (further := read_index(self.uri)).earlier:
            return further
        self._write_index(index)
        return index

    def _write_index(self, index: TableIndex) -> None:
        content = json.dumps(asdict(index), indent=1, sort_keys=True)
        self._claim()
        uris.write_bytes(uris.join(self.uri, INDEX), content.encode())

    def relabel(self, labels: Labels) -> TableIndex:
        """Return the index of a finished table without a plan, whose rows take over `labels`.

        It stays until the new one is there: nothing else knows what the table was made from.
        """
        index = read_index(self.uri)
        sizes = uris.list_files(self.uri)
        if self._take_over(labels, len(index.parts), sizes, index):
            sizes = uris.list_files(self.uri)
        parts = [replace(part, bytes=sizes[part.name]) for part in index.parts]
        index = replace(index, parts=parts, labels=labels.fingerprint)
        self._write_index(index)
        return index

    def write_file(
        self,
        name: str,
        table: pa.Table,
        *,
        only_new: bool = False,
        identity: Identity | None = None,
    ) -> None:
        """Write a Parquet file of the table, with the identity of the table in its schema.

        With `only_new`, `FileExistsError` is raised where there is one of this name. `identity` is
        that of a part which was made before the table grew.
        """
        made_from = identity or self.identity
        metadata = {
            **read_metadata(table.schema),
            "schema_version": SCHEMA_VERSION,
            "stage": made_from.stage,
            "config": made_from.config,
            "inputs": made_from.inputs,
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
        self._claim()
        uris.write_bytes(uris.join(self.uri, name), buffer.getvalue(), only_new=only_new)

    def _claim(self) -> None:
        """Claim the place, or raise `TableError` where it is claimed for another table."""
        claim(self.uri, self.identity, continues=self.continues)

    def _take_over(
        self,
        labels: Labels,
        num_parts: int,
        sizes: Mapping[str, int],
        index: TableIndex | None,
    ) -> bool:
        """Rewrite the parts that say anything else than `labels`, and return whether there are any.

        The index goes first: a run that is killed leaves a table that is unfinished, whose parts
        are whole, and the next one goes on. It stays where nothing else knows what it says.
        """
        if labels.fingerprint is None and (index is None or index.labels is None):
            return False  # of an earlier version, which had no others
        same = index is not None and index.labels == labels.fingerprint
        known = {part.name: part.bytes for part in index.parts} if index and same else {}
        names = {part: part_name(part) for part in range(num_parts)}
        parts = [part for part, name in names.items() if known.get(name) != sizes[name]]

        def find(part: int) -> set[str]:
            names_there = read_footer(uris.join(self.uri, names[part])).schema.to_arrow_schema()
            columns = ["file", *label_columns(names_there.names)]
            rows = read_part(self.uri, names[part], columns=columns)
            return differing(rows, labels.of_part(part))

        with ThreadPool(_THREADS) as pool:
            differ = dict(zip(parts, pool.imap(find, parts), strict=True))
        found = {part: files for part, files in differ.items() if files}
        if not found:
            return False
        if index is not None and self._is_made_as_today(index):
            uris.delete_file(uris.join(self.uri, INDEX))
        for part in found:
            rows = relabelled(read_part(self.uri, names[part]), labels.of_part(part))
            made_from = read_identity(self.uri, names[part])
            self.write_file(names[part], rows, identity=made_from)
        logger.info(
            "%s: labels, partitions or folds of %d recordings changed: taken over.",
            self.uri,
            len(set().union(*found.values())),
        )
        return True

    def _is_made_as_today(self, index: TableIndex) -> bool:
        """Return whether the fingerprint of a table with a plan would be made again as it is."""
        errors = {file_kind(part.name)[1]: part.rows for part in index.errors}
        made = _content_fingerprint(self.identity, index.recordings, errors)
        return bool(index.recordings) and made == index.fingerprint

    def _unusable(self, sizes: Mapping[str, int]) -> set[int]:
        """Return the slices whose files are there and are not of this table, or not whole.

        A run that lost its claim left them, or one that was killed before a source had grown. What
        the index lists was read before.
        """
        files = table_files(sizes)
        known = _known_files(self._index_before(sizes), sizes)
        names = [
            (part, name)
            for found in (files.parts, files.errors)
            for part, name in found.items()
            if name not in known
        ]
        with ThreadPool(_THREADS) as pool:
            usable = list(pool.imap(self._is_usable, [name for _, name in names]))
        return {part for (part, _), is_usable in zip(names, usable, strict=True) if not is_usable}

    def _is_usable(self, name: str) -> bool:
        """Return whether a file is of this table; `TableError` where nobody can tell."""
        try:
            return self.continues(read_identity(self.uri, name))
        except TableError as error:
            if error.__cause__ and not is_damage(error):
                raise
            return False

    def _index_before(self, sizes: Mapping[str, int]) -> TableIndex | None:
        """Return the index that is there of the table, finished before."""
        index = read_index(self.uri) if INDEX in sizes else None
        return index if index and self.continues(index.identity) else None


def _labels_of(index: TableIndex | None) -> str | None:
    return None if index is None else index.labels


def _known_files(index: TableIndex | None, sizes: Mapping[str, int]) -> dict[str, Part]:
    """Return each file that an index knows as it is there."""
    known = [*index.parts, *index.errors] if index else []
    return {part.name: part for part in known if sizes.get(part.name) == part.bytes}


def _holds(index: TableIndex, recordings: Sequence[str], errors: Mapping[int, int]) -> bool:
    """Return whether a table was made of recordings of which so many of each part are errors."""
    known = {file_kind(part.name)[1]: part.rows for part in index.errors}
    return index.recordings == list(recordings) and known == errors


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
