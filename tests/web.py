"""A web server on loopback that gives files only to who signs, or says user and password."""

import base64
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

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


def files_with_secrets(folder, secrets=SECRETS):
    """Return the files below a folder in which one of the secrets stands."""
    wanted = [each.encode() for each in secrets]
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [(str(path), each) for each in wanted if each in content]
    return found
