"""AWS throttling, failing, hanging: a clear answer, nothing lost, and it recovers by itself."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from support.counted import TENANT, counted_laptop
from support.ledger import Ledger
from support.load import metric, wait_for
from tenantry_local.faults import Fault, Kind
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, DEFAULT_TENANTS, PRODUCER

pytestmark = [pytest.mark.slow, pytest.mark.faults]

SEND = frozenset({"SendMessageBatch"})
WRITE = frozenset({"BatchExecuteStatement"})
REQUEST_SECONDS = 2


async def post(laptop: Laptop, tenant: str = TENANT) -> tuple[int, str, float]:
    """One message: status, slug of the problem, and how long it took."""
    producer = laptop.address(laptop.tenants[tenant].producer, PRODUCER)
    started = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{producer}/messages",
            json={"type": "fault.test", "payload": {}},
            headers={"Authorization": f"Bearer {laptop.token(tenant)}"},
        ) as answer,
    ):
        body = await answer.json(content_type=None)
        slug = str(body.get("type", "")).rpartition(":")[2]
        return answer.status, slug, time.monotonic() - started


async def test_a_producer_whose_queue_fails_says_what_became_of_the_message() -> None:
    """Retried within the deadline, then 503: told apart is whether it may have been sent."""
    expected: dict[Kind, str] = {
        "throttle": "not-accepted",
        "partial": "not-accepted",
        "error": "outcome-unknown",
        "reset": "outcome-unknown",
        "lost-answer": "outcome-unknown",
        "hang": "outcome-unknown",
    }
    env = {PRODUCER: {"TENANTRY_REQUEST_SECONDS": str(REQUEST_SECONDS)}}
    async with counted_laptop(extra_env=env, wait_seconds=1) as (laptop, proxy):
        found: dict[str, tuple[int, str]] = {}
        for kind in expected:
            proxy.faults.set(Fault(kind, SEND))
            status, slug, seconds = await post(laptop)
            found[kind] = (status, slug)

            assert proxy.faults.felt[f"{kind} SendMessageBatch"] >= 1
            assert seconds < 10 * REQUEST_SECONDS
            proxy.faults.set()
            assert (await post(laptop))[0] == 202  # it recovers by itself

        assert {kind: (503, slug) for kind, slug in expected.items()} == found


async def test_a_queue_that_hangs_delays_nobody_elses() -> None:
    """Of one producer's queues one hangs: the others answer as if it did not."""
    env = {PRODUCER: {"TENANTRY_REQUEST_SECONDS": str(REQUEST_SECONDS)}}
    async with counted_laptop(tenants=DEFAULT_TENANTS, extra_env=env, wait_seconds=1) as (
        laptop,
        proxy,
    ):
        proxy.faults.set(Fault("hang", SEND, text="local-initech-messages"))
        hanging = [asyncio.create_task(post(laptop, "initech")) for _ in range(100)]
        await proxy.wait_until(lambda: proxy.faults.felt.total() > 0, seconds=30)

        others = [await post(laptop, "acme") for _ in range(20)]

        assert {202} == {status for status, _, _ in others}
        assert max(seconds for _, _, seconds in others) < REQUEST_SECONDS
        assert {503} == {status for status, _, _ in await asyncio.gather(*hanging)}


@pytest.mark.parametrize("kind", ["throttle", "error", "reset"])
async def test_while_nothing_can_be_written_nothing_is_received(kind: Kind) -> None:
    """Nothing deleted, nothing dead-lettered, `/readyz` stays; all is stored afterwards."""
    async with counted_laptop(visibility_seconds=4, max_receive_count=3, wait_seconds=1) as (
        laptop,
        proxy,
    ):
        consumer = laptop.instance(TENANT, CONSUMER)
        ledger = Ledger(laptop, TENANT)
        proxy.faults.set(Fault(kind, WRITE))
        async with ledger.sending(clients=2, pause_seconds=0.02):

            async def is_blocked() -> bool:
                return await metric(consumer, "tenantry_consumer_blocked") == 1

            await wait_for(is_blocked, seconds=30)
            proxy.reset()
            # Three visibility timeouts: what was not extended would be a dead letter by now.
            await asyncio.sleep(12)
            assert await is_blocked()

            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{consumer.private_url}/readyz") as answer,
            ):
                assert answer.status == 200
        assert proxy.faults.felt[f"{kind} BatchExecuteStatement"] >= 3
        # A poll or two that were open when it began.
        assert proxy.calls["ReceiveMessage"] <= 4, proxy.calls
        assert proxy.calls["ChangeMessageVisibilityBatch"] >= 1
        assert proxy.calls["DeleteMessageBatch"] == 0
        assert not await ledger.dead_letters()

        proxy.faults.set()
        await ledger.wait_stored(seconds=60)
        assert not await ledger.dead_letters()
        ledger.assert_unchanged()
