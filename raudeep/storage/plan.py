"""The plan of a table that is made from recordings: which recordings each part holds.

It lies in files that are written before any part of theirs: one for the recordings that a table
began with, one more for those of each later run that found new ones. So a table grows by parts, and
none that is there changes. Where a part is yet to be made, or made again, its recordings are
planned as large as they are on that day.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count, takewhile
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.credentials import public_column
from raudeep.errors import TableError
from raudeep.schema import MANIFEST, read_metadata, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.index import INDEX, TableFiles, plan_name, table_files
from raudeep.storage.mending import drop_parts, planned_again
from raudeep.storage.table import is_damage, read_part
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

_WAITS = (0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds, until a store lists what it holds
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
        If a store does not give a file of the plan, or has one that it does not list.
    """
    if retry_errors:
        writer.forget_errors()
    for wait in _WAITS:
        plan = _extended(writer, manifest, slices, fingerprint, overwrite=overwrite)
        if plan is not None:
            return plan
        time.sleep(wait)
    raise TableError(
        f"{writer.uri} holds a plan that its store does not list, or others write it all the time. "
        "Run the same command again later."
    )


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
    found = _readable_plans(writer.uri, present)
    if _mended(writer, present, found, manifest, slices, fingerprint):
        return None
    plans = [found[number] for number in sorted(found)]
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
        new = _in_order(new)
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


def _mended(
    writer: TableWriter,
    present: TableFiles,
    plans: Mapping[int, tuple[pa.Table, str]],
    manifest: pa.Table,
    slices: Slices,
    fingerprint: Callable[[pa.Table], str],
) -> bool:
    """Make a file of the plan that was lost again; return whether anything had to be done.

    It is made of the parts that it spoke for. Those that cannot tell what it was are deleted.
    """
    whole = list(takewhile(plans.__contains__, count()))
    first = _end(plans[whole[-1]][0]) if whole else 0
    later = min((number for number in plans if number not in whole), default=None)
    is_whole = plans.keys() == present.plans.keys() and later is None
    if is_whole and max(present.parts, default=-1) < first:
        return False
    end = None if later is None else int(pc.min(plans[later][0]["part"]).as_py())
    again = None
    if later in (None, len(whole) + 1):
        known = pa.concat_arrays(
            [plan["file"].combine_chunks() for plan, _ in plans.values()]
            or [pa.array([], pa.string())]
        )
        rows = manifest.select(MANIFEST.names)
        rows = _in_order(rows.filter(pc.invert(pc.is_in(rows["file"], value_set=known))))
        bounds = slices(rows, is_first=not whole)
        again = planned_again(writer.uri, present, rows, bounds, first, end)
    spoken_for = {*again["part"].to_pylist()} if again else set()
    others = [
        number
        for number in present.parts
        if number >= first
        and number not in spoken_for
        and (not again or end is None or number < end)
    ]
    logger.warning(
        "%s: a file of its plan was lost. %d parts say what it was and stay, %d are made again.",
        writer.uri,
        len(spoken_for & present.parts.keys()),
        len(others),
    )
    if others:  # it lists them
        uris.delete_file(uris.join(writer.uri, INDEX))
    drop_parts(writer.uri, present, others)
    if again:
        again = again.cast(_SCHEMA)
        writer.write_file(plan_name(len(whole)), _file_of(again, fingerprint(again)))
    else:
        for number in present.plans:
            if number >= len(whole):
                uris.delete_file(uris.join(writer.uri, present.plans[number]))
    return True


def _readable_plans(uri: str, present: TableFiles) -> dict[int, tuple[pa.Table, str]]:
    """Return the files of a plan that can be read, by their number."""
    found = {}
    for number, name in present.plans.items():
        try:
            found[number] = read_plan(uri, name)
        except TableError as error:
            if not is_damage(error):
                raise
    return found


def _in_order(recordings: pa.Table) -> pa.Table:
    """Return recordings as they lie in storage: those of a packed file follow each other."""
    keys = {"uri": public_column(recordings["uri"]), "file": recordings["file"]}
    ascending = [(name, "ascending") for name in keys]
    return recordings.take(pc.sort_indices(pa.table(keys), sort_keys=ascending))


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
