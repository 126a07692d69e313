"""Every stage on an S3 store that answers over HTTP, refuses, stalls, or is not there."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from s3fs import S3FileSystem

from raudeep.config import AutoencoderConfig, SpectrogramConfig, TrainingConfig
from raudeep.errors import ConfigError, TableError
from raudeep.models.batching import Shard
from raudeep.pipeline.artifacts import delete_artifact, read_history
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.embedding import embed_corpus
from raudeep.pipeline.recordings.packing import pack_corpus
from raudeep.pipeline.recordings.spectrograms import extract_spectrograms
from raudeep.pipeline.recordings.targets import Embedder
from raudeep.pipeline.runtime.cluster import ensure_ray
from raudeep.pipeline.stage import embedding_array
from raudeep.pipeline.tables.reading import read_table
from raudeep.pipeline.training import runs
from raudeep.pipeline.training.data import read_training_data
from raudeep.storage import claim as claims
from raudeep.storage import stores
from raudeep.storage import uri as uris
from raudeep.storage.claim import claim, claimed
from raudeep.storage.identity import Identity
from raudeep.storage.index import read_index
from raudeep.storage.opening import open_table
from raudeep.storage.outputs import check_apart
from raudeep.storage.plan import extend_plan
from raudeep.storage.row_groups import row_groups
from raudeep.storage.verification import verify_table
from raudeep.storage.writer import TableWriter
from tests.models import write_model
from tests.s3 import FaultProxy, environment, moto_server, set_environment
from tests.support import run
from tests.unit.test_training_data import write as write_spectrograms
from tests.web import (
    SECRETS,
    SIGNATURES,
    arguments_with_secrets,
    files_with_secrets,
    secrets_in,
    signed,
    web_server,
    with_password,
)


@pytest.fixture(scope="module")
def port(corpus):
    """A store with the small corpus in the bucket ``audio``, and the empty bucket ``out``."""
    with moto_server() as port, pytest.MonkeyPatch.context() as patch:
        set_environment(patch, port)
        for bucket in ("audio", "out"):
            stores.connect(f"s3://{bucket}")[0].mkdir(bucket)
        for path in sorted(corpus.rglob("*.*")):
            if path.is_file():
                place = f"s3://audio/{path.relative_to(corpus).as_posix()}"
                uris.write_bytes(place, path.read_bytes())
        yield port


@pytest.fixture
def store(port, monkeypatch):
    set_environment(monkeypatch, port)


@pytest.fixture
def proxy(port, monkeypatch):
    """A proxy before the store, which every request of this test goes through."""
    proxies = []

    def make(**faults):
        proxies.append(FaultProxy(port, **faults))
        set_environment(monkeypatch, proxies[-1].port)
        return proxies[-1]

    yield make
    for each in proxies:
        each.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "model"
    return write_model(place, units=8, fixed_seconds=0.5, n_mels=16)


@pytest.fixture(scope="module")
def expected(corpus, model, tmp_path_factory):
    """What is embedded of the corpus on the local disc."""
    place = str(tmp_path_factory.mktemp("expected") / "table")
    embed(str(corpus), model, place)
    return read_table(place)


def embed(corpus, model, output):
    manifest, _ = load_manifest(corpus)
    (summary,) = embed_corpus(
        manifest, [Embedder(name="model", model=model, outputs={"state": output})]
    )
    return summary


def check(table, expected):
    assert table.drop_columns(["embedding"]).equals(expected.drop_columns(["embedding"]))
    np.testing.assert_allclose(embedding_array(table), embedding_array(expected), atol=1e-6)


def test_corpus_model_and_table_may_lie_in_a_store(store, model, expected):
    for path in sorted(Path(model).rglob("*")):
        if path.is_file():
            name = path.relative_to(model).as_posix()
            uris.write_bytes(f"s3://out/model/{name}", path.read_bytes())
    embed("s3://audio", "s3://out/model", "s3://out/table")
    check(read_table("s3://out/table"), expected)
    assert verify_table("s3://out/table") == []
    assert len(read_table("s3://out/table", form="polars")) == 25
    assert len(read_table("s3://out/table", form="duckdb").fetchall()) == 25


def test_an_object_that_was_replaced_is_reported(store, model, tmp_path, caplog):
    for name, content in (("a", "audio"), ("b", "other")):
        uris.write_bytes(f"s3://out/replaced/{name}.wav", content.encode())

    def plan(**settings):
        writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
        manifest, _ = load_manifest("s3://out/replaced", labelled=False)
        return extend_plan(writer, manifest, lambda _, **__: [(0, 2)], **settings)

    before = plan()
    writer = open_table(str(tmp_path / "table"), Identity("embeddings", {}))
    writer.write(0, pa.table({"file": ["a.wav", "b.wav"]}))
    uris.write_bytes("s3://out/replaced/a.wav", b"audio")
    assert plan().fingerprints == before.fingerprints
    assert caplog.text == ""
    uris.write_bytes("s3://out/replaced/a.wav", b"noise")
    plan()
    assert "1 recordings changed since they were computed, e.g. 'a.wav'" in caplog.text
    assert plan(overwrite=True).fingerprints != before.fingerprints


def test_a_model_is_deleted_with_nothing_else_of_its_prefix(store, model):
    place = "s3://out/to-be-deleted"
    kept = [f"{place}/notes.txt", f"{place}-too/config.json"]
    for path in filter(Path.is_file, Path(model).rglob("*")):
        uris.write_bytes(f"{place}/{path.relative_to(model).as_posix()}", path.read_bytes())
    for other in kept:
        uris.write_bytes(other, b"mine")
    delete_artifact(place)
    delete_artifact(place)
    assert list(uris.list_files(place)) == ["notes.txt"]
    assert [uris.read_bytes(other) for other in kept] == [b"mine"] * 2


def test_outputs_of_a_store_lie_beside_each_other(store):
    check_apart(["s3://out/a", "s3://out/a-b", "s3://audio/a"])
    with pytest.raises(ConfigError, match="s3://out/a/b lies in the output s3://out/a"):
        check_apart(["s3://out/a-b", "s3://out/a/b", "s3://out/a"])
    with pytest.raises(ConfigError, match="is the output s3://out/a"):
        check_apart(["s3://out/a", "s3://out/a/"])


def test_a_ray_that_was_started_without_credentials_reads_a_store(port, corpus, monkeypatch):
    for name in environment(port):
        monkeypatch.delenv(name)
    ensure_ray()
    set_environment(monkeypatch, port)
    pack_corpus(load_manifest("s3://audio")[0], "s3://out/for-ray")
    assert read_table("s3://out/for-ray", form="ray").count() == 25


def test_a_store_that_refuses_one_request_in_five_loses_nothing(proxy, model, expected):
    faulty = proxy(refuse_every=5)
    embed("s3://audio", model, "s3://out/refused")
    assert faulty.refused > 10
    check(read_table("s3://out/refused"), expected)


def test_a_store_that_stalls_is_asked_again(proxy, model, expected, monkeypatch):
    monkeypatch.setitem(stores._S3_SETTINGS, "read_timeout", 1)
    faulty = proxy(stall_every=20, stall_seconds=3)
    embed("s3://audio", model, "s3://out/stalled")
    assert faulty.stalled > 2
    check(read_table("s3://out/stalled"), expected)


def test_every_recording_is_fetched_once_and_none_when_all_is_done(proxy, model):
    faulty = proxy()
    embed("s3://audio", model, "s3://out/once")
    fetched = Counter(key for key in faulty.gets() if key.startswith("/audio/fold"))
    assert (len(fetched), set(fetched.values())) == (25, {1})
    faulty.requests.clear()
    summary = embed("s3://audio", model, "s3://out/once")
    assert summary.reused == summary.parts
    assert not [key for key in faulty.gets() if key.startswith("/audio/fold")]


def test_a_pack_takes_fewer_requests_than_its_recordings(proxy, model, expected):
    faulty = proxy()
    pack_corpus(load_manifest("s3://audio")[0], "s3://out/pack")
    faulty.requests.clear()
    embed("s3://out/pack", model, "s3://out/packed")
    check(read_table("s3://out/packed"), expected)
    fetched = [key for key in faulty.gets() if "/pack/part-" in key]
    assert 0 < len(fetched) < 25


def test_a_streamed_table_takes_one_request_for_each_row_group(proxy, corpus):
    manifest, _ = load_manifest(str(corpus))
    table = "s3://out/streamed"
    view = SpectrogramConfig(window_seconds=0.064, overlap_seconds=0.032, n_mels=16)
    extract_spectrograms(manifest, {"view": view}, {"view": table})
    counting = proxy()
    data = read_training_data([table], TrainingConfig(in_memory_gb=0))
    counting.requests.clear()
    shard = Shard(0, 1, torch.device("cpu"))
    rows = [batch.num_rows for batch in data.spectrograms.shuffled(1, 5, 0, shard)]
    assert rows == [5] * 5
    assert len(counting.gets()) == len(row_groups(table)) > 2


def test_a_training_takes_fewer_requests_than_its_epochs(proxy, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_SAVE_SECONDS", 1000.0)
    write_spectrograms(tmp_path / "table", np.random.default_rng(0), frames=5)
    counting = proxy()
    training = runs.Run(
        name="model",
        spectrograms=(str(tmp_path / "table"),),
        output="s3://out/trained",
        model=AutoencoderConfig(num_units=4, num_layers=1),
        training=TrainingConfig(num_epochs=60),
    )
    runs.train_autoencoders([training], checkpoints="s3://out/runs")
    assert len(counting.requests) < 60
    assert len(read_history(training.output)) == 60


@pytest.mark.parametrize(
    ("settings", "place", "said"),
    [
        ({}, "s3://no-such-bucket/table", "there is no such"),
        ({}, "s3://out/nothing", "there is no such"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://audio", "Could not connect"),
        (
            {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None},
            "s3://audio",
            "there are no credentials. Check AWS_ACCESS_KEY_ID",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_place(store, monkeypatch, settings, place, said, cli):
    for name, value in settings.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    code, _, stderr = cli("inspect", place)
    assert (code, stderr.count("\n")) == (1, 1)
    assert place in stderr
    assert said in stderr


def test_an_output_in_no_bucket_is_refused_before_anything_is_computed(store, model):
    with pytest.raises(TableError, match=r"s3://no-such-bucket/table cannot be written"):
        embed("s3://audio", model, "s3://no-such-bucket/table")


def test_a_denied_key_is_said_with_what_to_check(store, monkeypatch):
    def denied(*arguments, **settings):
        raise PermissionError("Access Denied")

    monkeypatch.setattr(stores.connect("s3://out")[0], "pipe_file", denied)
    with pytest.raises(TableError, match=r"s3://out/x: access was denied .*AWS_ACCESS_KEY_ID"):
        uris.write_bytes("s3://out/x", b"")


def test_the_option_of_the_endpoint_counts_before_the_environment(port, monkeypatch, cli):
    set_environment(monkeypatch, port)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")  # where nobody listens
    endpoint = environment(port)["AWS_ENDPOINT_URL"]
    code, stdout, stderr = cli("inspect", "s3://audio", "--json", "--endpoint-url", endpoint)
    assert code == 0, stderr
    assert json.loads(stdout)["recordings"] == 25


def test_a_public_bucket_is_read_without_credentials(port, monkeypatch):
    set_environment(monkeypatch, port)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    code, stdout, stderr = run("inspect", "s3://audio", "--json", "--anonymous")
    assert code == 0, stderr
    assert json.loads(stdout)["recordings"] == 25


@pytest.fixture
def short_folder():
    """A temporary folder in which the names of Ray's sockets are not too long."""
    with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def signed_manifest(host, signature):
    """The corpus as a manifest of places in the store, signed ones, and ones with a password."""
    manifest, _ = load_manifest("s3://audio")
    lines = ["file,label,folds,uri"]
    for number, row in enumerate(manifest.to_pylist()):
        places = row["uri"], signed(host, row["file"], signature), with_password(host, row["file"])
        roles = " ".join(map(str, row["folds"]))
        lines.append(f"{row['file']},{row['label']},{roles},{places[number % 3]}")
    return "\n".join(lines)


@pytest.mark.timeout(1200)
def test_the_main_job_runs_with_everything_in_a_store(store, recipe, corpus, short_folder):
    """Corpus, tables, checkpoints, models and reports; then again, which computes nothing.

    The spectrograms are streamed into the training. What is secret stands nowhere: not in an
    output, a temporary file, a log of Ray's or an argument of a process.
    """
    keys = {"AWS_SECRET_ACCESS_KEY": "AWSKEYd4", "WANDB_API_KEY": "WANDBKEYe5"}
    keys["RAY_AUTH_TOKEN"] = "f6" * 32
    secrets = (*SECRETS, *keys.values())
    place = "s3://out/signed.csv"
    command = ("benchmark", recipe, "--corpus", place, "--output", "s3://out/benchmark")
    command += ("--training.in-memory-gb", "0", "--training.num-epochs", "2", "--json")
    command += ("--resources.cpus-per-worker", "2")  # a training of one core is too short for Ray
    said, found = [], []
    with web_server(corpus) as host, arguments_with_secrets(secrets) as arguments:
        for signature in sorted(SIGNATURES):
            uris.write_bytes(place, signed_manifest(host, signature).encode())
            code, stdout, stderr = run(*command, TMPDIR=str(short_folder), **keys)
            assert code == 0, stderr
            said.append(stdout + stderr)
            found.append(json.loads(stdout))
    results, again = found
    assert {row["embedding"] for row in results["scores"]} == {"30db", "60db", "fused"}
    assert again["scores"] == results["scores"]
    assert all(row["reused"] == row["parts"] for row in again["stages"])
    files = uris.list_files("s3://out/benchmark")
    for name in (
        "results.json",
        "report.html",
        "manifest/__raudeep__/index.json",
        "models/30db/config.json",
    ):
        assert name in files, sorted(files)
    for name in files:
        assert secrets_in(name, uris.read_bytes(f"s3://out/benchmark/{name}"), secrets) == [], name
    assert files_with_secrets(short_folder, secrets) == {}
    assert [secret for secret in secrets if secret in "".join(said)] == []
    assert arguments == []
    assert list(short_folder.glob("ray/session_2*/logs/*.log"))  # where it was looked


def test_of_two_runs_that_begin_at_one_moment_in_a_store_one_creates_the_claim(store, monkeypatch):
    """Each looks for the claim, and for the object, before the other has written it."""
    place = "s3://out/claimed"
    one, two = (Identity("embeddings", {"readout": name}) for name in ("state", "pooled"))
    claim(place, one)
    looked = []

    def look(uri, **options):
        looked.append(uri)
        return claimed(uri, **options) if len(looked) > 1 else None

    monkeypatch.setattr(claims, "claimed", look)
    monkeypatch.setattr(S3FileSystem, "exists", lambda *_, **__: False)
    with pytest.raises(TableError, match="readout is 'state' there and 'pooled' now"):
        claim(place, two)
    claim(place, one)
    assert claimed(place) == one
    writer = open_table(place, two, overwrite=True)
    with pytest.raises(TableError, match="readout is 'pooled' there and 'state' now"):
        TableWriter(place, one).commit(0)
    assert writer.missing(1) == [0]


def test_files_of_a_table_of_an_earlier_version_move_in_a_store(store):
    older = Path(__file__).parents[1] / "fixtures" / "older" / "embeddings"
    place = "s3://out/older"
    for file in older.iterdir():
        uris.write_bytes(uris.join(place, file.name), file.read_bytes())
    expected = read_table(str(older))
    assert read_table(place).equals(expected)
    open_table(place, read_index(place).identity)
    assert "errors-00008.parquet" not in uris.list_files(place)
    assert read_table(place).equals(expected)
    assert verify_table(place) == []
