"""Queues for the suites: in memory, or on an engine, with the same few things to do and see."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import CollectorRegistry

from consumer.queue import Delivery, Forwarder, Queue, SqsForwarder, SqsQueue
from contract.engines import sqs_calls, sqs_client
from fakes.clock import Clock
from fakes.queue import FakeSqs
from fakes.waiting import until
from tenantry.metrics import ConsumerMetrics
from tenantry.transport.calls import SqsCalls

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as it lies on a queue."""

    body: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    group_id: str | None = None


class Queues(Protocol):
    """An account's queues."""

    forwarder: Forwarder

    async def make(
        self, *, max_receive_count: int | None = None, max_message_bytes: int = 262_144
    ) -> str:
        """Make a queue, with a dead-letter queue if there is a `max_receive_count`; its URL."""
        ...

    def queue(self, url: str, *, visibility_seconds: int = 30) -> Queue:
        """The consumer's port on one queue."""
        ...

    def missing(self) -> str:
        """The URL of a queue that is not there."""
        ...

    def dead_letters(self, url: str) -> str:
        """The URL of the dead-letter queue of a queue."""
        ...

    async def send(self, url: str, *messages: Sent) -> None:
        """Put messages there."""
        ...

    async def contents(self, url: str) -> list[Sent]:
        """Receive whatever is visible."""
        ...

    async def depth(self, url: str) -> tuple[int, int]:
        """How many messages are visible, and in flight."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Let visibility timeouts of so many seconds end: now, or while the next poll waits."""
        ...

    async def polling(self, url: str) -> None:
        """Return once a poll that was just started has arrived."""
        ...


class MemoryQueues(Queues):
    """Queues of a `FakeSqs`."""

    def __init__(self) -> None:
        self.sqs = FakeSqs(Clock(time.monotonic()))
        self.forwarder = self.sqs.forwarder()

    async def make(
        self, *, max_receive_count: int | None = None, max_message_bytes: int = 262_144
    ) -> str:
        url = f"http://sqs.example/000000000000/{uuid.uuid4()}"
        dead = None if max_receive_count is None else self.dead_letters(url)
        self.sqs.create(
            url,
            dead_letter_url=dead,
            max_receive_count=max_receive_count,
            max_message_bytes=max_message_bytes,
        )
        return url

    def queue(self, url: str, *, visibility_seconds: int = 30) -> Queue:
        return self.sqs.queue(url, visibility_seconds=visibility_seconds)

    def missing(self) -> str:
        return "http://sqs.example/000000000000/nobody"

    def dead_letters(self, url: str) -> str:
        return f"{url}-dead-letters"

    async def send(self, url: str, *messages: Sent) -> None:
        for one in messages:
            await self.sqs.send(url, one.body, attributes=one.attributes, group_id=one.group_id)

    async def contents(self, url: str) -> list[Sent]:
        return [
            Sent(one.body.decode(), one.attributes or {}, one.group_id)
            for one in self.sqs.visible(url)
        ]

    async def depth(self, url: str) -> tuple[int, int]:
        return len(self.sqs.visible(url)), len(self.sqs.in_flight(url))

    async def pass_time(self, seconds: float) -> None:
        await self.sqs.advance(seconds)

    async def polling(self, url: str) -> None:
        await until(lambda: self.sqs.polls(url) == 1)


class EngineQueues(Queues):
    """Queues of an engine. `client` looks at them, and is not the one that the ports use."""

    def __init__(self, url: str, client: SQSClient, under_test: SQSClient | SqsCalls) -> None:
        self._url = url
        self._client = client
        self._under_test = under_test
        self._metrics = ConsumerMetrics(CollectorRegistry())
        self._made: list[str] = []
        self.forwarder = SqsForwarder(under_test, self._metrics)

    async def make(
        self, *, max_receive_count: int | None = None, max_message_bytes: int = 262_144
    ) -> str:
        name = f"contract-{uuid.uuid4()}"
        attributes = {"MaximumMessageSize": str(max_message_bytes)}
        if max_receive_count is not None:
            dead = await self._create(f"{name}-dead-letters", attributes)
            got = await self._client.get_queue_attributes(
                QueueUrl=dead, AttributeNames=["QueueArn"]
            )
            policy = {
                "deadLetterTargetArn": got["Attributes"]["QueueArn"],
                "maxReceiveCount": max_receive_count,
            }
            attributes["RedrivePolicy"] = json.dumps(policy)
        return await self._create(name, attributes)

    async def _create(self, name: str, attributes: dict[str, str]) -> str:
        made: Any = {"VisibilityTimeout": "30", **attributes}
        answer = await self._client.create_queue(QueueName=name, Attributes=made)
        self._made.append(answer["QueueUrl"])
        return answer["QueueUrl"]

    async def remove_all(self) -> None:
        """Leave an engine as it was found."""
        for url in self._made:
            await self._client.delete_queue(QueueUrl=url)

    def queue(self, url: str, *, visibility_seconds: int = 30) -> Queue:
        return SqsQueue(
            self._under_test, url, visibility_seconds=visibility_seconds, metrics=self._metrics
        )

    def missing(self) -> str:
        return f"{self._url}/000000000000/nobody"

    def dead_letters(self, url: str) -> str:
        return f"{url}-dead-letters"

    async def send(self, url: str, *messages: Sent) -> None:
        for one in messages:
            values: Any = {
                name: {"DataType": "String", "StringValue": value}
                for name, value in one.attributes.items()
            }
            group: Any = {} if one.group_id is None else {"MessageGroupId": one.group_id}
            await self._client.send_message(
                QueueUrl=url, MessageBody=one.body, MessageAttributes=values, **group
            )

    async def contents(self, url: str) -> list[Sent]:
        found: list[Sent] = []
        while True:
            answer = await self._client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            wires = answer.get("Messages", [])
            if not wires:
                return found
            found += [_sent(wire) for wire in wires]

    async def depth(self, url: str) -> tuple[int, int]:
        answer = await self._client.get_queue_attributes(
            QueueUrl=url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
            ],
        )
        visible = answer["Attributes"]["ApproximateNumberOfMessages"]
        return int(visible), int(answer["Attributes"]["ApproximateNumberOfMessagesNotVisible"])

    async def pass_time(self, seconds: float) -> None:
        pass  # the next poll waits for as long

    async def polling(self, url: str) -> None:
        # The poll was written to its connection before these were asked and answered.
        for _ in range(3):
            await self.depth(url)


def _sent(wire: Any) -> Sent:
    attributes = wire.get("MessageAttributes", {})
    return Sent(
        wire["Body"],
        {name: value["StringValue"] for name, value in attributes.items()},
        wire.get("Attributes", {}).get("MessageGroupId"),
    )


@asynccontextmanager
async def engine_queues(url: str, engine: str = "") -> AsyncGenerator[EngineQueues]:
    """Queues of the engine at this address, until the block ends."""
    async with sqs_client(url) as client, sqs_calls(url, engine) as under_test:
        queues = EngineQueues(url, client, under_test)
        try:
            yield queues
        finally:
            await queues.remove_all()


async def receive(queue: Queue, count: int, *, within: float = 10.0) -> list[Delivery]:
    """Poll until so many messages came: one receive need not bring all there are.

    Raises:
        TimeoutError: They did not come in time.
    """
    found: list[Delivery] = []
    async with asyncio.timeout(within):
        while len(found) < count:
            found += await queue.receive(min(10, count - len(found)), wait_seconds=2)
    return found


def bodies(deliveries: Sequence[Delivery]) -> list[str]:
    """Sorted: no order is promised."""
    return sorted(one.body.decode() for one in deliveries)
