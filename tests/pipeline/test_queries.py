"""Queries of a search that are not like the recordings of the table: silent, of another rate."""

import numpy as np
import pytest
import soundfile
import soxr

from raudeep.config import ChunkConfig
from raudeep.errors import ConfigError
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.searching.nearest import find_nearest
from raudeep.pipeline.searching.queries import embed_query, vectors_of
from raudeep.schema import read_metadata, with_metadata
from raudeep.storage.index import read_index
from raudeep.storage.table import read_part, read_table
from raudeep.storage.writer import TableWriter
from tests.models import write_model

pytestmark = pytest.mark.usefixtures("decoding_here")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    settings = {"units": 16, "fixed_seconds": 0.5, "n_mels": 16, "sample_rates": (16000,)}
    return [write_model(tmp_path_factory.mktemp("models") / "a", **settings)]


def test_silence_in_a_query_is_near_to_nothing_unless_there_is_nothing_else(
    models, tmp_path, rng, caplog
):
    times = np.arange(8000) / 16000
    sounds = {"low": 300, "high": 3000}
    for name, frequency in sounds.items():
        tone = 0.5 * np.sin(2 * np.pi * frequency * times) + 0.01 * rng.standard_normal(8000)
        place = tmp_path / "corpus" / f"{name}.wav"
        place.parent.mkdir(exist_ok=True)
        soundfile.write(place, np.concatenate([np.zeros(8000), tone]), 16000)
    soundfile.write(tmp_path / "corpus" / "silence.wav", np.zeros(16000), 16000)
    manifest, _ = load_manifest(str(tmp_path / "corpus"), labelled=False)
    place = str(tmp_path / "chunks")
    embedder = Embedder(name="a", model=models[0], outputs={"state": place})
    embed_corpus(manifest, [embedder], chunks=ChunkConfig(chunk_seconds=0.5))
    query = embed_query(str(tmp_path / "corpus" / "low.wav"), place, models[:1])
    assert np.isnan(query).all(axis=1).tolist() == [True, False]
    found = find_nearest(place, query)
    assert (found["file"][0], found["query_chunk"][0], found["chunk"][0]) == ("low.wav", 1, 1)
    assert found["score"][1] < 0.999  # not the silence of another
    silence = embed_query(str(tmp_path / "corpus" / "silence.wav"), place, models[:1])
    assert np.isfinite(silence).all()
    assert (find_nearest(place, silence)["score"] > 0.999).all()
    assert "silence.wav holds no sound as the table was made" in caplog.messages[-1]
    np.testing.assert_allclose(vectors_of("low.wav", place), query, atol=1e-6)
    _without_what_it_says_of_silence(place)  # as an earlier version wrote it
    np.testing.assert_allclose(vectors_of("low.wav", place), query, atol=1e-6)
    (tmp_path / "corpus" / "low.wav").unlink()
    assert np.isfinite(vectors_of("low.wav", place)).all()
    assert "low.wav cannot be read, so its silent chunks count" in caplog.messages[-1]


def _without_what_it_says_of_silence(place):
    index = read_index(place)
    writer = TableWriter(place, index.identity)
    for number, part in enumerate(index.parts):
        rows = read_part(place, part.name)
        metadata = {k: v for k, v in read_metadata(rows.schema).items() if k != "silence"}
        kept = with_metadata(rows.schema, metadata).metadata
        writer.write(number, rows.replace_schema_metadata(kept))
    parts = len(index.parts)
    writer.commit(parts, recordings=index.recordings, ends=[parts])


def test_a_query_of_another_rate_is_resampled_where_that_is_asked_for(
    models, tmp_path, rng, caplog, cli
):
    sound = np.convolve(rng.standard_normal(8000), np.ones(8) / 16, "same")
    soundfile.write(tmp_path / "slow.wav", sound, 16000)
    fast = str(tmp_path / "fast.flac")
    soundfile.write(fast, soxr.resample(sound, 16000, 44100), 44100)
    manifest, _ = load_manifest(str(tmp_path / "slow.wav"), labelled=False)
    place, other = (str(tmp_path / name) for name in ("table", "other"))
    embed_corpus(manifest, [Embedder(name="a", model=models[0], outputs={"state": place})])
    rows = np.array(read_table(place)["embedding"].to_pylist())
    caplog.clear()
    plain = embed_query(fast, place, models)
    assert "`embed` and `search` with --sample-rate 16000 resample them." in caplog.messages[-1]
    caplog.clear()
    resampled = embed_query(fast, place, models, sample_rate=16000)
    assert caplog.messages == []
    near, far = (np.abs(vectors - rows).max() for vectors in (resampled, plain))
    assert near < 0.01 * far
    # A table that was made so makes its queries so, too.
    manifest, _ = load_manifest(fast, labelled=False)
    embedder = Embedder(name="a", model=models[0], outputs={"state": other})
    embed_corpus(manifest, [embedder], chunks=ChunkConfig(sample_rate=16000))
    np.testing.assert_allclose(embed_query(fast, other, models), resampled, atol=1e-6)
    assert read_index(other).config["sample_rate"] == 16000
    assert "sample_rate" not in read_index(place).config
    code, _, err = cli("search", place, "--recording", "slow.wav", "--sample-rate", "16000")
    assert (code, "--sample-rate, at least 1, is of a query. Got 16000." in err) == (1, True)
    with pytest.raises(ConfigError, match="'sample_rate' parameter of ChunkConfig"):
        ChunkConfig(sample_rate=0)
