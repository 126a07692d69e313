"""The files of a table's plan, as they lie on storage: which recordings each part holds.

They are extended in `raudeep.storage.plan`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raudeep.config import fingerprint
from raudeep.errors import TableError
from raudeep.schema import CONTENT, MANIFEST, MODIFIED, read_metadata, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.index import TableFiles, plan_name, table_files
from raudeep.storage.labels import Labels
from raudeep.storage.table import is_damage, read_part
from raudeep.storage.writer import TableWriter

__all__ = [
    "PLAN",
    "Plan",
    "PlanFile",
    "Slices",
    "labels_of_plan",
    "planned_uri",
    "read_plan",
    "read_plans",
    "readable_plans",
    "write_plan",
]

PLAN = pa.schema([*MANIFEST, MODIFIED, CONTENT, pa.field("part", pa.int32(), nullable=False)])
"""The columns of a file of a plan."""


@dataclass(frozen=True)
class Plan:
    """The recordings of a table in the order of its rows, with a column ``part``."""

    recordings: pa.Table
    fingerprints: tuple[str, ...]
    """One for each file of the plan; they stand for its recordings."""
    ends: tuple[int, ...]
    """How many parts there are up to the end of each file of the plan."""
    labels: str | None = None
    """Stands for labels, partitions and folds, where the fingerprints do not."""

    @classmethod
    def of_files(cls, files: Sequence["PlanFile"]) -> "Plan":
        """Return the plan that lies in some files."""
        recordings = [file.recordings for file in files] or [PLAN.empty_table()]
        labels = [file.labels for file in files]
        return cls(
            pa.concat_tables(recordings).combine_chunks(),
            tuple(file.fingerprint for file in files),
            tuple(int(pc.max(file.recordings["part"]).as_py()) + 1 for file in files),
            fingerprint(labels) if any(labels) else None,
        )

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


class PlanFile(NamedTuple):
    """A file of a plan."""

    recordings: pa.Table
    fingerprint: str
    """Stands for the recordings."""
    labels: str | None
    """Stands for their labels; None in a file of an earlier version, whose fingerprint does."""
    has_contents: bool = True
    """Whether it was written with their contents; not by an earlier version."""


class Slices(Protocol):
    """How recordings are cut into parts."""

    def __call__(self, recordings: pa.Table, *, is_first: bool) -> list[tuple[int, int]]:
        """Return the bounds of the parts of recordings, the first of a table or further ones."""


def labels_of_plan(uri: str) -> Labels:
    """Return the labels that the rows of a table must have, from its plan on storage."""
    plan = Plan.of_files(read_plans(uri))
    return Labels(plan.labels, plan.slice)


def read_plans(uri: str) -> list[PlanFile]:
    """Return the files of a table's plan."""
    return [read_plan(uri, name) for name in table_files(uris.list_files(uri)).plans.values()]


def planned_uri(uri: str, file: str) -> str | None:
    """Return the URI of the recording `file` of a table; None if no plan tells."""
    for name in table_files(uris.list_files(uri)).plans.values():
        rows = read_part(uri, name, columns=["file", "uri"])
        found = rows.filter(pc.equal(rows["file"], file))["uri"]
        if len(found):
            return str(found[0])
    return None


def read_plan(uri: str, name: str) -> PlanFile:
    """Return a file of a plan.

    Raises
    ------
    TableError
        If it is damaged.
    """
    table = read_part(uri, name)
    said = read_metadata(table.schema)
    has_contents = CONTENT.name in table.column_names
    for field in (MODIFIED, CONTENT):  # which a plan of an earlier version has not
        if field.name not in table.column_names:
            position = PLAN.get_field_index(field.name)
            table = table.add_column(position, field, pa.nulls(table.num_rows, field.type))
    recordings = table.replace_schema_metadata(None).cast(PLAN)
    return PlanFile(recordings, str(said["recordings"]), said.get("labels"), has_contents)


def readable_plans(uri: str, present: TableFiles) -> dict[int, PlanFile]:
    """Return the files of a plan that can be read, by their number."""
    found = {}
    for number, name in present.plans.items():
        try:
            found[number] = read_plan(uri, name)
        except TableError as error:
            if not is_damage(error):
                raise
    return found


def write_plan(writer: TableWriter, number: int, file: PlanFile, *, only_new: bool = False) -> None:
    """Write a file of a plan; with `only_new`, raise `FileExistsError` if it exists."""
    said = {"recordings": file.fingerprint} | ({"labels": file.labels} if file.labels else {})
    schema = with_metadata(PLAN, said)
    table = file.recordings.replace_schema_metadata(schema.metadata)
    writer.write_file(plan_name(number), table, only_new=only_new)
