"""The recordings of an embeddings table that are nearest to a query.

``query -> compared with all rows, part by part -> nearest recordings``
``      -> index of the rows (usearch) -> compared with what it finds``
"""

import json
import logging
import mmap
import zlib
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.errors import ConfigError, EvaluationError, TableError
from raudeep.evaluation.neighbours import Metric, similarities
from raudeep.foreign import parse_json
from raudeep.pipeline.costs import Cost, check_memory
from raudeep.pipeline.stage import embedding_array
from raudeep.storage import uri as uris
from raudeep.storage.index import TableIndex, read_index
from raudeep.storage.outputs import check_kept
from raudeep.storage.staging import staging
from raudeep.storage.table import iterate_parts, read_part, read_schema, take_rows

__all__ = ["find_nearest", "plan_search"]

logger = logging.getLogger(__name__)

_COLUMNS = ("file", "chunk", "start", "end", "label")
_CHECKSUM = "checksum"
_BLOCK_BYTES = 2**24
_SURPLUS = 10  # rows that an index is first asked for, for each recording wanted

_SECONDS_PER_GB = 4.0  # of embeddings that are read and compared
_LONG_SECONDS = 30.0  # after which an index is worth its file
_LINK_BYTES = 400  # of a row in an index, beside its embedding

Vectors = NDArray[np.float32]


def find_nearest(
    table: str,
    queries: Vectors,
    *,
    num_results: int = 10,
    metric: Metric = "cosine",
    without: str | None = None,
    index: str | None = None,
) -> pd.DataFrame:
    """Return the recordings of a table that are nearest to any of the queries, nearest first.

    Rows whose embeddings are not finite are near to nothing, and left out.

    Parameters
    ----------
    table : str
        URI of an embeddings table.
    queries : ndarray, shape (Q, E)
        Embeddings of one sound. Those that are not finite are near to nothing.
    num_results : int
        Recordings to return; of each the chunk that is nearest.
    metric : {"cosine", "euclidean"}
        See `similarities`.
    without : str, optional
        File of a recording that is not looked for.
    index : str, optional
        Local file with an index of the rows, made where it is missing or of another table, and
        extended where the table grew. It finds nearly all of the nearest without reading the table.
        What it is of is in ``*.json`` beside it.

    Returns
    -------
    DataFrame
        Columns ``file``, ``chunk``, ``start``, ``end``, ``label``, ``query_chunk``, which of the
        queries is nearest, from 0, and ``score``, which is the cosine or the distance.

    Raises
    ------
    EvaluationError
        If the queries are not of the size of the rows, or none is finite.
    TableError
        If something else lies at `index`, or it cannot be written.
    """
    stored = read_index(table, stage="embeddings")
    size = read_schema(table).field("embedding").type.list_size
    if queries.ndim != 2 or queries.shape[1] != size:
        raise EvaluationError(
            f"{table} has embeddings of {size} values. Got queries of shape {queries.shape}."
        )
    numbers = np.flatnonzero(np.isfinite(queries).all(axis=1))
    if not len(numbers):
        raise EvaluationError("all queries hold NaN or infinite values.")
    queries = queries[numbers]
    columns = [*_COLUMNS, "embedding"]
    parts: Iterable[pa.Table]
    found = None
    if index is None:
        seconds = plan_search(table)["estimated_seconds"]
        if seconds > _LONG_SECONDS:
            logger.info(
                "All %d rows are compared, for about %.0f s. With --index FILE only the first "
                "search of a table reads all of it.",
                stored.rows,
                seconds,
            )
    else:
        wanted = num_results + (without is not None)
        found = _look_up(table, stored, queries, wanted, metric, index)
    every = map(itemgetter(1), iterate_parts(table, columns=columns))
    parts = every if found is None else [found]
    best = pd.DataFrame()
    for rows, vectors, usable in _with_vectors(table, parts):
        near = rows.select(_COLUMNS).to_pandas()[usable]
        scores, which = similarities(queries, vectors[usable], metric=metric)
        near["query_chunk"], near["score"] = numbers[which], scores
        near = near[near["file"] != without].nlargest(len(near), "score")
        best = pd.concat([best, near.drop_duplicates("file").head(num_results)])
        best = best.sort_values("score", ascending=False, kind="stable")
        best = best.drop_duplicates("file").head(num_results)
    if metric == "euclidean":
        best["score"] = -best["score"]
    return best.reset_index(drop=True)


def plan_search(table: str, *, index: str | None = None) -> dict[str, Any]:
    """Return what `find_nearest` would do with a table, and what it would cost.

    Parameters
    ----------
    table, index
        As `find_nearest` takes them.

    Returns
    -------
    dict
        Rows, memory, bytes of the index, seconds on one core without an index that is there.

    Raises
    ------
    ResourceError
        If the rows that are in memory at a time need more than there is.
    TableError
        If it is no table of embeddings.
    """
    stored = read_index(table, stage="embeddings")
    size = read_schema(table).field("embedding").type.list_size
    largest = max(part.rows for part in stored.parts)
    bytes_of_index = (4 * size + _LINK_BYTES) * stored.rows if index is not None else 0
    cost = Cost(
        rows=stored.rows,
        # A part as it is read, as an array, and what of it is finite.
        memory_bytes=12 * size * largest + bytes_of_index,
        estimated_seconds=_SECONDS_PER_GB * 4 * size * stored.rows / 1e9,
        output_bytes=bytes_of_index,
    )
    way_out = "Search without --index." if index is not None else "Search on a larger machine."
    check_memory(cost.memory_bytes, f"{table}: a search", way_out=way_out)
    return {"table": table, **cost.to_dict()}


def _with_vectors(
    table: str, parts: Iterable[pa.Table]
) -> Iterator[tuple[pa.Table, Vectors, NDArray[np.bool_]]]:
    """Yield rows, their embeddings, and which of these are finite; at the end warn of others."""
    others: list[str] = []
    for rows in parts:
        vectors = embedding_array(rows)
        usable = np.asarray(np.isfinite(vectors).all(axis=1))
        keys = rows.select(["file", "chunk"]).filter(pa.array(~usable)).to_pylist()
        others += [f"{key['file']!r} (chunk {key['chunk']})" for key in keys]
        yield rows, vectors, usable
    if others:
        logger.warning(
            "%s: %d row(s) left out, whose embeddings are not finite, e.g. %s",
            table,
            len(others),
            others[0],
        )


def _look_up(
    table: str, stored: TableIndex, queries: Vectors, wanted: int, metric: Metric, file: str
) -> pa.Table | None:
    """Return the rows that an index takes for the nearest, of as many recordings as are wanted.

    None where it does not find so many: one recording may have most rows of the table.
    """
    neighbours = _open_index(table, stored, queries.shape[1], metric, file)
    count = _SURPLUS * wanted
    while count < stored.rows:
        keys = np.unique(neighbours.search(queries, count).keys).astype(np.int64)
        rows = take_rows(table, stored, keys, columns=[*_COLUMNS, "embedding"])
        if len(rows["file"].unique()) >= wanted:
            return rows
        count *= 4
    return None


def _open_index(table: str, stored: TableIndex, size: int, metric: Metric, file: str) -> Any:
    """Return the index in a file, extended or made anew where it is not that of the table."""
    try:
        usearch = import_module("usearch.index")
    except ImportError as error:
        raise ConfigError("--index needs usearch. Run `pip install raudeep[search]`.") from error
    if not uris.is_local(file):
        raise ConfigError(f"--index is a file of this machine. Got {file!r}.")
    file = uris.absolute(file)
    check_kept(file)
    note = f"{file}.json"
    # Not half of that: imported vectors may have any scale.
    kept = {"metric": "cos" if metric == "cosine" else "l2sq", "dtype": "f32"}
    known = {"fingerprint": stored.fingerprint, "rows": stored.rows, **kept}
    neighbours = usearch.Index(ndim=size, **kept)
    said = _read_note(file, note, known) if uris.exists(file) or uris.exists(note) else {}
    # Of a damaged file usearch makes no error but a crash.
    is_whole = said.pop(_CHECKSUM, None) == _checksum(file)
    ends = np.cumsum([part.rows for part in stored.parts]).tolist()
    first = 0  # row that the index does not have
    grown = said.get("fingerprint") in stored.earlier and said.get("rows") in ends
    if said and not is_whole:
        logger.warning("the index %s is damaged, or of an earlier raudeep; it is made again.", file)
    elif said == known:
        neighbours.view(file)
        return neighbours
    elif grown and said.items() >= kept.items():
        neighbours.load(file)
        first = said["rows"]
    plan_search(table, index=file)  # it is made in memory
    place = Path(file)
    new = [part.name for part, end in zip(stored.parts, ends, strict=True) if end > first]
    columns = ["file", "chunk", "embedding"]
    try:
        with staging(str(place.parent), replacing=[place.name]) as folder:
            every = (read_part(table, name, columns=columns) for name in new)
            for _, vectors, usable in _with_vectors(table, every):
                neighbours.add(first + np.flatnonzero(usable), vectors[usable])
                first += len(vectors)
            neighbours.save(str(folder / place.name))
            uris.delete_file(file)  # so that the note is never that of another index
            content = known | {_CHECKSUM: _checksum(str(folder / place.name))}
            uris.write_bytes(note, json.dumps(content).encode())
    except (OSError, RuntimeError) as error:  # RuntimeError is what usearch raises
        raise TableError(f"cannot make the index {file}: {error}") from error
    return neighbours


def _read_note(file: str, note: str, known: Mapping[str, Any]) -> Any:
    """Return what the note of an index says; `TableError` unless it is one, with known names."""
    try:
        said = parse_json(uris.read_bytes(note), note)
    except (OSError, TableError):
        said = None
    if not isinstance(said, dict) or not {"fingerprint"} <= said.keys() <= {*known, _CHECKSUM}:
        raise TableError(
            f"--index {file} is not written over: {note} does not say that it is an index. Choose "
            "another file."
        )
    return {name: value for name, value in said.items() if isinstance(value, str | int)}


def _checksum(file: str) -> str | None:
    """Return what stands for the content of a local file, None where there is none, or it is empty.

    It is to be quicker than a search without an index: the sum of the sums of blocks.
    """
    try:
        with (
            Path(file).open("rb") as opened,
            mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
            memoryview(content) as view,
            ThreadPoolExecutor() as pool,
        ):
            starts = range(0, len(view), _BLOCK_BYTES)
            sums = list(pool.map(lambda start: _sum_of(view, start), starts))
    except (OSError, ValueError):  # the latter is said of an empty file
        return None
    return f"{zlib.crc32(repr(sums).encode()):08x}"


def _sum_of(view: memoryview, start: int) -> int:
    with view[start : start + _BLOCK_BYTES] as block:
        return zlib.crc32(block)
