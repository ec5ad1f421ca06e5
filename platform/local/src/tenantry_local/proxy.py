"""A proxy in front of the engine: it counts every AWS call, and can make each take longer.

What it counts is what AWS would bill: retries, registry and STS included, whoever made them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

from tenantry_local.model import HOST

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(slots=True, kw_only=True)
class Proxy:
    """The proxy, while it runs.

    Attributes:
        url: Its own address: what services are given as their endpoint.
        engine_url: Where it passes calls on to.
        delay_seconds: Added to each call before it is passed on.
        calls: Calls that were passed on, by operation (`SendMessageBatch`, …).
    """

    engine_url: str
    delay_seconds: float = 0
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)

    def reset(self) -> None:
        """Count from nothing."""
        self.calls.clear()

    async def wait_until(self, condition: Callable[[], bool], *, seconds: float) -> None:
        """Wait until something holds that calls bring about.

        Raises:
            TimeoutError: It did not.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                msg = f"not within {seconds:g} s; calls so far: {dict(self.calls)}"
                raise TimeoutError(msg)
            await asyncio.sleep(0.02)


@asynccontextmanager
async def proxy_up(engine_url: str, *, delay_seconds: float = 0) -> AsyncGenerator[Proxy, None]:
    """A proxy in front of an engine, on a free port, until the block ends."""
    proxy = Proxy(engine_url=engine_url, delay_seconds=delay_seconds)
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def pass_on(request: web.BaseRequest) -> web.StreamResponse:
            body = await request.content.read()
            proxy.calls[_operation(request, body)] += 1
            if proxy.delay_seconds:
                await asyncio.sleep(proxy.delay_seconds)
            try:
                answer = await session.request(
                    request.method,
                    proxy.engine_url + request.raw_path,
                    data=body,
                    headers={k: v for k, v in request.headers.items() if k != "Host"},
                )
            except aiohttp.ClientError:
                # The engine is gone: so is this connection, as it would be without a proxy.
                if request.transport is not None:
                    request.transport.abort()
                return web.Response(status=502)
            async with answer:
                headers = {
                    name: value
                    for name, value in answer.headers.items()
                    if name.lower() not in _HOP_BY_HOP
                }
                return web.Response(
                    status=answer.status, headers=headers, body=await answer.read()
                )

        server = web.Server(pass_on)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        try:
            proxy.url = f"http://{HOST}:{runner.addresses[0][1]}"
            yield proxy
        finally:
            await runner.cleanup()


def _operation(request: web.BaseRequest, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2]
    # The query protocol: STS speaks it.
    actions = parse_qs(body.decode("latin-1")).get("Action", [])
    return actions[0] if actions else f"{request.method} {request.path}"
