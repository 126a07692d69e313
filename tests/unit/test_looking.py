"""The commands that check and show tables and recordings: `validate`, `inspect`, `visualize`."""

import json

import numpy as np
import pytest

from raudeep.corpora.demo import DEMO_CLASSES, write_demo_corpus
from raudeep.pipeline.classification.predictions import prediction_rows
from raudeep.report.text import grouped
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from raudeep.storage.table import read_table
from tests.chunks import CHUNKS, LABELS, rows_of, write
from tests.embeddings import separable
from tests.models import write_model
from tests.support import refused

# --- validate


def test_sound_table_passes_every_rule(cli, table):
    code, out, err = cli("validate", table)
    assert (code, err) == (0, "")
    assert out.count("PASS") == 8
    assert "FAIL" not in out


def test_every_violation_is_listed_and_the_exit_code_is_1(cli, tmp_path):
    rows = rows_of(LABELS)
    rows[1]["label"] = "cat"  # a.wav
    rows[4]["partition"] = "train"  # b.wav
    rows[7]["folds"] = [0, 1]  # c.wav
    rows[11]["chunk"] = 7  # d.wav
    rows[13]["chunk"] = 0  # e.wav: 0 twice, no 1
    del rows[-1]  # i.wav
    values = np.zeros((len(rows), 2), np.float32)
    values[17, 1] = np.nan  # f.wav
    table = write(tmp_path / "table", rows, values=values)
    code, out, err = cli("validate", table, "--json")
    assert code == 1
    assert "7 of 8 rules are violated" in err
    broken = {result["rule"]: result["violations"] for result in json.loads(out)}
    assert broken.pop("the parts are those of the index") == []
    said = {rule: " ".join(violations) for rule, violations in broken.items()}
    for word, file in (
        *(("key", "e.wav"), ("label", "a.wav"), ("partition", "b.wav"), ("folds", "c.wav")),
        *(("numbered", "d.wav"), ("equally many", "i.wav"), ("finite", "f.wav")),
    ):
        (rule,) = [rule for rule in said if word in rule and said[rule]]
        assert file in said[rule]


def write_predictions(uri, table, *, repeats, folds):
    """Write what a classifier of two classes might say of each row, in each fold and repeat."""
    rows = read_table(str(table))
    writer = open_table(str(uri), Identity("predictions", {}, {}))
    probabilities = np.full((repeats, rows.num_rows, 2), 0.5, np.float32)
    for part, fold in enumerate(folds):
        every = np.arange(rows.num_rows)
        writer.write(part, prediction_rows(rows, every, probabilities, ["cat", "dog"], fold=fold))
    writer.commit(len(folds))
    return uri


def test_a_prediction_for_each_fold_and_repeat_is_no_violation(cli, table, tmp_path):
    output = write_predictions(tmp_path / "predictions", table, repeats=2, folds=[0, 1])
    code, out, err = cli("validate", output)
    assert (code, err) == (0, "")
    assert "FAIL" not in out
    output = write_predictions(tmp_path / "twice", table, repeats=1, folds=[0, 0])
    code, out, _ = cli("validate", output)
    assert code == 1
    assert "('a.wav', 0) of fold 0 and repeat 0 is there 2 times" in out


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"readout": "state", "chunk_seconds": 2.0, "chunk_hop_seconds": 2.0}, 0),
        ({"fused": ["x"], "pieces": [{"readout": "state", "chunk_seconds": 2.0}]}, 0),
        ({"readout": "sparse-coding", "window_seconds": 5.0}, 0),
        ({"imported": "csv"}, 0),
        ({"readout": "state", "model": "0123"}, 1),
        ({"chunk_seconds": 2.0, "chunk_count": 3}, 1),
        ({"fused_chunks": 3, "pieces": [{"readout": "state", "chunk_seconds": 2.0}]}, 1),
    ],
)
def test_recordings_of_other_lengths_may_have_other_numbers_of_chunks(cli, tmp_path, config, code):
    """Where the configuration fixes none; how many they have is told all the same."""
    rows = [row for row in rows_of(LABELS) if (row["file"], row["chunk"]) != ("i.wav", 2)]
    table = write(tmp_path / "table", rows, config=config)
    found, out, _ = cli("validate", table, "--json")
    assert found == code
    (rule,) = [result for result in json.loads(out) if result["violations"]]
    assert rule["rule"] == "recordings have equally many chunks"
    assert rule["violations"] == ["'i.wav' has 2, most have 3"]
    assert rule["passed"] == (code == 0)
    found, out, _ = cli("validate", table)
    assert ("NOTE" in out, "FAIL" in out) == (code == 0, code == 1)
    assert "'i.wav' has 2, most have 3" in out
    if code == 0:  # also of predictions, which do not say of what chunks they are
        output = write_predictions(tmp_path / "predictions", table, repeats=1, folds=[None])
        assert cli("validate", output)[0] == 0


def test_parts_that_are_not_those_of_the_index_are_found(cli, table):
    (table / "part-00001.parquet").write_bytes(b"damaged")
    (table / "part-00007.parquet").write_bytes((table / "part-00000.parquet").read_bytes())
    code, out, _ = cli("validate", table, "--detailed")
    assert code == 1
    assert "part-00001.parquet cannot be read" in out
    assert "part-00007.parquet is not in the index" in out


# --- inspect


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A corpus of 25 recordings."""
    folder = tmp_path_factory.mktemp("corpus")
    write_demo_corpus(folder, clips_per_class=5)
    return folder


def test_corpus_is_inspected_as_json(cli, corpus):
    code, out, _ = cli("inspect", corpus, "--json")
    facts = json.loads(out)
    assert code == 0
    assert facts["layout"] == "cross-validated"
    assert facts["recordings"] == facts["labelled"] == 25
    assert facts["labels"] == dict.fromkeys(DEMO_CLASSES, 5)
    assert facts["folds"] == [{"train": 20, "valid": 5}] * 5
    assert facts["sample_rates"] == {"16000": 25}
    assert facts["unreadable"] == {}


def test_model_is_inspected(cli, tmp_path):
    model = write_model(tmp_path / "model", units=4, n_mels=16)
    code, out, err = cli("inspect", model, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["kind"], facts["bands"], facts["epoch"]) == ("time", 16, 1)
    # Two layers of four units into a decoder of two directions.
    assert facts["embedding sizes"] == {"state": 16, "pooled": 8}
    assert facts["input"]["n_mels"] == 16
    assert facts["autoencoder"]["num_units"] == 4
    assert facts["parameters"] > 0


def test_classifier_is_inspected(cli, tmp_path):
    separable(tmp_path / "table")
    place = tmp_path / "classifier"
    assert cli("train-classifier", "svm", tmp_path / "table", "--output", place)[0] == 0
    code, out, err = cli("inspect", place, "--json")
    assert (code, err) == (0, "")
    facts = json.loads(out)
    assert (facts["classes"], facts["embedding size"]) == (["bark", "meow", "moo"], 4)
    assert facts["config"]["classifier"] == "svm"
    assert "bark" in cli("inspect", place)[1]


def test_corpus_is_inspected_as_a_table(cli, corpus):
    code, out, _ = cli("inspect", corpus)
    assert code == 0
    for word in ("recordings", "25", "cross-validated", "noise-bursts: 5", "16000: 25"):
        assert word in out


def test_recording_that_cannot_be_read_is_named(cli, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"not audio")
    code, out, _ = cli("inspect", tmp_path, "--json")
    assert code == 0
    assert "cannot be decoded" in json.loads(out)["unreadable"]["broken.wav"]


def test_a_manifest_with_wrong_paths_is_one_line_and_a_failure(cli, corpus, tmp_path):
    good = sorted(corpus.rglob("*.wav"))[0]
    for name, files in {"all": [], "some": [good]}.items():
        listed = [*files, *(f"nowhere/{number} x.wav" for number in range(12))]
        (tmp_path / f"{name}.csv").write_text("file\n" + "".join(f"{file}\n" for file in listed))
        code, out, err = cli("inspect", tmp_path / f"{name}.csv")
        assert code == 1
        assert out.count("there is no file") == 1
        assert f"12, e.g. nowhere/0 x.wav: there is no file {tmp_path}/nowhere/0 x.wav" in out
        assert f"12 of {len(listed)} recordings are not found, e.g. 'nowhere/0 x.wav'" in err
        assert "Paths are relative to the manifest." in err
    facts = json.loads(cli("inspect", tmp_path / "some.csv", "--json")[1])
    assert len(facts["unreadable"]) == 12


def test_failures_are_grouped_by_what_differs_in_names_and_numbers_only():
    failures = [(f"{n}.wav", f"'{n}.wav' is {n} s long, in /a/{n}") for n in range(30)]
    failures += [("odd.wav", "is no audio"), *((f"{n}", "x" * n) for n in range(1, 12))]
    lines = grouped(failures)
    assert lines[0] == "30, e.g. 0.wav: '0.wav' is 0 s long, in /a/0"
    assert lines[1] == "odd.wav: is no audio"
    assert lines[-1] == "and 3 other kinds"


def test_a_recording_of_a_table_is_shown_by_its_rows(cli, table):
    code, out, _ = cli("inspect", table, "--recording", "e.wav", "--json")
    assert code == 0
    facts = json.loads(out)
    assert [row["chunk"] for row in facts["rows"]] == [0, 1, 2]
    assert {row["label"] for row in facts["rows"]} == {"cat"}
    refused(cli("inspect", table, "--recording", "e.wave"), "Did you mean 'e.wav'?")


def test_folds_are_shown_by_class(cli, tmp_path):
    write_demo_corpus(tmp_path / "corpus", clips_per_class=5)
    code, out, _ = cli("inspect", tmp_path / "corpus", "--folds", "--json")
    assert code == 0
    facts = json.loads(out)
    assert len(facts) == 10
    assert set(facts["fold 0 valid"].values()) == {"1 (20.0 %)"}
    assert set(facts["fold 4 train"].values()) == {"4 (20.0 %)"}


def test_recordings_of_different_numbers_of_folds_are_one_line(cli, tmp_path):
    rows = rows_of(LABELS)
    for row in rows:
        row["folds"] = [0, 1] if row["file"] == "a.wav" else [0, 1, 0]
    table = write(tmp_path / "table", rows)
    refused(cli("inspect", table, "--folds"), "recordings of 2 and of 3 folds")


def test_a_table_without_splits_says_so(cli, table):
    refused(cli("inspect", table, "--folds"), "neither folds nor partitions")


# --- visualize


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_embeddings_are_drawn_with_fewer_rows_and_columns_than_components(
    cli, table, tmp_path, method
):
    picture = tmp_path / "picture.svg"
    code, out, err = cli("visualize", table, "--output", picture, "--method", method)
    assert code == 0, err
    assert out.strip() == str(picture)
    assert picture.read_text().count("<use") >= len(LABELS) * CHUNKS


def test_a_picture_that_cannot_be_written_is_refused_before_the_work(
    cli, table, tmp_path, monkeypatch
):
    (tmp_path / "a.svg").write_text("mine")
    command = ("visualize", table, "--output")
    with monkeypatch.context() as patch:
        patch.setattr("raudeep.report.pictures.project", None)
        refused(cli(*command, tmp_path / "a.svg"), "a.svg exists", "--overwrite")
        below = tmp_path / "a.svg" / "b.svg"
        refused(cli(*command, below, "--overwrite"), "a.svg cannot be written")
    assert (tmp_path / "a.svg").read_text() == "mine"
    code, _, err = cli(*command, tmp_path / "a.svg", "--method", "pca", "--overwrite")
    assert code == 0, err
    assert "<svg" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--perplexity", 0), "perplexity must be greater than 0. Got 0.0"),
        (("--seed", -1), "seed must be in the range [0, 2**32). Got -1"),
        (("--method", "pca", "--seed", 2**32), "seed must be in the range [0, 2**32). Got 429"),
    ],
)
def test_what_a_projection_cannot_take_is_one_line(cli, table, tmp_path, arguments, said):
    refused(cli("visualize", table, "--output", tmp_path / "a.svg", *arguments), said)
    assert not (tmp_path / "a.svg").exists()


def test_too_few_rows_for_a_picture_are_refused(cli, tmp_path):
    table = write(tmp_path / "table", rows_of({"a.wav": "x"}, chunks=2), parts=1)
    refused(cli("visualize", table, "--output", tmp_path / "a.svg"), "3 or more rows")
