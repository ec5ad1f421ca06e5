"""Tenants come: from a verb to pods that are Ready, and a placement."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.aws import Aws
from e2e.cluster.whole import Whole
from e2e.control import Control
from e2e.fleet import Fleet
from e2e.tenants import ACME, POOL, TENANTS
from support.reconcilers_standin import condition
from support.waiting import wait_for
from tenantctl.files import path_of, render

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pool(flux: Fleet, whole: Whole) -> None:
    """A pool is a file that somebody merges."""
    flux.origin.commit({path_of("dev", POOL): render(POOL)}, "A pool")

    def is_there() -> bool:
        assert not flux.wrong, flux.wrong[0]
        found = whole.cluster.get("helm.toolkit.fluxcd.io/v2", "HelmRelease", POOL.id, "tenants")
        return found.ok and condition(found.body).get("status") == "True"

    wait_for(is_there, seconds=600, what="the pool")


@pytest.mark.usefixtures("pool")
def test_a_tenant_of_each_tier_is_onboarded(control: Control, environment: Aws) -> None:
    """All at once: Git, Flux, Helm, Terraform in a pod, pods that are Ready, the registry."""
    with ThreadPoolExecutor(len(TENANTS)) as all_at_once:
        onboarded = {
            tenant.id: all_at_once.submit(
                control.run, "onboard", tenant.id, f"--tier={tenant.tier}", "--ring=r0", "--wait"
            )
            for tenant in TENANTS
        }

    told = {name: one.result() for name, one in onboarded.items()}
    assert {} == {name: one.err for name, one in told.items() if one.status != 0}
    items = environment.clients["dynamodb"].scan(TableName="dev-tenants")["Items"]
    placed = {item["tenant_id"]["S"]: item["status"]["S"] for item in items}
    assert {tenant.id: "active" for tenant in TENANTS} == placed


def test_a_premium_tenants_pods_are_on_its_tiers_nodes(whole: Whole) -> None:
    """And nobody else's are there."""
    pods = whole.cluster.list("v1", "Pod").body["items"]
    where = {each["metadata"]["namespace"]: set[str]() for each in pods}
    for each in pods:
        where[each["metadata"]["namespace"]].add(each["spec"].get("nodeName", "none"))

    assert {"node-premium"} == where[ACME.id]
    assert {"node-advanced"} == where["initech"]
    assert {"node-basic"} == where[POOL.id]
