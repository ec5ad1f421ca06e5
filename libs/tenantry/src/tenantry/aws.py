"""One aioboto3 session, and clients whose time-outs and pools are chosen, not inherited.

The calls of the hot path take a leaner way than botocore's where that can be had (ADR 0011).
"""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import aioboto3
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError, CredentialRetrievalError
from botocore.httpsession import get_cert_path
from botocore.utils import get_environ_proxies

from tenantry.transport import Transport
from tenantry.transport.calls import CONTENT_TYPE, Calls, DynamoCalls, SqsCalls
from tenantry.transport.connections import Connections
from tenantry.transport.signing import Credentials, Endpoint

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sts import STSClient

log = structlog.get_logger()

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
#: Attempts of one call, the first included, with back-off and jitter between them.
ATTEMPTS = 3
#: Connections to one service; every caller bounds its calls in flight below this.
CONNECTIONS = 64
#: Between two looks for credentials; each takes its own time-outs and attempts beside that.
CREDENTIALS_SECONDS = 2.0
#: What stands in a path as it is.
_IN_PATHS = "/%:@!$&'()*+,;=~"

CallsT = TypeVar("CallsT", bound=Calls)


class Aws:
    """Opens clients; they close with the stack, in reverse order."""

    def __init__(self, stack: AsyncExitStack, *, transport: Transport = "lean") -> None:
        self._botocore = AioSession()
        self._session = aioboto3.Session(botocore_session=self._botocore)
        self._stack = stack
        self._transport = transport

    async def await_credentials(self, stop: asyncio.Event) -> bool:
        """Wait for credentials where they are given to the process; whether to go on.

        An instance's first pods are there before their role is, and a process that ended for want
        of it would be started again after ever longer times. Where nobody gives any, nothing is
        waited for.

        Args:
            stop: Ends the wait.
        """
        while not stop.is_set():
            try:
                await self._botocore.get_credentials()
            except CredentialRetrievalError as error:
                log.warning("credentials.awaited", reason=type(error.__context__).__name__)
            else:
                return True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), CREDENTIALS_SECONDS)
        return False

    async def sqs(self, *, read_seconds: float = READ_SECONDS, attempts: int = 1) -> SQSClient:
        """A client of SQS. The caller retries: it knows deadlines, and which entries failed."""
        return await self._stack.enter_async_context(
            self._session.client("sqs", config=config(read_seconds, attempts))
        )

    async def dynamodb(
        self, *, read_seconds: float = READ_SECONDS, attempts: int = ATTEMPTS
    ) -> DynamoDBClient:
        """A client of DynamoDB."""
        return await self._stack.enter_async_context(
            self._session.client("dynamodb", config=config(read_seconds, attempts))
        )

    async def sqs_calls(self, client: SQSClient) -> SQSClient | SqsCalls:
        """What sends, receives, deletes and hides messages, to where this client would."""
        return await self._lean(client, SqsCalls, "SendMessageBatch") or client

    async def dynamodb_calls(self, client: DynamoDBClient) -> DynamoDBClient | DynamoCalls:
        """What writes items, to where this client would."""
        return await self._lean(client, DynamoCalls, "BatchExecuteStatement") or client

    async def _lean(self, client: Any, calls: type[CallsT], operation: str) -> CallsT | None:
        """None where calls are to go through botocore."""
        if self._transport == "botocore":
            return None
        try:
            url = await _destination(client, operation)
        except (BotoCoreError, ClientError) as error:
            log.warning("transport.botocore", reason=f"no endpoint yet: {type(error).__name__}")
            return None
        parts = urlsplit(url)
        if get_environ_proxies(url).get(parts.scheme):
            log.warning("transport.botocore", reason="a proxy is set in the environment")
            return None
        if parts.query or parts.username or parts.path != quote(parts.path, safe=_IN_PATHS):
            log.warning("transport.botocore", reason="the endpoint is not only host and path")
            return None
        ca_bundle = self._botocore.get_config_variable("ca_bundle")
        return lean_calls(
            self._stack,
            client,
            calls,
            url=url,
            credentials=await self._botocore.get_credentials(),
            ca_bundle=ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE"),
        )

    async def sts(self) -> STSClient:
        """A client of STS, which asks the region's endpoint."""
        return await self._stack.enter_async_context(
            self._session.client("sts", config=config(READ_SECONDS, ATTEMPTS))
        )


def lean_calls(
    stack: AsyncExitStack,
    client: Any,
    calls: type[CallsT],
    *,
    url: str | None = None,
    credentials: AioCredentials | None,
    ca_bundle: str | None,
) -> CallsT:
    """Calls to where a client of botocore's would send them, until the stack ends.

    Args:
        stack: Closes the connections.
        client: Whose region, service and time-out it is. Nothing is tried again.
        calls: The class of the calls.
        url: The endpoint, if it is not the client's.
        credentials: What signs; they refresh themselves.
        ca_bundle: A file of certificates to trust instead of botocore's.
    """
    meta = client.meta
    url = url or str(meta.endpoint_url)
    parts = urlsplit(url)
    tls: ssl.SSLContext | None = None
    if parts.scheme == "https":
        tls = ssl.create_default_context(cafile=ca_bundle or get_cert_path(verify=True))
    default_port = 443 if tls else 80
    port = parts.port or default_port
    host = str(parts.hostname)

    async def frozen() -> Credentials | None:
        if credentials is None:
            return None
        try:
            return await credentials.get_frozen_credentials()  # type: ignore[return-value]
        except RuntimeError as error:
            # So it says that credentials which were just made are expired.
            raise CredentialRetrievalError(provider="any", error_msg=str(error)) from error

    connections = Connections(
        url,
        host=host,
        port=port,
        tls=tls,
        most=CONNECTIONS,
        connect_seconds=CONNECT_SECONDS,
    )
    stack.push_async_callback(connections.close)
    model = meta.service_model
    headers = [("content-type", CONTENT_TYPE)]
    if model.is_query_compatible:
        headers.append(("x-amzn-query-mode", "true"))
    bracketed = f"[{host}]" if ":" in host else host
    return calls(
        Endpoint(
            host=bracketed if port == default_port else f"{bracketed}:{port}",
            path=parts.path or "/",
            region=meta.region_name,
            service=model.signing_name,
            headers=tuple(headers),
        ),
        connections,
        frozen,
        target_prefix=model.metadata["targetPrefix"],
        read_seconds=meta.config.read_timeout,
    )


async def _destination(client: Any, operation: str) -> str:
    """Where a client sends an operation, which is not always what it calls its endpoint."""
    model = client.meta.service_model.operation_model(operation)
    url, _, _ = await client._resolve_endpoint_ruleset(model, {}, {})  # noqa: SLF001 - no other
    return str(url)


class _Session(AIOHTTPSession):
    """aiobotocore's, which takes a certificate of any host, and looks whose it is."""

    def _get_ssl_context(self) -> ssl.SSLContext:
        # aiobotocore has no types for it.
        context: ssl.SSLContext = super()._get_ssl_context()  # type: ignore[misc]
        context.check_hostname = True
        return context


def config(read_seconds: float, attempts: int) -> AioConfig:
    """A client's configuration; `attempts` counts the first call."""
    return AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=CONNECTIONS,
        http_session_cls=_Session,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Built anew for every call otherwise, at a fifth of the call's CPU.
        user_agent="tenantry",
    )
