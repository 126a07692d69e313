"""The manifest: the table of recordings that every run starts from.

It comes from a corpus layout (`raudeep.corpora`) or from a user's own CSV or Parquet file, and is
checked and summarised here. No audio is opened: what stands in it is what its owner wrote down.
"""

import difflib
import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from raudeep.config import fingerprint
from raudeep.errors import ManifestError
from raudeep.schema import MANIFEST, PARTITIONS

__all__ = [
    "Recording",
    "check_manifest",
    "complete_manifest",
    "fold_roles",
    "label_map",
    "manifest_fingerprint",
    "manifest_table",
    "parse_manifest",
    "read_text_columns",
    "summarise",
    "uri_of",
]

logger = logging.getLogger(__name__)

_OWN_URI = re.compile(r"/|[A-Za-z][A-Za-z0-9+.-]*://")
_ROLES = {"0": 0, "1": 1, "null": None}
Folds = tuple[int | None, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """One audio file and what its corpus says about it."""

    file: str
    uri: str
    label: str | None = None
    partition: str | None = None
    folds: Folds | None = None
    bytes: int | None = None


def fold_roles(fold: int, num_folds: int) -> Folds:
    """Return the roles of a recording that is valid (1) in `fold`, from 1, and train (0) else."""
    return tuple(int(number == fold) for number in range(1, num_folds + 1))


def uri_of(file: str, root: str, *, is_below: bool = False) -> str:
    """Return where a recording of the corpus at `root` lies; with `is_below` surely below it."""
    is_own = _OWN_URI.match(file) and not is_below
    return file if is_own else f"{root.rstrip('/')}/{file}"


def manifest_table(recordings: Iterable[Recording]) -> pa.Table:
    """Return `recordings` as a manifest, sorted by `file`.

    A name that is not valid UTF-8, which no table can hold, is escaped. Nothing is found under
    what it is then, so that the recording becomes an error where it is used.
    """
    rows = list(recordings)
    try:
        return _table_of(rows)
    except UnicodeEncodeError:
        escaped = [_escaped(row) for row in rows]
    strange = [new.uri for old, new in zip(rows, escaped, strict=True) if new != old]
    logger.warning(
        "%d of %d names are not valid UTF-8, e.g. '%s', and cannot be used. Rename them.",
        len(strange),
        len(rows),
        strange[0],
    )
    return _table_of(escaped)


def _table_of(recordings: Iterable[Recording]) -> pa.Table:
    ordered = sorted(recordings, key=lambda recording: recording.file)
    known = set(Recording.__dataclass_fields__)
    columns = [
        [getattr(row, name) for row in ordered] if name in known else [None] * len(ordered)
        for name in MANIFEST.names
    ]
    return pa.Table.from_pydict(dict(zip(MANIFEST.names, columns, strict=True)), MANIFEST)


def _escaped(recording: Recording) -> Recording:
    """Return a recording with escapes for what is not valid UTF-8 in its texts."""
    names = ("file", "uri", "label", "partition")
    texts = {name: getattr(recording, name) for name in names}
    escaped = {
        name: text.encode(errors="backslashreplace").decode()
        for name, text in texts.items()
        if text is not None
    }
    return replace(recording, **escaped)


def parse_manifest(content: bytes, *, name: str, root: str | None) -> pa.Table:
    """Return a user's CSV or Parquet manifest as a checked manifest, sorted by `file`.

    Parameters
    ----------
    content : bytes
        The file's content. It needs the column `file`; the other columns of a manifest may follow,
        and columns that are not of a manifest are ignored with a warning. Labels stay text. In
        CSV, `folds` is one role per fold, such as ``0 1 0``, with ``null`` for neither. Instead of
        `folds`, a column `fold` may number the one fold, from 1 or from 0, in which the recording
        is valid; where it is empty, the recording takes no part in any fold.
    name : str
        The file's name; its suffix, ``.csv`` or ``.parquet``, says what it is.
    root : str or None
        URI of the corpus, where recordings without a `uri`, or with a relative one, lie. A `file`
        that is an absolute path or has a scheme is its own URI.

    Raises
    ------
    ManifestError
        If the file cannot be read as this, or breaks a rule of `check_manifest`.
    """
    try:
        table = _read(content, name)
    except (pa.ArrowException, OSError) as error:
        raise _unusable(name, error) from error
    return complete_manifest(table, name=name, root=root)


def complete_manifest(table: pa.Table, *, name: str, root: str | None) -> pa.Table:
    """Return a table with some of the columns of a manifest as a checked one, sorted by `file`.

    It needs the column `file`; see `parse_manifest`.
    """
    if "file" not in table.column_names:
        raise ManifestError(f"{name}: a manifest needs the column 'file'.")
    try:
        columns = {
            field.name: table[field.name].cast(field.type)
            if field.name in table.column_names and field.name != "folds"
            else pa.nulls(table.num_rows, field.type)
            for field in MANIFEST
        }
        columns["file"] = columns["file"].fill_null("")
        columns["folds"] = _folds(table, columns["file"], name)
    except (pa.ArrowException, OverflowError) as error:
        raise _unusable(name, error) from error
    columns["uri"] = _locate(columns["file"], columns["uri"], name=name, root=root)
    manifest = pa.Table.from_pydict(columns, MANIFEST).sort_by("file")
    check_manifest(manifest, name=name)
    return manifest


def _locate(
    files: pa.ChunkedArray, uris: Any, *, name: str, root: str | None
) -> pa.ChunkedArray | pa.Array:
    """Return where each recording lies: its URI, or else its file, below the root if relative."""
    given = pc.fill_null(pc.not_equal(uris, ""), False)
    places = pc.if_else(given, uris, files)
    own = pc.match_substring_regex(places, f"^(?:{_OWN_URI.pattern})")
    if root is None:
        if lost := _rows(pc.invert(pc.or_(own, given))):
            raise ManifestError(
                f"{name}: recording {files[lost[0]].as_py()!r} has no 'uri' and there is no corpus "
                "root to look in. Name the root, or give absolute paths or a column 'uri'."
            )
        return places
    return pc.if_else(own, places, pc.binary_join_element_wise(root.rstrip("/"), places, "/"))


def _unusable(name: str, error: Exception) -> ManifestError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return ManifestError(f"{name}: not usable as a manifest: {reason}")


def check_manifest(table: pa.Table, *, name: str) -> None:
    """Raise one `ManifestError` that names the first ten violations of the manifest `table`.

    Every recording has a `file` of its own; a partition is train, devel or test; recordings with
    folds have equally many, each 0 (train), 1 (valid) or null (neither). Labels, partitions and
    folds may be missing from some recordings or from all.
    """
    if table.num_rows == 0:
        raise ManifestError(f"{name}: the manifest has no recordings.")
    files = table["file"]
    problems = [
        (row, f"the recording at {table['uri'][row].as_py()!r} has an empty 'file'")
        for row in _rows(pc.equal(files, ""))
    ]
    known = pc.is_in(table["partition"], value_set=pa.array([*PARTITIONS, None]))
    for row in _rows(pc.invert(known)):
        file, partition = files[row].as_py(), table["partition"][row].as_py()
        problems.append((row, f"{file!r} is in partition {partition!r}, not train, devel or test"))
    counts = files.value_counts()
    for each in counts.filter(pc.greater(counts.field("counts"), 1)).to_pylist():
        if file := each["values"]:
            times = "twice" if each["counts"] == 2 else f"{each['counts']} times"
            problems.append((pc.index(files, file).as_py(), f"{file!r} appears {times}"))
    folds = table["folds"].combine_chunks()
    lengths = pc.list_value_length(folds)
    if lengths.null_count < len(lengths):
        usual = pc.mode(lengths)[0]["mode"].as_py()
        for row in _rows(pc.not_equal(lengths, usual)):
            said = f"{files[row].as_py()!r} has {lengths[row]} folds, others have {usual}"
            problems.append((row, said))
    values = pc.list_flatten(folds)
    wrong = _rows(pc.and_(pc.not_equal(values, 0), pc.not_equal(values, 1)))
    for row in np.unique(pc.list_parent_indices(folds).to_numpy()[wrong]):
        file, got = files[int(row)].as_py(), folds[row].as_py()
        problems.append((int(row), f"{file!r} has folds {got}, which must be 0, 1 or null"))
    _refuse(problems, table.num_rows, name)


def manifest_fingerprint(manifest: pa.Table) -> str:
    """Return what stands for the recordings of a manifest: keys, sizes, labels and splits.

    Where the corpus lies is not part of it: a copy of a corpus gives the same tables.
    """
    columns = ("file", "bytes", "label", "partition", "folds")
    return fingerprint([manifest[name].to_pylist() for name in columns])


def label_map(table: pa.Table) -> list[str]:
    """Return the sorted distinct labels; a label's place in the list is its `label_id`."""
    return sorted(label for label in table["label"].unique().to_pylist() if label is not None)


def summarise(table: pa.Table) -> dict[str, Any]:
    """Return what a manifest holds, as plain values that JSON can carry.

    `folds_overlap` tells whether some recording with folds is valid in several of them or in none,
    so that scores over the folds do not count every recording once. `duration` (in seconds) is
    None where no recording has one.
    """
    folds = table["folds"].combine_chunks().drop_null()
    num_folds = len(folds[0]) if len(folds) else 0
    # -1 stands for neither; numpy has no null.
    roles = pc.fill_null(pc.list_flatten(folds), -1).to_numpy().reshape(len(folds), num_folds)
    durations = table["duration"].drop_null().to_numpy()
    durations = durations[np.isfinite(durations)]
    return {
        "recordings": table.num_rows,
        "labelled": table.num_rows - table["label"].null_count,
        "labels": _counts(table["label"]),
        "partitions": _counts(table["partition"]),
        "num_folds": num_folds,
        "folds": [
            {"train": int((roles[:, k] == 0).sum()), "valid": int((roles[:, k] == 1).sum())}
            for k in range(num_folds)
        ],
        "folds_overlap": bool(num_folds and ((roles == 1).sum(axis=1) != 1).any()),
        "without_folds": table.num_rows - len(folds),
        "bytes": pc.sum(table["bytes"]).as_py(),
        "duration": {
            "recordings": len(durations),
            "total_seconds": float(durations.sum()),
            "min_seconds": float(durations.min()),
            "max_seconds": float(durations.max()),
        }
        if len(durations)
        else None,
        "sample_rates": _counts(table["sample_rate"]),
        "channels": _counts(table["channels"]),
    }


def read_text_columns(
    content: bytes, wanted: Sequence[str], *, delimiter: str = ","
) -> tuple[pa.Table, list[str]]:
    """Return those of the `wanted` columns that a CSV has, as text, and the names of the others.

    Only an empty cell is null: labels such as ``NA`` or ``007`` are kept as they are written.
    """
    parse = pa.csv.ParseOptions(newlines_in_values=True, delimiter=delimiter)
    with pa.csv.open_csv(pa.BufferReader(content), parse_options=parse) as reader:
        names = reader.schema.names
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(wanted, pa.string()),
        include_columns=[name for name in names if name in wanted],
        null_values=[""],
        strings_can_be_null=True,
    )
    buffer = pa.BufferReader(content)
    table = pa.csv.read_csv(buffer, parse_options=parse, convert_options=convert)
    return table, [name for name in names if name not in wanted]


def _read(content: bytes, name: str) -> pa.Table:
    """Return the columns of a user's manifest that mean something, not yet of the right types."""
    known = [*MANIFEST.names, "fold"]
    if name.lower().endswith(".csv"):
        table, ignored = read_text_columns(content, known)
    elif name.lower().endswith(".parquet"):
        table = pa.parquet.read_table(pa.BufferReader(content))
        ignored = [column for column in table.column_names if column not in known]
        table = table.drop_columns(ignored)
    else:
        raise ManifestError(f"{name}: a manifest's name must end in '.csv' or '.parquet'.")
    twice = [column for column, n in Counter(table.column_names).items() if n > 1]
    if twice or {"fold", "folds"} <= set(table.column_names):
        raise ManifestError(
            f"{name}: a manifest has each column once, and 'fold' or 'folds', not both. "
            f"Got {', '.join(table.column_names)}."
        )
    if ignored:
        near = {column: difflib.get_close_matches(column, known, n=1) for column in ignored}
        shown = [f"{c!r} (meant {n[0]!r}?)" if n else repr(c) for c, n in near.items()]
        logger.warning("%s: ignored columns that no manifest has: %s", name, ", ".join(shown))
    return table


def _folds(table: pa.Table, files: pa.ChunkedArray, name: str) -> pa.Array | pa.ChunkedArray:
    """Return the roles of each recording, null for none, from a column `fold` or `folds`."""
    kind = MANIFEST.field("folds").type
    if "fold" in table.column_names:
        return pa.array(_numbered_folds(table["fold"].cast(pa.int64()).to_pylist(), name), kind)
    if "folds" not in table.column_names:
        return pa.nulls(table.num_rows, kind)
    column = table["folds"]
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.cast(kind)
    cells = [None if cell is None else cell.split() for cell in column.to_pylist()]
    problems = [
        (row, f"{files[row].as_py()!r} has folds {' '.join(cell)!r}, which must be 0, 1 or null")
        for row, cell in enumerate(cells)
        if cell and not _ROLES.keys() >= set(cell)
    ]
    _refuse(problems, table.num_rows, name)
    return pa.array([[_ROLES[role] for role in cell] if cell else None for cell in cells], kind)


def _numbered_folds(folds: list[int | None], name: str) -> list[Folds | None]:
    present = sorted({fold for fold in folds if fold is not None})
    first = 0 if present[:1] == [0] else 1
    # The check comes before the roles: one mistyped number must not make a million folds.
    if len(present) < 2 or present != list(range(first, first + len(present))):
        raise ManifestError(
            f"{name}: the column 'fold' must number two or more folds 1, 2, ... or 0, 1, ... "
            f"without a gap. Got {', '.join(map(str, present[:10])) or 'none'}."
        )
    roles: dict[int | None, Folds] = {
        fold: fold_roles(fold - first + 1, len(present)) for fold in present
    }
    roles[None] = (None,) * len(present)
    return [roles[fold] for fold in folds]


def _rows(mask: pa.Array) -> list[int]:
    """Return where `mask` is true; null is not true."""
    return [int(row) for row in np.flatnonzero(pc.fill_null(mask, False).to_numpy(False))]


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    """Return how often each value occurs, in sorted order, without nulls."""
    counts = Counter(value for value in column.to_pylist() if value is not None)
    return {str(value): counts[value] for value in sorted(counts)}


def _refuse(problems: list[tuple[int, str]], num_rows: int, name: str) -> None:
    """Raise for `problems`, pairs of row and text, if there are any."""
    if problems:
        problems = sorted(problems)
        invalid = len({row for row, _ in problems})
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise ManifestError(
            f"{name}: {invalid} of {num_rows} recordings {'is' if invalid == 1 else 'are'} "
            f"invalid: {'; '.join(text for _, text in problems[:10])}{more}."
        )
