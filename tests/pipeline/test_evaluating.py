"""The command `evaluate`, on small tables."""

import json

import numpy as np
import pytest

from raudeep.config import EvaluationConfig, SvmConfig
from raudeep.pipeline.classification.scoring import evaluate_embeddings
from raudeep.storage.table import read_table
from tests.chunks import rows_of, write
from tests.embeddings import (
    LABELS,
    QUICK,
    SIDES,
    SMALL,
    chunked,
    in_two_orders,
    separable,
    write_table,
)
from tests.support import assert_one_line


@pytest.mark.parametrize("kind", ["mlp", "svm"])
def test_separable_classes_score_one_and_permuted_labels_near_chance(cli, tmp_path, kind):
    scores = []
    for permuted in (False, True):
        table = separable(tmp_path / f"{permuted}", permuted=permuted)
        command = ("evaluate", kind, table, "--output", tmp_path / f"out-{permuted}", "--json")
        code, out, err = cli(*command, *QUICK[kind], "--repeats", 3)
        assert code == 0, err
        scores.append(json.loads(out))
    perfect, chance = scores
    assert perfect["accuracy"] == perfect["uar"] == 1.0
    assert (perfect["num_splits"], perfect["repeats"], perfect["size"]) == (4, 3, 4)
    assert perfect["confusion"] == (np.eye(3, dtype=int) * 60).tolist()
    assert chance["accuracy"] == pytest.approx(1 / 3, abs=0.2)


def test_an_svm_is_fit_once_for_each_fold_from_python_as_well(tmp_path):
    tables = {"t": str(separable(tmp_path / "table"))}
    outputs = {"t": str(tmp_path / "out")}
    result = evaluate_embeddings(
        tables, outputs, classifier=SvmConfig(), evaluation=EvaluationConfig()
    )
    assert (result["t"].score.num_splits, result["t"].score.repeats) == (4, 1)


def test_every_chunk_of_a_recording_is_scored(cli, tmp_path):
    # auDeep scored a recording of several chunks by the last one alone: it would find 0 here.
    table = chunked(tmp_path / "table")
    command = ("evaluate", "svm", table, "--output", tmp_path / "out", "--json")
    sides = ("--train-partitions", "train", "--eval-partitions", "test")
    _, out, _ = cli(*command, *sides)
    score = json.loads(out)
    assert score["accuracy"] == pytest.approx(2 / 3)
    assert np.sum(score["confusion"]) == 18
    # The same predictions, counted by recording.
    code, out, err = cli(*command, *sides, "--majority-vote")
    assert code == 0, err
    assert json.loads(out)["accuracy"] == 1.0
    assert np.sum(json.loads(out)["confusion"]) == 6


def test_what_was_predicted_is_scored_where_labels_are_known(cli, tmp_path):
    table, classifier, place = (tmp_path / name for name in ("table", "classifier", "predictions"))
    cli("train-classifier", "svm", separable(tmp_path / "train", size=3), "--output", classifier)
    code, _, err = cli("predict", chunked(table), "--classifier", classifier, "--output", place)
    assert code == 0, err
    command = ("evaluate", "predictions", place)
    code, out, err = cli(*command, "--json", "--plot", tmp_path / "score.svg")
    assert code == 0, err
    score = json.loads(out)
    # A third of the chunks of the six recordings in test sound like another class.
    assert score["accuracy"] == pytest.approx(66 / 72)
    assert (np.sum(score["confusion"]), score["num_splits"], score["repeats"]) == (72, 1, 1)
    assert (tmp_path / "score.svg").exists()
    assert cli(*command, "--majority-vote", "--quiet")[1] == "1.0000,1.0000\n"
    shown = cli(*command)[1]
    assert "bark" in shown
    assert "values" not in shown  # of what, the predictions do not say
    assert_one_line(cli("evaluate", "predictions", table)[2], "is a table of embeddings")


@pytest.mark.parametrize(
    ("labels", "accuracy"), [(["bark", "meow", None, "howl"], 2 / 3), ([None] * 4, None)]
)
def test_labels_that_no_classifier_knows_are_wrong_and_missing_ones_no_matter(
    cli, tmp_path, labels, accuracy
):
    classifier, place = tmp_path / "classifier", tmp_path / "predictions"
    cli("train-classifier", "svm", separable(tmp_path / "train", size=3), "--output", classifier)
    rows = [(f"{i}.wav", 0, label, "test", None) for i, label in enumerate(labels)]
    table = write_table(tmp_path / "table", rows, 5 * np.eye(3)[[0, 1, 2, 0]])
    code, _, err = cli("predict", table, "--classifier", classifier, "--output", place)
    assert code == 0, err
    code, out, err = cli("evaluate", "predictions", place, "--json")
    if accuracy is None:
        assert code == 1
        assert_one_line(err, "no row of", "has a label to compare with")
        return
    assert json.loads(out)["accuracy"] == pytest.approx(accuracy)
    assert json.loads(out)["labels"] == ["bark", "meow", "moo", "howl"]


def test_quiet_evaluation_is_a_line_of_accuracy_and_recall(cli, tmp_path):
    rows = [(f"{i}.wav", 0, LABELS[i % 4 == 3], "train", None) for i in range(8)]
    rows += [(f"t{i}.wav", 0, LABELS[i > 2], "test", None) for i in range(4)]
    embeddings = [[i % 4 == 3] for i in range(8)] + [[0], [0], [1], [1]]
    table = write_table(tmp_path / "table", rows, embeddings)
    sides = ("--train-partitions", "train", "--eval-partitions", "test")
    code, out, err = cli(
        *("evaluate", "svm", table, "--output", tmp_path / "out", *sides, "--complexity", 1),
        "--quiet",
    )
    assert (code, err) == (0, "")
    assert out == f"{3 / 4:.4f},{(2 / 3 + 1) / 2:.4f}\n"


def test_several_partitions_are_joined_on_either_side(cli, tmp_path):
    table = separable(tmp_path / "table")
    for number, (train, scored, count) in enumerate(
        [(["train", "devel"], ["test"], 15), (["test"], ["train", "devel"], 45)]
    ):
        code, out, err = cli(
            *("evaluate", "svm", table, "--output", tmp_path / f"{number}", "--json"),
            *("--train-partitions", *train, "--eval-partitions", *scored),
        )
        assert code == 0, err
        assert np.sum(json.loads(out)["confusion"]) == count
        assert json.loads(out)["num_splits"] == 1


def test_repeats_are_averaged_and_their_confusions_summed(cli, tmp_path):
    table = separable(tmp_path / "table", permuted=True)
    command = ("evaluate", "mlp", table, *QUICK["mlp"], "--num-folds", 3, "--json")
    _, out, _ = cli(*command, "--repeats", 3, "--output", tmp_path / "out")
    score = json.loads(out)
    rows = read_table(str(tmp_path / "out"))
    hits = np.array(rows["predicted"].to_pylist()) == np.array(rows["label"].to_pylist())
    folds, repeats = rows["fold"].to_numpy(), rows["repeat"].to_numpy()
    means = [[hits[(folds == f) & (repeats == r)].mean() for f in range(3)] for r in range(3)]
    assert score["accuracy"] == pytest.approx(np.mean(means))
    assert score["accuracy_std_repeats"] == pytest.approx(np.mean(means, axis=1).std())
    assert np.sum(score["confusion"]) == rows.num_rows == 180
    probabilities = np.array(rows["probabilities"].to_pylist())
    assert [LABELS[i] for i in probabilities.argmax(axis=1)] == rows["predicted"].to_pylist()


@pytest.mark.parametrize("splits", [{"num_folds": 3}, SIDES], ids=["folds", "partitions"])
def test_scores_do_not_depend_on_the_order_of_the_rows(tmp_path, splits):
    tables = in_two_orders(tmp_path)
    outputs = {name: str(tmp_path / f"{name}-out") for name in tables}
    evaluation = EvaluationConfig(repeats=2, **splits)
    found = evaluate_embeddings(tables, outputs, classifier=SMALL, evaluation=evaluation)
    assert found["sorted"].score == found["shuffled"].score
    columns = ("fold", "repeat", "file", "chunk")
    by = [(name, "ascending") for name in columns]
    first, second = (read_table(uri).sort_by(by) for uri in outputs.values())
    assert first.drop_columns("probabilities").equals(second.drop_columns("probabilities"))
    both = [np.array(each["probabilities"].to_pylist()) for each in (first, second)]
    np.testing.assert_allclose(*both, atol=1e-5)


def test_predictions_are_in_the_order_of_their_table(tmp_path):
    table = in_two_orders(tmp_path)["shuffled"]
    outputs = {"it": str(tmp_path / "out")}
    evaluation = EvaluationConfig(repeats=1, **SIDES)
    evaluate_embeddings({"it": table}, outputs, classifier=SMALL, evaluation=evaluation)
    scored = [row for row in read_table(table).to_pylist() if row["partition"] == "test"]
    predicted = read_table(outputs["it"]).to_pylist()
    assert [(row["file"], row["chunk"]) for row in predicted] == [
        (row["file"], row["chunk"]) for row in scored
    ]


def test_a_prediction_says_where_its_chunk_lies(tmp_path):
    labels = {"a.wav": "dog", "b.wav": "dog", "c.wav": "cat", "d.wav": "cat"}
    rows = rows_of(labels, partition=lambda file: "test" if file in "b.wav d.wav" else "train")
    table = write(tmp_path / "table", rows)
    sides = EvaluationConfig(**SIDES)
    evaluate_embeddings(
        {"it": str(table)}, {"it": str(tmp_path / "out")}, classifier=SvmConfig(), evaluation=sides
    )
    wanted = [row for row in rows if row["partition"] == "test"]
    found = read_table(str(tmp_path / "out"), columns=["file", "chunk", "start", "end"])
    assert found.to_pylist() == [{name: row[name] for name in found.column_names} for row in wanted]
    assert found["end"].to_pylist()[:3] == [2.0, 4.0, 6.0]


def test_confusion_matrix_is_drawn_to_a_file(cli, tmp_path):
    table = separable(tmp_path / "table")
    command = ("evaluate", "svm", table, "--output", tmp_path / "out", "--plot")
    code, out, err = cli(*command, tmp_path / "matrix.png")
    assert (code, out) == (1, "")
    assert_one_line(err, ".svg", "matrix.png")
    assert not (tmp_path / "out").exists()
    code, _, err = cli(*command, tmp_path / "matrix.svg")
    assert code == 0, err
    assert (tmp_path / "matrix.svg").read_text().startswith("<?xml")


def test_a_file_is_no_picture_to_be_drawn_over(cli, tmp_path):
    table = separable(tmp_path / "table")
    picture, output = tmp_path / "matrix.svg", tmp_path / "out"
    command = ("evaluate", "svm", table, "--output", output, "--plot")
    picture.write_text("mine")
    for place, said in ((picture, ("matrix.svg exists", "--overwrite")), (picture / "a.svg", ())):
        code, out, err = cli(*command, place)
        assert (code, out) == (1, "")
        assert_one_line(err, *said)
        assert not output.exists()
    assert cli(*command, tmp_path / "other.svg")[0] == 0
    code, out, err = cli(*command, picture)
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "matrix.svg exists", "--overwrite")
    assert picture.read_text() == "mine"
    assert cli(*command, picture, "--overwrite")[0] == 0
    assert picture.read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert cli(*command, picture)[0] == 0, "the same command again"


@pytest.mark.parametrize(
    "command",
    [
        ("evaluate", "svm", "TABLE", "--num-folds", 3),
        ("predict", "svm", "TABLE", "--train-table", "TABLE"),
        ("predict", "TABLE", "--classifier", "CLASSIFIER"),
    ],
)
def test_predictions_are_not_written_over_their_embeddings(cli, tmp_path, command):
    places = {"TABLE": separable(tmp_path / "table"), "CLASSIFIER": tmp_path / "kept"}
    before = read_table(str(places["TABLE"]))
    cli("train-classifier", "svm", places["TABLE"], "--output", places["CLASSIFIER"])
    found = [places.get(word, word) for word in command]
    for overwrite in ((), ("--overwrite",)):
        code, out, err = cli(*found, "--output", places["TABLE"], *overwrite)
        assert (code, out) == (1, "")
        assert_one_line(err, "is a table of embeddings", "Choose another output")
        assert read_table(str(places["TABLE"])).equals(before)
