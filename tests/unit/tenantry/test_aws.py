"""Clients of AWS: each starts, with the bounds that were chosen, and nothing calls out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from typing import Any

import aioboto3
import pytest
from aiobotocore.utils import AioContainerMetadataFetcher
from aiohttp import web

from tenantry import aws
from tenantry.aws import Aws


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and region from variables, and no file or metadata service to ask."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
async def opened() -> AsyncGenerator[Aws, None]:
    """Clients close with the stack."""
    async with AsyncExitStack() as stack:
        yield Aws(stack)


@pytest.mark.parametrize(
    ("service", "attempts", "calls"),
    [
        ("sqs", 1, ["send_message_batch", "receive_message", "change_message_visibility_batch"]),
        ("dynamodb", 3, ["get_item", "batch_execute_statement", "query", "put_item"]),
        ("sts", 3, ["assume_role"]),
    ],
)
async def test_every_client_starts_with_its_bounds(
    opened: Aws, service: str, attempts: int, calls: list[str]
) -> None:
    """Time-outs, attempts and pool are ours; the calls that we make exist."""
    client: Any = await getattr(opened, service)()
    config = client.meta.config

    assert (2.0, 5.0, 64) == (
        config.connect_timeout,
        config.read_timeout,
        config.max_pool_connections,
    )
    assert attempts == config.retries["total_max_attempts"]
    assert config.retries["mode"] == "standard"
    assert f"https://{service}.eu-central-1.amazonaws.com" == client.meta.endpoint_url
    for call in calls:
        assert callable(getattr(client, call))


async def test_all_clients_start_in_one_process(opened: Aws) -> None:
    """Side by side, from one session: what the pinned versions have to agree on."""
    clients = [await opened.sqs(), await opened.dynamodb(), await opened.sts()]

    assert ["sqs", "dynamodb", "sts"] == [c.meta.service_model.service_name for c in clients]


async def test_a_long_poll_has_the_time_it_needs(opened: Aws) -> None:
    """Time-out and attempts can be given for each client."""
    client: Any = await opened.sqs(read_seconds=25, attempts=2)

    assert client.meta.config.read_timeout == 25
    assert client.meta.config.retries["total_max_attempts"] == 2


async def test_the_endpoint_comes_from_the_standard_variable(
    opened: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A laptop's engine is one variable away."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
    client: Any = await opened.dynamodb()

    assert client.meta.endpoint_url == "http://127.0.0.1:4566"


async def test_clients_close_with_their_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens the stack closes everything, the last one first."""
    closed: list[str] = []
    create = aioboto3.Session.client

    def recording(self: aioboto3.Session, service: str, **options: Any) -> Any:
        context = create(self, service, **options)
        leave = context.__class__.__aexit__

        class Recording:
            async def __aenter__(self) -> Any:
                return await context.__aenter__()

            async def __aexit__(self, *error: object) -> None:
                closed.append(service)
                await leave(context, *error)

        return Recording()

    monkeypatch.setattr(aioboto3.Session, "client", recording)
    async with AsyncExitStack() as stack:
        opened = Aws(stack)
        await opened.sqs()
        await opened.dynamodb()

    assert ["dynamodb", "sqs"] == closed


def test_attempts_count_the_first_call() -> None:
    """One attempt is no retry."""
    config: Any = aws.config(1.0, 1)

    assert {"mode": "standard", "total_max_attempts": 1} == config.retries


class Agent:
    """Gives credentials to pods, once their account has a role."""

    def __init__(self) -> None:
        self.asked = 0
        self.refuses = 0

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        assert "a token" == request.headers["Authorization"]
        self.asked += 1
        if self.asked <= self.refuses:
            return web.json_response({"message": "no association"}, status=404)
        return web.json_response(
            {
                "AccessKeyId": "key",
                "SecretAccessKey": "secret",
                "Token": "session",
                "Expiration": "2099-01-01T00:00:00Z",
            }
        )


@pytest.fixture
async def agent(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Agent, None]:
    """In the place of Pod Identity's."""
    found = Agent()
    runner = web.ServerRunner(web.Server(found), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/credentials"
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a token")
    monkeypatch.setattr(AioContainerMetadataFetcher, "SLEEP_TIME", 0)
    monkeypatch.setattr(aws, "CREDENTIALS_SECONDS", 0.01)
    yield found
    await runner.cleanup()


async def test_a_pod_that_is_older_than_its_role_waits_for_it(opened: Aws, agent: Agent) -> None:
    """Regression: it ended, and was started again later and later."""
    agent.refuses = 7  # a look asks three times

    assert await opened.await_credentials(asyncio.Event())

    asked = agent.asked
    assert asked > agent.refuses
    await opened.dynamodb()
    assert asked == agent.asked


async def test_a_stop_ends_the_wait_for_credentials(opened: Aws, agent: Agent) -> None:
    """A pod that is taken away while it has no role goes at once."""
    agent.refuses = 1_000_000
    stop = asyncio.Event()
    waiting = asyncio.create_task(opened.await_credentials(stop))
    while agent.asked < 4:  # noqa: ASYNC110 - the second look
        await asyncio.sleep(0)

    stop.set()

    assert not await waiting


async def test_nothing_is_waited_for_where_nobody_gives_credentials(
    opened: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls then say that there are none."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert await opened.await_credentials(asyncio.Event())
