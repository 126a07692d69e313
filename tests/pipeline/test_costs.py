"""What work on tables costs is known before it begins, and refused where it cannot be done."""

import json

import numpy as np
import pytest

from raudeep.pipeline import costs
from raudeep.pipeline.runtime import machine
from raudeep.report import pictures
from tests.embeddings import QUICK, SIDES, separable, write_table
from tests.support import assert_one_line


@pytest.fixture
def little_memory(monkeypatch):
    monkeypatch.setattr(costs, "machine_memory", lambda: 50_000)


def plan_of(cli, *command):
    code, out, err = cli(*command, "--dry-run", "--json")
    assert code == 0, err
    return json.loads(out)


def test_a_dry_run_of_an_evaluation_says_what_it_would_cost(cli, tmp_path):
    table, output = separable(tmp_path / "table"), tmp_path / "out"
    plan = plan_of(cli, "evaluate", "mlp", table, "--output", output)
    counts = {"classes": 3, "splits": 4, "fits": 20, "rows": 45}
    assert plan.items() >= counts.items()
    assert plan["output_bytes"] == 60 * 5 * 3 * 4
    assert not output.exists()
    # Full batches hold all rows of a step, here 45 of 5 networks; batches of one row hold one.
    single = plan_of(cli, "evaluate", "mlp", table, "--output", output, "--batch-size", 1)
    per_row = 5 * (8 * (2 * 150 + 3) + 7 * 300)
    assert plan["memory_bytes"] - single["memory_bytes"] == 44 * per_row


def test_an_evaluation_that_needs_more_memory_is_refused_with_what_would_do(
    cli, tmp_path, little_memory
):
    table, output = separable(tmp_path / "table"), tmp_path / "out"
    code, out, err = cli("evaluate", "mlp", table, "--output", output)
    assert (code, out) == (1, "")
    assert_one_line(err, "training on 45 rows needs about", "--batch-size 1024")
    assert not output.exists()
    code, _, err = cli("train-classifier", "mlp", table, "--output", output)
    assert code == 1
    assert_one_line(err, "training on 60 rows", "--batch-size")


def test_batches_score_as_all_rows_at_once_do(cli, tmp_path):
    table = separable(tmp_path / "table")
    command = ("evaluate", "mlp", table, "--output", tmp_path / "out", "--json")
    code, out, err = cli(*command, *QUICK["mlp"], "--batch-size", 16)
    assert code == 0, err
    assert json.loads(out)["accuracy"] == 1.0


def test_labels_that_cannot_be_predicted_are_counted_before_the_score(cli, tmp_path):
    rows = [(f"{i}.wav", 0, "ab"[i % 2], "train", None) for i in range(20)]
    rows += [(f"t{i}.wav", 0, "abx"[i % 3], "test", None) for i in range(12)]
    table = write_table(tmp_path / "table", rows, np.eye(2)[np.arange(32) % 2])
    sides = [f"--{name.replace('_', '-')}={value}" for name, (value,) in SIDES.items()]
    code, _, err = cli("evaluate", "svm", table, "--output", tmp_path / "out", *sides)
    assert code == 0
    assert "4 of 12 scored rows have a label that no training row has" in err
    classifier = tmp_path / "classifier"
    fit = ("--train-partitions", "train")
    assert cli("train-classifier", "svm", table, "--output", classifier, *fit)[0] == 0
    predictions = tmp_path / "predictions"
    assert cli("predict", table, "--classifier", classifier, "--output", predictions)[0] == 0
    code, _, err = cli("evaluate", "predictions", predictions)
    assert code == 0
    assert "4 of 32 rows have a label that the classifier was not trained on" in err


def test_a_picture_of_many_rows_is_one_of_a_sample_and_says_so(cli, tmp_path, monkeypatch):
    table, picture = separable(tmp_path / "table"), tmp_path / "map.svg"
    monkeypatch.setitem(pictures.MAX_POINTS, "pca", 20)
    code, _, err = cli("visualize", table, "--output", picture, "--method", "pca")
    assert code == 0
    assert "20 of 60 rows are drawn, chosen at random" in err
    assert picture.read_text().count("<use") >= 20
    again = tmp_path / "all.svg"
    command = ("visualize", table, "--output", again, "--method", "pca", "--max-points", 60)
    code, _, err = cli(*command)
    assert (code, err) == (0, "")
    assert again.read_text().count("<use") >= 60


def test_plans_of_searches_fusions_and_pictures_count_rows_and_bytes(cli, tmp_path):
    one, two = separable(tmp_path / "one"), separable(tmp_path / "two", size=6)
    fused = plan_of(cli, "fuse", one, two, "--output", tmp_path / "fused")
    assert fused.items() >= {"values": 10, "rows": 60, "output_bytes": 60 * 10 * 4}.items()
    found = plan_of(cli, "search", one, "--recording", "00.wav")
    assert (found["rows"], found["output_bytes"]) == (60, 0)
    code, out, _ = cli("visualize", one, "--output", tmp_path / "a.svg", "--dry-run")
    assert code == 0
    assert "60" in out
    assert not (tmp_path / "a.svg").exists()
    assert not (tmp_path / "fused").exists()


def test_fusions_and_searches_without_memory_are_refused(cli, tmp_path, monkeypatch):
    one, two = separable(tmp_path / "one"), separable(tmp_path / "two", size=6)
    monkeypatch.setattr(costs, "machine_memory", lambda: 1000)
    code, _, err = cli("fuse", one, two, "--output", tmp_path / "fused")
    assert code == 1
    assert_one_line(err, "fusing 2 tables needs about", "embed --fuse")
    code, _, err = cli("search", one, "--recording", "00.wav")
    assert code == 1
    assert_one_line(err, "a search needs about")
    code, _, err = cli("visualize", one, "--output", tmp_path / "map.svg")
    assert code == 1
    assert_one_line(err, "a picture of 60 rows", "--max-points")


def test_the_memory_of_a_container_counts(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_CONTAINER_LIMITS", (str(limit), str(tmp_path / "none")))
    whole = machine.machine_memory()
    limit.write_text("max\n")
    assert machine.machine_memory() == whole
    limit.write_text("1000000\n")
    assert machine.machine_memory() == 1_000_000
