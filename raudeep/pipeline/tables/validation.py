"""The invariants of a table, checked one by one, with every violation named."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from raudeep.errors import TableError
from raudeep.storage.index import read_index, table_files
from raudeep.storage.table import read_part
from raudeep.storage.uri import list_files

__all__ = ["RuleResult", "validate_table"]

_VALUES = ("embedding", "spectrogram", "probabilities")
_KEYS = ("file", "chunk", "fold", "repeat")

_Key = tuple[str, int | None, int | None, int | None]


@dataclass(frozen=True)
class RuleResult:
    """A rule and what breaks it."""

    rule: str
    violations: list[str]
    is_binding: bool = True
    """Whether the table was to follow it; else the violations are only worth knowing."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "passed": not (self.violations and self.is_binding)}


def validate_table(uri: str) -> list[RuleResult]:
    """Check a table of manifest, spectrograms, embeddings or predictions against its rules.

    The index names what is on storage; keys are unique; all rows of a recording have the same
    label, partition and folds; recordings have equally many chunks, numbered from 0; values are
    finite and as many as the shape says. Where the number of chunks follows the length of a
    recording, or the table does not say whether, other numbers are told and are no fault. The rows
    are read part by part.

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
    keys: Counter[_Key] = Counter()
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
        files, found = rows["file"].to_pylist(), _keys(rows)
        keys.update(found)
        for name, recordings in seen.items():
            if name in rows.column_names:
                for file, value in zip(files, rows[name].to_pylist(), strict=True):
                    recordings[file].add(tuple(value) if isinstance(value, list) else value)
        values += _broken_values(rows, found)
    known = {part.name for part in (*index.parts, *index.errors)}
    there = table_files(present)
    strays = {*there.parts.values(), *there.errors.values()} - known
    storage += [f"{name} is not in the index" for name in sorted(strays)]
    results = [
        RuleResult("the parts are those of the index", storage),
        RuleResult(
            "every key is there once",
            [f"{_name(key)} is there {count} times" for key, count in keys.items() if count > 1],
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
    fixed = index.stage != "predictions" and _fixes_chunks(index.config)
    return [
        *results,
        *_chunk_rules(keys, fixed=fixed),
        RuleResult("values are finite and complete", values),
    ]


def _fixes_chunks(config: Mapping[str, Any]) -> bool:
    """Return whether recordings of any length have equally many chunks in what `config` made."""
    if "imported" in config or config.get("readout") == "sparse-coding":
        return False
    if config.get("chunk_seconds") is not None and config.get("chunk_count") is None:
        return False
    # Joined chunks are one.
    return "fused_chunks" in config or all(map(_fixes_chunks, config.get("pieces", [])))


def _chunk_rules(keys: Iterable[_Key], *, fixed: bool) -> list[RuleResult]:
    chunks: dict[str, set[int]] = defaultdict(set)
    for file, chunk, *_ in keys:
        if chunk is not None:
            chunks[file].add(chunk)
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
        RuleResult("recordings have equally many chunks", counts, is_binding=fixed),
        RuleResult("chunks are numbered from 0 without a gap", numbers),
    ]


def _keys(rows: pa.Table) -> list[_Key]:
    """Return file, chunk, fold and repeat of each row, None where the table has no such column."""
    columns = (
        rows[name].to_pylist() if name in rows.column_names else [None] * rows.num_rows
        for name in _KEYS
    )
    return list(zip(*columns, strict=True))


def _broken_values(rows: pa.Table, keys: list[_Key]) -> list[str]:
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
            key = _name(keys[row])
            if not np.isfinite(values).all():
                broken.append(f"{key} has values that are not finite")
            if shape and len(values) != math.prod(shape):
                broken.append(f"{key} has {len(values)} values, not {' x '.join(map(str, shape))}")
    return broken


def _name(key: _Key) -> str:
    file, chunk, fold, repeat = key
    name = repr(file) if chunk is None else f"({file!r}, {chunk})"
    if repeat is None:
        return name
    return f"{name} of {'' if fold is None else f'fold {fold} and '}repeat {repeat}"
