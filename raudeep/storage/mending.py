"""Removes files of a table that a power cut or a disc has damaged, so that they are recomputed.

Nothing that can be read is lost: a plan is made of the parts, and an index of both.
"""

import logging
from collections.abc import Iterable
from functools import partial
from multiprocessing.pool import ThreadPool

import pyarrow as pa
import pyarrow.compute as pc

from raudeep.storage import uri as uris
from raudeep.storage.index import (
    TableFiles,
    errors_name,
    is_damaged_index,
    part_name,
    read_index,
    table_files,
)
from raudeep.storage.table import is_readable, read_part

__all__ = ["drop_damaged", "drop_parts", "files_of_part", "planned_again"]

logger = logging.getLogger(__name__)

_READERS = 16


def drop_damaged(uri: str) -> None:
    """Delete unreadable files of a table, so that its command recomputes them."""
    sizes = uris.list_files(uri)
    files = table_files(sizes)
    index = None if files.index is None or is_damaged_index(uri) else read_index(uri)
    # A store has kept what it took. On a disc, what was once whole may be lost.
    listed = [*index.parts, *index.errors] if index and not uris.is_local(uri) else []
    known = {part.name for part in listed if sizes.get(part.name) == part.bytes}
    numbered = {
        name: number
        for kind in (files.parts, files.errors)
        for number, name in kind.items()
        if name not in known
    }
    names = [*numbered, *files.plans.values()]
    with ThreadPool(_READERS) as pool:
        readable = list(pool.imap(partial(is_readable, uri), names))
    lost = [name for name, is_whole in zip(names, readable, strict=True) if not is_whole]
    parts = sorted({numbered[name] for name in lost if name in numbered})
    drop_parts(uri, files, parts)
    for name in [name for name in lost if name not in numbered]:
        uris.delete_file(uris.join(uri, name))
    if files.index and index is None:
        uris.delete_file(uris.join(uri, files.index))
        lost.append(files.index)
    if lost:
        logger.warning(
            "%s: %d files could not be read, e.g. %s. What was lost with them is made again: %d "
            "parts.",
            uri,
            len(lost),
            lost[0],
            len(parts),
        )


def drop_parts(uri: str, files: TableFiles, parts: Iterable[int]) -> None:
    """Delete parts, each before the errors of its slice: without its part, a slice is not done."""
    for number in parts:
        for kind, name in ((files.parts, part_name(number)), (files.errors, errors_name(number))):
            uris.delete_file(uris.join(uri, kind.get(number, name)))


def planned_again(
    uri: str,
    files: TableFiles,
    recordings: pa.Table,
    bounds: list[tuple[int, int]],
    first: int,
    end: int | None,
) -> pa.Table | None:
    """Return the recordings of parts whose plan was lost, with a column ``part``.

    Parameters
    ----------
    uri : str
        URI of the table.
    files : TableFiles
        Which of its files are there.
    recordings : pa.Table
        Those that no other plan has, in the order in which they are planned.
    bounds : list of tuple
        Where they would be cut today.
    first, end : int
        Of the parts; None where no plan follows.

    Returns
    -------
    table or None
        All recordings as they would be planned today, if the parts that are there hold just these;
        else the recordings of the parts that follow each other from the first on. None if there are
        none, or fewer than up to `end`.
    """
    there = sorted(number for number in files.parts if first <= number < (end or number + 1))
    held = {number: files_of_part(uri, files, number) for number in there}
    planned = {
        first + number: {*recordings["file"].slice(begin, stop - begin).to_pylist()}
        for number, (begin, stop) in enumerate(bounds)
    }
    as_today = end is None or len(bounds) == end - first
    if not (as_today and all(planned.get(number) == held[number] for number in there)):
        known = {*recordings["file"].to_pylist()}
        planned = {}
        while (number := first + len(planned)) in held and held[number] <= known:
            planned[number] = held[number]
        if not planned or (end is not None and len(planned) < end - first):
            return None
    part_of = {file: number for number, names in planned.items() for file in names}
    parts = pa.array([part_of.get(file) for file in recordings["file"].to_pylist()], pa.int32())
    chosen = recordings.append_column("part", parts).filter(parts.is_valid())
    return chosen.take(pc.sort_indices(chosen["part"]))


def files_of_part(uri: str, files: TableFiles, number: int) -> set[str]:
    """Return the recordings that are rows or errors of a part."""
    found: set[str] = set()
    for kind in (files.parts, files.errors):
        if number in kind:
            found |= {*read_part(uri, kind[number], columns=["file"])["file"].to_pylist()}
    return found
