"""A release reaches tenants ring by ring, under traffic; a bad one is taken back."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from e2e.cluster.whole import Whole
from e2e.control import Control
from e2e.fleet import Fleet
from e2e.release import BAD, NEXT, Release
from e2e.tenants import POOL, TENANTS, Routes
from e2e.traffic import flowing
from support.waiting import wait_for
from tenantctl.releases import path_of_train

pytestmark = pytest.mark.e2e

HOOLI = "hooli"
#: Seconds that a ring is watched.
SOAK = "--soak=5"


@pytest.fixture(scope="module")
def in_r1(control: Control) -> Generator[str]:
    """A basic tenant of the second ring, for as long as this chapter."""
    told = control.run("onboard", HOOLI, "--tier=basic", "--ring=r1", "--wait")
    assert 0 == told.status, told.err
    yield HOOLI
    told = control.run("offboard", HOOLI)
    assert 0 == told.status, told.err


def named(release: Release, which: str) -> str:
    """As `deploy` is told it."""
    return f"--release={release.version(which)}@{release.digest(which)}"


def charts(whole: Whole) -> dict[str, str]:
    """What each instance's release has in the cluster, by its name."""
    listed = whole.cluster.list("helm.toolkit.fluxcd.io/v2", "HelmRelease", "tenants")
    return {
        each["metadata"]["name"]: each["status"]["history"][0]["ociDigest"]
        for each in listed.body["items"]
    }


def test_a_release_reaches_one_ring_after_the_other(
    control: Control, flux: Fleet, whole: Whole, release: Release, in_r1: str
) -> None:
    """The first ring runs it before the second is told of it; other tiers keep what they have."""
    told = control.run("deploy", "--tier=basic", named(release, NEXT), SOAK)

    assert 0 == told.status, told.err
    assert ["r0", "r1", "r2"] == list(told.result["commits"])
    log = flux.origin.git("log", "--reverse", "--format=%H", "main").split()
    places = [log.index(commit) for commit in told.result["commits"].values()]
    assert places == sorted(places)
    assert {"r0": 1, "r1": 1, "r2": 0} == told.result["instances"]
    found = charts(whole)
    new, old = release.digest(NEXT), release.digest("tenant-template")
    assert {"globex": new, in_r1: new, "initech": old, "acme": old, POOL.id: old} == found


def test_pods_change_under_traffic(
    control: Control, whole: Whole, release: Release, routes: Routes
) -> None:
    """Those of the pool are others then, and of what was accepted meanwhile nothing is lost."""
    with flowing(routes, TENANTS) as traffic:
        wait_for(lambda: traffic.count >= 30, what="traffic")
        told = control.run("deploy", "--tier=pools", named(release, NEXT), SOAK)
        assert 0 == told.status, told.err
        before = traffic.count
        wait_for(lambda: traffic.count >= before + 30, what="more traffic")

    versions = {
        env["value"]
        for pod in whole.cluster.list("v1", "Pod", POOL.id).body["items"]
        if "deletionTimestamp" not in pod["metadata"]
        for env in pod["spec"]["containers"][0]["env"]
        if env["name"] == "TENANTRY_VERSION"
    }
    assert {release.version(NEXT)} == versions
    traffic.settle(TENANTS)


def test_a_bad_release_stops_at_the_first_ring_and_is_taken_back(
    control: Control, flux: Fleet, whole: Whole, release: Release, routes: Routes
) -> None:
    """Whoever deploys is told why; nobody's messages are."""
    with flowing(routes, TENANTS) as traffic:
        told = control.run("deploy", "--tier=pools", named(release, BAD), SOAK)
        before = traffic.count
        wait_for(lambda: traffic.count >= before + 30, what="traffic afterwards")

    assert 0 != told.status
    assert "clusterroles" in told.err
    assert "pools r0 has" in told.err
    subjects = flux.origin.git("log", "--format=%s", "main")
    assert f"Deploy pools {release.version(BAD)} to r0" in subjects
    assert f"Take pools r0 back from {release.version(BAD)}" in subjects
    assert f"{release.version(BAD)} to r1" not in subjects
    kept = flux.origin.git("show", f"main:{path_of_train('dev', 'pools')}")
    assert release.digest(BAD) not in kept
    wait_for(lambda: charts(whole)[POOL.id] == release.digest(NEXT), what="the release before")
    traffic.settle(TENANTS)
