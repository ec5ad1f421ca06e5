"""One cluster for the whole story, and what follows a fleet on it."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from delivery import base
from e2e import aws, fleet, network_standin, pod_identity_standin
from e2e.aws import Aws
from e2e.cluster.inside import is_inside
from e2e.cluster.whole import Whole, opened
from e2e.control import Control
from e2e.fleet import Fleet
from e2e.release import Release, prepared
from e2e.tenants import Routes


@pytest.fixture(scope="session")
def release() -> Release:
    """What the story begins with."""
    if not is_inside():
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("a node is set up in namespaces of its own: `make e2e`")
    return prepared()


@pytest.fixture(scope="session")
def whole(release: Release) -> Generator[Whole]:
    """A cluster that runs pods, and holds them to network policies."""
    folder = Path(os.environ["TENANTRY_E2E_FOLDER"])
    with (
        opened(folder, release.folder / "data") as found,
        network_standin.in_force(found.cluster) as wrong,
    ):
        yield found
    assert not wrong, wrong


@pytest.fixture(scope="session")
def debian(whole: Whole) -> str:
    """An image with Python in the cluster's registry, by digest."""
    return base.push(whole.registry)


@pytest.fixture(scope="session")
def environment(whole: Whole) -> Generator[Aws]:
    """AWS as its Terraform leaves it, and pods that have identities in it."""
    with (
        aws.opened(whole.folder / "aws") as found,
        pod_identity_standin.serving(whole.cluster, found),
    ):
        yield found


@pytest.fixture(scope="session")
def flux(whole: Whole, environment: Aws, release: Release) -> Generator[Fleet]:
    """A fleet that the cluster follows, from empty."""
    with fleet.followed(
        whole.cluster, environment, release, whole.registry.host, whole.folder / "fleet"
    ) as found:
        yield found


@pytest.fixture(scope="session")
def control(whole: Whole, environment: Aws, flux: Fleet) -> Control:
    """Who brings tenants, moves them, and lets them go."""
    flux.until_ready()
    folder = whole.folder / "verbs"
    folder.mkdir()
    return Control(whole.cluster, environment, flux.origin.folder, whole.registry.host, folder)


@pytest.fixture(scope="session")
def routes(whole: Whole, environment: Aws) -> Routes:
    """How clients come in."""
    return Routes(whole.cluster, environment)


@pytest.fixture(autouse=True)
def _told(request: pytest.FixtureRequest) -> Generator[None]:
    """What a test fails on is in the folder, beside the logs."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed and "whole" in request.fixturenames:
        whole: Whole = request.getfixturevalue("whole")
        whole.write_state(whole.folder / f"state-{request.node.name}.log")
