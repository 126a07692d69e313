from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudeep.errors import EvaluationError
from raudeep.evaluation.folds import splits_from_folds, splits_from_partitions
from raudeep.evaluation.stratified import stratified_folds, stratified_partitions


def corpus(recordings_per_class, chunks_per_recording):
    rows = [
        (f"{label}{recording}.wav", label)
        for label, count in recordings_per_class.items()
        for recording in range(count)
        for _ in range(chunks_per_recording)
    ]
    return [file for file, _ in rows], [label for _, label in rows]


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(3, 9), min_size=1, max_size=3),
    chunks=st.integers(1, 4),
    num_folds=st.integers(2, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_chunks_of_a_recording_never_straddle_a_made_fold(counts, chunks, num_folds, seed):
    files, labels = corpus(dict(zip("abc", counts, strict=False)), chunks)
    folds = stratified_folds(files, labels, num_folds=num_folds, seed=seed)
    splits = splits_from_folds(files, folds)
    names = np.array(files)
    for split in splits:
        assert not set(names[split.train]) & set(names[split.valid])
        assert len(split.train) + len(split.valid) == len(files)
    assert sorted(np.concatenate([split.valid for split in splits])) == list(range(len(files)))


def test_made_folds_have_an_equal_share_of_each_class():
    files, labels = corpus({"dog": 10, "cat": 20}, 2)
    for split in splits_from_folds(files, stratified_folds(files, labels, num_folds=5, seed=1)):
        assert Counter(labels[row] for row in split.valid) == {"dog": 4, "cat": 8}


def test_made_folds_depend_on_the_seed_and_not_on_the_order_of_rows():
    files, labels = corpus({"dog": 10, "cat": 10}, 1)
    folds = stratified_folds(files, labels, num_folds=5, seed=1)
    assert folds == stratified_folds(files, labels, num_folds=5, seed=1)
    assert folds != stratified_folds(files, labels, num_folds=5, seed=2)
    assert folds[::-1] == stratified_folds(files[::-1], labels[::-1], num_folds=5, seed=1)


def test_recordings_without_a_label_are_dealt_out_evenly():
    files, labels = corpus({"dog": 4}, 1)
    files, labels = [*files, *"uvwx"], [*labels, None, None, None, None]
    folds = stratified_folds(files, labels, num_folds=2, seed=0)
    assert Counter(folds[4:]) == {(1, 0): 2, (0, 1): 2}


def test_class_with_fewer_recordings_than_folds_is_named():
    files, labels = corpus({"dog": 5, "cat": 2}, 3)
    with pytest.raises(EvaluationError, match=r"num_folds=3 needs at least 3.*'cat' has 2"):
        stratified_folds(files, labels, num_folds=3, seed=0)


def test_corpus_folds_may_overlap_and_leave_rows_out():
    folds = [(0, 1), (1, 0), (None, 0), (1, 1), None]
    first, second = splits_from_folds(list("abcde"), folds)
    assert (first.fold, first.train.tolist(), first.valid.tolist()) == (0, [0], [1, 3])
    assert (second.fold, second.train.tolist(), second.valid.tolist()) == (1, [1, 2], [0, 3])
    assert first.train.dtype == np.int64


def test_rows_without_folds_are_refused():
    with pytest.raises(EvaluationError, match=r"none of 2 rows carries folds\. Set num_folds"):
        splits_from_folds(["a", "b"], [None, None])


def test_different_numbers_of_folds_are_refused():
    with pytest.raises(EvaluationError, match=r"same number of folds.*2 \(e\.g\. 'a'\) and 3"):
        splits_from_folds(["a", "b"], [(0, 1), (0, 1, 0)])


def test_fold_with_an_empty_side_is_named_with_its_rows():
    with pytest.raises(EvaluationError, match="fold 1 has 2 training and 0 validation rows"):
        splits_from_folds(["a", "b"], [(0, 0), (1, 0)])


def test_fold_value_other_than_train_and_valid_is_refused():
    with pytest.raises(EvaluationError, match=r"folds must be 0 \(train\), 1 \(valid\) or None"):
        splits_from_folds(["a", "b"], [(0, 7), (1, 0)])


@pytest.mark.parametrize("other", [(1, 0), None])
def test_recording_whose_chunks_disagree_about_folds_is_named(other):
    with pytest.raises(EvaluationError, match="same folds; 1 of 2 recordings do not: 'a' has"):
        splits_from_folds(["a", "a", "b"], [(0, 1), other, (1, 0)])


def test_partitions_make_one_split():
    partitions = ["train", "devel", "test", "train", None]
    (split,) = splits_from_partitions(
        list("abcde"), partitions, train=["train", "devel"], valid=["test"]
    )
    assert split.fold is None
    assert split.train.tolist() == [0, 1, 3]
    assert split.valid.tolist() == [2]


@pytest.mark.parametrize(
    ("partitions", "valid", "message"),
    [
        (["train", "devel"], ["test"], "no row is in partition 'test'.*have 'devel', 'train'"),
        ([None, None], ["test"], "no row is in partition 'train'.*have no partitions"),
        (["train", "test"], ["train"], r"trained on or scored, not both. Got \['train'\]"),
    ],
)
def test_unusable_partitions_are_refused(partitions, valid, message):
    with pytest.raises(EvaluationError, match=message):
        splits_from_partitions(["a", "b"], partitions, train=["train"], valid=valid)


def test_recording_in_two_partitions_is_named():
    with pytest.raises(EvaluationError, match="'a' has 'train' and 'test'"):
        splits_from_partitions(["a", "a"], ["train", "test"], train=["train"], valid=["test"])


def test_partitions_by_name_are_equal_and_follow_the_seed():
    files = [f"{n}.wav" for n in range(30)]
    labels = ["a"] * 30
    shares = {"train": 1.0, "test": 1.0}
    first, again, other = (
        stratified_partitions(files, labels, shares=shares, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert abs(first.count("train") - 15) <= 1
    with pytest.raises(EvaluationError, match="leave partition 'test' empty"):
        stratified_partitions(["a"], ["x"], shares={"train": 1e6, "test": 1e-6}, seed=0)
