"""The manifest: making, parsing, checking and summarising it."""

import io
import json
import logging

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from raudeep.errors import ManifestError
from raudeep.manifest import (
    Recording,
    check_manifest,
    fold_roles,
    label_map,
    manifest_table,
    parse_manifest,
    summarise,
)
from raudeep.schema import MANIFEST


def recording(file, **values):
    return Recording(file=file, uri=f"/corpus/{file}", **values)


def parse_csv(text, root="/corpus"):
    return parse_manifest(text.encode(), name="own.csv", root=root)


def parse_frame(frame, root="s3://bucket/corpus/"):
    sink = io.BytesIO()
    frame.to_parquet(sink)
    return parse_manifest(sink.getvalue(), name="own.parquet", root=root)


def test_manifest_has_the_schema_and_is_sorted_by_file():
    table = manifest_table([recording("b.wav", label="x"), recording("a.wav", folds=(0, 1, None))])
    assert table.schema == MANIFEST
    assert table["file"].to_pylist() == ["a.wav", "b.wav"]
    assert table["folds"].to_pylist() == [[0, 1, None], None]
    assert table["duration"].to_pylist() == [None, None]


def test_a_name_that_is_not_utf8_is_escaped_with_a_line(caplog):
    strange = recording("caf\udce9.wav", label="drink\udcff")
    table = manifest_table([strange, recording("b.wav", label="x")])
    assert table["file"].to_pylist() == ["b.wav", r"caf\udce9.wav"]
    assert table["label"].to_pylist() == ["x", r"drink\udcff"]
    assert table["uri"][1].as_py().endswith(r"caf\udce9.wav")
    (record,) = caplog.records
    assert "1 of 2 names are not valid UTF-8" in record.getMessage()
    assert r"caf\udce9.wav" in record.getMessage()


def test_csv_with_only_files_takes_uris_from_the_root():
    table = parse_csv("file\nb/two.wav\na.wav\n", root="s3://bucket/corpus/")
    assert table.schema == MANIFEST
    assert table["file"].to_pylist() == ["a.wav", "b/two.wav"]
    assert table["uri"].to_pylist() == ["s3://bucket/corpus/a.wav", "s3://bucket/corpus/b/two.wav"]
    assert table["label"].null_count == 2


def test_absolute_path_or_scheme_is_its_own_uri():
    table = parse_csv("file,uri\n/x/a.wav,\ns3://b/c.wav,\nd.wav,/e/d.wav\n", root=None)
    assert table["uri"].to_pylist() == ["/x/a.wav", "/e/d.wav", "s3://b/c.wav"]


def test_a_relative_uri_is_below_the_root_like_a_file():
    table = parse_csv("file,uri\na,sub/a.wav\nb,/x/b.wav\nc.wav,\n", root="/corpus")
    assert table["uri"].to_pylist() == ["/corpus/sub/a.wav", "/x/b.wav", "/corpus/c.wav"]


def test_relative_file_without_root_or_uri_is_refused():
    with pytest.raises(ManifestError, match=r"own.csv: recording 'a.wav' has no 'uri'"):
        parse_csv("file\na.wav\n", root=None)


def test_labels_stay_text_even_if_they_look_like_numbers_or_nulls():
    table = parse_csv("file,label\na,007\nb,NA\nc,\nd,true\n")
    assert table["label"].to_pylist() == ["007", "NA", None, "true"]
    assert label_map(table) == ["007", "NA", "true"]


def test_numbers_and_partitions_of_a_csv_are_taken_over():
    table = parse_csv("file,partition,duration,sample_rate,channels,bytes\na,devel,1.5,44100,2,9\n")
    row = table.to_pylist()[0]
    assert (row["partition"], row["duration"], row["sample_rate"]) == ("devel", 1.5, 44100)
    assert (row["channels"], row["bytes"]) == (2, 9)


def test_folds_of_a_csv_are_a_list_separated_by_spaces():
    table = parse_csv("file,folds\na,0 1 0\nb,1  0 null\nc,\n")
    assert table["folds"].to_pylist() == [[0, 1, 0], [1, 0, None], None]


@pytest.mark.parametrize("first", [0, 1])
def test_fold_number_makes_a_recording_valid_there_and_train_elsewhere(first):
    table = parse_csv(f"file,fold\na,{first}\nb,{first + 1}\nc,{first + 2}\nd,\n")
    assert table["folds"].to_pylist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [None] * 3]
    assert fold_roles(2, 3) == (0, 1, 0)


@pytest.mark.parametrize(
    ("numbers", "got"),
    [("1 3", "1, 3"), ("2 3", "2, 3"), ("-1 0", "-1, 0"), ("1 1", "1"), ("1 999999999", "1, 999")],
)
def test_fold_numbers_with_a_gap_or_of_one_fold_are_refused(numbers, got):
    first, second = numbers.split()
    with pytest.raises(ManifestError, match=f"without a gap. Got {got}"):
        parse_csv(f"file,fold\na,{first}\nb,{second}\n")


def test_unknown_columns_are_ignored_with_one_warning_that_names_them(caplog):
    with caplog.at_level(logging.WARNING):
        table = parse_csv("file,speaker,partion\na,anna,train\n")
    assert len(caplog.messages) == 1
    assert "'speaker', 'partion' (meant 'partition'?)" in caplog.messages[0]
    assert table["partition"].null_count == 1


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("path\na.wav\n", "needs the column 'file'. .* Rename 'path' to 'file'"),
        ("a.wav:dog\n", "needs the column 'file'. Its first line names 'a.wav:dog'"),
        ("a.wav,dog\nb.wav,cat\n", "names 'a.wav', 'dog'. Put a line with the names of the col"),
        ("file\n", "no recordings"),
        ("file,label\na\nb,x\n", "the header has 2 cells .*',', but line 2 has 1 cells: 'a'"),
        ("file,label\nb,x\na,dog,big\n", "line 3 has 3 cells: 'a,dog,big'. Put quotes around"),
        ("file,duration\na,1\nb,long\n", "row 2: 'duration' must be a number. Got 'long'"),
        ("file,sample_rate\na,99999999999\n", "row 1: 'sample_rate' must be from .*Got 99999"),
        ("file,channels\na,1.5\n", "row 1: 'channels' must be a whole number. Got 1.5"),
        ("file,label,label\na,x,y\n", "each column once"),
        ("file,fold,folds\na,1,1 0\n", "'fold', 'folds' or 'fold_1'"),
        ("file,fold_1,fold_3\na,1,0\n", "without a gap. Got fold_1, fold_3"),
        ("file,fold\na,one\nb,1\n", "row 1: 'fold' must be a number. Got 'one'"),
        ("file,folds\na,0 2\nb,0 1\n", "1 of 2 .*row 1: 'folds' must be 0 .*Got '0 2'"),
        ("file,label\na,x\n,y\nb,\na,\n", "2 of 4 .*row 1: 'a' .* twice, again in row 4; row 2"),
        ("file,partition\na,Dev\n", "row 1: 'a' is in partition 'Dev', .*write 'devel'"),
        ("file\na\0b\n", "no text file"),
    ],
)
def test_unusable_csv_is_one_line_that_names_the_file(text, problem):
    with pytest.raises(ManifestError, match=problem) as caught:
        parse_csv(text)
    assert str(caught.value).startswith("own.csv: ")
    assert "\n" not in str(caught.value)


def test_byte_order_mark_and_newline_in_a_label_are_read():
    table = parse_csv('\ufefffile,label\na,"two\nlines"\n')
    assert table["label"].to_pylist() == ["two\nlines"]


def test_manifest_of_another_suffix_is_refused():
    with pytest.raises(ManifestError, match=r"own.xlsx: .*'.csv', '.tsv' or '.parquet'"):
        parse_manifest(b"", name="own.xlsx", root=None)


def test_parquet_of_pandas_is_read_with_types_converted():
    frame = pd.DataFrame(
        {
            "file": ["b.wav", "a.wav"],
            "label": pd.Categorical(["dog", "cat"]),
            "folds": [[0, 1], [1, 0]],
            "sample_rate": [16000, 44100],
        }
    )
    table = parse_frame(frame)
    assert table.schema == MANIFEST
    assert table["label"].to_pylist() == ["cat", "dog"]
    assert table["folds"].to_pylist() == [[1, 0], [0, 1]]
    assert table["uri"].to_pylist()[0] == "s3://bucket/corpus/a.wav"


def test_parquet_takes_numbers_as_labels_and_a_fold_column():
    table = parse_frame(pd.DataFrame({"file": ["a", "b"], "label": [3, 10], "fold": [1, 2]}))
    assert label_map(table) == ["10", "3"]
    assert table["folds"].to_pylist() == [[1, 0], [0, 1]]


def test_manifest_of_a_manifest_is_itself():
    table = manifest_table([recording("a", folds=(0, None), partition="test", bytes=4)])
    sink = io.BytesIO()
    pa.parquet.write_table(table, sink)
    assert parse_manifest(sink.getvalue(), name="m.parquet", root=None).equals(table)


def test_file_that_is_no_parquet_is_one_error():
    with pytest.raises(ManifestError, match=r"own.parquet: not usable as a manifest"):
        parse_manifest(b"file\na.wav\n", name="own.parquet", root="/corpus")


def test_valid_manifests_pass_with_and_without_labels_and_folds():
    check_manifest(manifest_table([recording("a", label="x"), recording("b")]), name="m")
    check_manifest(manifest_table([recording("a", folds=(0, 1)), recording("b")]), name="m")


def test_every_violation_is_collected_in_one_error():
    table = manifest_table(
        [
            recording(""),
            recording("a", folds=(0, 1)),
            recording("b", folds=(0, 1)),
            recording("c", folds=(0, 1, 0)),
            recording("d", folds=(0, 7)),
            recording("e"),
            recording("e"),
            recording("f", partition="dev"),
        ]
    )
    with pytest.raises(ManifestError) as caught:
        check_manifest(table, name="esc10.csv")
    assert str(caught.value) == (
        "esc10.csv: 5 of 8 recordings are invalid: "
        "the recording at '/corpus/' has an empty 'file'; 'c' has 3 folds, others have 2; "
        "'d' has folds [0, 7], which must be 0, 1 or null; 'e' appears twice; "
        "'f' is in partition 'dev', not train, devel or test (write 'devel')."
    )


def test_only_the_first_ten_violations_are_shown():
    table = manifest_table([recording(f"{n:02d}", partition="x") for n in range(25)])
    with pytest.raises(ManifestError, match=r"25 of 25 .*'09' is in .*; and 15 more\.") as caught:
        check_manifest(table, name="m")
    assert "'10'" not in str(caught.value)


def test_summary_counts_labels_partitions_folds_and_audio():
    text = "file,label,partition,folds,duration,sample_rate,channels\n"
    text += "a,x,train,0 1,1.5,16000,1\nb,y,train,1 0,2.5,16000,2\nc,,test,0 1,,,\nd,x,,,,,\n"
    summary = summarise(parse_csv(text))
    assert json.loads(json.dumps(summary, allow_nan=False)) == {
        "recordings": 4,
        "labelled": 3,
        "labels": {"x": 2, "y": 1},
        "partitions": {"test": 1, "train": 2},
        "num_folds": 2,
        "folds": [{"train": 2, "valid": 1}, {"train": 1, "valid": 2}],
        "folds_overlap": False,
        "without_folds": 1,
        "bytes": None,
        "duration": {
            "recordings": 2,
            "total_seconds": 4.0,
            "min_seconds": 1.5,
            "max_seconds": 2.5,
        },
        "sample_rates": {"16000": 2},
        "channels": {"1": 1, "2": 1},
    }


@pytest.mark.parametrize(
    ("folds", "overlap"), [((1, 1), True), ((0, 0), True), ((None, 0), True), ((0, 1), False)]
)
def test_summary_says_whether_folds_overlap(folds, overlap):
    table = manifest_table([recording("a", folds=(1, 0)), recording("b", folds=folds)])
    assert summarise(table)["folds_overlap"] is overlap


def test_summary_of_bare_recordings_has_no_folds_and_no_duration():
    summary = summarise(manifest_table([recording("a", bytes=10), recording("b", bytes=5)]))
    assert (summary["num_folds"], summary["folds"], summary["folds_overlap"]) == (0, [], False)
    assert (summary["duration"], summary["bytes"], summary["labels"]) == (None, 15, {})
