"""The face for scikit-learn: what a pipeline may ask of a transformer of recordings."""

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from raudeep.config import (
    AutoencoderConfig,
    FrequencyAutoencoderConfig,
    SpectrogramConfig,
    TrainingConfig,
)
from raudeep.errors import AudioError, ConfigError
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.stage import embedding_array
from raudeep.sklearn import AutoencoderTransformer, EmbeddingTransformer
from raudeep.storage.index import read_index
from raudeep.storage.table import read_table
from tests.models import write_model, write_two_models

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.fixture
def models(tmp_path):
    return write_two_models(tmp_path / "models")


@pytest.fixture
def files(corpus):
    """Recordings, and the class of each."""
    paths = sorted(corpus.rglob("*.wav"))
    return [str(path) for path in paths], [path.parent.name for path in paths]


@pytest.mark.parametrize("readout", ["state", "pooled"])
def test_recordings_are_embedded_in_the_order_in_which_they_are_given(
    corpus, models, files, tmp_path, readout
):
    tables = {name: str(tmp_path / name) for name in (*models, "fused")}
    embedders = [
        Embedder(name=name, model=model, outputs={readout: tables[name]})
        for name, model in models.items()
    ]
    manifest, _ = load_manifest(str(corpus), labelled=False)
    embed_corpus(manifest, embedders, fused={readout: tables["fused"]})
    given = [files[0][i] for i in (3, 0, 7, 3)]
    names = [Path(place).relative_to(corpus).as_posix() for place in given]
    for chosen, table in ((["a"], "a"), (["a", "b"], "fused")):
        rows = read_table(tables[table])
        wanted = embedding_array(rows)[[rows["file"].to_pylist().index(name) for name in names]]
        places = [models[name] for name in chosen]
        transformer = EmbeddingTransformer(places, str(tmp_path / "work"), readout=readout)
        np.testing.assert_allclose(transformer.fit(given).transform(given), wanted, atol=1e-6)
        column = np.array([[Path(place)] for place in given])
        np.testing.assert_allclose(transformer.transform(column), wanted, atol=1e-6)
        np.testing.assert_allclose(transformer.transform(pd.Series(given)), wanted, atol=1e-6)
        assert len(transformer.get_feature_names_out()) == wanted.shape[1]


def test_recordings_of_the_same_name_and_size_are_not_taken_for_others(models, tmp_path, rng):
    found = []
    for folder, samples in (("one", 8000), ("two", 8000), ("two", 9000)):
        place = tmp_path / folder / "a.wav"
        place.parent.mkdir(exist_ok=True)
        soundfile.write(place, rng.uniform(-0.5, 0.5, samples), 16000)
        transformer = EmbeddingTransformer([models["a"]], str(tmp_path / "work"))
        found.append(transformer.transform([str(place)]))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(found[one] - found[other]).max() > 1e-3


def test_a_recording_that_was_replaced_is_not_taken_for_the_one_before(models, tmp_path, rng):
    """Of the same name and size; and what was there before is found again when it is back."""
    place, other = tmp_path / "a.wav", tmp_path / "b.wav"
    for file in (place, other):
        soundfile.write(file, rng.uniform(-0.5, 0.5, 8000), 16000)
    transformer = EmbeddingTransformer([models["a"]], str(tmp_path / "work"))
    found, contents = [], [place.read_bytes(), other.read_bytes()]
    for number in (0, 1, 0, 1):
        place.write_bytes(contents[number])
        found.append(transformer.transform([str(place)]))
    assert np.abs(found[0] - found[1]).max() > 1e-3
    np.testing.assert_array_equal(found[:2], found[2:])
    np.testing.assert_allclose(transformer.transform([str(other)]), found[1], atol=1e-6)
    (table,) = (tmp_path / "work" / "embeddings").iterdir()
    assert read_index(str(table)).rows == 3


def test_a_recording_is_embedded_once_whatever_it_is_asked_for_with(models, tmp_path, files):
    X = files[0]
    transformer = EmbeddingTransformer(list(models.values()), str(tmp_path / "work"))
    alone = EmbeddingTransformer(list(models.values()), str(tmp_path / "other")).transform(X)
    np.testing.assert_allclose(transformer.transform(X[2:6]), alone[2:6], atol=1e-6)
    (table,) = (tmp_path / "work" / "embeddings").iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in table.glob("part-*")}
    assert read_index(str(table)).rows == 4
    np.testing.assert_allclose(transformer.transform(X), alone, atol=1e-6)
    np.testing.assert_allclose(transformer.transform(X[::-3]), alone[::-3], atol=1e-6)
    assert read_index(str(table)).rows == len(X)
    after = {path.name: path.stat().st_mtime_ns for path in table.glob("part-*")}
    assert before.items() < after.items()


def test_a_row_is_never_missing(models, tmp_path, files):
    bad = tmp_path / "bad.wav"
    bad.write_text("no sound")
    X = files[0]
    transformer = EmbeddingTransformer([models["a"]], str(tmp_path / "work"))
    for given in ([str(bad)], [*X[:2], str(bad)], [*X[:2], str(bad)]):
        with pytest.raises(AudioError, match=r"1 of . recordings could not be used.*bad\.wav"):
            transformer.transform(given)
    assert transformer.transform(X[:3]).shape == (3, transformer.transform(X).shape[1])


def test_what_names_no_recordings_is_refused(corpus, models, tmp_path, files):
    transformer = EmbeddingTransformer([models["a"]], str(tmp_path / "work"))
    for X, said in (
        ([], r"shape \(N,\) or \(N, 1\)\. Got \(0,\)"),
        ([files[0][:2]], r"Got \(1, 2\)"),
        ([str(corpus)], r"Got '.*', which is none"),
    ):
        with pytest.raises(ConfigError, match=said):
            transformer.transform(X)
    with pytest.raises(ConfigError, match=r"a readout is 'state' or 'pooled'\. Got 'mean'"):
        AutoencoderTransformer(str(tmp_path / "work"), readout="mean").fit(files[0])
    assert not (tmp_path / "work").exists()
    with pytest.raises(ConfigError, match="models must be a list"):
        EmbeddingTransformer(models["a"], str(tmp_path / "work")).transform(files[0][:1])


def test_autoencoders_that_give_a_recording_no_vector_are_refused(tmp_path, files):
    windows = FrequencyAutoencoderConfig(num_units=4, window_bands=6, overlap_bands=1)
    frames = write_model(tmp_path / "f", n_mels=16, config=windows)
    chunks = write_model(tmp_path / "c", n_mels=16, units=4, chunk_seconds=0.1, chunk_count=2)
    for model, said in ((frames, "for each frame.*'pooled'"), (chunks, "2 chunks of a recording")):
        with pytest.raises(ConfigError, match=said):
            EmbeddingTransformer([model], str(tmp_path / "work")).transform(files[0])
    pooled = EmbeddingTransformer([frames], str(tmp_path / "work"), readout="pooled")
    assert pooled.transform(files[0][:2]).shape == (2, 2 * 4)


@pytest.mark.timeout(300)
def test_an_autoencoder_is_trained_as_a_step_of_a_pipeline_and_only_once(tmp_path, files, models):
    X, y = files
    view = SpectrogramConfig(
        window_seconds=0.08, overlap_seconds=0.04, n_mels=16, fixed_seconds=0.5, clip_below_db=-60
    )
    trained = AutoencoderTransformer(
        str(tmp_path / "work"),
        spectrogram=view,
        model=AutoencoderConfig(num_units=16),
        training=TrainingConfig(num_epochs=4, batch_size=8, learning_rate=0.01),
        readout="pooled",
    )
    given = EmbeddingTransformer([models["a"]], str(tmp_path / "work"), readout="pooled")
    pipeline = make_pipeline(
        FeatureUnion([("trained", trained), ("given", given)]), StandardScaler(), LinearSVC()
    )
    pipeline.fit(X, y)
    assert pipeline.score(X, y) > 0.9
    model = Path(pipeline[0].transformer_list[0][1].model_)
    before = (model / "config.json").stat().st_mtime_ns
    again = clone(trained).fit(X)
    assert Path(again.model_) == model
    assert (model / "config.json").stat().st_mtime_ns == before  # found, not trained again
    other = clone(trained).set_params(training=TrainingConfig(num_epochs=1, batch_size=8))
    assert Path(other.fit(X).model_) != model
    kept = pickle.loads(pickle.dumps(again))
    np.testing.assert_array_equal(kept.transform(X[:3]), again.transform(X[:3]))
    assert again.get_feature_names_out()[0] == "autoencodertransformer0"
    scores = cross_val_score(make_pipeline(given, StandardScaler(), LinearSVC()), X, y, cv=3)
    assert scores.shape == (3,)
