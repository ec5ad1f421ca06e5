"""What tests of this folder rely on: the server's own judgement, and that nothing is left over."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import tool
from cluster.admission import done
from support.cluster import COMMANDS, Cluster
from support.waiting import wait_for

#: A run that tells where it listens, and then waits to be killed.
RUN: Final = """
import pathlib, signal, sys
from support.cluster import open_cluster
with open_cluster(pathlib.Path(sys.argv[1])) as cluster:
    print(cluster.url.rpartition(":")[2], flush=True)
    signal.pause()
"""


def test_the_server_is_the_version_that_is_locked(cluster: Cluster) -> None:
    """What it says of itself is what tests/tools/kubernetes locks."""
    said = cluster.request("GET", "/version").body

    assert tool.version("kubernetes", "k8s.io/kubernetes") == said["gitVersion"]
    assert ("1", "35") == (said["major"], said["minor"])


def test_a_user_may_do_what_a_role_says(cluster: Cluster) -> None:
    """Calls in another's name have this one's rights and no others."""
    namespace = cluster.namespace("rights")
    account = f"system:serviceaccount:{namespace}:default"
    found = config_map(namespace)
    refused = cluster.apply(found, as_user=account)
    assert (403, False) == (refused.code, refused.ok)
    assert f'User "{account}" cannot patch resource "configmaps"' in refused.message

    for each in role(namespace, "system:serviceaccounts:rights"):
        done(cluster.apply(each, dry_run=False))

    assert cluster.apply(found, as_user=account).ok
    assert not cluster.apply(config_map("default"), as_user=account).ok
    assert cluster.apply(found, as_user="bob", groups=["system:serviceaccounts:rights"]).ok


@pytest.mark.parametrize("scope", ["", "Cluster"])
def test_rights_are_in_force_for_the_next_call(cluster: Cluster, scope: str) -> None:
    """And no longer once they are taken away; a server sees both when it comes to it."""
    namespace = cluster.namespace(f"at-once{scope.lower()}")
    given = role(namespace, "eve", scope)
    asked: dict[str, Any] = {"as_user": "somebody", "groups": ["eve"]}
    for _ in range(5):
        for each in given:
            done(cluster.apply(each, dry_run=False))
        assert cluster.apply(config_map(namespace), **asked).ok
        done(cluster.delete(given[0]))
        assert 403 == cluster.apply(config_map(namespace), **asked).code


def test_a_dry_run_changes_nothing(cluster: Cluster) -> None:
    """Unless it is told otherwise, apply only asks."""
    found = config_map(cluster.namespace("asks"))

    done(cluster.apply(found))
    assert 404 == cluster.get("v1", "ConfigMap", "some", "asks").code

    done(cluster.apply(found, dry_run=False))
    assert {"a": "b"} == cluster.get("v1", "ConfigMap", "some", "asks").body["data"]
    done(cluster.delete(found, dry_run=True))
    assert cluster.get("v1", "ConfigMap", "some", "asks").ok
    done(cluster.delete(found))
    assert 404 == cluster.get("v1", "ConfigMap", "some", "asks").code


def test_of_several_the_first_that_is_refused_is_told(cluster: Cluster) -> None:
    """And what comes after it is not tried."""
    namespace = cluster.namespace("several")
    bad = {**config_map(namespace), "data": {"a": 1}}

    answer = cluster.apply([bad, config_map(namespace)], dry_run=False)

    assert not answer.ok
    assert [] == [
        each["metadata"]["name"]
        for each in cluster.list("v1", "ConfigMap", namespace).body["items"]
    ]


def test_what_is_deprecated_is_a_warning(cluster: Cluster) -> None:
    """It is well, and the answer says what a person would read."""
    found = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": "old", "namespace": cluster.namespace("warns")},
    }

    answer = cluster.apply(found)

    assert answer.ok
    assert ["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"] == list(
        answer.warnings
    )


def test_a_kind_that_is_not_served_is_named(cluster: Cluster) -> None:
    """A mistake of the test's author, so it is no answer."""
    with pytest.raises(LookupError, match=r"no Widget of example\.com/v1"):
        cluster.apply(
            {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}}
        )


def test_a_program_comes_in_as_the_user_of_its_file(cluster: Cluster) -> None:
    """The file names certificates, and nobody else can read their keys."""
    path = cluster.kubeconfig("carol", "system:masters")

    said = json.loads(path.read_text())
    key = Path(said["users"][0]["user"]["client-key"])
    assert 0o600 == stat.S_IMODE(key.stat().st_mode)
    assert "PRIVATE" not in path.read_text()
    assert cluster.url == said["clusters"][0]["cluster"]["server"]


def test_the_controller_manager_does_what_controllers_do(cluster: Cluster) -> None:
    """A namespace gets its account, and one that is deleted goes."""
    if tool.built("kubernetes", *COMMANDS, "kube-controller-manager") is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("the controller manager is not built: `make tools`")
    metadata = {"name": "controlled"}
    found = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
    with cluster.controller_manager():
        done(cluster.apply(found, dry_run=False))
        wait_for(lambda: cluster.get("v1", "ServiceAccount", "default", "controlled").ok)
        done(cluster.delete(found))
        wait_for(lambda: cluster.get("v1", "Namespace", "controlled").code == 404)


def test_a_run_that_is_killed_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    """Neither etcd nor the API server outlives the process that started them."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path)], env=env, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        port = int(run.stdout.readline())
        assert listens(port)

        run.send_signal(signal.SIGKILL)

    wait_for(lambda: not listens(port), seconds=10.0, what="the API server's end")
    assert (tmp_path / "etcd").is_dir()
    wait_for(lambda: not running(str(tmp_path)), seconds=10.0, what="etcd's end")


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def running(argument: str) -> list[str]:
    """Command lines of processes that name this."""
    said = subprocess.run(["ps", "-eo", "args"], check=True, capture_output=True, text=True)
    return [line for line in said.stdout.splitlines() if argument in line]


def config_map(namespace: str) -> dict[str, object]:
    metadata = {"name": "some", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}}


def role(namespace: str, group: str, scope: str = "") -> list[dict[str, object]]:
    """A role that may write ConfigMaps, there or with a scope everywhere, and who has it."""
    api = "rbac.authorization.k8s.io"
    metadata = {"name": "writer"} | ({} if scope else {"namespace": namespace})
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "patch"]}
    return [
        {
            "apiVersion": f"{api}/v1",
            "kind": f"{scope}Role",
            "metadata": metadata,
            "rules": [rule],
        },
        {
            "apiVersion": f"{api}/v1",
            "kind": f"{scope}RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": api, "kind": f"{scope}Role", "name": "writer"},
            "subjects": [{"apiGroup": api, "kind": "Group", "name": group}],
        },
    ]
