"""What becomes of one batch: decided from values, without a loop and without a clock."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from consumer.forwarding import Places, Whereabouts
from consumer.hand import Held
from consumer.queue import Forwarder
from consumer.repository import Inserted, MessageRepository, Row
from tenantry.contract import item_bytes, partition
from tenantry.errors import RegistryUnavailableError, StoreUnavailableError
from tenantry.limits import DYNAMODB_ITEM_BYTES, PARTIQL_BATCH_BYTES
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId

log = structlog.get_logger()

_Found = tuple[Whereabouts, Placement | None]


@dataclass(slots=True)
class BatchResult:
    """Each message of a batch is in exactly one of these.

    Attributes:
        stored: For the first time.
        duplicates: Stored already, and the same.
        conflicts: Their idempotent id is stored with another payload, which stays.
        forwarded: Confirmed by the queue where the tenant lives now.
        dropped: Of an offboarded tenant.
        kept: Of a tenant that the registry does not know.
        unforwarded: The queue where the tenant lives now does not take them yet.
        rejected: Can never be stored, with the reason.
        delayed: Not now, through no fault of the message: their lane rests.
        blocked: Not now, and nobody else's either: the store is out of reach.
        unplaced: Not now: the registry is out of reach.
        unreadable: Of a tenant whose placement, alone, is not understood.
    """

    stored: list[Held] = field(default_factory=list)
    duplicates: list[Held] = field(default_factory=list)
    conflicts: list[Held] = field(default_factory=list)
    forwarded: list[Held] = field(default_factory=list)
    dropped: list[Held] = field(default_factory=list)
    kept: list[Held] = field(default_factory=list)
    unforwarded: list[Held] = field(default_factory=list)
    rejected: list[tuple[Held, str]] = field(default_factory=list)
    delayed: list[Held] = field(default_factory=list)
    blocked: list[Held] = field(default_factory=list)
    unplaced: list[Held] = field(default_factory=list)
    unreadable: list[Held] = field(default_factory=list)

    def settled(self) -> list[Held]:
        """What can be deleted from the queue."""
        return [
            *self.stored,
            *self.duplicates,
            *self.conflicts,
            *self.forwarded,
            *self.dropped,
        ]


async def process_batch(
    batch: Sequence[Held],
    *,
    places: Places,
    repository: MessageRepository,
    forwarder: Forwarder,
    stored_at: str,
) -> BatchResult:
    """Store, forward or drop each message; nothing is raised for what became of one."""
    result = BatchResult()
    here: list[tuple[Held, Placement]] = []
    elsewhere: list[tuple[Held, Placement]] = []
    by_tenant: dict[TenantId, list[Held]] = defaultdict(list)
    for held in batch:
        by_tenant[TenantId(held.message.tenant_id)].append(held)
    asked: list[list[Held]] = []
    look_ups: list[Coroutine[Any, Any, _Found | RegistryUnavailableError]] = []
    for tenant_id, messages in by_tenant.items():
        if (known := places.here(tenant_id)) is not None:
            here += [(held, known) for held in messages]
        else:
            asked.append(messages)
            look_ups.append(_find(places, tenant_id))
    # Together: look-ups that time out one after the other take as many times as long.
    answers = await asyncio.gather(*look_ups) if look_ups else []
    for messages, answer in zip(asked, answers, strict=True):
        if isinstance(answer, RegistryUnavailableError):
            (result.unreadable if answer.of_one_tenant else result.unplaced).extend(messages)
            continue
        found, placement = answer
        if placement is None:
            result.kept += messages
        elif found is Whereabouts.OFFBOARDED:
            result.dropped += messages
        elif found is Whereabouts.ELSEWHERE:
            elsewhere += [(held, placement) for held in messages]
        else:
            here += [(held, placement) for held in messages]
    # In this order: a queue elsewhere that hangs holds up no message that can be stored here.
    await _store(here, repository, stored_at, result)
    await _forward(elsewhere, forwarder, result)
    return result


async def _find(places: Places, tenant_id: TenantId) -> _Found | RegistryUnavailableError:
    try:
        return await places.find(tenant_id)
    except RegistryUnavailableError as error:
        return error


async def _forward(
    elsewhere: Sequence[tuple[Held, Placement]], forwarder: Forwarder, result: BatchResult
) -> None:
    by_place: dict[tuple[str, str | None], list[Held]] = defaultdict(list)
    for held, placement in elsewhere:
        by_place[placement.queue_url, placement.message_group_id].append(held)
    # Together: the batch ends when the slowest does, not when all have hung one after the other.
    answers = await asyncio.gather(
        *(
            forwarder.forward(queue_url, group_id, [one.delivery for one in messages])
            for (queue_url, group_id), messages in by_place.items()
        )
    )
    for messages, settled in zip(by_place.values(), answers, strict=True):
        done, lost = set(settled.done), set(settled.lost)
        for one in messages:
            if one.delivery in done:
                result.forwarded.append(one)
            elif one.delivery in lost:
                result.rejected.append((one, "not-forwarded"))
            else:
                result.unforwarded.append(one)


async def _store(
    here: Sequence[tuple[Held, Placement]],
    repository: MessageRepository,
    stored_at: str,
    result: BatchResult,
) -> None:
    by_table: dict[str, list[tuple[Held, Row]]] = defaultdict(list)
    for held, placement in here:
        if item_bytes(held.message) > DYNAMODB_ITEM_BYTES:
            result.rejected.append((held, "too-large"))
            continue
        key = partition(held.message.tenant_id, held.message.message_id, placement.shards)
        by_table[placement.table_name].append((held, Row(key, held.message)))
    for table_name, pairs in by_table.items():
        for call in _calls(pairs):
            await _insert(table_name, call, repository, stored_at, result)


def _calls(pairs: Sequence[tuple[Held, Row]]) -> list[list[tuple[Held, Row]]]:
    """Packed to what one call takes, as sent."""
    calls: list[list[tuple[Held, Row]]] = [[]]
    size = 0
    for pair in pairs:
        own = pair[1].sent_bytes()
        if calls[-1] and size + own > PARTIQL_BATCH_BYTES:
            calls.append([])
            size = 0
        calls[-1].append(pair)
        size += own
    return calls


async def _insert(
    table_name: str,
    pairs: Sequence[tuple[Held, Row]],
    repository: MessageRepository,
    stored_at: str,
    result: BatchResult,
) -> None:
    outcomes = await repository.insert(table_name, [row for _, row in pairs], stored_at)
    there_already: list[tuple[Held, Row]] = []
    for (held, row), outcome in zip(pairs, outcomes, strict=True):
        match outcome:
            case Inserted.STORED:
                result.stored.append(held)
            case Inserted.DUPLICATE if row.message.is_idempotent:
                there_already.append((held, row))
            case Inserted.DUPLICATE:
                result.duplicates.append(held)
            case Inserted.REFUSED:
                result.rejected.append((held, "refused"))
            case Inserted.THROTTLED:
                result.delayed.append(held)
            case Inserted.UNAVAILABLE:
                result.blocked.append(held)
    if there_already:
        await _compare(table_name, there_already, repository, result)


async def _compare(
    table_name: str,
    pairs: Sequence[tuple[Held, Row]],
    repository: MessageRepository,
    result: BatchResult,
) -> None:
    """Of two payloads under one idempotency key the one stored first stands; say so."""
    try:
        digests = await repository.digests(table_name, [row.key for _, row in pairs])
    except StoreUnavailableError:
        result.delayed += [held for held, _ in pairs]
        return
    for held, row in pairs:
        digest = row.message.payload_sha256()
        stored = digests.get(row.key)
        if stored == digest:
            result.duplicates.append(held)
        elif stored is None:
            # It was there and is not any longer (a lifetime ended): store it after all.
            result.delayed.append(held)
        else:
            result.conflicts.append(held)
            log.warning(
                "message.conflicted",
                tenant_id=row.message.tenant_id,
                message_id=row.message.message_id,
                stored_sha256=stored.hex(),
                refused_sha256=digest.hex(),
            )
