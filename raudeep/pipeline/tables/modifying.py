"""New tables from old ones: other folds or partitions, repeated rows.

The rows of a table are rewritten part by part; the values in them are never touched. What was done
is part of the inputs of the new table and not of its configuration, so that a model trained on the
old one takes the new one as well.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from raudeep.config import reject_text
from raudeep.config.evaluation import check_pattern
from raudeep.errors import EvaluationError, TableError
from raudeep.evaluation.stratified import stratified_folds, stratified_partitions
from raudeep.evaluation.upsampling import copy_name, repeats_of_class
from raudeep.pipeline.stage import StageSummary
from raudeep.schema import FILE_METADATA, PARTITIONS
from raudeep.storage.identity import Identity
from raudeep.storage.index import file_kind, read_index
from raudeep.storage.opening import open_table
from raudeep.storage.outputs import check_outputs
from raudeep.storage.table import read_part, read_table

__all__ = ["add_folds", "add_partitions", "remove_splits", "upsample_table"]

_TYPES = {field.name: field.type for field in FILE_METADATA}


def add_folds(
    table: str,
    output: str,
    *,
    num_folds: int,
    seed: int = 0,
    group_pattern: str | None = None,
    overwrite: bool = False,
) -> StageSummary:
    """Give every recording of a table a place in made folds, stratified by label.

    All chunks of a recording are in the same folds; recordings without a label are dealt out
    evenly.

    Parameters
    ----------
    table, output : str
        URIs of a table and of what becomes of it.
    num_folds : int >= 2
        Folds, each of which validates on its own share.
    seed : int >= 0
        Seed of the division.
    group_pattern : str, optional
        Recordings in whose names this regular expression finds the same (its first parenthesis, or
        all that it matches) are in the same folds, as those of a speaker or a session.
    overwrite : bool
        Replace a table of something else.

    Raises
    ------
    ConfigError
        If `group_pattern` is no regular expression.
    EvaluationError
        If there are to be fewer than two folds, `seed` is negative, a class has fewer recordings,
        or groups, than there are folds, or no name has the pattern.
    """
    if group_pattern is not None:
        check_pattern(group_pattern)
    keys = _keys(table)
    files = keys["file"].to_pylist()
    labels = keys["label"].to_pylist()
    made = stratified_folds(
        files, labels, num_folds=num_folds, seed=seed, group_pattern=group_pattern
    )
    values = dict(zip(files, map(list, made), strict=True))
    action = {"add_folds": num_folds, "seed": seed} | _grouped(group_pattern)
    return _set_column(table, output, action, "folds", values, overwrite=overwrite)


def add_partitions(
    table: str,
    output: str,
    *,
    shares: Mapping[str, float],
    seed: int = 0,
    group_pattern: str | None = None,
    overwrite: bool = False,
) -> StageSummary:
    """Divide the recordings of a table among partitions by their shares, stratified by label.

    All chunks of a recording are in the same partition, and no row is without one. With
    `group_pattern`, as `add_folds` takes it, the shares are those of groups.

    Raises
    ------
    ConfigError
        If `group_pattern` is no regular expression.
    EvaluationError
        If a name is not train, devel or test, a share is not positive and finite, `seed` is
        negative, a partition would be empty, or no name has the pattern.
    """
    if group_pattern is not None:
        check_pattern(group_pattern)
    strange = [name for name in shares if name not in PARTITIONS]
    if strange:
        raise EvaluationError(
            f"partitions are {', '.join(PARTITIONS)}. Got {', '.join(map(repr, strange))}."
        )
    shares = {name: shares[name] for name in PARTITIONS if name in shares}  # whatever their order
    keys = _keys(table)
    files = keys["file"].to_pylist()
    labels = keys["label"].to_pylist()
    made = stratified_partitions(
        files, labels, shares=shares, seed=seed, group_pattern=group_pattern
    )
    action = {"add_partitions": shares, "seed": seed} | _grouped(group_pattern)
    values = dict(zip(files, made, strict=True))
    return _set_column(table, output, action, "partition", values, overwrite=overwrite)


def _grouped(group_pattern: str | None) -> dict[str, str]:
    """Return what of a configuration says how recordings are grouped."""
    return {} if group_pattern is None else {"group_pattern": group_pattern}


def remove_splits(table: str, output: str, *, column: str, overwrite: bool = False) -> StageSummary:
    """Take the folds or the partitions (`column`: ``folds`` or ``partition``) from a table.

    Raises
    ------
    TableError
        If `column` is another one.
    """
    if column not in ("folds", "partition"):
        raise TableError(f"splits are in the columns 'folds' and 'partition'. Got {column!r}.")
    return _set_column(table, output, {"remove": column}, column, {}, overwrite=overwrite)


def upsample_table(
    table: str, output: str, *, partitions: Sequence[str] = (), overwrite: bool = False
) -> StageSummary:
    """Repeat the rows of each class as often as the largest class holds its number of rows.

    Rounded down, as in auDeep. The copies of a recording are called ``<file>.upsampled.<number>``.

    Parameters
    ----------
    table, output : str
        URIs.
    partitions : sequence of str
        Upsample the rows of these, and keep the others as they are; all without.
    overwrite : bool
        Replace a table that was made otherwise.

    Raises
    ------
    TableError
        If no row is in one of the partitions, no row has a label, or a recording has the name of a
        copy.
    """
    keys = _keys(table)
    present = set(keys["partition"].to_pylist())
    reject_text(partitions, "partitions")
    absent = [name for name in partitions if name not in present]
    if absent:
        raise TableError(f"{table} has no rows in partition {absent[0]!r}.")
    chosen = [
        label
        for label, partition in zip(
            keys["label"].to_pylist(), keys["partition"].to_pylist(), strict=True
        )
        if not partitions or partition in partitions
    ]
    if not any(label is not None for label in chosen):
        raise TableError(f"{table} has no labels to balance.")
    repeats = repeats_of_class(chosen)
    names = {copy_name(file, 1) for file in keys["file"].to_pylist()}
    if taken := sorted(names.intersection(keys["file"].to_pylist())):
        raise TableError(
            f"{table} has the recording {taken[0]!r}, which is what a copy would be called. "
            "Upsample the table that it was made of."
        )

    def change(part: pa.Table) -> pa.Table:
        rows = range(part.num_rows)
        columns = [part[name].to_pylist() for name in ("file", "label", "partition")]
        taken, names = [], []
        for row, file, label, partition in zip(rows, *columns, strict=True):
            times = repeats[label] if not partitions or partition in partitions else 1
            taken += [row] * times
            names += [file, *(copy_name(file, copy) for copy in range(1, times))]
        index = part.schema.get_field_index("file")
        made = part.take(pa.array(taken, pa.int64()))
        return made.set_column(index, part.schema.field(index), pa.array(names, pa.string()))

    action = {"upsample": sorted(partitions) or True}
    return _rewrite(table, output, action, change, overwrite=overwrite)


def _keys(table: str) -> pa.Table:
    if read_index(table).stage not in ("manifest", "spectrograms", "embeddings"):
        raise TableError(f"{table} is a table of {read_index(table).stage} and has no splits.")
    return read_table(table, columns=["file", "label", "partition"])


def _set_column(
    table: str,
    output: str,
    action: Mapping[str, Any],
    column: str,
    values: Mapping[str, Any],
    *,
    overwrite: bool,
) -> StageSummary:
    """Rewrite a table with the value of each recording in a column; none where it has none."""
    _keys(table)

    def change(part: pa.Table) -> pa.Table:
        made = pa.array([values.get(file) for file in part["file"].to_pylist()], _TYPES[column])
        index = part.schema.get_field_index(column)
        return part.set_column(index, part.schema.field(index), made)

    return _rewrite(table, output, action, change, overwrite=overwrite)


def _rewrite(
    table: str,
    output: str,
    action: Mapping[str, Any],
    change: Callable[[pa.Table], pa.Table],
    *,
    overwrite: bool,
) -> StageSummary:
    """Write a table whose parts are those of another one, changed.

    What becomes of a part may depend on all rows, so that it does not grow with the other one.
    """
    started = time.perf_counter()
    check_outputs([output], [table])
    index = read_index(table)
    done = json.dumps(action, sort_keys=True)
    inputs = {"source": index.fingerprint, "modified": done, **index.labelled}
    identity = Identity(index.stage, index.config, inputs)
    writer = open_table(output, identity, overwrite=overwrite)
    errors = {file_kind(part.name)[1]: part.name for part in index.errors}
    missing = writer.missing(len(index.parts))
    for part in missing:
        failed = errors.get(part)
        writer.write(
            part,
            change(read_part(table, index.parts[part].name)),
            None if failed is None else read_part(table, failed),
        )
    written = writer.commit(len(index.parts))
    return StageSummary.of_table(index.stage, output, written, made=len(missing), started=started)
