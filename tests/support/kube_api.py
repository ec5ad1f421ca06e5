"""The Kubernetes API as tests speak it: plain HTTP, strict, and a refusal is an answer."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from support.certificates import Pair

Object = Mapping[str, Any]

#: Longer than the API server itself takes before it gives up (34 s for a webhook or a policy).
_SECONDS: Final = 40.0
_MANAGER: Final = "tests"
_WARNING: Final = re.compile(r'299 \S+ "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said to one request.

    Attributes:
        ok: Whether it did, or on a dry run would have done, what it was asked for.
        code: The HTTP status.
        message: Why not, as a person would read it; empty when it is well.
        warnings: What it said beside that, of deprecated fields and of pods that pod security
            would refuse, for example.
        body: The object, list or status that it answered with.
    """

    ok: bool
    code: int
    message: str = ""
    warnings: tuple[str, ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Api:
    """One API server, called as one user, or as others in whose name this one may speak.

    Everywhere `as_user` and `groups` name somebody else: a user or
    `system:serviceaccount:<namespace>:<name>`, whose own groups then come by themselves.
    """

    def __init__(self, url: str, authority: Pair, user: Pair) -> None:
        self._where = urlsplit(url)
        self._tls = ssl.create_default_context(cafile=str(authority.certificate))
        self._tls.load_cert_chain(user.certificate, user.key)
        self._connection: http.client.HTTPSConnection | None = None
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def apply(
        self,
        objects: Object | Sequence[Object],
        *,
        dry_run: bool = True,
        as_user: str | None = None,
        groups: Sequence[str] = (),
    ) -> Answer:
        """Server-side apply with strict fields. Of several, up to the first that is refused."""
        warnings: list[str] = []
        answer = Answer(ok=True, code=200)
        for found in [objects] if isinstance(objects, Mapping) else objects:
            answer = self.request(
                "PATCH",
                self.path(found),
                found,
                query={"fieldManager": _MANAGER, "force": "true", **_strict(dry_run=dry_run)},
                content="application/apply-patch+yaml",
                as_user=as_user,
                groups=groups,
            )
            warnings += answer.warnings
            if not answer.ok:
                break
        return Answer(answer.ok, answer.code, answer.message, tuple(warnings), answer.body)

    def create(
        self,
        found: Object,
        *,
        dry_run: bool = False,
        as_user: str | None = None,
        groups: Sequence[str] = (),
    ) -> Answer:
        """Create an object; one that is there already is refused (409)."""
        metadata = found["metadata"]
        return self.request(
            "POST",
            self._collection(found["apiVersion"], found["kind"], metadata.get("namespace")),
            found,
            query=_strict(dry_run=dry_run),
            as_user=as_user,
            groups=groups,
        )

    def update(
        self,
        found: Object,
        *,
        dry_run: bool = False,
        as_user: str | None = None,
        groups: Sequence[str] = (),
    ) -> Answer:
        """Put an object in the place of the one with its name."""
        return self.request(
            "PUT",
            self.path(found),
            found,
            query=_strict(dry_run=dry_run),
            as_user=as_user,
            groups=groups,
        )

    def delete(
        self,
        found: Object,
        *,
        dry_run: bool = False,
        as_user: str | None = None,
        groups: Sequence[str] = (),
    ) -> Answer:
        """Delete the object of this kind and name; of the rest of it nothing is looked at."""
        query = {"dryRun": "All"} if dry_run else {}
        return self.request(
            "DELETE", self.path(found), query=query, as_user=as_user, groups=groups
        )

    def get(
        self,
        version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        as_user: str | None = None,
        groups: Sequence[str] = (),
    ) -> Answer:
        """Read an object; 404 when there is none."""
        path = f"{self._collection(version, kind, namespace)}/{quote(name, safe='')}"
        return self.request("GET", path, as_user=as_user, groups=groups)

    def list(
        self,
        version: str,
        kind: str,
        namespace: str | None = None,
        *,
        as_user: str | None = None,
        groups: Sequence[str] = (),
    ) -> Answer:
        """Read all objects of a kind, everywhere or in a namespace: `answer.body["items"]`."""
        path = self._collection(version, kind, namespace, everywhere=True)
        return self.request("GET", path, as_user=as_user, groups=groups)

    def path(self, found: Object) -> str:
        """Where an object is, from its kind, namespace and name."""
        metadata = found["metadata"]
        collection = self._collection(
            found["apiVersion"], found["kind"], metadata.get("namespace")
        )
        return f"{collection}/{quote(metadata['name'], safe='')}"

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        as_user: str | None = None,
        groups: Iterable[str] = (),
    ) -> Answer:
        """Any request; `path` may be that of a subresource."""
        headers = [("Accept", "application/json")]
        if body is not None:
            headers.append(("Content-Type", content))
        if as_user is not None:
            headers.append(("Impersonate-User", as_user))
        headers += [("Impersonate-Group", group) for group in groups]
        url = f"{path}?{urlencode(query)}" if query else path
        try:
            return self._send(method, url, None if body is None else json.dumps(body), headers)
        except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
            self.close()  # the server ended a connection that was idle
            return self._send(method, url, None if body is None else json.dumps(body), headers)

    def _send(
        self, method: str, url: str, body: str | None, headers: Sequence[tuple[str, str]]
    ) -> Answer:
        if self._connection is None:
            assert self._where.hostname is not None
            self._connection = http.client.HTTPSConnection(
                self._where.hostname, self._where.port, timeout=_SECONDS, context=self._tls
            )
        data = None if body is None else body.encode()
        try:
            self._connection.putrequest(method, url)
            for name, value in headers:  # a name may come twice: several groups
                self._connection.putheader(name, value)
            self._connection.putheader("Content-Length", str(len(data or b"")))
            self._connection.endheaders(data)
            response = self._connection.getresponse()
            said = response.read()
        except BaseException:
            self.close()
            raise
        return _answer(response, said)

    def _collection(
        self, version: str, kind: str, namespace: str | None, *, everywhere: bool = False
    ) -> str:
        plural, is_namespaced = self._kind(version, kind)
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        if not is_namespaced:
            return f"{root}/{plural}"
        if namespace is None and everywhere:
            return f"{root}/{plural}"
        return f"{root}/namespaces/{quote(namespace or 'default', safe='')}/{plural}"

    def _kind(self, version: str, kind: str) -> tuple[str, bool]:
        """The path's word for a kind, and whether it is in namespaces: the server knows."""
        if kind not in self._kinds.get(version, {}):
            root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
            answer = self.request("GET", root)
            self._kinds[version] = {
                each["kind"]: (each["name"], each["namespaced"])
                for each in answer.body.get("resources", ())
                if "/" not in each["name"]
            }
        try:
            return self._kinds[version][kind]
        except KeyError:
            msg = f"the API server knows no {kind} of {version}"
            raise LookupError(msg) from None


def _strict(*, dry_run: bool) -> dict[str, str]:
    return {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})


def _answer(response: http.client.HTTPResponse, said: bytes) -> Answer:
    try:
        body = json.loads(said)
    except ValueError:
        body = {"message": said.decode("utf-8", "replace")}  # /readyz says "ok"
    ok = response.status < http.client.BAD_REQUEST
    warnings = tuple(
        re.sub(r"\\(.)", r"\1", text)
        for header in response.headers.get_all("Warning", ())
        for text in _WARNING.findall(header)
    )
    message = "" if ok else str(body.get("message", "")) or f"status {response.status}"
    return Answer(ok, response.status, message, warnings, body)
