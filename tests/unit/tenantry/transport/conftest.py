"""The tests of connections run on both event loops: the services' own, and asyncio's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import pytest
import uvloop

#: What there is to see there depends on the loop.
_ON_BOTH = ("test_answers.py", "test_certificates.py", "test_connections.py")

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, LoopFactory]:
    """By name, as it stands in a test's id."""
    loops: dict[str, LoopFactory] = {"uvloop": uvloop.new_event_loop}
    if item.path.name in _ON_BOTH:
        loops["asyncio"] = asyncio.new_event_loop
    return loops


@pytest.fixture(autouse=True)
async def _nothing_breaks_unseen() -> AsyncGenerator[None]:
    """What a callback raises, or a task that nobody awaits, fails the test."""
    seen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    yield
    assert [] == seen
