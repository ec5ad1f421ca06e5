"""A program that knows only docs/contract.md sends, and reads what it and the producer sent."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tenantry_local.laptop import Laptop
from tenantry_local.model import ACCESS_KEY_ID, ENVIRONMENT, REGION, SECRET_ACCESS_KEY

ROOT = Path(__file__).resolve().parents[2]
TENANTS = {"acme": {}, "initech": {}, "umbrella": {}, "hooli": {"shards": 4}}


def example(page: str, name: str) -> str:
    """A program, as a reader of the page would copy it."""
    text = (ROOT / page).read_text("utf-8")
    pattern = rf"<!-- example: {name} -->\n```python\n(.*?)^```$"
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no example {name}"
    return found[1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def laptop() -> AsyncGenerator[Laptop, None]:
    async with Laptop.up() as laptop:
        await laptop.add_tenant("hooli", "premium", shards=4)
        yield laptop


async def run(laptop: Laptop, tenant: str, program: str, *arguments: str) -> tuple[int, str]:
    env = {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": laptop.engine_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "ENVIRONMENT": ENVIRONMENT,
        "TENANT": tenant,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, *arguments, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode().strip()


async def read(laptop: Laptop, tenant: str, message_id: str) -> str:
    """What read.py prints, once the message is there."""
    deadline = time.monotonic() + 15
    while True:
        status, output = await run(
            laptop, tenant, example("docs/contract.md", "read.py"), message_id
        )
        if status == 0 or "not stored (yet)" not in output or time.monotonic() > deadline:
            assert status == 0, output
            return output


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("tenant", TENANTS)
async def test_what_a_foreign_program_sends_is_stored(laptop: Laptop, tenant: str) -> None:
    """send.py and read.py, as pasted, for each tier and for a tenant with shards."""
    status, message_id = await run(laptop, tenant, example("docs/contract.md", "send.py"))

    assert status == 0, message_id
    assert (await read(laptop, tenant, message_id)).startswith("invoice.paid {'invoice': 7001")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("tenant", TENANTS)
async def test_a_foreign_program_reads_what_the_producer_sent(laptop: Laptop, tenant: str) -> None:
    """read.py, as pasted, finds what came in over HTTP, and its digest fits."""
    headers = {"Authorization": f"Bearer {laptop.token(tenant)}", "tenantID": tenant}
    body = {"type": "order.created", "payload": {"order": 1001, "note": "naïve ☕"}}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{laptop.router_url}/messages", json=body) as answer,
    ):
        message_id = (await answer.json())["message_id"]

    assert (await read(laptop, tenant, message_id)).startswith("order.created {'order': 1001")
