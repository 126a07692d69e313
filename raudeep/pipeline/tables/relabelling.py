"""Other labels, partitions and folds for a table that is there; no other value changes."""

import time

import pyarrow as pa
import pyarrow.compute as pc

from raudeep.errors import TableError
from raudeep.pipeline.stage import StageSummary
from raudeep.storage.index import move_files
from raudeep.storage.labels import (
    LABELS,
    Labels,
    labels_fingerprint,
    said_labels,
    with_labels,
)
from raudeep.storage.opening import stored_identity
from raudeep.storage.plan import relabel_plan
from raudeep.storage.plan_files import labels_of_plan, read_plans
from raudeep.storage.table import read_table
from raudeep.storage.writer import TableWriter

__all__ = ["relabel_table"]

_REFUSED = {
    "manifest": "which says itself what its labels are. Make it again",
    "predictions": "which take labels from what they are made of. Relabel that, and run again",
}


def relabel_table(table: str, manifest: pa.Table) -> StageSummary:
    """Give the rows of a table the labels, partitions and folds of a manifest, in place.

    Recordings that the manifest does not name keep theirs, and so do all of them where a column of
    the manifest has no value. Run again after a kill, it goes on.

    Parameters
    ----------
    table : str
        URI of a table of recordings: spectrograms, embeddings, a pack.
    manifest : pa.Table
        The recordings, with names as in the column ``file`` of the table.

    Raises
    ------
    TableError
        If there is no finished table, its rows have no labels of their own, or the manifest names
        none of its recordings.
    """
    started = time.perf_counter()
    identity = stored_identity(table)
    if identity is None:
        raise TableError(f"{table} holds no table.")
    if identity.stage in _REFUSED:
        raise TableError(f"{table} is a table of {identity.stage}, {_REFUSED[identity.stage]}.")
    move_files(table)
    writer = TableWriter(table, identity)
    if read_plans(table):
        _check_names(table, [file.recordings for file in read_plans(table)], manifest)
        plan = relabel_plan(writer, manifest)
        index = writer.commit(
            plan.num_parts,
            recordings=plan.fingerprints,
            ends=plan.ends,
            labels=labels_of_plan(table),
        )
    else:
        rows = read_table(table, columns=["file", *LABELS])
        _check_names(table, [rows], manifest)
        said = said_labels(manifest)
        stands_for_all = labels_fingerprint(with_labels(rows, said))
        index = writer.relabel(Labels(stands_for_all, lambda _: said))
    return StageSummary.of_table("labels", table, index, made=0, started=started)


def _check_names(table: str, named: list[pa.Table], manifest: pa.Table) -> None:
    files = manifest["file"].combine_chunks()
    if any(pc.any(pc.is_in(rows["file"], value_set=files)).as_py() for rows in named):
        return
    there = next((rows["file"][0].as_py() for rows in named if rows.num_rows), None)
    raise TableError(
        f"the manifest names no recording of {table}. It has {files[0].as_py()!r}, the table has "
        f"{there!r}: the column 'file' must be the same."
    )
