"""Folders of partitions and folds: where rows lie, and what is made of where they lie."""

import numpy as np
import pytest

from raudeep.errors import TableError
from raudeep.storage.exchange.layout import Place, folds_of, join_places, parse_place
from raudeep.storage.exchange.rows import Rows, Splits
from raudeep.storage.exchange.text_folder import write_text_folder


def rows_of(*keys, labels="dog", value=0.0):
    return Rows(
        [file for file, _ in keys],
        [chunk for _, chunk in keys],
        [labels] * len(keys),
        [0] * len(keys),
        np.full((len(keys), 2), value, np.float32),
    )


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (Place(), "x.csv"),
        (Place("train"), "train/x.csv"),
        (Place(None, 1), "fold_1/x.csv"),
        (Place("test", 12), "test/fold_12/x.csv"),
    ],
)
def test_place_and_path_tell_the_same(place, path):
    assert place.path("x.csv") == path
    assert parse_place(path) == (place, "x.csv")


@pytest.mark.parametrize(
    "path",
    [
        *["other/x.csv", "Train/x.csv", "fold_0/x.csv", "fold_01/x.csv", "fold_a/x.csv"],
        *["fold_1/train/x.csv", "train/test/x.csv", "train/fold_1/deep/x.csv", "deep/train/x.csv"],
    ],
)
def test_path_outside_of_the_layout_has_no_place(path):
    assert parse_place(path) is None


def test_row_lies_in_the_folds_in_which_it_is_valid():
    assert folds_of("a", [0, 1, 0, 1]) == [2, 4]
    assert folds_of("a", None) == folds_of("a", [None, None]) == [None]


@pytest.mark.parametrize("folds", [[0, 0], [1, None], [0, None]])
def test_roles_that_files_of_validation_rows_cannot_tell_are_refused(folds):
    with pytest.raises(TableError, match=r"'a.wav' has the roles .*Export netCDF"):
        folds_of("a.wav", folds)


def test_rows_of_overlapping_folds_are_one_row_with_both_roles():
    one, two, three = ("a", 0), ("b", 0), ("c", 0)
    rows, splits = join_places(
        [
            (Place(None, 1), "1", rows_of(two, one)),
            (Place(None, 2), "2", rows_of(one, three)),
            (Place(None, 3), "3", rows_of()),
        ]
    )
    assert rows.keys == [one, two, three]
    assert splits == Splits([None] * 3, [[1, 1, 0], [1, 0, 0], [0, 1, 0]])


def test_chunks_of_recordings_in_several_files_are_no_duplicates():
    # auDeep refuses chunked data sets as soon as it joins two files.
    rows, splits = join_places(
        [
            (Place("train"), "train", rows_of(("a", 0), ("a", 1))),
            (Place("test"), "test", rows_of(("b", 1), ("b", 0))),
        ]
    )
    assert rows.keys == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert splits == Splits(["train", "train", "test", "test"], [None] * 4)


def test_ten_folds_and_more_are_told_by_their_numbers():
    found = [
        (Place(None, fold), f"fold_{fold}", rows_of((f"{fold:02d}", 0)))
        for fold in range(12, 0, -1)
    ]
    _, splits = join_places(found)
    assert splits.folds == np.eye(12, dtype=int).tolist()


def test_rows_above_the_folds_take_part_in_none():
    rows, splits = join_places(
        [
            (Place("train", 1), "a", rows_of(("a", 0))),
            (Place("train", 2), "b", rows_of(("b", 0))),
            (Place("test"), "c", rows_of(("c", 0))),
        ]
    )
    assert rows.files == ["a", "b", "c"]
    assert splits == Splits(["train", "train", "test"], [[1, 0], [0, 1], None])


def test_rows_of_a_single_file_keep_their_order():
    rows, _ = join_places([(Place(), "x", rows_of(("b", 0), ("a", 1), ("a", 0)))])
    assert rows.keys == [("b", 0), ("a", 1), ("a", 0)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([(Place(), "x", rows_of(("a", 0), ("a", 0)))], "chunk 0 of 'a' is twice in x"),
        (
            [(Place("train"), "x", rows_of(("a", 0))), (Place("test"), "y", rows_of(("a", 0)))],
            "in two partitions: in x and in y",
        ),
        (
            [(Place(), "x", rows_of(("a", 0))), (Place(None, 1), "y", rows_of(("a", 0)))],
            "is in x and in y",
        ),
        (
            [(Place(None, 1), "x", rows_of(("a", 3), ("a", 3)))],
            "chunk 3 of 'a' is twice in x",
        ),
        (
            [
                (Place(None, 1), "x", rows_of(("a", 0))),
                (Place(None, 2), "y", rows_of(("a", 0), value=1.0)),
            ],
            "is not the same in x and in y",
        ),
        (
            [
                (Place(None, 1), "x", rows_of(("a", 0))),
                (Place(None, 2), "y", rows_of(("a", 0), labels="cat")),
            ],
            "is not the same in x and in y",
        ),
        (
            [(Place(None, 1), "x", rows_of(("a", 0))), (Place(None, 3), "y", rows_of(("b", 0)))],
            "without a gap. Got fold_1, fold_3",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused(found, said):
    with pytest.raises(TableError, match=said):
        join_places(found)


def test_more_folds_than_files_can_be_open_are_written(tmp_path):
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    places = [Place(None, fold) for fold in range(1, 101)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        writer = write_text_folder(
            tmp_path, places, file_name="x.csv", size=2, labels=["dog"], labels_last=False
        )
        keys = [(f"{fold:03d}", 0) for fold in range(100)]
        writer.write(rows_of(*keys), Splits([None] * 100, np.eye(100, dtype=int).tolist()))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    lines = [(tmp_path / place.path("x.csv")).read_text().splitlines() for place in places]
    assert [line[1].split(",")[0] for line in lines] == [f"{fold:03d}" for fold in range(100)]
