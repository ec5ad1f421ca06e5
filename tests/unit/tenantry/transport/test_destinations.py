"""Calls go where a client of botocore's would go, trusting whom it trusts; or through it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import NoCredentialsError, SSLError

from fakes.waiting import until
from support.raw_server import Peer, answer, answering, certificate, raw_server
from support.transports import CALLS, TRANSPORTS, failure
from tenantry.aws import Aws
from tenantry.settings import ServiceSettings
from tenantry.transport import Transport
from tenantry.transport.calls import Calls
from tenantry.transport.connections import Answer, Connections


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and region from variables, and nothing of the user's."""
    for name in os.environ:
        if name.startswith(("AWS_", "BOTO")) or name.lower().endswith(("_proxy", "_bundle")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture
async def stack() -> AsyncGenerator[AsyncExitStack]:
    """Ends what a test opened."""
    async with AsyncExitStack() as stack:
        yield stack


async def opened(aws: Aws, service: str) -> tuple[Any, Any]:
    """A client, and the calls to where it would go."""
    if service == "sqs":
        client: Any = await aws.sqs()
        return client, await aws.sqs_calls(client)
    client = await aws.dynamodb(attempts=1)
    return client, await aws.dynamodb_calls(client)


class _SeenError(Exception):
    """A request was seen, and goes nowhere."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a request goes, and what it is signed for."""

    scheme: str
    host: str
    port: int
    path: str
    scope: tuple[str, ...]


def scope_of(authorization: str) -> tuple[str, ...]:
    """Region and service of a signature."""
    return tuple(authorization.split("Credential=")[1].split("/")[2:4])


async def of_client(client: Any, service: str) -> Destination:
    """Where botocore's client goes."""
    seen: list[Any] = []

    def stop(request: Any, **_: object) -> None:
        seen.append(request)
        raise _SeenError

    client.meta.events.register("before-send", stop)
    with pytest.raises(_SeenError):
        await CALLS[service](client)
    url = urlsplit(seen[0].url)
    authorization = seen[0].headers["Authorization"]
    if isinstance(authorization, bytes):
        authorization = authorization.decode()
    return Destination(
        url.scheme,
        str(url.hostname),
        url.port or {"http": 80, "https": 443}[url.scheme],
        url.path or "/",
        scope_of(authorization),
    )


async def of_calls(calls: Any, service: str, monkeypatch: pytest.MonkeyPatch) -> Destination:
    """Where lean calls go, and that the Host header says the same."""
    seen: list[Destination] = []

    async def exchange(self: Connections, request: bytes, *, seconds: float) -> Answer:
        head = request.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:])
        scheme = "http" if self._tls is None else "https"
        standard = {"http": 80, "https": 443}[scheme]
        host = f"[{self._host}]" if ":" in self._host else self._host
        assert headers["host"] == (host if self._port == standard else f"{host}:{self._port}")
        path = head[0].split(" ")[1]
        scope = scope_of(headers["authorization"])
        seen.append(Destination(scheme, self._host, self._port, path, scope))
        return Answer(200, [], b"{}")

    monkeypatch.setattr(Connections, "exchange", exchange)
    await CALLS[service](calls)
    return seen[0]


ENVIRONMENTS: Final[dict[str, dict[str, str]]] = {
    "plain": {},
    "china": {"AWS_DEFAULT_REGION": "cn-north-1"},
    "fips": {"AWS_USE_FIPS_ENDPOINT": "true"},
    # Both are called otherwise by the client than where it goes.
    "fips, government": {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_DEFAULT_REGION": "us-gov-west-1"},
    "dual stack, iso": {
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_DEFAULT_REGION": "us-iso-east-1",
    },
    "dual stack": {"AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "fips, dual stack": {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
    "an account's own": {"AWS_ACCOUNT_ID": "123456789012"},
    "no account's own": {
        "AWS_ACCOUNT_ID": "123456789012",
        "AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled",
    },
    "elsewhere": {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"},
    "a service elsewhere": {
        "AWS_ENDPOINT_URL": "http://all.example",
        "AWS_ENDPOINT_URL_SQS": "https://sqs.example:8443",
        "AWS_ENDPOINT_URL_DYNAMODB": "http://dynamodb.example",
    },
    "elsewhere, ignored": {
        "AWS_ENDPOINT_URL": "http://all.example",
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    },
    "capitals": {"AWS_ENDPOINT_URL": "https://Engine.Example:443"},
    "path": {"AWS_ENDPOINT_URL": "http://engine.example:80/aws/eu%20west/"},
    "version 6": {"AWS_ENDPOINT_URL": "http://[::1]:4566"},
    "no proxy for it": {
        "AWS_ENDPOINT_URL": "http://engine.example",
        "HTTP_PROXY": "http://proxy.example:3128",
        "NO_PROXY": "engine.example",
    },
    "proxy of the other scheme": {
        "AWS_ENDPOINT_URL": "http://engine.example",
        "HTTPS_PROXY": "http://proxy.example:3128",
    },
}


@pytest.mark.parametrize("name", ENVIRONMENTS)
async def test_calls_go_where_the_client_would(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Scheme, host, port and path, signed for the same region."""
    for variable, value in ENVIRONMENTS[name].items():
        monkeypatch.setenv(variable, value)
    aws = Aws(stack)
    for service in CALLS:
        client, calls = await opened(aws, service)

        assert isinstance(calls, Calls)
        assert await of_client(client, service) == await of_calls(calls, service, monkeypatch)


THROUGH_BOTOCORE: Final[dict[str, dict[str, str]]] = {
    "proxy": {"HTTPS_PROXY": "http://proxy.example:3128"},
    "proxy in small letters": {"https_proxy": "http://proxy.example:3128"},
    "query": {"AWS_ENDPOINT_URL": "http://engine.example/?a=b"},
    "user": {"AWS_ENDPOINT_URL": "http://user:password@engine.example/"},
    "space": {"AWS_ENDPOINT_URL": "http://engine.example/a b"},
    "umlaut": {"AWS_ENDPOINT_URL": "http://engine.example/\u00f6"},
}


@pytest.mark.parametrize("name", THROUGH_BOTOCORE)
async def test_what_the_lean_way_does_not_know_goes_through_botocore(
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    """And the log says so, without what an address may hold."""
    for variable, value in THROUGH_BOTOCORE[name].items():
        monkeypatch.setenv(variable, value)
    aws = Aws(stack)
    for service in CALLS:
        client, calls = await opened(aws, service)

        assert calls is client
        logged = capsys.readouterr().out
        assert "transport.botocore" in logged
        assert "example" not in logged


async def test_an_endpoint_that_is_not_known_yet_is_botocores_to_find(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says what is wrong with each call; the process starts all the same."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "local")
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    client, calls = await opened(Aws(stack), "dynamodb")

    assert calls is client


async def test_the_lean_way_can_be_switched_off(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a setting, for both services."""
    monkeypatch.setenv("TENANTRY_TRANSPORT", "botocore")
    settings = ServiceSettings(
        environment="dev",
        instance="pool-1",
        tier="basic",
        registry_table="dev-tenants",
        identity="header",
    )
    aws = Aws(stack, transport=settings.transport)
    for service in CALLS:
        client, calls = await opened(aws, service)
        assert calls is client


async def test_connections_end_with_their_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of both services."""
    async with raw_server(answering(answer())) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        async with AsyncExitStack() as stack:
            aws = Aws(stack)
            for service in CALLS:
                _, calls = await opened(aws, service)
                await CALLS[service](calls)
            assert 2 == server.open()
        await until(lambda: 0 == server.open())


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_credentials_at_all_send_nothing(
    stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch, transport: Transport
) -> None:
    """By either way it is the same error."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    async with raw_server(answering(answer())) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        aws = Aws(stack, transport=transport)
        for service in CALLS:
            _, calls = await opened(aws, service)
            assert NoCredentialsError is await failure(calls, service)
        assert [] == server.peers


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
async def test_a_certificate_of_ones_own_is_trusted_by_its_variable(
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    transport: Transport,
    variable: str,
) -> None:
    """Both of botocore's variables, by either way."""
    made = certificate(tmp_path, "127.0.0.1")
    monkeypatch.setenv(variable, str(made.path))
    async with raw_server(answering(answer()), tls=made.server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.port}")
        client, calls = await opened(Aws(stack, transport=transport), "sqs")
        assert (calls is client) == (transport == "botocore")
        await CALLS["sqs"](calls)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("fault", ["untrusted", "another name"])
async def test_a_server_that_is_somebody_else_is_sent_nothing(
    stack: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    transport: Transport,
    fault: str,
) -> None:
    """By either way: aiobotocore alone would take a trusted certificate of any name."""
    asked: list[bytes] = []

    async def script(peer: Peer) -> None:
        asked.append((await peer.request()).body)

    made = certificate(tmp_path, "127.0.0.1" if fault == "untrusted" else "other.example")
    if fault == "another name":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(made.path))
    async with raw_server(script, tls=made.server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"https://127.0.0.1:{server.port}")
        aws = Aws(stack, transport=transport)
        for service in CALLS:
            _, calls = await opened(aws, service)
            assert SSLError is await failure(calls, service)

    assert [] == asked
