"""A stand-in of AWS's front door, before the gate: who calls, until when, and AWS's bad days.

Honours: signatures of every call, sessions that end, the session token; for `AssumeRole` the
bounds of `DurationSeconds` (by a session: an hour at most), with a secret and an end of its own;
the codes that each protocol has for what it refuses. Told at run time, it is gone (connections
are refused), slow, or fails at a ratio. Does not: throttle, tell endpoints of services apart,
speak TLS. Who may do what is the gate's (`iam.gate`).

    async with door_up(gate) as door:
        key = door.issue(gate.pod("dev-tenantry-producer", …))
        env = key.environment(door.url)
        await door.become(Fault(failing=0.5, services=frozenset({"sqs"})))  # or become_now
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from e2e.door.answers import code_of, failed, invalid, refused
from e2e.door.signatures import Asked, Key, refusal
from iam.gate import HOST, Gate
from iam.wire import query

NAME: Final = "stand-in (e2e.door.door_standin)"
#: EKS User Guide, "EKS Pod Identity": its sessions last six hours.
POD_SECONDS: Final = 21_600
#: STS API Reference, `AssumeRole`: the least, and the most that a session can ask for.
SESSION_SECONDS: Final = (900, 3_600)
_HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})
_NOT_PASSED: Final = _HOP_BY_HOP | {"host"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with AWS; nothing, unless it says so.

    Attributes:
        is_gone: Connections are refused, and those that are open break.
        slow_seconds: Before each answer.
        failing: Of calls, the part that is answered by a status of 500.
        services: That are slow or fail, by their signing names; all, if none is named.
    """

    is_gone: bool = False
    slow_seconds: float = 0.0
    failing: float = 0.0
    services: frozenset[str] = frozenset()

    def concerns(self, service: str) -> bool:
        """Whether a call of this service is slow, or may fail."""
        return not self.services or service in self.services


@dataclass(slots=True)
class Door:
    """The door, while it is there.

    Attributes:
        url: What callers are given as their endpoint.
        counted: Calls by role, operation and what became of each: `passed`, or an error's code.
    """

    gate: Gate
    clock: Callable[[], float]
    url: str = ""
    counted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    fault: Fault = field(default_factory=Fault)
    _due: float = 0.0
    _keys: dict[str, Key] = field(default_factory=dict)
    _listener: _Listener | None = None

    def issue(self, given: Mapping[str, str], seconds: float = POD_SECONDS) -> Key:
        """A key with a secret of its own, of a session that `Gate.pod` gave."""
        return self.admit(given["AWS_ACCESS_KEY_ID"], seconds)

    def admit(self, access_key: str, seconds: float) -> Key:
        """The same, of a session that the gate knows by this access key."""
        ends_at = self.clock() + seconds
        key = Key(access_key, secrets.token_hex(20), secrets.token_hex(40), ends_at)
        self._keys[access_key] = key
        return key

    async def become(self, fault: Fault) -> None:
        """From now on this is wrong; `Fault()` is nothing."""
        assert self._listener is not None
        self.fault = fault
        self._due = 0.0
        if fault.is_gone:
            self._listener.close()
        else:
            await self._listener.open()

    def become_now(self, fault: Fault) -> None:
        """The same, for whoever is not in its event loop."""
        assert self._listener is not None
        changing = self.become(fault)
        asyncio.run_coroutine_threadsafe(changing, self._listener.loop).result(timeout=30)

    def key(self, access_key: str) -> Key | None:
        """What an access key was issued with."""
        return self._keys.get(access_key)

    def whose(self, access_key: str) -> str:
        """The name of the role that a key is of."""
        session = self.gate.session(access_key) if access_key in self._keys else None
        return (session.role_arn or session.arn).rpartition("/")[2] if session else "nobody"

    def is_to_fail(self, service: str) -> bool:
        """Whether it is this call's turn: evenly, so that a ratio holds for few calls, too."""
        if not self.fault.concerns(service):
            return False
        self._due += self.fault.failing
        if self._due < 1:
            return False
        self._due -= 1
        return True


class _Listener:
    """Who takes connections, at one port, which may go and come back."""

    def __init__(self, server: web.Server, host: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.port = 0
        self._server = server
        self._host = host
        self._listening: asyncio.Server | None = None

    async def open(self) -> None:
        if self._listening is None:
            self._listening = await self.loop.create_server(self._server, self._host, self.port)
            self.port = self._listening.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        for connection in self._server.connections:
            if connection.transport is not None:
                connection.transport.abort()


@asynccontextmanager
async def door_up(
    gate: Gate,
    *,
    host: str = HOST,
    clock: Callable[[], float] = time.time,
) -> AsyncGenerator[Door, None]:
    """A door before a gate, on a free port, until the block ends.

    Args:
        gate: Where calls are passed on to.
        host: The address that it listens at.
        clock: Seconds since the epoch.
    """
    door = Door(gate, clock)
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        server = web.Server(_Handler(door, session))
        door._listener = listener = _Listener(server, host)
        await listener.open()
        door.url = f"http://{host}:{listener.port}"
        try:
            yield door
        finally:
            listener.close()
            await server.shutdown(0.1)


class _Handler:
    """Answers one call."""

    def __init__(self, door: Door, session: aiohttp.ClientSession) -> None:
        self._door = door
        self._session = session

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = await request.content.read()
        asked = Asked(request.method, request.raw_path, headers, body)
        access_key, _, service = asked.credential()
        operation = _operation(asked)
        if self._door.fault.concerns(service):
            await asyncio.sleep(self._door.fault.slow_seconds)
        answer = await self._answer(asked, access_key, service, operation)
        assert isinstance(answer.body, bytes)
        said = code_of(answer.status, answer.body)
        self._door.counted[self._door.whose(access_key), operation, said] += 1
        return answer

    async def _answer(
        self, asked: Asked, access_key: str, service: str, operation: str
    ) -> web.Response:
        door = self._door
        if door.is_to_fail(service):
            return failed(service)
        if (why := refusal(asked, door.key(access_key), door.clock())) is not None:
            return refused(service, why)
        if (service, operation) != ("sts", "AssumeRole"):
            return await self._pass_on(asked)
        # Without a duration it is an hour, which is also the most that a session is given.
        told = query(asked.body).get("DurationSeconds", str(SESSION_SECONDS[1]))
        if not told.isdecimal() or not SESSION_SECONDS[0] <= int(told) <= SESSION_SECONDS[1]:
            least, most = SESSION_SECONDS
            return invalid("sts", f"DurationSeconds of a chained role: {told}: {least} to {most}")
        return self._issued(await self._pass_on(asked), int(told))

    def _issued(self, answer: web.Response, seconds: int) -> web.Response:
        assert isinstance(answer.body, bytes)
        text = answer.body.decode()
        found = re.search("<AccessKeyId>([^<]+)</AccessKeyId>", text)
        if found is None:
            return answer  # it was denied
        key = self._door.admit(found[1], seconds)
        for element, value in (
            ("SecretAccessKey", key.secret),
            ("SessionToken", key.token),
            ("Expiration", key.expiration),
        ):
            text = re.sub(f"(<{element}>)[^<]*", rf"\g<1>{value}", text)
        return web.Response(text=text, content_type="text/xml")

    async def _pass_on(self, asked: Asked) -> web.Response:
        headers = {name: value for name, value in asked.headers.items() if name not in _NOT_PASSED}
        url = URL(self._door.gate.url + asked.path, encoded=True)
        async with self._session.request(
            asked.method, url, data=asked.body, headers=headers
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


def _operation(asked: Asked) -> str:
    target = asked.headers.get("x-amz-target")
    if target is not None:
        return target.rpartition(".")[2]
    if "x-www-form-urlencoded" in asked.headers.get("content-type", ""):
        return query(asked.body).get("Action", "")
    return f"{asked.method} {asked.path.partition('?')[0]}"
