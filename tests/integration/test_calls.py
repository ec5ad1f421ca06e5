"""How many AWS calls a message costs, counted by a proxy in front of the engine."""

from __future__ import annotations

import signal

import pytest

from support.counted import TENANT, counted_laptop
from support.load import send, wait_stored
from tenantry_local.model import CONSUMER


@pytest.mark.slow
async def test_calls_a_message_when_many_send_and_when_a_backlog_is_drained() -> None:
    """64 requests in flight share calls (≤ 0.15 at 20 ms, ≤ 0.2 at none); a drain takes ≤ 0.35."""
    messages = 1_000
    async with counted_laptop() as (laptop, proxy):
        await laptop.kill(TENANT, CONSUMER, signal.SIGKILL)
        for delay_seconds, most in ((0.02, 0.15), (0.0, 0.2)):
            proxy.delay_seconds = delay_seconds
            proxy.reset()

            statuses = await send(
                laptop, TENANT, messages=messages, payload_bytes=600, in_flight=64
            )

            assert {202: messages} == statuses
            assert proxy.calls["SendMessageBatch"] >= messages / 10  # it was felt
            assert proxy.calls.total() <= most * messages, proxy.calls

        proxy.reset()
        await laptop.restart(TENANT, CONSUMER)
        await wait_stored(laptop, TENANT, 2 * messages, seconds=120)

        assert proxy.calls["BatchExecuteStatement"] >= 2 * messages / 25
        assert proxy.calls.total() <= 0.35 * 2 * messages, proxy.calls
