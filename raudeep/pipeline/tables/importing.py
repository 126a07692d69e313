"""auDeep's files to tables."""

import hashlib
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from raudeep.config import fingerprint
from raudeep.config.exchange import ExchangeFormat, ImportConfig
from raudeep.errors import ConfigError, TableError
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.stage import StageSummary, embedding_rows, slices, spectrogram_rows
from raudeep.schema import FILE_METADATA, KEYS, read_metadata, with_metadata
from raudeep.storage import uri as uris
from raudeep.storage.exchange.arff import read_arff
from raudeep.storage.exchange.csv import read_csv
from raudeep.storage.exchange.layout import Place, join_places, parse_place
from raudeep.storage.exchange.netcdf_reader import open_netcdf
from raudeep.storage.exchange.rows import TIMES, DataSet, merge_label_maps
from raudeep.storage.exchange.text import parse_rows
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.staging import unfinished_files

__all__ = ["import_table"]

_STAGES = {1: "embeddings", 2: "spectrograms"}


def import_table(
    source: str,
    output: str,
    *,
    format: ExchangeFormat = "csv",
    config: ImportConfig | None = None,
    overwrite: bool = False,
) -> StageSummary:
    """Make a table of what auDeep, or an export of raudeep, wrote.

    Features of one dimension become embeddings, those of two spectrograms. The seconds of a
    chunk are null, unless CSV or ARFF have columns `start` and `end`. Numbers of labels that
    differ from their sorted order are kept beside the rows, and an export uses them again. CSV and
    ARFF are held in memory, netCDF is read slice by slice.

    Parameters
    ----------
    source : str
        URI of a file, or of a folder of CSV or ARFF files as `export_table` writes it.
    output : str
        URI of the table.
    format : {'csv', 'arff', 'netcdf'}
        What the source is.
    config : ImportConfig, optional
        Names of files and columns, for CSV and ARFF.
    overwrite : bool
        Replace a table that was made with another configuration.

    Raises
    ------
    TableError
        If the source is not what it should be, or the output holds something else.
    """
    started = time.perf_counter()
    if format == "netcdf" and config not in (None, ImportConfig()):
        raise ConfigError("names of files and columns are for CSV and ARFF, not for netCDF.")
    source = uris.absolute(source)
    config = config or ImportConfig()
    files = _files(source, format, config.name)
    described = {"imported": format, **({} if format == "netcdf" else asdict(config))}
    with _open_netcdf(source) if format == "netcdf" else _open_text(files, format, config) as data:
        stage = _check(data, source)
        identity = Identity(stage, described, {"files": _fingerprint(files)})
        size = 4 * math.prod(data.feature_dims.values())
        bounds = slices(data.num_rows, bytes_per_row=size)
        for start, end in bounds:  # every row is checked before the first one is written
            data.read(start, end)
        writer = open_table(output, identity, overwrite=overwrite)
        missing = writer.missing(len(bounds))
        total = sum(bounds[part][1] - bounds[part][0] for part in missing)
        with stage_progress("import", unit="rows", total=total) as progress:
            for part in missing:
                start, end = bounds[part]
                writer.write(part, _part(data, start, end))
                progress.advance(end - start)
    index = writer.commit(len(bounds))
    return StageSummary.of_table("import", output, index, made=len(missing), started=started)


@contextmanager
def _open(uri: str) -> Iterator[Any]:
    try:
        with uris.open_file(uri) as file:
            yield file
    except OSError as error:
        raise TableError(f"{uri} cannot be read: {error.strerror or error}") from error


@contextmanager
def _open_netcdf(source: str) -> Iterator[DataSet]:
    name = source.rsplit("/", 1)[-1]
    if uris.is_local(source):
        with open_netcdf(source, where=name) as data:
            yield data
    else:
        with _open(source) as file, open_netcdf(file, where=name) as data:
            yield data


@contextmanager
def _open_text(
    files: Mapping[str, str], format: ExchangeFormat, config: ImportConfig
) -> Iterator[DataSet]:
    found = []
    names: dict[str, list[str]] = {}
    for path, uri in files.items():
        with _open(uri) as file:
            cells = (read_csv if format == "csv" else read_arff)(
                file, (*config.attributes, *TIMES), where=path
            )
        names[path] = cells.feature_names
        first = next(iter(names))
        if names[path] != names[first]:
            raise TableError(
                f"{path} has other features than {first}: {len(names[path])} columns against "
                f"{len(names[first])}, or other names. Give the columns of all files one order."
            )
        place, _ = parse_place(path) or (Place(), path)
        found.append((place, path, parse_rows(cells, config.attributes, where=path)))
    rows, splits = join_places(found)
    numbered = {
        (label, number)
        for label, number in zip(rows.labels, rows.label_ids, strict=True)
        if label is not None and number is not None
    }
    yield DataSet(
        num_rows=len(rows.files),
        splits=splits,
        label_map=merge_label_maps([dict([pair]) for pair in sorted(numbered)], where="the files"),
        feature_dims={"generated": rows.features.shape[1]},
        read=lambda start, end: rows.take(range(start, end)),
    )


def _files(source: str, format: ExchangeFormat, name: str | None) -> dict[str, str]:
    """Return the files to read, by their path in the layout; folds in the order of their numbers.

    Raises
    ------
    TableError
        If there is no such file, one lies outside of the layout, or there are several of a kind.
    """
    try:
        if uris.file_size(source) is not None:
            return {source.rsplit("/", 1)[-1]: source}
    except OSError as error:
        raise TableError(f"{source} cannot be read: {error}") from error
    if unfinished_files(source) is not None:
        raise TableError(
            f"{source} holds half an export, which was killed before its last file was there. Run "
            "the same export again."
        )
    suffix = f".{format}"
    found = [
        str(path)
        for path in map(PurePosixPath, uris.list_files(source) if format != "netcdf" else ())
        if path.suffix.lower() == suffix
        and name in (None, path.stem)
        and not any(part.startswith(".") for part in path.parts)
    ]
    if not found:
        what = "file" if format == "netcdf" else f"file, nor a folder with {name or '*'}{suffix}"
        raise TableError(f"there is no {format} data set at {source}: no such {what}.")
    places = {}
    for path in found:
        if (parsed := parse_place(path)) is None:
            raise TableError(
                f"{source}: {path} is in no folder of auDeep's ([train|devel|test/][fold_1/]). "
                "Move it, or choose files with --name."
            )
        places[path] = parsed
    if len(names := sorted({file_name for _, file_name in places.values()})) > 1:
        raise TableError(f"{source} holds {', '.join(names[:5])}. Choose one with --name.")
    return {
        path: uris.join(source, path)
        for path in sorted(places, key=lambda path: places[path][0].order)
    }


def _check(data: DataSet, source: str) -> str:
    """Return the stage whose tables hold such a data set."""
    sizes = tuple(data.feature_dims.values())
    if not data.num_rows or len(sizes) not in _STAGES or not math.prod(sizes):
        raise TableError(
            f"{source}: rows with features of one or two dimensions are needed. Got "
            f"{data.num_rows} rows with {' x '.join(map(str, sizes)) or 'no'} features."
        )
    return _STAGES[len(sizes)]


def _fingerprint(files: Mapping[str, str]) -> str:
    """Return what stands for the content of files and their places."""
    hashes = []
    for path, uri in files.items():
        with _open(uri) as file:
            hashes.append((path, hashlib.file_digest(file, "sha256").hexdigest()))
    return fingerprint(hashes)


def _part(data: DataSet, start: int, end: int) -> pa.Table:
    """Return some rows of a data set as rows of a table."""
    rows = data.read(start, end)
    spans = rows.times or [(None, None)] * len(rows.files)
    keys = pa.table(
        {
            "file": rows.files,
            "chunk": rows.chunks,
            "start": [start for start, _ in spans],
            "end": [end for _, end in spans],
            "label": rows.labels,
            "partition": data.splits.partitions[start:end],
            "folds": data.splits.folds[start:end],
        },
        schema=pa.schema([*KEYS, *FILE_METADATA]),
    )
    sizes = tuple(data.feature_dims.values())
    if len(sizes) == 1:
        table = embedding_rows(keys, rows.features)
    else:
        values = list(rows.features.reshape(-1, *sizes))
        table = spectrogram_rows(keys, values, (sizes[0], sizes[1]))
    described = {
        **read_metadata(table.schema),
        "feature_dims": list(data.feature_dims),
        "label_map": list(data.label_map.items()),
    }
    return table.cast(with_metadata(table.schema, described))
