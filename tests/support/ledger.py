"""What was promised, and what the tables hold: nothing lost, nothing changed."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import aiohttp

from tenantry_local.laptop import Laptop
from tenantry_local.model import PRODUCER

#: Answers that a client may retry: they promise nothing.
RETRYABLE = frozenset({408, 429, 502, 503})


@dataclass(slots=True)
class Ledger:
    """One tenant's messages.

    Attributes:
        through_router: Send by the router, as a client does, and not straight to the producer.
        accepted: Payload number by message id, of all that was answered with 202.
        answers: How often each status was answered; 0 is a connection that ended.
        stored: The item first seen of each message: when it was stored, and its payload.
        changed: Messages whose item was not always the same.
    """

    laptop: Laptop
    tenant: str
    through_router: bool = False
    accepted: dict[str, int] = field(default_factory=dict)
    answers: Counter[int] = field(default_factory=Counter)
    stored: dict[str, tuple[str, str]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    _numbers: count[int] = field(default_factory=count)

    @asynccontextmanager
    async def sending(self, *, clients: int, pause_seconds: float) -> AsyncGenerator[None, None]:
        """Clients send one message after the other until the block ends."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            stop = asyncio.Event()
            for _ in range(clients):
                group.create_task(self._client(session, stop, pause_seconds))
            try:
                yield
            finally:
                stop.set()

    async def send(self, session: aiohttp.ClientSession) -> int:
        """One message; its status, or 0 where the connection ended."""
        number = next(self._numbers)
        tenant = self.laptop.tenants[self.tenant]
        address = (
            self.laptop.router_url
            if self.through_router
            else self.laptop.address(tenant.producer, PRODUCER)
        )
        try:
            async with session.post(
                f"{address}/messages",
                json={"type": "fault.test", "payload": {"number": number}},
                headers={
                    "Authorization": f"Bearer {self.laptop.token(self.tenant)}",
                    "tenantID": self.tenant,
                },
            ) as answer:
                status = answer.status
                if status == 202:
                    self.accepted[(await answer.json())["message_id"]] = number
        except aiohttp.ClientError:
            status = 0
        self.answers[status] += 1
        return status

    async def look(self) -> None:
        """Read the whole table, and compare with what was seen before."""
        table = self.laptop.tenants[self.tenant].table_name
        pages = self.laptop.engine.dynamodb.get_paginator("scan")
        async for page in pages.paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                message_id = item["message_id"]["S"]
                now = item["stored_at"]["S"], item["payload"]["S"]
                if self.stored.setdefault(message_id, now) != now:
                    self.changed.add(message_id)

    async def wait_accepted(self, messages: int, *, seconds: float) -> None:
        """Wait until so many were accepted."""
        async with asyncio.timeout(seconds):
            while len(self.accepted) < messages:  # noqa: ASYNC110 - clients know of no waiter
                await asyncio.sleep(0.05)

    async def wait_stored(self, *, seconds: float) -> None:
        """Wait until everything that was accepted is stored; `AssertionError` names the rest."""
        deadline = time.monotonic() + seconds
        while missing := self.accepted.keys() - self.stored.keys():
            assert time.monotonic() < deadline, f"{len(missing)} not stored: {sorted(missing)[:5]}"
            await asyncio.sleep(0.2)
            await self.look()

    async def dead_letters(self) -> int:
        """Messages in the tenant's dead-letter queue."""
        answer = await self.laptop.engine.sqs.get_queue_attributes(
            QueueUrl=self.laptop.tenants[self.tenant].dead_letter_queue_url,
            AttributeNames=["ApproximateNumberOfMessages"],
        )
        return int(answer["Attributes"]["ApproximateNumberOfMessages"])

    def assert_unchanged(self) -> None:
        """No item ever changed, and each holds what was sent under its id."""
        assert not self.changed
        for message_id, number in self.accepted.items():
            assert {"number": number} == json.loads(self.stored[message_id][1])

    async def _client(
        self, session: aiohttp.ClientSession, stop: asyncio.Event, pause_seconds: float
    ) -> None:
        while not stop.is_set():
            await self.send(session)
            await asyncio.sleep(pause_seconds)
