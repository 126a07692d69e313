"""Many small recordings in few large Parquet files, which list and open quickly.

``slice of the plan -> processes that read -> a part with the bytes of each recording``

What is packed is read in place of the corpus; so are the ``Audio`` columns of Hugging Face
datasets, which look the same.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raudeep.audio.decode import Header, read_header
from raudeep.audio.opening import check_duration
from raudeep.config import Limits
from raudeep.credentials import public_uri
from raudeep.errors import AudioError, ManifestError, TableError
from raudeep.foreign import blamed, parse_json, typed
from raudeep.manifest import complete_manifest
from raudeep.parquet import footer_of, open_parquet, read_rows, size_of
from raudeep.pipeline.recordings.decoding import RecordingRow
from raudeep.pipeline.recordings.slice_worker import Taken
from raudeep.pipeline.recordings.slices import warn_of_errors, write_recordings
from raudeep.pipeline.stage import StageSummary
from raudeep.schema import MANIFEST, RECORDINGS
from raudeep.storage import uri as uris
from raudeep.storage.contents import content_of_checksum, with_known_contents
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table, stored_identity
from raudeep.storage.outputs import check_outputs
from raudeep.storage.plan import extend_plan
from raudeep.storage.recordings import (
    AUDIO,
    CRC32,
    has_checksums,
    holds_recordings,
    is_in_pack,
    packed_uris,
    packs_of,
    read_recording,
)
from raudeep.storage.table import read_footer
from raudeep.storage.writer import TableWriter

__all__ = ["is_packed", "load_content", "pack_corpus", "read_packed"]

_PART_BYTES = 256 * 2**20
_ROW_GROUP_BYTES = 2**20  # read at once for one of its recordings
_MOST_ROWS = 2**16
_MOST_BYTES = 2**30
_UNKNOWN_BYTES = 2**20  # that are counted for a recording whose size nobody says
_THREADS = 32  # that ask for sizes
_SECONDS_PER_RECORDING = 0.001
_WITHOUT_CHECKSUMS = Identity("recordings", {})  # as an earlier version packed; it may still grow


class _Content(NamedTuple):
    data: bytes
    header: Header | None
    """None where it is not audio, which is for those to find out who decode it."""


def pack_corpus(
    manifest: pa.Table, output: str, *, limits: Limits | None = None, overwrite: bool = False
) -> StageSummary:
    """Write the recordings of a corpus into a table, in parts of about 256 MB.

    Every stage takes the table in place of the corpus. It is made and extended part by part, as
    every table. What is no audio is packed as it is; what cannot be read, or is too long, is a row
    of the errors.

    Parameters
    ----------
    manifest : pa.Table
        The recordings; those of up to 1 GB each can be packed.
    output : str
        URI of the table.
    limits : Limits, optional
        Longest recording to take, and how many may fail.
    overwrite : bool
        Replace a table of something else.

    Raises
    ------
    AudioError
        If too many recordings could not be used, or none could.
    TableError
        If the output holds something else or cannot be written.
    """
    limits = limits or Limits()
    check_outputs([output], packs_of(manifest))
    identity = Identity("recordings", {"checksum": CRC32})
    if stored_identity(output) == _WITHOUT_CHECKSUMS:
        identity = _WITHOUT_CHECKSUMS
    writer = replace(
        open_table(output, identity, overwrite=overwrite), row_group_bytes=_ROW_GROUP_BYTES
    )
    plan = extend_plan(
        writer,
        manifest,
        _slices,
        overwrite=overwrite,
        retry_errors=limits.retry_errors,
    )
    summaries = write_recordings(
        "recordings",
        {output: writer},
        {output: plan},
        load=partial(load_content, max_duration=limits.max_duration),
        make_collector=lambda: _Packer(writer),
        seconds_per_recording=_SECONDS_PER_RECORDING,
        limits=limits,
    )
    warn_of_errors(summaries, [plan.recordings.num_rows])
    return summaries[0]


def load_content(
    recording: RecordingRow, *, max_duration: float | None = None
) -> Iterator[_Content]:
    """Yield the bytes of a recording with what they say of it."""
    data = read_recording(recording["uri"])
    if len(data) > _MOST_BYTES:
        raise AudioError(f"has {len(data)} bytes; packs are for recordings of up to 1 GB")
    try:
        header = read_header(data)
    except AudioError:
        header = None
    if header is not None:
        check_duration(header.duration, max_duration)
    yield _Content(data, header)


class _Packer:
    """Collects the recordings of a part."""

    def __init__(self, writer: TableWriter) -> None:
        self._writer = writer
        self._found: dict[int, _Content] = {}

    def begin(self, targets: Sequence[str]) -> None:
        self._found = {}

    def add(self, number: int, piece: _Content) -> Taken:
        self._found[number] = piece
        return Taken(piece.header.duration if piece.header else 0.0)

    def drop(self, number: int) -> None:
        self._found.pop(number, None)

    def unusable(self) -> Mapping[int, AudioError]:
        return {}

    def write(self, part: int, recordings: pa.Table, errors: pa.Table) -> None:
        known = recordings.take(pa.array(list(self._found), pa.int64()))
        found = list(self._found.values())
        columns: dict[str, Any] = {name: known[name] for name in MANIFEST.names}
        columns["bytes"] = [len(each.data) for each in found]
        for name in ("duration", "sample_rate", "channels"):
            columns[name] = [each.header and getattr(each.header, name) for each in found]
        kind = RECORDINGS.field(AUDIO).type
        data = pa.array([each.data for each in found], kind.field("bytes").type)
        files = known["file"].combine_chunks()
        columns[AUDIO] = pa.StructArray.from_arrays([data, files], fields=list(kind))
        columns[CRC32] = [zlib.crc32(each.data) for each in found]
        rows = pa.table(columns, schema=RECORDINGS)
        if self._writer.identity == _WITHOUT_CHECKSUMS:
            rows = rows.drop_columns([CRC32])
        self._writer.write(part, rows, errors)
        self._found = {}


def is_packed(uri: str) -> bool:
    """Return whether a Parquet file holds recordings."""
    return holds_recordings(_read_schema(uri))


def read_packed(places: Sequence[str], *, name: str, root: str) -> pa.Table:
    """Return the manifest of packed Parquet files; the recordings themselves are not read.

    Recordings are named by the column `file`, else by the path beside their bytes, else, where that
    is missing or not unique, by the file that holds them and their row. Numbers of a Hugging Face
    `ClassLabel` become its names.

    Parameters
    ----------
    places : sequence of str
        URIs of the Parquet files, all of the same columns.
    name : str
        What messages call them.
    root : str
        URI of the folder that they lie in or below, from which on a file names its recordings.

    Raises
    ------
    ManifestError
        If a file cannot be read, or the manifest breaks a rule.
    """
    tables = []
    contents: dict[str, str] = {}
    for place in places:
        schema = _read_schema(place)
        if not holds_recordings(schema):
            raise ManifestError(f"{place} holds no recordings, as other files beside it do.")
        wanted = [column for column in (*MANIFEST.names, "fold") if column in schema.names]
        checksum = [CRC32] if has_checksums(schema) else []
        path = [f"{AUDIO}.path"] if schema.field(AUDIO).type.get_field_index("path") >= 0 else []
        with blamed(f"{place} cannot be read", ManifestError), uris.open_file(place) as file:
            table = read_rows(
                open_parquet(file), size_of(file), columns=[*wanted, *path, *checksum]
            )
        rows = pa.array(packed_uris(place, table.num_rows), pa.string())
        if checksum:
            each = zip(rows.to_pylist(), table[CRC32].to_pylist(), strict=True)
            contents |= {uri: content_of_checksum(crc) for uri, crc in each if crc is not None}
        paths = table[AUDIO].combine_chunks().field("path") if path else pa.nulls(len(rows))
        table = table.select([column for column in wanted if column != "uri"])
        table = _named_labels(table, schema, place)
        table = table.append_column("path", paths.cast(pa.string())).append_column("uri", rows)
        tables.append(table.replace_schema_metadata(None))
    try:
        table = pa.concat_tables(tables)
    except pa.ArrowInvalid as error:
        raise ManifestError(f"{name}: its Parquet files differ in their columns.") from error
    if "file" not in table.column_names:
        paths = table["path"]
        unique = paths.null_count == 0 and len(paths.unique()) == len(paths)
        files = paths if unique else _row_names(table["uri"], root)
        table = table.append_column("file", files)
    manifest = complete_manifest(table.drop_columns(["path"]), name=name, root=None)
    return with_known_contents(manifest, contents)


def _row_names(rows: pa.ChunkedArray, root: str) -> pa.Array:
    folder = f"{public_uri(root).rstrip('/')}/"
    names = [public_uri(row).removeprefix(folder) for row in rows.to_pylist()]
    return pa.array(names, pa.string())


def _named_labels(table: pa.Table, schema: pa.Schema, place: str) -> pa.Table:
    """Return the table with the names of its labels, where they are numbers that have names.

    Raises
    ------
    ManifestError
        If one of the numbers has none.
    """
    try:
        described = parse_json((schema.metadata or {}).get(b"huggingface", b"null"), place)
        names = typed(list[str], described["info"]["features"]["label"]["names"], place)
    except (KeyError, TypeError, TableError):
        return table
    if "label" not in table.column_names or not pa.types.is_integer(table["label"].type):
        return table
    numbers = table["label"].to_pylist()
    highest = max((n for n in numbers if n is not None), default=-1)
    if highest >= len(names):
        raise ManifestError(
            f"{place}: labels that are numbers need a name each in their ClassLabel, which has "
            f"{len(names)}. Got {highest}. Name it, or write the labels as text."
        )
    labels = [names[n] if n is not None and n >= 0 else None for n in numbers]
    column = table.column_names.index("label")
    return table.set_column(column, "label", pa.array(labels, pa.string()))


def _read_schema(uri: str) -> pa.Schema:
    with blamed(f"{uri} cannot be read", ManifestError), uris.open_file(uri) as file:
        return footer_of(file).schema.to_arrow_schema()


def _row_sizes(pack: str) -> NDArray[np.int64]:
    """Return the bytes of each row of a packed file: the mean of its row group, from the footer."""
    try:
        footer = read_footer(pack)
    except TableError:  # whoever reads it will say why
        return np.empty(0, np.int64)
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    rows = [group.num_rows for group in groups]
    return np.repeat([group.total_byte_size for group in groups] // np.maximum(1, rows), rows)


def _size(uri: str, packed: Mapping[str, NDArray[np.int64]]) -> int:
    """Return the bytes of a recording, as far as they can be told without reading it."""
    if is_in_pack(uri):
        pack, _, row = uri.rpartition("#")
        known = packed[pack][int(row) : int(row) + 1]
        return int(known[0]) if len(known) else _UNKNOWN_BYTES
    try:
        size = uris.file_size(uri)
    except TableError:  # whoever reads it will say why
        size = None
    return _UNKNOWN_BYTES if size is None else size


def _slices(recordings: pa.Table, *, is_first: bool) -> list[tuple[int, int]]:
    """Return the bounds of parts of 256 MB, or of a single recording that is larger."""
    sizes = recordings["bytes"].to_pylist()
    unknown = [row for row, size in enumerate(sizes) if size is None]
    asked = recordings.select(["uri"]).take(pa.array(unknown, pa.int64()))
    packs = packs_of(asked)
    with ThreadPool(_THREADS) as pool:
        packed = dict(zip(packs, pool.imap(_row_sizes, packs), strict=True))
        found = pool.imap(partial(_size, packed=packed), asked["uri"].to_pylist())
        for row, size in zip(unknown, found, strict=True):
            sizes[row] = size
    ends = np.cumsum(sizes)
    bounds, start, before = [], 0, 0
    while start < len(ends):
        heavy = int(np.searchsorted(ends, before + _PART_BYTES, side="right"))
        end = min(max(start + 1, heavy), start + _MOST_ROWS, len(ends))
        bounds.append((start, end))
        start, before = end, int(ends[end - 1])
    return bounds
