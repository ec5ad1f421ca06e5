"""One cluster for the whole story."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest

from delivery import base
from e2e.cluster.inside import is_inside
from e2e.cluster.whole import Whole, opened


@pytest.fixture(scope="session")
def whole() -> Generator[Whole]:
    """A cluster that runs pods."""
    if not is_inside():
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("a node is set up in namespaces of its own: `make e2e`")
    with opened(Path(os.environ["TENANTRY_E2E_FOLDER"])) as found:
        yield found


@pytest.fixture(scope="session")
def debian(whole: Whole) -> str:
    """An image with Python in the cluster's registry, by digest."""
    return base.push(whole.registry)
