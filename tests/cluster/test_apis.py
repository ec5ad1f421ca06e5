"""The fleet's check knows every kind that a cluster serves, and none that is on its way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from support.cluster import Cluster

pytestmark = pytest.mark.cluster

PATH: Final = "platform/tenantctl/src/tenantctl/data/apis.json"


def served(cluster: Cluster) -> dict[str, list[str]]:
    """Kinds by version, but for those that the server warns of."""
    found = {}
    for root in sorted(roots(cluster)):
        resources = cluster.request("GET", root).body["resources"]
        kinds = {
            each["kind"]
            for each in resources
            if "/" not in each["name"]
            and not cluster.request("GET", f"{root}/{each['name']}", query={"limit": "1"}).warnings
        }
        found[root.removeprefix("/apis/").removeprefix("/api/")] = sorted(kinds)
    return found


def roots(cluster: Cluster) -> Iterator[str]:
    """Where the versions are."""
    yield "/api/v1"
    for group in cluster.request("GET", "/apis").body["groups"]:
        yield from (f"/apis/{version['groupVersion']}" for version in group["versions"])


@pytest.mark.golden
def test_what_is_served_and_not_deprecated_is_known(
    argo: Cluster, golden: Callable[[str, str], None]
) -> None:
    """As a real API server with every definition of the fleet's says."""
    version = argo.request("GET", "/version").body
    kinds = {each: found for each, found in served(argo).items() if found}
    told = {"kubernetes": f"{version['major']}.{version['minor']}", "served": kinds}

    assert "Endpoints" not in kinds["v1"]
    golden(PATH, json.dumps(told, indent=2) + "\n")
