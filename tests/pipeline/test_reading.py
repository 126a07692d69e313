"""Tables in the forms that others go on with, with raudeep and without."""

import json
import subprocess
import sys

import audformat
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

from raudeep import read_table
from raudeep.config import SpectrogramConfig
from raudeep.errors import ConfigError, TableError
from raudeep.pipeline.corpus import load_manifest, write_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.stage import embedding_array, spectrogram_rows
from raudeep.pipeline.tables import reading
from raudeep.schema import FILE_METADATA, KEYS
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from tests.models import write_model

FLOAT = np.dtype(np.float32)
FOREIGN = """
import json, sys
import duckdb, pandas, polars, pyarrow as pa, pyarrow.dataset, pyarrow.parquet as pq
folder, size = sys.argv[1], int(sys.argv[2])
parts = f"{folder}/part-*.parquet"
table = pa.dataset.dataset(folder, format="parquet", exclude_invalid_files=True,
    ignore_prefixes=["index", "plan", "errors"]).to_table()
kind = table.schema.field("embedding").type
assert kind == pa.list_(pa.float32(), size), kind
frame = pandas.concat(map(pandas.read_parquet, sorted(__import__("glob").glob(parts))))
found = {
    "arrow": table.num_rows,
    "pandas": len(frame),
    "polars": polars.read_parquet(parts).height,
    "duckdb": duckdb.sql(f"select count(*) from '{parts}'").fetchall()[0][0],
    "sums": [
        float(sum(map(sum, table["embedding"].to_pylist()))),
        float(sum(vector.sum() for vector in frame["embedding"])),
        float(polars.read_parquet(parts)["embedding"].arr.to_list().explode().sum()),
        duckdb.sql(f"select sum(list_sum(embedding::double[])) from '{parts}'").fetchall()[0][0],
    ],
    "types": [
        str(polars.read_parquet(parts).schema["embedding"]),
        duckdb.sql(f"select typeof(embedding) from '{parts}'").fetchall()[0][0],
    ],
    "foreign": not {"raudeep", "ray", "torch"} & set(sys.modules),
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def embeddings(corpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    model = write_model(folder / "model", units=4, fixed_seconds=0.5, n_mels=16)
    place = str(folder / "table")
    manifest, _ = load_manifest(str(corpus))
    embed_corpus(manifest, [Embedder(name="a", model=model, outputs={"state": place})])
    return place


@pytest.fixture(scope="module")
def spectrograms(corpus, tmp_path_factory):
    place = str(tmp_path_factory.mktemp("spectrograms") / "table")
    manifest, _ = load_manifest(str(corpus))
    view = SpectrogramConfig(fixed_seconds=0.5, n_mels=16)
    extract_spectrograms(manifest, {"view": view}, {"view": place})
    return place


def test_others_read_a_table_without_raudeep(embeddings):
    size = read_table(embeddings).schema.field("embedding").type.list_size
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN, embeddings, str(size)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["foreign"]
    assert [found[name] for name in ("arrow", "pandas", "polars", "duckdb")] == [25] * 4
    assert found["sums"] == pytest.approx([found["sums"][0]] * 4, rel=1e-5)
    polars, duckdb = found["types"]
    assert polars == f"Array(Float32, shape=({size},))"
    assert duckdb in (f"FLOAT[{size}]", "FLOAT[]")  # of a version that knows fixed sizes, or none


def by_file(files, values):
    """Return values in the order of the names of their recordings; Ray keeps no order."""
    return [value for _, value in sorted(zip(files, values, strict=True), key=lambda pair: pair[0])]


def test_all_forms_hold_the_same_vectors(embeddings):
    table = read_table(embeddings)
    files, values = table["file"].to_pylist(), embedding_array(table)
    size = values.shape[1]
    assert table.schema.field("embedding").type == pa.list_(pa.float32(), size)
    assert np.array_equal(np.float32(table["embedding"].to_pylist()), values)
    frame = read_table(embeddings, form="pandas")
    assert frame["file"].tolist() == files
    assert {(cell.dtype, cell.shape) for cell in frame["embedding"]} == {(FLOAT, (size,))}
    assert np.array_equal(np.stack(frame["embedding"]), values)
    polars = read_table(embeddings, form="polars")
    assert polars["file"].to_list() == files
    assert polars.schema["embedding"] == pl.Array(pl.Float32, size)
    assert np.array_equal(polars["embedding"].to_numpy(), values)
    rows = read_table(embeddings, form="duckdb").select("file", "embedding").fetchall()
    assert np.array_equal(np.float32(by_file(*zip(*rows, strict=True))), by_file(files, values))
    dataset = read_table(embeddings, form="torch")
    assert [dataset[row]["file"] for row in range(len(dataset))] == files
    assert (dataset[0]["embedding"].dtype, dataset[0]["embedding"].shape) == (
        torch.float32,
        (size,),
    )
    assert np.array_equal(np.stack([dataset[row]["embedding"] for row in range(25)]), values)


def test_all_forms_hold_the_same_spectrograms(spectrograms):
    table = read_table(spectrograms)
    frames, bands = table["frames"][0].as_py(), table["bands"][0].as_py()
    values = np.float32(table["spectrogram"].to_pylist()).reshape(25, frames, bands)
    assert table.schema.field("spectrogram").type == pa.list_(pa.float32(), frames * bands)
    for columns in (None, ["spectrogram", "file"]):
        frame = read_table(spectrograms, columns, form="pandas")
        assert {(c.dtype, c.shape) for c in frame["spectrogram"]} == {(FLOAT, (frames, bands))}
        assert np.array_equal(np.stack(frame["spectrogram"]), values)
        polars = read_table(spectrograms, columns, form="polars")
        assert polars.schema["spectrogram"] == pl.Array(pl.Float32, (frames, bands))
        assert np.array_equal(polars["spectrogram"].to_numpy(), values)
        if columns:
            assert [*frame.columns] == polars.columns == columns
    dataset = read_table(spectrograms, form="torch")
    assert np.array_equal(np.stack([dataset[row]["spectrogram"] for row in range(25)]), values)
    rows = read_table(spectrograms, ["file", "spectrogram"], form="duckdb").fetchall()
    found = np.float32(by_file(*zip(*rows, strict=True))).reshape(values.shape)
    assert np.array_equal(found, by_file(table["file"].to_pylist(), values))


def test_spectrograms_of_several_lengths_have_their_own_shapes(tmp_path, rng):
    values = [rng.standard_normal((frames, 4)).astype(np.float32) for frames in (3, 1, 5)]
    keys = pa.Table.from_pylist(
        [{"file": f"{n}.wav", "chunk": 0} for n in range(3)], pa.schema([*KEYS, *FILE_METADATA])
    )
    writer = open_table(str(tmp_path / "t"), Identity("spectrograms", {}))
    writer.write(0, spectrogram_rows(keys, values, (None, 4)))
    writer.commit(1)
    place = str(tmp_path / "t")
    cells = read_table(place, ["spectrogram"], form="pandas")["spectrogram"]
    assert all(map(np.array_equal, cells, values))
    polars = read_table(place, ["spectrogram"], form="polars")["spectrogram"]
    assert polars.dtype == pl.List(pl.Array(pl.Float32, 4))
    assert all(map(np.array_equal, polars.to_list(), values))
    dataset = read_table(place, form="torch")
    assert all(np.array_equal(dataset[row]["spectrogram"], values[row]) for row in range(3))


def test_batches_of_ray_are_arrays_of_the_true_shape(embeddings, spectrograms):
    for place, name in ((embeddings, "embedding"), (spectrograms, "spectrogram")):
        table = read_table(place, form="pandas")
        wanted = np.stack(by_file(table["file"], table[name]))
        dataset = read_table(place, ["file", "label", name], form="ray").materialize()
        found = {
            kind: list(dataset.iter_batches(batch_size=None, batch_format=kind))
            for kind in ("numpy", "pandas", "pyarrow")
        }
        files = np.concatenate([batch["file"] for batch in found["numpy"]])
        arrays = [batch[name] for batch in found["numpy"]]
        assert {(array.dtype, array.shape[1:]) for array in arrays} == {(FLOAT, wanted.shape[1:])}
        assert np.array_equal(by_file(files, np.concatenate(arrays)), wanted)
        frame = pd.concat(found["pandas"])
        assert {(c.dtype, c.shape) for c in frame[name]} == {(FLOAT, wanted.shape[1:])}
        assert np.array_equal(by_file(frame["file"], frame[name]), wanted)
        labels = dict(zip(table["file"], table["label"], strict=True))
        assert dict(zip(frame["file"], frame["label"], strict=True)) == labels
        tensors = [batch[name].combine_chunks() for batch in found["pyarrow"]]
        kind = pa.fixed_shape_tensor(pa.float32(), wanted.shape[1:])
        assert {tensor.type for tensor in tensors} == {kind}
        arrays = np.concatenate([tensor.to_numpy_ndarray() for tensor in tensors])
        assert np.array_equal(by_file(files, arrays), wanted)
        row = next(iter(dataset.iter_rows()))
        assert (row[name].dtype, row[name].shape) == (FLOAT, wanted.shape[1:])
        dataset = read_table(place, [name], form="ray")
        batches = [batch[name] for batch in dataset.iter_torch_batches(batch_size=None)]
        assert {batch.dtype for batch in batches} == {torch.float32}
        found = torch.cat(batches).numpy()
        assert found.shape == wanted.shape
        assert sorted(map(bytes, found)) == sorted(map(bytes, wanted))


def test_a_frame_of_audformat_has_segments_for_its_index(embeddings, corpus, tmp_path):
    table = read_table(embeddings)
    frame = read_table(embeddings, form="audformat")
    audformat.assert_index(frame.index)
    assert audformat.is_segmented_index(frame)
    assert frame.index.get_level_values("file").tolist() == table["file"].to_pylist()
    for name in ("start", "end"):
        seconds = frame.index.get_level_values(name).total_seconds()
        assert np.allclose(seconds, table[name].to_numpy(), atol=1e-9)
    values = embedding_array(table)
    names = [f"embedding-{i}" for i in range(values.shape[1])]
    assert np.array_equal(frame[names].to_numpy(), values)
    assert frame["label"].tolist() == table["label"].to_pylist()
    assert read_table(embeddings, ["embedding"], form="audformat").columns.tolist() == names
    labels = read_table(embeddings, ["label", "file"], form="audformat")
    assert labels.columns.tolist() == ["label"]
    manifest = str(tmp_path / "manifest")
    write_manifest(load_manifest(str(corpus))[0], manifest)
    assert audformat.is_filewise_index(read_table(manifest, form="audformat"))


@pytest.mark.parametrize("form", ["arrow", "pandas", "polars", "duckdb"])
def test_columns_are_those_asked_for_in_that_order(embeddings, form):
    found = read_table(embeddings, ["label", "file"], form=form)
    names = found.column_names if form == "arrow" else found.columns
    assert list(names) == ["label", "file"]


def test_a_loader_of_torch_takes_spectrograms_and_embeddings(embeddings, spectrograms):
    dataset = read_table(spectrograms, ["file", "spectrogram"], form="torch")
    frames, bands = (read_table(spectrograms)[name][0].as_py() for name in ("frames", "bands"))
    batches = list(DataLoader(dataset, batch_size=10))
    assert [tuple(batch["spectrogram"].shape) for batch in batches] == [
        (10, frames, bands),
        (10, frames, bands),
        (5, frames, bands),
    ]
    assert set(batches[0]) == {"file", "spectrogram"}
    first = read_table(spectrograms)["spectrogram"][0].as_py()
    assert batches[0]["spectrogram"][0].ravel().tolist() == first
    vectors = read_table(embeddings, ["embedding", "label"], form="torch")
    batch = next(iter(DataLoader(vectors, batch_size=25, num_workers=1)))
    assert np.array_equal(batch["embedding"].numpy(), embedding_array(read_table(embeddings)))
    assert vectors[-1]["label"] == vectors[24]["label"]
    with pytest.raises(IndexError, match="the table has 25 rows"):
        vectors[25]


def test_mistakes_are_said_in_one_line(embeddings, monkeypatch):
    with pytest.raises(TableError, match=r"form is one of arrow, .*Got 'xml'"):
        read_table(embeddings, form="xml")
    with pytest.raises(TableError, match=r"has no column 'x'. It has file, chunk"):
        read_table(embeddings, ["file", "x"])
    with pytest.raises(TableError, match="column 'file' is asked for twice"):
        read_table(embeddings, ["file", "label", "file"])
    with pytest.raises(ConfigError, match=r"columns must be a list, also of one\. Got 'label'"):
        read_table(embeddings, "label")
    with pytest.raises(TableError, match="holds no table"):
        read_table(embeddings + "-not")

    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(reading, "import_module", missing)
    with pytest.raises(TableError, match=r"needs the package duckdb. Run `pip install duckdb`"):
        read_table(embeddings, form="duckdb")
