"""What became of the recordings of a plan: gone, changed, labelled otherwise."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raudeep.credentials import public_column
from raudeep.schema import CONTENT, MODIFIED
from raudeep.storage.contents import Compared, compare, with_contents
from raudeep.storage.labels import said_labels, with_labels

__all__ = ["Changes"]

Rows = NDArray[np.bool_]


@dataclass(frozen=True)
class Changes:
    """Compares the recordings of a plan with a manifest."""

    before: pa.Table
    """As planned."""
    manifest: pa.Table
    """As they are today, with the columns of `with_times`."""

    @cached_property
    def today(self) -> pa.Table:
        """The recordings of the plan as they are today; nulls where they are gone."""
        names = self.manifest["file"].combine_chunks()
        return self.manifest.take(pc.index_in(self.before["file"], value_set=names))

    @cached_property
    def here(self) -> Rows:
        """Which are in the manifest."""
        return np.asarray(self.today["file"].is_valid().to_numpy())

    @cached_property
    def changed(self) -> Rows:
        """Which have another content."""
        return self._compared.changed

    @property
    def is_known(self) -> Rows:
        """Of which something was planned that tells the content."""
        return np.asarray(self.before[CONTENT.name].is_valid().to_numpy())

    @cached_property
    def touched(self) -> Rows:
        """Which have another content, or another time at the same place, as far as is known."""
        moved = pc.not_equal(self.before["uri"], public_column(self.today["uri"]))
        times = pc.not_equal(self.before[MODIFIED.name], self.today[MODIFIED.name])
        elsewhen = pc.fill_null(pc.and_(times, pc.invert(moved)), False)
        return np.asarray(self.changed | elsewhen.to_numpy())

    def describe(self, unmade: Collection[int]) -> list[str]:
        """Return a line on those that are gone, and one on those that changed, if any.

        Of those in parts that are yet to be made, none has changed.
        """
        made = ~np.isin(self.before["part"].to_numpy(), list(unmade))
        found = []
        for rows, what in (
            (~self.here, "are no longer in the corpus"),
            (self.changed & made, "changed since they were computed"),
        ):
            if rows.any():
                first = self.before["file"][int(np.flatnonzero(rows)[0])].as_py()
                found.append(f"{int(rows.sum())} recordings {what}, e.g. {first!r}")
        return found

    def planned(self, unmade: Collection[int]) -> pa.Table:
        """Return the recordings of the plan as they are planned now.

        Finished parts keep the contents of their rows; parts in `unmade` are planned with the
        contents of today. All get the labels, partitions and folds of today.
        """
        to_make = np.isin(self.before["part"].to_numpy(), list(unmade)) & self.here
        same = self.here & ~self.changed
        found = self._compared
        places = public_column(self.today["uri"])
        known = pa.table([places, found.modified, found.content], names=_STATE)
        planned = _put(self.before, known, same)
        anew = self.changed & to_make
        if anew.any():
            read = with_contents(self.today, anew).select(["bytes", *_STATE])
            planned = _put(planned, read, anew)
        return with_labels(planned, said_labels(self.manifest))

    @cached_property
    def _compared(self) -> Compared:
        return compare(self.before, self.today)


_STATE = ["uri", MODIFIED.name, CONTENT.name]


def _put(table: pa.Table, columns: pa.Table, rows: Rows) -> pa.Table:
    """Return a table with some rows of other columns in place of its own."""
    places = np.arange(table.num_rows) + np.where(rows, table.num_rows, 0)
    for name in columns.column_names:
        field = table.schema.field(name)
        both = pa.chunked_array([*table[name].chunks, *columns[name].cast(field.type).chunks])
        taken = both.take(pa.array(places)).combine_chunks()
        table = table.set_column(table.schema.get_field_index(name), field, taken)
    return table
