"""Whether a table on storage is what its index and its plan say, and how to make it so again."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.errors import TableError
from raudeep.schema import read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.index import (
    INDEX,
    Part,
    TableFiles,
    TableIndex,
    errors_name,
    file_kind,
    is_table,
    move_files,
    part_name,
    plan_name,
    read_index,
    table_files,
)
from raudeep.storage.plan import read_plan
from raudeep.storage.stores import StoreError
from raudeep.storage.table import read_part

__all__ = ["Fault", "verify_table"]

_THREADS = 4  # each holds a part
_KEY = ("file", "chunk")


class Fault(NamedTuple):
    """A rule that a table breaks: in which file, and how."""

    rule: str
    name: str
    message: str


def verify_table(uri: str, *, repair: bool = False) -> list[Fault]:
    """Return what is wrong with a table: every part is read and compared with index and plan.

    Parameters
    ----------
    uri : str
        URI of the table.
    repair : bool
        Delete the parts that are broken, and the index if any is, so that the command that made the
        table makes them again.

    Raises
    ------
    TableError
        If there is no table, nor a part of one.
    """
    if repair:
        move_files(uri)
    present = uris.list_files(uri)
    files = table_files(present)
    if files.index is None and 0 not in files.parts:
        raise TableError(f"{uri} holds no table (no {INDEX}).")
    place = files.index or INDEX
    try:
        index = read_index(uri)
    except TableError as error:
        if repair and files.index and not is_table(uri):
            uris.delete_file(uris.join(uri, files.index))
        return [Fault("the table is finished", place, str(error))]
    planned, faults = _check_plan(uri, index, files)
    if len(planned) > len(index.parts):
        more = len(planned) - len(index.parts)
        said = f"{more} parts of new recordings are not finished; run the same command again"
        faults.append(Fault("the table is finished", place, said))
    faults += [*_check_files(uri, index, present), *_check_content(uri, index, present, planned)]
    if repair and faults:
        _drop(uri, files, faults, planned)
    return faults


def _drop(uri: str, files: TableFiles, faults: list[Fault], planned: list[list[str]]) -> None:
    """Delete the index, the parts that are broken, and what no plan speaks for."""
    uris.delete_file(uris.join(uri, INDEX))
    broken = [file_kind(fault.name) for fault in faults if fault.name != INDEX]
    lost = [number for kind, number in broken if kind == "plan"]
    parts = {number for kind, number in broken if kind != "plan"}
    if lost:  # the plans after it continue its numbers
        numbers = files.parts.keys() | files.errors.keys()
        parts |= {number for number in numbers if number >= len(planned)}
        for number in [number for number in files.plans if number >= min(lost)]:
            uris.delete_file(uris.join(uri, plan_name(number)))
    for part in sorted(parts):
        for name in (part_name(part), errors_name(part)):
            uris.delete_file(uris.join(uri, name))


def _check_files(uri: str, index: TableIndex, present: dict[str, int]) -> Iterator[Fault]:
    for part in [*index.parts, *index.errors]:
        if part.name not in present:
            yield Fault("every part is there", part.name, "is missing")
        elif present[part.name] != part.bytes:
            said = f"has {present[part.name]} bytes, {part.bytes} in the index"
            yield Fault("every part has its size", part.name, said)


def _check_content(
    uri: str, index: TableIndex, present: dict[str, int], planned: list[list[str]]
) -> Iterator[Fault]:
    """Read every part once, and hold only its keys."""
    intact = [
        part for part in [*index.parts, *index.errors] if present.get(part.name) == part.bytes
    ]
    schema: pa.Schema | None = None
    keys: list[NDArray[np.uint64]] = []
    owners: list[NDArray[np.int64]] = []
    files: dict[int, list[pa.Array]] = {}
    with ThreadPoolExecutor(_THREADS) as pool:
        for part, found in zip(
            intact, pool.map(lambda each: _read(uri, each), intact), strict=True
        ):
            if isinstance(found, str):
                yield Fault("every part is readable", part.name, found)
                continue
            rows, columns = found
            if rows.num_rows != part.rows:
                said = f"has {rows.num_rows} rows, {part.rows} in the index"
                yield Fault("every part has its rows", part.name, said)
            kind, number = file_kind(part.name)
            files.setdefault(number, []).append(rows["file"].unique())
            if said := _of_another(index, columns):
                yield Fault("every part is of the table", part.name, said)
            if kind == "errors":
                continue
            bare = columns.remove_metadata()
            schema = schema or bare
            if bare != schema:
                yield Fault("every part has the same columns", part.name, "has other columns")
            if index.stage != "predictions":  # which has one for each repeat
                keys.append(_hashes(rows))
                owners.append(np.full(rows.num_rows, number))
    yield from _duplicates(uri, keys, owners)
    whole = {file_kind(part.name)[1] for part in intact if part in index.parts} & files.keys()
    for number, wanted in enumerate(planned):
        if number in whole:
            said = _difference(set(wanted), files[number])
            if said:
                yield Fault("every recording is a row or an error", part_name(number), said)


def _read(uri: str, part: Part) -> tuple[pa.Table, pa.Schema] | str:
    """Return keys and schema of a part, of which all is read; or why it cannot be."""
    try:
        table = read_part(uri, part.name)
    except TableError as error:
        return _damage(error)
    return table.select([name for name in _KEY if name in table.column_names]), table.schema


def _of_another(index: TableIndex, columns: pa.Schema) -> str:
    """Return why a part is of another table, or nothing: it may be of this one before it grew."""
    stored = read_metadata(columns)
    made = Identity(stored.get("stage", ""), stored.get("config", {}), stored.get("inputs", {}))
    if made == index.identity or made.fingerprint in index.earlier:
        return ""
    same = made == replace(index.identity, inputs=made.inputs)
    return "was made of other inputs" if same else "was made with another configuration"


def _damage(error: TableError) -> str:
    """Return what is wrong with a file; raise where the store has not given it."""
    if isinstance(error.__cause__, StoreError):
        raise error
    return str(error)


def _hashes(table: pa.Table) -> NDArray[np.uint64]:
    files = pd.util.hash_array(table["file"].to_numpy().astype(object))
    if "chunk" not in table.column_names:
        return np.asarray(files, np.uint64)
    chunks = np.asarray(table["chunk"].to_numpy(), np.uint64)
    return np.asarray(files * np.uint64(1_000_003) + chunks, np.uint64)


def _duplicates(
    uri: str, keys: list[NDArray[np.uint64]], owners: list[NDArray[np.int64]]
) -> Iterator[Fault]:
    if not keys:
        return
    values, parts = np.concatenate(keys), np.concatenate(owners)
    order = np.argsort(values, kind="stable")  # among equal keys the first part comes first
    repeated = order[1:][values[order][1:] == values[order][:-1]]
    for number in np.unique(parts[repeated]):
        table = read_part(uri, part_name(int(number)))
        table = table.select([name for name in _KEY if name in table.column_names])
        twice = np.isin(_hashes(table), values[repeated])
        row = table.slice(int(np.flatnonzero(twice)[0]), 1).to_pylist()[0]
        said = f"{int((parts[repeated] == number).sum())} keys are there twice, e.g. "
        said += repr(tuple(row.values()))
        yield Fault("every key is there once", part_name(int(number)), said)


def _check_plan(
    uri: str, index: TableIndex, present: TableFiles
) -> tuple[list[list[str]], list[Fault]]:
    """Return the files of each part of the plan, as far as it is whole, and what is wrong with it.

    A table that is not made from recordings has none.
    """
    files: list[list[str]] = []
    for number in range(max([len(index.recordings), *(each + 1 for each in present.plans)])):
        rule = "every file of the plan is readable"
        name = present.plans.get(number)
        if name is None:
            return files, [Fault(rule, plan_name(number), "is missing")]
        try:
            plan, _ = read_plan(uri, name)
        except TableError as error:
            return files, [Fault(rule, name, _damage(error))]
        for part, file in zip(plan["part"].to_pylist(), plan["file"].to_pylist(), strict=True):
            files += [[] for _ in range(part + 1 - len(files))]
            files[part].append(file)
    return files, []


def _difference(wanted: set[str], columns: list[pa.Array]) -> str:
    found = [set(column.to_pylist()) for column in columns]
    held: set[str] = set().union(*found)
    if missing := wanted - held:
        return f"{len(missing)} recordings are neither rows nor errors, e.g. {min(missing)!r}"
    if more := held - wanted:
        return f"{len(more)} recordings are not planned there, e.g. {min(more)!r}"
    if len(found) > 1 and (both := set.intersection(*found)):
        return f"{len(both)} recordings are rows and errors, e.g. {min(both)!r}"
    return ""
