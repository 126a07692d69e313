"""What is secret in URIs: used to read, and neither shown nor kept."""

import json
import pickle

import pyarrow as pa
import pytest
import soundfile

from raudeep.credentials import public_column, public_text, public_uri, public_values
from raudeep.errors import TableError
from raudeep.pipeline.corpus import load_manifest
from raudeep.pipeline.recordings.packing import pack_corpus
from raudeep.pipeline.tables.reading import read_table
from raudeep.sklearn import EmbeddingTransformer
from raudeep.storage import stores
from raudeep.storage import uri as uris
from raudeep.storage.plan_files import planned_uri
from raudeep.storage.recordings import packs_of, read_recording
from raudeep.storage.table import read_errors
from tests.models import write_model
from tests.sounds import RATE, tone
from tests.web import SECRETS, files_with_secrets, signed, web_server, with_password


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("https://h/a.wav?X-Amz-Signature=s&X-Amz-Expires=1", "https://h/a.wav"),
        ("HTTPS://h/a b.wav?sig=s", "HTTPS://h/a b.wav"),
        ("https://h?token=s", "https://h"),
        ("https://u:p@h:80/a.wav", "https://h:80/a.wav"),
        ("https://token@h/a.wav", "https://h/a.wav"),
        ("https://u:p@ss@h/a@b.wav", "https://h/a@b.wav"),
        ("https://u:pa/ss@h/a.wav", "https://h/a.wav"),
        ("https://u:p@h/pack/part-00000.parquet?sig=s#7", "https://h/pack/part-00000.parquet#7"),
        ("http://[::1]:80/a@b.wav", "http://[::1]:80/a@b.wav"),
        ("ftp://u:p@h/a.wav", "ftp://h/a.wav"),
        ("sftp://u@h/a.wav", "sftp://u@h/a.wav"),
        ("abfs://container@account/a.wav", "abfs://container@account/a.wav"),
        ("s3://bucket/what?.wav", "s3://bucket/what?.wav"),
        ("/here/a?b@c.wav", "/here/a?b@c.wav"),
        ("a://b?c", "a://b"),
        ("/strange://u:p@h?x", "/strange://u:p@h?x"),
    ],
)
def test_a_uri_is_shown_without_credentials(uri, shown):
    assert public_uri(uri) == shown
    assert public_column(pa.array([uri, None]))[0].as_py() == shown
    assert public_uri(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://h/a.wav?sig=s: no such file", "https://h/a.wav: no such file"),
        ("403, url='https://h/a.wav?a=1&b=s'.", "403, url='https://h/a.wav'."),
        ("is https://u:p@h/a b.wav?x=1. Why? Ask.", "is https://h/a b.wav. Why? Ask."),
        ("s3://b/x? and https://h/y?s (ftp://u:p@h)", "s3://b/x? and https://h/y (ftp://h)"),
        ("what?a=1", "what?a=1"),
    ],
)
def test_uris_in_a_text_are_shown_without_credentials(text, shown):
    assert public_text(text) == shown
    assert public_values({"a": [text, 1, None]}) == {"a": [shown, 1, None]}
    assert str(pickle.loads(pickle.dumps(TableError(text)))) == shown


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    for name in ("a", "b", "c", "d"):
        soundfile.write(folder / f"{name}.wav", tone(440).T, RATE)
    (folder / "bad.wav").write_bytes(b"no sound")
    return folder


@pytest.fixture(scope="module")
def host(sounds):
    with web_server(sounds) as host:
        yield host


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "m", units=8, n_mels=16)


def manifest(host, signature="oneSIGNATUREa7"):
    places = {
        "one": signed(host, "a.wav", signature),
        "two": with_password(host, "b.wav"),
        signed(host, "c.wav", signature): "",  # a URI as the name
        "bad": signed(host, "bad.wav", signature),
        "gone": signed(host, "gone.wav", signature),
        "refused": f"http://nobody:wrongPASSWORDc9@{host}/d.wav",
    }
    return "file,uri\n" + "".join(f"{file},{uri}\n" for file, uri in places.items())


def test_recordings_are_read_with_credentials_that_nothing_keeps(host, model, tmp_path, cli):
    corpus, out = tmp_path / "m.csv", tmp_path / "out"
    embed = ("embed", corpus, "--model", model, "--json", "--output", out / "embed")
    said = ""
    corpus.write_text(manifest(host))
    for command in (
        embed,
        ("extract", corpus, "--n-mels", "16", "--output", out / "extract"),
        ("inspect", corpus, "--json"),
        ("inspect", corpus, "--recording", "gone"),
    ):
        code, stdout, stderr = cli(*command)
        assert code == (command == ("inspect", corpus, "--json")), stderr  # which misses a file
        said += stdout + stderr
    corpus.write_text(manifest(host, "twoSIGNATUREb8"))  # which is no change
    code, stdout, stderr = cli(*embed)
    assert (code, "changed" in stderr) == (0, False), stderr
    (summary,) = json.loads(stdout)
    assert summary["reused"] == summary["parts"]
    assert not [secret for secret in SECRETS if secret in said + stdout + stderr], said
    assert files_with_secrets(out) == {}
    for table in (str(out / "embed"), str(out / "extract")):
        assert read_table(table)["file"].to_pylist() == ["one", "two", f"http://{host}/c.wav"]
        failed = {row["file"]: row for row in read_errors(table).to_pylist()}
        assert failed["gone"]["uri"] == f"http://{host}/gone.wav"
        assert failed["gone"]["message"] == f"there is no file http://{host}/gone.wav"
        assert f"http://{host}/d.wav" in failed["refused"]["message"]
    assert planned_uri(str(out / "embed"), "two") == f"http://{host}/b.wav"


def test_a_manifest_and_a_recording_may_be_signed_themselves(host, sounds, tmp_path, cli):
    (sounds / "m.csv").write_text(f"file\na.wav\n{signed(host, 'd.wav')}\n")
    for place in (signed(host, "m.csv"), with_password(host, "m.csv")):
        table, layout = load_manifest(place)
        assert layout == "manifest"
        assert table["file"].to_pylist() == ["a.wav", f"http://{host}/d.wav"]
    assert uris.file_size(table["uri"][0].as_py())  # with the password of the manifest
    for places in ([signed(host, "a.wav")], [signed(host, "a.wav"), signed(host, "b.wav")]):
        table, _ = load_manifest(places)
        assert table["uri"].to_pylist() == places
        assert table["file"].to_pylist() == ["a.wav", "b.wav"][: len(places)]
    assert uris.join(signed(host, "a"), "b") == signed(host, "a/b")
    code, out, _ = cli("inspect", signed(host, "a.wav"), "--json")
    assert (code, json.loads(out)["recordings"]) == (0, 1)
    for arguments, code, said in (
        (("inspect", signed(host, "nothing.csv"), "--debug"), 1, "no manifest at"),
        (("inspect", signed(host, "a.wav"), with_password(host, "b.wav")), 2, "Unused Tokens"),
    ):
        found, out, err = cli(*arguments)
        assert (found, said in err) == (code, True), err
        assert not [secret for secret in SECRETS if secret in out + err], err


def test_a_file_of_a_pack_may_be_signed(host, sounds):
    pack_corpus(load_manifest(str(sounds / "a.wav"))[0], str(sounds / "pack"))
    table, layout = load_manifest(signed(host, "pack/part-00000.parquet"))
    (place,) = table["uri"].to_pylist()
    assert (layout, table["file"].to_pylist()) == ("manifest", ["a.wav"])
    assert packs_of(table) == [signed(host, "pack/part-00000.parquet")]
    assert read_recording(place) == (sounds / "a.wav").read_bytes()


def test_transformers_name_recordings_without_credentials(host, model, tmp_path):
    transformer = EmbeddingTransformer([model], str(tmp_path / "out"))
    both = [signed(host, "a.wav"), with_password(host, "b.wav")]
    assert len(transformer.transform(both)) == 2
    assert len(transformer.transform([signed(host, "a.wav", "twoSIGNATUREb8")])) == 1
    assert files_with_secrets(tmp_path) == {}


def test_the_error_of_a_library_that_quotes_a_signature_is_no_cause(host):
    with (
        pytest.raises(OSError, match="no such object") as caught,
        stores.session(signed(host, "gone.wav")) as (system, path),
    ):
        system.cat_file(path)
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)
