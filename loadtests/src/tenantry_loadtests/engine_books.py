"""The books of a laptop: its tables and queues, read with a client of its own.

No code of the services and none of their library: no mistake of theirs can hide itself here.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tenantry_loadtests.accounting import Books, Ids
from tenantry_loadtests.clock import SYSTEM, Clock
from tenantry_loadtests.observing import Depth

_POLL: Final = 0.5
#: Queues that stay empty for so long have no copies on their way any more.
_CALM_SECONDS: Final = 1.5
#: A receive of the rest hides messages for longer than this lasts.
_HIDDEN_SECONDS: Final = 600
_EMPTY_RECEIVES: Final = 3


@dataclass(frozen=True, slots=True)
class Places:
    """Where a laptop's messages can be."""

    tables: Sequence[str]
    queues: Sequence[str]
    dead_letter_queues: Sequence[str]


@dataclass(slots=True)
class EngineBooks:
    """Reads them."""

    sqs: Any
    dynamodb: Any
    depth: Depth
    places: Places
    say: Callable[[str], object]
    clock: Clock = SYSTEM

    def wait_until_empty(self, patience: Callable[[], float]) -> bool:
        """Wait while the queues become shorter; whether they are empty in the end."""
        least: int | None = None
        since = self.clock.monotonic()
        calm_since: float | None = None
        while True:
            depth = sum(map(self.depth, self.places.queues))
            now = self.clock.monotonic()
            if depth == 0:
                calm_since = calm_since or now
                if now - calm_since >= _CALM_SECONDS:
                    return True
            else:
                calm_since = None
                self.say(f"{depth} messages in the queues")
                if least is None or depth < least:
                    least, since = depth, now
                elif now > since + patience():
                    return False
            self.clock.sleep(_POLL)

    def read(self) -> Books:
        """Everything, as it is now. Nobody may receive meanwhile."""
        stored: defaultdict[str, set[bytes]] = defaultdict(set)
        for table in self.places.tables:
            for tenant, message_id in self._items(table):
                stored[tenant].add(message_id)
        unread: list[str] = []
        dead = self._received(self.places.dead_letter_queues, unread)
        queued = self._received(self.places.queues, unread)
        return Books(stored=_frozen(stored), dead=dead, queued=queued, strays=True, unread=unread)

    def _items(self, table: str) -> Iterable[tuple[str, bytes]]:
        start: dict[str, Any] = {}
        while True:
            page = self.dynamodb.scan(
                TableName=table,
                ConsistentRead=True,
                ProjectionExpression="tenant_id, message_id",
                **start,
            )
            for item in page["Items"]:
                tenant, _, _ = item["tenant_id"]["S"].partition("#")  # of a shard
                yield tenant, uuid.UUID(item["message_id"]["S"]).bytes
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _received(self, queues: Sequence[str], unread: list[str]) -> Ids:
        """The ids of all messages in queues; what is no message of ours is named."""
        found: defaultdict[str, set[bytes]] = defaultdict(set)
        for queue in queues:
            name = queue.rsplit("/", 1)[-1]
            strange = 0
            for body in self._bodies(queue):
                try:
                    envelope = json.loads(body)
                    message_id = uuid.UUID(envelope["message_id"]).bytes
                    found[envelope["tenant_id"]].add(message_id)
                except (ValueError, KeyError, TypeError, AttributeError):
                    strange += 1
            if strange:
                unread.append(f"{strange} messages in {name} that are no envelopes")
        return _frozen(found)

    def _bodies(self, queue: str) -> Iterable[str]:
        empty = 0
        while empty < _EMPTY_RECEIVES and (empty or self.depth(queue)):
            answer = self.sqs.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=10,
                VisibilityTimeout=_HIDDEN_SECONDS,
                WaitTimeSeconds=0,
            )
            messages = answer.get("Messages", [])
            empty = 0 if messages else empty + 1
            for message in messages:
                yield message["Body"]


def _frozen(found: defaultdict[str, set[bytes]]) -> Ids:
    return {tenant: frozenset(ids) for tenant, ids in found.items()}
