"""What tests of the producer share."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.producer import ProducerApp


@pytest.fixture
def producer(tmp_path: Path) -> ProducerApp:
    """A pool's producer that knows acme."""
    return ProducerApp(tmp_path / "jwks.json")
