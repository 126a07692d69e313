"""The files of an export, what of them is imported, what is refused; and auDeep's bugs are gone."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raudeep import ExportConfig, ImportConfig, export_table, import_table, read_table
from raudeep.errors import ConfigError, TableError
from raudeep.pipeline.stage import spectrogram_rows
from raudeep.pipeline.tables import exporting
from raudeep.schema import FILE_METADATA, KEYS, MANIFEST
from raudeep.storage.identity import Identity
from raudeep.storage.opening import open_table
from tests.pipeline.exchange import (
    FORMATS,
    SPLITS,
    chunks,
    content,
    files_of,
    recordings_of,
    there_and_back,
    write,
)

OUTPUTS = {"csv": "out", "arff": "out", "netcdf": "out.nc"}

# --- the layout of folders, and what auDeep got wrong there


def test_without_splits_there_is_one_file_named_after_the_table(tmp_path):
    table = write(tmp_path / "table", recordings_of(label=["dog", "cat"]))
    export_table(table, str(tmp_path / "out"))
    assert files_of(tmp_path / "out") == {"table.csv": ["0.wav", "1.wav"]}


def test_arff_is_arff_without_folds_and_partitions_too(tmp_path):
    # auDeep writes CSV there, whatever it is asked for.
    table = write(tmp_path / "table", recordings_of(label=["dog", "cat"]))
    export_table(table, str(tmp_path / "out"), format="arff")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["table.arff"]
    text = (tmp_path / "out" / "table.arff").read_text()
    assert text.startswith("@RELATION 'auDeep exported data set'")


def test_file_of_a_fold_holds_its_validation_rows(tmp_path):
    table = write(tmp_path / "table", recordings_of(folds=[[1, 0, 0], [1, 1, 0]]))
    export_table(table, str(tmp_path / "out"))
    assert files_of(tmp_path / "out") == {
        "fold_1/table.csv": ["0.wav", "1.wav"],
        "fold_2/table.csv": ["1.wav"],
        "fold_3/table.csv": [],
    }


def test_folder_of_a_partition_holds_its_own_rows_only(tmp_path):
    # With folds and partitions, auDeep writes the rows of all partitions into each of them.
    rows = recordings_of(partition=["train", "test", "train"], folds=[[1, 0], [0, 1], [0, 1]])
    export_table(write(tmp_path / "table", rows), str(tmp_path / "out"))
    assert files_of(tmp_path / "out") == {
        "test/fold_1/table.csv": [],
        "test/fold_2/table.csv": ["1.wav"],
        "train/fold_1/table.csv": ["0.wav"],
        "train/fold_2/table.csv": ["2.wav"],
    }


def test_folders_of_partitions_and_folds_are_read(tmp_path):
    # auDeep cannot read the layout that it writes.
    rows = recordings_of(partition=["train", "test"], folds=[[1, 0], [0, 1]])
    table = write(tmp_path / "table", rows)
    assert content(there_and_back(table, tmp_path, "csv")) == content(table)


def test_ten_folds_and_more_keep_their_numbers(tmp_path):
    # auDeep sorts the folders by name: fold_10 before fold_2.
    table = write(tmp_path / "table", chunks(**SPLITS["folds"]))
    folds = content(there_and_back(table, tmp_path, "csv"))
    assert [folds[f"{k:02d}, 'x'.wav", 0][2].index(1) for k in range(6)] == [*range(0, 12, 2)]


def test_chunk_numbers_are_chunk_numbers_and_no_feature(tmp_path):
    # auDeep reads them as one more feature, and then takes chunks for duplicates.
    table = write(tmp_path / "table", chunks(**SPLITS["both"]))
    back = read_table(there_and_back(table, tmp_path, "csv"))
    assert back["chunk"].to_pylist() == [0, 1] * 6
    assert back.schema.field("embedding").type.list_size == 2


def test_all_files_of_an_arff_export_declare_all_labels(tmp_path):
    # Weka trains on one file and tests on another only where both have the same classes.
    rows = recordings_of(label=["dog", "a cat"], partition=["train", "test"])
    export_table(write(tmp_path / "table", rows), str(tmp_path / "out"), format="arff")
    for path in ("train/table.arff", "test/table.arff"):
        text = (tmp_path / "out" / path).read_text()
        assert "@ATTRIBUTE label_nominal {'a cat',dog}\n" in text


@pytest.mark.parametrize("kind", FORMATS)
def test_rows_are_the_same_in_batches_of_any_size(tmp_path, monkeypatch, kind):
    table = write(tmp_path / "table", chunks(**SPLITS["both"]))
    monkeypatch.setattr(exporting, "_BATCH_BYTES", 3 * 4 * 2)
    assert content(there_and_back(table, tmp_path, kind)) == content(table)


def test_columns_that_audeep_does_not_have_are_left_out_with_a_warning(tmp_path, caplog):
    table = write(tmp_path / "table", recordings_of(label=["a", "b"]))
    rows = read_table(table).append_column("reconstruction_rmse", pa.array([0.5, 0.25]))
    writer = open_table(str(tmp_path / "more"), Identity("embeddings", {}, {}))
    writer.write(0, rows)
    writer.commit(1)
    back = there_and_back(str(tmp_path / "more"), tmp_path, "netcdf")
    assert "no columns reconstruction_rmse; left out" in caplog.text
    assert content(back) == content(table)


def test_columns_of_other_names_are_imported(tmp_path):
    (tmp_path / "x.csv").write_text("name,class,f\na.wav,dog,0.5\n")
    config = ImportConfig(filename_attribute="name", label_nominal_attribute="class")
    import_table(str(tmp_path / "x.csv"), str(tmp_path / "table"), config=config)
    (row,) = read_table(str(tmp_path / "table")).to_pylist()
    assert (row["file"], row["label"], row["embedding"]) == ("a.wav", "dog", [0.5])


def test_several_data_sets_in_a_folder_are_told_apart_by_name(tmp_path):
    table = write(tmp_path / "table", recordings_of(partition=["train", "test"]))
    for name in ("a", "b"):
        export_table(table, str(tmp_path / name), config=ExportConfig(name=name))
        for path in (tmp_path / name).rglob("*.csv"):
            target = tmp_path / "both" / path.relative_to(tmp_path / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, target)
    with pytest.raises(TableError, match=r"holds a.csv, b.csv. Choose one with --name"):
        import_table(str(tmp_path / "both"), str(tmp_path / "back"))
    import_table(str(tmp_path / "both"), str(tmp_path / "back"), config=ImportConfig(name="b"))
    assert content(str(tmp_path / "back")) == content(table)


# --- what is refused, and that nothing is left behind


def remains(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.parametrize("kind", FORMATS)
def test_value_that_is_not_finite_is_refused_and_nothing_is_written(tmp_path, kind):
    table = write(tmp_path / "table", recordings_of(label=["a", "b"]), values=[[0], [np.inf]])
    with pytest.raises(TableError, match=r"must be finite.*'1.wav'"):
        export_table(table, str(tmp_path / OUTPUTS[kind]), format=kind)
    assert remains(tmp_path) == ["table"]


def test_roles_that_folders_cannot_tell_are_refused_and_nothing_is_written(tmp_path):
    table = write(tmp_path / "table", recordings_of(folds=[[1, 0], [0, 0]]))
    with pytest.raises(TableError, match=r"'1.wav' has the roles \[0, 0\].*Export netCDF"):
        export_table(table, str(tmp_path / "out"))
    assert remains(tmp_path) == ["table"]


def test_table_of_another_stage_is_refused(tmp_path):
    writer = open_table(str(tmp_path / "table"), Identity("manifest", {}, {}))
    writer.write(0, MANIFEST.empty_table())
    writer.commit(1)
    with pytest.raises(TableError, match="is a table of manifest; those of embeddings and"):
        export_table(str(tmp_path / "table"), str(tmp_path / "out"))
    assert remains(tmp_path) == ["table"]


@pytest.mark.parametrize("kind", FORMATS)
def test_spectrograms_of_several_lengths_are_refused(tmp_path, kind):
    keys = pa.Table.from_pylist(
        [{"file": name, "chunk": 0} for name in ("a", "b")],
        schema=pa.schema([*KEYS, *FILE_METADATA]),
    )
    table = spectrogram_rows(keys, [np.zeros((2, 3)), np.zeros((4, 3))], (None, None))
    writer = open_table(str(tmp_path / "table"), Identity("spectrograms", {}, {}))
    writer.write(0, table)
    writer.commit(1)
    with pytest.raises(TableError, match=r"one shape; there are 2 .*2 x 3, 4 x 3"):
        export_table(str(tmp_path / "table"), str(tmp_path / OUTPUTS[kind]), format=kind)
    assert remains(tmp_path) == ["table"]


def test_folder_that_holds_other_files_is_never_touched(tmp_path):
    table = write(tmp_path / "table", recordings_of(label=["a", "b"]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(TableError, match=r"no export as table.csv of raudeep, e.g. 'thesis.t"):
            export_table(table, str(tmp_path / "out"), overwrite=overwrite)
    assert remains(tmp_path / "out") == ["thesis.txt"]


@pytest.mark.parametrize("kind", ["csv", "arff"])
@pytest.mark.parametrize("name", ["labels", "train/notes", "train/fold_1/more.table"])
def test_files_of_the_user_where_an_export_could_lie_are_never_deleted(tmp_path, kind, name):
    table = write(tmp_path / "table", recordings_of(label=["a", "b"]))
    own = tmp_path / "out" / f"{name}.{kind}"
    own.parent.mkdir(parents=True)
    own.write_text("mine\n")
    with pytest.raises(TableError, match=rf"no export as table.{kind} of raudeep, e.g. '{name}"):
        export_table(table, str(tmp_path / "out"), format=kind, overwrite=True)
    assert own.read_text() == "mine\n"


@pytest.mark.parametrize("kind", ["csv", "arff"])
def test_a_file_of_the_user_named_like_one_of_an_export_is_never_replaced(tmp_path, kind):
    table = write(tmp_path / "table", recordings_of(partition=["train", "test"]))
    own = tmp_path / "out" / "test" / f"table.{kind}"
    own.parent.mkdir(parents=True)
    own.write_text("mine\n")
    with pytest.raises(TableError, match="holds files but no export"):
        export_table(table, str(tmp_path / "out"), format=kind, overwrite=True)
    (tmp_path / "out" / "test").rename(tmp_path / "test")
    export_table(table, str(tmp_path / "out"), format=kind)
    (tmp_path / "test").rename(tmp_path / "out" / "test" / "fold_1")
    with pytest.raises(TableError, match=rf"test/fold_1/table.{kind} is not raudeep's"):
        export_table(table, str(tmp_path / "out"), format=kind, overwrite=True)
    assert (tmp_path / "out" / "test" / "fold_1" / f"table.{kind}").read_text() == "mine\n"


def test_earlier_export_is_replaced_only_on_purpose_and_then_whole(tmp_path):
    table = write(tmp_path / "table", recordings_of(folds=[[1, 0, 0], [0, 1, 0]]))
    other = write(tmp_path / "other", recordings_of(partition=["train", "test"]))
    out = str(tmp_path / "out")
    export_table(table, out)
    named = ExportConfig(name="table")
    with pytest.raises(TableError, match=r"holds files but no export as other\.csv"):
        export_table(other, out, overwrite=True)
    with pytest.raises(TableError, match=r"holds an export as table.csv.*--overwrite"):
        export_table(other, out, config=named)
    export_table(other, out, config=named, overwrite=True)
    assert sorted(files_of(out)) == ["test/table.csv", "train/table.csv"]
    assert remains(out) == ["test", "train"]


def test_what_a_killed_export_left_behind_is_removed_by_the_next(tmp_path):
    table = write(tmp_path / "table", recordings_of(label=["a", "b"]))
    (tmp_path / "out" / ".raudeep-staging-x1").mkdir(parents=True)
    (tmp_path / "out" / ".raudeep-staging-x1" / "table.csv").write_text("half a li")
    export_table(table, str(tmp_path / "out"))
    assert remains(tmp_path / "out") == ["table.csv"]


def test_netcdf_file_is_replaced_only_on_purpose(tmp_path):
    table = write(tmp_path / "table", recordings_of(label=["a", "b"]))
    (tmp_path / "x.nc").write_text("x")
    with pytest.raises(TableError, match=r"x.nc exists.*--overwrite"):
        export_table(table, str(tmp_path / "x.nc"), format="netcdf")
    export_table(table, str(tmp_path / "x.nc"), format="netcdf", overwrite=True)
    import_table(str(tmp_path / "x.nc"), str(tmp_path / "back"), format="netcdf")
    assert content(str(tmp_path / "back")) == content(table)
    assert remains(tmp_path) == ["back", "table", "x.nc"]


@pytest.mark.parametrize(
    ("output", "arguments", "said"),
    [
        ("out", {"format": "netcdf"}, "a file '\\*.nc'. Got"),
        ("out/.nc", {"format": "netcdf"}, "'.nc' is no name"),
        ("x.nc", {"format": "netcdf", "config": ExportConfig(labels_last=True)}, "not for netCDF"),
        ("x.nc", {"format": "netcdf", "config": ExportConfig(times=True)}, "not for netCDF"),
        ("x.arff", {}, r"a folder or a file '\*\.csv'\. Got"),
        ("x.csv", {"config": ExportConfig(name="y")}, "--name is for the files in a folder"),
    ],
)
def test_export_that_makes_no_sense_is_refused(tmp_path, output, arguments, said):
    table = write(tmp_path / "table", recordings_of(label=["a", "b"]))
    with pytest.raises(ConfigError, match=said):
        export_table(table, str(tmp_path / output), **arguments)
    assert remains(tmp_path) == ["table"]


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "", "a\\b"])
@pytest.mark.parametrize("config", [ExportConfig, ImportConfig])
def test_name_that_leaves_the_folder_is_refused(config, name):
    with pytest.raises(ConfigError, match=r"'name' .*must be a plain file name"):
        config(name=name)


def test_attributes_must_differ():
    with pytest.raises(ConfigError, match="must differ"):
        ImportConfig(filename_attribute="chunk_nr")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "there is no csv data set"),
        ({"x.arff": "@data"}, "there is no csv data set"),
        ({"other/x.csv": ""}, "other/x.csv is in no folder of auDeep's"),
        (
            {"train/x.csv": "label_nominal,a,b\n", "test/x.csv": "label_nominal,b,a\n"},
            "test/x.csv has other features than train/x.csv|other features",
        ),
        ({"x.csv": "label_nominal,a\n"}, "Got 0 rows"),
        ({"x.csv": "filename,label_nominal,a\nx,dog,1\nx,dog,2\n"}, "is twice in x.csv"),
    ],
)
def test_import_that_makes_no_sense_is_refused_and_nothing_is_written(tmp_path, files, said):
    for name, text in files.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    with pytest.raises(TableError, match=said) as error:
        import_table(str(tmp_path / "in"), str(tmp_path / "out"))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_import_is_done_once_and_refused_where_another_lies(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.csv").write_text(f"label_nominal,f\ndog,{value}\n")
    out = str(tmp_path / "out")
    assert import_table(str(tmp_path / "a.csv"), out).reused == 0
    assert import_table(str(tmp_path / "a.csv"), out).reused == 1
    with pytest.raises(TableError, match="made with another configuration"):
        import_table(str(tmp_path / "b.csv"), out)
    assert import_table(str(tmp_path / "b.csv"), out, overwrite=True).reused == 0
    assert read_table(out)["embedding"].to_pylist() == [[2.0]]
