"""Tenants come: from a file in Git to pods that are Ready."""

from __future__ import annotations

import pytest

from e2e.cluster.whole import Whole
from e2e.fleet import Fleet
from support.reconcilers_standin import condition
from support.waiting import wait_for
from tenantctl.files import path_of, render
from tenantctl.model import Home, Instance

pytestmark = pytest.mark.e2e


def test_a_premium_tenant_is_installed(flux: Fleet, whole: Whole) -> None:
    """With queue and table of its own, by Terraform in a pod, and pods that are Ready."""
    acme = Instance(id="acme", home=Home("premium"), ring="r0", group="premium-1")
    flux.origin.commit({path_of("dev", acme): render(acme)}, "Onboard acme")

    def is_there() -> bool:
        assert not flux.wrong, flux.wrong[0]
        found = whole.cluster.get("helm.toolkit.fluxcd.io/v2", "HelmRelease", "acme", "tenants")
        return found.ok and condition(found.body).get("status") == "True"

    wait_for(is_there, seconds=300, what="acme")
