"""Tables of raudeep in the form that whoever goes on with them wants."""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, get_args, overload

import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs

from raudeep.config import reject_text
from raudeep.errors import TableError
from raudeep.pipeline.stage import embedding_array
from raudeep.pipeline.tables.shapes import (
    SPECTROGRAM,
    as_nested_lists,
    as_tensors,
    shapes_of,
    spectrogram_cells,
)
from raudeep.storage import table as tables
from raudeep.storage import uri as uris
from raudeep.storage.index import TableIndex, read_index
from raudeep.storage.table import iterate_parts, read_schema

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl

    from raudeep.models.dataset import TableDataset

__all__ = ["Form", "read_table"]

Form = Literal["arrow", "pandas", "audformat", "polars", "duckdb", "ray", "torch"]

_SHAPE = ("frames", "bands")
_SEGMENT = ("file", "start", "end")


@overload
def read_table(
    uri: str, columns: Sequence[str] | None = ..., form: Literal["arrow"] = ...
) -> Any: ...
@overload
def read_table(
    uri: str, columns: Sequence[str] | None = ..., *, form: Literal["pandas", "audformat"]
) -> "pd.DataFrame": ...
@overload
def read_table(
    uri: str, columns: Sequence[str] | None = ..., *, form: Literal["polars"]
) -> "pl.DataFrame": ...
@overload
def read_table(
    uri: str, columns: Sequence[str] | None = ..., *, form: Literal["duckdb"]
) -> "duckdb.DuckDBPyRelation": ...
@overload
def read_table(
    uri: str, columns: Sequence[str] | None = ..., *, form: Literal["torch"]
) -> "TableDataset": ...
@overload
def read_table(uri: str, columns: Sequence[str] | None = ..., form: Form = ...) -> Any: ...
def read_table(uri: str, columns: Sequence[str] | None = None, form: Form = "arrow") -> Any:
    """Return the rows of a finished table, in the order of its parts.

    Parameters
    ----------
    uri : str
        A table of raudeep, local or remote.
    columns : sequence of str, optional
        Only these, in this order; all of them without.
    form : {"arrow", "pandas", "audformat", "polars", "duckdb", "ray", "torch"}
        ``arrow``: a `pyarrow.Table`, as it is stored: a spectrogram is a flat list, frame after
        frame, of `frames` times `bands` values. ``pandas``: a `DataFrame` with an array in each
        cell, (E,) of an embedding and (T, F) of a spectrogram. ``polars``: a `DataFrame` with an
        `Array` in each, a `List` of frames where spectrograms differ in length. ``audformat``: a
        pandas one as openSMILE gives it, with the index of audformat (file, start and end, which
        `columns` need not name) and a column for each value of an embedding. ``duckdb``: a relation
        that reads the parts when it is asked for rows, and of them what it needs, stored as in
        Arrow. ``ray``: a `ray.data.Dataset` that streams the parts; Ray is started unless it runs.
        Its batches hold arrays (B, E) of embeddings and (B, T, F) of spectrograms of one length.
        ``torch``: a map-style dataset whose item i is a dict, in which embedding, probabilities and
        spectrogram (T, F) are float32 tensors that share their memory with the table.

    Raises
    ------
    TableError
        If there is no finished table, it has no such column, or the package of the form is missing.
    """
    if form not in get_args(Form):
        raise TableError(f"form is one of {', '.join(get_args(Form))}. Got {form!r}.")
    uri = uris.absolute(uri)
    index = read_index(uri)
    _check_columns(uri, index, columns)
    if form == "duckdb":
        return _relation(uri, index, columns)
    if form == "ray":
        return _ray_dataset(uri, index, columns)
    if form == "torch":
        return _torch_dataset(uri, columns)
    if form == "polars":
        polars = _package("polars", form)
        return polars.from_arrow(_shaped(uri, columns, as_nested_lists))
    if form == "audformat":
        return _segments(uri, columns)
    return _frame(uri, columns) if form == "pandas" else _arrow(uri, columns)


def _shaped(
    uri: str, columns: Sequence[str] | None, shape: Callable[[pa.Table], pa.Table]
) -> pa.Table:
    """Return rows with shaped spectrograms, for which their sizes are read as well."""
    if columns is None:
        rows = _arrow(uri, None)
        return shape(rows) if SPECTROGRAM in rows.column_names else rows
    if SPECTROGRAM not in columns:
        return _arrow(uri, columns)
    sizes = [name for name in _SHAPE if name not in columns]
    return shape(_arrow(uri, [*columns, *sizes])).select(list(columns))


def _frame(uri: str, columns: Sequence[str] | None) -> "pd.DataFrame":
    cells: list[Any] = []

    def without_spectrograms(rows: pa.Table) -> pa.Table:
        cells.extend(spectrogram_cells(rows))
        place = rows.column_names.index(SPECTROGRAM)
        return rows.set_column(place, SPECTROGRAM, pa.nulls(rows.num_rows))

    frame: pd.DataFrame = _shaped(uri, columns, without_spectrograms).to_pandas()
    return frame.assign(**{SPECTROGRAM: cells}) if cells else frame


def _arrow(uri: str, columns: Sequence[str] | None) -> pa.Table:
    rows = tables.read_table(uri, columns=columns)
    return rows if columns is None else rows.select(list(columns))


def _segments(uri: str, columns: Sequence[str] | None) -> Any:
    """Return a frame with the index of audformat: segments, or files where nothing has seconds."""
    audformat = _package("audformat", "audformat")
    import pandas as pd

    keys = [name for name in _SEGMENT if name in read_schema(uri).names]
    wanted = None if columns is None else list(dict.fromkeys([*keys, *columns]))
    rows = _arrow(uri, wanted)
    files, *seconds = (rows[name].to_pandas() for name in keys)
    index = audformat.filewise_index(files)
    if seconds:
        times = (pd.to_timedelta(each, unit="s") for each in seconds)
        index = audformat.segmented_index(files, *times)
    rest = rows.drop_columns(keys)
    frame = rest.to_pandas().set_index(index)
    if "embedding" not in rest.column_names:
        return frame
    values = pd.DataFrame(embedding_array(rest), index).add_prefix("embedding-")
    return pd.concat([frame.drop(columns="embedding"), values], axis=1)


def _relation(uri: str, index: TableIndex, columns: Sequence[str] | None) -> Any:
    duckdb = _package("duckdb", "duckdb")
    place = uris.arrow_filesystem(uri)
    parts = pa.dataset.dataset(
        [f"{place.path}/{part.name}" for part in index.parts],
        filesystem=place.system or pa.fs.LocalFileSystem(),
        format="parquet",
    )
    relation = duckdb.from_arrow(parts)
    if columns is None:
        return relation
    return relation.select(*(duckdb.ColumnExpression(name) for name in columns))


def _ray_dataset(uri: str, index: TableIndex, columns: Sequence[str] | None) -> Any:
    from raudeep.pipeline.runtime.cluster import ensure_ray

    ensure_ray()
    import ray

    chosen = None if columns is None else list(columns)
    shapes = shapes_of(read_schema(uri))
    if uri.startswith("memory://"):  # no other process sees it
        parts = [part for _, part in iterate_parts(uri, columns=chosen)]
        rows = [part.select(chosen or part.column_names) for part in parts]
        return ray.data.from_arrow([as_tensors(part, shapes) for part in rows])
    place = uris.arrow_filesystem(uri)
    dataset = ray.data.read_parquet(
        [f"{place.path}/{part.name}" for part in index.parts],
        filesystem=place.system,
        partitioning=None,  # a folder named a=b is no column
    )
    dataset = dataset if chosen is None else dataset.select_columns(chosen)
    if shapes.keys().isdisjoint(shapes if chosen is None else chosen):
        return dataset
    return dataset.map_batches(
        partial(as_tensors, shapes=shapes),
        batch_format="pyarrow",
        batch_size=None,
        zero_copy_batch=True,
    )


def _torch_dataset(uri: str, columns: Sequence[str] | None) -> Any:
    from raudeep.models.dataset import TableDataset

    if columns is None or "spectrogram" not in columns:
        return TableDataset(_arrow(uri, columns))
    hidden = tuple(name for name in _SHAPE if name not in columns)
    return TableDataset(_arrow(uri, [*columns, *hidden]), hidden)


def _check_columns(uri: str, index: TableIndex, columns: Sequence[str] | None) -> None:
    reject_text(columns, "columns")
    if columns is None:
        return
    if repeated := [name for name in columns if list(columns).count(name) > 1]:
        raise TableError(f"column {repeated[0]!r} is asked for twice; each is there once.")
    present = read_schema(uri).names
    if unknown := [name for name in columns if name not in present]:
        raise TableError(f"{uri} has no column {unknown[0]!r}. It has {', '.join(present)}.")


def _package(name: str, form: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise TableError(
            f"form={form!r} needs the package {name}. Run `pip install {name}`."
        ) from error
