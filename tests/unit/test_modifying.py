"""The commands that make a table of another: `modify`, `upsample`, `fuse-chunks`."""

import numpy as np
import pytest

from raudeep.errors import TableError
from raudeep.evaluation.upsampling import upsample_rows
from raudeep.pipeline.stage import embedding_array
from raudeep.pipeline.tables.modifying import (
    add_folds,
    add_partitions,
    remove_splits,
    upsample_table,
)
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from tests.chunks import CHUNKS, LABELS, columns, rows_of, write
from tests.support import refused

# --- modify


def test_made_folds_keep_the_chunks_of_a_recording_together_and_touch_no_value(
    cli, table, tmp_path
):
    output = tmp_path / "folds"
    code, _, err = cli("modify", table, "--add-folds", 2, "--seed", 3, "--output", output)
    assert code == 0, err
    folds = {}
    for file, roles in columns(output, "file", "folds"):
        assert folds.setdefault(file, roles) == roles
        assert sorted(roles) == [0, 1]
    for label in set(LABELS.values()):
        valid = [folds[file][0] for file in LABELS if LABELS[file] == label]
        assert abs(sum(valid) - len(valid) / 2) < 1  # stratified
    before, after = (read_table(str(uri)) for uri in (table, output))
    assert after.drop_columns("folds").equals(before.drop_columns("folds"))
    assert read_index(str(output)).config == read_index(str(table)).config
    assert read_index(str(output)).fingerprint != read_index(str(table)).fingerprint


@pytest.mark.parametrize("labelled", [True, False])
def test_made_partitions_leave_no_row_out_and_divide_no_recording(cli, tmp_path, labelled):
    labels = {f"{n}.wav": ("x" if n % 3 else "y") if labelled else None for n in range(60)}
    table = write(tmp_path / "table", rows_of(labels))
    output = tmp_path / "out"
    words = ("train=0.5", "devel=0.25", "test=0.25")
    code, _, err = cli("modify", table, "--add-partitions", *words, "--output", output)
    assert code == 0, err
    partitions = {}
    for file, partition in columns(output, "file", "partition"):
        assert partitions.setdefault(file, partition) == partition
    counts = {name: list(partitions.values()).count(name) for name in ("train", "devel", "test")}
    assert sum(counts.values()) == 60
    assert abs(counts["train"] - 30) <= 2
    assert abs(counts["devel"] - 15) <= 2
    if labelled:
        inside = [labels[file] for file, name in partitions.items() if name == "train"]
        assert abs(inside.count("y") - 10) <= 1


def test_partitions_do_not_depend_on_the_order_in_which_they_are_named(table, tmp_path):
    output = str(tmp_path / "out")
    add_partitions(str(table), output, shares={"train": 0.3, "test": 0.7})
    again = add_partitions(str(table), output, shares={"test": 0.7, "train": 0.3})
    assert again.reused == again.parts
    add_partitions(str(table), str(tmp_path / "other"), shares={"test": 0.7, "train": 0.3})
    assert columns(output, "partition") == columns(tmp_path / "other", "partition")


def test_only_splits_are_removed(table, tmp_path):
    with pytest.raises(TableError, match=r"'folds' and 'partition'\. Got 'label'"):
        remove_splits(str(table), str(tmp_path / "out"), column="label")


def test_removed_splits_are_gone_and_the_rest_stays(cli, tmp_path):
    rows = rows_of(LABELS, partition=lambda file: "train" if file < "e" else "test")
    table = write(tmp_path / "table", rows)
    output = tmp_path / "out"
    assert cli("modify", table, "--remove-partitions", "--output", output)[0] == 0
    assert set(columns(output, "partition")) == {(None,)}
    assert columns(output, "file", "label") == columns(table, "file", "label")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["one of --add-folds", "Got 0"]),
        (("--add-folds", 2, "--remove-folds"), ["Got 2 of them"]),
        (("--add-folds", 1), ["at least 2. Got 1"]),
        (("--add-folds", 3), ["num_folds=3", "'cat' has 2"]),
        (("--add-partitions", "train", "dev"), ["train, devel, test", "'dev'"]),
        (("--add-partitions", "train=x", "test=1"), ["Got 'train=x'"]),
        (("--add-partitions", "train=0.5", "test"), ["all with a share or none"]),
        (("--add-partitions", "train"), ["two or more names"]),
        (("--add-partitions", "train=nan", "test=1"), ["shares above 0"]),
        (("--add-folds", 2, "--seed", -1), ["seed must be at least 0. Got -1"]),
        (("--add-partitions", "train", "test", "--seed", -1), ["seed must be at least 0. Got -1"]),
    ],
)
def test_impossible_modification_is_one_line_and_leaves_nothing(
    cli, table, tmp_path, arguments, words
):
    refused(cli("modify", table, *arguments, "--output", tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
@pytest.mark.parametrize(
    "command",
    [
        ("modify", "TABLE", "--add-folds", 2),
        ("modify", "TABLE", "--remove-partitions"),
        ("upsample", "TABLE"),
        ("fuse-chunks", "TABLE"),
        ("fuse", "OTHER", "TABLE"),
    ],
)
def test_a_table_is_not_made_in_the_place_of_what_it_is_made_from(
    cli, table, tmp_path, command, overwrite
):
    other = write(tmp_path / "other", rows_of(LABELS))
    before = read_table(str(table))
    found = [{"TABLE": table, "OTHER": other}.get(word, word) for word in command]
    result = cli(*found, "--output", table, *overwrite)
    refused(result, "is the input", "choose another output")
    assert read_table(str(table)).equals(before)


# --- upsample


@pytest.mark.parametrize(("flags", "shown"), [((), True), (("--quiet",), False)])
def test_what_was_done_is_not_shown_where_only_what_went_wrong_is_wanted(
    cli, table, tmp_path, flags, shown
):
    code, out, err = cli(*flags, "upsample", table, "--output", tmp_path / "out")
    assert (code, err) == (0, "")
    assert (str(tmp_path) in out.replace("\n", "")) is shown
    assert (out == "") is not shown


def test_upsampled_classes_are_repeated_by_the_floor_of_their_ratio(cli, table, tmp_path):
    output = tmp_path / "out"
    assert cli("upsample", table, "--output", output)[0] == 0
    found = columns(output, "file", "label", "embedding")
    counts = {label: sum(row[1] == label for row in found) for label in ("dog", "cat", "rain")}
    assert counts == {"dog": 4 * CHUNKS, "cat": 2 * 2 * CHUNKS, "rain": 3 * CHUNKS}
    assert {row[0] for row in found if row[1] == "cat"} == {
        *("e.wav", "e.wav.upsampled.1", "f.wav", "f.wav.upsampled.1")
    }
    copies = [row[2] for row in found if row[0].startswith("e.wav")]
    assert len(copies) == 2 * CHUNKS
    assert sorted(copies) == sorted(copies[::2] * 2)


def test_partitions_that_are_not_named_are_not_upsampled(cli, tmp_path):
    rows = rows_of(LABELS, partition=lambda file: "test" if file in ("e.wav", "g.wav") else "train")
    table = write(tmp_path / "table", rows)
    output = tmp_path / "out"
    assert cli("upsample", table, "--partitions", "train", "--output", output)[0] == 0
    files = {row[0] for row in columns(output, "file")}
    assert {file for file in files if "upsampled" in file} == {
        *("f.wav.upsampled.1", "f.wav.upsampled.2", "f.wav.upsampled.3"),
        *("h.wav.upsampled.1", "i.wav.upsampled.1"),
    }
    refused(cli("upsample", table, "--partitions", "devel", "--output", tmp_path / "no"), "'devel'")


def test_copies_of_a_recording_stay_on_its_side_of_a_split(tmp_path):
    labels = {f"{n}.wav": "common" if n % 6 else "rare" for n in range(24)}
    table = write(tmp_path / "table", rows_of(labels))
    upsampled = str(tmp_path / "upsampled")
    upsample_table(str(table), upsampled)
    add_folds(upsampled, str(tmp_path / "folds"), num_folds=4)
    add_partitions(upsampled, str(tmp_path / "parts"), shares={"train": 1, "test": 1})
    for place, column in (("folds", "folds"), ("parts", "partition")):
        sides = {}
        for file, side in columns(tmp_path / place, "file", column):
            sides.setdefault(file.split(".upsampled")[0], []).append(side)
        assert max(map(len, sides.values())) == 5 * CHUNKS
        assert all(side == found[0] for found in sides.values() for side in found)
        assert len({str(found[0]) for found in sides.values()}) > 1


def test_a_recording_that_has_the_name_of_a_copy_is_refused(cli, tmp_path):
    table = write(tmp_path / "table", rows_of(LABELS | {"e.wav.upsampled.1": "dog"}))
    refused(
        cli("upsample", table, "--output", tmp_path / "out"),
        "'e.wav.upsampled.1', which is what a copy would be called",
    )


def test_rows_without_a_label_are_there_once():
    assert upsample_rows(["a", None, "a", "b", "a"]).tolist() == [0, 1, 2, 3, 3, 3, 4]


# --- fuse-chunks


def test_chunks_are_joined_by_number_whatever_the_order_of_the_rows(cli, tmp_path, rng):
    rows = rows_of(LABELS)
    order = rng.permutation(len(rows))
    values = np.arange(2 * len(rows), dtype=np.float32).reshape(-1, 2)
    table = write(tmp_path / "table", [rows[i] for i in order], values=values[order])
    output = tmp_path / "out"
    assert cli("fuse-chunks", table, "--output", output)[0] == 0
    assert cli("validate", output)[0] == cli("verify", output)[0] == 0
    fused = read_table(str(output))
    found = dict(zip(fused["file"].to_pylist(), embedding_array(fused), strict=True))
    for index, file in enumerate(LABELS):
        wanted = values[index * CHUNKS : (index + 1) * CHUNKS].ravel()
        np.testing.assert_array_equal(found[file], wanted)
    assert set(columns(output, "chunk", "start", "end")) == {(0, 0.0, 2.0 * CHUNKS)}


@pytest.mark.parametrize(
    ("column", "value"), [("label", "cat"), ("partition", "train"), ("folds", [1])]
)
def test_chunks_of_a_recording_that_differ_are_not_joined(cli, tmp_path, column, value):
    rows = rows_of(LABELS)
    rows[1][column] = value  # of a.wav
    table = write(tmp_path / "table", rows)
    refused(
        cli("fuse-chunks", table, "--output", tmp_path / "out"),
        f"chunks of a recording must have the same {column}",
        "'a.wav' has ",
    )


def test_chunks_that_are_missing_are_named(cli, tmp_path):
    rows = rows_of(LABELS)
    del rows[4]
    table = write(tmp_path / "table", rows)
    refused(
        cli("fuse-chunks", table, "--output", tmp_path / "out"), "chunks 0 to 2; 'b.wav' has 0, 2"
    )
    assert not (tmp_path / "out").exists()


def test_tables_without_rows_are_told_of_or_give_such(cli, tmp_path):
    empty = [write(tmp_path / name, [], values=np.empty((0, 2))) for name in ("a", "b")]
    refused(
        cli("fuse-chunks", empty[0], "--output", tmp_path / "out"), f"{empty[0]}: there are no rows"
    )
    assert cli("fuse", *empty, "--output", tmp_path / "fused")[0] == 0
    assert read_table(str(tmp_path / "fused")).num_rows == 0
