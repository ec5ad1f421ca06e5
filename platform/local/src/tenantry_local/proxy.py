"""A proxy in front of the engine: it counts every AWS call, and can make each go wrong.

What it counts is what AWS would bill: retries, registry and STS included, whoever made them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs

import aiohttp
from aiohttp import web

from tenantry_local.faults import Fault, Faults, merge, refusal
from tenantry_local.model import HOST

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
#: How long a call that hangs is held, in seconds: longer than any client waits.
_HANG_SECONDS = 120.0


class Observer(Protocol):
    """Sees every call that reaches the proxy, and every answer that leaves it."""

    def called(self, operation: str, request: bytes) -> None:
        """A call came in."""
        ...

    def answered(self, operation: str, request: bytes, status: int, answer: bytes) -> None:
        """Its answer goes out; not after a reset or a hang."""
        ...


@dataclass(slots=True, kw_only=True)
class Proxy:
    """The proxy, while it runs.

    Attributes:
        url: Its own address: what services are given as their endpoint.
        engine_url: Where it passes calls on to.
        delay_seconds: Added to each call before it is passed on.
        calls: Calls that came in, by operation (`SendMessageBatch`, …).
        faults: What goes wrong, and what of it was felt.
    """

    engine_url: str
    delay_seconds: float = 0
    url: str = ""
    calls: Counter[str] = field(default_factory=Counter)
    faults: Faults = field(default_factory=Faults)
    observers: list[Observer] = field(default_factory=list)

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
async def proxy_up(
    engine_url: str, *, delay_seconds: float = 0, seed: int = 0
) -> AsyncGenerator[Proxy, None]:
    """A proxy in front of an engine, on a free port, until the block ends."""
    proxy = Proxy(engine_url=engine_url, delay_seconds=delay_seconds, faults=Faults(seed))
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=60)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        runner = web.ServerRunner(web.Server(_Handler(proxy, session)), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        try:
            proxy.url = f"http://{HOST}:{runner.addresses[0][1]}"
            yield proxy
        finally:
            await runner.cleanup()


class _Handler:
    """Answers one call."""

    def __init__(self, proxy: Proxy, session: aiohttp.ClientSession) -> None:
        self._proxy = proxy
        self._session = session

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        proxy = self._proxy
        body = await request.content.read()
        operation = _operation(request, body)
        proxy.calls[operation] += 1
        for observer in proxy.observers:
            observer.called(operation, body)
        faults = {fault.kind: fault for fault in proxy.faults.draw(operation, body)}
        delay = proxy.delay_seconds + (faults["delay"].seconds if "delay" in faults else 0)
        if delay:
            await asyncio.sleep(delay)
        if "hang" in faults:
            await asyncio.sleep(_HANG_SECONDS)
        if "reset" in faults or "hang" in faults:
            return _end(request)
        answer = await self._answer(request, operation, body, faults)
        if answer is None or "lost-answer" in faults:
            return _end(request)
        for observer in proxy.observers:
            sent = answer.body if isinstance(answer.body, bytes) else b""
            observer.answered(operation, body, answer.status, sent)
        return answer

    async def _answer(
        self, request: web.BaseRequest, operation: str, body: bytes, faults: dict[Any, Fault]
    ) -> web.Response | None:
        """Of the engine, or for it; None if the engine is gone."""
        for kind in ("error", "throttle"):
            if kind in faults:
                target = request.headers.get("X-Amz-Target")
                status, content_type, text = refusal(faults[kind].kind, target)
                return web.Response(
                    status=status, body=text, headers={"Content-Type": content_type}
                )
        if "partial" not in faults:
            return await self._pass_on(request, body)
        passed, out = self._proxy.faults.split(operation, body)
        if passed is None:  # nothing is left of it
            merged = merge(operation, body, b"{}", out)
            return web.Response(body=merged, content_type="application/x-amz-json-1.0")
        answer = await self._pass_on(request, passed)
        if answer is None or answer.status != web.HTTPOk.status_code:
            return answer
        assert isinstance(answer.body, bytes)  # noqa: S101 - it was read above
        # Without the engine's headers: its checksum is of its own answer.
        merged = merge(operation, body, answer.body, out)
        return web.Response(body=merged, content_type="application/x-amz-json-1.0")

    async def _pass_on(self, request: web.BaseRequest, body: bytes) -> web.Response | None:
        headers = {k: v for k, v in request.headers.items() if k not in {"Host", "Content-Length"}}
        try:
            async with self._session.request(
                request.method,
                self._proxy.engine_url + request.raw_path,
                data=body,
                headers=headers,
            ) as answer:
                kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
                return web.Response(status=answer.status, headers=kept, body=await answer.read())
        except aiohttp.ClientError:
            return None


def _end(request: web.BaseRequest) -> web.Response:
    """The connection ends without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=502)


def _operation(request: web.BaseRequest, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2]
    # The query protocol: STS speaks it.
    actions = parse_qs(body.decode("latin-1")).get("Action", [])
    return actions[0] if actions else f"{request.method} {request.path}"
