"""What nearly is of a layout is named with what is missing, before labels are left out."""

import logging

import pytest

from raudeep.corpora import Tree, read_corpus
from raudeep.errors import ManifestError

META = b"filename,fold,target,class,esc10\n1-1-A-0.wav,1,0,dog,True\n"


def tree(*files, **contents):
    listed = {**dict.fromkeys(files, b""), **contents}
    return Tree(root="/corpus", files=dict.fromkeys(listed, 9), read=listed.__getitem__)


def tree_with(path, content, *files):
    return tree(*files, **{path: content})


NEARLY = [
    (
        tree_with("meta/esc50.csv", META, "audio/1-1-A-0.wav", "README.md"),
        "It is nearly of layout esc-50: meta/esc50.csv lacks the columns category; it has also "
        "target, class.",
    ),
    (
        tree("dog/a.wav", "dog/b.wav"),
        "It is nearly of layout class-folders: 1 class folder with audio, at least 2 are needed.",
    ),
    (
        tree("dog/a.wav", "cat/b.wav", "noise.wav"),
        "It is nearly of layout class-folders: 'noise.wav' is not exactly one folder deep.",
    ),
    (
        tree("Train/dog/a.wav", "Test/dog/b.wav"),
        "It is nearly of layout partitioned: 'Test/dog/b.wav' is not in train, devel or "
        "test/<class>/.",
    ),
    (
        tree("fold1/dog/a.wav", "fold2/dog/b.wav"),
        "nearly of layout cross-validated: 'fold1/dog/a.wav' is not in fold_<number>/<class>/.",
    ),
    (
        tree("corpus-1.0/dog/a.wav", "corpus-1.0/cat/b.wav", "LICENSE"),
        "/corpus/corpus-1.0 is of layout class-folders: name that folder.",
    ),
    (
        tree("a.wav", "b.wav", "labels.csv"),
        "If 'labels.csv' lists the recordings, name it in place of the folder.",
    ),
    (
        tree_with("db.yaml", b"\t{", "a.wav"),
        "It is nearly of layout audformat: db.yaml",
    ),
]


@pytest.mark.parametrize(("corpus", "said"), NEARLY, ids=[text[:60] for _, text in NEARLY])
def test_what_is_missing_is_said_before_labels_are_left_out(corpus, said, caplog):
    with caplog.at_level(logging.WARNING):
        assert read_corpus(corpus, labelled=False)[1] == "bare"
    (line,) = caplog.messages
    assert line.startswith("/corpus: read as 'bare', without labels. ")
    assert said in line
    with pytest.raises(ManifestError) as caught:
        read_corpus(corpus)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "files",
    [
        ["a.wav", "b.wav", "notes.txt"],
        ["one/2024/a.wav", "two/2025/b.wav"],
        ["2024/05/01/a.wav", "2024/05/02/b.wav"],
        ["a.wav", "b.wav", "c.wav", "old/d.wav"],
    ],
)
def test_a_folder_of_recordings_in_any_order_is_read_without_a_line(files, caplog):
    with caplog.at_level(logging.WARNING):
        assert read_corpus(tree(*files), labelled=False)[1] == "bare"
    assert not caplog.messages


def test_files_that_are_no_audio_are_refused_with_the_way_out():
    for files in (["a.mp4"], ["list.xlsx"], ["m.csv.gz"]):
        with pytest.raises(ManifestError, match=r"named?.* in the column 'file' of a manifest"):
            read_corpus(tree(*files), labelled=False)
