"""A URI that cannot be read costs one recording; a store that answers nobody stops a run."""

import errno
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pyarrow as pa
import pytest

from raudeep.errors import AudioError, TableError
from raudeep.manifest import Recording, manifest_table
from raudeep.pipeline.recordings.packing import pack_corpus
from raudeep.pipeline.recordings.reachable import Needs, Places, needed_stores
from raudeep.storage import stores
from raudeep.storage import uri as uris
from raudeep.storage.table import read_errors, read_table

pytestmark = pytest.mark.long

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def web(monkeypatch):
    """A server that gives ``/good``, at the third time ``/late``, never ``/broken``, ``/loop``."""
    monkeypatch.setattr(stores, "_WEB_WAITS", (0.01, 0.01))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            status = {"/broken": 500, "/loop": 302, "/good": 200}.get(self.path, 404)
            if self.path == "/late":
                status = 200 if asked.count(self.path) > 2 else 503
            self.send_response(503 if server.is_down else status)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "4")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(b"good")

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.is_down, server.asked = False, asked
        server.place = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def error_of(uri):
    with pytest.raises(OSError, match=r".") as caught:
        uris.read_bytes(uri)
    return caught.value


def test_a_server_that_cannot_answer_now_is_asked_again(web):
    assert uris.read_bytes(f"{web.place}/late") == b"good"
    web.asked.clear()
    with uris.open_file(f"{web.place}/late") as file:
        assert file.read() == b"good"
    web.asked.clear()
    assert isinstance(error_of(f"{web.place}/broken"), stores.StoreError)
    assert web.asked == ["/broken"] * 3
    for path, said in (("loop", "without end"), ("nothing", "no such object")):
        web.asked.clear()
        error = error_of(f"{web.place}/{path}")
        assert not isinstance(error, stores.StoreError)
        assert said in str(error)
    assert web.asked == ["/nothing"]


def test_a_server_that_takes_long_to_say_nothing_is_asked_once(web, monkeypatch):
    monkeypatch.setattr(stores, "_WEB_PATIENCE", 0)
    error_of(f"{web.place}/broken")
    assert web.asked == ["/broken"]


def test_a_uri_is_to_blame_where_its_store_answers(web):
    known = Places(Needs([web.place]))
    bad = f"{web.place}/broken"
    known.check(bad, error_of(bad))  # the root of the server answers
    known.check(f"{web.place}/good", None)
    known.check(bad, error_of(bad))
    web.is_down = True
    with pytest.raises(TableError, match=r"/broken cannot be read, and may be good: .* same comm"):
        known.check(bad, error_of(bad))


def test_a_store_that_has_answered_must_go_on_to_do_so(web):
    known = Places(Needs())
    missing = f"{web.place}/nothing"
    known.check(missing, error_of(missing))
    web.is_down = True
    with pytest.raises(TableError, match="may be good"):
        known.check(missing, error_of(missing))


@pytest.mark.parametrize("uri", [f"{NOBODY}/a.wav", "nosuch://bucket/a.wav", f"{NOBODY}/x.parquet"])
def test_a_store_that_never_answers_is_given_up_unless_it_is_needed(web, uri, monkeypatch):
    error = error_of(uri)
    with pytest.raises(TableError, match="may be good"):
        Places(Needs([stores.store_of(uri)])).check(uri, error)
    known = Places(Needs())
    known.check(uri, error)
    monkeypatch.setattr(stores, "asked", None)
    known.check(uri, error)  # and not asked again


def test_errors_of_the_stage_and_of_the_machine_stop_a_run():
    known = Places(Needs())
    known.check("/a.wav", AudioError("is empty"))
    known.check("/a.wav", FileNotFoundError(errno.ENOENT, "none"))
    with pytest.raises(TableError, match=r"may be good: .*Too many open files"):
        known.check("/a.wav", OSError(errno.EMFILE, "Too many open files"))
    with pytest.raises(TableError, match="the disc is full"):
        known.check("/a.wav", TableError("the disc is full"))


@pytest.mark.parametrize(
    ("places", "needed"),
    [
        ([], []),
        (["/a", "b"], []),
        (["s3://b/x"], ["s3://b"]),
        (["s3://b/x", "/a"], []),
        (["s3://b/x", "s3://b/y?z", "/a", "/b"], ["s3://b"]),
        (["http://u:p@h:1/x", "http://h:1", "s3://b/y"], ["http://h:1"]),
        (["s3://a/x", "s3://a/x", "s3://b/y", "s3://b/y", "/a"], []),
    ],
)
def test_stores_of_most_recordings_are_needed(places, needed):
    assert needed_stores(pa.chunked_array([places], pa.string())) == needed


def manifest(*places):
    named = [Recording(file=f"{number}", uri=uri) for number, uri in enumerate(places)]
    return manifest_table(named)


def test_impossible_uris_are_rows_of_the_errors(web, tmp_path):
    good, local = f"{web.place}/good", tmp_path / "a.wav"
    local.write_bytes(b"local")
    bad = [
        *(f"{web.place}/{name}" for name in ("broken", "loop", "nothing")),
        *("nosuch://bucket/a.wav", "http://[/a.wav", f"{NOBODY}/a.wav", f"{NOBODY}/a.parquet#3"),
    ]
    output = str(tmp_path / "pack")
    pack_corpus(manifest(good, *bad, str(local), good, f"{web.place}/late"), output)
    assert sorted(read_table(output, columns=["file"])["file"].to_pylist()) == ["0", "10", "8", "9"]
    assert sorted(read_errors(output)["file"].to_pylist()) == ["1", "2", "3", "4", "5", "6", "7"]


def test_a_store_of_all_recordings_that_answers_nobody_stops_the_run(tmp_path):
    uri = "nosuch://bucket/a.wav"
    with pytest.raises(TableError, match="cannot be read, and may be good"):
        pack_corpus(manifest(uri, f"{uri}x"), str(tmp_path / "pack"))
    with suppress(TableError):
        assert not read_errors(str(tmp_path / "pack")).num_rows
