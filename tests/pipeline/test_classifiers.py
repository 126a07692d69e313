"""The commands on classifiers: `evaluate`, `train-classifier`, `predict`, on small tables."""

import json
import sys

import numpy as np
import pyarrow as pa
import pytest

from raudeep.cli import main
from raudeep.config import AutoencoderConfig, SpectrogramConfig, TrainingConfig
from raudeep.pipeline.classifiers import load_classifier
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.embedding import Embedder, embed_corpus
from raudeep.pipeline.fusing import fuse_tables
from raudeep.pipeline.spectrograms import extract_spectrograms
from raudeep.pipeline.stage import embedding_rows
from raudeep.pipeline.training import Run, train_autoencoders
from raudeep.schema import FILE_METADATA, KEYS
from raudeep.storage.identity import Identity
from raudeep.storage.table import open_table, read_index, read_table

LABELS = ("bark", "meow", "moo")
QUICK = {"mlp": ("--num-units", 16, "--num-epochs", 200), "svm": ()}


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command line; return exit code, stdout and stderr."""
    monkeypatch.setenv("COLUMNS", "160")

    def run_command(*arguments):
        with pytest.raises(SystemExit) as exit_info:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return exit_info.value.code or 0, captured.out, captured.err

    return run_command


def write_table(place, rows, embeddings, config=None):
    """Write rows of (file, chunk, label, partition, folds) in two parts; return the place."""
    names = ("file", "chunk", "label", "partition", "folds")
    records = [dict(zip(names, row, strict=True)) for row in rows]
    keys = pa.Table.from_pylist(records, schema=pa.schema([*KEYS, *FILE_METADATA]))
    table = embedding_rows(keys, np.asarray(embeddings, np.float32))
    writer = open_table(str(place), Identity("embeddings", config or {"made": str(place)}))
    half = len(rows) // 2
    writer.write(0, table.slice(0, half))
    writer.write(1, table.slice(half))
    writer.commit(2)
    return place


def separable(place, *, size=4, permuted=False, seed=0):
    """Write 60 recordings of 3 classes and all partitions, each class around a point of its own."""
    rng = np.random.default_rng(seed)
    ids = np.arange(60) % 3
    embeddings = 5 * np.eye(3, size)[ids] + 0.1 * rng.standard_normal((60, size))
    shown = rng.permutation(ids) if permuted else ids
    parts = ("train", "devel", "test", "train")
    rows = [
        (f"{i:02d}.wav", 0, LABELS[shown[i]], parts[i // 15], [int(i // 15 == k) for k in range(4)])
        for i in range(60)
    ]
    return write_table(place, rows, embeddings)


def chunked(place):
    """Write recordings of three chunks; of those in test, the last sounds like the next class."""
    rows, embeddings = [], []
    for i in range(24):
        for chunk in range(3):
            partition = "train" if i < 18 else "test"
            sound = (i + (partition == "test" and chunk == 2)) % 3
            rows.append((f"{i:02d}.wav", chunk, LABELS[i % 3], partition, None))
            embeddings.append(np.eye(3)[sound] + 0.01 * (i % 5))
    return write_table(place, rows, embeddings)


def assert_one_line(err, *words):
    assert len(err.splitlines()) == 1, err
    assert err.startswith("raudeep: ")
    for word in words:
        assert word in err


# --- evaluate


@pytest.mark.parametrize("kind", ["mlp", "svm"])
def test_separable_classes_score_one_and_permuted_labels_near_chance(run, tmp_path, kind):
    scores = []
    for permuted in (False, True):
        table = separable(tmp_path / f"{permuted}", permuted=permuted)
        command = ("evaluate", kind, table, "--output", tmp_path / f"out-{permuted}", "--json")
        code, out, err = run(*command, *QUICK[kind], "--repeats", 3)
        assert code == 0, err
        scores.append(json.loads(out))
    perfect, chance = scores
    assert perfect["accuracy"] == perfect["uar"] == 1.0
    assert (perfect["num_splits"], perfect["repeats"], perfect["size"]) == (4, 3, 4)
    assert perfect["confusion"] == (np.eye(3, dtype=int) * 60).tolist()
    assert chance["accuracy"] == pytest.approx(1 / 3, abs=0.2)


def test_every_chunk_of_a_recording_is_scored(run, tmp_path):
    # auDeep scored a recording of several chunks by the last one alone: it would find 0 here.
    table = chunked(tmp_path / "table")
    command = ("evaluate", "svm", table, "--output", tmp_path / "out", "--json")
    sides = ("--train-partitions", "train", "--eval-partitions", "test")
    _, out, _ = run(*command, *sides)
    score = json.loads(out)
    assert score["accuracy"] == pytest.approx(2 / 3)
    assert np.sum(score["confusion"]) == 18
    # The same predictions, counted by recording.
    code, out, err = run(*command, *sides, "--majority-vote")
    assert code == 0, err
    assert json.loads(out)["accuracy"] == 1.0
    assert np.sum(json.loads(out)["confusion"]) == 6


def test_quiet_evaluation_is_a_line_of_accuracy_and_recall(run, tmp_path):
    rows = [(f"{i}.wav", 0, LABELS[i % 4 == 3], "train", None) for i in range(8)]
    rows += [(f"t{i}.wav", 0, LABELS[i > 2], "test", None) for i in range(4)]
    embeddings = [[i % 4 == 3] for i in range(8)] + [[0], [0], [1], [1]]
    table = write_table(tmp_path / "table", rows, embeddings)
    sides = ("--train-partitions", "train", "--eval-partitions", "test")
    code, out, err = run(
        *("evaluate", "svm", table, "--output", tmp_path / "out", *sides, "--complexity", 1),
        "--quiet",
    )
    assert (code, err) == (0, "")
    assert out == f"{3 / 4:.4f},{(2 / 3 + 1) / 2:.4f}\n"


def test_several_partitions_are_joined_on_either_side(run, tmp_path):
    table = separable(tmp_path / "table")
    for number, (train, scored, count) in enumerate(
        [(["train", "devel"], ["test"], 15), (["test"], ["train", "devel"], 45)]
    ):
        code, out, err = run(
            *("evaluate", "svm", table, "--output", tmp_path / f"{number}", "--json"),
            *("--train-partitions", *train, "--eval-partitions", *scored),
        )
        assert code == 0, err
        assert np.sum(json.loads(out)["confusion"]) == count
        assert json.loads(out)["num_splits"] == 1


def test_repeats_are_averaged_and_their_confusions_summed(run, tmp_path):
    table = separable(tmp_path / "table", permuted=True)
    command = ("evaluate", "mlp", table, *QUICK["mlp"], "--num-folds", 3, "--json")
    _, out, _ = run(*command, "--repeats", 3, "--output", tmp_path / "out")
    score = json.loads(out)
    rows = read_table(str(tmp_path / "out"))
    hits = np.array(rows["predicted"].to_pylist()) == np.array(rows["label"].to_pylist())
    folds, repeats = rows["fold"].to_numpy(), rows["repeat"].to_numpy()
    means = [[hits[(folds == f) & (repeats == r)].mean() for f in range(3)] for r in range(3)]
    assert score["accuracy"] == pytest.approx(np.mean(means))
    assert score["accuracy_std_repeats"] == pytest.approx(np.mean(means, axis=1).std())
    assert np.sum(score["confusion"]) == rows.num_rows == 180
    probabilities = np.array(rows["probabilities"].to_pylist())
    assert [LABELS[i] for i in probabilities.argmax(axis=1)] == rows["predicted"].to_pylist()


def test_confusion_matrix_is_drawn_to_a_file(run, tmp_path):
    table = separable(tmp_path / "table")
    command = ("evaluate", "svm", table, "--output", tmp_path / "out", "--plot")
    code, out, err = run(*command, tmp_path / "matrix.png")
    assert (code, out) == (1, "")
    assert_one_line(err, ".svg", "matrix.png")
    assert not (tmp_path / "out").exists()
    code, _, err = run(*command, tmp_path / "matrix.svg")
    assert code == 0, err
    assert (tmp_path / "matrix.svg").read_text().startswith("<?xml")


# --- train-classifier, predict


@pytest.mark.parametrize("kind", ["mlp", "svm"])
def test_kept_classifier_predicts_bitwise_as_the_one_just_fitted(run, tmp_path, monkeypatch, kind):
    train, other = separable(tmp_path / "a"), separable(tmp_path / "b", permuted=True, seed=1)
    fit = (*QUICK[kind], "--repeats", 2, "--seed", 3, "--train-partitions", "train", "devel")
    code, _, err = run("train-classifier", kind, train, "--output", tmp_path / "kept", *fit)
    assert code == 0, err
    code, _, err = run(
        "predict", kind, other, "--train-table", train, "--output", tmp_path / "direct", *fit
    )
    assert code == 0, err
    for module in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, module, None)  # fitting needs it, predicting does not
    code, _, err = run(
        "predict", other, "--classifier", tmp_path / "kept", "--output", tmp_path / "later"
    )
    assert code == 0, err
    direct, later = (read_table(str(tmp_path / name)) for name in ("direct", "later"))
    assert direct.equals(later)
    assert later.num_rows == 60
    assert set(later["fold"].to_pylist()) == {None}
    assert set(later["repeat"].to_pylist()) == {0}
    np.testing.assert_allclose(np.array(later["probabilities"].to_pylist()).sum(axis=1), 1, 1e-5)
    truth = [LABELS[i % 3] for i in range(60)]  # by sound; the labels of this table are permuted
    assert later["predicted"].to_pylist() == truth


def test_kept_classifier_is_standardised_by_its_training_partitions(run, tmp_path):
    table = separable(tmp_path / "table")
    run(
        "train-classifier",
        "svm",
        table,
        "--output",
        tmp_path / "kept",
        "--train-partitions",
        "test",
    )
    rows = np.array(read_table(str(table))["embedding"].to_pylist(), np.float32)[30:45]
    classifier = load_classifier(str(tmp_path / "kept")).classifier
    np.testing.assert_allclose(classifier.mean, rows.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(classifier.std, rows.std(axis=0), rtol=1e-5)


def test_kept_classifier_is_json_and_safetensors_and_not_fitted_twice(run, tmp_path):
    table = separable(tmp_path / "table")
    command = ("train-classifier", "svm", table, "--output", tmp_path / "kept", "--json")
    assert json.loads(run(*command)[1])[0]["reused"] == 0
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    assert names == {"classifier.json", "classifier.safetensors"}
    assert json.loads(run(*command)[1])[0]["reused"] == 1
    code, out, err = run(*command, "--complexity", 5)
    assert (code, out) == (1, "")
    assert_one_line(err, "config.svm.complexity is 0.001 there and 5.0 now", "--overwrite")
    assert run(*command, "--complexity", 5, "--overwrite")[0] == 0


def test_label_list_has_a_line_for_each_recording_by_majority_vote(run, tmp_path):
    # auDeep's form. Without a vote it took the label of a recording's last chunk: one too high.
    table = chunked(tmp_path / "table")
    code, out, err = run(
        *("predict", "svm", table, "--train-table", table, "--train-partitions", "train"),
        *("--eval-partitions", "test", "--output", tmp_path / "labels.tsv", "--json"),
    )
    assert code == 0, err
    expected = [f"{i:02d}.wav\t{LABELS[i % 3]}\n" for i in range(18, 24)]
    assert (tmp_path / "labels.tsv").read_text() == "".join(expected)
    assert json.loads(out)[0]["table"] == str(tmp_path / "labels.tsv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.tsv", "table"]


def test_chosen_partitions_are_predicted_in_the_order_of_the_table(run, tmp_path):
    table = separable(tmp_path / "table")
    command = ("predict", "svm", table, "--train-table", table, "--output", tmp_path / "out")
    code, _, err = run(*command, "--eval-partitions", "test", "devel")
    assert code == 0, err
    found = read_table(str(tmp_path / "out"))["file"].to_pylist()
    assert found == [f"{i:02d}.wav" for i in range(15, 45)]
    code, out, err = run(*command, "--eval-partitions", "tset", "--overwrite")
    assert (code, out) == (1, "")
    assert_one_line(err, "'tset'", "'devel', 'test', 'train'")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("predict", "TABLE", "--classifier", "nowhere"), ["nowhere", "no finished classifier"]),
        (("predict", "TABLE", "--classifier", "TABLE"), ["no finished classifier"]),
        (("predict", "TABLE", "--classifier", "damaged"), ["the classifier cannot be read"]),
        (("predict", "TABLE", "--classifier", "CLASSIFIER", "--model", "m"), ["--model is for"]),
        (("predict", "nowhere", "--classifier", "CLASSIFIER"), ["no corpus at", "nowhere"]),
        (("predict", "WIDER", "--classifier", "CLASSIFIER"), ["of 5 values", "embeddings of 4"]),
        (("predict", "svm", "nowhere", "--train-table", "TABLE"), ["nowhere", "no table"]),
        (("predict", "svm", "WIDER", "--train-table", "TABLE"), ["of 5 values"]),
        (("train-classifier", "svm", "nowhere"), ["nowhere", "no table"]),
        (
            ("train-classifier", "svm", "TABLE", "--train-partitions", "night"),
            ["'night'", "'devel', 'test', 'train'"],
        ),
        (("train-classifier", "svm", "TABLE", "--complexity", 0), ["'complexity'", "Got 0"]),
        (("train-classifier", "mlp", "TABLE", "--repeats", 0), ["'repeats'", "at least 1"]),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_nothing(run, tmp_path, arguments, words):
    places = {"TABLE": separable(tmp_path / "table"), "CLASSIFIER": tmp_path / "kept"}
    places["WIDER"] = separable(tmp_path / "wider", size=5)
    run("train-classifier", "svm", places["TABLE"], "--output", places["CLASSIFIER"])
    run("train-classifier", "svm", places["TABLE"], "--output", tmp_path / "damaged")
    (tmp_path / "damaged" / "classifier.safetensors").write_bytes(b"nothing")
    found = [places.get(word, word) for word in arguments]
    found = [tmp_path / word if word in ("damaged", "nowhere") else word for word in found]
    for output in ("out", "out.tsv"):
        code, out, err = run(*found, "--output", tmp_path / output)
        assert (code, out) == (1, "")
        assert_one_line(err, *words)
        assert not list(tmp_path.glob("*out*"))


# --- predict audio


@pytest.fixture(scope="module")
def models(corpus, tmp_path_factory):
    """Return a folder with the models a and b, their embeddings and these fused, a before b."""
    folder = tmp_path_factory.mktemp("models")
    manifest, _ = load_manifest(str(corpus))
    for name, clip in (("a", -30), ("b", -60)):
        view = SpectrogramConfig(
            window_seconds=0.064, n_mels=16, fixed_seconds=0.5, clip_below_db=clip
        )
        spectrograms = str(folder / f"spectrograms-{name}")
        extract_spectrograms(manifest, {"view": view}, {"view": spectrograms})
        run = Run(
            name=name,
            spectrograms=(spectrograms,),
            output=str(folder / name),
            model=AutoencoderConfig(num_units=8),
            training=TrainingConfig(num_epochs=1, batch_size=8),
        )
        train_autoencoders([run], checkpoints=str(folder / "runs"))
        outputs = {r: str(folder / f"{r}-{name}") for r in ("state", "pooled")}
        embed_corpus(manifest, [Embedder(name=name, model=run.output, outputs=outputs)])
    for first, second in (("a", "b"), ("b", "a")):
        tables = {name: str(folder / f"pooled-{name}") for name in (first, second)}
        fuse_tables(tables, str(folder / f"{first}{second}"))
    return folder


@pytest.mark.parametrize(
    ("table", "given"), [("state-a", ["a"]), ("ab", ["a", "b"]), ("ab", ["b", "a"])]
)
def test_audio_is_predicted_as_its_embeddings_are(run, models, corpus, tmp_path, table, given):
    kept = tmp_path / "kept"
    code, _, err = run("train-classifier", "svm", models / table, "--output", kept)
    assert code == 0, err
    flags = ("--classifier", kept, "--output")
    given = [models / name for name in given]
    code, _, err = run("predict", models / table, *flags, tmp_path / "of-table")
    assert code == 0, err
    command = ("predict", corpus, *flags, tmp_path / "of-audio", "--model", *given, "--json")
    code, out, err = run(*command)
    assert code == 0, err
    assert json.loads(out)[0]["reused"] == 0
    names = {path.name for path in (tmp_path / "of-audio").iterdir()}
    assert not [name for name in names if name.startswith(".")]
    of_table, of_audio = (read_table(str(tmp_path / f"of-{x}")) for x in ("table", "audio"))
    assert of_table.drop_columns("probabilities").equals(of_audio.drop_columns("probabilities"))
    both = [np.array(each["probabilities"].to_pylist()) for each in (of_table, of_audio)]
    np.testing.assert_allclose(*both, atol=1e-5)
    code, out, _ = run(*command)
    assert json.loads(out)[0]["reused"] == json.loads(out)[0]["parts"] > 0


def test_one_recording_is_predicted_and_a_broken_one_named(run, models, corpus, tmp_path):
    kept = tmp_path / "kept"
    run("train-classifier", "svm", models / "ab", "--output", kept)
    flags = ("--classifier", kept, "--model", models / "a", models / "b", "--output")
    clip = sorted(corpus.rglob("*.wav"))[0]
    code, _, err = run("predict", clip, *flags, tmp_path / "one.tsv")
    assert code == 0, err
    (line,) = (tmp_path / "one.tsv").read_text().splitlines()
    assert line.split("\t")[0] == clip.name
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "good.wav").write_bytes(clip.read_bytes())
    (tmp_path / "new" / "broken.wav").write_bytes(b"not audio")
    code, out, err = run("predict", tmp_path / "new", *flags, tmp_path / "out", "--json")
    assert code == 0, err
    assert "1 of 2 recordings could not be used, e.g. 'broken.wav'" in err
    assert (json.loads(out)[0]["rows"], json.loads(out)[0]["errors"]) == (1, 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["a"], ["--model gives 1 of 2 models"]),
        ([], ["--model gives 0 of 2 models"]),
    ],
)
def test_audio_needs_the_models_of_the_classifier(run, models, corpus, tmp_path, given, words):
    run("train-classifier", "svm", models / "ab", "--output", tmp_path / "kept")
    models_given = [str(models / name) for name in given]
    code, out, err = run(
        *("predict", corpus, "--classifier", tmp_path / "kept", "--output", tmp_path / "out"),
        *(("--model", *models_given) if given else ()),
    )
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], *words)
    assert not (tmp_path / "out").exists()


def test_embeddings_of_other_models_are_refused_though_they_fit_in_size(run, models, tmp_path):
    run("train-classifier", "svm", models / "ab", "--output", tmp_path / "kept")
    assert read_index(str(models / "ab")).rows == read_index(str(models / "ba")).rows
    code, out, err = run(
        "predict", models / "ba", "--classifier", tmp_path / "kept", "--output", tmp_path / "out"
    )
    assert (code, out) == (1, "")
    assert_one_line(err, "'pooled' of model", "fuse them in the same order")
    assert not (tmp_path / "out").exists()


def test_audio_is_refused_where_no_autoencoder_made_the_embeddings(run, corpus, tmp_path):
    table = separable(tmp_path / "table")
    run("train-classifier", "svm", table, "--output", tmp_path / "kept")
    code, out, err = run(
        "predict", corpus, "--classifier", tmp_path / "kept", "--output", tmp_path / "out"
    )
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], "names no autoencoder")


def test_predictions_of_other_recordings_are_not_taken_for_these(run, models, corpus, tmp_path):
    """Also where they were embedded by the same model."""
    kept, output = tmp_path / "kept", tmp_path / "predictions"
    assert run("train-classifier", "svm", models / "state-a", "--output", kept)[0] == 0
    few = tmp_path / "few.csv"
    clips = sorted(corpus.rglob("*.wav"))[:3]
    few.write_text("file\n" + "".join(f"{clip}\n" for clip in clips))
    assert run("embed", few, "--model", models / "a", "--output", tmp_path / "few")[0] == 0
    flags = ("--classifier", kept, "--output", output)
    assert run("predict", tmp_path / "few", *flags)[0] == 0
    code, _, err = run("predict", models / "state-a", *flags)
    assert code == 1
    assert_one_line(err, "embeddings", "--overwrite")
    assert run("predict", models / "state-a", *flags, "--overwrite")[0] == 0
    assert read_table(str(output)).num_rows == 25
