"""Producers and consumers as tenantctl has to reckon with them: late, stale and several.

Each knows a placement that may be as old as `max_age`, and a message that it holds comes back
when its visibility timeout ends. What they do with it is the design's: refuse, send, store,
follow a tenant that lives elsewhere after asking anew, drop what is of one that left.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from consumer.repository import Row, to_item
from fakes.clock import Clock
from fakes.deliveries import ACCEPTED_AT, a_message
from tenantry.contract import Message, decode
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId


@dataclass(slots=True)
class Held:
    """A message in hand, and the queue that it is from."""

    queue_url: str
    receipt_handle: str
    body: str
    until: float


@dataclass(slots=True)
class Services:
    """All of an environment.

    Attributes:
        accepted: What was answered with 202, by tenant: ids.
        max_age: How old a placement may be that they use.
        are_down: Whether no consumer works.
    """

    clock: Clock
    sqs: Any
    dynamodb: Any
    rng: random.Random
    max_age: float
    are_down: bool = False
    accepted: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    history: dict[str, list[tuple[float, Placement]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _hand: list[Held] = field(default_factory=list)

    def saw(self, placement: Placement) -> None:
        """The registry was written."""
        self.history[placement.tenant_id].append((self.clock(), placement))

    def current(self, tenant_id: str) -> Placement | None:
        """What the registry says."""
        known = self.history[tenant_id]
        return known[-1][1] if known else None

    def _stale(self, tenant_id: str) -> Placement | None:
        """What one of them has in its cache."""
        known = self.history[tenant_id]
        since = self.clock() - self.max_age
        ended_at = [at for at, _ in known[1:]] + [float("inf")] * bool(known)
        usable = [
            placement for (_, placement), end in zip(known, ended_at, strict=True) if end > since
        ]
        return self.rng.choice(usable) if usable else None

    async def accept(self, tenant_id: str, count: int = 1) -> int:
        """So many requests; how many were answered with 202."""
        done = 0
        for _ in range(count):
            placement = self._stale(tenant_id)
            if placement is None or placement.status not in {"active", "moving"}:
                continue
            message = a_message(tenant_id)
            if await self._send(placement.queue_url, message, placement.message_group_id):
                self.accepted[tenant_id].add(message.message_id)
                done += 1
        return done

    async def bury(self, tenant_id: str, dead_letter_url: str) -> None:
        """A message that was accepted and given up on."""
        message = a_message(tenant_id)
        if await self._send(dead_letter_url, message, None):
            self.accepted[tenant_id].add(message.message_id)

    async def _send(self, url: str, message: Message, group: str | None) -> bool:
        grouped = {} if group is None else {"MessageGroupId": group}
        try:
            await self.sqs.send_message(QueueUrl=url, MessageBody=message.body(), **grouped)
        except self.sqs.exceptions.QueueDoesNotExist:
            return False
        return True

    async def work(self, queues: Iterable[str], *, eager: bool = False) -> None:
        """Consumers of these queues receive, and settle some of what they hold."""
        urls = [] if self.are_down else sorted(queues)
        for url in urls:
            if eager or self.rng.random() < 0.7:
                await self._receive(url)
        held, self._hand = self._hand, []
        for one in held:
            if one.queue_url not in urls or one.until <= self.clock():
                continue  # it has ended, or its message is visible again
            if eager or self.rng.random() < 0.7:
                await self._settle(one)
            else:
                self._hand.append(one)

    async def _receive(self, url: str) -> None:
        answer = await self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0
        )
        now = self.clock()
        self._hand += [
            Held(url, wire["ReceiptHandle"], wire["Body"], now + 20)
            for wire in answer.get("Messages", ())
        ]

    async def _settle(self, held: Held) -> None:
        message = decode(held.body.encode())
        placement = self._stale(message.tenant_id)
        if placement is None or placement.status == "offboarded" or not _is_at(placement, held):
            placement = self.current(message.tenant_id)
        if placement is None:
            return
        if placement.status == "offboarded":
            pass  # deleted below, and stored nowhere: as the consumer does
        elif _is_at(placement, held):
            if not await self._store(placement, message):
                return
        elif not await self._send(placement.queue_url, message, placement.message_group_id):
            return
        await self.sqs.delete_message(QueueUrl=held.queue_url, ReceiptHandle=held.receipt_handle)

    async def _store(self, placement: Placement, message: Message) -> bool:
        """Once; False where there is no such table."""
        item = to_item(Row(placement.tenant_id, message), ACCEPTED_AT)
        try:
            await self.dynamodb.put_item(
                TableName=placement.table_name,
                Item=item,
                ConditionExpression="attribute_not_exists(tenant_id)",
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return True
        except self.dynamodb.exceptions.ResourceNotFoundException:
            return False
        return True


def _is_at(placement: Placement, held: Held) -> bool:
    return placement.queue_url == held.queue_url


def ids_of(bodies: Iterable[str], tenant_id: str) -> set[str]:
    """The ids of a tenant's messages among these."""
    found = [json.loads(body) for body in bodies]
    return {one["message_id"] for one in found if one["tenant_id"] == TenantId(tenant_id)}
