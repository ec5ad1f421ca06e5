"""Dead letters of one tenant: looked at, and moved back."""

from __future__ import annotations

from collections.abc import Collection

from tenantctl.control import Control
from tenantctl.drains import Forwarded
from tenantctl.errors import NotFoundError
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
    placement, queue = await _queue(control, tenant_id)
    return await control.queues.look(queue, limit, tenant_id=_only(placement), payloads=payloads)


async def redrive(
    control: Control, tenant_id: str, *, only: Collection[str] | None = None
) -> Forwarded:
    """Move a tenant's dead letters back to where it lives now.

    Raises:
        NotFoundError: The tenant is not registered, or has no dead-letter queue.
    """
    placement, queue = await _queue(control, tenant_id)
    destination = Destination(placement.queue_url, placement.message_group_id)
    mine = _only(placement)

    async def route(letter: Letter) -> Destination | None:
        return destination if mine in (None, letter.tenant_id) else None

    done = await control.queues.redrive(queue, route, only=only)
    control.observer.step("redriven", f"{done.forwarded} messages")
    return done


def _only(placement: Placement) -> str | None:
    """Whose letters count: in a pool this tenant's, on a queue of its own all."""
    return placement.tenant_id if placement.tier == "basic" else None


async def _queue(control: Control, tenant_id: str) -> tuple[Placement, str]:
    placement = await control.placement(tenant_id)
    if placement is None or placement.status == "offboarded":
        raise NotFoundError(f"{tenant_id} is not registered")
    queue = await control.dead_letters(placement)
    if queue is None:
        raise NotFoundError(f"{tenant_id} has no dead-letter queue yet")
    return placement, queue
