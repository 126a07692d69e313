"""The table protocol: parts that appear whole, an index that is written last, no surprises."""

import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raudeep.errors import TableError
from raudeep.schema import ERRORS, SCHEMA_VERSION, read_metadata
from raudeep.storage import uri as uris
from raudeep.storage.index import CLAIM, INDEX, is_table, read_index
from raudeep.storage.opening import check_tables, open_table, open_tables
from raudeep.storage.outputs import check_outputs
from raudeep.storage.table import read_errors, read_part, read_table, take_rows
from raudeep.storage.writer import TableWriter
from tests.tables import IDENTITY, OTHER, failures, files_of, rows

# --- writing


def test_rows_are_taken_by_their_number_in_the_order_asked_for(finished):
    index = read_index(finished)
    taken = take_rows(finished, index, np.array([4, 0, 3, 0]), columns=["file"])
    files = read_table(finished)["file"].to_pylist()
    assert taken["file"].to_pylist() == [files[row] for row in (4, 0, 3, 0)]
    assert take_rows(finished, index, np.array([], np.int64)).num_rows == 0


def test_new_table_misses_every_part_until_it_is_written(place):
    writer = open_table(place, IDENTITY)
    assert writer.missing(3) == [0, 1, 2]
    writer.write(1, rows(0, 2))
    assert writer.missing(3) == [0, 2]


def test_index_is_written_last(place):
    writer = open_table(place, IDENTITY)
    writer.write(0, rows(0, 2))
    assert list(files_of(place)) == ["part-00000.parquet"]
    assert not is_table(place)
    with pytest.raises(TableError, match=r"is unfinished. Run the same command again \(no __rau"):
        read_index(place)
    writer.commit(1)
    assert is_table(place)


def test_table_with_missing_parts_is_not_committed(place):
    writer = open_table(place, IDENTITY)
    writer.write(0, rows(0, 2))
    with pytest.raises(TableError, match=r"2 parts are missing, e.g. part-00001.parquet"):
        writer.commit(3)
    assert not is_table(place)


def test_errors_lie_in_a_part_beside_the_part_of_their_slice(finished):
    assert list(files_of(finished)) == [
        "__raudeep__/errors-00001.pq",
        INDEX,
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    assert read_errors(finished).to_pylist() == failures("005.wav").to_pylist()


def test_slice_without_errors_has_no_errors_part(place):
    writer = open_table(place, IDENTITY)
    writer.write(0, rows(0, 2), failures())
    assert list(files_of(place)) == ["part-00000.parquet"]
    writer.commit(1)
    assert read_errors(place).num_rows == 0
    assert read_errors(place).schema == ERRORS


def test_errors_are_written_before_the_part_that_says_the_slice_is_done(place, monkeypatch):
    writer = open_table(place, IDENTITY)
    written = []
    monkeypatch.setattr(
        uris, "write_bytes", lambda uri, _, **__: written.append(uri.removeprefix(f"{place}/"))
    )
    writer.write(0, rows(0, 2), failures("x.wav"))
    assert [name for name in written if name != CLAIM] == [
        "__raudeep__/errors-00000.pq",
        "part-00000.parquet",
    ]


def test_errors_of_an_attempt_that_was_killed_do_not_stay_beside_the_rows(place):
    writer = open_table(place, IDENTITY)
    writer.write_file("__raudeep__/errors-00000.pq", failures("a.wav"))
    writer.write(0, rows(0, 2))
    assert writer.commit(1).num_errors == 0


def test_slices_with_errors_are_done_again_when_these_are_forgotten(place):
    writer = open_table(place, IDENTITY)
    writer.write(0, rows(0, 2))
    writer.write(1, rows(2, 3), failures("a.wav"))
    before = writer.commit(2, recordings=["x"])
    writer.forget([1])
    assert writer.missing(2) == [1]
    assert not is_table(place)
    writer.write(1, rows(2, 4))
    after = writer.commit(2, recordings=["x"])
    assert (after.rows, after.num_errors) == (4, 0)
    assert after.fingerprint != before.fingerprint  # or what is made of it would stay as it was


def test_slice_of_errors_only_has_an_empty_part(place):
    writer = open_table(place, IDENTITY)
    writer.write(0, rows(0, 0), failures("a.wav", "b.wav"))
    index = writer.commit(1)
    assert (index.rows, index.num_errors) == (0, 2)
    assert read_table(place).num_rows == 0


def test_writing_a_slice_twice_changes_nothing(finished):
    before = read_table(finished)
    open_table(finished, IDENTITY).write(0, rows(0, 3))
    assert read_table(finished).equals(before)


def test_index_holds_what_the_table_is_made_from(finished):
    index = read_index(finished)
    assert index.schema_version == SCHEMA_VERSION
    assert index.identity == IDENTITY
    assert index.fingerprint == IDENTITY.fingerprint
    assert (index.rows, index.num_errors) == (5, 1)
    assert [(part.name, part.rows) for part in index.parts] == [
        ("part-00000.parquet", 3),
        ("part-00001.parquet", 2),
    ]
    sizes = uris.list_files(finished)
    assert all(part.bytes == sizes[part.name] for part in [*index.parts, *index.errors])
    assert {"raudeep", "numpy", "pyarrow", "torch"} <= set(index.versions)
    assert json.loads(uris.read_bytes(uris.join(finished, INDEX)))["stage"] == "embeddings"


def test_parts_carry_identity_and_the_metadata_of_their_schema(finished):
    metadata = read_metadata(read_part(finished, "part-00001.parquet").schema)
    assert metadata["stage"] == "embeddings"
    assert metadata["config"] == IDENTITY.config
    assert metadata["inputs"] == IDENTITY.inputs
    assert metadata["schema_version"] == SCHEMA_VERSION
    assert metadata["axes"] == ["value"]


def test_writer_works_in_another_process_after_pickling(place):
    writer = pickle.loads(pickle.dumps(open_table(place, IDENTITY)))
    writer.write(0, rows(0, 2))
    assert writer.commit(1).rows == 2


# --- opening what is there


def test_same_identity_goes_on_where_it_stopped(place):
    open_table(place, IDENTITY).write(0, rows(0, 3))
    writer = open_table(place, IDENTITY)
    assert writer.missing(2) == [1]
    writer.write(1, rows(3, 5))
    writer.commit(2)
    assert open_table(place, IDENTITY).missing(2) == []
    assert read_table(place).num_rows == 5


def test_same_identity_keeps_its_parts_even_when_overwriting(finished):
    assert open_table(finished, IDENTITY, overwrite=True).missing(2) == []


def test_finished_table_of_another_configuration_is_refused_naming_the_field(finished):
    with pytest.raises(
        TableError, match=r"config.view.n_mels is None there and 40 now. Choose .* --overwrite"
    ):
        open_table(finished, OTHER)
    assert read_table(finished).num_rows == 5


@pytest.mark.parametrize("errors", [None, failures("x.wav")])
def test_unfinished_table_of_another_configuration_is_refused_naming_the_field(place, errors):
    open_table(place, IDENTITY).write(0, rows(0, 2), errors)
    with pytest.raises(TableError, match=r"config.view.n_mels is None there and 40 now"):
        open_table(place, OTHER)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            replace(IDENTITY, stage="spectrograms"),
            r"is a table of embeddings, which one of spectrograms does not replace. Choose",
        ),
        (
            replace(IDENTITY, inputs={"manifest": "f" * 16}),
            r"input 'manifest' is another one now",
        ),
        (
            replace(IDENTITY, inputs={**IDENTITY.inputs, "model": "ab"}),
            r"input 'model' is None there and 'ab' now",
        ),
    ],
)
def test_other_stage_or_inputs_are_refused_naming_the_field(finished, other, said):
    with pytest.raises(TableError, match=said):
        open_table(finished, other)


def test_overwriting_never_deletes_a_table_of_another_stage(finished):
    """It may be what the new one is made from; its index and its first part need not be whole."""
    other = replace(IDENTITY, stage="spectrograms")
    for name, content in (
        (None, b""),
        (INDEX, b"{"),
        ("part-00000.parquet", b"PAR1"),
    ):
        if name is not None:
            uris.write_bytes(uris.join(finished, name), content)
        before = uris.list_files(finished)
        with pytest.raises(TableError, match="is a table of embeddings"):
            open_table(finished, other, overwrite=True)
        assert uris.list_files(finished) == before


def test_two_tables_cannot_have_one_place(place):
    wanted = [TableWriter(place, IDENTITY), TableWriter(f"{place}/", OTHER)]
    for ask in (open_tables, check_tables):
        with pytest.raises(TableError, match="is the output of 2 tables; each needs its own"):
            ask(wanted, overwrite=True)


def test_nothing_is_deleted_unless_all_tables_can_be_opened(finished, place):
    other = f"{place}-other"
    open_table(other, replace(IDENTITY, stage="recordings")).write(0, rows(0, 2))
    before = uris.list_files(finished)
    wanted = [TableWriter(finished, OTHER), TableWriter(other, IDENTITY)]
    with pytest.raises(TableError, match="other is a table of recordings"):
        open_tables(wanted, overwrite=True)
    assert uris.list_files(finished) == before
    open_tables(wanted[:1], overwrite=True)
    assert wanted[0].missing(2) == [0, 1]


def test_a_file_is_no_place_for_a_table(place):
    uris.write_bytes(f"{place}.csv", b"file,label")
    for overwrite in (False, True):
        with pytest.raises(TableError, match=r"\.csv is a file\. Choose another output"):
            open_table(f"{place}.csv", IDENTITY, overwrite=overwrite)
    assert uris.read_bytes(f"{place}.csv") == b"file,label"


def test_overwriting_deletes_a_table_of_another_configuration(finished):
    writer = open_table(finished, OTHER, overwrite=True)
    assert files_of(finished) == {}
    assert writer.missing(2) == [0, 1]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_are_no_table_are_refused_and_kept(place, overwrite):
    uris.write_bytes(uris.join(place, "thesis.tex"), b"precious")
    with pytest.raises(
        TableError, match=r"holds files but no table of raudeep, e.g. 'thesis.tex'. Choose"
    ):
        open_table(place, IDENTITY, overwrite=overwrite)
    assert uris.read_bytes(uris.join(place, "thesis.tex")) == b"precious"


def test_parquet_of_someone_else_is_no_table(tmp_path):
    pq.write_table(pa.table({"x": [1]}), tmp_path / "part-00000.parquet")
    with pytest.raises(TableError, match="holds files but no table of raudeep"):
        open_table(str(tmp_path), IDENTITY)
    assert (tmp_path / "part-00000.parquet").exists()


@pytest.mark.parametrize("name", ["part-1.parquet", "part-00000.csv", "part-00000-c0.parquet"])
def test_file_named_nearly_like_a_part_is_kept_even_when_overwriting(place, name):
    uris.write_bytes(uris.join(place, name), b"precious")
    with pytest.raises(TableError, match="holds files but no table of raudeep"):
        open_table(place, IDENTITY, overwrite=True)
    assert list(uris.list_files(place)) == [name]


def test_overwriting_replaces_a_table_with_an_index_that_is_none(finished):
    uris.write_bytes(uris.join(finished, INDEX), b"[1]")
    with pytest.raises(TableError, match=r"index\.json"):
        open_table(finished, IDENTITY)
    assert len(files_of(finished)) == 4
    assert open_table(finished, IDENTITY, overwrite=True).missing(1) == [0]
    assert files_of(finished) == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("part-00000.parquet", b"half a fi"),
        (INDEX, b'{"name": "web"}'),
    ],
)
def test_what_nothing_says_is_a_table_is_not_overwritten(place, name, content):
    uris.write_bytes(uris.join(place, name), content)
    with pytest.raises(TableError, match=name):
        open_table(place, IDENTITY, overwrite=True)
    assert uris.read_bytes(uris.join(place, name)) == content


def test_parquet_of_others_under_the_name_of_a_part_is_not_overwritten(place):
    sink = pa.BufferOutputStream()
    pq.write_table(rows(0, 2).replace_schema_metadata(), sink)
    uris.write_bytes(uris.join(place, "part-00000.parquet"), bytes(sink.getvalue()))
    with pytest.raises(TableError, match="holds files but no table of raudeep"):
        open_table(place, IDENTITY, overwrite=True)
    assert len(uris.list_files(place)) == 1


def test_overwriting_replaces_a_table_of_another_schema_version(finished):
    index = json.loads(uris.read_bytes(uris.join(finished, INDEX)))
    content = json.dumps({**index, "schema_version": SCHEMA_VERSION + 1}).encode()
    uris.write_bytes(uris.join(finished, INDEX), content)
    with pytest.raises(TableError, match="schema version"):
        open_table(finished, IDENTITY)
    assert open_table(finished, IDENTITY, overwrite=True).missing(2) == [0, 1]


@pytest.mark.parametrize("identity", [OTHER, IDENTITY])
def test_overwriting_leaves_files_of_others_alone(finished, identity):
    for name in ("thesis.tex", ".git/config"):
        uris.write_bytes(uris.join(finished, name), b"precious")
    if identity == IDENTITY:  # damaged, so that it has to be replaced
        uris.write_bytes(uris.join(finished, INDEX), b"[1]")
    open_table(finished, identity, overwrite=True)
    assert set(files_of(finished)) == {"thesis.tex", ".git/config"}


@pytest.mark.parametrize(
    ("output", "source", "what"),
    [
        ("/data/x", "/data/x", "is"),
        ("/data/x/", "/data/x", "is"),
        ("/data/x", "/data/y/../x", "is"),
        ("x", f"{os.getcwd()}/x", "is"),
        ("/data/x", "file:///data/x/", "is"),
        ("/data/x", "/data/x/deep/part-00000.parquet", "holds"),
        ("s3://data/x", "s3://data/x/", "is"),
        ("s3a://data/x", "s3://data/x", "is"),
        ("s3://data/x/", "s3://data/x/part-00000.parquet", "holds"),
    ],
)
def test_output_that_is_or_holds_an_input_is_refused(output, source, what):
    with pytest.raises(TableError, match=f"^the output {output} {what} the input {source}; choose"):
        check_outputs(["/other", output], ["/another", source])


@pytest.mark.parametrize(
    ("output", "source"),
    [
        ("/data/x", "/data/x2"),
        ("/data/x/y", "/data/x"),
        ("s3://data/x", "/data/x"),
        ("s3://data/x", "memory://data/x"),
    ],
)
def test_output_beside_or_within_an_input_is_allowed(output, source):
    check_outputs([output], [source])


def test_output_that_is_an_input_by_another_name_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "table")
    with pytest.raises(TableError, match="link is the input"):
        check_outputs([str(tmp_path / "link")], [str(tmp_path / "table")])


def test_temporary_files_of_a_killed_run_are_no_table_and_in_nobodys_way(place):
    uris.write_bytes(uris.join(place, ".part-00000.parquet.0123abcd.tmp"), b"half a fi")
    open_table(place, IDENTITY).write(0, rows(0, 2))
    assert open_table(place, IDENTITY).missing(2) == [1]
    assert open_table(place, OTHER, overwrite=True).missing(2) == [0, 1]


def test_place_below_a_regular_file_is_refused_in_one_line(tmp_path):
    (tmp_path / "plain").write_text("x")
    with pytest.raises(TableError, match=r"plain/table cannot be written: Not a dir") as info:
        open_table(str(tmp_path / "plain" / "table"), IDENTITY)
    assert "\n" not in str(info.value)
