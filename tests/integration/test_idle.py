"""What a consumer asks AWS for while there is nothing to do."""

from __future__ import annotations

import asyncio

import pytest

from support.counted import counted_laptop


@pytest.mark.slow
async def test_an_idle_consumer_holds_one_poll_and_asks_for_nothing_else() -> None:
    """With nothing to do there is one ReceiveMessage each wait, so three a minute at 20 s."""
    wait_seconds = 2
    async with counted_laptop(wait_seconds=wait_seconds) as (_, proxy):
        # The first poll began before the laptop was up: count from the next.
        await proxy.wait_until(lambda: proxy.calls["ReceiveMessage"] >= 2, seconds=30)
        proxy.reset()

        await asyncio.sleep(5 * wait_seconds)  # the time itself is what is counted in

        assert set(proxy.calls) == {"ReceiveMessage"}
        assert 3 <= proxy.calls["ReceiveMessage"] <= 6, proxy.calls
