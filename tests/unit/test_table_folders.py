"""The folder of a table is a folder of Parquet, for whoever reads one."""

from glob import glob
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from raudeep.manifest import Recording, manifest_table
from raudeep.storage.opening import open_table
from raudeep.storage.plan import extend_plan
from tests.tables import IDENTITY, failures, rows

READERS = {
    "pandas": lambda place: len(pd.read_parquet(place)),
    "pyarrow.dataset": lambda place: ds.dataset(place).count_rows(),
    "pyarrow.parquet": lambda place: pq.read_table(place).num_rows,
    "Polars": lambda place: pl.read_parquet(f"{place}/*.parquet").height,
    "Polars, all below": lambda place: pl.read_parquet(f"{place}/**/*.parquet").height,
    "DuckDB": lambda place: count(f"'{place}/*.parquet'"),
    "DuckDB, all below": lambda place: count(f"'{place}/**/*.parquet'"),
    "DuckDB, the folder": lambda place: count(f"read_parquet('{place}')"),
    "glob": lambda place: footers(glob(f"{place}/**/*.parquet", recursive=True)),
    "pathlib": lambda place: footers(Path(place).rglob("*.parquet")),
    "fsspec": lambda place: footers(LocalFileSystem().glob(f"{place}/**/*.parquet")),
}


def count(source):
    return duckdb.sql(f"SELECT count(embedding) FROM {source}").fetchall()[0][0]


def footers(files):
    return sum(pq.read_metadata(file).num_rows for file in files)


@pytest.fixture
def embeddings(tmp_path):
    """A table with a plan and errors, whose first part has no rows."""
    writer = open_table(str(tmp_path / "table"), IDENTITY)
    names = [f"{number:03d}.wav" for number in range(6)]
    recordings = manifest_table([Recording(file=name, uri=f"/{name}") for name in names])
    slices = [(0, 2), (2, 4), (4, 6)]
    plan = extend_plan(writer, recordings, lambda *_, **__: slices)
    writer.write(0, rows(0, 0), failures(*names[:2]))
    writer.write(1, rows(2, 4))
    writer.write(2, rows(4, 5), failures(names[5]))
    writer.commit(3, recordings=plan.fingerprints, ends=plan.ends)
    return writer.uri


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_of_parquet_finds_the_rows_and_nothing_else(embeddings, reader):
    assert READERS[reader](embeddings) == 3


def test_only_parts_lie_in_the_folder_itself(embeddings):
    found = sorted(path.name for path in Path(embeddings).iterdir())
    assert found == ["__raudeep__", *(f"part-0000{number}.parquet" for number in range(3))]


def test_all_parts_have_one_schema(embeddings):
    schema = ds.dataset(embeddings).schema
    for part in sorted(Path(embeddings).glob("*.parquet")):
        assert pq.read_schema(part).equals(schema)


def test_a_copy_by_the_shell_is_whole(embeddings, tmp_path):
    """``cp DIR/*`` takes no hidden files along."""
    assert not [path for path in Path(embeddings).rglob("*") if path.name.startswith(".")]
