"""The baselines on a small corpus: scored on its folds, continued, whatever one recording is."""

import io
import itertools
import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from raudeep.audio.statistics import band_statistics
from raudeep.config import (
    CnnConfig,
    EvaluationConfig,
    Limits,
    MlpConfig,
    SparseCodingConfig,
    SpectrogramConfig,
    SvmConfig,
)
from raudeep.errors import AudioError, EvaluationError, TableError
from raudeep.models.piczak import fit_cnn
from raudeep.pipeline import stage
from raudeep.pipeline.baselines import convolutional, scores, sparse_codes
from raudeep.pipeline.baselines.scores import score_band_statistics, score_cnn, score_sparse_coding
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.packing import pack_corpus
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.stage import embedding_array, spectrogram_arrays
from raudeep.storage.index import read_index
from raudeep.storage.table import read_errors, read_table

pytestmark = pytest.mark.usefixtures("decoding_here")

ONCE = EvaluationConfig(repeats=1)
CNN = CnnConfig(num_filters=2, num_units=8, num_epochs=1, num_delayed=1, batch_size=50)
SVM = SvmConfig()
CODES = SparseCodingConfig(
    num_octaves=2, bands_per_octave=6, num_atoms=8, num_patches=200, num_steps=3, batch_size=50
)


@pytest.fixture(scope="module")
def manifest(corpus):
    return load_manifest(str(corpus))[0]


@pytest.fixture(scope="module")
def scored_cnn(manifest, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cnn")
    evaluation = EvaluationConfig(repeats=2)
    return folder, score_cnn(manifest, str(folder), config=CNN, evaluation=evaluation)


def copy_of(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    return tmp_path / "copy"


def test_every_recording_is_predicted_in_its_own_fold_by_every_network(scored_cnn, manifest):
    folder, result = scored_cnn
    rows = read_table(str(folder / "predictions")).to_pylist()
    assert len(rows) == 2 * manifest.num_rows
    folds = dict(zip(manifest["file"].to_pylist(), manifest["folds"].to_pylist(), strict=True))
    assert all(folds[row["file"]][row["fold"]] == 1 for row in rows)
    assert {(row["file"], row["repeat"]) for row in rows} == {(f, r) for f in folds for r in (0, 1)}
    np.testing.assert_allclose([sum(row["probabilities"]) for row in rows], 1, rtol=1e-5)
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert result.score.accuracy == pytest.approx(right)
    assert (result.score.num_splits, result.score.repeats, result.size) == (5, 2, None)


def test_only_the_folds_that_are_missing_are_trained_again(scored_cnn, manifest, tmp_path):
    folder = copy_of(scored_cnn[0], tmp_path)
    before = read_table(str(folder / "predictions"))
    for name in ("__raudeep__/index.json", "part-00001.parquet"):
        (folder / "predictions" / name).unlink()
    kept = (folder / "predictions" / "part-00000.parquet").stat().st_mtime_ns
    result = score_cnn(manifest, str(folder), config=CNN, evaluation=EvaluationConfig(repeats=2))
    assert [summary.reused for summary in result.summaries] == [16 + 9, 4]
    assert (folder / "predictions" / "part-00000.parquet").stat().st_mtime_ns == kept
    assert read_table(str(folder / "predictions")).equals(before)


def test_predictions_of_another_network_are_refused_by_field(scored_cnn, manifest):
    folder, _ = scored_cnn
    other = CnnConfig(num_filters=2, num_units=9, num_epochs=1, num_delayed=1, batch_size=50)
    with pytest.raises(TableError, match=r"config\.cnn\.num_units is 8 there and 9 now"):
        score_cnn(manifest, str(folder), config=other, evaluation=EvaluationConfig(repeats=2))


def test_a_corpus_without_labels_cannot_be_scored(manifest, tmp_path):
    position = manifest.schema.get_field_index("label")
    nothing = pa.nulls(manifest.num_rows, pa.string())
    nameless = manifest.set_column(position, manifest.schema.field("label"), nothing)
    with pytest.raises(EvaluationError, match=r"has 0 label\(s\)"):
        score_cnn(nameless, str(tmp_path / "out"), config=CNN, evaluation=ONCE)


@pytest.mark.parametrize("count", [1, 5, 10**9])
def test_as_many_frames_are_drawn_as_were_asked_for(manifest, tmp_path, count):
    """Also where they are fewer than the parts of the table."""
    table = str(tmp_path / "frames")
    extract_spectrograms(manifest, {"view": SpectrogramConfig(n_mels=4)}, {"view": table})
    assert len(read_index(table).parts) > 5
    frames = spectrogram_arrays(read_table(table), where=table)
    drawn = sparse_codes._sample(table, count, seed=0)
    assert drawn.shape == (min(count, sum(map(len, frames))), 4)
    assert {tuple(frame) for frame in drawn} <= {tuple(row) for each in frames for row in each}


def test_a_fold_that_trains_on_one_class_says_so(manifest, tmp_path):
    labels = manifest["label"].to_pylist()
    folds = [[int(label != labels[0])] for label in labels]
    position = manifest.schema.get_field_index("folds")
    field = manifest.schema.field("folds")
    lopsided = manifest.set_column(position, field, pa.array(folds, field.type))
    with pytest.raises(EvaluationError, match="fold 0 has 5 rows to train on, of 'chirp-down' al"):
        score_cnn(lopsided, str(tmp_path / "out"), config=CNN, evaluation=ONCE)


def test_recordings_of_small_classes_are_trained_on_more_often_on_request(
    manifest, tmp_path, monkeypatch
):
    counts = []

    def spy(spectrograms, label_ids, **settings):
        counts.append(np.bincount(label_ids).tolist())
        return fit_cnn(spectrograms, label_ids, **settings)

    def in_this_process(items, trainer, *, estimated_seconds):
        return map(trainer.factory(**trainer.arguments), items)

    monkeypatch.setattr(convolutional, "fit_cnn", spy)
    monkeypatch.setattr(convolutional, "stream", in_this_process)
    fewer = manifest.slice(2)  # two recordings of the first fold and class are gone
    evaluation = EvaluationConfig(repeats=1, upsample=True)
    score_cnn(fewer, str(tmp_path / "out"), config=CNN, evaluation=evaluation)
    score_cnn(fewer, str(tmp_path / "plain"), config=CNN, evaluation=ONCE)
    assert len(counts) == 10
    for upsampled, plain in zip(counts[:5], counts[5:], strict=True):
        assert upsampled == [max(plain) // count * count for count in plain]


def test_sparse_codes_are_rows_of_windows_that_a_majority_of_scores_a_recording(manifest, tmp_path):
    config = replace(CODES, window_seconds=0.5)
    result = score_sparse_coding(manifest, str(tmp_path), config=config, svm=SVM, evaluation=ONCE)
    rows = read_table(str(tmp_path / "embeddings"))
    chunks = [row for row in rows.to_pylist() if row["file"] == rows["file"][0].as_py()]
    assert len(chunks) > 1
    assert [row["chunk"] for row in chunks] == list(range(len(chunks)))
    assert chunks[1]["start"] == pytest.approx(chunks[0]["end"] / 2, abs=0.03)
    assert embedding_array(rows).shape == (rows.num_rows, 8)
    assert (embedding_array(rows) >= 0).all()
    # The vote leaves one prediction for each recording.
    assert np.sum(result.score.confusion) == manifest.num_rows
    assert result.size == 8


def test_dictionaries_are_learned_once_and_do_not_see_labels(manifest, tmp_path):
    score_sparse_coding(manifest, str(tmp_path), config=CODES, svm=SVM, evaluation=ONCE)
    (coder,) = tmp_path.glob("coder-*.safetensors")
    learned, before = coder.stat().st_mtime_ns, read_table(str(tmp_path / "embeddings"))
    shutil.rmtree(tmp_path / "embeddings")
    result = score_sparse_coding(manifest, str(tmp_path), config=CODES, svm=SVM, evaluation=ONCE)
    assert coder.stat().st_mtime_ns == learned
    assert read_table(str(tmp_path / "embeddings")).equals(before)
    assert result.summaries[1].reused == 0


def test_band_statistics_are_those_of_the_spectrograms(manifest, tmp_path):
    view = SpectrogramConfig(n_mels=12, clip_below_db=-60)  # of all lengths
    table = str(tmp_path / "spectrograms")
    extract_spectrograms(manifest, {"view": view}, {"view": table})
    results = score_band_statistics(
        {"view": table},
        {"view": str(tmp_path / "out")},
        mlp=MlpConfig(num_epochs=60),
        evaluation=ONCE,
    )
    rows = read_table(table)
    expected = [band_statistics(values) for values in spectrogram_arrays(rows, where=table)]
    found = read_table(str(tmp_path / "out" / "embeddings"))
    np.testing.assert_array_equal(embedding_array(found), np.array(expected))
    assert found["file"].to_pylist() == rows["file"].to_pylist()
    assert results["view"].size == 24
    assert results["view"].score.accuracy > 0.5  # of five classes


def test_band_statistics_of_several_tables_are_one_stage_whose_seconds_add_up(
    manifest, tmp_path, monkeypatch
):
    clock = SimpleNamespace(perf_counter=itertools.count().__next__)  # a second at each look
    for module in (scores, stage):
        monkeypatch.setattr(module, "time", clock)
    tables = {name: str(tmp_path / name) for name in ("a", "b")}
    views = {name: SpectrogramConfig(n_mels=12) for name in tables}
    extract_spectrograms(manifest, views, tables)
    outputs = {name: str(tmp_path / f"{name}-out") for name in tables}
    mlp = MlpConfig(num_epochs=1)
    results = score_band_statistics(tables, outputs, mlp=mlp, evaluation=ONCE)
    assert [result.summaries[0].seconds for result in results.values()] == [1, 2]


def test_a_table_is_no_place_for_a_folder_of_tables(manifest, scored_cnn):
    place = str(scored_cnn[0] / "spectrograms")
    for score, settings in (
        (score_cnn, {"config": CNN}),
        (score_sparse_coding, {"config": CODES, "svm": SVM}),
    ):
        with pytest.raises(TableError, match="holds files but no baseline of raudeep"):
            score(manifest, place, evaluation=ONCE, **settings)
    with pytest.raises(TableError, match="holds files but no baseline of raudeep"):
        score_band_statistics({"t": place}, {"t": place}, mlp=MlpConfig(), evaluation=ONCE)


@pytest.mark.parametrize(
    ("name", "score", "settings"),
    [
        ("predictions", score_cnn, {"config": CNN}),
        ("spectrograms", score_cnn, {"config": CNN}),
        ("predictions", score_sparse_coding, {"config": CODES, "svm": SVM}),
        ("frames", score_sparse_coding, {"config": CODES, "svm": SVM}),
        ("embeddings", score_sparse_coding, {"config": CODES, "svm": SVM}),
    ],
)
def test_baselines_do_not_delete_the_audio_that_they_are_made_of(
    corpus, tmp_path, name, score, settings
):
    place = str(tmp_path / name)
    pack_corpus(load_manifest(str(corpus))[0], place)
    packed, before = load_manifest(place)[0], read_table(place)
    with pytest.raises(TableError, match=f"{name} is a table of recordings.*Choose another"):
        score(packed, str(tmp_path), evaluation=ONCE, overwrite=True, **settings)
    assert read_table(place).equals(before)


@pytest.mark.parametrize("name", ["embeddings", "predictions"])
def test_band_statistics_do_not_delete_their_spectrograms(manifest, tmp_path, name):
    table = str(tmp_path / name)
    extract_spectrograms(manifest, {"view": SpectrogramConfig(n_mels=12)}, {"view": table})
    before = read_table(table)
    with pytest.raises(TableError, match=f"{name} is a table of spectrograms.*Choose another"):
        score_band_statistics(
            {"t": table}, {"t": str(tmp_path)}, mlp=MlpConfig(), evaluation=ONCE, overwrite=True
        )
    assert read_table(table).equals(before)


@pytest.fixture
def damaged(corpus, tmp_path):
    """Return a corpus with a file that is no audio, and a silent, a short and a stereo one."""
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    files = sorted(folder.rglob("*.wav"))
    files[0].write_bytes(b"no audio")
    rng = np.random.default_rng(0)
    odd = [np.zeros(4000), rng.uniform(-1, 1, 1), rng.uniform(-1, 1, (3000, 2))]
    for path, samples in zip(files[1:], odd, strict=False):
        content = io.BytesIO()
        soundfile.write(content, samples, 8000, format="WAV")
        path.write_bytes(content.getvalue())
    return folder, files[0].relative_to(folder).as_posix()


def test_one_bad_recording_is_a_row_of_errors_and_the_others_are_scored(damaged, tmp_path):
    folder, bad = damaged
    manifest, _ = load_manifest(str(folder))
    result = score_cnn(manifest, str(tmp_path / "cnn"), config=CNN, evaluation=ONCE)
    assert np.sum(result.score.confusion) == manifest.num_rows - 1
    assert read_errors(result.summaries[0].table)["file"].to_pylist() == [bad]
    result = score_sparse_coding(
        manifest, str(tmp_path / "sc"), config=CODES, svm=SVM, evaluation=ONCE
    )
    assert np.sum(result.score.confusion) == manifest.num_rows - 1
    with pytest.raises(AudioError, match=r"1 of 25 recordings .* --max-errors is 0"):
        score_cnn(
            manifest,
            str(tmp_path / "cnn"),
            config=CNN,
            evaluation=ONCE,
            limits=Limits(max_errors="0"),
        )


@pytest.mark.parametrize(
    ("score", "settings", "features", "derived"),
    [
        (score_cnn, {"config": CNN}, "spectrograms", "predictions"),
        (score_sparse_coding, {"config": CODES, "svm": SVM}, "frames", "embeddings"),
    ],
)
def test_what_was_made_without_a_recording_that_is_good_now_is_refused_and_made_anew(
    corpus, manifest, tmp_path, score, settings, features, derived
):
    """As scores of embeddings are."""
    seconds = sorted(soundfile.info(str(path)).duration for path in corpus.rglob("fold_*/*/*.*"))
    first, again = Limits(max_duration=(seconds[-1] + seconds[-2]) / 2), Limits(retry_errors=True)
    place = str(tmp_path / "out")
    score(manifest, place, evaluation=ONCE, limits=first, **settings)
    places = [str(tmp_path / "out" / name) for name in (features, derived, "predictions")]
    assert [read_index(each).num_errors for each in places] == [1, 0, 0]
    before = read_table(places[2])
    assert len(before["file"].unique()) == manifest.num_rows - 1
    for limits in (again, None):  # also when it is run again without the flag
        with pytest.raises(TableError, match=f"{derived} .*input '{features}' is .* --overwrite"):
            score(manifest, place, evaluation=ONCE, limits=limits, **settings)
        assert read_index(places[0]).rows == manifest.num_rows
        assert read_table(places[2]).equals(before)
    result = score(manifest, place, evaluation=ONCE, overwrite=True, **settings)
    assert result.summaries[0].reused == result.summaries[0].parts
    assert np.sum(result.score.confusion) == manifest.num_rows
    for each in places[1:]:
        assert len(read_table(each)["file"].unique()) == manifest.num_rows
    result = score(manifest, place, evaluation=ONCE, limits=again, **settings)
    assert [each.reused for each in result.summaries] == [each.parts for each in result.summaries]


def test_commands_print_scores_for_machines_and_refuse_what_makes_no_sense(corpus, tmp_path, cli):
    tiny = ("--num-filters", 2, "--num-units", 8, "--num-epochs", 1, "--num-delayed", 0)
    code, stdout, stderr = cli(
        "baseline", "cnn", corpus, "--output", tmp_path / "a", *tiny, "--json"
    )
    assert code == 0, stderr
    score = json.loads(stdout)
    assert (score["num_splits"], score["repeats"], score["size"]) == (5, 1, None)
    code, _, stderr = cli("baseline", "cnn", tmp_path / "nothing", "--output", tmp_path / "b")
    assert code == 1
    assert stderr.startswith("raudeep: no corpus at ")
    code, _, stderr = cli(
        "baseline", "sparse-coding", corpus, "--output", tmp_path / "c", "--num-atoms", 30
    )
    assert code != 0
    assert "multiple of num_octaves=4" in stderr
    assert not (tmp_path / "c").exists()


def test_a_benchmark_scores_baselines_beside_its_embeddings(recipe, corpus, tmp_path, cli):
    text = recipe.read_text().replace("num_epochs = 6", "num_epochs = 1")
    text = 'baselines = ["band-statistics"]\n' + text
    text += "\n[cnn]\nnum_filters = 2\nnum_units = 8\nnum_epochs = 1\nnum_delayed = 0\n"
    path = tmp_path / "with-baselines.toml"
    path.write_text(text)
    command = ("benchmark", path, "--corpus", corpus, "--output", tmp_path / "out")
    code, stdout, stderr = cli(*command, "--baselines", "cnn", "band-statistics")
    assert code == 0, stderr
    assert "band-statistics-60db" in stdout
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    scores = {row["embedding"]: row for row in results["scores"] if row["readout"] == "baseline"}
    assert list(scores) == ["cnn", "band-statistics-30db", "band-statistics-60db"]
    assert [row["size"] for row in scores.values()] == [None, 32, 32]
    assert scores["cnn"]["repeats"] == 1
    stages = {row["stage"]: row["rows"] for row in results["stages"]}
    own = {name: rows for name, rows in stages.items() if ": " in name}
    assert list(own) == [
        *("cnn: log-mel", "cnn: networks"),
        *("band-statistics: embeddings", "band-statistics: evaluation"),
    ]
    recordings = results["corpus"]["recordings"]
    assert (own["cnn: log-mel"], own["cnn: networks"]) == (recordings, recordings)
    assert own["band-statistics: embeddings"] == stages["spectrograms"] == 2 * recordings
    assert "Readout: baseline" in (tmp_path / "out" / "report.html").read_text()

    # Asked for less, the results show less; what was scored stays, with the time that it took.
    code, stdout, stderr = cli(*command, "--json")
    assert code == 0, stderr
    fewer = json.loads(stdout)
    own = [row["embedding"] for row in fewer["scores"] if row["readout"] == "baseline"]
    assert own == ["band-statistics-30db", "band-statistics-60db"]
    assert read_index(str(tmp_path / "out/baselines/cnn/predictions")).rows == recordings
    times = {row["stage"]: row["seconds"] for row in results["stages"]}
    assert {row["stage"]: row["seconds"] for row in fewer["stages"]}.items() <= times.items()
