"""`predict` on audio: as its embeddings are, with the models that it needs, of what was asked."""

import json
from unittest.mock import Mock

import numpy as np
import pytest

from raudeep.config import ChunkConfig
from raudeep.errors import TableError
from raudeep.pipeline.classification import predicting
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder, chunks_like
from raudeep.pipeline.runtime import streaming
from raudeep.pipeline.tables.fusing import fuse_chunks, fuse_tables
from raudeep.pipeline.tables.modifying import add_folds
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from tests.models import write_model
from tests.support import assert_one_line

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.fixture(scope="module")
def models(corpus, tmp_path_factory):
    """Return a folder with the models a and b, their embeddings and these fused, a before b.

    Names in -chunks are of overlapping chunks, in -halves of two, in -joined of these joined.
    """
    folder = tmp_path_factory.mktemp("models")
    manifest, _ = load_manifest(str(corpus))
    for seed, name in enumerate("ab"):
        model = write_model(folder / name, units=8, fixed_seconds=0.5, n_mels=16, seed=seed)
        outputs = {r: str(folder / f"{r}-{name}") for r in ("state", "pooled")}
        embed_corpus(manifest, [Embedder(name=name, model=model, outputs=outputs)])
        for kind, cut in (("chunks", (0.2, 0.1)), ("halves", (0.9, 0.9))):
            embedder = Embedder(
                name=name, model=model, outputs={"state": str(folder / f"{name}-{kind}")}
            )
            chunks = ChunkConfig(chunk_seconds=cut[0], chunk_hop_seconds=cut[1])
            embed_corpus(manifest, [embedder], chunks=chunks)
        fuse_chunks(str(folder / f"{name}-halves"), str(folder / f"{name}-joined"))
    for first, second in (("a", "b"), ("b", "a")):
        tables = {name: str(folder / f"pooled-{name}") for name in (first, second)}
        fuse_tables(tables, str(folder / f"{first}{second}"))
    for kind in ("chunks", "halves", "joined"):
        tables = {name: str(folder / f"{name}-{kind}") for name in ("a", "b")}
        fuse_tables(tables, str(folder / f"ab-{kind}"))
    return folder


@pytest.mark.parametrize(
    ("table", "given"),
    [
        ("state-a", ["a"]),
        ("ab", ["a", "b"]),
        ("ab", ["b", "a"]),
        ("a-chunks", ["a"]),
        ("ab-chunks", ["a", "b"]),
    ],
)
def test_audio_is_predicted_as_its_embeddings_are(cli, models, corpus, tmp_path, table, given):
    kept = tmp_path / "kept"
    code, _, err = cli("train-classifier", "svm", models / table, "--output", kept)
    assert code == 0, err
    flags = ("--classifier", kept, "--output")
    given = [models / name for name in given]
    code, _, err = cli("predict", models / table, *flags, tmp_path / "of-table")
    assert code == 0, err
    command = ("predict", corpus, *flags, tmp_path / "of-audio", "--model", *given, "--json")
    code, out, err = cli(*command)
    assert code == 0, err
    assert json.loads(out)[0]["reused"] == 0
    names = {path.name for path in (tmp_path / "of-audio").iterdir()}
    assert not [name for name in names if name.startswith(".")]
    of_table, of_audio = (read_table(str(tmp_path / f"of-{x}")) for x in ("table", "audio"))
    assert of_table.drop_columns("probabilities").equals(of_audio.drop_columns("probabilities"))
    both = [np.array(each["probabilities"].to_pylist()) for each in (of_table, of_audio)]
    np.testing.assert_allclose(*both, atol=1e-5)
    code, out, _ = cli(*command)
    assert json.loads(out)[0]["reused"] == json.loads(out)[0]["parts"] > 0


def test_workers_of_ray_predict_the_same(cli, models, corpus, tmp_path, monkeypatch):
    cli("train-classifier", "mlp", models / "ab", "--output", tmp_path / "kept", "--num-epochs", 9)
    command = ("predict", corpus, "--classifier", tmp_path / "kept", "--model", models / "a")
    for name in ("here", "there"):
        code, _, err = cli(*command, models / "b", "--output", tmp_path / name)
        assert code == 0, err
        monkeypatch.setattr(streaming, "_START_SECONDS", 0.0)
        monkeypatch.setattr(streaming, "_WORKER_SECONDS", 0.0)
    here, there = (read_table(str(tmp_path / name)) for name in ("here", "there"))
    # How many threads multiply decides on the last bits.
    np.testing.assert_allclose(*map(_probabilities, (here, there)), atol=1e-6)
    assert here.drop_columns(["probabilities"]).equals(there.drop_columns(["probabilities"]))


def _probabilities(predictions):
    return np.array(predictions["probabilities"].to_pylist())


def test_one_recording_is_predicted_and_a_broken_one_named(cli, models, corpus, tmp_path):
    kept = tmp_path / "kept"
    cli("train-classifier", "svm", models / "ab", "--output", kept)
    flags = ("--classifier", kept, "--model", models / "a", models / "b", "--output")
    clip = sorted(corpus.rglob("*.wav"))[0]
    code, _, err = cli("predict", clip, *flags, tmp_path / "one.tsv")
    assert code == 0, err
    (line,) = (tmp_path / "one.tsv").read_text().splitlines()
    assert line.split("\t")[0] == clip.name
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "good.wav").write_bytes(clip.read_bytes())
    (tmp_path / "new" / "broken.wav").write_bytes(b"not audio")
    code, out, err = cli("predict", tmp_path / "new", *flags, tmp_path / "out", "--json")
    assert code == 0, err
    assert "1 of 2 recordings could not be used, e.g. 'broken.wav'" in err
    assert err.count(f"`raudeep inspect {tmp_path / 'out'}` names all") == 1
    assert (json.loads(out)[0]["rows"], json.loads(out)[0]["errors"]) == (1, 1)
    code, out, err = cli("inspect", tmp_path / "out", "--json")
    assert [error["file"] for error in json.loads(out)["errors"]] == ["broken.wav"]


def test_each_broken_recording_is_named_where_no_table_keeps_the_errors(
    cli, models, corpus, tmp_path
):
    cli("train-classifier", "svm", models / "ab", "--output", tmp_path / "kept")
    flags = ("--classifier", tmp_path / "kept", "--model", models / "a", models / "b", "--output")
    (tmp_path / "new").mkdir()
    for name in ("broken.wav", "worse.wav"):
        (tmp_path / "new" / name).write_bytes(b"not audio")
    for output in ("out", "out.tsv"):
        code, out, err = cli("predict", tmp_path / "new", *flags, tmp_path / output)
        assert (code, out) == (1, "")
        assert "2 of 2 recordings could not be used" in err
        assert err.count("'broken.wav' could not be used: ") == 1
        assert err.count("'worse.wav' could not be used: ") == 1
        assert {path.name for path in tmp_path.iterdir()} == {"kept", "new"}
    (tmp_path / "new" / "good.wav").write_bytes(sorted(corpus.rglob("*.wav"))[0].read_bytes())
    code, _, err = cli("predict", tmp_path / "new", *flags, tmp_path / "out.tsv")
    assert code == 0, err
    assert "raudeep inspect" not in err
    assert err.count("'broken.wav' could not be used: ") == 1
    assert err.count("'worse.wav' could not be used: ") == 1
    assert len((tmp_path / "out.tsv").read_text().splitlines()) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "new", "out.tsv"}


def test_what_was_predicted_of_an_interrupted_label_list_is_not_computed_again(
    cli, models, corpus, tmp_path, monkeypatch
):
    cli("train-classifier", "svm", models / "state-a", "--output", tmp_path / "kept")
    flags = ("--classifier", tmp_path / "kept", "--model", models / "a", "--output")
    with monkeypatch.context() as patch:
        patch.setattr(predicting, "write_file", Mock(side_effect=KeyboardInterrupt))
        assert cli("predict", corpus, *flags, tmp_path / "labels.tsv")[0] == 130
    code, out, err = cli("predict", corpus, *flags, tmp_path / "labels.tsv", "--json")
    assert code == 0, err
    (summary,) = json.loads(out)
    assert summary["reused"] == summary["parts"] > 0
    assert len((tmp_path / "labels.tsv").read_text().splitlines()) == 25
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "labels.tsv"]


def test_a_label_list_is_of_its_recordings_whatever_was_interrupted_before(
    cli, models, corpus, tmp_path, monkeypatch
):
    cli("train-classifier", "svm", models / "state-a", "--output", tmp_path / "kept")
    flags = ("--classifier", tmp_path / "kept", "--model", models / "a", "--output")
    with monkeypatch.context() as patch:
        patch.setattr(predicting, "write_file", Mock(side_effect=KeyboardInterrupt))
        assert cli("predict", corpus, *flags, tmp_path / "labels.tsv")[0] == 130
    clip = sorted(corpus.rglob("*.wav"))[0]
    assert cli("predict", clip, *flags, tmp_path / "labels.tsv")[0] == 0
    assert len((tmp_path / "labels.tsv").read_text().splitlines()) == 1


def test_audio_is_not_cut_in_two_ways_at_once():
    sources = [{"readout": "state", "model": "a"}, {"readout": "state", "model": "b"}]
    assert chunks_like(sources) == ChunkConfig()
    sources[1] |= {"chunk_seconds": 1.0, "chunk_hop_seconds": 0.5}
    said = (
        r"one kind of chunks\. Got .* of model a, .* of model b in chunks of 1 s, one every 0\.5 s"
    )
    with pytest.raises(TableError, match=said):
        chunks_like(sources)


def test_new_recordings_are_predicted_and_old_ones_are_not_read_again(
    cli, models, corpus, tmp_path
):
    cli("train-classifier", "svm", models / "state-a", "--output", tmp_path / "kept")
    clips = sorted(corpus.rglob("*.wav"))
    folder = tmp_path / "new"
    folder.mkdir()
    for number, clip in enumerate(clips[:4]):
        (folder / f"{number}.wav").write_bytes(clip.read_bytes())
    command = ("predict", folder, "--classifier", tmp_path / "kept", "--model", models / "a")
    command = (*command, "--output", tmp_path / "out", "--json")
    assert cli(*command)[0] == 0
    before = read_table(str(tmp_path / "out"))
    for number in range(4):  # which would be an error, if it was read
        (folder / f"{number}.wav").write_bytes(bytes((folder / f"{number}.wav").stat().st_size))
    (folder / "9.wav").write_bytes(clips[9].read_bytes())
    code, out, err = cli(*command)
    assert code == 0, err
    (summary,) = json.loads(out)
    assert (summary["rows"], summary["errors"]) == (5, 0)
    assert summary["reused"] == summary["parts"] - 1
    assert read_table(str(tmp_path / "out")).slice(0, 4).equals(before)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["a"], ["with --model; 1 of 2 were given"]),
        ([], ["with --model; 0 of 2 were given"]),
    ],
)
def test_audio_needs_the_models_of_the_classifier(cli, models, corpus, tmp_path, given, words):
    cli("train-classifier", "svm", models / "ab", "--output", tmp_path / "kept")
    models_given = [str(models / name) for name in given]
    code, out, err = cli(
        *("predict", corpus, "--classifier", tmp_path / "kept", "--output", tmp_path / "out"),
        *(("--model", *models_given) if given else ()),
    )
    assert (code, out) == (1, "")
    assert_one_line(err.splitlines()[-1], *words)
    assert not (tmp_path / "out").exists()


def test_embeddings_of_other_models_are_refused_though_they_fit_in_size(cli, models, tmp_path):
    cli("train-classifier", "svm", models / "ab", "--output", tmp_path / "kept")
    assert read_index(str(models / "ab")).rows == read_index(str(models / "ba")).rows
    code, out, err = cli(
        "predict", models / "ba", "--classifier", tmp_path / "kept", "--output", tmp_path / "out"
    )
    assert (code, out) == (1, "")
    assert_one_line(err, "'pooled' of model", "fuse them in the same order")
    assert not (tmp_path / "out").exists()


def test_embeddings_of_other_chunks_are_refused_though_they_fit_in_size(cli, models, tmp_path):
    cli("train-classifier", "svm", models / "a-chunks", "--output", tmp_path / "kept")
    code, out, err = cli(
        *("predict", models / "state-a", "--classifier", tmp_path / "kept"),
        *("--output", tmp_path / "out"),
    )
    assert (code, out) == (1, "")
    assert_one_line(err, "chunks of 0.2 s, one every 0.1 s", "same models, readouts and chunks")
    assert not (tmp_path / "out").exists()


def test_audio_is_refused_at_once_by_a_classifier_of_joined_chunks(cli, models, corpus, tmp_path):
    """Also where they were given other folds, or fused, after they were joined."""
    add_folds(str(models / "a-joined"), str(tmp_path / "folds"), num_folds=2)
    for table in (models / "a-joined", tmp_path / "folds", models / "ab-joined"):
        kept, output = tmp_path / f"of-{table.name}", tmp_path / f"{table.name}-out"
        assert cli("train-classifier", "svm", table, "--output", kept)[0] == 0
        flags = ("--classifier", kept, "--output", output)
        code, out, err = cli("predict", corpus, *flags, "--model", models / "a", models / "b")
        assert (code, out) == (1, "")
        said = ("2 joined chunks of ('state' of", "`raudeep fuse-chunks`, and predict that table")
        assert_one_line(err.splitlines()[-1], *said)
        assert not output.exists()
        assert cli("predict", table, *flags)[0] == 0


def test_fused_tables_of_joined_chunks_are_not_joined_chunks_of_fused_ones(cli, models, tmp_path):
    """They have the same values in another order."""
    fuse_chunks(str(models / "ab-halves"), str(tmp_path / "joined"))
    cli("train-classifier", "svm", tmp_path / "joined", "--output", tmp_path / "kept")
    flags = ("--classifier", tmp_path / "kept", "--output", tmp_path / "out")
    code, out, err = cli("predict", models / "ab-joined", *flags)
    assert (code, out) == (1, "")
    assert_one_line(err, "2 joined chunks of ('state' of model", "fuse them in the same order")
    assert not (tmp_path / "out").exists()


def test_predictions_of_other_recordings_are_not_taken_for_these(cli, models, corpus, tmp_path):
    """Also where they were embedded by the same model."""
    kept, output = tmp_path / "kept", tmp_path / "predictions"
    assert cli("train-classifier", "svm", models / "state-a", "--output", kept)[0] == 0
    few = tmp_path / "few.csv"
    clips = sorted(corpus.rglob("*.wav"))[:3]
    few.write_text("file\n" + "".join(f"{clip}\n" for clip in clips))
    assert cli("embed", few, "--model", models / "a", "--output", tmp_path / "few")[0] == 0
    flags = ("--classifier", kept, "--output", output)
    assert cli("predict", tmp_path / "few", *flags)[0] == 0
    code, _, err = cli("predict", models / "state-a", *flags)
    assert code == 1
    assert_one_line(err, "embeddings", "--overwrite")
    assert cli("predict", models / "state-a", *flags, "--overwrite")[0] == 0
    assert read_table(str(output)).num_rows == 25
