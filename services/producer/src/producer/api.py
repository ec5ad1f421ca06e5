"""What becomes of a request that brings messages: `openapi.py` describes it, a test holds it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson
from opentelemetry import trace
from starlette.requests import Request

from producer.hot import Answer, HotRoute, Incoming
from producer.intake import Intake
from producer.limiter import RateLimiter
from producer.publisher import Outgoing, Publisher
from producer.schemas import (
    IDEMPOTENCY_KEY_PATTERN,
    About,
    BatchEntry,
    BatchSubmission,
    Submission,
    parse,
)
from producer.settings import Settings
from tenantry import problems
from tenantry.contract import (
    Message,
    dump_json,
    idempotent_message_id,
    item_bytes,
    new_message_id,
    now,
    write_units,
)
from tenantry.errors import (
    InvalidRequestError,
    MessageTooLargeError,
    MisplacedError,
    TenantryError,
    TenantSuspendedError,
    UnknownTenantError,
)
from tenantry.limits import DYNAMODB_ITEM_BYTES
from tenantry.metrics import ProducerMetrics
from tenantry.registry import Placement, PlacementCache
from tenantry.tenancy import Identity
from tenantry.tenant_id import TenantId

_KEY: Final = re.compile(IDEMPOTENCY_KEY_PATTERN)
_ACCEPTING: Final = frozenset({"active", "moving"})
_GONE: Final = frozenset({"offboarded"})


@dataclass(frozen=True, slots=True)
class Api:
    """The routes and what they use."""

    settings: Settings
    identity: Identity
    placements: PlacementCache
    publisher: Publisher
    limiter: RateLimiter
    metrics: ProducerMetrics
    tracer: trace.Tracer | None = None
    intake: Intake = field(default_factory=Intake)

    def routes(self) -> list[HotRoute]:
        """The routes that take messages, all by POST."""
        return [
            HotRoute(
                path,
                handle,
                self.metrics,
                request_seconds=self.settings.request_seconds,
                tracer=self.tracer,
            )
            for path, handle in (
                ("/messages", self.post_message),
                ("/messages/batch", self.post_batch),
            )
        ]

    async def about(self, request: Request) -> About:
        """Who serves; the tenant is the token's, if there is one."""
        tenant = await self.identity.tenant_if_any(request.scope["headers"])
        return About(
            tenant_id=tenant,
            environment=self.settings.environment,
            version=self.settings.version,
            pool=self.settings.pool,
        )

    async def post_message(self, incoming: Incoming) -> Answer:
        """Accept one message."""
        placement = await self._placement(incoming)
        key = _idempotency_key(incoming)
        body = await incoming.body(placement.tenant_id, self.intake)
        message = _message(placement.tenant_id, parse(body, Submission), key)
        outgoing = self._outgoing(placement, message, incoming.trace_attributes())
        [outcome] = await self._publish(placement, [outgoing], incoming.deadline)
        if outcome is not None:
            raise outcome
        message_id = message.message_id.encode()
        return Answer(
            202,
            b'{"message_id":"%b","status":"accepted"}' % message_id,
            ((b"location", b"/messages/" + message_id),),
        )

    async def post_batch(self, incoming: Incoming) -> Answer:
        """Accept up to 100 messages, each with an outcome of its own."""
        placement = await self._placement(incoming)
        if incoming.header(b"idempotency-key") is not None:
            msg = "in a batch the idempotency key is a field of each message"
            raise InvalidRequestError(msg)
        body = await incoming.body(placement.tenant_id, self.intake)
        messages = [
            _message(placement.tenant_id, entry, entry.idempotency_key)
            for entry in parse(body, BatchSubmission).messages
        ]
        outcomes = await self._accept(placement, messages, incoming)
        results: list[dict[str, object]] = []
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome is None:
                results.append({"status": 202, "message_id": message.message_id})
            else:
                self.metrics.refused.labels(problems.kind_of(outcome).slug).inc()
                results.append(problems.document(outcome))
        return Answer(202 if not any(outcomes) else 207, orjson.dumps({"results": results}))

    async def _placement(self, incoming: Incoming) -> Placement:
        tenant = await self.identity.tenant(incoming.headers)
        # Not looked up: the role of one tenant's instance may ask for that tenant alone.
        if not self.settings.is_pool and tenant != self.settings.instance:
            msg = "this instance serves another tenant"
            raise MisplacedError(msg)
        placement = self.placements.peek(tenant) or await self.placements.get(tenant)
        return self._may_send(placement)

    def _may_send(self, placement: Placement | None) -> Placement:
        if placement is None or placement.status in _GONE:
            msg = "the tenant is not known here"
            raise UnknownTenantError(msg)
        if placement.status not in _ACCEPTING:
            msg = f"the tenant is {placement.status}"
            raise TenantSuspendedError(msg)
        return placement

    async def _accept(
        self,
        placement: Placement,
        messages: Sequence[Message],
        incoming: Incoming,
    ) -> list[TenantryError | None]:
        """Send what may be sent; one outcome for each message, in order."""
        attributes = incoming.trace_attributes()
        outcomes: list[TenantryError | None] = [None] * len(messages)
        going: dict[int, Outgoing] = {}
        for number, message in enumerate(messages):
            try:
                going[number] = self._outgoing(placement, message, attributes)
            except TenantryError as error:
                outcomes[number] = error
        if going:
            sent = await self._publish(placement, [*going.values()], incoming.deadline)
            for number, outcome in zip(going, sent, strict=True):
                outcomes[number] = outcome
        return outcomes

    def _outgoing(
        self, placement: Placement, message: Message, attributes: Mapping[str, str]
    ) -> Outgoing:
        """The message as it is sent, if it may be."""
        outgoing = Outgoing(message.body(), attributes, placement.message_group_id)
        _refuse_too_large_for_queue(outgoing, placement)
        size = item_bytes(message)
        if size > DYNAMODB_ITEM_BYTES:
            msg = f"the message makes an item of {size} bytes, and one holds {DYNAMODB_ITEM_BYTES}"
            raise MessageTooLargeError(msg)
        self.limiter.take(placement, write_units(size))
        return outgoing

    async def _publish(
        self, placement: Placement, going: Sequence[Outgoing], deadline: float
    ) -> list[TenantryError | None]:
        outcomes = await self.publisher.publish(placement.queue_url, going, deadline=deadline)
        misplaced = {
            n: going[n]
            for n, outcome in enumerate(outcomes)
            if isinstance(outcome, MisplacedError)
        }
        if misplaced:
            # The cached placement may be what is wrong: ask once more before the request fails.
            for n, outcome in (await self._follow(placement, misplaced, deadline)).items():
                outcomes[n] = outcome
        if accepted := outcomes.count(None):
            self.metrics.count_accepted(placement.tenant_id, accepted)
        return outcomes

    async def _follow(
        self, placement: Placement, misplaced: Mapping[int, Outgoing], deadline: float
    ) -> Mapping[int, TenantryError | None]:
        """Send to where the registry says now; no outcomes where it says the same."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                found = await self.placements.refresh(placement.tenant_id)
            fresh = self._may_send(found)
        except TimeoutError:
            return {}
        except TenantryError as error:
            return dict.fromkeys(misplaced, error)
        if fresh.queue_url == placement.queue_url:
            return {}
        outcomes: dict[int, TenantryError | None] = {}
        going: dict[int, Outgoing] = {}
        for n, message in misplaced.items():
            going[n] = Outgoing(message.body, message.attributes, fresh.message_group_id)
            try:
                _refuse_too_large_for_queue(going[n], fresh)
            except MessageTooLargeError as error:
                outcomes[n] = error
                del going[n]
        if going:
            sent = await self.publisher.publish(
                fresh.queue_url, [*going.values()], deadline=deadline
            )
            outcomes |= zip(going, sent, strict=True)
        return outcomes


def _idempotency_key(incoming: Incoming) -> str | None:
    value = incoming.header(b"idempotency-key")
    if value is None:
        return None
    key = value.decode("latin-1")
    if not _KEY.fullmatch(key):
        msg = "an Idempotency-Key is 1 to 255 visible ASCII characters"
        raise InvalidRequestError(msg)
    return key


def _message(tenant: TenantId, submission: Submission | BatchEntry, key: str | None) -> Message:
    return Message(
        message_id=new_message_id() if key is None else idempotent_message_id(tenant, key),
        tenant_id=tenant,
        type=submission.type,
        payload=dump_json(submission.payload),
        accepted_at=now(),
    )


def _refuse_too_large_for_queue(outgoing: Outgoing, placement: Placement) -> None:
    size = outgoing.size_bytes()
    if size > placement.max_message_bytes:
        msg = (
            f"the message takes {size} bytes on its queue, "
            f"which takes {placement.max_message_bytes}"
        )
        raise MessageTooLargeError(msg)
