"""The plan of a table that is made from recordings: which recordings each part holds.

It lies in files that are written before any part of theirs: one for the recordings that a table
began with, one more for those of each later run that found new ones. So a table grows by parts, and
none that is there changes. Where a part is yet to be made, or made again, its recordings are
planned as large as they are on that day.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.credentials import public_column
from raudeep.errors import TableError
from raudeep.schema import MANIFEST, read_metadata, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.index import TableFiles, plan_name, table_files
from raudeep.storage.table import read_part
from raudeep.storage.writer import TableWriter

__all__ = [
    "Plan",
    "Slices",
    "extend_plan",
    "planned_uri",
    "read_plan",
    "read_plans",
]

logger = logging.getLogger(__name__)

_COMPARED = ("bytes", "label", "partition", "folds")


@dataclass(frozen=True)
class Plan:
    """The recordings of a table in the order of its rows, with a column ``part``."""

    recordings: pa.Table
    fingerprints: tuple[str, ...]
    """One for each file of the plan; they stand for its recordings."""
    ends: tuple[int, ...]
    """How many parts there are up to the end of each file of the plan."""

    @property
    def num_parts(self) -> int:
        """Parts of the whole table."""
        return self.ends[-1] if self.ends else 0

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Recordings of each part."""
        return tuple(int(count) for count in np.bincount(self._parts))

    def slice(self, part: int) -> pa.Table:
        """Return the recordings of a part."""
        start, end = np.searchsorted(self._parts, [part, part + 1])
        return self.recordings.slice(int(start), int(end - start)).drop_columns(["part"])

    @cached_property
    def _parts(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        return np.asarray(self.recordings["part"].to_numpy(), dtype=np.int32)


class Slices(Protocol):
    """How recordings are cut into parts."""

    def __call__(self, recordings: pa.Table, *, is_first: bool) -> list[tuple[int, int]]:
        """Return the bounds of the parts of recordings, the first of a table or further ones."""


def extend_plan(
    writer: TableWriter,
    manifest: pa.Table,
    slices: Slices,
    fingerprint: Callable[[pa.Table], str],
    *,
    overwrite: bool = False,
    retry_errors: bool = False,
) -> Plan:
    """Return the plan of a table, extended by the recordings of a manifest that are new to it.

    Recordings that changed since, or are gone, are reported; rows that were made of them stay.
    What has no row yet is planned with the size that it has today, so that the fingerprints stand
    for what is computed.
    Another process may extend the same table at the same time: whose plan is there first counts.

    Parameters
    ----------
    writer : TableWriter
        Of the table.
    manifest : pa.Table
        The recordings.
    slices : Slices
        Cuts new recordings into parts.
    fingerprint : callable
        ``fingerprint(recordings)``: what stands for them.
    overwrite : bool
        Make the table anew where recordings of it changed or are gone.
    retry_errors : bool
        Forget the parts in whose slices a recording could not be used.

    Raises
    ------
    TableError
        If a file of the plan is damaged or missing.
    """
    if retry_errors:
        writer.forget_errors()
    while True:
        plan = _extended(writer, manifest, slices, fingerprint, overwrite=overwrite)
        if plan is not None:
            return plan


def _extended(
    writer: TableWriter,
    manifest: pa.Table,
    slices: Slices,
    fingerprint: Callable[[pa.Table], str],
    *,
    overwrite: bool,
) -> Plan | None:
    """Return the extended plan; None where somebody else extended it meanwhile."""
    present = table_files(uris.list_files(writer.uri))
    if list(present.plans) != list(range(max(len(present.plans), int(0 in present.parts)))):
        if not overwrite:
            raise TableError(
                f"{writer.uri} has parts, but not the whole plan that says what they hold. Pass "
                "--overwrite to make the table again."
            )
        writer.delete()
        present = table_files(())
    plans = [read_plan(writer.uri, name) for name in present.plans.values()]
    for number, (table, _) in enumerate(plans):
        sized = _with_sizes_of_missing(table, manifest, present)
        if not sized.equals(table):
            plans[number] = sized, fingerprint(sized)
            writer.write_file(plan_name(number), _file_of(*plans[number]))
    before = pa.concat_tables([table for table, _ in plans] or [_SCHEMA.empty_table()])
    fingerprints = [found for _, found in plans]
    ends = [_end(table) for table, _ in plans]
    row_of = pc.index_in(before["file"], value_set=manifest["file"].combine_chunks())
    here = row_of.is_valid()
    # Made again, a table may find good what could not be used.
    failed = partial(_failed, writer.uri, () if overwrite else present.errors.values())
    changes = _changes(before, manifest, row_of, here, failed) if plans else []
    for change in changes:
        what = "The table is made again" if overwrite else "Their rows stay, without --overwrite"
        logger.warning("%s: %s. %s.", writer.uri, change, what)
    if changes and overwrite:
        writer.delete()
        return None
    old = pc.is_in(manifest["file"], value_set=before["file"].combine_chunks())
    new = manifest.select(MANIFEST.names).filter(pc.invert(old))
    # Where a manifest says today that they lie counts: the corpus may have moved. All else stays as
    # it was planned, or parts that are made later would have other labels and folds than the rest.
    places = pc.coalesce(manifest["uri"].take(row_of), before["uri"])
    recordings = before.set_column(_SCHEMA.get_field_index("uri"), "uri", places).cast(_SCHEMA)
    if new.num_rows:
        # As they lie in storage: those of a packed file follow each other.
        keys = {"uri": public_column(new["uri"]), "file": new["file"]}
        ascending = [(name, "ascending") for name in keys]
        new = new.take(pc.sort_indices(pa.table(keys), sort_keys=ascending))
        first = ends[-1] if ends else 0
        bounds = slices(new, is_first=not plans)
        parts = np.repeat(np.arange(len(bounds)), [end - start for start, end in bounds]) + first
        new = new.append_column("part", pa.array(parts, pa.int32())).cast(_SCHEMA)
        fingerprints.append(fingerprint(new))
        ends.append(_end(new))
        content = _file_of(new, fingerprints[-1])
        try:
            writer.write_file(plan_name(len(plans)), content, only_new=True)
        except FileExistsError:
            return None
        if len(plans):
            logger.info("%s: %d new recordings", writer.uri, new.num_rows)
        recordings = pa.concat_tables([recordings, new])
    return Plan(recordings.combine_chunks(), tuple(fingerprints), tuple(ends))


def read_plans(uri: str) -> list[tuple[pa.Table, str]]:
    """Return the files of a table's plan, each with the fingerprint of its recordings."""
    return [read_plan(uri, name) for name in table_files(uris.list_files(uri)).plans.values()]


def planned_uri(uri: str, file: str) -> str | None:
    """Return where the recording `file` of a table lies; None where no plan says so."""
    for name in table_files(uris.list_files(uri)).plans.values():
        rows = read_part(uri, name, columns=["file", "uri"])
        found = rows.filter(pc.equal(rows["file"], file))["uri"]
        if len(found):
            return str(found[0])
    return None


def read_plan(uri: str, name: str) -> tuple[pa.Table, str]:
    """Return a file of a plan, and the fingerprint of its recordings.

    Raises
    ------
    TableError
        If it is damaged.
    """
    table = read_part(uri, name)
    found = str(read_metadata(table.schema)["recordings"])
    return table.replace_schema_metadata(None).cast(_SCHEMA), found


_SCHEMA = MANIFEST.append(pa.field("part", pa.int32(), nullable=False))


def _end(planned: pa.Table) -> int:
    """Return how many parts there are up to the end of a file of a plan."""
    return int(pc.max(planned["part"]).as_py()) + 1


def _file_of(recordings: pa.Table, fingerprint: str) -> pa.Table:
    """Return the content of a file of a plan."""
    metadata = with_metadata(_SCHEMA, {"recordings": fingerprint}).metadata
    return recordings.replace_schema_metadata(metadata)


def _with_sizes_of_missing(planned: pa.Table, manifest: pa.Table, present: TableFiles) -> pa.Table:
    """Return planned recordings with today's sizes where their part is yet to be made."""
    parts = pc.unique(planned["part"]).to_pylist()
    missing = pa.array([part for part in parts if part not in present.parts], pa.int32())
    if not len(missing):
        return planned
    then = planned["bytes"]
    row_of = pc.index_in(planned["file"], value_set=manifest["file"].combine_chunks())
    # A manifest need not say the size.
    today = pc.coalesce(manifest["bytes"].take(row_of), then)
    unmade = pc.and_(pc.is_in(planned["part"], value_set=missing), then.is_valid())
    return planned.set_column(
        _SCHEMA.get_field_index("bytes"), "bytes", pc.if_else(unmade, today, then)
    ).cast(_SCHEMA)


def _failed(uri: str, names: Iterable[str]) -> pa.Array:
    """Return the recordings that are errors of a table, finished or not."""
    parts = [read_part(uri, name, columns=["file"])["file"] for name in names]
    return pa.array([file for part in parts for file in part.to_pylist()], pa.string())


def _changes(
    before: pa.Table,
    manifest: pa.Table,
    row_of: pa.Array,
    here: pa.Array,
    failed: Callable[[], pa.Array],
) -> list[str]:
    """Return which recordings are gone from the corpus, and which are not what they were.

    The size of one that `failed` says nothing: no row was made of it.
    """
    found = []
    gone = before["file"].filter(pc.invert(here))
    if len(gone):
        found.append(
            f"{len(gone)} recordings are no longer in the corpus, e.g. {gone[0].as_py()!r}"
        )
    files = before["file"].filter(here)
    then = before.select(_COMPARED).filter(here)
    now = manifest.select(_COMPARED).take(pc.drop_null(row_of))
    differs = np.zeros(then.num_rows, dtype=bool)
    for name in _COMPARED:
        if not then[name].equals(now[name]):
            pairs = zip(then[name].to_pylist(), now[name].to_pylist(), strict=True)
            unknown = name == "bytes"  # a manifest need not say the size
            changed = np.array([a != b and not (unknown and None in (a, b)) for a, b in pairs])
            if unknown and changed.any():
                changed &= ~pc.is_in(files, value_set=failed()).to_numpy()
            differs |= changed
    if differs.any():
        first = files[int(np.flatnonzero(differs)[0])].as_py()
        found.append(
            f"{int(differs.sum())} recordings changed since they were computed, e.g. {first!r}"
        )
    return found
