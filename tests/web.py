"""A web server on loopback that gives files only to who signs, or says user and password."""

import base64
import threading
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

SIGNATURES = {"oneSIGNATUREa7", "twoSIGNATUREb8"}
USER, PASSWORD = "someone", "PASSWORDc9"
SECRETS = (*SIGNATURES, PASSWORD, base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode())


class _Handler(SimpleHTTPRequestHandler):
    def send_head(self):
        asked = parse_qs(urlsplit(self.path).query).get("X-Amz-Signature", [])
        if set(asked) & SIGNATURES or self.headers.get("Authorization") == f"Basic {SECRETS[-1]}":
            return super().send_head()
        return self.send_error(403)

    def log_message(self, *_):
        pass


@contextmanager
def web_server(folder):
    """Serve a folder, and give host and port."""
    handler = partial(_Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def signed(host, path, signature="oneSIGNATUREa7"):
    return f"http://{host}/{path}?X-Amz-Signature={signature}&X-Amz-Expires=60"


def with_password(host, path):
    return f"http://{USER}:{PASSWORD}@{host}/{path}"


def secrets_in(name, content, secrets=SECRETS):
    """Return the secrets that stand in the content of a file, of Parquet in its rows and schema."""
    if name.endswith(".parquet"):
        table = pq.read_table(pa.BufferReader(content))
        texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
        rows = table.select(texts).to_pylist()
        content = f"{table.schema.metadata} {rows}".encode() + content
    return [secret for secret in secrets if secret.encode() in content]


def files_with_secrets(folder, secrets=SECRETS):
    """Return the files below a folder in which one of the secrets stands, and which."""
    files = [path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]
    found = {str(path): secrets_in(path.name, path.read_bytes(), secrets) for path in files}
    return {path: secrets for path, secrets in found.items() if secrets}


@contextmanager
def arguments_with_secrets(secrets):
    """Give a list of the arguments of processes, while it lasts, in which a secret stands."""
    found, ended = [], threading.Event()

    def look():
        while not ended.wait(0.2):
            for file in Path("/proc").glob("[0-9]*/cmdline"):
                with suppress(OSError):  # it has ended
                    words = file.read_bytes()
                    found.extend(words for each in secrets if each.encode() in words)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
