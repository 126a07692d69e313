import pandas as pd
import pytest

from raudeep.errors import FusionError
from raudeep.evaluation.fusion import (
    are_cut_alike,
    check_same_chunks,
    check_same_metadata,
    chunk_rows,
    match_rows,
)


def keys(*rows):
    return pd.DataFrame(rows, columns=["file", "chunk"])


def test_rows_are_matched_by_key_in_the_order_of_the_first():
    first = keys(("a", 0), ("a", 1), ("b", 0))
    found = match_rows({"x": first, "y": first[::-1], "z": first.iloc[[1, 2, 0]]})
    assert {name: list(rows) for name, rows in found.items()} == {
        "x": [0, 1, 2],
        "y": [2, 1, 0],
        "z": [2, 0, 1],
    }


def test_tables_without_rows_match():
    found = match_rows({"x": keys(), "y": keys()})
    assert [len(rows) for rows in found.values()] == [0, 0]


def test_keys_in_only_one_table_are_counted_and_named():
    few, many = keys(("a", 0)), keys(("a", 0), ("b", 0), ("b", 1))
    message = r"^cannot fuse 'x' and 'y': 2 \(file, chunk\) keys are only in 'y', e\.g\. \('b', 0\)"
    with pytest.raises(FusionError, match=message):
        match_rows({"x": few, "y": many})
    with pytest.raises(FusionError, match=r"'y' and 'x': 2 \(file, chunk\) keys are only in 'y'"):
        match_rows({"y": many, "x": few})


def test_keys_missing_on_both_sides_are_both_named():
    with pytest.raises(FusionError, match=r"1 .* only in 'x', e\.g\..*; 1 .* only in 'y'"):
        match_rows({"x": keys(("a", 0)), "y": keys(("b", 0))})


def test_key_that_is_twice_in_a_table_is_named():
    good, bad = keys(("a", 0)), keys(("a", 0), ("b", 2), ("b", 2))
    with pytest.raises(FusionError, match=r"'y': 1 of 3 rows repeat .* key, e\.g\. \('b', 2\)"):
        match_rows({"x": good, "y": bad})


def test_fewer_than_two_tables_are_refused():
    with pytest.raises(FusionError, match=r"at least two tables\. Got \['x'\]"):
        match_rows({"x": keys(("a", 0))})


def test_chunks_are_found_whatever_the_order_of_the_rows():
    table = keys(("b", 1), ("a", 0), ("b", 0), ("a", 1))
    assert chunk_rows(table).tolist() == [[1, 3], [2, 0]]
    assert chunk_rows(table[::-1]).tolist() == [[1, 3], [2, 0]]
    assert chunk_rows(keys(("a", 0), ("b", 0))).tolist() == [[0], [1]]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], r"no rows"),
        ([("a", 0), ("a", 0)], r"1 of 2 rows repeat .* e\.g\. \('a', 0\)"),
        ([("a", 1), ("a", 2)], r"chunks 0 to 1; 'a' has 1, 2\."),
        ([("a", 0), ("a", 2)], r"chunks 0 to 1; 'a' has 0, 2\."),
        ([("a", 0), ("b", 0), ("b", 1)], r"chunks 0 to 0; 'b' has 0, 1\."),
        ([("b", 0), ("b", 1), ("a", 0)], r"chunks 0 to 1; 'a' has 0\."),
    ],
)
def test_recordings_whose_chunks_are_no_row_are_named(rows, said):
    with pytest.raises(FusionError, match=said):
        chunk_rows(keys(*rows))


def test_differing_labels_of_a_key_are_named():
    tables = {"x": {("a", 0): "dog", ("b", 0): "cat"}, "y": {("b", 0): "cow", ("a", 0): "dog"}}
    message = r"1 .* keys differ in 'label', e\.g\. \('b', 0\) is 'cat' in 'x' and 'cow' in 'y'"
    with pytest.raises(FusionError, match=message):
        check_same_metadata(tables)


def test_equal_metadata_passes():
    check_same_metadata({"x": {("a", 0): None}, "y": {("a", 0): None}}, column="partition")


@pytest.mark.parametrize(
    ("other", "passes"),
    [
        ([(0, 1), (1, 2)], True),
        ([(0, 0.96), (0.96, 1.92)], True),  # cut between its own frames
        ([(0, 1), (None, None)], True),
        ([(0, 0.4), (0.4, 0.8)], False),
        ([(0, 1), (0.5, 1.4)], False),
    ],
)
def test_recordings_are_cut_into_the_same_chunks(other, passes):
    keys = [("a", 0), ("a", 1)]
    tables = {"x": dict(zip(keys, [(0.0, 1.0), (1.0, 2.0)], strict=True))}
    tables["y"] = dict(zip(reversed(keys), reversed(other), strict=True))
    if passes:
        check_same_chunks(tables)
        return
    said = "'a' is cut into other chunks, 0.0 to 1.0 s, 1.0 to 2.0 s in 'x' and .* s in 'y'"
    with pytest.raises(FusionError, match=said):
        check_same_chunks(tables)


def test_where_a_recording_ends_chunks_of_any_view_are_short():
    """A cut of one view just before the end, and of the other behind it."""
    one = [(0.0, 1.0), (1.0, 2.0), (2.0, 2.02)]
    assert are_cut_alike(one, [(0.0, 1.02), (1.02, 2.02), (2.02, 2.02)])
    assert not are_cut_alike(one, one[:2])


def test_how_much_of_a_recording_its_only_chunk_takes_is_free():
    check_same_chunks({"x": {("a", 0): (0.0, 12.0)}, "y": {("a", 0): (0.0, 5.0)}})
