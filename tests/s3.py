"""An S3 store on loopback: moto's server, and a proxy before it that fails as stores do."""

import http.client
import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "expect"}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextmanager
def moto_server():
    """Run an empty S3 store and give its port."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait()


def environment(port: int) -> dict[str, str]:
    """What a user would set to use the store that answers on a port."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class FaultProxy:
    """Passes requests on to a store; some it refuses or stalls. Keeps what was asked for.

    Parameters
    ----------
    port : int
        Of the store.
    refuse_every : int
        Of so many requests one is answered 503 SlowDown; 0 for none.
    stall_every : int
        Of so many requests one is answered only after `stall_seconds`; 0 for none.
    """

    def __init__(self, port, *, refuse_every=0, stall_every=0, stall_seconds=0.0):
        self.requests: list[tuple[str, str]] = []
        self.refused = self.stalled = 0
        count, lock, proxy = itertools.count(1), threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    number = next(count)
                    proxy.requests.append((self.command, self.path))
                    refuse = refuse_every and number % refuse_every == 0
                    stall = stall_every and number % stall_every == 0
                    proxy.refused += bool(refuse)
                    proxy.stalled += bool(stall)
                if stall:
                    time.sleep(stall_seconds)
                if refuse:
                    self.answer(503, [("Content-Type", "application/xml")], SLOW_DOWN)
                    return
                store = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                store.request(self.command, self.path, body, dict(self.headers))
                response = store.getresponse()
                self.answer(response.status, response.getheaders(), response.read())
                store.close()

            def answer(self, status, headers, body):
                self.send_response_only(status)
                size = len(body)
                for name, value in headers:
                    if self.command == "HEAD" and name.lower() == "content-length":
                        size = value
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(size))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_any

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:  # whoever asked has given up
                    self.close_connection = True

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def gets(self, suffix: str = "") -> list[str]:
        """Return the objects that were read, by key, as often as they were."""
        return [
            path.partition("?")[0]
            for method, path in self.requests
            if method == "GET" and path.partition("?")[0].endswith(suffix)
        ]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def set_environment(monkeypatch, port: int) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
        monkeypatch.delenv(name)
    for name, value in environment(port).items():
        monkeypatch.setenv(name, value)
