"""Searching: the nearest recordings, exactly and by an index."""

import json
from unittest.mock import Mock

import numpy as np
import pyarrow as pa
import pytest

from raudeep.config import ChunkConfig
from raudeep.errors import ConfigError, EvaluationError, TableError
from raudeep.pipeline.artifacts import artifact_identity, keep_epoch, load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.searching import nearest
from raudeep.pipeline.searching.nearest import find_nearest
from raudeep.pipeline.searching.queries import embed_query, vectors_of
from raudeep.pipeline.stage import embedding_array, embedding_rows
from raudeep.pipeline.tables.fusing import fuse_chunks, fuse_tables
from raudeep.schema import FILE_METADATA, KEYS
from raudeep.storage import uri as uris
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.table import read_table
from tests.models import write_model

pytestmark = pytest.mark.usefixtures("decoding_here")

READOUTS = ("state", "pooled")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    settings = {"units": 16, "fixed_seconds": 0.5, "n_mels": 16}
    return [write_model(folder / name, seed=n, **settings) for n, name in enumerate("ab")]


@pytest.fixture(scope="module")
def table(corpus, models, tmp_path_factory):
    place = str(tmp_path_factory.mktemp("table") / "embeddings")
    manifest, _ = load_manifest(str(corpus))
    embed_corpus(manifest, [Embedder(name="a", model=models[0], outputs={"state": place})])
    return place


@pytest.fixture(scope="module")
def file(table):
    return read_table(table)["file"][7].as_py()


def test_a_recording_of_the_table_is_nearest_to_itself(corpus, models, table, file):
    query = embed_query(str(corpus / file), table, models[:1])
    found = find_nearest(table, query, num_results=5)
    assert found["file"][0] == file
    assert found["score"][0] == pytest.approx(1.0, abs=1e-5)
    assert (np.diff(found["score"]) <= 0).all()
    assert len(set(found["file"])) == 5


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_order_is_that_of_all_distances(table, file, metric):
    rows = read_table(table)
    vectors, files = embedding_array(rows).astype(float), rows["file"].to_pylist()
    query = vectors[files.index(file)]
    if metric == "cosine":
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        scores = vectors @ query / norms
    else:
        scores = -np.linalg.norm(vectors - query, axis=1)
    order = [files[row] for row in np.argsort(-scores, kind="stable") if files[row] != file]
    found = find_nearest(
        table, vectors_of(file, table), num_results=24, metric=metric, without=file
    )
    assert found["file"].tolist() == order
    expected = np.sort(np.delete(scores, files.index(file)))[::-1]
    sign = 1 if metric == "cosine" else -1
    np.testing.assert_allclose(found["score"], sign * expected, atol=1e-5)


def test_an_index_finds_the_same_and_is_made_once(table, file, tmp_path):
    place = tmp_path / "rows.usearch"
    query = vectors_of(file, table)
    exact = find_nearest(table, query, without=file)
    found = find_nearest(table, query, without=file, index=str(place))
    assert found["file"].tolist() == exact["file"].tolist()
    np.testing.assert_allclose(found["score"], exact["score"], atol=1e-6)
    written = place.stat().st_mtime_ns
    find_nearest(table, query, without=file, index=str(place))
    assert place.stat().st_mtime_ns == written
    find_nearest(table, query, metric="euclidean", index=str(place))
    assert place.stat().st_mtime_ns > written
    place.write_bytes(b"damaged")
    again = find_nearest(table, query, metric="euclidean", without=file, index=str(place))
    assert again["file"][0] == exact["file"][0]


@pytest.mark.parametrize(
    "present",
    [
        {"mine": "mine"},
        {"mine": "mine", "mine.json": "no JSON"},
        {"mine": "mine", "mine.json": '{"rows": 3}'},
        {"mine": "mine", "mine.json": "[3]"},
        {"mine.json": "{}"},
        {"mine/x": "in a folder"},
    ],
)
def test_what_is_no_index_is_not_written_over(table, file, tmp_path, present):
    for name, text in present.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(TableError, match=r"--index .*mine is not written over: .*mine\.json does"):
        find_nearest(table, vectors_of(file, table), index=str(tmp_path / "mine"))
    found = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path)): path.read_text() for path in found} == present


def test_an_index_that_cannot_be_written_is_one_line(table, file, tmp_path, monkeypatch):
    query = vectors_of(file, table)
    (tmp_path / "x").write_text("a file")
    for below in ("x", "x/y"):
        with pytest.raises(TableError, match=rf"the output .*{below} cannot be written: "):
            find_nearest(table, query, index=str(tmp_path / below / "rows.usearch"))

    def fail(*_):
        raise RuntimeError("No space left on device")

    monkeypatch.setattr("usearch.index.Index.save", fail)
    with pytest.raises(TableError, match=r"cannot make .*usearch: No space left on device"):
        find_nearest(table, query, index=str(tmp_path / "rows.usearch"))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_index_whose_writing_was_cut_off_is_made_again(table, file, tmp_path, monkeypatch):
    """Else the index of one metric could be read with the note of the other."""
    place, query = tmp_path / "rows.usearch", vectors_of(file, table)
    find_nearest(table, query, index=str(place))

    def fail(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("raudeep.storage.uri.put_file", fail)
        with pytest.raises(KeyboardInterrupt):
            find_nearest(table, query, metric="euclidean", index=str(place))
    assert not place.exists()
    find_nearest(table, query, metric="euclidean", index=str(place))
    assert place.exists()


def test_of_a_recording_in_chunks_the_nearest_counts(corpus, models, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    place, chunks = str(tmp_path / "chunks"), ChunkConfig(chunk_seconds=0.2, chunk_hop_seconds=0.1)
    embedder = Embedder(name="a", model=models[0], outputs={"state": place})
    embed_corpus(manifest, [embedder], chunks=chunks)
    file = manifest["file"][3].as_py()
    query = embed_query(str(corpus / file), place, models[:1])
    assert len(query) > 1
    found = find_nearest(place, query, num_results=10)
    assert found["file"][0] == file
    assert not found["file"].duplicated().any()
    assert found["query_chunk"][0] == found["chunk"][0]
    last = find_nearest(place, query[-1:], num_results=1)
    assert (last["chunk"][0], last["query_chunk"][0]) == (len(query) - 1, 0)


def test_a_fused_table_is_searched_with_all_its_models(corpus, models, file, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    place = str(tmp_path / "fused")
    embedders = [Embedder(name=name, model=m) for name, m in zip("ab", models, strict=True)]
    embed_corpus(manifest, embedders, fused={"state": place})
    for given in (models, models[::-1]):  # the table says which is first
        query = embed_query(str(corpus / file), place, given)
        assert find_nearest(place, query)["score"][0] == pytest.approx(1.0, abs=1e-5)
        assert find_nearest(place, query)["file"][0] == file
    with pytest.raises(EvaluationError, match="was not made with"):
        embed_query(str(corpus / file), place, models[:1])
    with pytest.raises(ConfigError, match="models must be a list, also of one"):
        embed_query(str(corpus / file), place, models[0])


@pytest.fixture(scope="module")
def pieces(corpus, models, tmp_path_factory):
    """Return a folder with embeddings of chunks, of each model and readout."""
    folder = tmp_path_factory.mktemp("pieces")
    manifest, _ = load_manifest(str(corpus))
    embedders = [
        Embedder(name=name, model=model, outputs={r: str(folder / f"{name}-{r}") for r in READOUTS})
        for name, model in zip("ab", models, strict=True)
    ]
    embed_corpus(manifest, embedders, chunks=ChunkConfig(chunk_seconds=0.9))
    return folder


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (["a-state", "b-state"], [0, 1]),
        (["b-state", "a-pooled"], [0, 1]),
        (["a-state", "a-pooled"], [0]),
    ],
)
def test_tables_fused_afterwards_are_searched_as_their_pieces_were_made(
    corpus, models, pieces, file, tmp_path, names, given
):
    place = str(tmp_path / "fused")
    fuse_tables({name: str(pieces / name) for name in names}, place)
    query = embed_query(str(corpus / file), place, [models[number] for number in given])
    np.testing.assert_allclose(query, vectors_of(file, place), atol=1e-5)
    others = models[:1] if len(given) > 1 else models
    with pytest.raises(EvaluationError, match="was not made with"):
        embed_query(str(corpus / file), place, others)


@pytest.mark.parametrize(("given", "said"), [([], "with no model"), ([0], "with .*a")])
def test_a_table_that_names_no_model_is_not_searched_with_a_query(
    corpus, models, table, file, tmp_path, given, said
):
    writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}, {}))
    writer.write(0, read_table(table))
    writer.commit(1)
    with pytest.raises(EvaluationError, match=rf"was not made {said}\. Pass"):
        embed_query(str(corpus / file), writer.uri, [models[number] for number in given])


def test_joined_chunks_are_searched_with_a_recording_of_the_table(
    corpus, models, pieces, file, tmp_path
):
    place = str(tmp_path / "joined")
    fuse_chunks(str(pieces / "a-state"), place)
    with pytest.raises(EvaluationError, match=r"joined chunks .* --recording"):
        embed_query(str(corpus / file), place, models[:1])
    found = find_nearest(place, vectors_of(file, place), without=file)
    assert len(found) == 10


def test_mistakes_are_said_in_one_line(corpus, models, table, file):
    with pytest.raises(EvaluationError, match=r"holds \d+ recordings; a query is one file"):
        embed_query(str(corpus), table, models[:1])
    with pytest.raises(EvaluationError, match="was not made with"):
        embed_query(str(corpus / file), table, models[1:])
    with pytest.raises(EvaluationError, match="holds no recording 'nobody'"):
        vectors_of("nobody", table)
    with pytest.raises(EvaluationError, match=r"embeddings of \d+ values"):
        find_nearest(table, np.ones((1, 3), np.float32))
    with pytest.raises(EvaluationError, match="all queries hold NaN or infinite"):
        find_nearest(table, vectors_of(file, table) * np.nan)
    with pytest.raises(ConfigError, match="a file of this machine"):
        find_nearest(table, vectors_of(file, table), index="s3://bucket/index")


def test_the_command_prints_what_was_found(table, file, cli):
    command = ("search", table, "--recording", file, "--num-results", 3)
    code, stdout, stderr = cli(*command, "--json")
    assert code == 0, stderr
    found = json.loads(stdout)
    assert [list(match) for match in found] == [
        ["file", "chunk", "start", "end", "label", "query_chunk", "score"]
    ] * 3
    code, stdout, _ = cli(*command)
    assert code == 0
    assert all(match["file"] in stdout for match in found)
    code, _, stderr = cli("search", table)
    assert (code, stderr.count("\n")) == (1, 1)
    assert "search takes a recording with --model, or --recording alone" in stderr


def write_rows(place, files, chunks, vectors, *, num_parts=1):
    keys = {
        "file": files,
        "chunk": chunks,
        "start": [0.0] * len(files),
        "end": [1.0] * len(files),
        **{name: [None] * len(files) for name in ("label", "partition", "folds")},
    }
    rows = pa.Table.from_pydict(keys, pa.schema([*KEYS, *FILE_METADATA]))
    rows = embedding_rows(rows, np.asarray(vectors, np.float32))
    writer = open_table(place, Identity("embeddings", {}))
    size = len(files) // num_parts
    for part in range(num_parts):
        writer.write(part, rows.slice(part * size, size))
    plans = [str(part) for part in range(num_parts)]  # as if each had been added later
    writer.commit(num_parts, recordings=plans, ends=range(1, num_parts + 1))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_an_index_grows_with_its_table(tmp_path, rng, monkeypatch, metric):
    read = Mock(side_effect=nearest.read_part)
    monkeypatch.setattr(nearest, "read_part", read)
    place, index = str(tmp_path / "table"), str(tmp_path / "rows.index")
    files, vectors = [f"{number:04d}" for number in range(1000)], rng.standard_normal((1000, 16))
    for count, num_parts in ((500, 1), (1000, 2)):
        write_rows(place, files[:count], [0] * count, vectors[:count], num_parts=num_parts)
        query = vectors[count - 1 : count] * 1.01
        exact = find_nearest(place, query, metric=metric)
        found = find_nearest(place, query, metric=metric, index=index)
        assert exact["file"][0] == found["file"][0] == files[count - 1]
        assert len(set(found["file"]) & set(exact["file"])) >= 9
    assert [call.args[1] for call in read.mock_calls] == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    uris.delete(place)
    write_rows(place, files, [0] * 1000, vectors)  # which is another table
    found = find_nearest(place, vectors[:1], metric=metric, index=index)
    assert found["file"][0] == files[0]
    assert len(read.mock_calls) == 3


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("index", [None, "rows.index"])
def test_rows_that_are_not_finite_are_left_out_and_named(
    tmp_path, rng, metric, index, caplog, recwarn
):
    place, files = str(tmp_path / "table"), [f"{number:02d}" for number in range(60)]
    vectors = rng.normal(size=(60, 4))
    query = vectors[3:4].astype(np.float32)
    vectors[2, 1], vectors[7], vectors[20:40] = np.nan, np.inf, -np.inf  # a part among them
    write_rows(place, files, [0] * 60, vectors, num_parts=3)
    where = None if index is None else str(tmp_path / index)
    found = find_nearest(place, query, num_results=3, metric=metric, index=where)
    assert found["file"][0] == "03"
    assert np.isfinite(found["score"]).all()
    assert caplog.messages == [
        f"{place}: 22 row(s) left out, whose embeddings are not finite, e.g. '02' (chunk 0)"
    ]
    assert not recwarn.list
    every = find_nearest(place, query, num_results=60, metric=metric, index=where)
    assert set(every["file"]) == {*files[:20], *files[40:]} - {"02", "07"}


def test_an_index_finds_as_many_recordings_as_are_wanted_though_one_has_most_rows(tmp_path, rng):
    """A long recording may fill all that an index gives at first."""
    place = str(tmp_path / "table")
    files = ["long"] * 500 + [f"{number:02d}" for number in range(20)]
    near, far = 1 + 0.01 * rng.random((500, 8)), 1 + rng.random((20, 8))
    write_rows(place, files, [*range(500), *[0] * 20], np.concatenate([near, far]))
    settings = {"num_results": 10, "without": "long"}
    exact = find_nearest(place, np.ones((1, 8), np.float32), **settings)
    index = str(tmp_path / "rows.index")
    found = find_nearest(place, np.ones((1, 8), np.float32), index=index, **settings)
    assert len(exact) == len(set(found["file"])) == 10
    assert len(set(found["file"]) & set(exact["file"])) >= 8  # an index may miss one


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e6])
def test_an_index_finds_the_nearest_whatever_the_scale_of_the_vectors(tmp_path, rng, scale, metric):
    vectors = scale * rng.standard_normal((1000, 16))
    place = str(tmp_path / "table")
    write_rows(place, [f"{number:04d}" for number in range(1000)], [0] * 1000, vectors)
    query, index = vectors[:1] * 1.01, str(tmp_path / "rows.index")
    exact = find_nearest(place, query, metric=metric)
    found = find_nearest(place, query, metric=metric, index=index)
    assert len(set(found["file"]) & set(exact["file"])) >= 9


def test_a_table_of_an_epoch_is_searched_with_the_weights_of_that_epoch(
    corpus, models, tmp_path, file
):
    place = str(tmp_path / "table")
    owner = artifact_identity(models[0]).fingerprint
    keep_epoch(models[0], owner, 1, load_autoencoder(models[0]).model.state_dict())
    manifest, _ = load_manifest(str(corpus))
    embedder = Embedder(name="a", model=models[0], outputs={"state": place}, epoch=1)
    embed_corpus(manifest, [embedder])
    query = embed_query(str(corpus / file), place, models[:1])
    assert find_nearest(place, query, num_results=1)["file"][0] == file
