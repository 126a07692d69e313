"""netCDF data sets: auDeep's, made with the netCDF library itself, and ours, read with it."""

import json
import sys

import h5py
import netCDF4
import numpy as np
import pytest

from raudeep.errors import TableError
from raudeep.storage.exchange.netcdf import write_netcdf
from raudeep.storage.exchange.netcdf_reader import open_netcdf
from raudeep.storage.exchange.rows import Rows, Splits

MISSING = -999999


def make(path, *, drop=(), attributes=None, features=None, **variables):
    """Write a data set of auDeep's model: four chunks, twelve folds, and whatever is given."""
    folds = np.array([np.arange(12) == row for row in (0, 0, 11, 11)], int)
    features = np.arange(8.0).reshape(4, 2) if features is None else np.asarray(features)
    columns = {
        "filename": ["train/a b.wav", "train/a b.wav", "ü, 'c'.wav", "ü, 'c'.wav"],
        "chunk_nr": [0, 1, 0, 1],
        "label_nominal": ["dog", "dog", "Cat", "Cat"],
        "label_numeric": [3, 3, 7, 7],
        "cv_folds": folds,
        "partition": [0, 0, 2, 2],
        **variables,
    }
    dims = {1: ["generated"], 2: ["time", "freq"], 3: ["a", "b", "c"]}[features.ndim - 1]
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("instance", len(features))
        for name, size in zip(dims, features.shape[1:], strict=True):
            file.createDimension(name, size)
        for name, given in columns.items():
            if name in drop:
                continue
            values = np.asarray(given)
            kind = str if values.dtype.kind in "UO" else values.dtype
            if values.ndim == 2 and values.dtype.kind != "S":
                file.createDimension("fold", values.shape[1])
                file.createVariable(name, kind, ("instance", "fold"))[:] = values
            elif values.dtype.kind == "S":
                file.createDimension("letters", values.shape[1])
                file.createVariable(name, "S1", ("instance", "letters"))[:] = values
            else:
                dimension = ("instance",)
                if len(values) != len(features):
                    file.createDimension(f"{name}_rows", len(values))
                    dimension = (f"{name}_rows",)
                variable = file.createVariable(name, kind, dimension)
                variable[:] = np.asarray(values, object) if kind is str else values
        if "features" not in drop:
            file.createVariable("features", "f4", ("instance", *dims))[:] = features
        stored = {"feature_dims": json.dumps(dims), "label_map": '[["dog", 3], ["Cat", 7]]'}
        for name, value in {**stored, **(attributes or {})}.items():
            if value is not None:
                file.setncattr(name, value)
    return path


def load(path):
    with open_netcdf(str(path), where="x.nc") as data:
        return data, data.read(0, data.num_rows)


def test_data_set_of_audeep_is_read_with_all_that_it_holds(tmp_path):
    data, rows = load(make(tmp_path / "x.nc"))
    assert rows.files == ["train/a b.wav", "train/a b.wav", "ü, 'c'.wav", "ü, 'c'.wav"]
    assert rows.chunks == [0, 1, 0, 1]
    assert rows.labels == ["dog", "dog", "Cat", "Cat"]
    assert rows.label_ids == [3, 3, 7, 7]
    assert rows.features.tolist() == np.arange(8.0).reshape(4, 2).tolist()
    assert data.splits.partitions == ["train", "train", "test", "test"]
    assert data.splits.folds == [[int(fold == row) for fold in range(12)] for row in (0, 0, 11, 11)]
    assert data.label_map == {"dog": 3, "Cat": 7}
    assert data.feature_dims == {"generated": 2}


def test_rows_are_read_a_slice_at_a_time(tmp_path):
    with open_netcdf(str(make(tmp_path / "x.nc")), where="x.nc") as data:
        part = data.read(1, 3)
    assert part.keys == [("train/a b.wav", 1), ("ü, 'c'.wav", 0)]
    assert part.features.tolist() == [[2, 3], [4, 5]]


def test_file_object_is_read_as_well_as_a_path(tmp_path):
    path = make(tmp_path / "x.nc")
    with path.open("rb") as file, open_netcdf(file, where="x.nc") as data:
        assert data.read(0, 4).chunks == [0, 1, 0, 1]


def test_spectrograms_keep_their_dimensions(tmp_path):
    values = np.arange(24.0).reshape(4, 3, 2)
    data, rows = load(make(tmp_path / "x.nc", features=values))
    assert data.feature_dims == {"time": 3, "freq": 2}
    assert rows.features.tolist() == values.reshape(4, 6).tolist()


def test_missing_values_are_none_in_each_field_of_its_own(tmp_path):
    data, rows = load(
        make(
            tmp_path / "x.nc",
            filename=["a", "b", "c", "d"],
            chunk_nr=[MISSING, 1, 0, 2],
            label_nominal=["", "dog", "Cat", ""],
            label_numeric=[MISSING, MISSING, 7, MISSING],
            partition=[0, MISSING, 1, 2],
            cv_folds=[[0, MISSING], [MISSING, MISSING], [1, 1], [0, 0]],
        )
    )
    assert rows.chunks == [0, 1, 0, 2]
    assert rows.labels == [None, "dog", "Cat", None]
    assert rows.label_ids == [None, 3, 7, None]  # the map knows the dog's
    assert data.splits.partitions == ["train", None, "devel", "test"]
    assert data.splits.folds == [[0, None], None, [1, 1], [0, 0]]


def test_missing_numbers_may_be_nan(tmp_path):
    data, rows = load(
        make(
            tmp_path / "x.nc",
            label_nominal=["dog", "", "Cat", ""],
            label_numeric=[3.0, np.nan, 7.0, np.nan],
            partition=[np.nan] * 4,
            cv_folds=np.full((4, 2), np.nan),
        )
    )
    assert rows.label_ids == [3, None, 7, None]
    assert data.splits == Splits([None] * 4, [None] * 4)


def test_only_features_must_be_there(tmp_path, caplog):
    columns = ("filename", "chunk_nr", "label_nominal", "label_numeric", "cv_folds", "partition")
    path = make(tmp_path / "x.nc", drop=columns, attributes={"label_map": None})
    data, rows = load(path)
    assert rows.keys == [(f"x.nc/{row:06d}", 0) for row in range(4)]
    assert rows.labels == [None] * 4
    assert data.splits == Splits([None] * 4, [None] * 4)
    assert data.label_map == {}
    assert "there are no file names" in caplog.text


def test_text_of_a_fixed_length_is_read(tmp_path):
    letters = np.array([list("a.wav\0"), list("bb.wav"), list("c.wav\0"), list("d.wav\0")], "S1")
    _, rows = load(make(tmp_path / "x.nc", filename=letters))
    assert rows.files == ["a.wav", "bb.wav", "c.wav", "d.wav"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"drop": ["features"]}, "no variable 'features'"),
        ({"chunk_nr": [0, 0, 0, 1]}, "chunk 0 of 'train/a b.wav' appears twice"),
        ({"chunk_nr": [-1, 0, 0, 1]}, "chunk numbers are 0, 1, ... 'train/a b.wav' has -1"),
        ({"partition": [0, 1, 2, 3]}, "a partition is 0, 1 or 2. Got 3"),
        ({"cv_folds": [[0], [1], [2], [0]]}, r"0 \(train\) or 1 \(valid\). Got 2"),
        ({"label_nominal": ["dog", "cow", "Cat", "Cat"]}, "label 'cow' is not in the label map"),
        ({"label_numeric": [3, 7, 7, 7]}, "label 'dog' has the numbers"),
        ({"label_nominal": ["", "dog", "Cat", "Cat"]}, "label number 3, but no label"),
        ({"filename": ["a", "", "b", "c"]}, "names need characters"),
        ({"filename": ["a", "b"]}, "'filename' has 2 rows, 'features' has 4"),
        ({"features": [[0.0], [1.0], [np.nan], [3.0]]}, "must be finite.*chunk 0 of \"ü, 'c'"),
        ({"attributes": {"label_map": "no JSON"}}, "is no data set of auDeep"),
    ],
)
def test_unusable_data_set_is_one_line_that_names_it(tmp_path, changes, said):
    path = make(tmp_path / "x.nc", **changes)
    with pytest.raises(TableError, match=f"x.nc.*{said}") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_file_of_another_kind_is_one_line(tmp_path):
    (tmp_path / "x.nc").write_text("no netCDF")
    with pytest.raises(TableError, match=r"x.nc cannot be read as netCDF 4: .*signature"):
        load(tmp_path / "x.nc")


def test_truncated_file_is_one_line(tmp_path):
    path = make(tmp_path / "x.nc", features=np.zeros((4, 1000)))
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(TableError, match=r"x\.nc cannot be read as netCDF 4"):
        load(path)


def in_other_files(path):
    """Make data sets whose features, or names, lie in another file; yield what each is."""
    other = path / "other.nc"
    with h5py.File(other, "w") as file:
        file["features"] = np.zeros((4, 2), np.float32)
    other.with_suffix(".bin").write_bytes(bytes(32))
    for kind in ("external", "soft", "storage", "virtual"):
        made = path / f"{kind}.nc"
        with h5py.File(made, "w") as file:
            if kind == "external":
                file["features"] = h5py.ExternalLink(str(other), "/features")
            elif kind == "soft":
                file.create_group("group")["outside"] = h5py.ExternalLink(str(other), "/features")
                file["features"] = h5py.SoftLink("/group/outside")
            elif kind == "storage":
                stored = [(str(other.with_suffix(".bin")), 0, 32)]
                file.create_dataset("features", (4, 2), "f4", external=stored)
            else:
                layout = h5py.VirtualLayout((4, 2), "f4")
                layout[:] = h5py.VirtualSource(other, "features", (4, 2))
                file.create_virtual_dataset("features", layout)
        yield made


def test_values_that_lie_in_other_files_are_not_read(tmp_path):
    for path in in_other_files(tmp_path):
        with pytest.raises(TableError, match=r"a link, which is not followed|lie in other files"):
            load(path)


def test_a_claim_that_the_size_cannot_hold_takes_no_memory(tmp_path):
    with h5py.File(tmp_path / "x.nc", "w") as file:
        file.create_dataset("features", (10**9, 10**6), "f4", chunks=(1, 10**6))
    with pytest.raises(TableError, match=r"claims to hold 4000500000000000; it is not read"):
        load(tmp_path / "x.nc")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chunk_nr": ["a", "b", "c", "d"]}, "'chunk_nr' is of 1 dimensions and object"),
        ({"chunk_nr": [0.0, 0.5, 0.0, 1.0]}, "must be whole"),
        ({"partition": [0.0, np.inf, 0.0, 1.0]}, "must be whole"),
        ({"filename": [0, 1, 2, 3]}, "a name is a text. Got 0"),
        ({"attributes": {"label_map": "[" * 10**5}}, "its label_map: maximum recursion depth"),
        ({"attributes": {"label_map": "[3]"}}, "is no data set of auDeep"),
        ({"attributes": {"label_map": 3.0}}, "is no data set of auDeep"),
    ],
)
def test_values_of_the_wrong_type_are_one_line(tmp_path, changes, said):
    with pytest.raises(TableError, match=said):
        load(make(tmp_path / "x.nc", **changes))


ROWS = Rows(
    ["a b.wav", "a b.wav", "ü"],
    [0, 1, 0],
    ["", "", None],
    [0, 0, None],
    np.arange(12, dtype=np.float32).reshape(3, 4),
)
SPLITS = Splits(["train", "train", None], [[1, 0], [0, None], None])


@pytest.fixture
def exported(tmp_path):
    path = tmp_path / "ours.nc"
    with write_netcdf(
        str(path),
        num_rows=3,
        num_folds=2,
        feature_dims={"time": 2, "freq": 2},
        label_map={"": 0, "dog": 1},
    ) as writer:
        writer.write(1, ROWS.take([1, 2]), Splits(SPLITS.partitions[1:], SPLITS.folds[1:]))
        writer.write(0, ROWS.take([0]), Splits(SPLITS.partitions[:1], SPLITS.folds[:1]))
    return path


def test_the_netcdf_library_finds_the_data_model_of_audeep(exported):
    with netCDF4.Dataset(exported) as file:
        file.set_auto_mask(False)
        assert {name: file[name].dimensions for name in file.variables} == {
            "filename": ("instance",),
            "chunk_nr": ("instance",),
            "label_nominal": ("instance",),
            "label_numeric": ("instance",),
            "cv_folds": ("instance", "fold"),
            "partition": ("instance",),
            "features": ("instance", "time", "freq"),
        }
        assert file["filename"][:].tolist() == ["a b.wav", "a b.wav", "ü"]
        assert file["chunk_nr"][:].tolist() == [0, 1, 0]
        assert file["label_nominal"][:].tolist() == ["", "", ""]
        assert file["label_numeric"][:].tolist() == [0, 0, MISSING]
        assert file["cv_folds"][:].tolist() == [[1, 0], [0, MISSING], [MISSING, MISSING]]
        assert file["partition"][:].tolist() == [0, 0, MISSING]
        assert file["features"].dtype == np.float32
        assert file["features"][:].tolist() == ROWS.features.reshape(3, 2, 2).tolist()
        assert json.loads(file.feature_dims) == ["time", "freq"]
        assert json.loads(file.label_map) == [["", 0], ["dog", 1]]


def test_what_is_written_is_read_back(exported):
    data, rows = load(exported)
    assert rows.keys == ROWS.keys
    assert (rows.labels, rows.label_ids) == (ROWS.labels, ROWS.label_ids)
    assert rows.features.tobytes() == ROWS.features.tobytes()
    assert data.splits == SPLITS
    assert data.label_map == {"": 0, "dog": 1}


@pytest.mark.parametrize("package", ["h5netcdf", "h5py"])
def test_missing_package_names_the_extra_to_install(monkeypatch, tmp_path, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(TableError, match=r"h5netcdf.*pip install 'raudeep\[netcdf\]'"):
        load(tmp_path / "x.nc")
