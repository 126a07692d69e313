"""What a sweep may not see: folds and partitions that the final evaluation scores."""

import pyarrow as pa
import pytest

from raudeep.config import EvaluationConfig, TuneConfig
from raudeep.errors import ConfigError, EvaluationError
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline.classification.predictions import splits_of
from raudeep.pipeline.tuning.reserving import divide_recordings


def corpus(num_folds=5, per_fold=4, partitions=()):
    rows = []
    for number in range(num_folds * per_fold):
        fold = number % num_folds
        rows.append(
            Recording(
                file=f"{number:02}.wav",
                uri=f"/corpus/{number:02}.wav",
                label="ab"[number // num_folds % 2],
                folds=tuple(int(i == fold) for i in range(num_folds)) if num_folds > 1 else None,
                partition=partitions[number % len(partitions)] if partitions else None,
            )
        )
    return manifest_table(rows)


def divide(manifest, tune=None, **evaluation):
    return divide_recordings(
        manifest, EvaluationConfig(**evaluation), tune or TuneConfig(), corpus="/corpus"
    )


def valid_files(table, fold):
    rows = table.to_pylist()
    return {row["file"] for row in rows if row["folds"] and row["folds"][fold] == 1}


@pytest.mark.parametrize(
    ("tune", "evaluation", "reserved", "scored"),
    [
        ({}, {}, (4,), (0, 1, 2, 3)),
        ({"reserved_folds": (0, 2)}, {}, (0, 2), (1, 3, 4)),
        ({"reserved_folds": (0,), "scored_folds": (3,)}, {}, (0,), (3,)),
        ({}, {"folds": (1,)}, (1,), (0, 2, 3, 4)),
        ({}, {"num_folds": 4, "seed": 7}, (3,), (0, 1, 2)),
        ({"objective": "loss"}, {}, (4,), (0, 1, 2, 3)),
    ],
)
def test_no_recording_of_a_reserved_fold_is_left(tune, evaluation, reserved, scored):
    division = divide(corpus(), TuneConfig(**tune), **evaluation)
    assert (division.reserved_folds, division.scored_folds) == (reserved, scored)
    held = set().union(*(valid_files(division.manifest, fold) for fold in reserved))
    left = set(division.searched["file"].to_pylist())
    assert held
    assert left == set(division.manifest["file"].to_pylist()) - held
    assert division.num_reserved == len(held)
    # and the folds that score trials are the others, of what is left
    for place, fold in enumerate(scored):
        found = valid_files(division.searched, place)
        assert found == valid_files(division.manifest, fold) & left


def test_the_final_evaluation_scores_the_reserved_folds_alone():
    division = divide(corpus(), TuneConfig(reserved_folds=(1, 3)))
    evaluation = EvaluationConfig(folds=division.reserved_folds)
    splits = splits_of(division.manifest, evaluation, "t")
    assert [split.fold for split in splits] == [1, 3]
    files = division.manifest["file"].to_pylist()
    scored = {files[row] for split in splits for row in split.valid}
    assert not scored & set(division.searched["file"].to_pylist())
    with pytest.raises(EvaluationError, match="t has no fold 5; it has 5 folds, counted from 0"):
        splits_of(division.manifest, EvaluationConfig(folds=(5,)), "t")


def test_partitions_that_are_scored_are_reserved():
    manifest = corpus(num_folds=1, per_fold=30, partitions=("train", "devel", "test"))
    division = divide(manifest, train_partitions=("train", "devel"), eval_partitions=("test",))
    assert division.reserved_partitions == ("test",)
    assert set(division.searched["partition"].to_pylist()) == {"train", "devel"}
    assert division.num_reserved == 10
    assert len(division.scored_folds) == 5
    with pytest.raises(EvaluationError, match=r"no recording is in partition 'Test'.*'train'"):
        divide(manifest, train_partitions=("train",), eval_partitions=("test", "Test"))
    partitions = {"train_partitions": ("train",), "eval_partitions": ("test",)}
    with pytest.raises(ConfigError, match="evaluated by partitions: 'reserved_folds'"):
        divide(manifest, TuneConfig(reserved_folds=(1,)), **partitions)


def test_without_folds_only_the_loss_can_be_searched():
    manifest = corpus(num_folds=1, per_fold=10)
    with pytest.raises(EvaluationError, match=r"/corpus has no folds to reserve\. Set num_folds"):
        divide(manifest)
    assert divide(manifest, TuneConfig(objective="loss")).num_reserved == 0
    unlabelled = manifest.set_column(2, "label", pa.nulls(10, pa.string()))
    with pytest.raises(EvaluationError, match="fewer than two labels, so no trial can be scored"):
        divide(unlabelled)


@pytest.mark.parametrize(
    ("tune", "said"),
    [
        ({"reserved_folds": (5,)}, r"'reserved_folds' must name some of the 5 folds"),
        ({"scored_folds": (4,)}, r"'scored_folds' must name some.*\(4,\) reserved"),
        ({"reserved_folds": (0, 1, 2, 3, 4)}, r"'scored_folds' must name some"),
    ],
)
def test_folds_that_are_not_there_are_refused(tune, said):
    with pytest.raises(ConfigError, match=said):
        divide(corpus(), TuneConfig(**tune))
