"""Kept classifiers: `train-classifier` and `predict`, on small tables."""

import json
import sys

import numpy as np
import pytest

from raudeep.config import FitConfig, SvmConfig
from raudeep.pipeline.classification import predicting
from raudeep.pipeline.classification.classifiers import fit_table, load_classifier
from raudeep.pipeline.classification.predicting import predict_table
from raudeep.pipeline.classification.predictions import prediction_rows
from raudeep.storage.opening import open_tables
from raudeep.storage.table import read_table
from tests.embeddings import (
    LABELS,
    QUICK,
    SMALL,
    chunked,
    in_two_orders,
    separable,
    write_table,
)
from tests.support import assert_one_line

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.mark.parametrize("kind", ["mlp", "svm"])
def test_kept_classifier_predicts_bitwise_as_the_one_just_fitted(cli, tmp_path, monkeypatch, kind):
    train, other = separable(tmp_path / "a"), separable(tmp_path / "b", permuted=True, seed=1)
    fit = (*QUICK[kind], "--repeats", 2, "--seed", 3, "--train-partitions", "train", "devel")
    command = ("train-classifier", kind, train, "--output", tmp_path / "kept", *fit)
    code, out, err = cli(*command, "--json")
    assert code == 0, err
    assert json.loads(out)[0]["rows"] == 45, "those of the partitions"
    code, _, err = cli(
        "predict", kind, other, "--train-table", train, "--output", tmp_path / "direct", *fit
    )
    assert code == 0, err
    for module in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, module, None)  # fitting needs it, predicting does not
    code, _, err = cli(
        "predict", other, "--classifier", tmp_path / "kept", "--output", tmp_path / "later"
    )
    assert code == 0, err
    direct, later = (read_table(str(tmp_path / name)) for name in ("direct", "later"))
    assert direct.equals(later)
    assert later.num_rows == 60
    assert set(later["fold"].to_pylist()) == {None}
    assert set(later["repeat"].to_pylist()) == {0}
    np.testing.assert_allclose(np.array(later["probabilities"].to_pylist()).sum(axis=1), 1, 1e-5)
    truth = [LABELS[i % 3] for i in range(60)]  # by sound; the labels of this table are permuted
    assert later["predicted"].to_pylist() == truth


def test_kept_classifiers_do_not_depend_on_the_order_of_the_rows(tmp_path):
    first, second = (
        fit_table(table, config=SMALL, fit=FitConfig()).classifier
        for table in in_two_orders(tmp_path).values()
    )
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_array_equal(first.std, second.std)
    weights, expected = first.fitted.arrays(), second.fitted.arrays()
    for name in expected:
        np.testing.assert_array_equal(weights[name], expected[name])


def test_kept_classifier_is_standardised_by_its_training_partitions(cli, tmp_path):
    table = separable(tmp_path / "table")
    cli(
        "train-classifier",
        "svm",
        table,
        "--output",
        tmp_path / "kept",
        "--train-partitions",
        "test",
    )
    rows = np.array(read_table(str(table))["embedding"].to_pylist(), np.float32)[30:45]
    classifier = load_classifier(str(tmp_path / "kept")).classifier
    np.testing.assert_allclose(classifier.mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(classifier.std, rows.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("value", "rule"), [(np.nan, "must be finite"), (1e38, "must be of the scale of those")]
)
def test_rows_that_cannot_be_predicted_are_named(cli, tmp_path, value, rule):
    """By recording and chunk, also where rows and parts before them are left out."""
    rows = [(f"{i:02d}.wav", 5, LABELS[i % 3], ("train", "test")[i % 2], None) for i in range(20)]
    embeddings = np.random.default_rng(0).standard_normal((20, 2))
    embeddings[:, 1] *= 1e-5
    embeddings[17, 1] = value
    table = write_table(tmp_path / "table", rows, embeddings)
    sides = ("--train-partitions", "train", "--eval-partitions", "test")
    for number, (command, place) in enumerate(
        [
            (("predict", "svm", table, "--train-table", table), f"part-00001.parquet of {table}"),
            (("evaluate", "svm", table), "the scored partitions"),
        ]
    ):
        code, out, err = cli(*command, *sides, "--output", tmp_path / f"{number}")
        assert (code, out) == (1, "")
        said = f"1 rows of {place} are not, e.g. chunk 5 of '17.wav'."
        assert_one_line(err.splitlines()[-1], rule, said)


def test_kept_classifier_is_json_and_safetensors_and_not_fitted_twice(cli, tmp_path):
    table = separable(tmp_path / "table")
    command = ("train-classifier", "svm", table, "--output", tmp_path / "kept", "--json")
    assert json.loads(cli(*command)[1])[0]["reused"] == 0
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"classifier.json", "classifier.safetensors"}
    assert json.loads(cli(*command)[1])[0]["reused"] == 1
    code, out, err = cli(*command, "--complexity", 5)
    assert (code, out) == (1, "")
    assert_one_line(err, "config.svm.complexity is 0.001 there and 5.0 now", "--overwrite")
    assert cli(*command, "--complexity", 5, "--overwrite")[0] == 0


def test_a_classifier_whose_writing_was_killed_is_trained_by_the_same_command(cli, tmp_path):
    table, kept = separable(tmp_path / "table"), tmp_path / "kept"
    kept.mkdir()
    (kept / ".classifier.safetensors.0123abcd.tmp").write_bytes(b"half a fi")
    command = ("train-classifier", "svm", table, "--output", kept, "--json")
    code, out, err = cli(*command)
    assert code == 0, err
    assert json.loads(out)[0]["reused"] == 0
    assert load_classifier(str(kept)).labels == sorted(LABELS)
    assert json.loads(cli(*command)[1])[0]["reused"] == 1
    (kept / "thesis.tex").write_text("precious")
    assert cli(*command, "--complexity", 5, "--overwrite")[0] == 0
    assert (kept / "thesis.tex").read_text() == "precious"


def test_label_list_has_a_line_for_each_recording_by_majority_vote(cli, tmp_path):
    # auDeep's form. Without a vote it took the label of a recording's last chunk: one too high.
    table = chunked(tmp_path / "table")
    code, out, err = cli(
        *("predict", "svm", table, "--train-table", table, "--train-partitions", "train"),
        *("--eval-partitions", "test", "--output", tmp_path / "labels.tsv", "--json"),
    )
    assert code == 0, err
    expected = [f"{i:02d}.wav\t{LABELS[i % 3]}\n" for i in range(18, 24)]
    assert (tmp_path / "labels.tsv").read_text() == "".join(expected)
    assert json.loads(out)[0]["table"] == str(tmp_path / "labels.tsv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.tsv", "table"]


def test_a_label_list_replaces_a_file_on_purpose_only(cli, tmp_path):
    table, output = chunked(tmp_path / "table"), tmp_path / "labels.tsv"
    output.write_text("precious")
    command = ("predict", "svm", table, "--train-table", table, "--output")
    code, out, err = cli(*command, output)
    assert (code, out) == (1, "")
    assert_one_line(err, f"{output} exists", "--overwrite")
    assert output.read_text() == "precious"
    assert cli(*command, output, "--overwrite")[0] == 0
    written = output.read_text()
    assert len(written.splitlines()) == 24
    assert_one_line(cli(*command, output)[2], f"{output} exists")
    (tmp_path / "folder.tsv").mkdir()
    code, out, err = cli(*command, tmp_path / "folder.tsv", "--overwrite")
    assert (code, out) == (1, "")
    assert_one_line(err, "folder.tsv exists")
    assert output.read_text() == written
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["folder.tsv", "labels.tsv", "table"]


def test_an_interrupted_label_list_goes_on_with_what_is_its_own(cli, tmp_path, monkeypatch):
    table = chunked(tmp_path / "table")
    command = ("predict", "svm", table, "--train-table", table, "--json", "--output")
    assert cli(*command, tmp_path / "undisturbed.tsv")[0] == 0

    def interrupt(*flags):
        parts = []

        def second(*arguments, **settings):
            parts.append(arguments)
            if len(parts) == 2:
                raise KeyboardInterrupt
            return prediction_rows(*arguments, **settings)

        with monkeypatch.context() as patch:
            patch.setattr(predicting, "prediction_rows", second)
            assert cli(*command, tmp_path / "labels.tsv", *flags)[0] == 130
        assert not (tmp_path / "labels.tsv").exists()

    for flags, reused in (((), 1), (("--complexity", 5), 0)):
        interrupt(*flags)
        code, out, err = cli(*command, tmp_path / "labels.tsv")
        assert code == 0, err
        assert (json.loads(out)[0]["reused"], json.loads(out)[0]["parts"]) == (reused, 2)
        expected = (tmp_path / "undisturbed.tsv").read_text()
        assert (tmp_path / "labels.tsv").read_text() == expected
        (tmp_path / "labels.tsv").unlink()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["table", "undisturbed.tsv"]


def test_a_label_list_by_a_relative_path_lies_where_python_is(tmp_path, monkeypatch):
    table = str(chunked(tmp_path / "table"))
    places = []

    def spy(writers, **settings):
        places.extend(writer.uri for writer in writers)
        return open_tables(writers, **settings)

    monkeypatch.setattr(predicting, "open_tables", spy)
    monkeypatch.chdir(tmp_path)
    predict_table(fit_table(table, config=SvmConfig(), fit=FitConfig()), table, "labels.tsv")
    assert len((tmp_path / "labels.tsv").read_text().splitlines()) == 24
    assert places == [str(tmp_path / ".labels.tsv.table")]


def test_chosen_partitions_are_predicted_in_the_order_of_the_table(cli, tmp_path):
    table = separable(tmp_path / "table")
    command = ("predict", "svm", table, "--train-table", table, "--output", tmp_path / "out")
    code, _, err = cli(*command, "--eval-partitions", "test", "devel")
    assert code == 0, err
    found = read_table(str(tmp_path / "out"))["file"].to_pylist()
    assert found == [f"{i:02d}.wav" for i in range(15, 45)]
    code, out, err = cli(*command, "--eval-partitions", "tset", "--overwrite")
    assert (code, out) == (1, "")
    assert_one_line(err, "'tset'", "'devel', 'test', 'train'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("predict", "TABLE", "--classifier", "nowhere"), ["nowhere", "no finished classifier"]),
        (("predict", "TABLE", "--classifier", "TABLE"), ["no finished classifier"]),
        (("predict", "TABLE", "--classifier", "damaged"), ["the classifier cannot be read"]),
        (("predict", "TABLE", "--classifier", "CLASSIFIER", "--model", "m"), ["--model is for"]),
        *(
            (("predict", "TABLE", "--classifier", "CLASSIFIER", *flags), ["for audio", flags[0]])
            for flags in (
                ("--max-errors", "1%"),
                ("--max-duration", 2),
                ("--retry-errors",),
                ("--corpus-layout", "nonsense"),
            )
        ),
        (("predict", "nowhere", "--classifier", "CLASSIFIER"), ["no corpus at", "nowhere"]),
        (("predict", "WIDER", "--classifier", "CLASSIFIER"), ["of 5 values", "embeddings of 4"]),
        (("predict", "svm", "nowhere", "--train-table", "TABLE"), ["nowhere", "no table"]),
        (("predict", "svm", "WIDER", "--train-table", "TABLE"), ["of 5 values"]),
        (("train-classifier", "svm", "nowhere"), ["nowhere", "no table"]),
        (
            ("train-classifier", "svm", "TABLE", "--train-partitions", "night"),
            ["'night'", "'devel', 'test', 'train'"],
        ),
        (("train-classifier", "svm", "TABLE", "--complexity", 0), ["--complexity must", "Got 0"]),
        (("train-classifier", "mlp", "TABLE", "--repeats", 0), ["--repeats must be at least 1"]),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(cli, tmp_path, arguments, words):
    places = {"TABLE": separable(tmp_path / "table"), "CLASSIFIER": tmp_path / "kept"}
    places["WIDER"] = separable(tmp_path / "wider", size=5)
    cli("train-classifier", "svm", places["TABLE"], "--output", places["CLASSIFIER"])
    cli("train-classifier", "svm", places["TABLE"], "--output", tmp_path / "damaged")
    (tmp_path / "damaged" / "classifier.safetensors").write_bytes(b"nothing")
    found = [places.get(word, word) for word in arguments]
    found = [tmp_path / word if word in ("damaged", "nowhere") else word for word in found]
    for output in ("out", "out.tsv"):
        code, out, err = cli(*found, "--output", tmp_path / output)
        assert (code, out) == (1, "")
        assert_one_line(err, *words)
        assert not list(tmp_path.glob("*out*"))


def test_audio_is_refused_where_no_autoencoder_made_the_embeddings(cli, corpus, tmp_path):
    table = separable(tmp_path / "table")
    cli("train-classifier", "svm", table, "--output", tmp_path / "kept")
    code, out, err = cli(
        "predict", corpus, "--classifier", tmp_path / "kept", "--output", tmp_path / "out"
    )
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "names no autoencoder")
