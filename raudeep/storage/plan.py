"""The plan of a table that is made from recordings: which recordings each part holds.

It lies in files that are written before any part of theirs: one for the recordings that a table
began with, one more for those of each later run that found new ones. So a table grows by parts, and
no value changes that is there. Where a part is yet to be made, or made again, its recordings are
planned as they are on that day; what is said of them, of all that are there, is planned anew.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count, takewhile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.credentials import public_column
from raudeep.errors import TableError
from raudeep.manifest import recordings_fingerprint
from raudeep.schema import CONTENT
from raudeep.storage import uri as uris
from raudeep.storage.changes import Changes
from raudeep.storage.contents import with_contents, with_times
from raudeep.storage.index import INDEX, TableFiles, table_files
from raudeep.storage.labels import LABELS, labels_fingerprint, said_labels, with_labels
from raudeep.storage.mending import drop_parts, planned_again
from raudeep.storage.plan_files import (
    PLAN,
    Plan,
    PlanFile,
    Slices,
    read_plans,
    readable_plans,
    write_plan,
)
from raudeep.storage.retries import to_try_again
from raudeep.storage.writer import TableWriter

__all__ = ["extend_plan", "relabel_plan"]

logger = logging.getLogger(__name__)

_WAITS = (0.0, 0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0)  # seconds, until a store lists what it holds


def extend_plan(
    writer: TableWriter,
    manifest: pa.Table,
    slices: Slices,
    *,
    overwrite: bool = False,
    retry_errors: bool = False,
) -> Plan:
    """Return the plan of a table, extended by the recordings of a manifest that are new to it.

    Recordings that changed since, or are gone, are reported; rows that were made of them stay.
    What has no row yet is planned as it is today, so that the fingerprints stand for what is
    computed; so is what is tried again (`to_try_again`). Labels, partitions and folds are
    planned as they are today also where there are rows, which take them over when the table is
    committed; a column of the manifest without any value says nothing.
    Another process may extend the same table at the same time: whose plan is there first counts.

    Parameters
    ----------
    writer : TableWriter
        Of the table.
    manifest : pa.Table
        The recordings.
    slices : Slices
        Cuts new recordings into parts.
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
        writer.forget(table_files(uris.list_files(writer.uri)).errors.keys())
    manifest = with_times(manifest)
    for wait in _WAITS:
        plan = _extended(writer, manifest, slices, overwrite=overwrite)
        if plan is not None:
            return plan
        time.sleep(wait)
    raise TableError(
        f"{writer.uri} holds a plan that its store does not list, or others write it all the time. "
        "Run the same command again later."
    )


def _extended(
    writer: TableWriter, manifest: pa.Table, slices: Slices, *, overwrite: bool
) -> Plan | None:
    """Return the extended plan; None where it has to be made again."""
    present = table_files(uris.list_files(writer.uri))
    found = readable_plans(writer.uri, present)
    if _mended(writer, present, found, manifest, slices):
        return None
    files = [found[number] for number in sorted(found)]
    changes = Changes(Plan.of_files(files).recordings, manifest)
    if not (overwrite and changes.changed.any()):
        again = to_try_again(writer.uri, present, changes)
        if again.any():
            said = "%s: %d recordings that could not be used can be read now, or have changed, and "
            logger.info(said + "are tried again.", writer.uri, int(again.sum()))
            writer.forget(changes.before["part"].filter(pa.array(again)).unique().to_pylist())
            present = table_files(uris.list_files(writer.uri))
    numbers = pc.unique(changes.before["part"]).to_pylist()
    unmade = [part for part in numbers if part not in present.parts]
    for change in (described := changes.describe(unmade)):
        what = "The table is made again" if overwrite else "Their rows stay, without --overwrite"
        logger.warning("%s: %s. %s.", writer.uri, change, what)
    if described and overwrite:
        writer.delete()
        return None
    files = _renewed(writer, files, changes, unmade)
    old = pc.is_in(manifest["file"], value_set=changes.before["file"].combine_chunks())
    new = manifest.filter(pc.invert(old))
    if new.num_rows:
        new = with_contents(_in_order(new))
        first = Plan.of_files(files).num_parts
        bounds = slices(new, is_first=not files)
        parts = np.repeat(np.arange(len(bounds)), [end - start for start, end in bounds]) + first
        file = _plan_of(new.append_column("part", pa.array(parts, pa.int32())))
        try:
            write_plan(writer, len(files), file, only_new=True)
        except FileExistsError:
            return None
        if files:
            logger.info("%s: %d new recordings", writer.uri, new.num_rows)
        files.append(file)
    plan = Plan.of_files(files)
    # Where a manifest says today that they lie counts: the corpus may have moved.
    row_of = pc.index_in(plan.recordings["file"], value_set=manifest["file"].combine_chunks())
    places = pc.coalesce(manifest["uri"].take(row_of), plan.recordings["uri"])
    position = PLAN.get_field_index("uri")
    recordings = plan.recordings.set_column(position, PLAN.field(position), places)
    return replace(plan, recordings=recordings.combine_chunks())


def relabel_plan(writer: TableWriter, manifest: pa.Table) -> Plan:
    """Return the plan of a table with the labels, partitions and folds of a manifest."""
    files = read_plans(writer.uri)
    labels = said_labels(manifest)
    planned = [with_labels(file.recordings, labels) for file in files]
    return Plan.of_files(_rewrite(writer, files, planned, [file.fingerprint for file in files]))


def _renewed(
    writer: TableWriter, files: Sequence[PlanFile], changes: Changes, unmade: Sequence[int]
) -> list[PlanFile]:
    """Return the files of a plan as they are to be, and write those that are not."""
    planned = changes.planned(unmade)
    to_make = np.isin(planned["part"].to_numpy(), unmade)
    # Where the drive was away when they were planned, contents are known only now.
    is_new = planned[CONTENT.name].is_valid().to_numpy() & ~changes.is_known
    anew, learned = (pa.array(to_make & rows) for rows in (changes.changed, is_new))
    tables, fingerprints, start = [], [], 0
    for file in files:
        end = start + file.recordings.num_rows
        tables.append(planned.slice(start, end - start))
        is_anew = pc.any(anew[start:end]).as_py() or (
            file.has_contents and pc.any(learned[start:end]).as_py()
        )
        fingerprints.append(recordings_fingerprint(tables[-1]) if is_anew else file.fingerprint)
        start = end
    return _rewrite(writer, files, tables, fingerprints)


def _rewrite(
    writer: TableWriter,
    files: Sequence[PlanFile],
    planned: Sequence[pa.Table],
    fingerprints: Sequence[str],
) -> list[PlanFile]:
    """Return the files of a plan with other recordings; those that differ are written."""
    found = []
    for number, (file, recordings) in enumerate(zip(files, planned, strict=True)):
        labels = file.labels
        if not recordings.select(LABELS).equals(file.recordings.select(LABELS)):
            labels = labels_fingerprint(recordings)
        found.append(PlanFile(recordings, fingerprints[number], labels))
        if not recordings.equals(file.recordings):
            write_plan(writer, number, found[-1])
    return found


def _mended(
    writer: TableWriter,
    present: TableFiles,
    plans: Mapping[int, PlanFile],
    manifest: pa.Table,
    slices: Slices,
) -> bool:
    """Make a file of the plan that was lost again; return whether anything had to be done.

    It is made of the parts that it spoke for. Those that cannot tell what it was are deleted.
    """
    whole = list(takewhile(plans.__contains__, count()))
    first = Plan.of_files([plans[number] for number in whole]).num_parts
    later = min((number for number in plans if number not in whole), default=None)
    is_whole = plans.keys() == present.plans.keys() and later is None
    if is_whole and max(present.parts, default=-1) < first:
        return False
    end = None if later is None else int(pc.min(plans[later].recordings["part"]).as_py())
    again = None
    if later in (None, len(whole) + 1):
        known = pa.concat_arrays(
            [plan.recordings["file"].combine_chunks() for plan in plans.values()]
            or [pa.array([], pa.string())]
        )
        is_known = pc.is_in(manifest["file"], value_set=known)
        rows = _in_order(manifest.filter(pc.invert(is_known)))
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
        write_plan(writer, len(whole), _plan_of(with_contents(again)))
    else:
        for number in present.plans:
            if number >= len(whole):
                uris.delete_file(uris.join(writer.uri, present.plans[number]))
    return True


def _plan_of(recordings: pa.Table) -> PlanFile:
    """Return the file of a plan that is new, of recordings with a column ``part``."""
    planned = recordings.cast(PLAN)
    return PlanFile(planned, recordings_fingerprint(planned), labels_fingerprint(planned))


def _in_order(recordings: pa.Table) -> pa.Table:
    """Return recordings as they lie in storage: those of a packed file follow each other."""
    keys = {"uri": public_column(recordings["uri"]), "file": recordings["file"]}
    ascending = [(name, "ascending") for name in keys]
    return recordings.take(pc.sort_indices(pa.table(keys), sort_keys=ascending))
