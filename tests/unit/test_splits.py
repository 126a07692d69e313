"""The splits that an evaluation asks of a table, refused before anything is trained for them."""

import pyarrow as pa
import pytest

from raudeep.config import EvaluationConfig
from raudeep.errors import ConfigError, EvaluationError
from raudeep.pipeline.classification.predictions import rows_of_partitions, score_table, splits_of

SIDES = EvaluationConfig(train_partitions=("train",), eval_partitions=("test",))


def metadata(labels, folds=None, partitions=None):
    nothing = [None] * len(labels)
    columns = {
        "file": pa.array([f"{n}.wav" for n in range(len(labels))]),
        "label": pa.array(labels, pa.string()),
        "partition": pa.array(partitions or nothing, pa.string()),
        "folds": pa.array(folds or nothing, pa.list_(pa.int8())),
    }
    return pa.table(columns)


def test_splits_may_have_rows_without_a_label():
    table = metadata(["a", "b", None, "a"], folds=[[0], [0], [0], [1]])
    (split,) = splits_of(table, EvaluationConfig(), "t")
    assert (split.train.tolist(), split.valid.tolist()) == ([0, 1, 2], [3])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["a", "b", None, None], "t: fold 0 has 2 rows to score, none of them with a label"),
        (["a", None, "a", "b"], "t: fold 0 has 2 rows to train on, of 'a' alone; .* two classes"),
        ([None, None, "a", "b"], "t: fold 0 has 2 rows to train on, of no class alone"),
    ],
)
def test_a_split_that_cannot_be_scored_is_refused(labels, said):
    with pytest.raises(EvaluationError, match=said):
        splits_of(metadata(labels, folds=[[0], [0], [1], [1]]), EvaluationConfig(), "t")
    partitions = ["train", "train", "test", "test"]
    with pytest.raises(EvaluationError, match=said.replace("fold 0", "the partition")):
        splits_of(metadata(labels, partitions=partitions), SIDES, "t")


def test_one_name_of_a_partition_or_label_is_not_its_letters():
    with pytest.raises(ConfigError, match=r"partitions must be a list, also of one\. Got 'test'"):
        rows_of_partitions(metadata(["a"] * 4, partitions=["test"] * 4), "test", "t")
    with pytest.raises(ConfigError, match=r"labels must be a list, also of one\. Got 'dog'"):
        score_table("t", "dog")
