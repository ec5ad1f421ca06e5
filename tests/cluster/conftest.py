"""One API server for the run; tests keep apart by the names of their namespaces."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

import tool
from support.cluster import COMMANDS, Cluster, open_cluster
from support.flux_standin import FLEET, kubectl

_ADMISSION: Final = "admissionregistration.k8s.io/v1"
#: A policy that holds nobody. While no policy takes a ConfigMap for its parameters, the server
#: stops its watch on ConfigMaps and, as of 1.35, never starts that again: the policies of a later
#: test would see the parameters of an earlier one.
KEEPER: Final[list[dict[str, Any]]] = [
    {
        "apiVersion": _ADMISSION,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "keeps-watching"},
        "spec": {
            "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["nobody.example.com"],
                        "apiVersions": ["v1"],
                        "resources": ["nothing"],
                        "operations": ["CREATE"],
                    }
                ]
            },
            "validations": [{"expression": "true"}],
        },
    },
    {
        "apiVersion": _ADMISSION,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "keeps-watching"},
        "spec": {
            "policyName": "keeps-watching",
            "paramRef": {
                "name": "none",
                "namespace": "default",
                "parameterNotFoundAction": "Allow",
            },
            "validationActions": ["Deny"],
        },
    },
]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """A real API server that knows the kinds of the add-ons, too, but for Argo's."""
    if tool.built("kubernetes", *COMMANDS) is None or tool.built(tool.CRDS) is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("the API server is not built: `make test-cluster` does that")
    with open_cluster(tmp_path_factory.mktemp("cluster")) as found:
        # Argo's are half of all bytes: what asks for `argo` waits for them.
        found.install_crds(without=["argoproj.io"])
        answer = found.apply(KEEPER, dry_run=False)
        assert answer.ok, answer.message
        yield found


@pytest.fixture(scope="session")
def argo(cluster: Cluster) -> Cluster:
    """The same server, which also knows the kinds of Argo Workflows and Events."""
    cluster.install_crds("argoproj.io")
    return cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make test-cluster` runs; the others need no server."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """The fleet as it starts, for a test that builds it as Flux does."""
    if kubectl() is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("there is no kubectl: `make test-cluster` builds it")
    return Path(shutil.copytree(FLEET, tmp_path / "fleet"))
