"""Corpora that other packages described: manifests of lhotse, databases in audformat."""

import gzip
import json
import pickle
from pathlib import Path

import audformat
import pytest

from raudeep.corpora import Tree, read_corpus
from raudeep.corpora.audformat import read_audformat
from raudeep.corpora.lhotse import read_lhotse
from raudeep.corpora.tree import LayoutMismatch
from raudeep.errors import ManifestError


def tree(contents, root="/corpus"):
    return Tree(
        root=root,
        files={name: len(content) for name, content in contents.items()},
        read=contents.__getitem__,
    )


def lines(*items, compress=False):
    content = "".join(json.dumps(item) + "\n" for item in items).encode()
    return gzip.compress(content) if compress else content


def recording(name, source, **changes):
    return {
        "id": name,
        "sources": [{"type": "file", "channels": [0], "source": source}],
        "sampling_rate": 16000,
        "num_samples": 16000,
        "duration": 1.0,
        "channel_ids": [0],
        **changes,
    }


def supervision(name, **changes):
    return {
        "id": f"s-{name}",
        "recording_id": name,
        "start": 0.0,
        "duration": 1.0,
        "channel": 0,
        **changes,
    }


def cut(name, source, *supervisions, **changes):
    return {
        "id": f"cut-{name}",
        "start": 0,
        "duration": 1.0,
        "channel": 0,
        "supervisions": list(supervisions),
        "recording": recording(name, source),
        "type": "MonoCut",
        **changes,
    }


def columns(table):
    names = ("file", "uri", "label", "partition")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


# --- lhotse

LHOTSE = {
    "my_recordings_train.jsonl.gz": lines(
        recording("a", "audio/a.wav"), recording("b", "/corpus/audio/b.wav"), compress=True
    ),
    "my_supervisions_train.jsonl.gz": lines(
        supervision("a", text="dog", speaker="x"),
        supervision("b", text="a word", speaker="y", custom={"label": "cat"}),
        compress=True,
    ),
    "my_recordings_dev.jsonl": lines(recording("c", "/elsewhere/c.flac")),
    "notes.jsonl": b"not of lhotse",
}


def test_recordings_get_the_labels_of_their_supervisions_and_the_partition_of_their_file():
    table, layout = read_corpus(tree(LHOTSE))
    assert layout == "lhotse"
    assert columns(table) == [
        ("/elsewhere/c.flac", "/elsewhere/c.flac", None, "devel"),
        ("audio/a.wav", "/corpus/audio/a.wav", "dog", "train"),
        ("audio/b.wav", "/corpus/audio/b.wav", "cat", "train"),
    ]


def test_the_field_of_the_label_can_be_named():
    table, layout = read_corpus(tree(LHOTSE), layout="lhotse:speaker")
    assert layout == "lhotse:speaker"
    assert table["label"].to_pylist() == [None, "x", "y"]


def test_cuts_of_whole_recordings_are_recordings():
    content = lines(cut("a", "a.wav", supervision("a", text="dog")), cut("b", "b.wav"))
    table, _ = read_corpus(tree({"cuts_test.jsonl": content}))
    assert columns(table) == [
        ("a.wav", "/corpus/a.wav", "dog", "test"),
        ("b.wav", "/corpus/b.wav", None, "test"),
    ]


def test_a_manifest_without_a_partition_leaves_those_of_the_others():
    contents = {
        "cuts_train.jsonl": lines(cut("a", "a.wav")),
        "cuts_test.jsonl": lines(cut("b", "b.wav")),
        "recordings.jsonl": lines(*(recording(name, f"{name}.wav") for name in "abc")),
        "z_recordings_dev.jsonl": lines(recording("c", "c.wav")),
    }
    table, _ = read_corpus(tree(contents))
    assert table["partition"].to_pylist() == ["train", "test", "devel"]


@pytest.mark.parametrize(
    ("contents", "reason"),
    [
        (
            {f"cuts_{part}.jsonl": lines(cut("a", "a.wav")) for part in ("train", "test")},
            r"'a' has 2 partitions: \['test', 'train'\]",
        ),
        (
            {"cuts.jsonl": lines(cut("a", "a.wav", start=0.5, duration=0.5))},
            "a part of its",
        ),
        (
            {
                "recordings.jsonl": lines(recording("a", "a.wav")),
                "supervisions.jsonl": lines(
                    supervision("a", text="dog"), supervision("a", text="cat")
                ),
            },
            r"'a' has 2 labels: \['cat', 'dog'\]",
        ),
        (
            {
                "recordings.jsonl": lines(
                    recording(
                        "a",
                        "sox a |",
                        sources=[{"type": "command", "channels": [0], "source": "sox a |"}],
                    )
                )
            },
            "must be one file; it has 1 sources of type command",
        ),
        ({"recordings.jsonl": b"{"}, r"line 1 of recordings\.jsonl: Expecting property name"),
        ({"recordings.jsonl.gz": b"{}"}, r"recordings\.jsonl\.gz: .*incorrect header check"),
        ({"recordings.jsonl": b"[1]"}, r"recordings\.jsonl: a line must be an object"),
        ({"cuts.jsonl": lines({"type": "MixedCut", "tracks": []})}, "'MixedCut' is no whole"),
        ({"supervisions.jsonl": lines(supervision("a"))}, "no recordings"),
        ({"a.wav": b""}, r"no recordings\.jsonl"),
    ],
)
def test_other_manifests_say_why_they_are_not_taken(contents, reason):
    with pytest.raises(LayoutMismatch, match=reason):
        read_lhotse(tree(contents))


def test_what_lhotse_itself_writes_is_read(tmp_path):
    from lhotse import CutSet, RecordingSet, SupervisionSegment, SupervisionSet

    sounds = RecordingSet.from_dicts([recording("a", "a.wav"), recording("b", "b.wav")])
    sounds.to_file(tmp_path / "my_recordings_train.jsonl.gz")
    said = SupervisionSet.from_segments(
        SupervisionSegment(f"s-{name}", name, 0.0, 1.0, text=f"word {name}") for name in "ab"
    )
    said.to_file(tmp_path / "my_supervisions_train.jsonl.gz")
    CutSet.from_manifests(sounds, said).to_file(tmp_path / "cuts_train.jsonl")
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    cuts = written.pop("cuts_train.jsonl")
    for contents in (written, {"cuts_train.jsonl": cuts}):
        table, _ = read_corpus(tree(contents))
        assert columns(table) == [
            (f"{name}.wav", f"/corpus/{name}.wav", f"word {name}", "train") for name in "ab"
        ]


# --- audformat


@pytest.fixture(scope="module", params=["csv", "parquet"])
def database(request, tmp_path_factory):
    """Return the contents of a database with splits, two label columns and segments."""
    db = audformat.Database("emotions")
    db.schemes["emotion"] = audformat.Scheme(labels=["anger", "joy"])
    db.schemes["speaker"] = audformat.Scheme(labels={"1": {"sex": "f"}, "2": {"sex": "m"}})
    db.schemes["words"] = audformat.Scheme("str")
    for split in ("train", "dev", "test"):
        db.splits[split] = audformat.Split(split)
    files = {"train": ["wav/a.wav", "wav/b.wav"], "dev": ["wav/c.wav"], "test": ["wav/d.wav"]}
    for split, names in files.items():
        table = db[f"emotion.{split}"] = audformat.Table(
            audformat.filewise_index(names), split_id=split
        )
        table["emotion"] = audformat.Column(scheme_id="emotion")
        if split != "test":
            table["emotion"].set(["anger", "joy"][: len(names)])
    every = audformat.filewise_index([f"wav/{name}.wav" for name in "abcde"])
    table = db["files"] = audformat.Table(every)
    table["speaker"] = audformat.Column(scheme_id="speaker")
    table["speaker"].set(["1", "2", "1", "2", "1"])
    segments = audformat.segmented_index(["wav/a.wav"], ["0s"], ["1s"])
    db["segments"] = audformat.Table(segments)
    db["segments"]["words"] = audformat.Column(scheme_id="words")
    db["segments"]["words"].set(["hello"])
    folder = tmp_path_factory.mktemp("database")
    db.save(str(folder), storage_format=request.param)
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    return contents | {f"wav/{name}.wav": b"" for name in "abcde"}


def test_database_has_the_labels_of_the_named_column_and_its_splits(database):
    table, _ = read_corpus(tree(database), layout="audformat:emotion")
    assert columns(table) == [
        ("wav/a.wav", "/corpus/wav/a.wav", "anger", "train"),
        ("wav/b.wav", "/corpus/wav/b.wav", "joy", "train"),
        ("wav/c.wav", "/corpus/wav/c.wav", "anger", "devel"),
        ("wav/d.wav", "/corpus/wav/d.wav", None, "test"),
        ("wav/e.wav", "/corpus/wav/e.wav", None, None),
    ]
    table, _ = read_corpus(tree(database), layout="audformat:speaker")
    assert table["label"].to_pylist() == ["1", "2", "1", "2", "1"]


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        (
            "audformat",
            "columns emotion, speaker could be the labels; name one",
        ),
        ("audformat:words", r"the column 'words'; they have emotion, speaker"),
        ("audformat:emotions", r"the column 'emotions'; they have emotion, speaker"),
    ],
)
def test_a_column_that_is_not_one_for_files_is_refused(database, layout, reason):
    with pytest.raises(ManifestError, match=reason):
        read_corpus(tree(database), layout=layout)


def test_a_file_of_two_splits_is_refused(tmp_path):
    """Or it would be trained on and scored, as the last of its tables says."""
    db = audformat.Database("twice")
    db.schemes["emotion"] = audformat.Scheme(labels=["anger", "joy"])
    for split in ("train", "test"):
        db.splits[split] = audformat.Split(split)
        index = audformat.filewise_index(["a.wav", f"{split}.wav"])
        table = db[split] = audformat.Table(index, split_id=split)
        table["emotion"] = audformat.Column(scheme_id="emotion")
        table["emotion"].set(["anger", "joy"])
    db.save(str(tmp_path))
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ManifestError, match=r"'a\.wav' is in the splits of (test|train) and of"):
        read_corpus(tree(contents), layout="audformat")


def test_a_damaged_database_says_so():
    with pytest.raises(ManifestError, match=r"not of layout 'audformat': db\.yaml: "):
        read_corpus(tree({"db.yaml": b"\t{"}), layout="audformat")


class Touch:
    """Unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_in_a_database_is_run(database, tmp_path):
    """Neither what a header names nor what a pickled table holds, whatever layout is asked for."""
    canary = tmp_path / "canary"
    header = (
        f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path [{canary}]]"
    )
    pickled = pickle.dumps(Touch(canary))
    tables = {name.rpartition(".")[0] for name in database if name.startswith("db.")} - {"db"}
    beside = database | {f"{name}.pkl": pickled for name in tables}
    only = {"db.yaml": database["db.yaml"], "wav/a.wav": b""}
    only |= {f"{name}.pkl": pickled for name in tables}
    for layout in (None, "audformat", "audformat:emotion"):
        with pytest.raises(ManifestError, match=r"could not determine a constructor"):
            read_corpus(tree({"db.yaml": header.encode(), "a.wav": b""}), layout=layout)
    table, _ = read_corpus(tree(beside), layout="audformat:emotion")
    assert table.num_rows == 5
    with pytest.raises(ManifestError, match="is a pickle, which could run anything"):
        read_corpus(tree(only), layout="audformat:emotion")
    assert not canary.exists()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"[1, 2]", "'schemes' must be a table of tables"),
        (b"tables: {a: 1}", "'tables' must be a table of tables"),
        (b"tables: {a: {type: filewise, split_id: [1]}}", "no column could be the labels"),
        (b"tables: {../b: {type: filewise, columns: {c: {}}}}", r"there is no db\.\.\./b\.csv"),
        (b"[" * 100_000, "increasing flow level"),
        (b"name: " + b"9" * 20_000, "Exceeds the limit"),
    ],
)
def test_a_strange_header_is_a_line(header, reason):
    contents = {"db.yaml": header, "b.csv": b"file,c\na.wav,x\n"}
    with pytest.raises(LayoutMismatch, match=reason):
        read_audformat(tree(contents), field="c" if b"../b" in header else None)
