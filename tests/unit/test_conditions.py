import numpy as np

from raudeep.evaluation.conditions import score_limits, unknown_labels
from raudeep.evaluation.folds import splits_from_folds, splits_from_partitions


def splits(roles):
    return splits_from_folds([str(number) for number in range(len(roles))], roles)


def test_a_class_of_one_fold_is_said_with_its_rows_and_where():
    labels = ["cat", "dog", "emu", "emu", "cat", "dog"]
    roles = [(1, 0), (1, 0), (1, 0), (1, 0), (0, 1), (0, 1)]
    (found,) = score_limits(labels, splits(roles))
    assert found == (
        "2 of 6 scored rows have a label that no training row of their fold has, so they cannot be "
        "right: 'emu' (in fold 0)"
    )


def test_labels_that_only_scored_partitions_have_are_said():
    labels = ["cat", "dog", *"abcd", None]
    files = [str(number) for number in range(7)]
    made = splits_from_partitions(
        files, ["train"] * 2 + ["test"] * 5, train=["train"], valid=["test"]
    )
    (found,) = score_limits(labels, made)
    assert found == (
        "4 of 4 scored rows have a label that no training row has, so they cannot be right: "
        "'a', 'b', 'c' and 1 more"
    )


def test_measured_values_are_no_classes_but_whole_numbers_may_be():
    rng = np.random.default_rng(0)
    roles = [(0, 1), (1, 0)] * 20
    values = [f"{value:.3f}" for value in rng.random(20) for _ in range(2)]
    (found,) = score_limits(values, splits(roles))
    assert "the labels are numbers such as " in found
    assert "each of 20 values is a class of its own" in found
    assert not score_limits([str(number // 2 % 5) for number in range(40)], splits(roles))
    assert not score_limits(["nan", "nan", "inf", "inf"] * 10, splits(roles))


def test_nothing_is_said_of_rows_that_all_can_be_right():
    assert score_limits(["a", "b", "a", "b", None], splits([(0, 1)] * 2 + [(1, 0)] * 3)) == []


def test_labels_that_a_classifier_does_not_know_are_counted():
    assert unknown_labels(["a", None, "b"], ["a", "b"]) is None
    assert unknown_labels(["a", "x", None, "y", "x"], {"a", "b"}) == (
        "3 of 4 rows have a label that the classifier was not trained on, so they cannot be right: "
        "'x', 'y'"
    )
