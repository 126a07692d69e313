"""Embedding straight from audio: chunks, fusion, what is new, what is bad, what it costs."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import soundfile

from raudeep.config import ChunkConfig, Limits, SpectrogramConfig
from raudeep.errors import AudioError, ConfigError, FusionError, ResourceError, TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline import costs, stage
from raudeep.pipeline.artifacts import load_autoencoder
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings import embedding, planning
from raudeep.pipeline.recordings.decoding import load_views
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.planning import plan_embedding, plan_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.runtime import streaming
from raudeep.pipeline.runtime.cluster import Node, Resources
from raudeep.pipeline.stage import embedding_array
from raudeep.pipeline.tables.fusing import fuse_tables
from raudeep.storage.index import read_index
from raudeep.storage.plan_files import read_plans
from raudeep.storage.table import read_errors, read_table
from tests.models import write_model, write_two_models
from tests.poison import views_or_die

RATE = 16000
OVERLAPPING = ChunkConfig(chunk_seconds=0.5, chunk_hop_seconds=0.2)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two small autoencoders, the second of which is wider."""
    return write_two_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def copy(corpus, tmp_path):
    """The small corpus, to be changed."""
    shutil.copytree(corpus, tmp_path / "corpus")
    return tmp_path / "corpus"


def embed(corpus, model, output, **settings):
    manifest = (
        corpus if isinstance(corpus, pa.Table) else load_manifest(str(corpus), labelled=False)[0]
    )
    embedder = Embedder(name="a", model=model, outputs={"state": str(output)})
    (summary,) = embed_corpus(manifest, [embedder], **settings)
    return summary


def noise(folder, seconds, rng):
    """Write recordings of these lengths."""
    folder.mkdir()
    for number, length in enumerate(seconds):
        samples = 0.3 * rng.standard_normal(int(length * RATE))
        soundfile.write(folder / f"{number}.flac", samples, RATE)
    return folder


def test_chunks_are_embedded_as_if_each_was_a_recording(models, tmp_path, rng):
    folder = noise(tmp_path / "long", [1.25, 0.5, 0.3, 2.0], rng)
    embed(folder, models["a"], tmp_path / "table", chunks=OVERLAPPING)
    rows = read_table(str(tmp_path / "table"))
    keys = rows.select(["file", "chunk", "start", "end"]).to_pydict()
    starts = [0.0, 0.2, 0.4, 0.6, 0.8]
    assert keys["file"] == ["0.flac"] * 5 + ["1.flac", "2.flac"] + ["3.flac"] * 9
    assert keys["chunk"] == [*range(5), 0, 0, *range(9)]
    assert keys["start"][:7] == pytest.approx([*starts, 0, 0])
    assert keys["end"][:7] == pytest.approx([*(s + 0.5 for s in starts[:4]), 1.25, 0.5, 0.3])

    cuts = tmp_path / "cuts"
    cuts.mkdir()
    for number, row in enumerate(zip(*keys.values(), strict=True)):
        file, _, begin, end = row
        samples, _ = soundfile.read(folder / file, dtype="int16")
        piece = samples[round(begin * RATE) : round(end * RATE)]
        soundfile.write(cuts / f"{number:02d}.wav", piece, RATE)
    embed(cuts, models["a"], tmp_path / "alone")
    alone = embedding_array(read_table(str(tmp_path / "alone")))
    np.testing.assert_allclose(embedding_array(rows), alone, atol=1e-5)


@pytest.mark.parametrize("sample_rate", [None, 22050])
def test_a_fixed_length_makes_no_chunk_of_what_is_shorter_than_a_window(tmp_path, rng, sample_rate):
    """Of one window, which is 0.08 s here, there is a chunk."""
    folder = noise(tmp_path / "clips", [0.3, 2.001, 2.0799, 2.08], rng)
    recordings = load_manifest(str(folder), labelled=False)[0].to_pylist()
    found = []
    for fixed in (None, 5.0):
        view = SpectrogramConfig(sample_rate=sample_rate, window_seconds=0.08, fixed_seconds=fixed)
        cut = partial(load_views, views={"a": view}, chunks=ChunkConfig(chunk_seconds=1.0))
        found.append([[(c.start, c.end) for p in cut(row) for c in p["a"]] for row in recordings])
    whole = [(0.0, 1.0), (1.0, 2.0)]
    assert found == [[[(0.0, 0.3)], whole, whole, [*whole, (2.0, 2.08)]]] * 2


def test_models_are_fused_in_the_pass_that_embeds(corpus, models, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    places = {name: str(tmp_path / name) for name in models}
    for name, model in models.items():
        embed(manifest, model, places[name])
    fuse_tables(places, str(tmp_path / "later"))
    embedders = [Embedder(name=name, model=model) for name, model in models.items()]
    (summary,) = embed_corpus(manifest, embedders, fused={"state": str(tmp_path / "fused")})
    fused, later = (read_table(str(tmp_path / name)) for name in ("fused", "later"))
    assert summary.rows == 25
    assert fused.drop_columns(["embedding"]).equals(later.drop_columns(["embedding"]))
    np.testing.assert_allclose(embedding_array(fused), embedding_array(later), atol=1e-6)


def test_chunks_of_other_lengths_are_not_fused(corpus, tmp_path):
    """Although there are as many of them."""
    manifest, _ = load_manifest(str(corpus))
    embedders = []
    for name, seconds in (("a", 0.4), ("b", 0.15)):
        view = {"fixed_seconds": 1.0, "chunk_seconds": seconds, "chunk_count": 2}
        model = write_model(tmp_path / name, units=8, n_mels=16, **view)
        embedders.append(
            Embedder(name=name, model=model, outputs={"state": str(tmp_path / f"table-{name}")})
        )
    with pytest.raises(TableError, match="'b' cuts recordings into other chunks than 'a'"):
        embed_corpus(manifest, embedders, fused={"state": str(tmp_path / "fused")})
    embed_corpus(manifest, embedders)
    tables = {each.name: each.outputs["state"] for each in embedders}
    with pytest.raises(FusionError, match=r"is cut into other chunks, 0\.0 to 0\.\d+ s"):
        fuse_tables(tables, str(tmp_path / "later"))


def test_what_no_table_can_have_is_refused(corpus, models, tmp_path):
    place = {"mean": str(tmp_path / "out")}
    with pytest.raises(ConfigError, match=r"a readout is 'state' or 'pooled'\. Got 'mean'"):
        Embedder(name="a", model=models["a"], outputs=place)
    with pytest.raises(ConfigError, match=r"'a' is a column of its outputs\. Got none"):
        Embedder(name="a", model=models["a"], reconstruction_rmse=True)
    manifest, _ = load_manifest(str(corpus))
    embedders = [Embedder(name=name, model=model) for name, model in models.items()]
    with pytest.raises(ConfigError, match=r"Got 'mean'"):
        embed_corpus(manifest, embedders, fused=place)
    assert not (tmp_path / "out").exists()


def test_embedders_of_one_name_are_refused(corpus, models, tmp_path):
    manifest, _ = load_manifest(str(corpus))

    def embedder(name, output):
        return Embedder(name=name, model=models["a"], outputs={"state": str(tmp_path / output)})

    with pytest.raises(ConfigError, match=r"a name of its own.* Got 'x' more than once"):
        embed_corpus(manifest, [embedder("x", "1"), embedder("x", "2")])
    fused = {"state": str(tmp_path / "all")}
    with pytest.raises(ConfigError, match="Got 'fused' more than once"):
        embed_corpus(manifest, [embedder("x", "1"), embedder("fused", "2")], fused=fused)
    assert list(tmp_path.iterdir()) == []


def test_new_recordings_are_new_parts_and_old_ones_are_not_read_again(copy, models, tmp_path):
    output = tmp_path / "table"
    first = embed(copy, models["a"], output)
    parts = {path.name: path.stat().st_mtime_ns for path in output.glob("part-*")}
    before = read_table(str(output))
    old = [path for path in copy.rglob("*.*") if path.is_file()]
    added = sorted(path.with_stem(f"new-{path.stem}") for path in old[:3])
    for path in added:
        shutil.copy(old[0], path)
    manifest, _ = load_manifest(str(copy))
    for path in old:
        path.unlink()  # whoever reads them again finds nothing
    second = embed(manifest, models["a"], output)
    assert (second.rows, second.errors, second.reused) == (28, 0, first.parts)
    after = read_table(str(output))
    assert after.slice(0, 25).equals(before)
    new = [path.relative_to(copy).as_posix() for path in added]
    assert after["file"].to_pylist()[25:] == new
    assert all((output / name).stat().st_mtime_ns == when for name, when in parts.items())
    third = embed(manifest, models["a"], output)
    assert (third.parts, third.reused) == (second.parts, second.parts)
    assert len(read_plans(str(output))) == 2


@pytest.fixture
def damaged(copy):
    """The small corpus with four bad recordings."""
    odd = copy / "fold_1" / "hum"
    (odd / "empty.wav").write_bytes(b"")
    (odd / "text.wav").write_text("no audio")
    soundfile.write(odd / "long.wav", np.ones(20 * RATE), RATE)
    whole = (odd / "hum-000.wav").read_bytes()
    (odd / "truncated.wav").write_bytes(whole[:20])
    return copy


def test_bad_recordings_are_errors_and_all_others_rows(damaged, models, tmp_path):
    output = tmp_path / "table"
    manifest, _ = load_manifest(str(damaged))
    vanished = next(file for file in manifest["file"].to_pylist() if file.startswith("fold_2/hum"))
    (damaged / vanished).unlink()
    summary = embed(manifest, models["a"], output, limits=Limits(max_duration=10))
    errors = {row["file"]: row["message"] for row in read_errors(str(output)).to_pylist()}
    names = ("empty.wav", "long.wav", "text.wav", "truncated.wav")
    assert sorted(errors) == [*(f"fold_1/hum/{name}" for name in names), vanished]
    assert "lasts 20 s, longer than max_duration=10 s" in errors["fold_1/hum/long.wav"]
    assert (summary.rows, summary.errors) == (24, 5)
    assert set(read_table(str(output))["file"].to_pylist()).isdisjoint(errors)


@pytest.mark.parametrize(
    ("max_errors", "passes"), [("3", True), ("2", False), ("11%", True), ("10%", False)]
)
def test_a_run_fails_once_more_recordings_are_bad_than_may_be(
    damaged, models, tmp_path, max_errors, passes
):
    output, limits = tmp_path / "table", Limits(max_errors=max_errors)
    if passes:
        assert embed(damaged, models["a"], output, limits=limits).errors == 3
        return
    with pytest.raises(AudioError, match=rf"--max-errors is {max_errors}"):
        embed(damaged, models["a"], output, limits=limits)


def test_recordings_that_failed_are_tried_again_where_they_changed_or_when_asked_for(
    damaged, models, tmp_path
):
    output = tmp_path / "table"
    assert embed(damaged, models["a"], output).errors == 3
    for name in ("empty", "truncated"):
        shutil.copy(damaged / "fold_1/hum/hum-000.wav", damaged / f"fold_1/hum/{name}.wav")
    manifest, _ = load_manifest(str(damaged))
    again = embed(manifest, models["a"], output)
    assert (again.errors, again.rows) == (1, 28)
    assert 0 < again.reused < again.parts
    same = embed(manifest, models["a"], output)
    assert (same.errors, same.reused) == (1, same.parts)
    asked = embed(manifest, models["a"], output, limits=Limits(retry_errors=True))
    assert (asked.errors, asked.rows) == (1, 28)
    assert 0 < asked.reused < asked.parts


def test_a_retry_that_computes_other_audio_is_another_table(
    damaged, models, tmp_path, caplog, monkeypatch
):
    """A recording that was good, and changed, is computed with the bad one of its slice again."""
    monkeypatch.setattr(stage, "_MIN_SLICES", 4)
    output = str(tmp_path / "table")
    embed(damaged, models["a"], output)
    before = read_index(output)
    bad = set(read_errors(output)["file"].to_pylist())
    plan = read_plans(output)[0].recordings.to_pydict()
    parts = dict(zip(plan["file"], plan["part"], strict=True))
    failed = {parts[file] for file in bad}
    other = next(file for file in parts if parts[file] in failed and file not in bad)
    audio, rate = soundfile.read(damaged / other)
    soundfile.write(damaged / other, audio[: len(audio) // 2], rate)
    manifest, _ = load_manifest(str(damaged))
    embed(manifest, models["a"], output, limits=Limits(retry_errors=True))
    assert "changed" not in caplog.text
    assert read_index(output).num_errors == before.num_errors
    assert read_index(output).fingerprint != before.fingerprint


def test_tables_that_are_cut_in_other_ways_are_all_whole(corpus, models, tmp_path, monkeypatch):
    """Two that were planned for rows of other sizes, and then are made in one run."""
    clips = load_manifest(str(corpus))[0].to_pylist()
    names = [(f"{number:02d}", clips[number % 25]["uri"]) for number in range(64)]
    manifest = manifest_table([Recording(file=name, uri=uri) for name, uri in names])
    places = {name: str(tmp_path / name) for name in models}
    embed(manifest, models["a"], places["a"])
    for name in ("__raudeep__/index.json", "part-00003.parquet"):
        Path(places["a"], name).unlink()
    monkeypatch.setattr(embedding, "_BYTES_PER_ROW", 2**27)
    embedders = [
        Embedder(name=name, model=model, outputs={"state": places[name]})
        for name, model in models.items()
    ]
    summaries = embed_corpus(manifest, embedders)
    assert summaries[0].parts != summaries[1].parts
    assert [summary.rows for summary in summaries] == [64, 64]
    for place in places.values():
        assert sorted(read_table(place)["file"].to_pylist()) == manifest["file"].to_pylist()


@pytest.mark.parametrize("seconds_to_start", [15.0, 0.0], ids=["decoders", "Ray's workers"])
def test_a_recording_that_kills_its_process_is_an_error(
    corpus, models, tmp_path, monkeypatch, seconds_to_start
):
    monkeypatch.setattr(streaming, "_START_SECONDS", seconds_to_start)
    monkeypatch.setattr(streaming, "_WORKER_SECONDS", seconds_to_start)
    manifest, _ = load_manifest(str(corpus))
    poison = manifest["file"][7].as_py()
    monkeypatch.setattr(embedding, "load_views", partial(views_or_die, poison=poison))
    summary = embed(manifest, models["a"], tmp_path / "table")
    (error,) = read_errors(str(tmp_path / "table")).to_pylist()
    assert (error["file"], summary.rows) == (poison, 24)
    assert error["message"] == "killed the process that decodes it, 3 times (signal SIGKILL)"


def test_workers_of_ray_make_the_same_table(damaged, models, tmp_path, monkeypatch):
    limits = Limits(max_duration=10)
    embed(damaged, models["a"], tmp_path / "here", limits=limits)
    monkeypatch.setattr(streaming, "_START_SECONDS", 0.0)
    monkeypatch.setattr(streaming, "_WORKER_SECONDS", 0.0)
    embed(damaged, models["a"], tmp_path / "there", limits=limits)
    here, there = (read_table(str(tmp_path / name)) for name in ("here", "there"))
    assert here.drop_columns(["embedding"]).equals(there.drop_columns(["embedding"]))
    np.testing.assert_allclose(embedding_array(here), embedding_array(there), atol=1e-6)
    errors = [read_errors(str(tmp_path / name)) for name in ("here", "there")]
    assert errors[0].equals(errors[1])
    fingerprints = {read_index(str(tmp_path / n)).fingerprint for n in ("here", "there")}
    assert len(fingerprints) == 1


def test_a_plan_says_what_a_run_would_do_and_does_nothing(corpus, models, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    output = tmp_path / "table"
    embedder = Embedder(name="a", model=models["a"], outputs={"state": str(output)})
    plan = plan_embedding(manifest, [embedder], chunks=OVERLAPPING)
    assert not output.exists()
    summary = embed(manifest, models["a"], output, chunks=OVERLAPPING)
    assert (plan["recordings"], plan["parts"]) == (25, summary.parts)
    assert plan["rows"] == pytest.approx(summary.rows, rel=0.1)  # from sizes, of several formats
    values = embedding_array(read_table(str(output)))
    assert plan["output_bytes"] == plan["rows"] * values[0].nbytes
    assert plan["hours"] * 3600 == pytest.approx(25 * 1.0, rel=0.5)
    assert 0 < plan["estimated_seconds"] < 60
    assert plan["sampled"]["unreadable"] == 0


def test_a_plan_refuses_an_output_that_the_run_refuses(corpus, models, tmp_path):
    manifest, _ = load_manifest(str(corpus))
    place = str(tmp_path / "table")
    embed(manifest, models["a"], place)
    before = read_table(place)
    embedder = Embedder(name="a", model=models["a"], outputs={"pooled": place})
    for refuses in (plan_embedding, embed_corpus):
        with pytest.raises(TableError, match="readout is 'state' there and 'pooled' now"):
            refuses(manifest, [embedder])
    plan_embedding(manifest, [embedder], overwrite=True)
    assert read_table(place).equals(before)
    view = {"view": load_autoencoder(models["a"]).spectrogram}
    with pytest.raises(TableError, match="is a table of embeddings"):
        plan_spectrograms(manifest, view, place)


def test_what_does_not_fit_is_refused_with_a_way_out(corpus, models, tmp_path, monkeypatch):
    manifest, _ = load_manifest(str(corpus))
    view = {"view": load_autoencoder(models["a"]).spectrogram}
    small = Resources((Node(cpus=2, gpus=0, memory=2**28),))
    monkeypatch.setattr(planning, "find_resources", lambda: small)
    with pytest.raises(ResourceError, match=r"Pass --chunk-seconds .* or --max-duration"):
        plan_spectrograms(manifest, view, str(tmp_path / "table"))
    monkeypatch.undo()
    full = type("Usage", (), {"free": 10})()
    monkeypatch.setattr(costs.shutil, "disk_usage", lambda place: full)
    with pytest.raises(ResourceError, match="Choose another output"):
        plan_spectrograms(manifest, view, str(tmp_path / "table"))


def test_a_store_that_is_away_ends_the_run_and_no_row_is_called_bad(models, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    manifest = manifest_table([Recording(file="a.wav", uri="s3://nowhere/a.wav")])
    with pytest.raises(TableError, match=r"s3://nowhere/a.wav cannot be read, and may be good"):
        embed(manifest, models["a"], tmp_path / "table")
    assert not list((tmp_path / "table").glob("__raudeep__/errors-*"))
