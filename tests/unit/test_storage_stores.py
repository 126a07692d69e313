"""Stores: how they are connected to, what their errors mean, and one writer of an object."""

import errno
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from fsspec.implementations.memory import MemoryFileSystem

from raudeep.errors import TableError
from raudeep.storage import stores
from raudeep.storage import uri as uris


def test_unknown_scheme_is_one_error():
    with pytest.raises(TableError, match=r"'nosuch://bucket/a' cannot be opened: .*nosuch"):
        stores.connect("nosuch://bucket/a")


def test_a_store_that_cannot_be_connected_to_is_no_missing_file(memory, monkeypatch):
    def refuse(*_, **__):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    monkeypatch.setattr(stores.fsspec, "filesystem", refuse)
    with pytest.raises(stores.StoreError, match=r"memory://.* does not answer .*refused"):
        uris.read_bytes(uris.join(memory, "a.wav"))


def test_a_scheme_that_needs_more_than_the_uri_says_is_one_error():
    with pytest.raises(stores.StoreError, match=r"'github://a/b.wav' cannot be opened: "):
        uris.read_bytes("github://a/b.wav")


def test_storage_without_credentials_is_a_table_error(memory, monkeypatch):
    def refuse(*_, **__):
        raise NoCredentialsError

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refuse)
    with pytest.raises(TableError, match=r"cannot write memory://.*: there are no credentials"):
        uris.write_bytes(uris.join(memory, "a.bin"), b"x")
    with monkeypatch.context() as patched:
        patched.setattr(MemoryFileSystem, "find", refuse)
        with pytest.raises(TableError, match=r"cannot list memory://.*: there are no cred"):
            uris.list_files(memory)


@pytest.mark.parametrize("name", ["a::b.wav", "a b#c?d%20e*f.wav", "é"])
def test_the_name_of_an_object_is_only_a_name(name):
    assert stores.connect(f"s3://bucket/{name}")[1] == f"bucket/{name}"


@pytest.mark.parametrize("said", [EndpointConnectionError(endpoint_url="x"), ValueError("broken")])
def test_what_a_store_says_while_it_is_read_is_an_os_error(memory, monkeypatch, said):
    def refuse(*_):
        raise said

    uris.write_bytes(uris.join(memory, "a.bin"), b"x")
    with uris.open_file(uris.join(memory, "a.bin")) as file:
        monkeypatch.setattr(type(file._file), "read", refuse)
        with pytest.raises(OSError, match=r"a\.bin: the store does not answer"):
            file.read()


@pytest.mark.parametrize(("code", "raised"), [("ExpiredToken", False), ("AccessDenied", True)])
def test_a_refused_key_is_told_from_a_refused_object(memory, monkeypatch, code, raised):
    """The one says nothing of the object, which may be good."""

    def refuse(*_, **__):
        cause = ClientError({"Error": {"Code": code}}, "GetObject")
        raise PermissionError(code) from cause

    monkeypatch.setattr(MemoryFileSystem, "cat_file", refuse)
    with pytest.raises(OSError, match="access was denied") as error:
        uris.read_bytes(uris.join(memory, "a.bin"))
    assert isinstance(error.value, PermissionError) is raised


@pytest.fixture
def web():
    """Return the address of a web server that answers a request for ``/STATUS`` with this."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(int(self.path.strip("/")))

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("read", [uris.read_bytes, uris.open_file])
def test_what_a_web_server_refuses_is_told_from_a_server_that_cannot_answer(web, read, monkeypatch):
    """Whole or piece by piece: fsspec calls each failure of the latter a missing file."""
    monkeypatch.setattr(stores, "_WEB_WAITS", ())
    for status, kind in (
        (403, PermissionError),
        (404, FileNotFoundError),
        (410, PermissionError),
        (429, stores.StoreError),
        (503, stores.StoreError),
    ):
        with pytest.raises(OSError, match=str(status)) as error:
            read(f"{web}/{status}")
        assert type(error.value) is kind
    with pytest.raises(stores.StoreError, match="does not answer"):
        read("http://127.0.0.1:1/a.wav")


@pytest.mark.parametrize("code", ["PreconditionFailed", "409"])
def test_a_store_in_which_another_was_faster_says_so(monkeypatch, code):
    """The file is there only when it is written, and not yet when it was looked for."""

    class Store:
        def exists(self, path):
            return False

        def pipe_file(self, path, content, *, mode):
            assert mode == "create"
            raise OSError("no") from ClientError({"Error": {"Code": code}}, "PutObject")

    monkeypatch.setattr(stores, "connect", lambda uri: (Store(), "bucket/plan"))
    with pytest.raises(FileExistsError):
        uris.write_bytes("s3://bucket/plan", b"x", only_new=True)


def test_a_store_is_the_one_that_the_environment_names_now(monkeypatch):
    """And not the one of the last call, which fsspec keeps."""
    ends = []
    for port in (1, 2):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        ends.append(stores.connect("s3://bucket")[0].endpoint_url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:3")
    ends.append(stores.connect("s3://bucket")[0].endpoint_url)
    assert ends == [f"http://127.0.0.1:{port}" for port in (1, 2, 3)]
