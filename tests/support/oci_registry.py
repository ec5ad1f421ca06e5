"""A registry of the OCI distribution specification for tests: what is pushed, and asked for.

It takes pushes as ECR does where tags are immutable, and knows referrers; without those it is as
registries are that do not know them, where clients keep a tag instead. It stores what a test puts
into it, signed or not, and changes it where a test says so. As ECR it gives its password out.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

MEDIA_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
CHART: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MODULE: Final = "application/vnd.cncf.flux.content.v1.tar+gzip"
_EMPTY: Final = b"{}"


@dataclass(frozen=True)
class Answer:
    """What a request gets."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def digest_of(data: bytes) -> str:
    """How a registry calls it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class OciRegistry:
    """Manifests by repository, and how it answers.

    Attributes:
        password: Without these nothing is answered, where there are some: `user:password`.
        faults: Statuses that the next requests get, whatever they ask for.
        requests: Method, path and `Accept` of each.
        says_digest: Whether `Docker-Content-Digest` is sent, which a registry need not do.
        knows_referrers: Whether it has the API of that name.
        page: How many referrers it tells at once.
        elsewhere: Where blobs are, if somewhere else: the URL of another registry.
        blobs: By repository and digest.
        manifests: By repository, and digest or tag.
    """

    def __init__(self) -> None:
        self.url = ""
        self.password = ""
        self.faults: deque[int] = deque()
        self.requests: list[tuple[str, str, str]] = []
        self.says_digest = True
        self.knows_referrers = True
        self.page = 50
        self.elsewhere = ""
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.manifests: dict[tuple[str, str], bytes] = {}

    # --- what a test puts there

    def put(self, repository: str, tag: str, media_type: str = CHART) -> str:
        """Store an artefact of its own under a tag; its digest."""
        return self.store(repository, [(media_type, f"content of {tag}".encode())], tag=tag)

    def store(
        self, repository: str, contents: Sequence[tuple[str, bytes]], *, tag: str = "", **more: Any
    ) -> str:
        """Store an artefact of these layers, by media type; its digest."""
        descriptors = [
            {"mediaType": kind, "digest": self.blob(repository, data), "size": len(data)}
            for kind, data in contents
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": self.blob(repository, _EMPTY),
                "size": len(_EMPTY),
            },
            "layers": descriptors,
            **more,
        }
        data = json.dumps(manifest).encode()
        self.manifests[repository, digest_of(data)] = data
        if tag:
            self.manifests[repository, tag] = data
        return digest_of(data)

    def blob(self, repository: str, data: bytes) -> str:
        """Store a blob; its digest."""
        self.blobs[repository, digest_of(data)] = data
        return digest_of(data)

    # --- what clients ask

    def authorization(self) -> bytes | None:
        """What ECR answers to who asks for the password; None where it denies."""
        if not self.password:
            return None
        token = base64.b64encode(self.password.encode()).decode()
        return json.dumps({"authorizationData": [{"authorizationToken": token}]}).encode()

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> Answer:
        """What a request gets."""
        if self.faults:
            return Answer(self.faults.popleft(), headers={"Location": f"{self.url}/v2/"})
        wanted = f"Basic {base64.b64encode(self.password.encode()).decode()}"
        if self.password and authorization != wanted:
            return Answer(401)
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == "/v2/":
            return Answer(200)
        for kind, does in (
            ("manifests", self._manifest),
            ("referrers", self._referrers),
            ("blobs", self._blob),
        ):
            repository, found, rest = parts.path.removeprefix("/v2/").partition(f"/{kind}/")
            if found:
                return does(method, repository, rest, query, body)
        return Answer(404)

    def _manifest(
        self, method: str, repository: str, reference: str, _: Mapping[str, str], body: bytes
    ) -> Answer:
        if method == "PUT":
            digest = digest_of(body)
            if self.manifests.get((repository, reference), body) != body and ":" not in reference:
                return Answer(
                    400, b'{"errors": [{"code": "TAG_INVALID", "message": "immutable"}]}'
                )
            self.manifests[repository, digest] = self.manifests[repository, reference] = body
            headers = {"Docker-Content-Digest": digest, "Location": f"/v2/{repository}/{digest}"}
            if self.knows_referrers and (subject := json.loads(body).get("subject")):
                headers["OCI-Subject"] = subject["digest"]
            return Answer(201, headers=headers)
        data = self.manifests.get((repository, reference))
        if data is None:
            return Answer(404)
        headers = {"Content-Type": INDEX if b'"manifests"' in data else MEDIA_TYPE}
        if self.says_digest:
            headers["Docker-Content-Digest"] = digest_of(data)
        return Answer(200, data, headers)

    def _referrers(
        self, method: str, repository: str, digest: str, query: Mapping[str, str], _: bytes
    ) -> Answer:
        if method != "GET" or not self.knows_referrers:
            return Answer(404)
        found = [
            {
                "mediaType": MEDIA_TYPE,
                "digest": reference,
                "size": len(data),
                "artifactType": manifest.get("artifactType", ""),
            }
            for (where, reference), data in sorted(self.manifests.items())
            if where == repository and reference.startswith("sha256:")
            for manifest in [json.loads(data)]
            if (manifest.get("subject") or {}).get("digest") == digest
        ]
        wanted = query.get("artifactType")
        if wanted:
            found = [each for each in found if each["artifactType"] == wanted]
        start = int(query.get("last", "0"))
        told = found[start : start + self.page]
        headers = {"Content-Type": INDEX}
        if wanted:
            headers["OCI-Filters-Applied"] = "artifactType"
        if start + self.page < len(found):
            more = f"/v2/{repository}/referrers/{digest}?last={start + self.page}"
            more += f"&artifactType={wanted}" if wanted else ""
            headers["Link"] = f'<{more}>; rel="next"'
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": told}
        return Answer(200, json.dumps(index).encode(), headers)

    def _blob(
        self, method: str, repository: str, rest: str, query: Mapping[str, str], body: bytes
    ) -> Answer:
        if method in {"POST", "PATCH"}:
            upload = self.blob(repository, body).removeprefix("sha256:")
            return Answer(202, headers={"Location": f"/v2/{repository}/blobs/uploads/{upload}"})
        if method == "PUT":
            pushed = self.blob(repository, body) if body else f"sha256:{rest.partition('/')[2]}"
            status = 201 if pushed == query.get("digest") else 400
            return Answer(status, headers={"Docker-Content-Digest": pushed, "Location": "/"})
        data = self.blobs.get((repository, rest))
        if data is None:
            return Answer(404)
        if self.elsewhere and method == "GET":
            where = f"{self.elsewhere}/v2/{repository}/blobs/{rest}"
            return Answer(307, headers={"Location": where})
        return Answer(200, data, {"Content-Type": "application/octet-stream"})


class _Handler(BaseHTTPRequestHandler):
    registry: OciRegistry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_HEAD(self) -> None:
        self._do(with_body=False)

    def do_GET(self) -> None:
        self._do()

    def do_PUT(self) -> None:
        self._do()

    def do_PATCH(self) -> None:
        self._do()

    def do_POST(self) -> None:
        target = self.headers.get("X-Amz-Target", "")
        if not target:
            self._do()
            return
        # ECR's own API, of which this is the one call.
        self._body()
        self.registry.requests.append((self.command, target, ""))
        data = self.registry.authorization()
        body = data or b'{"__type": "AccessDeniedException", "message": "no"}'
        headers = {"Content-Type": "application/x-amz-json-1.1"}
        self._send(Answer(200 if data is not None else 400, body, headers))

    def _do(self, *, with_body: bool = True) -> None:
        accept = self.headers.get("Accept", "")
        self.registry.requests.append((self.command, self.path, accept))
        told = self.headers.get("Authorization", "")
        answer = self.registry.answer(self.command, self.path, told, self._body())
        self._send(answer, with_body=with_body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, answer: Answer, *, with_body: bool = True) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in the parent
        pass


@contextmanager
def open_registry() -> Generator[OciRegistry]:
    """A registry on loopback, while this lasts."""
    registry = OciRegistry()

    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
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
