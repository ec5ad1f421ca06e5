"""Waiting until nothing of a tenant's is on its way any more."""

from __future__ import annotations

from tenantctl.control import Control
from tenantctl.errors import RefusedError
from tenantctl.hands import Destination
from tenantctl.letters import Letter
from tenantry.registry import Placement

#: How often a queue has to be found empty before it is given up.
_LOOKS = 3


async def until_drained(control: Control, placement: Placement) -> None:
    """Wait until no producer can send any more, and the queue was seen empty twice.

    Producers use a placement for `placement_max_age` at most, so nothing is sent to this queue
    that long after the placement was changed. SQS counts approximately, and what a consumer
    holds comes back after its visibility timeout: so the two looks are that far apart.

    A pool's queue has no count of one tenant's messages: it has to be empty as a whole, which a
    pool is between two bursts.

    Raises:
        UnfinishedError: It was not empty within the time given.
    """
    timing = control.timing
    changed_at = placement.changed_at or int(control.clock())
    await control.until_at(changed_at + timing.placement_max_age, "producers forget the placement")
    await until_empty(control, placement.queue_url)


async def until_empty(control: Control, queue_url: str) -> None:
    """Wait until a queue was empty at two looks, a visibility timeout apart, and between them.

    Raises:
        UnfinishedError: Not within the time given.
    """
    timing = control.timing
    apart = max(timing.visibility, timing.settle)
    empty_since: float | None = None

    async def ask() -> str:
        nonlocal empty_since
        depth = await control.queues.depth(queue_url)
        now = control.clock()
        if depth.total:
            empty_since = None
            return f"{depth.visible} messages that wait and {depth.in_flight} in flight"
        empty_since = now if empty_since is None else empty_since
        left = apart - (now - empty_since)
        return f"the queue to stay empty: {left:.0f} s" if left > 0 else ""

    await control.until(ask)


async def forward_own(control: Control, queue_url: str, placement: Placement) -> None:
    """Send on what is this tenant's among the dead letters of a pool that it leaves.

    Raises:
        RefusedError: Its new queue does not take some.
    """
    destination = Destination(placement.queue_url, placement.message_group_id)

    async def to(letter: Letter) -> Destination | None:
        return destination if letter.tenant_id == placement.tenant_id else None

    done = await control.queues.redrive(queue_url, to)
    if done.refused:
        raise RefusedError(
            f"{done.refused} messages on {queue_url} are none that {placement.queue_url} takes: "
            "export and delete them there, then the same command goes on"
        )


async def until_forwarded(control: Control, queue_url: str, placement: Placement) -> None:
    """Send on what a queue that is left still holds, until it was empty at three looks.

    Raises:
        UnfinishedError: It was not empty within the time given.
    """
    looks = 0
    destination = Destination(placement.queue_url, placement.message_group_id)

    async def to(letter: Letter) -> Destination:
        del letter  # what is on a queue of the tenant's own is the tenant's
        return destination

    async def ask() -> str:
        nonlocal looks
        done = await control.queues.forward(queue_url, to)
        if done.refused:
            raise RefusedError(
                f"{done.refused} messages on {queue_url} are none that {placement.queue_url} "
                "takes: export and delete them there, then the same command goes on"
            )
        depth = await control.queues.depth(queue_url)
        if depth.total:
            looks = 0
            return f"{depth.total} messages of the queue that is left"
        looks += 1
        if looks >= _LOOKS:
            return ""
        await control.sleep(control.timing.settle)
        return f"look {looks + 1} of {_LOOKS} at the queue that is left"

    await control.until(ask)
