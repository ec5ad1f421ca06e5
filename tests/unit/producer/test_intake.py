"""Bodies on their way in: bounded in bytes, and by tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fakes.producer import ProducerApp
from fakes.waiting import until
from producer.intake import INTAKE_BYTES, TENANT_INTAKE_BYTES, Intake
from tenantry.errors import NotAcceptedError
from tenantry.limits import BODY_BYTES
from tenantry.tenant_id import TenantId

ACME, GLOBEX, INITECH = TenantId("acme"), TenantId("globex"), TenantId("initech")


def test_one_tenant_leaves_room_for_the_others() -> None:
    """Beyond its own bound it is refused, while another is not."""
    intake = Intake(most_bytes=100, tenant_bytes=60)
    intake.take(ACME, 60)
    with pytest.raises(NotAcceptedError):
        intake.take(ACME, 1)

    intake.take(GLOBEX, 40)


def test_all_together_are_bounded() -> None:
    """Whoever comes when all is taken is refused, and what was refused counts nothing."""
    intake = Intake(most_bytes=100, tenant_bytes=60)
    intake.take(ACME, 60)
    intake.take(GLOBEX, 30)
    with pytest.raises(NotAcceptedError):
        intake.take(INITECH, 11)

    intake.take(INITECH, 10)


def test_what_is_given_back_can_be_taken_again() -> None:
    """By anybody; and a tenant that has nothing here is not remembered."""
    intake = Intake(most_bytes=100, tenant_bytes=60)
    for tenant in (ACME, GLOBEX, INITECH):
        intake.take(tenant, 60)
        intake.give_back(tenant, 60)

    assert not intake._by_tenant


def test_the_bounds_hold_many_of_the_largest_bodies() -> None:
    """A client that sends a few at a time never meets them."""
    assert 16 * BODY_BYTES == TENANT_INTAKE_BYTES
    assert 2 * TENANT_INTAKE_BYTES == INTAKE_BYTES


class SlowBody:
    """Nearly all of the largest body at once; the rest never comes."""

    def __init__(self) -> None:
        self.waits = False

    async def __call__(self) -> dict[str, Any]:
        if self.waits:
            await asyncio.Event().wait()
        self.waits = True
        return {"type": "http.request", "body": b" " * (BODY_BYTES - 1), "more_body": True}


async def gone() -> dict[str, Any]:
    return {"type": "http.disconnect"}


def too_large() -> Callable[[], Awaitable[dict[str, Any]]]:
    parts = iter([b" " * BODY_BYTES, b" "])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(parts), "more_body": True}

    return receive


async def test_bodies_that_wait_are_bounded(tmp_path: Path) -> None:
    """400 slow clients used to be 400 MB: now the seventeenth is told to come again."""
    producer = ProducerApp(tmp_path / "jwks.json")
    slow = [SlowBody() for _ in range(16)]
    waiting = [asyncio.create_task(producer.post(receive=body)) for body in slow]
    await until(lambda: all(body.waits for body in slow))

    refused = await producer.post(receive=SlowBody())
    assert (503, "urn:tenantry:problem:not-accepted") == (refused.status, refused.json["type"])
    assert "1" == refused.headers["retry-after"]

    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert 202 == (await producer.post()).status


async def test_bodies_that_come_to_nothing_give_back_what_they_took(tmp_path: Path) -> None:
    """Cut off, too large, or no JSON: many times over what may be in hand."""
    producer = ProducerApp(tmp_path / "jwks.json")
    for _ in range(20):
        assert 413 == (await producer.post(receive=too_large())).status
        assert 400 == (await producer.post(body=b" " * BODY_BYTES)).status
    assert 400 == (await producer.post(receive=gone)).status

    assert 202 == (await producer.post()).status
