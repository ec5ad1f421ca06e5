"""One aioboto3 session, and clients whose time-outs and pools are chosen, not inherited."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import aioboto3
from aiobotocore.config import AioConfig

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient
    from types_aiobotocore_sts import STSClient

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
#: Attempts of one call, the first included, with back-off and jitter between them.
ATTEMPTS = 3
#: Connections to one service; every caller bounds its calls in flight below this.
CONNECTIONS = 64


class Aws:
    """Opens clients; they close with the stack, in reverse order."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._session = aioboto3.Session()
        self._stack = stack

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

    async def sts(self) -> STSClient:
        """A client of STS, which asks the region's endpoint."""
        return await self._stack.enter_async_context(
            self._session.client("sts", config=config(READ_SECONDS, ATTEMPTS))
        )


def config(read_seconds: float, attempts: int) -> AioConfig:
    """A client's configuration; `attempts` counts the first call."""
    return AioConfig(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=read_seconds,
        max_pool_connections=CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": attempts},
        # Built anew for every call otherwise, at a fifth of the call's CPU.
        user_agent="tenantry",
    )
