"""The fleet on the cluster: from empty to Ready, in order, with admission in force."""

from __future__ import annotations

import pytest

from e2e.fleet import Fleet

pytestmark = pytest.mark.e2e


def test_all_of_clusters_dev_becomes_ready(flux: Fleet) -> None:
    """From one entry point, by Flux's own kustomize-controller."""
    flux.until_ready()

    assert {"tenancy", "admission", "facts", "releases", "tenants-0"} <= flux.entries().keys()
