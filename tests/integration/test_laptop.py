"""One laptop, as code uses it."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tenantry.tenant_id import parse_tenant_id
from tenantry_local.laptop import Laptop
from tenantry_local.model import LaptopError, TenantSpec
from tenantry_local.resources import queue_depth

pytestmark = pytest.mark.asyncio(loop_scope="module")

TENANTS = (TenantSpec("acme", "basic"), TenantSpec("initech", "advanced"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laptop(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Laptop, None]:
    run_dir = tmp_path_factory.mktemp("laptop") / "run"
    async with Laptop.up(TENANTS, run_dir=run_dir, wait_seconds=1) as laptop:
        yield laptop


@pytest_asyncio.fixture(loop_scope="module")
async def http(laptop: Laptop) -> AsyncGenerator[aiohttp.ClientSession, None]:
    async with aiohttp.ClientSession(laptop.router_url) as session:
        yield session


def headers(laptop: Laptop, tenant_id: str) -> dict[str, str]:
    return {"tenantID": tenant_id, "Authorization": f"Bearer {laptop.token(tenant_id)}"}


async def eventually(ask: Callable[[], Awaitable[Any]], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while (answer := await ask()) is None:
        assert time.monotonic() < deadline, "it did not happen in time"
    return answer


async def send(laptop: Laptop, http: aiohttp.ClientSession, tenant_id: str, payload: Any) -> str:
    body = json.dumps({"type": "test.sent", "payload": payload}).encode()
    async with http.post(
        "/messages",
        data=io.BytesIO(body),
        headers=headers(laptop, tenant_id) | {"Content-Type": "application/json"},
    ) as response:
        assert response.status == 202, await response.text()
        answer = await response.json()
    assert response.headers["Location"] == f"/messages/{answer['message_id']}"
    message_id: str = answer["message_id"]
    return message_id


async def read(laptop: Laptop, http: aiohttp.ClientSession, tenant_id: str, path: str) -> Any:
    async def ask() -> Any:
        async with http.get(path, headers=headers(laptop, tenant_id)) as response:
            return await response.json() if response.status == 200 else None

    return await eventually(ask)


@pytest.mark.parametrize("tenant_id", ["acme", "initech"])
async def test_what_is_sent_through_the_router_can_be_read_back(
    laptop: Laptop, http: aiohttp.ClientSession, tenant_id: str
) -> None:
    """A message of 200 KB and its answer cross router, services and engine unchanged."""
    payload = {"text": "é" * 100_000}
    message_id = await send(laptop, http, tenant_id, payload)
    stored = await read(laptop, http, tenant_id, f"/messages/{message_id}")
    assert stored["payload"] == payload


async def test_requests_go_where_the_tier_says(
    laptop: Laptop, http: aiohttp.ClientSession
) -> None:
    """An advanced tenant shares its pool's producer and owns its consumer."""
    served = {
        (tenant_id, service): (await read(laptop, http, tenant_id, f"/{service}"))["pool"]
        for tenant_id in ("acme", "initech")
        for service in ("producer", "consumer")
    }
    assert served == {
        ("acme", "producer"): "pool-1",
        ("acme", "consumer"): "pool-1",
        ("initech", "producer"): "pool-1",
        ("initech", "consumer"): None,
    }


async def test_queues_and_tables_are_as_terraform_makes_them(laptop: Laptop) -> None:
    """Size, retention, long poll, encryption, redrive and keys."""
    tenant = laptop.tenants["initech"]
    sqs, dynamodb = laptop.engine.sqs, laptop.engine.dynamodb
    queue, dead_letters = [
        (await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
        for url in (tenant.queue_url, tenant.dead_letter_queue_url)
    ]
    assert tenant.queue_url.endswith("/local-initech-messages")
    assert queue["MaximumMessageSize"] == dead_letters["MaximumMessageSize"] == "262144"
    assert queue["MessageRetentionPeriod"] == "345600"
    assert dead_letters["MessageRetentionPeriod"] == "1209600"
    assert queue["ReceiveMessageWaitTimeSeconds"] == "20"
    assert queue["SqsManagedSseEnabled"] == dead_letters["SqsManagedSseEnabled"] == "true"
    assert json.loads(queue["RedrivePolicy"]) == {
        "deadLetterTargetArn": dead_letters["QueueArn"],
        "maxReceiveCount": 10,
    }
    assert json.loads(dead_letters["RedriveAllowPolicy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [queue["QueueArn"]],
    }
    table = (await dynamodb.describe_table(TableName=tenant.table_name))["Table"]
    assert [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]] == [
        ("tenant_id", "HASH"),
        ("message_id", "RANGE"),
    ]
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


async def test_the_page_shows_tenants_and_loads_nothing(
    laptop: Laptop, http: aiohttp.ClientSession
) -> None:
    """Every tenant, queue and process is on it, and no address but this machine's."""
    async with http.get("/") as response:
        page = await response.text()
    for shown in ("acme", "initech", "local-pool-1-messages", "pool-1-producer.log"):
        assert shown in page
    assert "<script" not in page
    assert "https://" not in page


async def test_a_service_that_is_killed_is_missed_and_comes_back(
    laptop: Laptop, http: aiohttp.ClientSession
) -> None:
    """While it is down the router answers 502; restarted, it serves on the same port."""
    before = laptop.instance("pool-1", "producer")
    assert before.pid is not None
    await laptop.kill("pool-1", "producer", signal.SIGKILL)
    assert laptop.instance("pool-1", "producer").pid is None
    async with http.get("/producer", headers=headers(laptop, "acme")) as response:
        assert response.status == 502
    with pytest.raises(LaptopError, match="does not run"):
        await laptop.kill("pool-1", "producer")
    await laptop.restart("pool-1", "producer")
    after = laptop.instance("pool-1", "producer")
    assert (after.port, after.private_port) == (before.port, before.private_port)
    assert after.pid not in (None, before.pid)
    await send(laptop, http, "acme", {})


async def test_a_tenant_comes_and_goes(laptop: Laptop, http: aiohttp.ClientSession) -> None:
    """A premium tenant gets all of its own; when it leaves, nothing of it is left."""
    tenant = await laptop.add_tenant("hooli", "premium", rate=7)
    assert (tenant.pool, tenant.producer, tenant.consumer) == (None, "hooli", "hooli")
    message_id = await send(laptop, http, "hooli", {"n": 1})
    await read(laptop, http, "hooli", f"/messages/{message_id}")
    pids = [i.pid for i in laptop.instances if i.instance == "hooli"]
    with pytest.raises(LaptopError, match="lives here already"):
        await laptop.add_tenant("hooli", "basic")

    await laptop.remove_tenant("hooli")
    async with http.get("/messages", headers=headers(laptop, "hooli")) as response:
        assert response.status == 404
    assert len(pids) == 2
    assert not any(exists(pid) for pid in pids)
    assert not tenant.token_file.exists()
    with pytest.raises(laptop.engine.sqs.exceptions.QueueDoesNotExist):
        await queue_depth(laptop.engine, tenant.queue_url)
    with pytest.raises(LaptopError, match="no tenant hooli"):
        await laptop.remove_tenant("hooli")


async def test_a_basic_tenant_that_left_is_refused_and_can_return(
    laptop: Laptop, http: aiohttp.ClientSession
) -> None:
    """The registry says offboarded, and active again, one generation after the other."""
    registry = laptop.registry
    generations = []
    for status in ("active", "offboarded", "active"):
        if status == "active":
            await laptop.add_tenant("stark", "basic")
        else:
            await laptop.remove_tenant("stark")
        placement = await registry.get(parse_tenant_id("stark"))
        assert placement is not None
        assert placement.status == status
        generations.append(placement.generation)
    assert generations == [1, 2, 3]
    await laptop.remove_tenant("stark")


@pytest.mark.parametrize("tenant_id", ["pool-9", "A", "x" * 33])
async def test_what_is_no_tenant_id_is_refused(laptop: Laptop, tenant_id: str) -> None:
    """The library's rule holds here too."""
    with pytest.raises(LaptopError, match="tenant id"):
        await laptop.add_tenant(tenant_id, "basic")


def environment_of(pid: int | None) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)


def exists(pid: int | None) -> bool:
    return Path(f"/proc/{pid}").exists()


async def test_children_have_nothing_of_the_users_account(laptop: Laptop) -> None:
    """No AWS variable of a service's environment is the user's."""
    pid = laptop.instance("pool-1", "consumer").pid
    env = environment_of(pid)
    assert env["AWS_CONFIG_FILE"] == env["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert env["AWS_ENDPOINT_URL"] == laptop.engine_url
    assert env["AWS_ACCESS_KEY_ID"] == "local"
    assert not {"AWS_PROFILE", "AWS_SESSION_TOKEN"} & env.keys()


async def test_nothing_listens_beyond_loopback(laptop: Laptop) -> None:
    """Every port of every process refuses this machine's other addresses."""
    ports = [int(laptop.router_url.rpartition(":")[2]), int(laptop.engine_url.rpartition(":")[2])]
    ports += [port for i in laptop.instances for port in (i.port, i.private_port)]
    for port in ports:
        with socket.socket() as probe:
            # 127.0.0.2 reaches what listens on every address, and not what is on 127.0.0.1.
            assert probe.connect_ex(("127.0.0.2", port)) != 0, port
