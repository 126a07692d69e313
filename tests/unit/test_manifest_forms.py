"""One frame in every form in which a user may hand it over gives one manifest."""

import csv
import datetime
import io
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudeep.errors import ManifestError
from raudeep.manifest import parse_manifest
from raudeep.pipeline.corpus import load_manifest

ROOT = "/corpus"


def from_text(frame, name="own.csv", encoding="utf-8", **how):
    text = frame.to_csv(index=False, **how)
    return parse_manifest(text.encode(encoding), name=name, root=ROOT)


def from_parquet(table):
    sink = io.BytesIO()
    pa.parquet.write_table(table, sink)
    return parse_manifest(sink.getvalue(), name="own.parquet", root=ROOT)


def from_arrow_text(frame):
    sink = io.BytesIO()
    pa.csv.write_csv(pa.Table.from_pandas(frame, preserve_index=False), sink)
    return parse_manifest(sink.getvalue(), name="own.csv", root=ROOT)


FORMS = {
    "csv": from_text,
    "tsv": lambda frame: from_text(frame, "own.tsv", sep="\t"),
    "tabs in .csv": lambda frame: from_text(frame, sep="\t", encoding="utf-16"),
    "semicolons": lambda frame: from_text(frame, sep=";", decimal=",", lineterminator="\r\n"),
    "quotes": lambda frame: from_text(frame, quoting=csv.QUOTE_ALL, encoding="utf-8-sig"),
    "csv of Arrow": from_arrow_text,
    "csv of Polars": lambda frame: parse_manifest(
        pl.from_pandas(frame).write_csv().encode(), name="own.CSV", root=ROOT
    ),
    "parquet": lambda frame: from_parquet(pa.Table.from_pandas(frame)),
    "dictionaries": lambda frame: from_parquet(dictionaries(frame)),
    "pandas": lambda frame: load_manifest(frame)[0],
    "nullable pandas": lambda frame: load_manifest(frame.convert_dtypes())[0],
    "polars": lambda frame: load_manifest(pl.from_pandas(frame))[0],
    "arrow": lambda frame: load_manifest(large(frame))[0],
}
LISTS = {"csv of Arrow", "csv of Polars", "dictionaries"}  # that cannot hold them


def dictionaries(frame):
    table = pa.Table.from_pandas(frame, preserve_index=False)
    columns = {name: table[name].combine_chunks() for name in table.column_names}
    return pa.table(
        {
            name: c if pa.types.is_null(c.type) else c.dictionary_encode()
            for name, c in columns.items()
        }
    )


def large(frame):
    table = pa.Table.from_pandas(frame)
    kinds = [pa.large_string() if f.type == pa.string() else f.type for f in table.schema]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def frame_of(**columns):
    count = len(next(iter(columns.values())))
    return pd.DataFrame({"file": [f"/corpus/{n}.wav" for n in range(count)], **columns})


def all_forms(frame, without=()):
    """Return the manifest of a frame, which is the same in all forms."""
    manifest = FORMS["csv"](frame)
    for name, read in FORMS.items():
        if name not in without:
            found = read(frame)
            assert found.to_pylist() == manifest.to_pylist(), name
            assert found.schema == manifest.schema
    return manifest


@pytest.mark.parametrize(
    ("given", "labels"),
    [
        ([1, 2, 10], ["1", "2", "10"]),
        ([1.0, 2.0, None], ["1", "2", None]),
        (["1", "2.0", "1.0"], ["1", "2", "1"]),
        ([0.5, 1.0, np.nan], ["0.5", "1", None]),
        (pd.array([1, None, 3], "Int64"), ["1", None, "3"]),
        (["007", "010", "1"], ["007", "010", "1"]),
        (["1.0", "1.1", "b"], ["1.0", "1.1", "b"]),
        ([True, False, True], ["true", "false", "true"]),
        ([True, None, False], ["true", None, "false"]),
        (["TRUE", "", "false"], ["true", None, "false"]),
        (["true", "NA", "x"], ["true", "NA", "x"]),
        (["dog", "", None], ["dog", None, None]),
        (["dog", " dog ", "  "], ["dog", "dog", None]),
        (["a,b", 'say "x"', "two\nlines"], ["a,b", 'say "x"', "two\nlines"]),
        (["Käuzchen", "鳥", "ß;ß"], ["Käuzchen", "鳥", "ß;ß"]),
        (pd.Categorical(["b", "a", None]), ["b", "a", None]),
        (pd.Categorical([10, 2, 10]), ["10", "2", "10"]),
        ([datetime.date(2024, 5, n) for n in (1, 2, 3)], [f"2024-05-0{n}" for n in (1, 2, 3)]),
        (pd.to_datetime(["2024-05-01", "2024-05-02", None]), ["2024-05-01", "2024-05-02", None]),
        (
            pd.to_datetime(["2024-05-01 04:30", "2024-05-02 00:00", None]),
            ["2024-05-01 04:30:00", "2024-05-02 00:00:00", None],
        ),
        ([None, None, None], [None, None, None]),
    ],
)
def test_labels_say_the_same_in_every_form(given, labels):
    assert all_forms(frame_of(label=given))["label"].to_pylist() == labels


@pytest.mark.parametrize(
    "columns",
    [
        {"fold": [1, 2, 2]},
        {"fold": [1.0, 2.0, 2.0]},
        {"fold": ["0", "1", "1"]},
        {"fold": pd.Categorical([1, 2, 2])},
        {"folds": ["1 0", "0,1", "[0, 1]"]},
        {"folds": ["(1; 0)", "0.0 1.0", " 0  1 "]},
        {"fold_1": [1, 0, 0], "fold_2": [0, 1, 1]},
        {"fold_0": [1.0, 0, 0], "fold_1": [False, True, True]},
    ],
)
def test_folds_say_the_same_however_they_are_written(columns):
    assert all_forms(frame_of(**columns))["folds"].to_pylist() == [[1, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize(
    "folds",
    [
        [[1, 0], [0, None], None, []],
        [[1.0, 0.0], [0.0, np.nan], None, []],
        [["1", "0"], ["0", "null"], None, []],
        [np.array([1.0, 0.0]), np.array([0.0, np.nan]), None, np.array([])],
        [[True, False], [False, None], None, []],
    ],
)
def test_lists_of_folds_say_the_same_in_every_form_that_has_them(folds):
    manifest = all_forms(frame_of(folds=folds), without=LISTS)
    assert manifest["folds"].to_pylist() == [[1, 0], [0, None], None, None]


def test_a_gap_makes_no_number_another():
    frame = frame_of(
        label=["a", "b", "a"],
        fold=[1, 2, None],
        sample_rate=[44100, None, 16000],
        channels=pd.array([1, None, 2], "Int8"),
        bytes=[10, None, 2**40],
        duration=[1.5, None, 2],
        partition=["train", "", None],
    )
    manifest = all_forms(frame)
    assert manifest["sample_rate"].to_pylist() == [44100, None, 16000]
    assert manifest["channels"].to_pylist() == [1, None, 2]
    assert manifest["bytes"].to_pylist() == [10, None, 2**40]
    assert manifest["duration"].to_pylist() == [1.5, None, 2.0]
    assert manifest["partition"].to_pylist() == ["train", None, None]
    assert manifest["folds"].to_pylist() == [[1, 0], [0, 1], [None, None]]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]))
integers = st.integers(-(2**53), 2**53)
floats = st.sampled_from([0.5, 1.0, -2.0, 100.0])


def four(values):
    """Four cells of a column, some of them empty."""
    return st.lists(st.one_of(st.none(), values), min_size=4, max_size=4)


cells = st.one_of(map(four, (texts, integers, floats, st.booleans(), st.dates())))
whole = four(st.integers(1, 2**31 - 1))


@settings(max_examples=15, deadline=None)
@given(label=cells, rates=whole, folds=st.permutations([1, 2, 3, None]), plain=st.booleans())
def test_random_frames_say_the_same_in_every_form(label, rates, folds, plain):
    frame = frame_of(label=label, sample_rate=rates, fold=folds)
    if plain:
        frame = frame.drop(columns="fold")
    all_forms(frame)


def test_paths_and_values_of_several_types_are_text_as_in_a_csv(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"file": [Path("a.wav"), Path("/x/b.wav")], "label": [1, "dog"]})
    manifest, layout = load_manifest(frame)
    assert layout == "manifest"
    assert manifest["uri"].to_pylist() == ["/x/b.wav", str(tmp_path / "a.wav")]
    assert manifest["label"].to_pylist() == ["dog", "1"]
    by_index = load_manifest(frame.set_index("file").iloc[::-1])[0]
    assert by_index.equals(manifest)


def test_the_row_numbers_that_pandas_writes_are_no_columns(caplog):
    frame = frame_of(label=["a", "b", "a"]).iloc[[2, 0]]
    wanted = from_text(frame).to_pylist()
    assert parse_manifest(frame.to_csv().encode(), name="m.csv", root=ROOT).to_pylist() == wanted
    assert FORMS["parquet"](frame).to_pylist() == wanted
    assert load_manifest(frame)[0].to_pylist() == wanted
    assert not caplog.messages


def test_a_text_of_windows_is_read_with_a_line_that_says_so(caplog):
    text = "sep=;\r\nfile;label\r\n/a.wav;Käuzchen\r\n;\r\n"
    table = parse_manifest(text.encode("cp1252"), name="m.csv", root=ROOT)
    assert table["label"].to_pylist() == ["Käuzchen"]
    (line,) = caplog.messages
    assert line == (
        "m.csv: the text is not UTF-8; read as Windows-1252, e.g. 'Käuzchen'. Save it as UTF-8 if "
        "that is wrong."
    )
    with pytest.raises(ManifestError, match=r"m\.csv: the text is not UTF-8, nor Windows-1252"):
        parse_manifest(b"file\n\x81\x8d\n", name="m.csv", root=ROOT)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "utf-8-sig"])
def test_texts_are_read_in_every_encoding_that_shows(encoding):
    text = "file\tlabel\n/a.wav\tdog\n"
    table = parse_manifest(text.encode(encoding), name="m.csv", root=ROOT)
    assert table["label"].to_pylist() == ["dog"]


def test_headers_are_compared_without_case_and_blanks():
    table = parse_manifest(b"File , LABEL\n/a.wav, dog\n", name="m.csv", root=ROOT)
    assert table["label"].to_pylist() == ["dog"]


@pytest.mark.parametrize(
    ("header", "column", "meant"),
    [
        ("class", "class", "label"),
        ("Category", "Category", "label"),
        ("split", "split", "partition"),
        ("Sampling Rate", "Sampling Rate", "sample_rate"),
        ("lable", "lable", "label"),
    ],
)
def test_a_column_of_another_name_is_named_with_the_one_that_is_meant(
    header, column, meant, caplog
):
    with caplog.at_level(logging.WARNING):
        parse_manifest(f"file,{header}\n/a,x\n".encode(), name="m.csv", root=ROOT)
    assert caplog.messages == [
        f"m.csv: ignored columns that no manifest has: {column!r} (meant {meant!r}?)"
    ]


@pytest.mark.parametrize("name", ["filename", "path", "Audio File", "filepath"])
def test_a_file_under_another_name_is_refused_with_the_way_out(name):
    for text in (f"{name},label\na,b\n", f"label;{name}\nb;a\n"):
        with pytest.raises(ManifestError, match=f"needs the column 'file'.*Rename '{name}' to"):
            parse_manifest(text.encode(), name="m.csv", root=ROOT)
    with pytest.raises(ManifestError, match=f"^the DataFrame: a manifest.*Rename '{name}' to"):
        load_manifest(pd.DataFrame({name: ["a"]}))


def test_what_is_no_single_value_is_named_by_row_and_column():
    frame = pd.DataFrame({"file": ["/a", "/b"], "label": [None, ["x"]]})
    with pytest.raises(ManifestError, match=r"row 2: 'label' must be one value. Got \"\['x'\]\""):
        load_manifest(frame)
