"""Corpus layouts: what each reads, what it refuses, and which one is detected."""

import os
from pathlib import Path

import pytest

from raudeep.corpora import LAYOUTS, LayoutMismatch, Tree, audio_files, read_corpus
from raudeep.errors import ManifestError
from raudeep.manifest import label_map, summarise

META = "filename,fold,target,category,esc10,src_file,take\n"
FOLDERS = ["001 - Dog bark/1-100032-A.ogg", "002 - Rain/5-1234-B.wav"]


def tree_of(folder):
    files = {
        path.relative_to(folder).as_posix(): path.stat().st_size
        for path in folder.rglob("*")
        if path.is_file()
    }
    return Tree(root=str(folder), files=files, read=lambda file: (folder / file).read_bytes())


@pytest.fixture
def corpus(tmp_path):
    def build(*files, **contents):
        for file in files:
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        for content in contents.values():
            (tmp_path / "meta").mkdir(exist_ok=True)
            (tmp_path / "meta/esc50.csv").write_text(content)
        return tree_of(tmp_path)

    return build


@pytest.fixture
def esc_repository(corpus):
    rows = "1-100-A-0.wav,1,0,dog,True,100,A\n3-7-B-36.wav,3,36,vacuum_cleaner,False,7,B\n"
    rows += "5-9-A-10.wav,5,10,rain,True,9,A\n"
    return corpus(
        "audio/1-100-A-0.wav", "audio/3-7-B-36.wav", "esc50.gif", "README.md", meta=META + rows
    )


def column(table, name):
    return table[name].to_pylist()


def test_hidden_files_and_macos_twins_are_no_audio(corpus):
    tree = corpus("a.WAV", "b/._a.wav", ".git/c.wav", ".d.wav", "e.txt", "wav", "f.g.Flac")
    assert audio_files(tree) == ["a.WAV", "f.g.Flac"]


def test_old_esc_folders_give_labels_and_folds(corpus):
    tree = corpus(*FOLDERS, "README.md", "001 - Dog bark/notes.txt", "003 - Empty/readme")
    table, layout = read_corpus(tree)
    assert layout == "esc-10"
    assert column(table, "file") == FOLDERS
    assert column(table, "uri") == [f"{tree.root}/{file}" for file in FOLDERS]
    assert column(table, "label") == ["Dog bark", "Rain"]
    assert column(table, "folds") == [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert column(table, "bytes") == [0, 0]


def test_more_than_ten_esc_folders_are_esc_50(corpus):
    tree = corpus(*[f"{n:03d} - Class {n}/1-{n}-A.ogg" for n in range(1, 12)])
    table, layout = read_corpus(tree)
    assert layout == "esc-50"
    assert len(label_map(table)) == 11
    said = "not of layout 'esc-10': 11 class folders.* --corpus-layout esc-50 fits"
    with pytest.raises(ManifestError, match=said):
        read_corpus(tree, layout="esc-10")


def test_ten_esc_folders_are_not_esc_50(corpus):
    with pytest.raises(ManifestError, match="not of layout 'esc-50': 2 class folders"):
        read_corpus(corpus(*FOLDERS), layout="esc-50")


@pytest.mark.parametrize("name", ["6-1-A.ogg", "dog.wav", "1100032.ogg", "1-.ogg/x.ogg"])
def test_esc_file_name_without_fold_is_named(corpus, name):
    tree = corpus(*FOLDERS, f"002 - Rain/{name}")
    with pytest.raises(ManifestError, match=f"'002 - Rain/{name}'"):
        read_corpus(tree, layout="esc-10")


def test_esc_repository_is_detected_as_esc_50(esc_repository):
    table, layout = read_corpus(esc_repository)
    assert layout == "esc-50"
    assert column(table, "file") == [
        "audio/1-100-A-0.wav",
        "audio/3-7-B-36.wav",
        "audio/5-9-A-10.wav",
    ]
    assert column(table, "label") == ["dog", "vacuum_cleaner", "rain"]
    assert column(table, "folds")[1] == [0, 0, 1, 0, 0]


def test_esc_10_of_the_repository_is_read_when_asked_for(esc_repository):
    table, layout = read_corpus(esc_repository, layout="esc-10")
    assert layout == "esc-10"
    assert column(table, "label") == ["dog", "rain"]


def test_listed_file_that_is_missing_stays_a_recording_without_size(esc_repository):
    table, _ = read_corpus(esc_repository)
    assert column(table, "bytes") == [0, 0, None]


def test_audio_that_the_esc_list_leaves_out_is_reported(esc_repository, caplog):
    tree = Tree(
        root="/c", files={**esc_repository.files, "audio/x.wav": 1}, read=esc_repository.read
    )
    read_corpus(tree, layout="esc-10")
    assert "left out 1 audio files" in caplog.text
    assert "'audio/x.wav'" in caplog.text


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ("", "meta/esc50.csv is no CSV table"),
        ("filename,fold\na.wav,1\n", "meta/esc50.csv lacks the columns category, esc10"),
        (META + "a.wav,7,0,dog,True,1,A\n", "line 2 of meta/esc50.csv .* got 'a.wav' and '7'"),
        (META + ",1,0,dog,True,1,A\n", "line 2 of meta/esc50.csv .* got None and '1'"),
        (META + "b.wav,1,0,dog,True,1,A\n", "none of the 1 files in meta/esc50.csv is in audio/"),
    ],
)
def test_unusable_esc_list_is_a_reason(corpus, meta, reason):
    with pytest.raises(ManifestError, match=reason):
        read_corpus(corpus("audio/a.wav", meta=meta), layout="esc-50")


def test_fold_folders_are_valid_in_their_own_fold(corpus):
    tree = corpus("fold_1/dog/a.wav", "fold_2/dog/a.wav", "fold_3/cat/b.mp3", "fold_1/list.txt")
    table, layout = read_corpus(tree)
    assert layout == "cross-validated"
    assert column(table, "folds") == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert column(table, "label") == ["dog", "dog", "cat"]


def test_ten_folds_are_ordered_by_number(corpus):
    table, _ = read_corpus(corpus(*[f"fold_{n}/x/a.wav" for n in range(1, 11)]))
    assert summarise(table)["folds"] == [{"train": 9, "valid": 1}] * 10


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["fold_1/x/a.wav"], "audio is in fold_1"),
        (["fold_1/x/a.wav", "fold_3/x/a.wav"], "audio is in fold_1, fold_3"),
        (["fold_0/x/a.wav", "fold_1/x/a.wav"], "'fold_0/x/a.wav' is not in fold_<number>/<class>/"),
        (["fold_1/a.wav", "fold_2/x/a.wav"], "'fold_1/a.wav' is not in"),
        (["fold_1/x/y/a.wav", "fold_2/x/a.wav"], "'fold_1/x/y/a.wav' is not in"),
    ],
)
def test_fold_folders_that_break_the_rules_are_refused(corpus, files, reason):
    with pytest.raises(ManifestError, match=reason):
        read_corpus(corpus(*files), layout="cross-validated")


def test_partition_folders_give_partitions_and_labels(corpus):
    table, layout = read_corpus(corpus("train/dog/a.wav", "test/cat/b.wav", "train/labels.csv"))
    assert layout == "partitioned"
    assert column(table, "partition") == ["test", "train"]
    assert column(table, "label") == ["cat", "dog"]
    assert column(table, "folds") == [None, None]


def test_one_partition_alone_is_partitioned(corpus):
    assert read_corpus(corpus("devel/dog/a.wav"))[1] == "partitioned"


@pytest.mark.parametrize("stray", ["a.wav", "train/a.wav", "valid/dog/a.wav", "train/x/y/a.wav"])
def test_audio_outside_partition_and_class_is_named(corpus, stray):
    with pytest.raises(ManifestError, match=f"'{stray}' is not in train, devel or test/<class>/"):
        read_corpus(corpus("train/dog/z.wav", stray), layout="partitioned")


def test_class_folders_give_labels_only_and_keep_them_exactly(corpus):
    table, layout = read_corpus(corpus("<b>&Hund äöü/a b.wav", " $(x)/c.au", "readme"))
    assert layout == "class-folders"
    assert label_map(table) == [" $(x)", "<b>&Hund äöü"]
    assert column(table, "folds") == column(table, "partition") == [None, None]


def test_text_with_an_audio_suffix_is_left_to_decoding(tmp_path):
    for label in ("x", "y"):
        (tmp_path / label).mkdir()
        (tmp_path / label / "a.wav").write_text("no audio")
    assert column(read_corpus(tree_of(tmp_path))[0], "bytes") == [8, 8]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (["x/a.wav"], "1 class folder with audio, at least 2 are needed"),
        (["x/a.wav", "b.wav"], "'b.wav' is not exactly one folder deep"),
        (["x/a.wav", "x/y/b.wav"], "'x/y/b.wav' is not exactly one folder deep"),
        (["x/a.wav", "test/a.wav"], "the folder 'test' is named as in another layout"),
        (["x/a.wav", "fold_1/a.wav"], "the folder 'fold_1' is named as in another layout"),
        (["x/a.wav", "001 - Dog/a.wav"], "the folder '001 - Dog' is named as in another layout"),
    ],
)
def test_folders_that_are_no_classes_are_refused(corpus, files, reason):
    with pytest.raises(ManifestError, match=reason):
        read_corpus(corpus(*files), layout="class-folders")


def test_bare_folder_is_read_only_where_labels_are_not_needed(corpus):
    tree = corpus("a.wav", "b/c/d.flac")
    table, layout = read_corpus(tree, labelled=False)
    assert layout == "bare"
    assert column(table, "file") == ["a.wav", "b/c/d.flac"]
    assert column(table, "label") == [None, None]
    with pytest.raises(ManifestError, match="no labelled corpus layout fits"):
        read_corpus(tree)


def test_labelled_layout_is_preferred_where_labels_are_not_needed(corpus):
    assert read_corpus(corpus("x/a.wav", "y/b.wav"), labelled=False)[1] == "class-folders"


def test_folder_without_a_layout_is_told_why_for_each(corpus):
    with pytest.raises(ManifestError) as caught:
        read_corpus(corpus("a.wav"))
    message = str(caught.value)
    assert all(
        f"{name}: " in message for name in LAYOUTS if name not in ("bare", "compare-arousal")
    )
    assert "CSV, TSV or Parquet manifest" in message
    assert "\n" not in message


def test_folder_matching_two_layouts_is_refused_by_name(corpus):
    meta = META + "a.wav,1,0,dog,True,1,A\n"
    tree = corpus("audio/a.wav", "more/b.wav", meta=meta)
    with pytest.raises(ManifestError, match=r"esc-50, class-folders.*--corpus-layout"):
        read_corpus(tree)
    assert read_corpus(tree, layout="class-folders")[1] == "class-folders"


def test_unknown_layout_names_the_nearest_and_the_known(corpus):
    with pytest.raises(ManifestError, match=r"'esc10'. Did you mean 'esc-10'.*class-folders, bare"):
        read_corpus(corpus("a.wav"), layout="esc10")


@pytest.mark.parametrize("layout", [None, "esc-10", "bare"])
def test_folder_without_audio_says_what_was_looked_for(corpus, layout):
    with pytest.raises(ManifestError, match=r"no audio found: it is empty. Looked for .wav, .wave"):
        read_corpus(corpus(), layout=layout)
    with pytest.raises(ManifestError, match=r"none of its 1 files is audio by its name \(1 "):
        read_corpus(corpus("a.txt"), layout=layout, labelled=False)


def test_object_store_root_gives_object_store_uris():
    tree = Tree(root="s3://bucket/c/", files={"x/a.wav": 1, "y/b.wav": 2}, read=lambda _: b"")
    table, _ = read_corpus(tree)
    assert column(table, "uri") == ["s3://bucket/c/x/a.wav", "s3://bucket/c/y/b.wav"]


def test_an_object_whose_name_begins_with_a_slash_is_not_read_from_this_machine():
    tree = Tree(root="s3://bucket/c/", files={"/etc/a.wav": 1}, read=lambda _: b"")
    table, _ = read_corpus(tree, labelled=False)
    assert column(table, "uri") == ["s3://bucket/c//etc/a.wav"]


def test_mismatch_survives_as_text():
    assert str(LayoutMismatch("why")) == "why"


@pytest.mark.skipif(
    "RAUDEEP_TEST_DATA" not in os.environ, reason="RAUDEEP_TEST_DATA names no folder with esc-10/"
)
@pytest.mark.parametrize("layout", [None, "esc-10"])
def test_esc_10_itself_has_400_recordings_in_five_folds(layout):
    tree = tree_of(Path(os.environ["RAUDEEP_TEST_DATA"]) / "esc-10")
    table, found = read_corpus(tree, layout=layout)
    summary = summarise(table)
    assert found == "esc-10"
    assert (summary["recordings"], summary["labelled"]) == (400, 400)
    assert len(summary["labels"]) == 10
    assert set(summary["labels"].values()) == {40}
    assert summary["folds"] == [{"train": 320, "valid": 80}] * 5
    assert not summary["folds_overlap"]
