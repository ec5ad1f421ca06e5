"""A push is heard of, and what came of it told, by Flux's own notification-controller.

Gitea is an HTTP server that writes down what it is told: the two calls that the controller makes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from collections.abc import Generator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from support.cluster import HOST, Cluster
from support.flux_controllers import NAMESPACE, binary, running
from support.flux_standin import FLEET, config_maps, flux_build, kustomize
from support.waiting import wait_for
from tenantctl.addons import NAME
from tenantctl.gate.building import entry_points
from tenantry_local.processes import free_port

pytestmark = pytest.mark.cluster

TOKEN: Final = "a word of nobody's but Gitea's and ours"
COMMIT: Final = "c0ffee" + "0" * 34
SOURCE: Final = "source.toolkit.fluxcd.io/v1"


class Gitea:
    """Takes what is found of commits."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any], str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._say([] if "/statuses" in self.path else {"version": "1.26.0"})

            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.told.append((self.path, said, self.headers["Authorization"]))
                self._say({}, 201)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's
                pass

            def _say(self, what: Any, status: int = 200) -> None:
                data = json.dumps(what).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.http = ThreadingHTTPServer((HOST, 0), Handler)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.http.server_address[1]}"


@pytest.fixture(scope="module")
def gitea() -> Generator[Gitea]:
    found = Gitea()
    thread = Thread(target=found.http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield found
    found.http.shutdown()
    found.http.server_close()
    thread.join()


@pytest.fixture(scope="module")
def ports(
    cluster: Cluster, gitea: Gitea, tmp_path_factory: pytest.TempPathFactory
) -> Generator[tuple[int, int]]:
    """The controller at work on what the fleet brings: where it hears pushes, and events."""
    program = binary("notices", "notification-controller")
    if program is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("notification-controller is not built: `make test-cluster` does that")
    folder = tmp_path_factory.mktemp("notices")
    hears, events = free_port(), free_port()
    options = (f"--receiverAddr={HOST}:{hears}", f"--events-addr={HOST}:{events}")
    with running(program, cluster, folder, *options):
        fleet = Path(shutil.copytree(FLEET, folder / "fleet"))
        objects = kustomize(fleet / "clusters" / "dev")
        maps = config_maps(objects)
        maps[NAME]["fleet_url"] = f"{gitea.url}/platform/fleet"
        found = flux_build(fleet, entry_points(objects)["notifications"], maps)
        kinds = {"Alert", "Provider", "Receiver"}
        found = [
            *(secret(name) for name in ("receiver", "status")),
            source(),
            *(each for each in found if each["kind"] in kinds),
        ]
        for each in found:
            answer = cluster.apply(each, dry_run=False)
            assert answer.ok, answer.message
        yield hears, events


def secret(name: str) -> dict[str, Any]:
    """As external-secrets makes it."""
    metadata = {"name": name, "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "stringData": {"token": TOKEN},
    }


def source() -> dict[str, Any]:
    """As the FluxInstance makes it."""
    return {
        "apiVersion": SOURCE,
        "kind": "GitRepository",
        "metadata": {"name": NAMESPACE, "namespace": NAMESPACE},
        "spec": {"interval": "10m", "url": "https://gitea.example.com/platform/fleet.git"},
    }


def push(cluster: Cluster, port: int, token: str) -> int:
    """As Gitea tells of one; the answer's status."""
    found: list[str] = []

    def has_path() -> bool:
        answer = cluster.get("notification.toolkit.fluxcd.io/v1", "Receiver", "fleet", NAMESPACE)
        found[:] = [answer.body.get("status", {}).get("webhookPath", "")]
        return bool(found[0])

    wait_for(has_path, what="the Receiver's path")
    # As `make environment` and a person can know it, without asking the cluster.
    digest = hashlib.sha256(f"{TOKEN}fleet{NAMESPACE}".encode()).hexdigest()
    assert [f"/hook/{digest}"] == found
    body = json.dumps({"ref": "refs/heads/main", "after": COMMIT}).encode()
    signature = hmac.new(token.encode(), body, "sha256").hexdigest()
    headers = {
        "Content-Type": "application/json",
        "X-GitHub-Event": "push",
        "X-Gitea-Event": "push",
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    connection = HTTPConnection(HOST, port, timeout=30)
    connection.request("POST", found[0], body, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def requested(cluster: Cluster) -> str | None:
    """When somebody asked for the source to be fetched."""
    metadata = cluster.get(SOURCE, "GitRepository", NAMESPACE, NAMESPACE).body["metadata"]
    found: str | None = metadata.get("annotations", {}).get("reconcile.fluxcd.io/requestedAt")
    return found


def test_a_push_is_heard_of_at_once(cluster: Cluster, ports: tuple[int, int]) -> None:
    """Signed by Gitea; with another word nothing happens."""
    before = requested(cluster)
    assert 400 <= push(cluster, ports[0], "another word") < 500
    assert before == requested(cluster)

    assert 200 == push(cluster, ports[0], TOKEN)

    assert before != requested(cluster)


@pytest.mark.parametrize(("severity", "state"), [("info", "success"), ("error", "failure")])
def test_what_came_of_a_commit_is_shown_beside_it(
    gitea: Gitea, ports: tuple[int, int], severity: str, state: str
) -> None:
    """By environment and entry point, with the token that may write it."""
    event: dict[str, Any] = {
        "involvedObject": {
            "kind": "Kustomization",
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
            "namespace": NAMESPACE,
            "name": "tenants-0",
        },
        "severity": severity,
        "timestamp": "2026-01-01T00:00:00Z",
        "reason": "ReconciliationSucceeded",
        # As kustomize-controller says it of a revision that it applied.
        "metadata": {
            "kustomize.toolkit.fluxcd.io/revision": f"main@sha1:{COMMIT}",
            "kustomize.toolkit.fluxcd.io/commit_status": "update",
        },
        "reportingController": "kustomize-controller",
    }

    numbers = count()

    def tell() -> bool:
        # Until the Alert is known nobody is told, and the same is not told twice within minutes.
        event["message"] = f"what came of it, {next(numbers)}"
        connection = HTTPConnection(HOST, ports[1], timeout=30)
        connection.request("POST", "/", json.dumps(event), {"Content-Type": "application/json"})
        connection.getresponse().read()
        connection.close()
        return any(state == said["state"] for _, said, _ in gitea.told)

    wait_for(tell, what=f"{state} of {COMMIT}")

    path, said, who = next(each for each in gitea.told if each[1]["state"] == state)
    assert f"/api/v1/repos/platform/fleet/statuses/{COMMIT}" == path
    assert "dev/tenants-0" == said["context"]
    assert f"token {TOKEN}" == who
