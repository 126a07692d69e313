"""Tables in the forms that others go on with, with raudeep and without."""

import json
import subprocess
import sys

import audformat
import numpy as np
import pytest
from torch.utils.data import DataLoader

from raudeep import read_table
from raudeep.config import SpectrogramConfig
from raudeep.errors import ConfigError, TableError
from raudeep.pipeline.corpus import load_manifest, write_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.stage import embedding_array
from raudeep.pipeline.tables import reading
from tests.models import write_model

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


def test_all_forms_hold_the_same_rows(embeddings):
    table = read_table(embeddings)
    files, values = table["file"].to_pylist(), embedding_array(table)
    frame = read_table(embeddings, form="pandas")
    assert frame["file"].tolist() == files
    assert np.array_equal(np.stack(frame["embedding"]), values)
    polars = read_table(embeddings, form="polars")
    assert polars["file"].to_list() == files
    assert np.array_equal(polars["embedding"].to_numpy(), values)
    relation = read_table(embeddings, form="duckdb")
    assert sorted(row[0] for row in relation.select("file").fetchall()) == sorted(files)
    dataset = read_table(embeddings, form="torch")
    assert [dataset[row]["file"] for row in range(len(dataset))] == files
    assert np.array_equal(np.stack([dataset[row]["embedding"] for row in range(25)]), values)
    rows = read_table(embeddings, ["file"], form="ray").take_all()
    assert sorted(row["file"] for row in rows) == sorted(files)


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
