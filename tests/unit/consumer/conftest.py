"""The tests of the poller run in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from fakes.loop import SimulatedLoop

SIMULATED = frozenset({"test_poller.py", "test_drain.py", "test_regressions.py"})


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Which loop a test runs in."""
    if item.path.name in SIMULATED:
        return {"simulated": SimulatedLoop}
    return {"real": asyncio.new_event_loop}
