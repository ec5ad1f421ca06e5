"""Connections of `tenantry.transport` to a port, and calls over them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tenantry.transport.connections import Connections

#: Longer than any test that does not wait for it to pass.
LONG = 5.0
#: As long as it takes to be sure that nothing comes.
SHORT = 0.05


def request(body: bytes = b"?") -> bytes:
    """A request with this body."""
    return b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body


@asynccontextmanager
async def pool_of(
    port: int,
    *,
    most: int = 2,
    connect_seconds: float = LONG,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncGenerator[Connections]:
    """Connections to a port, ended with the block."""
    pool = Connections(
        "http://x", host=host, port=port, tls=tls, most=most, connect_seconds=connect_seconds
    )
    try:
        yield pool
    finally:
        await pool.close()


async def ask(pool: Connections, body: bytes = b"?", *, seconds: float = LONG) -> bytes:
    """The body of the answer to a request with this body."""
    return (await pool.exchange(request(body), seconds=seconds)).body


def start(coroutine: Coroutine[Any, Any, bytes]) -> asyncio.Task[bytes]:
    """A call that is awaited later."""
    return asyncio.get_running_loop().create_task(coroutine)


async def gone(task: asyncio.Task[bytes]) -> None:
    """Cancel a call, as a caller that has no time left."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
