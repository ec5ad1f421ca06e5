"""Waiting until nothing of a tenant's is on its way any more."""

from __future__ import annotations

from collections.abc import Sequence

from tenantctl.control import Control
from tenantctl.drains import Forwarded
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

    A pool's queue has no count of one tenant's messages: it has to be seen empty as a whole, which
    it is between two bursts of the others.

    Raises:
        UnfinishedError: It was not empty within the time given.
    """
    timing = control.timing
    changed_at = placement.changed_at or int(control.clock())
    await control.until_at(changed_at + timing.placement_max_age, "producers forget the placement")
    await until_empty(control, placement.queue_url, is_shared=placement.tier == "basic")


async def until_empty(control: Control, queue_url: str, *, is_shared: bool) -> None:
    """Wait until a queue was empty at two looks, a visibility timeout apart.

    At all looks between them, too, unless others share it: what came since is theirs.

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
            empty_since = empty_since if is_shared else None
            return f"{depth.visible} messages that wait and {depth.in_flight} in flight"
        empty_since = now if empty_since is None else empty_since
        left = apart - (now - empty_since)
        return f"the queue to stay empty: {left:.0f} s" if left > 0 else ""

    await control.until(ask)


async def until_visible(control: Control, dead_letter_url: str) -> None:
    """Wait until nobody holds any of a dead-letter queue.

    Only tenantctl receives there. One that was killed holds what it had until that is visible
    again: who looked before would take those letters for none.

    Raises:
        UnfinishedError: Not within the time given.
    """

    async def ask() -> str:
        held = (await control.queues.depth(dead_letter_url)).in_flight
        return f"{held} dead letters that another tenantctl holds" if held else ""

    await control.until(ask)


async def forward_own(control: Control, queue_url: str, placement: Placement) -> None:
    """Send on what is this tenant's among the dead letters of a pool that it leaves.

    Raises:
        RefusedError: Its new queue does not take some.
    """
    destination = Destination(placement.queue_url, placement.message_group_id)

    async def to(letter: Letter) -> Destination | None:
        return destination if letter.tenant_id == placement.tenant_id else None

    await until_visible(control, queue_url)
    _require_taken(await control.queues.redrive(queue_url, to), queue_url, placement)


async def until_forwarded(
    control: Control, queue_urls: Sequence[str], placement: Placement
) -> None:
    """Send on what queues that are left still hold, until all were empty at three looks.

    Raises:
        UnfinishedError: They were not empty within the time given.
        RefusedError: There is something that the new queue does not take.
    """
    looks = 0
    destination = Destination(placement.queue_url, placement.message_group_id)

    async def to(letter: Letter) -> Destination:
        del letter  # what is on a queue of the tenant's own is the tenant's
        return destination

    async def ask() -> str:
        nonlocal looks
        held = 0
        for queue_url in queue_urls:
            _require_taken(await control.queues.forward(queue_url, to), queue_url, placement)
            held += (await control.queues.depth(queue_url)).total
        if held:
            looks = 0
            return f"{held} messages of the queues that are left"
        looks += 1
        if looks >= _LOOKS:
            return ""
        await control.sleep(control.timing.settle)
        return f"look {looks + 1} of {_LOOKS} at the queues that are left"

    await control.until(ask)


def _require_taken(done: Forwarded, queue_url: str, placement: Placement) -> None:
    if done.refused:
        raise RefusedError(
            f"{done.refused} messages on {queue_url} are none that {placement.queue_url} takes: "
            "export and delete them there, then the same command goes on"
        )
