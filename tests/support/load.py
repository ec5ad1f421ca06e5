"""Sends many messages straight to a producer, and measures processes as the system sees them."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, PRODUCER, Instance

#: Coverage in a service's process would be measured with it.
NOT_COVERED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}


async def send(
    laptop: Laptop, tenant: str, *, messages: int, payload_bytes: int, in_flight: int
) -> Counter[int]:
    """So many requests, so many at a time; the answers by status."""
    producer = laptop.instance(laptop.tenants[tenant].producer, PRODUCER)
    body = json.dumps({"type": "load.sent", "payload": {"filler": "x" * payload_bytes}}).encode()
    headers = {
        "Authorization": f"Bearer {laptop.token(tenant)}",
        "Content-Type": "application/json",
    }
    statuses: Counter[int] = Counter()
    numbers = iter(range(messages))
    connector = aiohttp.TCPConnector(limit=in_flight)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def client() -> None:
            for _ in numbers:
                async with session.post(f"{producer.url}/messages", data=body) as answer:
                    await answer.read()
                    statuses[answer.status] += 1

        await asyncio.gather(*(client() for _ in range(in_flight)))
    return statuses


async def wait_stored(laptop: Laptop, tenant: str, messages: int, *, seconds: float) -> None:
    """Wait until a consumer says that it stored so many and holds none."""
    consumer = laptop.instance(laptop.tenants[tenant].consumer, CONSUMER)

    async def is_stored() -> bool:
        return (
            await metric(consumer, "tenantry_messages_stored_total") >= messages
            and await metric(consumer, "tenantry_hand_messages") == 0
        )

    await wait_for(is_stored, seconds=seconds)


async def wait_for(condition: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
    """Wait until something holds; `TimeoutError` if it does not."""
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s")
        await asyncio.sleep(0.1)


async def metric(instance: Instance, name: str) -> float:
    """The sum of a metric's samples over its labels."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{instance.private_url}/metrics") as answer,
    ):
        lines = (await answer.text()).splitlines()
    samples = [line for line in lines if line.startswith((name + "{", name + " "))]
    return sum(float(line.rsplit(" ", 1)[1]) for line in samples)


def cpu_seconds(instance: Instance) -> float:
    """CPU that a process used since its start."""
    fields = _proc(instance, "stat").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mebibytes(instance: Instance) -> float:
    """The most resident memory that a process ever had."""
    for line in _proc(instance, "status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("VmHWM is not there")


def _proc(instance: Instance, name: str) -> str:
    return Path(f"/proc/{instance.pid}/{name}").read_text()
