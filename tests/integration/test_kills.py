"""A process that is killed loses nothing that was answered with 202."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from itertools import cycle

import pytest

from support.counted import TENANT, counted_laptop
from support.ledger import RETRYABLE, Ledger
from support.watch import Phase, Watch
from tenantry_local.model import CONSUMER, PRODUCER

pytestmark = [pytest.mark.slow, pytest.mark.faults]

PHASES: tuple[Phase, ...] = ("received", "writing", "written")
#: So that each window is open for longer than a signal takes.
DELAY_SECONDS = 0.02

KILLS = 50


async def test_a_killed_consumer_loses_nothing() -> None:
    """SIGKILL between receive and write, inside a write, between write and delete: all stored.

    A kill counts only where the proxy saw a message received and not deleted.
    """
    rng = random.Random(KILLS)
    felt: Counter[Phase] = Counter()
    async with counted_laptop(visibility_seconds=2, max_receive_count=1_000, wait_seconds=1) as (
        laptop,
        proxy,
    ):
        proxy.delay_seconds = DELAY_SECONDS
        watch = Watch()
        proxy.observers.append(watch)
        ledger = Ledger(laptop, TENANT)
        wanted = cycle(PHASES)
        async with ledger.sending(clients=4, pause_seconds=0.05):
            while felt.total() < KILLS:
                await asyncio.sleep(rng.uniform(0.2, 0.6))  # the time between kills is the test's
                phase = next(wanted)
                await watch.until(phase, seconds=30)
                inside = watch.count()  # the signal is sent before anything else can happen
                await laptop.kill(TENANT, CONSUMER, signal.SIGKILL)
                # Of a write the engine may still answer; the other two are as the dead left them.
                felt[phase] += (inside if phase == "writing" else watch.count())[phase] > 0
                watch.forget()
                await laptop.restart(TENANT, CONSUMER)
                await ledger.look()
        await ledger.wait_stored(seconds=60)

        assert all(felt[phase] >= 5 for phase in PHASES), felt
        assert len(ledger.accepted) >= KILLS
        assert await ledger.dead_letters() == 0
        ledger.assert_unchanged()


async def test_a_killed_producer_loses_nothing_that_it_accepted() -> None:
    """SIGKILL with calls in flight: all that was answered with 202 is stored."""
    rng = random.Random(KILLS)
    felt = 0
    async with counted_laptop(wait_seconds=1) as (laptop, proxy):
        proxy.delay_seconds = DELAY_SECONDS
        ledger = Ledger(laptop, TENANT)
        async with ledger.sending(clients=16, pause_seconds=0.005):
            while felt < KILLS:
                before = ledger.answers.copy()
                await asyncio.sleep(rng.uniform(0.1, 0.4))  # the time between kills is the test's
                await laptop.kill(TENANT, PRODUCER, signal.SIGKILL)
                await laptop.restart(TENANT, PRODUCER)
                # Felt: it had accepted something since the last, and connections broke.
                gained = ledger.answers - before
                felt += gained[202] > 0 and gained[0] > 0
        await ledger.wait_stored(seconds=60)

        assert await ledger.dead_letters() == 0
        ledger.assert_unchanged()


async def test_a_rolling_restart_under_load_loses_no_request() -> None:
    """SIGTERM to both services under load: 202, or an answer that may be retried; all stored.

    Nothing waits for its visibility timeout, which is longer than the test.
    """
    async with counted_laptop(visibility_seconds=600, wait_seconds=1) as (laptop, _):
        ledger = Ledger(laptop, TENANT, through_router=True)
        async with ledger.sending(clients=8, pause_seconds=0.01):
            for service in (PRODUCER, CONSUMER, PRODUCER, CONSUMER):
                accepted = len(ledger.accepted)
                await laptop.kill(TENANT, service, signal.SIGTERM)
                await laptop.restart(TENANT, service)
                await ledger.wait_accepted(accepted + 20, seconds=30)
        await ledger.wait_stored(seconds=60)

        assert set(ledger.answers) <= {202, *RETRYABLE}, ledger.answers
        assert await ledger.dead_letters() == 0
        ledger.assert_unchanged()
