"""Dead letters of one tenant: looked at, and moved back."""

from __future__ import annotations

from collections.abc import Collection

from tenantctl.control import Control, DeadLetters
from tenantctl.drains import Forwarded
from tenantctl.errors import NotFoundError, RefusedError
from tenantctl.hands import Destination
from tenantctl.letters import Letter
from tenantry.registry import Placement


async def look(
    control: Control, tenant_id: str, *, limit: int, payloads: bool = False
) -> list[Letter]:
    """Up to `limit` dead letters of a tenant, the oldest first; all stay.

    Raises:
        NotFoundError: The tenant is not registered, or has no dead-letter queue.
    """
    found: list[Letter] = []
    for queue in await _queues(control, await _placement(control, tenant_id)):
        found += await control.queues.look(
            queue.url, limit, tenant_id=queue.only, payloads=payloads
        )
    return sorted(found, key=lambda letter: letter.sent_at)[:limit]


async def redrive(
    control: Control, tenant_id: str, *, only: Collection[str] | None = None
) -> Forwarded:
    """Move a tenant's dead letters back to where it lives now, also from pools that it left.

    Raises:
        NotFoundError: The tenant is not registered, or has no dead-letter queue.
        RefusedError: It is leaving: what is moved back would miss its export.
    """
    placement = await _placement(control, tenant_id)
    if placement.status == "draining":
        raise RefusedError(
            f"{tenant_id} is leaving: its dead letters are exported, and none is moved back"
        )
    destination = Destination(placement.queue_url, placement.message_group_id)
    done = Forwarded()
    for queue in await _queues(control, placement):

        async def route(letter: Letter, mine: str | None = queue.only) -> Destination | None:
            return destination if mine in (None, letter.tenant_id) else None

        done += await control.queues.redrive(queue.url, route, only=only)
    control.observer.step("redriven", f"{done.forwarded} messages")
    return done


async def _placement(control: Control, tenant_id: str) -> Placement:
    placement = await control.placement(tenant_id)
    if placement is None or placement.status == "offboarded":
        raise NotFoundError(f"{tenant_id} is not registered")
    return placement


async def _queues(control: Control, placement: Placement) -> list[DeadLetters]:
    queues = await control.dead_letters(placement)
    if not queues:
        raise NotFoundError(f"{placement.tenant_id} has no dead-letter queue yet")
    return queues
