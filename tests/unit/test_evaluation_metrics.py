import json
import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, recall_score

from raudeep.errors import EvaluationError
from raudeep.evaluation.metrics import majority_vote, score_predictions


def score(rows, label_map=("cat", "cow", "dog"), **options):
    """Score rows of (file, label, predicted, fold, repeat)."""
    names = ("files", "labels", "predicted", "folds", "repeats")
    columns = zip(*rows, strict=True) if rows else [()] * 5
    return score_predictions(
        **dict(zip(names, columns, strict=True)), label_map=label_map, **options
    )


def test_recall_and_confusion_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predicted = (rng.choice(["cat", "cow", "dog"], 60, p=[0.6, 0.3, 0.1]) for _ in "ab")
    result = score([(str(i), labels[i], predicted[i], 0, 0) for i in range(60)])
    assert result.uar == pytest.approx(recall_score(labels, predicted, average="macro"))
    assert result.accuracy == pytest.approx(np.mean(labels == predicted))
    np.testing.assert_array_equal(result.confusion, confusion_matrix(labels, predicted))


def test_recall_averages_over_the_classes_that_a_fold_has():
    rows = [("a", "cat", "cat", 0, 0), ("b", "cat", "cow", 0, 0), ("c", "dog", "dog", 0, 0)]
    assert score(rows).uar == pytest.approx((0.5 + 1.0) / 2)


def test_means_and_spreads_follow_their_definitions():
    # Accuracies of two folds (lines) in two repeats: 1.0 0.5 | 0.5 0.0
    hits = {(0, 0): 2, (0, 1): 1, (1, 0): 1, (1, 1): 0}
    rows = [
        (f"{fold}-{i}", "cat", "cat" if i < hit else "dog", fold, repeat)
        for (fold, repeat), hit in hits.items()
        for i in range(2)
    ]
    result = score(rows)
    assert result.accuracy == result.uar == pytest.approx(0.5)
    assert result.fold_accuracies == pytest.approx([0.75, 0.25])
    assert result.accuracy_std_folds == result.uar_std_folds == pytest.approx(0.25)
    assert result.accuracy_std_repeats == result.uar_std_repeats == pytest.approx(0.25)
    assert (result.num_splits, result.repeats) == (2, 2)
    assert result.confusion == [[4, 0, 4], [0, 0, 0], [0, 0, 0]]


def test_spread_over_folds_and_over_repeats_are_told_apart():
    rows = [
        (f"{fold}", "cat", "cat" if fold == 0 else "dog", fold, repeat)
        for fold in range(2)
        for repeat in range(3)
    ]
    result = score(rows)
    assert result.accuracy_std_folds == pytest.approx(0.5)
    assert result.accuracy_std_repeats == 0.0


def test_folds_count_equally_whatever_their_size():
    rows = [("a", "cat", "cat", 0, 0), *((f"b{i}", "cat", "dog", 1, 0) for i in range(9))]
    assert score(rows).accuracy == pytest.approx(0.5)


def test_vote_gives_the_most_frequent_class_in_order_of_first_appearance():
    files = ["b", "a", "b", "a", "b", "a"]
    names, ids = majority_vote(files, np.array([2, 0, 2, 1, 0, 1]), 3)
    assert names == ["b", "a"]
    assert ids.tolist() == [2, 1]


def test_vote_tie_goes_to_the_lowest_id():
    names, ids = majority_vote(["a", "a", "b", "b"], np.array([2, 1, 0, 2]), 3)
    assert names == ["a", "b"]
    assert ids.tolist() == [1, 0]


def test_recordings_are_scored_once_by_majority_and_chunks_otherwise():
    chunks = [("a", "dog", guess, 0, 0) for guess in ("dog", "cat", "dog")]
    rows = [*chunks, ("b", "cat", "dog", 0, 0)]
    assert score(rows).accuracy == pytest.approx(0.5)
    voted = score(rows, majority_vote=True)
    assert voted.accuracy == pytest.approx(0.5)
    assert voted.confusion == [[0, 0, 1], [0, 0, 0], [0, 0, 1]]


def test_vote_is_taken_within_each_repeat():
    rows = [("a", "dog", guess, 0, repeat) for repeat, guess in enumerate(["cat", "cat", "dog"])]
    assert score(rows, majority_vote=True).accuracy == pytest.approx(1 / 3)


def test_rows_without_a_label_are_not_scored():
    rows = [("a", "cat", "cat", None, 0), ("b", None, "dog", None, 0)]
    result = score(rows)
    assert result.accuracy == 1.0
    assert np.sum(result.confusion) == 1
    assert result.num_splits == 1


def test_score_survives_json():
    result = score([("a", "cat", "cat", 0, 0), ("b", "dog", "cat", 0, 0)])
    stored = json.loads(json.dumps(result.to_dict()))
    assert stored["labels"] == ["cat", "cow", "dog"]
    assert math.isclose(stored["accuracy"], 0.5)
    assert type(result)(**stored) == result


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no predictions to score"),
        ([("a", "cat", "cow", 0, 0), ("b", None, "cow", 1, 0)], "fold 1 has no rows with a label"),
        ([("a", "cat", "cow", 0, 0), ("b", "cat", "cow", 1, 1)], "fold 0 .* label in repeat 1"),
        ([("a", None, "cow", None, 0)], "scored partitions have no rows with a label"),
        ([("a", "emu", "cow", 0, 0)], r"labels \['emu'\] are none of the 3 classes"),
    ],
)
def test_unusable_predictions_are_refused(rows, message):
    with pytest.raises(EvaluationError, match=message):
        score(rows)


def test_ten_thousand_classes_are_scored_without_a_matrix_of_them():
    labels = [f"species {number:05d}" for number in range(10_000)]
    rows = [(f"{i}", label, label if i % 4 else labels[0], 0, 0) for i, label in enumerate(labels)]
    found = score(rows, label_map=labels)
    assert found.confusion is None
    assert found.accuracy == pytest.approx((7500 + 1) / 10_000)
    assert found.uar == pytest.approx(found.accuracy)
    assert json.loads(json.dumps(found.to_dict()))["confusion"] is None
