"""One cluster for the whole story."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

from delivery import base
from e2e.cluster.whole import Whole, opened

#: Short, since sockets are below it.
FOLDER: Final = Path(os.environ.get("TENANTRY_E2E_FOLDER", "/tmp/tenantry-e2e"))


@pytest.fixture(scope="session")
def whole() -> Generator[Whole]:
    """A cluster that runs pods."""
    with opened(FOLDER) as found:
        yield found


@pytest.fixture(scope="session")
def debian(whole: Whole) -> str:
    """An image with Python in the cluster's registry, by digest."""
    return base.push(whole.registry)
