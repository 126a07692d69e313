"""Checks a table on storage against its index and its plan, and repairs it."""

from collections.abc import Iterator
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.errors import TableError
from raudeep.schema import read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.claim import claimed
from raudeep.storage.found import instead
from raudeep.storage.identity import Identity
from raudeep.storage.index import (
    INDEX,
    Part,
    TableFiles,
    TableIndex,
    file_kind,
    is_damaged_index,
    move_files,
    part_name,
    plan_name,
    read_index,
    table_files,
)
from raudeep.storage.mending import drop_parts
from raudeep.storage.plan_files import read_plan
from raudeep.storage.table import is_damage, read_part

__all__ = ["Fault", "verify_table"]

_THREADS = 4  # each holds a part
_KEY = ("file", "chunk")
_ROWS = "every part has its rows"
_UNKNOWN = -1  # rows of a part that no index lists


class Fault(NamedTuple):
    """A rule that a table breaks: in which file, and how."""

    rule: str
    name: str
    message: str


def verify_table(uri: str, *, repair: bool = False) -> list[Fault]:
    """Return the faults of a table; every part is read and compared with index and plan.

    Parameters
    ----------
    uri : str
        URI of the table.
    repair : bool
        Delete what is broken, and the index if it lists any of that, so that the command that made
        the table makes it again.

    Raises
    ------
    TableError
        If there is no table, nor a part of one.
    """
    if repair:
        move_files(uri)
    present = uris.list_files(uri)
    files = table_files(present)
    if not files.names:
        raise TableError(f"{uri} holds no table (no {INDEX}).{instead(uri, 'table', present)}")
    index: TableIndex | None = None
    faults: list[Fault] = []
    try:
        index = read_index(uri)
    except TableError as error:
        faults.append(Fault("the table is finished", files.index or INDEX, str(error)))
        if files.index and not is_damaged_index(uri):  # of another version, or of somebody else
            return faults
    planned, of_plan = _check_plan(uri, index, files)
    if index and len(planned) > len(index.parts):
        more = len(planned) - len(index.parts)
        said = f"{more} parts of new recordings are not finished; run the same command again"
        faults.append(Fault("the table is finished", files.index or INDEX, said))
    if index:
        faults += _check_files(index, present)
    faults += [*of_plan, *_check_content(uri, index, files, present, planned)]
    if repair and faults:
        _drop(uri, index, files, faults)
    return faults


def _drop(uri: str, index: TableIndex | None, files: TableFiles, faults: list[Fault]) -> None:
    """Delete broken files, in an order that the next run can mend after a kill at any moment.

    The index goes last, and only if it lists something that is gone: as long as it is there, each
    file that it lists is missing or as it should be. Where it is itself at fault, it goes first.
    """
    place = uris.join(uri, files.index or INDEX)
    if files.index and (index is None or any(fault.rule == _ROWS for fault in faults)):
        uris.delete_file(place)
    broken = {fault.name for fault in faults if fault.name != files.index and fault.rule != _ROWS}
    kinds = [file_kind(name) for name in broken if name != INDEX]
    drop_parts(uri, files, sorted({number for kind, number in kinds if kind != "plan"}))
    for number in [number for kind, number in kinds if kind == "plan"]:  # made again of the parts
        uris.delete_file(uris.join(uri, files.plans.get(number, plan_name(number))))
    listed = {part.name for part in [*index.parts, *index.errors]} if index else set()
    plans = len(index.recordings) if index else 0
    if broken & listed or any(kind == "plan" and number < plans for kind, number in kinds):
        uris.delete_file(place)


def _check_files(index: TableIndex, present: dict[str, int]) -> Iterator[Fault]:
    for part in [*index.parts, *index.errors]:
        if part.name not in present:
            yield Fault("every part is there", part.name, "is missing")
        elif present[part.name] != part.bytes:
            said = f"has {present[part.name]} bytes, {part.bytes} in the index"
            yield Fault("every part has its size", part.name, said)


def _check_content(
    uri: str,
    index: TableIndex | None,
    files: TableFiles,
    present: dict[str, int],
    planned: list[list[str]],
) -> Iterator[Fault]:
    """Read every part once, also those that no index lists, and hold only its keys."""
    known = [*index.parts, *index.errors] if index else []
    listed = {part.name: part for part in known}
    intact = [part for part in known if present.get(part.name) == part.bytes]
    intact += [
        Part(name, _UNKNOWN, present[name])
        for name in [*files.parts.values(), *files.errors.values()]
        if name not in listed
    ]
    owner = index.identity if index else claimed(uri)
    schema: pa.Schema | None = None
    keys: list[NDArray[np.uint64]] = []
    owners: list[NDArray[np.int64]] = []
    held: dict[int, list[pa.Array]] = {}
    whole: set[int] = set()
    broken = {file_kind(part.name)[1] for part in known if part not in intact}
    with ThreadPool(_THREADS) as pool:
        for part, found in zip(
            intact, pool.imap(lambda each: _read(uri, each), intact), strict=True
        ):
            if isinstance(found, str):
                broken.add(file_kind(part.name)[1])
                yield Fault("every part is readable", part.name, found)
                continue
            rows, columns = found
            if part.rows not in (_UNKNOWN, rows.num_rows):
                said = f"has {rows.num_rows} rows, {part.rows} in the index"
                yield Fault(_ROWS, part.name, said)
            kind, number = file_kind(part.name)
            held.setdefault(number, []).append(rows["file"].unique())
            owner = owner or _identity(columns)
            if said := _of_another(owner, index if part.name in listed else None, columns):
                yield Fault("every part is of the table", part.name, said)
            if kind == "errors":
                continue
            whole.add(number)
            bare = columns.remove_metadata()
            schema = schema or bare
            if bare != schema:
                yield Fault("every part has the same columns", part.name, "has other columns")
            if owner.stage != "predictions":  # which has one for each repeat
                keys.append(_hashes(rows))
                owners.append(np.full(rows.num_rows, number))
    yield from _duplicates(uri, keys, owners)
    for number, wanted in enumerate(planned):
        if number in whole - broken:
            said = _difference(set(wanted), held[number])
            if said:
                yield Fault("every recording is a row or an error", part_name(number), said)


def _read(uri: str, part: Part) -> tuple[pa.Table, pa.Schema] | str:
    """Read all of a part; return its keys and schema, or the reason why it cannot be read."""
    try:
        table = read_part(uri, part.name)
    except TableError as error:
        return _damage(error)
    return table.select([name for name in _KEY if name in table.column_names]), table.schema


def _identity(columns: pa.Schema) -> Identity:
    """Return the identity that a part keeps in its schema: stage, configuration, inputs."""
    stored = read_metadata(columns)
    return Identity(stored.get("stage", ""), stored.get("config", {}), stored.get("inputs", {}))


def _of_another(owner: Identity, index: TableIndex | None, columns: pa.Schema) -> str:
    """Return why a part belongs to another table, or nothing.

    One that the index lists may be of the table before it grew. Of others it is not known which
    inputs they are to be made of.
    """
    made = _identity(columns)
    if made == owner or (index and made.fingerprint in index.earlier):
        return ""
    if made != replace(owner, inputs=made.inputs):
        return "was made with another configuration"
    return "was made of other inputs" if index else ""


def _damage(error: TableError) -> str:
    """Return the fault of a file; raise if it only cannot be reached."""
    if not is_damage(error):
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
    uri: str, index: TableIndex | None, present: TableFiles
) -> tuple[list[list[str]], list[Fault]]:
    """Return the files of each part of the plan, as far as it is whole, and its faults.

    A table that is not made from recordings has none.
    """
    files: list[list[str]] = []
    known = len(index.recordings) if index else 0
    for number in range(max([known, *(each + 1 for each in present.plans)])):
        rule = "every file of the plan is readable"
        name = present.plans.get(number)
        if name is None:
            return files, [Fault(rule, plan_name(number), "is missing")]
        try:
            plan = read_plan(uri, name).recordings
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
