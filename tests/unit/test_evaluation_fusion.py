import numpy as np
import pytest

from raudeep.errors import FusionError
from raudeep.evaluation.fusion import are_cut_alike, check_same_chunks, check_same_metadata, fuse


def table(keys, width, start=0):
    values = np.arange(start, start + len(keys) * width, dtype=np.float32)
    return keys, values.reshape(len(keys), width)


def test_tables_are_joined_by_key_in_the_order_of_the_first():
    keys = [("a", 0), ("a", 1), ("b", 0)]
    first, second = table(keys, 2), table(keys[::-1], 1, start=100)
    fused_keys, fused = fuse({"x": first, "y": second})
    assert fused_keys == keys
    assert fused.dtype == np.float32
    np.testing.assert_array_equal(fused, [[0, 1, 102], [2, 3, 101], [4, 5, 100]])


def test_columns_follow_the_order_of_the_mapping():
    keys = [("a", 0)]
    tables = {"x": table(keys, 1, 1), "y": table(keys, 1, 2), "z": table(keys, 2, 3)}
    np.testing.assert_array_equal(fuse(tables)[1], [[1, 2, 3, 4]])
    reordered = {name: tables[name] for name in "zxy"}
    np.testing.assert_array_equal(fuse(reordered)[1], [[3, 4, 1, 2]])


def test_keys_in_only_one_table_are_counted_and_named():
    few, many = table([("a", 0)], 1), table([("a", 0), ("b", 0), ("b", 1)], 1)
    message = r"^cannot fuse 'x' and 'y': 2 \(file, chunk\) keys are only in 'y', e\.g\. \('b', 0\)"
    with pytest.raises(FusionError, match=message):
        fuse({"x": few, "y": many})
    with pytest.raises(FusionError, match=r"'y' and 'x': 2 \(file, chunk\) keys are only in 'y'"):
        fuse({"y": many, "x": few})


def test_keys_missing_on_both_sides_are_both_named():
    with pytest.raises(FusionError, match=r"1 .* only in 'x', e\.g\..*; 1 .* only in 'y'"):
        fuse({"x": table([("a", 0)], 1), "y": table([("b", 0)], 1)})


def test_key_that_is_twice_in_a_table_is_named():
    good, bad = table([("a", 0)], 1), table([("a", 0), ("b", 2), ("b", 2)], 1)
    with pytest.raises(FusionError, match=r"'y': 1 of 3 rows repeat .* key, e\.g\. \('b', 2\)"):
        fuse({"x": good, "y": bad})


def test_fewer_than_two_tables_are_refused():
    with pytest.raises(FusionError, match=r"at least two tables\. Got \['x'\]"):
        fuse({"x": table([("a", 0)], 1)})


def test_table_with_more_keys_than_rows_is_refused():
    keys = [("a", 0), ("b", 0)]
    with pytest.raises(FusionError, match=r"'y': 2 keys, but embeddings of shape \(1, 3\)"):
        fuse({"x": table(keys, 1), "y": (keys, np.zeros((1, 3), np.float32))})


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
