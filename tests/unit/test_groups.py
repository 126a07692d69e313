"""Groups: the recordings of a speaker or a session stay on one side of a split."""

import logging

import numpy as np
import pytest

from raudeep.config import EvaluationConfig
from raudeep.errors import ConfigError, EvaluationError
from raudeep.evaluation.folds import splits_from_folds
from raudeep.evaluation.stratified import stratified_folds, stratified_partitions
from raudeep.pipeline.classification.predictions import describe_evaluation, splits_of
from raudeep.storage.table import read_table
from tests.chunks import columns, rows_of, write
from tests.support import refused

SPEAKER = r"^(spk\d+)_"
LABELS = {
    f"spk{speaker}_{take}.wav": "joy" if (speaker + take) % 3 else "anger"
    for speaker in range(12)
    for take in range(3 + speaker % 4)
}


def speaker(file):
    return file.partition("_")[0]


@pytest.mark.parametrize("seed", range(5))
def test_the_recordings_of_a_group_are_in_one_made_fold(seed):
    files, labels = list(LABELS), list(LABELS.values())
    made = stratified_folds(files, labels, num_folds=3, seed=seed, group_pattern=SPEAKER)
    for split in splits_from_folds(files, made):
        train, valid = (
            {speaker(files[row]) for row in rows} for rows in (split.train, split.valid)
        )
        assert not train & valid
        assert len(train | valid) == 12
        share = np.mean([labels[row] == "joy" for row in split.valid])
        assert share == pytest.approx(np.mean([label == "joy" for label in labels]), abs=0.15)
    again = stratified_folds(
        files[::-1], labels[::-1], num_folds=3, seed=seed, group_pattern=SPEAKER
    )
    assert again[::-1] == made
    alone = stratified_folds(files, labels, num_folds=3, seed=seed)
    assert alone != made


def test_the_group_is_the_first_parenthesis_or_all_that_matches():
    files, labels = list(LABELS), list(LABELS.values())
    settings = {"num_folds": 3, "seed": 1}
    made = stratified_folds(files, labels, group_pattern=SPEAKER, **settings)
    assert stratified_folds(files, labels, group_pattern=r"^spk\d+(?=_)", **settings) == made
    # What has no group is one of its own.
    more = [*files, "a.wav", "b.wav", "c.wav"]
    labels = [*labels, "joy", None, None]
    folds = stratified_folds(more, labels, group_pattern=SPEAKER, **settings)
    for file, roles in zip(files, folds, strict=False):
        assert roles == folds[files.index(f"{speaker(file)}_0.wav")]


def test_groups_that_cannot_be_divided_are_refused():
    files, labels = list(LABELS), list(LABELS.values())
    few = {"num_folds": 3, "seed": 0}
    with pytest.raises(EvaluationError, match=r"finds nothing in any of .* names, e\.g\. 'spk0_0"):
        stratified_folds(files, labels, group_pattern="speaker", **few)
    with pytest.raises(EvaluationError, match=r"at least 3 groups in every class: 'joy' has 1"):
        stratified_folds(files, ["joy"] * len(files), group_pattern="spk", **few)
    with pytest.raises(EvaluationError, match=r"at least 3 groups\. Got 1"):
        stratified_folds(files, [None] * len(files), group_pattern="spk", **few)
    shares = {"train": 0.5, "test": 0.5}
    with pytest.raises(EvaluationError, match=r"1 groups leave partition"):
        stratified_partitions(files, labels, shares=shares, seed=0, group_pattern="spk")


def test_the_table_that_is_evaluated_is_divided_by_groups(tmp_path):
    rows = read_table(str(write(tmp_path / "table", rows_of(LABELS))))
    evaluation = EvaluationConfig(num_folds=4, group_pattern=SPEAKER)
    for split in splits_of(rows, evaluation, "table"):
        sides = [
            {speaker(rows["file"][int(row)].as_py()) for row in side}
            for side in (split.train, split.valid)
        ]
        assert not sides[0] & sides[1]
    assert describe_evaluation(evaluation, None)["group_pattern"] == SPEAKER


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"group_pattern": "(", "num_folds": 2}, r"must be a regular expression. Got '\('"),
        ({"group_pattern": "a"}, "Set num_folds as well"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_refused(fields, said):
    with pytest.raises(ConfigError, match=said):
        EvaluationConfig(**fields)


def test_modify_divides_by_groups(cli, tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    table = write(tmp_path / "table", rows_of(LABELS))
    grouped = ("--group-pattern", SPEAKER)
    for action, column in (
        (("--add-folds", 3), "folds"),
        (("--add-partitions", "train=0.7", "test=0.3"), "partition"),
    ):
        output = tmp_path / column
        code, _, err = cli("modify", table, *action, *grouped, "--output", output)
        assert code == 0, err
        found = {}
        for file, value in columns(output, "file", column):
            assert found.setdefault(speaker(file), value) == value
        assert len({str(value) for value in found.values()}) == (3 if column == "folds" else 2)
        refused(cli("modify", table, *action, "--output", output), "group_pattern")
    partitions = list(found.values())
    assert partitions.count("train") in (8, 9)
    wrong = tmp_path / "wrong"
    result = cli("modify", table, "--remove-folds", *grouped, "--output", wrong)
    refused(result, "--group-pattern goes with --add-folds")
    result = cli("modify", table, "--add-folds", 3, "--group-pattern", "[", "--output", wrong)
    refused(result, "regular expression")
    assert not wrong.exists()
    assert caplog.records == []
