"""The cluster itself: a pod runs, is found, and one that may too much is not let in."""

from __future__ import annotations

from typing import Any, Final

import pytest

from e2e.cluster.whole import Whole
from support.waiting import wait_for

pytestmark = pytest.mark.e2e

SPACE: Final = "story"
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}


def a_pod(name: str, image: str, *command: str, **more: Any) -> dict[str, Any]:
    """As the chart's pods are: nobody, without rights, on a root that cannot be written."""
    container = {
        "name": "main",
        "image": image,
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "resources": {
            "requests": {"cpu": "10m", "memory": "32Mi"},
            "limits": {"memory": "128Mi"},
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": SPACE, "labels": {"app": name}},
        "spec": {
            "containers": [container],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            **more,
        },
    }


@pytest.fixture(scope="module")
def space(whole: Whole) -> str:
    return whole.cluster.namespace(SPACE, RESTRICTED)


def phase(whole: Whole, name: str) -> str:
    return str(whole.cluster.get("v1", "Pod", name, SPACE).body["status"].get("phase"))


@pytest.mark.usefixtures("space")
def test_a_pod_that_may_nothing_runs_and_is_found_by_name(whole: Whole, debian: str) -> None:
    """Another one asks it by the name of its Service: CoreDNS, kube-proxy, the pods' network."""
    cluster = whole.cluster
    server = a_pod("server", debian, "python3", "-m", "http.server", "8080")
    server["spec"]["containers"][0]["readinessProbe"] = {
        "httpGet": {"port": 8080, "path": "/"},
        "periodSeconds": 1,
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "server", "namespace": SPACE},
        "spec": {"selector": {"app": "server"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    asks = (
        "import urllib.request as r; "
        f"print(r.urlopen('http://server.{SPACE}.svc.cluster.local', timeout=20).status)"
    )
    answer = cluster.apply([server, service], dry_run=False)
    assert answer.ok, answer.message

    def is_ready() -> bool:
        found = cluster.get("v1", "Pod", "server", SPACE).body["status"]
        return any(
            one["type"] == "Ready" and one["status"] == "True"
            for one in found.get("conditions", [])
        )

    wait_for(is_ready, what="the server to be Ready")
    # A pod is Ready before every node knows that its Service has it.
    client = a_pod("client", debian, "python3", "-c", asks, restartPolicy="OnFailure")
    answer = cluster.apply(client, dry_run=False)
    assert answer.ok, answer.message

    wait_for(lambda: phase(whole, "client") in {"Succeeded", "Failed"}, what="the client's end")

    told = whole.kubectl("logs", "client", f"--namespace={SPACE}")
    assert ("Succeeded", "200\n") == (phase(whole, "client"), told)


@pytest.mark.usefixtures("space")
def test_a_pod_that_may_more_is_not_let_in(whole: Whole, debian: str) -> None:
    """The node's network, for instance."""
    answer = whole.cluster.apply(a_pod("host", debian, "true", hostNetwork=True), dry_run=False)

    assert 403 == answer.code
    assert "hostNetwork" in answer.message


@pytest.mark.usefixtures("space")
def test_nothing_of_the_cluster_has_a_way_out(whole: Whole, debian: str) -> None:
    """What it needs it has: a pod that asks anybody else is refused at once."""
    asks = "import socket; socket.create_connection(('192.0.2.1', 443), 20)"
    answer = whole.cluster.apply(a_pod("outside", debian, "python3", "-c", asks), dry_run=False)
    assert answer.ok, answer.message

    wait_for(lambda: phase(whole, "outside") == "Failed", what="its end")

    told = whole.kubectl("logs", "outside", f"--namespace={SPACE}")
    assert "No route to host" in told, told
