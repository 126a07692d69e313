"""The layouts of published corpora, each as a small tree."""

import pytest

from raudeep.corpora import LayoutMismatch, Tree, read_corpus
from raudeep.corpora.compare import read_compare, read_compare_arousal
from raudeep.corpora.dcase import read_dcase_2018, read_tut_2017
from raudeep.corpora.gtzan import read_gtzan
from raudeep.corpora.urbansound8k import read_urbansound8k
from raudeep.errors import ManifestError
from raudeep.manifest import label_map, summarise


def tree(*files, texts=None):
    """Return a tree of empty files and, as `texts`, of files with content."""
    contents = {name: text.encode() for name, text in (texts or {}).items()}
    sizes = {**dict.fromkeys(files, 0), **{name: len(text) for name, text in contents.items()}}
    return Tree(root="/corpus", files=sizes, read=lambda name: contents[name])


def rows(recordings):
    return {each.file: (each.label, each.partition, each.folds) for each in recordings}


# --- TUT Acoustic Scenes 2017, DCASE 2018

DEVELOPMENT = {
    "meta.txt": (
        "audio/a.wav\tbeach\tx1\r\naudio/b.wav\tcafe/restaurant\tx2\r\naudio/c.wav\tbus\tx3\n"
    ),
    "evaluation_setup/fold1_train.txt": "audio/a.wav\tbeach\naudio/c.wav\tbus\n",
    "evaluation_setup/fold2_train.txt": "audio/b.wav\tcafe/restaurant\n",
    "evaluation_setup/fold1_test.txt": "audio/b.wav\n",
    "evaluation_setup/fold1_evaluate.txt": "audio/b.wav\tcafe/restaurant\n",
}
AUDIO = ["audio/a.wav", "audio/b.wav", "audio/c.wav"]


def below(folder, texts):
    return {f"{folder}/{name}": text for name, text in texts.items()}


def test_development_set_is_valid_where_the_training_list_leaves_it_out():
    table, layout = read_corpus(tree(*AUDIO, texts=DEVELOPMENT))
    assert layout == "tut-as-2017"
    assert label_map(table) == ["beach", "bus", "cafe/restaurant"]
    assert table["folds"].to_pylist() == [[0, 1], [1, 0], [0, 1]]
    assert set(table["partition"].to_pylist()) == {"train"}


def test_evaluation_set_beside_the_development_set_is_the_test_partition():
    texts = below("TUT-development", DEVELOPMENT)
    texts["TUT-evaluation/meta.txt"] = "audio/1.wav\thome\naudio/2.wav\ttram\n"
    texts["TUT-evaluation/evaluation_setup/test.txt"] = "audio/1.wav\naudio/2.wav\n"
    audio = [f"TUT-development/{name}" for name in AUDIO]
    found = rows(read_tut_2017(tree(*audio, "TUT-evaluation/audio/1.wav", texts=texts)))
    assert found["TUT-development/audio/a.wav"] == ("beach", "train", (0, 1))
    assert found["TUT-evaluation/audio/1.wav"] == ("home", "test", None)
    assert len(found) == 5


def test_evaluation_set_alone_without_labels_is_read_from_its_list():
    texts = {"evaluation_setup/test.txt": "\ufeffaudio/1.wav\naudio/2.wav\n"}
    found = rows(read_tut_2017(tree("audio/1.wav", "audio/2.wav", texts=texts)))
    assert found == {f"audio/{n}.wav": (None, "test", None) for n in (1, 2)}


def test_domestic_activities_have_other_labels_in_the_same_layout():
    texts = {
        "meta.txt": "audio/a.wav\tworking\ts1\naudio/b.wav\tvacuum_cleaner\ts2\n",
        "evaluation_setup/fold1_train.txt": "audio/a.wav\tworking\n",
        "evaluation_setup/fold2_train.txt": "audio/b.wav\tvacuum_cleaner\n",
    }
    corpus = tree("audio/a.wav", "audio/b.wav", texts=texts)
    table, layout = read_corpus(corpus)
    assert layout == "dcase-2018"
    assert table["folds"].to_pylist() == [[0, 1], [1, 0]]
    with pytest.raises(LayoutMismatch, match=r"line 1 of meta\.txt has the label 'working'"):
        read_tut_2017(corpus)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meta.txt": ""}, "meta.txt lists no file"),
        ({"meta.txt": "audio/a.wav\n"}, "line 1 of meta.txt has no label"),
        ({"evaluation_setup/fold4_train.txt": "audio/a.wav\n"}, r"folds \[1, 2, 4\], not 1 to N"),
    ],
)
def test_broken_lists_are_named(changes, message):
    with pytest.raises(LayoutMismatch, match=message):
        read_tut_2017(tree(*AUDIO, texts={**DEVELOPMENT, **changes}))


def test_lists_without_their_audio_are_refused():
    with pytest.raises(LayoutMismatch, match=r"none of the 3 files that meta\.txt lists is there"):
        read_tut_2017(tree("other.wav", texts=DEVELOPMENT))
    with pytest.raises(LayoutMismatch, match=r"no meta\.txt"):
        read_dcase_2018(tree("a.wav"))


# --- UrbanSound8K

URBAN = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"


def urban(text, *files):
    return tree(*files, texts={"metadata/UrbanSound8K.csv": URBAN + text})


def test_urbansound8k_has_ten_folds():
    text = "1-3-0-0.wav,1,0,1,1,5,3,dog_bark\n2-0-0-0.wav,2,0,1,1,10,0,air_conditioner\n"
    corpus = urban(text, "audio/fold5/1-3-0-0.wav", "audio/fold10/2-0-0-0.wav")
    table, layout = read_corpus(corpus)
    assert layout == "urbansound8k"
    facts = summarise(table)
    assert facts["num_folds"] == 10
    assert [fold["valid"] for fold in facts["folds"]] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
    assert facts["labels"] == {"air_conditioner": 1, "dog_bark": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.wav,1,0,1,1,11,3,dog\n", "line 2 .* a fold from 1 to 10"),
        ("a.wav,1,0,1,1,,3,dog\n", "line 2 .* a fold from 1 to 10"),
        ("a.wav,1,0,1,1,1,3,dog\nb.wav,1,0,1,1,2,3,cat\n", "line 3 .* class 3 'cat', .* 'dog'"),
    ],
)
def test_broken_list_of_urbansound8k_is_named(text, message):
    with pytest.raises(LayoutMismatch, match=message):
        read_urbansound8k(urban(text, "audio/fold1/a.wav"))


# --- GTZAN


def test_gtzan_has_labels_and_no_folds():
    corpus = tree("genres/blues/blues.00000.wav", "genres/jazz/jazz.00054.wav", "genres/x.mf")
    table, layout = read_corpus(corpus)
    assert layout == "gtzan"
    assert dict(zip(table["file"].to_pylist(), table["label"].to_pylist(), strict=True)) == {
        "genres/blues/blues.00000.wav": "blues",
        "genres/jazz/jazz.00054.wav": "jazz",
    }
    assert table["folds"].null_count == 2


def test_genres_at_the_root_are_class_folders_unless_gtzan_is_named():
    corpus = tree("blues/blues.00000.au", "jazz/jazz.00001.au")
    assert read_corpus(corpus)[1] == "class-folders"
    table, layout = read_corpus(corpus, layout="gtzan")
    assert (layout, label_map(table)) == ("gtzan", ["blues", "jazz"])


@pytest.mark.parametrize(
    "files",
    [
        ["genres/blues/jazz.00000.wav", "genres/jazz/jazz.00001.wav"],
        ["a/blues/blues.00000.wav", "b/jazz/jazz.00001.wav"],
        ["genres/blues/blues.00000.wav"],
    ],
)
def test_what_is_not_gtzan_is_refused(files):
    with pytest.raises(LayoutMismatch, match=r"named as genres|two or more genres"):
        read_gtzan(tree(*files))


# --- ComParE

WAVES = ["wav/train_1.wav", "wav/devel_1.wav", "wav/test_1.wav"]


def listing(file, label, *labels, delimiter=","):
    lines = zip(["train_1.wav", "devel_1.wav", "test_1.wav"], labels, strict=True)
    header = f"{file}{delimiter}{label}\n"
    return header + "".join(f"{name}{delimiter}{value}\n" for name, value in lines)


@pytest.mark.parametrize(
    ("name", "text", "labels"),
    [
        (
            "lab/ComParE2018_Heartbeat.tsv",
            listing("file_name", "label", "0", "1", "?", delimiter="\t"),
            ["0", "1", None],
        ),
        (
            "lab/ComParE2018_SelfAssessedAffect.tsv",
            listing("file_name", "Valence", "l", "m", "?", delimiter="\t"),
            ["l", "m", None],
        ),
        (
            "lab/ComParE2018_AtypicalAffect.tsv",
            listing("file_name", "emotion", "happy", "sad", "", delimiter="\t"),
            ["happy", "sad", None],
        ),
        ("lab/labels.csv", listing("file_name", "label", "Canonical", "Crying", "?"), None),
        ("lab/labels.csv", listing("file_name", "label", "clear", "mask", "?"), None),
    ],
)
def test_lists_of_compare_give_labels_and_partitions(name, text, labels):
    table, layout = read_corpus(tree(*WAVES, texts={name: text}))
    assert layout == "compare"
    found = dict(zip(table["file"].to_pylist(), table["label"].to_pylist(), strict=True))
    assert found["wav/test_1.wav"] is None
    if labels:
        assert [found[wave] for wave in WAVES] == labels
    partitions = dict(zip(table["file"].to_pylist(), table["partition"].to_pylist(), strict=True))
    assert [partitions[wave] for wave in WAVES] == ["train", "devel", "test"]


@pytest.mark.parametrize(
    ("open_list", "confidential"),
    [
        ("lab/ComParE2018_Crying.tsv", "lab/ComParE2018_Crying_confidential.tsv"),
        ("lab/ComParE2018_Atypical.tsv", "lab/ComParE2018_Atypical.confidential.tsv"),
        ("lab/labels.csv", "lab/labels_confidential.csv"),
    ],
)
def test_confidential_list_is_preferred(open_list, confidential):
    delimiter = "\t" if open_list.endswith("tsv") else ","
    texts = {
        open_list: listing("file_name", "label", "0", "1", "?", delimiter=delimiter),
        confidential: listing("file_name", "label", "0", "1", "2", delimiter=delimiter),
    }
    found = rows(read_compare(tree(*WAVES, texts=texts)))
    assert found["wav/test_1.wav"] == ("2", "test", None)


def test_elderly_emotion_is_labelled_with_valence_or_arousal():
    text = "filename_audio,V_cat,A_cat\ntrain_1.wav,L,H\ndevel_1.wav,M,L\ntest_1.wav,?,?\n"
    corpus = tree(*WAVES, texts={"lab/labels.csv": text})
    assert rows(read_compare(corpus))["wav/train_1.wav"] == ("L", "train", None)
    assert rows(read_compare_arousal(corpus))["wav/train_1.wav"] == ("H", "train", None)


def test_lists_of_2021_are_joined():
    texts = {
        f"lab/{part}.csv": f"filename,label\n{part}_1.wav,{label}\n"
        for part, label in (("train", "negative"), ("devel", "positive"), ("test", "?"))
    }
    found = rows(read_compare(tree(*WAVES, texts=texts)))
    assert [found[wave][0] for wave in WAVES] == ["negative", "positive", None]


def test_lists_of_2021_may_have_their_columns_in_any_order():
    texts = {
        "lab/train.csv": "filename,label\ntrain_1.wav,negative\n",
        "lab/devel.csv": "label,filename\npositive,devel_1.wav\n",
    }
    found = rows(read_compare(tree(*WAVES, texts=texts)))
    assert found == {
        "wav/train_1.wav": ("negative", "train", None),
        "wav/devel_1.wav": ("positive", "devel", None),
    }


def test_list_with_other_columns_is_named():
    with pytest.raises(LayoutMismatch, match=r"lab/labels.csv has none of the known columns"):
        read_compare(tree(*WAVES, texts={"lab/labels.csv": "a,b\n1,2\n"}))
    with pytest.raises(LayoutMismatch, match="no list of labels"):
        read_compare(tree(*WAVES))


# --- a layout of one's own

OWN = """
from raudeep.corpora import LayoutMismatch

def by_prefix(tree):
    for file in tree.files:
        yield tree.recording(file, label=file.split("-")[0])

def refuses(tree):
    raise LayoutMismatch("not mine")

def fails(tree):
    return 1 / 0

def names(tree):
    return list(tree.files)

number = 3
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "of: my own.py"
    path.write_text(OWN)
    return path


def test_layout_of_ones_own_is_a_function_in_a_file(own):
    table, layout = read_corpus(tree("dog-1.wav", "cat-2.wav"), layout=f"{own}:by_prefix")
    assert layout == f"{own}:by_prefix"
    assert table["label"].to_pylist() == ["cat", "dog"]


def test_layout_of_ones_own_is_a_function_in_a_module(own, monkeypatch):
    (own.parent / "my_layouts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(own.parent))
    table, _ = read_corpus(tree("dog-1.wav", "cat-2.wav"), layout="my_layouts:by_prefix")
    assert label_map(table) == ["cat", "dog"]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("missing", "cannot be imported: AttributeError"),
        ("number", "is no function"),
        ("fails", "failed: ZeroDivisionError: division by zero"),
        ("refuses", "failed: LayoutMismatch: not mine"),
        ("names", r"must return recordings .*Got 'a.wav'"),
    ],
)
def test_layout_of_ones_own_that_does_not_work_is_one_line(own, function, message):
    with pytest.raises(ManifestError, match=message) as caught:
        read_corpus(tree("a.wav"), layout=f"{own}:{function}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["nowhere.py:f", "no_such_module:f", "os:f"])
def test_layout_that_is_nowhere_is_one_line(name):
    with pytest.raises(ManifestError, match="cannot be imported"):
        read_corpus(tree("a.wav"), layout=name)


def test_several_fitting_layouts_are_named_with_why_the_others_do_not_fit():
    texts = {"lab/labels.csv": listing("file_name", "label", "a", "b", "c")}
    texts |= {"meta.txt": "wav/train_1.wav\tbus\n"}
    with pytest.raises(ManifestError) as caught:
        read_corpus(tree(*WAVES, texts=texts))
    message = str(caught.value)
    assert "several corpus layouts fit: tut-as-2017, compare." in message
    assert "urbansound8k: no metadata/UrbanSound8K.csv" in message
