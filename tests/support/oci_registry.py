"""A registry of the OCI distribution specification for tests, as far as manifests are asked for.

It knows manifests by digest and by tag, and answers `HEAD` and `GET`; with a password, nobody
without. It stores what a test puts into it, and takes no pushes. As ECR it gives that password
out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

MEDIA_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"


class OciRegistry:
    """Manifests by repository, and how it answers.

    Attributes:
        password: Without these nothing is answered, where there are some: `user:password`.
        faults: Statuses that the next requests get, whatever they ask for.
        requests: Method, path and `Accept` of each.
        says_digest: Whether `Docker-Content-Digest` is sent, which a registry need not do.
    """

    def __init__(self) -> None:
        self.url = ""
        self.password = ""
        self.faults: deque[int] = deque()
        self.requests: list[tuple[str, str, str]] = []
        self.says_digest = True
        self._manifests: dict[tuple[str, str], bytes] = {}

    def put(self, repository: str, tag: str) -> str:
        """Store a chart of its own under a tag; its digest."""
        manifest = json.dumps(
            {"schemaVersion": 2, "mediaType": MEDIA_TYPE, "annotations": {"v": tag}}
        ).encode()
        digest = f"sha256:{hashlib.sha256(manifest).hexdigest()}"
        self._manifests[repository, tag] = self._manifests[repository, digest] = manifest
        return digest

    def authorization(self) -> bytes | None:
        """What ECR answers to who asks for the password; None where it denies."""
        if not self.password:
            return None
        token = base64.b64encode(self.password.encode()).decode()
        return json.dumps({"authorizationData": [{"authorizationToken": token}]}).encode()

    def answer(self, path: str, authorization: str) -> tuple[int, bytes]:
        """Status and body of a request."""
        if self.faults:
            return self.faults.popleft(), b""
        wanted = f"Basic {base64.b64encode(self.password.encode()).decode()}"
        if self.password and authorization != wanted:
            return 401, b""
        repository, _, reference = path.removeprefix("/v2/").partition("/manifests/")
        found = self._manifests.get((repository, reference))
        return (404, b"") if found is None else (200, found)


@contextmanager
def open_registry() -> Generator[OciRegistry]:
    """A registry on loopback, while this lasts."""
    registry = OciRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._do(with_body=False)

        def do_GET(self) -> None:
            self._do(with_body=True)

        def do_POST(self) -> None:
            """ECR's own API, of which this is the one call."""
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            target = self.headers.get("X-Amz-Target", "")
            registry.requests.append((self.command, target, ""))
            data = registry.authorization()
            self.send_response(200 if data is not None else 400)
            body = data or b'{"__type": "AccessDeniedException", "message": "no"}'
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _do(self, *, with_body: bool) -> None:
            accept = self.headers.get("Accept", "")
            registry.requests.append((self.command, self.path, accept))
            status, body = registry.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            if status == 200:
                self.send_header("Content-Type", MEDIA_TYPE)
                if registry.says_digest:
                    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
                    self.send_header("Docker-Content-Digest", digest)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the parent
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    registry.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
