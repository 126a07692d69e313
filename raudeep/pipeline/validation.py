"""The invariants of a table, checked one by one, with every violation named."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.errors import TableError
from raudeep.storage.table import read_index, read_part
from raudeep.storage.uri import list_files

__all__ = ["RuleResult", "validate_table"]

_VALUES = ("embedding", "spectrogram", "probabilities")


@dataclass(frozen=True)
class RuleResult:
    """A rule and what breaks it."""

    rule: str
    violations: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "passed": not self.violations}


def validate_table(uri: str) -> list[RuleResult]:
    """Check a table of manifest, spectrograms or embeddings against the rules that hold for it.

    The index names what is on storage; keys are unique; all rows of a recording have the same
    label, partition and folds; recordings have equally many chunks, numbered from 0; values are
    finite and as many as the shape says. The rows are read part by part.

    Parameters
    ----------
    uri : str
        The table.

    Returns
    -------
    list of RuleResult
        One for each rule, with every violation.

    Raises
    ------
    TableError
        If there is no table.
    """
    index = read_index(uri)
    present = list_files(uri)
    storage: list[str] = []
    values: list[str] = []
    keys: Counter[tuple[str, int | None]] = Counter()
    seen: dict[str, dict[str, set[Any]]] = {
        name: defaultdict(set) for name in ("label", "partition", "folds")
    }
    for part in index.parts:
        try:
            rows = read_part(uri, part.name)
        except TableError as error:
            storage.append(str(error))
            continue
        if rows.num_rows != part.rows or present.get(part.name) != part.bytes:
            storage.append(
                f"{part.name} has {rows.num_rows} rows in {present.get(part.name)} bytes; the "
                f"index says {part.rows} rows in {part.bytes} bytes"
            )
        files = rows["file"].to_pylist()
        has_chunks = "chunk" in rows.column_names
        numbers = rows["chunk"].to_pylist() if has_chunks else [None] * len(files)
        keys.update(zip(files, numbers, strict=True))
        for name, recordings in seen.items():
            if name in rows.column_names:
                for file, value in zip(files, rows[name].to_pylist(), strict=True):
                    recordings[file].add(tuple(value) if isinstance(value, list) else value)
        values += _broken_values(rows, files, numbers)
    known = {part.name for part in (*index.parts, *index.errors)}
    strays = [
        name for name in present if name.startswith(("part-", "errors-")) and name not in known
    ]
    storage += [f"{name} is not in the index" for name in strays]
    results = [
        RuleResult("the parts are those of the index", storage),
        RuleResult(
            "every key (recording, chunk) is there once",
            [f"{_key(key)} is there {count} times" for key, count in keys.items() if count > 1],
        ),
    ]
    for name, recordings in seen.items():
        results.append(
            RuleResult(
                f"all rows of a recording have the same {name}",
                [
                    f"{file!r} has {' and '.join(sorted(map(repr, found)))}"
                    for file, found in recordings.items()
                    if len(found) > 1
                ],
            )
        )
    return [*results, *_chunk_rules(keys), RuleResult("values are finite and complete", values)]


def _chunk_rules(keys: Iterable[tuple[str, int | None]]) -> list[RuleResult]:
    chunks: dict[str, list[int]] = defaultdict(list)
    for file, chunk in keys:
        if chunk is not None:
            chunks[file].append(chunk)
    usual = Counter(map(len, chunks.values())).most_common(1)
    wanted = usual[0][0] if usual else 0
    counts = [
        f"{file!r} has {len(found)}, most have {wanted}"
        for file, found in chunks.items()
        if len(found) != wanted
    ]
    numbers = [
        f"{file!r} has {', '.join(map(str, sorted(found)[:10]))}"
        for file, found in chunks.items()
        if sorted(found) != list(range(len(found)))
    ]
    return [
        RuleResult("recordings have equally many chunks", counts),
        RuleResult("chunks are numbered from 0 without a gap", numbers),
    ]


def _broken_values(rows: pa.Table, files: list[str], numbers: list[int | None]) -> list[str]:
    broken = []
    for name in _VALUES:
        if name not in rows.column_names:
            continue
        shapes: list[tuple[int, ...]] = [()] * rows.num_rows
        if name == "spectrogram":
            sizes = (rows[size].to_pylist() for size in ("frames", "bands"))
            shapes = list(zip(*sizes, strict=True))
        for row, (shape, cell) in enumerate(zip(shapes, rows[name], strict=True)):
            values = cell.values.to_numpy(zero_copy_only=False)
            key = _key((files[row], numbers[row]))
            if not np.isfinite(values).all():
                broken.append(f"{key} has values that are not finite")
            if shape and len(values) != math.prod(shape):
                broken.append(f"{key} has {len(values)} values, not {' x '.join(map(str, shape))}")
    return broken


def _key(key: tuple[str, int | None]) -> str:
    return repr(key[0]) if key[1] is None else f"({key[0]!r}, {key[1]})"
