"""Rows as CSV and ARFF text and back: values exact to the bit, any name, other programs' files."""

import csv
import io
from dataclasses import replace

import arff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudeep.config import ImportConfig
from raudeep.errors import TableError
from raudeep.storage.exchange.arff import arff_header, arff_rows, read_arff
from raudeep.storage.exchange.csv import csv_header, csv_rows, read_csv
from raudeep.storage.exchange.rows import TIMES, Rows
from raudeep.storage.exchange.text import column_names, parse_rows

ATTRIBUTES = ImportConfig().attributes
READERS = {"csv": read_csv, "arff": read_arff}

AWKWARD = [
    "with space.wav",
    "it's.wav",
    'a "quoted" one.wav',
    "a,b.wav",
    "50%.wav",
    "% no comment",
    "{a}",
    "back\\slash",
    "\\n is no newline",
    "new\nline",
    "tab\tcar\rriage",
    "?",
    "'",
    "@data",
    "007",
    "1e5",
    "NaN",
    "ünï – 日本 😀",
    "ends in \\",
    "\x01\x1f",
    "line\u2028separator\x85",
    "\ufeffmark",
    " blanks ",
]


def rows_of(files, labels=None, features=None):
    labels = labels if labels is not None else [None] * len(files)
    numbers = {label: n for n, label in enumerate(sorted({*labels} - {None}))}
    if features is None:
        features = np.arange(2 * len(files), dtype=np.float32).reshape(-1, 2) / 3
    return Rows(
        list(files),
        list(range(len(files))),
        list(labels),
        [numbers.get(label) for label in labels],
        np.asarray(features, np.float32),
    )


def written(rows, kind, *, labels_last=False):
    size = rows.features.shape[1]
    times = rows.times is not None
    if kind == "csv":
        head = csv_header(size, labels_last=labels_last, times=times)
        return head + csv_rows(rows, labels_last=labels_last)
    labels = sorted({*rows.labels} - {None})
    head = arff_header(size, labels, labels_last=labels_last, times=times)
    return head + arff_rows(rows, labels_last=labels_last)


def read(content, kind, attributes=ATTRIBUTES):
    content = content if isinstance(content, bytes) else content.encode()
    cells = READERS[kind](io.BytesIO(content), (*attributes, *TIMES), where="a file")
    return parse_rows(cells, attributes, where="a file")


def assert_same(got, wanted):
    assert (got.files, got.chunks) == (wanted.files, wanted.chunks)
    assert (got.labels, got.label_ids) == (wanted.labels, wanted.label_ids)
    assert got.times == wanted.times
    assert got.features.dtype == np.float32
    assert got.features.tobytes() == wanted.features.tobytes()


# --- round trips

names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.mark.parametrize("kind", READERS)
@settings(deadline=None, database=None, max_examples=60)
@given(
    data=st.lists(
        st.tuples(names.filter(bool), st.none() | names, floats, floats), min_size=1, max_size=5
    ),
    labels_last=st.booleans(),
)
def test_any_name_label_and_value_comes_back_to_the_bit(kind, data, labels_last):
    files, labels, *columns = zip(*data, strict=True)
    rows = rows_of(files, labels, np.array(columns).T)
    assert_same(read(written(rows, kind, labels_last=labels_last), kind), rows)


@pytest.mark.parametrize("kind", READERS)
def test_extreme_values_come_back_to_the_bit(kind):
    limits = np.finfo(np.float32)
    values = [limits.max, limits.tiny, limits.smallest_subnormal, -0.0, 16777216, 0.1, 1e-5, 1e20]
    rows = rows_of(["a"], features=[values])
    assert_same(read(written(rows, kind), kind), rows)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("labels_last", [False, True])
def test_times_come_back_to_the_bit(kind, labels_last):
    rows = replace(rows_of(["a", "b"]), times=[(0.0, 1 / 3), (None, None)])
    assert_same(read(written(rows, kind, labels_last=labels_last), kind), rows)


@pytest.mark.parametrize("kind", READERS)
def test_missing_label_and_empty_label_are_two_things(kind):
    rows = rows_of(["a", "b", "c"], ["", None, "dog"])
    assert read(written(rows, kind), kind).labels == ["", None, "dog"]


@pytest.mark.parametrize("kind", READERS)
def test_rows_without_any_label_come_back_without_labels(kind):
    rows = rows_of(["a", "b"])
    assert_same(read(written(rows, kind), kind), rows)


@pytest.mark.parametrize("kind", READERS)
def test_file_without_rows_is_read_as_no_rows(kind):
    rows = rows_of([], features=np.empty((0, 3)))
    head = csv_header(3, labels_last=False) if kind == "csv" else None
    got = read(head or arff_header(3, ["dog"], labels_last=False), kind)
    assert (got.files, got.features.shape) == (rows.files, (0, 3))


def test_columns_are_those_of_audeep_with_the_labels_first_or_last():
    keys, labels = ["filename", "chunk_nr"], ["label_nominal", "label_numeric"]
    features = ["feature_0", "feature_1"]
    assert column_names(2, labels_last=False) == [*keys, *labels, *features]
    assert column_names(2, labels_last=True) == [*keys, *features, *labels]


# --- what independent readers make of it


def test_csv_is_read_by_the_standard_library_as_it_was_meant():
    rows = rows_of(AWKWARD, AWKWARD[::-1])
    table = list(csv.reader(io.StringIO(written(rows, "csv").decode(), newline="")))
    assert table[0] == column_names(2, labels_last=False)
    assert [row[0] for row in table[1:]] == AWKWARD
    assert [row[2] for row in table[1:]] == AWKWARD[::-1]
    assert [float(row[5]) for row in table[1:]] == pytest.approx(rows.features[:, 1].tolist())


@pytest.mark.parametrize("labels_last", [False, True])
def test_arff_is_read_by_an_independent_reader_as_it_was_meant(labels_last):
    rows = rows_of(AWKWARD, [*AWKWARD[1:], None])
    content = written(rows, "arff", labels_last=labels_last).decode()
    found = arff.loads(content)
    columns = dict(
        zip(
            [name for name, _ in found["attributes"]], zip(*found["data"], strict=True), strict=True
        )
    )
    assert found["relation"] == "auDeep exported data set"
    assert list(columns) == column_names(2, labels_last=labels_last)
    kinds = dict(found["attributes"])
    assert kinds["label_nominal"] == sorted(AWKWARD[1:])
    assert (kinds["filename"], kinds["chunk_nr"], kinds["feature_0"]) == (
        "STRING",
        "INTEGER",
        "REAL",
    )
    assert columns["filename"] == tuple(AWKWARD)
    assert columns["label_nominal"] == (*AWKWARD[1:], None)
    assert columns["feature_1"] == pytest.approx(rows.features[:, 1].tolist())


def test_label_of_an_unlabelled_arff_is_a_string_attribute():
    # An empty set of values is nothing that readers agree on.
    found = arff.loads(written(rows_of(["a"]), "arff").decode())
    assert dict(found["attributes"])["label_nominal"] == "STRING"
    assert found["data"][0][2:4] == [None, None]


# --- what other programs write

WEKA = """\
% a comment
@Relation 'someone\\'s data'

@attribute\tfilename   String
@ATTRIBUTE chunk_nr numeric
@attribute "feature one" Real % another comment
@attribute label_nominal { dog, 'a cat', "the \\"bird\\"" }
@attribute 'f 2' INTEGER

@Data
% rows
a.wav,0, 1.5,dog, 2
'b c.wav'\t1\t-2.5e-1\t'a cat'\t3
"d\\u001ee\\t.wav", 0, 1e3 , "the \\"bird\\"", 4 % at the end
'?', ?, 0, ?, 0
"""


def test_arff_of_weka_is_read():
    got = read(WEKA, "arff")
    assert got.files == ["a.wav", "b c.wav", "d\x1ee\t.wav", "?"]
    assert got.chunks == [0, 1, 0, 0]
    assert got.labels == ["dog", "a cat", 'the "bird"', None]
    assert got.features.tolist() == [[1.5, 2], [-0.25, 3], [1000, 4], [0, 0]]


def test_arff_with_the_line_ends_of_windows_is_read():
    assert_same(read(WEKA.replace("\n", "\r\n"), "arff"), read(WEKA, "arff"))


def test_columns_of_other_names_and_order_are_found_by_their_names():
    attributes = ImportConfig(
        filename_attribute="name",
        chunk_nr_attribute="part",
        label_nominal_attribute="class",
        label_numeric_attribute="class id",
    ).attributes
    content = "x,class id,name,y,class,part\n0.5,1.0,a.wav,1,dog,2\n0.25,0,a.wav,2,cat,3\n"
    got = read(content, "csv", attributes)
    assert (got.files, got.chunks) == (["a.wav", "a.wav"], [2, 3])
    assert (got.labels, got.label_ids) == (["dog", "cat"], [1, 0])
    assert got.features.tolist() == [[0.5, 1], [0.25, 2]]


def test_rows_without_names_are_named_after_their_file_with_a_warning(caplog):
    got = read("label_nominal,x\ndog,1\ncat,2\n", "csv")
    assert got.files == ["a file/000000", "a file/000001"]
    assert got.chunks == [0, 0]
    assert "no column 'filename'" in caplog.text


HEAD = "@relation r\n@attribute filename string\n@attribute label_nominal {dog}\n"


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("csv", "", "cannot be read as CSV"),
        ("csv", b"\xff\xfe\x00", "cannot be read as CSV"),
        ("csv", "label_nominal,x\ndog,1\ncat\n", "Expected 2 columns, got 1"),
        ("csv", "label_nominal,x\ndog,one\n", "invalid value 'one'"),
        ("csv", "label_nominal,x\ndog,\n", "must be finite"),
        ("csv", "label_nominal,x\ndog,inf\n", "must be finite"),
        ("csv", "label_nominal,x,x\ndog,1,2\n", "'x' appears more than once"),
        ("csv", "class,x\n1,1\n", "no column 'label_nominal'.*--label-nominal-attribute"),
        ("csv", "label_nominal\ndog\n", "no column of features"),
        ("csv", "label_nominal,chunk_nr,x\ndog,0.5,1\n", "'chunk_nr' must hold whole.*'0.5'"),
        ("csv", "label_nominal,chunk_nr,x\ndog,one,1\n", "'chunk_nr' must hold whole.*'one'"),
        ("csv", "label_nominal,chunk_nr,x\ndog,-1,1\n", "chunk numbers are 0, 1"),
        ("csv", "filename,label_nominal,x\n,dog,1\n", "names need characters"),
        ("csv", "label_nominal,label_numeric,x\na,0,1\na,1,1\n", "'a' has the numbers"),
        ("csv", "label_nominal,label_numeric,x\na,0,1\nb,0,1\n", "the same number 0"),
        ("csv", "label_nominal,label_numeric,x\n,3,1\n", "label number 3, but no label"),
        ("arff", "label_nominal,x\ndog,1\n", "line 1: not a line of an ARFF header"),
        ("arff", b"@relation \xff\n", "not UTF-8"),
        ("arff", HEAD, "no line '@DATA'"),
        ("arff", HEAD + "@attribute x\n@data\n", "line 4: an attribute needs a name"),
        ("arff", HEAD + "@attribute filename real\n@data\n", "needs a name of its own"),
        ("arff", HEAD + "@attribute x date 'yyyy'\n@data\n", "NUMERIC, REAL.*Got \"date 'yyyy'"),
        ("arff", HEAD + "@attribute x {a\n@data\n", "NUMERIC, REAL"),
        ("arff", HEAD + "@attribute x string\n@data\n", "the attribute 'x' is not"),
        ("arff", HEAD + "@attribute x real\n@data\n{1 dog}\n", "line 6: sparse rows"),
        ("arff", HEAD + "@attribute x real\n@data\na,dog\n", "3 attributes. Got 2 values"),
        ("arff", HEAD + "@attribute x real\n@data\na,dog,1,{2}\n", "instance weights"),
        ("arff", HEAD + "@attribute x real\n@data\n'a,dog,1\n", "open quotes"),
        ("arff", HEAD + "@attribute x real\n@data\na,cat,1\n", "'cat' is not declared"),
        ("arff", HEAD + "@attribute x real\n@data\na,dog,one\n", "line 6:.*'one'"),
        ("arff", HEAD + "@attribute x real\n@data\na,dog,?\n", "must be finite"),
        ("arff", HEAD + "@data\na,dog\n", "no column of features"),
    ],
)
def test_unusable_file_is_one_line_that_names_it(kind, content, said):
    with pytest.raises(TableError, match=f"a file.*{said}") as error:
        read(content, kind)
    assert "\n" not in str(error.value)


def test_formulas_are_escaped_where_that_is_asked_for():
    """Off by default: what is exported is to be read back as it was."""
    files = ["=1+1", "+1", "-1", "@x", "\tx", "a=b.wav"]
    rows = rows_of(files, labels=["=cmd|' /C calc'!A0", None, "-", "x", "y", "z"])
    plain = csv_rows(rows, labels_last=False).decode()
    escaped = csv_rows(rows, labels_last=False, escape_formulas=True).decode()
    read = [line[0] for line in csv.reader(io.StringIO(escaped, newline=""))]
    assert read == [f"'{file}" for file in files[:5]] + ["a=b.wav"]
    assert ",'=cmd|' /C calc'!A0," in escaped
    assert [line[0] for line in csv.reader(io.StringIO(plain, newline=""))] == files
