"""Tables to auDeep's files and back: a round trip changes nothing."""

import csv
import json

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raudeep import ExportConfig, export_table, import_table, read_index, read_table
from raudeep.storage import uri as uris
from tests.pipeline.exchange import (
    FORMATS,
    SPLITS,
    chunks,
    content,
    there_and_back,
    write,
)

pytestmark = pytest.mark.usefixtures("decoding_here")

# --- round trips


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("splits", SPLITS)
def test_round_trip_changes_nothing(tmp_path, kind, splits, rng):
    rows = chunks(label=["dog", "a 'big' cat", None, "007", ""], **SPLITS[splits])
    table = write(tmp_path / "table", rows, values=rng.standard_normal((12, 3)))
    back = there_and_back(table, tmp_path, kind)
    assert content(back) == content(table)
    assert read_index(back).stage == "embeddings"


def test_names_of_the_dimensions_are_kept(tmp_path):
    with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
        for name, size in {"instance": 2, "generated_0": 3, "generated_1": 4}.items():
            file.createDimension(name, size)
        dims = ("instance", "generated_0", "generated_1")
        file.createVariable("features", "f4", dims)[:] = np.arange(24).reshape(2, 3, 4)
    import_table(str(tmp_path / "x.nc"), str(tmp_path / "table"), format="netcdf")
    export_table(str(tmp_path / "table"), str(tmp_path / "y.nc"), format="netcdf")
    with netCDF4.Dataset(tmp_path / "y.nc") as file:
        assert file["features"].dimensions == dims
        assert file["features"][:].tolist() == np.arange(24).reshape(2, 3, 4).tolist()


@pytest.mark.parametrize("kind", FORMATS)
def test_round_trip_through_a_remote_place_changes_nothing(tmp_path, kind):
    place = f"memory://{tmp_path.name}"
    try:
        table = write(f"{place}/table", chunks(label=["dog", None], **SPLITS["both"]))
        assert content(there_and_back(table, place, kind)) == content(table)
    finally:
        uris.delete(place)


@pytest.mark.parametrize("kind", ["csv", "arff"])
def test_round_trip_with_the_labels_last_changes_nothing(tmp_path, kind):
    table = write(tmp_path / "table", chunks(label=["dog", "cat"], **SPLITS["both"]))
    back = there_and_back(table, tmp_path, kind, config=ExportConfig(labels_last=True, name="a b"))
    assert content(back) == content(table)


def test_netcdf_holds_every_role_in_every_fold(tmp_path):
    folds = [[0, 1, None], [0, 0, 0], [1, 1, 1], [None, None, 0], None]
    table = write(tmp_path / "table", chunks(folds=folds, partition=["train", None]))
    assert content(there_and_back(table, tmp_path, "netcdf")) == content(table)


texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
recordings = st.lists(
    st.tuples(
        texts.filter(bool),
        st.none() | texts,
        st.sampled_from([None, "train", "devel", "test"]),
        st.integers(1, 7) | st.none(),
        st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=4),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda recording: recording[0],
)


@pytest.mark.parametrize("kind", FORMATS)
@settings(deadline=None, database=None, max_examples=8)
@given(recordings=recordings)
def test_round_trip_of_any_table_changes_nothing(kind, recordings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("round-trip")
    rows, values = [], []
    for file, label, partition, valid, numbers in recordings:
        folds = None if valid is None else [valid >> fold & 1 for fold in range(3)]
        for chunk in range(2):
            rows.append(
                {"file": file, "chunk": chunk, "label": label}
                | {"partition": partition, "folds": folds}
            )
            values.append(numbers[2 * chunk : 2 * chunk + 2])
    table = write(folder / "table", rows, values=values)
    assert content(there_and_back(table, folder, kind)) == content(table)


def test_spectrograms_keep_their_shape_in_netcdf(tmp_path, rng):
    values = rng.uniform(-1, 1, (12, 5, 3))
    table = write(tmp_path / "table", chunks(label=["dog"]), values=values, stage="spectrograms")
    back = there_and_back(table, tmp_path, "netcdf")
    assert content(back) == content(table)
    assert read_index(back).stage == "spectrograms"


def test_spectrograms_are_flattened_in_text_with_a_warning(tmp_path, rng, caplog):
    values = rng.uniform(-1, 1, (12, 5, 3))
    rows = chunks(label=["dog"])
    table = write(tmp_path / "table", rows, values=values, stage="spectrograms")
    back = there_and_back(table, tmp_path, "arff")
    assert "5 x 3 values are flattened to 15 features" in caplog.text
    flat = write(tmp_path / "flat", rows, values=values.reshape(12, 15))
    assert content(back) == content(flat)


def test_numbers_of_labels_that_are_not_in_sorted_order_are_kept(tmp_path):
    (tmp_path / "in.csv").write_text(
        "filename,chunk_nr,label_nominal,label_numeric,f\na,0,low,3,1\nb,0,high,1,2\n"
    )
    import_table(str(tmp_path / "in.csv"), str(tmp_path / "table"))
    export_table(str(tmp_path / "table"), str(tmp_path / "out"), config=ExportConfig(name="x"))
    rows = list(csv.DictReader((tmp_path / "out" / "x.csv").open()))
    assert [(row["label_nominal"], row["label_numeric"]) for row in rows] == [
        ("low", "3"),
        ("high", "1"),
    ]


def test_data_set_of_audeep_becomes_a_table(tmp_path):
    with netCDF4.Dataset(tmp_path / "generated.nc", "w") as file:
        for name, size in {"instance": 3, "fold": 11, "generated": 2}.items():
            file.createDimension(name, size)
        texts = {"filename": ["b.wav", "b.wav", "a.wav"], "label_nominal": ["dog", "dog", ""]}
        for name, values in texts.items():
            file.createVariable(name, str, ("instance",))[:] = np.array(values, object)
        numbers = {"chunk_nr": [0, 1, 0], "label_numeric": [1, 1, -999999], "partition": [0, 0, 2]}
        for name, values in numbers.items():
            file.createVariable(name, "i8", ("instance",))[:] = values
        roles = np.zeros((3, 11), int)
        roles[:2, 10], roles[2] = 1, -999999
        file.createVariable("cv_folds", "i8", ("instance", "fold"))[:] = roles
        features = file.createVariable("features", "f4", ("instance", "generated"))
        features[:] = np.arange(6).reshape(3, 2)
        file.feature_dims = json.dumps(["generated"])
        file.label_map = json.dumps([["cat", 0], ["dog", 1]])
    import_table(str(tmp_path / "generated.nc"), str(tmp_path / "table"), format="netcdf")
    rows = read_table(str(tmp_path / "table")).to_pylist()
    assert [(row["file"], row["chunk"], row["label"], row["partition"]) for row in rows] == [
        ("b.wav", 0, "dog", "train"),
        ("b.wav", 1, "dog", "train"),
        ("a.wav", 0, None, "test"),
    ]
    assert [row["folds"] for row in rows] == [[0] * 10 + [1], [0] * 10 + [1], None]
    assert [row["embedding"] for row in rows] == [[0, 1], [2, 3], [4, 5]]


# --- the commands


@pytest.mark.parametrize("kind", ["CSV", "arff", "NetCDF"])
def test_commands_take_the_format_in_any_case(cli, tmp_path, kind):
    table = write(tmp_path / "table", chunks(label=["dog"], **SPLITS["both"]))
    middle = tmp_path / ("middle.nc" if kind == "NetCDF" else "middle")
    code, out, _ = cli("export", kind, table, "--output", middle, "--json")
    (summary,) = json.loads(out)
    assert (code, summary["stage"], summary["rows"]) == (0, "export", 12)
    assert summary["parts"] == (1 if kind == "NetCDF" else 36)
    code, out, _ = cli("import", kind, middle, "--output", tmp_path / "back", "--json")
    (summary,) = json.loads(out)
    assert (code, summary["stage"], summary["rows"]) == (0, "import", 12)
    assert content(str(tmp_path / "back")) == content(table)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("export", ["--output", "--name", "--labels-last", "--overwrite"]),
        ("import", ["--output", "--name", "--filename-attribute", "--chunk-nr-attribute"]),
        ("import", ["--label-nominal-attribute", "--label-numeric-attribute"]),
    ],
)
def test_help_names_the_formats_and_the_options_of_audeep(cli, command, flags):
    code, out, _ = cli(command, "--help")
    assert code == 0
    for word in ("csv, arff,", *flags):
        assert word in out


def test_unknown_format_is_wrong_usage_that_names_the_known_ones(cli, tmp_path):
    code, _, err = cli("export", "xml", "table", "--output", tmp_path / "out")
    assert code == 2
    assert 'Choose from: "csv", "arff", "netcdf"' in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "csv", "nowhere"], "holds no table"),
        (["import", "csv", "nowhere"], "there is no csv data set at"),
        (["import", "netcdf", "nowhere.nc"], "there is no netcdf data set at"),
        (["import", "netcdf", "plain.txt"], "cannot be read as netCDF 4"),
        (["import", "arff", "plain.txt"], "not a line of an ARFF header"),
        (["import", "csv", "plain.txt"], "no column 'label_nominal'"),
    ],
)
def test_unusable_input_is_one_line(cli, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.txt").write_text("some text\n")
    code, out, err = cli(*arguments, "--output", "out")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["plain.txt"]
