"""Labels, partitions and folds that come later: rows take them over, and nothing else changes."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from raudeep.errors import FusionError, TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.tables.fusing import fuse_chunks, fuse_tables
from raudeep.pipeline.tables.modifying import add_folds
from raudeep.pipeline.tables.relabelling import relabel_table
from raudeep.storage import uri as uris
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from raudeep.storage.verification import verify_table
from tests.models import write_two_models
from tests.support import refused

pytestmark = pytest.mark.usefixtures("decoding_here")

LABELS = ["low", "high", "low", "high", "low", "high"]
"""Of the recordings."""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return write_two_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def base(tmp_path_factory, models):
    """Six recordings and one that is no audio, embedded by two models without labels, and fused."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "corpus").mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        samples = 0.1 * rng.standard_normal(4000)
        soundfile.write(folder / "corpus" / f"{number}.wav", samples, 8000)
    (folder / "corpus" / "bad.wav").write_text("no audio")
    files = [*(f"{number}.wav" for number in range(6)), "bad.wav"]
    rows = [f"{file},{label}" for file, label in zip(files, [*LABELS, "low"], strict=True)]
    folds = [f"{row},{number // 2 % 2 + 1}" for number, row in enumerate(rows)]
    (folder / "corpus" / "bare.csv").write_text("\n".join(["file", *files]))
    (folder / "corpus" / "labelled.csv").write_text("\n".join(["file,label,fold", *folds]))
    embed(folder / "corpus", "bare.csv", models, folder)
    fuse(folder, models)
    return folder


@pytest.fixture
def place(base, tmp_path):
    """A copy of `base`."""
    shutil.copytree(base, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def corpus(place):
    return place / "corpus"


@pytest.fixture
def labelled(corpus, models, place):
    """The tables with labels."""
    embed(corpus, "labelled.csv", models, place)
    fuse(place, models)
    return place


def embed(corpus, name, models, place, **settings):
    manifest, _ = load_manifest(str(corpus / name))
    embedders = [
        Embedder(name=model, model=uri, outputs={"pooled": f"{place}/{model}"})
        for model, uri in models.items()
    ]
    return embed_corpus(manifest, embedders, **settings)


def fuse(place, models):
    return fuse_tables({name: f"{place}/{name}" for name in models}, f"{place}/fused")


def same_vectors(one, other):
    columns = ["file", "chunk", "start", "end", "embedding"]
    return one.select(columns).equals(other.select(columns))


def test_rows_take_over_labels_and_folds_and_keep_their_vectors(
    corpus, models, place, caplog, monkeypatch
):
    tables = [f"{place}/{name}" for name in ("a", "b", "fused")]
    before = {uri: (read_index(uri), read_table(uri)) for uri in tables}
    monkeypatch.setattr("raudeep.pipeline.recordings.slice_worker.SliceWorker.__call__", None)
    with caplog.at_level("INFO", logger="raudeep"):
        embed(corpus, "labelled.csv", models, place)
        summary = fuse(place, models)
    said = "labels, partitions or folds of 6 recordings changed: taken over."
    assert caplog.text.count(said) == 3
    assert summary.reused == summary.parts
    for uri, (index, rows) in before.items():
        now = read_table(uri)
        assert same_vectors(rows, now)
        assert now["label"].to_pylist() == LABELS
        assert now["folds"].to_pylist()[1:3] == [[1, 0], [0, 1]]
        assert read_index(uri).fingerprint == index.fingerprint
        assert read_index(uri).labels != index.labels
        assert verify_table(uri) == []
    caplog.clear()
    embed(corpus, "bare.csv", models, place)  # which says nothing of labels
    embed(corpus, "labelled.csv", models, place)
    fuse(place, models)
    assert said not in caplog.text
    assert all(read_table(uri)["label"].null_count == 0 for uri in tables)


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.is_file()}


def test_predictions_and_folds_of_other_labels_are_made_again(cli, labelled):
    made = {
        "scores": ("evaluate", "svm", labelled / "a"),
        "classifier": ("train-classifier", "svm", labelled / "a"),
        "folds": ("modify", labelled / "a", "--add-folds", 2),
    }
    for name, command in made.items():
        run(cli, (*command, "--output", labelled / name))
    predict = "predict", labelled / "a", "--classifier", labelled / "classifier"
    run(cli, (*predict, "--output", labelled / "predictions"))
    relabel_table(str(labelled / "a"), labels(**{"0.wav": "high"}))
    for name, command in made.items():
        before = written(labelled / name)
        run(cli, (*command, "--output", labelled / name))
        assert all(before[path] != time for path, time in written(labelled / name).items())
    rows = read_table(str(labelled / "scores")).to_pylist()
    assert {row["label"] for row in rows if row["file"] == "0.wav"} == {"high"}
    assert read_table(str(labelled / "folds"))["label"][0].as_py() == "high"
    said = "input 'classifier' is another one now"
    refused(cli(*predict, "--output", labelled / "predictions"), said)


def test_predictions_show_the_labels_of_today(cli, corpus, models, labelled, base):
    classifier, predicted = labelled / "classifier", labelled / "predicted"
    run(cli, ("train-classifier", "svm", labelled / "a", "--output", classifier))
    shutil.copytree(base / "a", labelled / "new" / "a")
    predict = "predict", labelled / "new" / "a", "--classifier", classifier, "--output", predicted
    run(cli, predict)
    before = read_table(str(predicted))
    assert before["label"].null_count == 6
    embed(corpus, "labelled.csv", {"a": models["a"]}, labelled / "new")
    (summary,) = run(cli, predict)
    assert summary["reused"] == summary["parts"]
    after = read_table(str(predicted))
    assert after["label"].to_pylist() == LABELS
    assert after.drop_columns(["label"]).equals(before.drop_columns(["label"]))


def run(cli, command):
    code, out, err = cli(*command, "--json")
    assert code == 0, err
    return json.loads(out)


def labels(**labels):
    rows = [Recording(file=file, uri="nowhere", label=label) for file, label in labels.items()]
    return manifest_table(rows)


@pytest.mark.parametrize("files_written", range(5))
def test_a_run_that_is_killed_goes_on(corpus, models, place, monkeypatch, files_written):
    table = f"{place}/a"
    before = read_table(table)
    write, left = uris.write_bytes, [files_written]

    def killed(*args, **settings):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        write(*args, **settings)

    monkeypatch.setattr(uris, "write_bytes", killed)
    with pytest.raises(KeyboardInterrupt):
        embed(corpus, "labelled.csv", {"a": models["a"]}, place)
    monkeypatch.setattr(uris, "write_bytes", write)
    verify_table(table, repair=True)
    embed(corpus, "labelled.csv", {"a": models["a"]}, place)
    after = read_table(table)
    assert same_vectors(before, after)
    assert after["label"].to_pylist() == LABELS
    assert verify_table(table) == []


def test_a_part_that_a_slower_process_wrote_takes_over_the_labels(corpus, models, place):
    """It had planned before the labels came, and wrote its part after they were taken over."""
    part = place / "a" / "part-00000.parquet"
    late = part.read_bytes()
    embed(corpus, "labelled.csv", models, place)
    part.write_bytes(late)
    embed(corpus, "bare.csv", models, place)
    assert read_table(f"{place}/a")["label"].to_pylist() == LABELS


@pytest.mark.parametrize("name", ["a", "fused"])
def test_a_table_is_relabelled_in_place(cli, corpus, place, name):
    before = read_table(f"{place}/{name}")
    run(cli, ("relabel", place / name, "--manifest", corpus / "labelled.csv"))
    after = read_table(f"{place}/{name}")
    assert same_vectors(before, after)
    assert after["label"].to_pylist() == LABELS
    assert verify_table(f"{place}/{name}") == []


def test_a_relabelled_table_grows(corpus, models, place):
    manifest, _ = load_manifest(str(corpus / "labelled.csv"))
    relabel_table(f"{place}/a", manifest)
    shutil.copy(corpus / "0.wav", corpus / "6.wav")
    more = (corpus / "labelled.csv").read_text() + "\n6.wav,mid,2"
    (corpus / "labelled.csv").write_text(more)
    embed(corpus, "labelled.csv", {"a": models["a"]}, place)
    assert read_table(f"{place}/a")["label"].to_pylist() == [*LABELS, "mid"]


@pytest.mark.parametrize("name", ["a", "joined"])
def test_only_what_a_manifest_names_is_relabelled(labelled, name):
    fuse_chunks(f"{labelled}/a", f"{labelled}/joined")
    relabel_table(f"{labelled}/{name}", labels(**{"3.wav": "other"}))
    rows = read_table(f"{labelled}/{name}")
    assert rows["label"].to_pylist() == [*LABELS[:3], "other", *LABELS[4:]]
    assert rows["folds"].null_count == 0


def test_what_cannot_be_relabelled_is_refused(cli, corpus, labelled):
    strange = labels(**{"strange.wav": "x"})
    with pytest.raises(TableError, match=r"names no recording .* 'strange.wav', the table has '0"):
        relabel_table(f"{labelled}/a", strange)
    with pytest.raises(TableError, match="holds no table"):
        relabel_table(f"{labelled}/none", strange)
    scored = labelled / "scores"
    run(cli, ("evaluate", "svm", labelled / "a", "--output", scored))
    said = "is a table of predictions, which take labels from what they are made of"
    refused(cli("relabel", scored, "--manifest", corpus / "labelled.csv"), said)


def test_tables_with_other_labels_are_not_fused(models, labelled):
    relabel_table(f"{labelled}/a", labels(**{"3.wav": "other"}))
    with pytest.raises(FusionError, match="label"):
        fuse(labelled, models)


def test_numbers_of_labels_go_that_do_not_know_the_new_ones(labelled):
    """An import gives them, and an export asks for the number of each label."""
    add_folds(f"{labelled}/a", f"{labelled}/folds", num_folds=2)
    part = labelled / "folds" / "part-00000.parquet"
    rows = pq.read_table(part)
    said = json.loads(rows.schema.metadata[b"raudeep"]) | {"label_map": [["low", 0], ["high", 1]]}
    pq.write_table(rows.replace_schema_metadata({b"raudeep": json.dumps(said)}), part)
    relabel_table(f"{labelled}/folds", labels(**{rows["file"][0].as_py(): "mid"}))
    now = json.loads(pq.read_schema(part).metadata[b"raudeep"])
    assert "label_map" not in now
    assert now["inputs"] == said["inputs"]
