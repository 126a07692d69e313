"""Tables to auDeep's files: a pass over the metadata, then part after part."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pyarrow as pa

from raudeep.config.exchange import ExchangeFormat, ExportConfig, is_file_name
from raudeep.errors import ConfigError, TableError
from raudeep.pipeline.runtime.progress import stage_progress
from raudeep.pipeline.stage import StageSummary, embedding_array, spectrogram_values
from raudeep.schema import PARTITIONS, read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.exchange.layout import Place, folds_of, parse_place
from raudeep.storage.exchange.netcdf import write_netcdf
from raudeep.storage.exchange.rows import TIMES, Rows, Splits, check_rows
from raudeep.storage.exchange.text_folder import is_text_file, write_text_folder
from raudeep.storage.index import TableIndex, read_index
from raudeep.storage.outputs import Kind, check_file, find_output
from raudeep.storage.staging import staging, unfinished_files
from raudeep.storage.table import iterate_parts, read_schema

__all__ = ["export_table"]

logger = logging.getLogger(__name__)

_BATCH_BYTES = 16 * 2**20
_HEAD_BYTES = 64
_METADATA = ["file", "label", "partition", "folds"]
_KNOWN = {*_METADATA, "chunk", "start", "end", "embedding", "spectrogram", "frames", "bands"}


def export_table(
    table: str,
    output: str,
    *,
    format: ExchangeFormat = "csv",
    config: ExportConfig | None = None,
    overwrite: bool = False,
) -> StageSummary:
    """Write a table of embeddings or spectrograms in a format of auDeep.

    auDeep has no place for the seconds of a chunk; they are left out, but with `times` of the
    configuration in CSV and ARFF. Nothing is written where something else has no place.

    Parameters
    ----------
    table : str
        URI of the table.
    output : str
        For CSV and ARFF the URI of a folder, in which there are folders for partitions and folds,
        or of a file ``*.csv`` or ``*.arff`` for a table without; for netCDF of a file ``*.nc``.
    format : {'csv', 'arff', 'netcdf'}
        CSV and ARFF hold a fold as its validation rows, netCDF every role in every fold. In CSV
        and ARFF spectrograms are flattened, frame after frame.
    config : ExportConfig, optional
        Names and order of columns, for CSV and ARFF.
    overwrite : bool
        Replace an earlier export, to a folder one whose files have the same name.

    Raises
    ------
    TableError
        If the format cannot hold the table, or the output holds something else.
    """
    started = time.perf_counter()
    index = read_index(table)
    if format == "netcdf":
        if config not in (None, ExportConfig()):
            raise ConfigError(
                "'name', 'labels_last', 'times' and 'escape_formulas' are for CSV and ARFF, not "
                "for netCDF."
            )
        if not output.endswith(".nc"):
            raise ConfigError(f"the output of a netCDF export is a file '*.nc'. Got {output!r}.")
    config = config or ExportConfig()
    try:
        is_file = _is_file(output, format)
        if is_file:
            folder, _, name = uris.absolute(output).rpartition("/")
        else:
            folder = uris.absolute(output)
            name = f"{config.name or uris.absolute(table).rsplit('/', 1)[-1]}.{format}"
        if not is_file_name(name):
            raise ConfigError(f"{name!r} is no name for a file. Name the files with --name.")
        earlier = _earlier_file if is_file else _earlier_folder
        old = earlier(output, name, overwrite=overwrite)
    except OSError as error:
        raise TableError(f"the output {output} cannot be read: {error}") from error
    survey = _survey(table, index, in_folders=format != "netcdf")
    if is_file and format != "netcdf":
        _check_one_file(survey, output, config)
    with (
        staging(folder, replacing=old) as place,
        stage_progress("export", unit="rows", total=index.rows) as progress,
    ):
        if format == "netcdf":
            _write_netcdf(survey, str(place / name), progress.advance)
        else:
            _write_text(survey, place, name, config, progress.advance)
    return StageSummary(
        stage="export",
        table=uris.absolute(output),
        seconds=time.perf_counter() - started,
        parts=len(survey.places) or 1,
        reused=0,
        rows=index.rows,
    )


@dataclass(frozen=True, kw_only=True)
class _Survey:
    """What must be known of a table before its first row is written."""

    table: str
    num_rows: int
    num_folds: int
    label_map: dict[str, int]
    feature_dims: dict[str, int]
    places: list[Place]
    """Where its rows lie in folders."""


def _survey(table: str, index: TableIndex, *, in_folders: bool) -> _Survey:
    if index.stage not in ("embeddings", "spectrograms"):
        raise TableError(
            f"{table} is a table of {index.stage}; those of embeddings and spectrograms can be "
            "exported."
        )
    if not index.rows:
        raise TableError(f"{table} has no rows; there is nothing to export.")
    sized = ["frames", "bands"] if index.stage == "spectrograms" else []
    labels: set[str] = set()
    num_folds: set[int] = set()
    shapes: set[tuple[int, int]] = set()
    places: dict[Place, None] = {}
    for _, rows in iterate_parts(table, columns=[*_METADATA, *sized]):
        labels.update(label for label in rows["label"].unique().to_pylist() if label is not None)
        shapes.update(zip(*(rows[name].to_pylist() for name in sized), strict=True))
        for file, partition, folds in zip(
            *(rows[name].to_pylist() for name in ("file", "partition", "folds")), strict=True
        ):
            if partition not in (*PARTITIONS, None):
                raise TableError(f"{table}: {file!r} is in {partition!r}, no partition of auDeep.")
            num_folds.update([] if folds is None else [len(folds)])
            if in_folders:
                places.update(dict.fromkeys(Place(partition, f) for f in folds_of(file, folds)))
    if len(num_folds) > 1:
        raise TableError(f"{table}: rows have different numbers of folds: {sorted(num_folds)}.")
    schema = read_schema(table)
    if unknown := [name for name in schema.names if name not in _KNOWN]:
        logger.warning("%s: auDeep has no columns %s; left out", table, ", ".join(unknown))
    given = dict(read_metadata(schema).get("label_map", []))
    return _Survey(
        table=table,
        num_rows=index.rows,
        num_folds=max(num_folds, default=0),
        label_map=given
        if given.keys() >= labels
        else {label: number for number, label in enumerate(sorted(labels))},
        feature_dims=_feature_dims(table, schema, shapes),
        places=_with_all_folds(places, max(num_folds, default=0)),
    )


def _feature_dims(table: str, schema: pa.Schema, shapes: set[tuple[int, int]]) -> dict[str, int]:
    """Return names and sizes of the dimensions of the features; of imported ones, as they were."""
    if len(shapes) > 1:
        found = ", ".join(f"{frames} x {bands}" for frames, bands in sorted(shapes)[:5])
        raise TableError(
            f"{table}: auDeep's formats take spectrograms of one shape; there are {len(shapes)} "
            f"(frames x bands: {found}). Extract with fixed_seconds or chunk_seconds."
        )
    sizes = [*shapes.pop()] if shapes else [schema.field("embedding").type.list_size]
    names = ["time", "freq"] if len(sizes) == 2 else ["generated"]
    imported = read_metadata(schema).get("feature_dims", [])
    return dict(zip(imported if len(imported) == len(names) else names, sizes, strict=True))


def _with_all_folds(places: dict[Place, None], num_folds: int) -> list[Place]:
    """Add the missing folds of each partition; an empty fold becomes an empty file."""
    whole = {
        Place(place.partition, fold)
        for place in places
        for fold in ([None] if place.fold is None else range(1, num_folds + 1))
    }
    return sorted(whole, key=lambda place: place.order)


def _write_netcdf(survey: _Survey, path: str, advance: Callable[[int], None]) -> None:
    with write_netcdf(
        path,
        num_rows=survey.num_rows,
        num_folds=survey.num_folds,
        feature_dims=survey.feature_dims,
        label_map=survey.label_map,
    ) as writer:
        start = 0
        for rows, splits in _batches(survey):
            writer.write(start, rows, splits)
            start += len(rows.files)
            advance(len(rows.files))


def _write_text(
    survey: _Survey, folder: Path, name: str, config: ExportConfig, advance: Callable[[int], None]
) -> None:
    sizes = tuple(survey.feature_dims.values())
    if len(sizes) > 1:
        logger.warning(
            "%s: spectrograms of %s values are flattened to %d features, frame after frame",
            survey.table,
            " x ".join(map(str, sizes)),
            math.prod(sizes),
        )
    writer = write_text_folder(
        folder,
        survey.places,
        file_name=name,
        size=math.prod(sizes),
        labels=list(survey.label_map),
        labels_last=config.labels_last,
        escape_formulas=config.escape_formulas,
        times=config.times,
    )
    for rows, splits in _batches(survey, times=config.times):
        writer.write(rows, splits)
        advance(len(rows.files))


def _batches(survey: _Survey, *, times: bool = False) -> Iterator[tuple[Rows, Splits]]:
    """Yield the rows of a table, about 16 MB at once."""
    size = max(1, _BATCH_BYTES // (4 * math.prod(survey.feature_dims.values())))
    for _, part in iterate_parts(survey.table):
        for start in range(0, part.num_rows, size):
            batch = part.slice(start, size)
            if "embedding" in batch.column_names:
                features = embedding_array(batch)
            else:
                features = spectrogram_values(batch, where=survey.table)[0]
            labels = batch["label"].to_pylist()
            rows = Rows(
                batch["file"].to_pylist(),
                batch["chunk"].to_pylist(),
                labels,
                [None if label is None else survey.label_map[label] for label in labels],
                features.reshape(batch.num_rows, -1),
                [*zip(*(batch[name].to_pylist() for name in TIMES), strict=True)]
                if times
                else None,
            )
            check_rows(rows, where=survey.table)
            yield rows, Splits(batch["partition"].to_pylist(), batch["folds"].to_pylist())


def _is_file(output: str, format: ExchangeFormat) -> bool:
    """Return whether an output is one file, as its name says unless a folder is there already."""
    if format == "netcdf":
        return True
    suffixes = [f".{each}" for each in get_args(ExchangeFormat)] + [".nc"]
    if not output.lower().endswith(tuple(suffixes)):
        return False
    if uris.file_size(output) is None and uris.exists(output):
        return False
    if not output.endswith(f".{format}"):
        raise ConfigError(
            f"the output of this export is a folder or a file '*.{format}'. Got {output!r}."
        )
    return True


def _check_one_file(survey: _Survey, output: str, config: ExportConfig) -> None:
    """Refuse one file for rows that lie in several, or for files with a name of their own."""
    if config.name is not None:
        raise ConfigError(f"--name is for the files in a folder; {output} is a file.")
    if survey.places != [Place()]:
        files = ", ".join(place.path("…") for place in survey.places[:3])
        raise TableError(
            f"{output} is one file, but partitions and folds lie in files of their own: {files}"
            f"{', …' if len(survey.places) > 3 else ''}. Give the name of a folder, or remove them "
            "first with `raudeep modify --remove-partitions --remove-folds`."
        )


def _earlier_file(output: str, name: str, *, overwrite: bool) -> list[str]:
    """Return what an export to one file replaces."""
    return [name] if check_file(output, overwrite=overwrite) else []


def _earlier_folder(output: str, name: str, *, overwrite: bool) -> list[str]:
    """Return the files that an export to a folder replaces: all of an earlier one, or none."""

    def files() -> list[str]:
        places = {path: parse_place(path) for path, _ in uris.walk_files(output)}
        return sorted(path for path, place in places.items() if place and place[1] == name)

    def is_exported(path: str) -> bool:
        with uris.open_file(uris.join(output, path)) as file:
            return is_text_file(file.read(_HEAD_BYTES))

    kind = Kind(f"export as {name}", is_there=lambda _: any(map(is_exported, files())))
    if not find_output(output, kind):
        return []
    present = files()
    if strange := [path for path in present if not is_exported(path)]:
        raise TableError(
            f"{uris.join(output, strange[0])} is not raudeep's, and the export needs this name. "
            "Move the file, or choose another output."
        )
    half = unfinished_files(output) or []  # of an export that was killed
    if not overwrite and set(present) - set(half):
        raise TableError(
            f"{output} holds an export as {name}. Choose another output, or pass --overwrite to "
            "replace it."
        )
    return present
