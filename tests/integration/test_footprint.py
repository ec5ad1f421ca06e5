"""What a service costs before and while it works."""

from __future__ import annotations

import sys

import pytest

from support.load import NOT_COVERED, cpu_seconds, peak_mebibytes, send, wait_stored
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, PRODUCER, TenantSpec

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

TENANT = "umbrella"


async def test_start_and_memory_stay_small() -> None:
    """≤ 2 s of CPU to be ready; ≤ 150 MiB after 20,000 × 600 B, ≤ 250 MiB with 200 KB ones."""
    small, large = 20_000, 300
    async with Laptop.up(
        [TenantSpec(TENANT, "premium", None)],
        extra_env={PRODUCER: NOT_COVERED, CONSUMER: NOT_COVERED},
    ) as laptop:
        services = [laptop.instance(TENANT, service) for service in (PRODUCER, CONSUMER)]
        for service in services:
            assert 0 < cpu_seconds(service) <= 2

        sent = await send(laptop, TENANT, messages=small, payload_bytes=600, in_flight=32)
        assert {202: small} == sent
        await wait_stored(laptop, TENANT, small, seconds=120)
        for service in services:
            assert 30 < peak_mebibytes(service) <= 150

        sent = await send(laptop, TENANT, messages=large, payload_bytes=200_000, in_flight=32)
        assert {202: large} == sent
        await wait_stored(laptop, TENANT, small + large, seconds=60)
        for service in services:
            assert peak_mebibytes(service) <= 250
