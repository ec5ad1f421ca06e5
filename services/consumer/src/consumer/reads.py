"""Reads of one tenant's messages, by its placement."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from consumer.credentials import ReaderSessions, signing_with
from consumer.repository import MessageReader, Page
from tenantry.contract import StoredMessage, is_message_id, partition, partitions
from tenantry.errors import (
    InvalidRequestError,
    MessageNotFoundError,
    MisplacedError,
    TenantSuspendedError,
    UnknownTenantError,
)
from tenantry.registry import Placement, PlacementCache
from tenantry.tenant_id import TenantId

_READABLE = frozenset({"active", "moving"})


@dataclass(frozen=True, slots=True)
class Listing:
    """Messages in the order of their ids; the cursor of what follows, if anything does."""

    items: Sequence[StoredMessage]
    next_cursor: str | None


class Reads:
    """Answers for one instance: a pool's tenants, or one."""

    def __init__(
        self,
        reader: MessageReader,
        placements: PlacementCache,
        *,
        instance: str,
        is_pool: bool,
        sessions: ReaderSessions | None,
    ) -> None:
        self._reader = reader
        self._placements = placements
        self._instance = instance
        self._is_pool = is_pool
        self._sessions = sessions

    async def get(self, tenant_id: TenantId, message_id: str) -> StoredMessage:
        """The message.

        Raises:
            MessageNotFoundError: Not stored, or another tenant's: the two look the same.
            UnknownTenantError: The registry knows no such tenant.
            TenantSuspendedError: It may not read now.
            MisplacedError: Another instance serves it.
            RegistryUnavailableError, StoreUnavailableError: Not now.
        """
        placement = await self._placement(tenant_id)
        if is_message_id(message_id):
            async with self._as(tenant_id):
                key = partition(tenant_id, message_id, placement.shards)
                for table_name in _tables(placement):
                    # Where it was before a move it has as many shards: those move with it.
                    found = await self._reader.get(table_name, key, message_id)
                    if found is not None:
                        return found
        msg = "no such message is stored for this tenant (yet)"
        raise MessageNotFoundError(msg)

    async def list(self, tenant_id: TenantId, *, limit: int, cursor: str | None) -> Listing:
        """Up to `limit` messages, ascending by id, after the cursor.

        A cursor promises that no item comes twice, not that later ones are seen: ids made from
        an idempotency key have no order in time.

        Raises:
            InvalidRequestError: Not a cursor of ours.
            UnknownTenantError, TenantSuspendedError, MisplacedError: As for `get`.
            RegistryUnavailableError, StoreUnavailableError: Not now.
        """
        after = None if cursor is None else _after(cursor)
        placement = await self._placement(tenant_id)
        async with self._as(tenant_id):
            pages = await asyncio.gather(
                *(
                    self._reader.page(table_name, key, after=after, limit=limit)
                    for table_name in _tables(placement)
                    for key in partitions(tenant_id, placement.shards)
                )
            )
        return _merged(pages, limit)

    async def _placement(self, tenant_id: TenantId) -> Placement:
        # Not looked up: the role of one tenant's instance may ask for that tenant alone.
        if not self._is_pool and tenant_id != self._instance:
            msg = "another instance serves this tenant"
            raise MisplacedError(msg)
        placement = self._placements.peek(tenant_id) or await self._placements.get(tenant_id)
        if placement is None or placement.status == "offboarded":
            msg = "the tenant is not known here"
            raise UnknownTenantError(msg)
        if placement.status not in _READABLE:
            msg = f"the tenant is {placement.status}"
            raise TenantSuspendedError(msg)
        if not self._serves(placement):
            msg = "another instance serves this tenant"
            raise MisplacedError(msg)
        return placement

    def _serves(self, placement: Placement) -> bool:
        if not self._is_pool:
            return True
        return placement.tier == "basic" and placement.pool in (None, self._instance)

    @asynccontextmanager
    async def _as(self, tenant_id: TenantId) -> AsyncGenerator[None, None]:
        if self._sessions is None:
            yield
            return
        with signing_with(await self._sessions.of(tenant_id)):
            yield


def _tables(placement: Placement) -> list[str]:
    previous = [] if placement.previous is None else [placement.previous.table_name]
    return [placement.table_name, *previous]


def _merged(pages: Sequence[Page], limit: int) -> Listing:
    """One order out of several partitions.

    Beyond the last id of a page that was cut nothing is known of its partition, so the merge
    ends there.
    """
    horizon = min(
        (page.items[-1].message.message_id for page in pages if page.is_cut and page.items),
        default=None,
    )
    found: dict[str, StoredMessage] = {}
    for page in pages:  # the new table's come first, and stand
        for item in page.items:
            if horizon is None or item.message.message_id <= horizon:
                found.setdefault(item.message.message_id, item)
    items = [found[message_id] for message_id in sorted(found)]
    has_more = len(items) > limit or horizon is not None
    items = items[:limit]
    return Listing(items, _cursor(items[-1]) if has_more and items else None)


def _cursor(last: StoredMessage) -> str:
    return base64.urlsafe_b64encode(last.message.message_id.encode()).decode().rstrip("=")


def _after(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        after = base64.b64decode(padded.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        after = ""
    if not is_message_id(after):
        msg = "the cursor is not one that this service gave"
        raise InvalidRequestError(msg)
    return after
