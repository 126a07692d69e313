"""What an export says of times, where it makes one file, and what other programs read in it."""

import arff
import netCDF4
import numpy as np
import pandas as pd
import pytest

from raudeep import ExportConfig, export_table, import_table, read_table
from tests.pipeline.exchange import FORMATS, content, files_of, recordings_of, there_and_back, write


@pytest.mark.parametrize("kind", FORMATS)
def test_seconds_are_null_after_an_import(tmp_path, kind):
    table = write(tmp_path / "table", recordings_of(label=["dog", "cat"]))
    back = read_table(there_and_back(table, tmp_path, kind))
    assert back["start"].null_count == back["end"].null_count == 2


@pytest.mark.parametrize("kind", ["csv", "arff"])
def test_seconds_come_back_where_they_are_asked_for(tmp_path, kind):
    spans = [(0.0, 1.25), (1.25, 2.5), (0.1, 0.3)]
    rows = [
        {"file": "a.wav", "chunk": n, "start": start, "end": end, "folds": [n % 2, 1 - n % 2]}
        for n, (start, end) in enumerate(spans)
    ]
    table = write(tmp_path / "table", rows)
    back = there_and_back(table, tmp_path, kind, config=ExportConfig(times=True))
    assert content(back) == content(table)
    names = ["file", "chunk", "start", "end"]
    assert read_table(back, names).to_pylist() == read_table(table, names).to_pylist()


def test_times_stand_behind_the_number_of_the_chunk(cli, tmp_path):
    table = write(tmp_path / "table", recordings_of(label=["dog", None]))
    code, _, err = cli("export", "csv", table, "--output", tmp_path / "out", "--times")
    assert (code, err) == (0, "")
    frame = pd.read_csv(tmp_path / "out" / "table.csv")
    names = ["filename", "chunk_nr", "start", "end", "label_nominal", "label_numeric"]
    assert frame.columns[:6].tolist() == names
    assert frame["end"].tolist() == [1.5, 1.5]


@pytest.mark.parametrize("kind", ["csv", "arff"])
def test_a_table_without_splits_may_be_one_file(cli, tmp_path, kind):
    table = write(tmp_path / "table", recordings_of(label=["dog", "cat"]))
    output = tmp_path / "new" / f"out.{kind}"
    assert cli("export", kind, table, "--output", output)[0] == 0
    assert output.is_file()
    import_table(str(output), str(tmp_path / "back"), format=kind)
    assert content(str(tmp_path / "back")) == content(table)
    code, _, err = cli("export", kind, table, "--output", output)
    assert (code, "exists" in err) == (1, True)
    assert cli("export", kind, table, "--output", output, "--overwrite")[0] == 0


def test_one_file_for_rows_of_several_is_refused_with_the_way_out(cli, tmp_path):
    table = write(tmp_path / "table", recordings_of(folds=[[1, 0], [0, 1]]))
    code, _, err = cli("export", "csv", table, "--output", tmp_path / "out.csv")
    assert code == 1
    assert "one file, but partitions and folds lie in files of their own: fold_1/…, fold_2/…" in err
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_a_folder_may_be_called_as_a_file(tmp_path):
    table = write(tmp_path / "table", recordings_of(folds=[[1, 0], [0, 1]]))
    (tmp_path / "out.csv").mkdir()
    export_table(table, str(tmp_path / "out.csv"))
    assert [*files_of(tmp_path / "out.csv")] == ["fold_1/table.csv", "fold_2/table.csv"]


@pytest.mark.parametrize("splits", [{}, {"partition": ["train", "test", "devel"]}])
def test_readers_of_others_find_every_value_in_an_export(tmp_path, rng, splits):
    """Values, types and shapes, as pandas, liac-arff, SciPy and the netCDF library read them."""
    values = rng.standard_normal((3, 5)).astype(np.float32)
    rows = recordings_of(label=["dog", "big cat", "dog"], chunk=[0, 1, 2], **splits)
    table = write(tmp_path / "table", rows, values=values)
    times = ExportConfig(times=True)
    for kind, config in (("csv", times), ("arff", times), ("netcdf", None)):
        export_table(
            table, str(tmp_path / kind) + ".nc" * (kind == "netcdf"), format=kind, config=config
        )
    names = [f"feature_{n}" for n in range(5)]
    frames = [pd.read_csv(path) for path in sorted((tmp_path / "csv").rglob("*.csv"))]
    frame = pd.concat(frames).sort_values("filename")
    assert np.array_equal(frame[names].to_numpy().astype(np.float32), values)
    assert frame["label_nominal"].tolist() == ["dog", "big cat", "dog"]
    assert frame["label_numeric"].tolist() == [1, 0, 1]
    assert frame["start"].tolist() == [0.0] * 3
    found = {}
    for path in (tmp_path / "arff").rglob("*.arff"):
        data = arff.loads(path.read_text())
        kinds = dict(data["attributes"])
        assert kinds["label_nominal"] == ["big cat", "dog"]
        assert {kinds[name] for name in (*names, "start", "end")} == {"REAL"}
        found.update({row[0]: row for row in data["data"]})
    order = [name for name, _ in data["attributes"]]
    for number, file in enumerate(["0.wav", "1.wav", "2.wav"]):
        cells = dict(zip(order, found[file], strict=True))
        assert np.array_equal(np.float32([cells[name] for name in names]), values[number])
        assert (cells["chunk_nr"], cells["start"], cells["end"]) == (number, 0.0, 1.5)
    with netCDF4.Dataset(tmp_path / "netcdf.nc") as file:
        features = file["features"][:]
        assert (features.dtype, features.shape) == (np.float32, (3, 5))
        assert np.array_equal(features, values)
        assert file["label_nominal"][:].tolist() == ["dog", "big cat", "dog"]
        partitions = file["partition"][:].tolist()
        assert partitions == ([0, 2, 1] if splits else [-999999] * 3)
