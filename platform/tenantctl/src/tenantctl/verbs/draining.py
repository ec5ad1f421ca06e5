"""Waiting until nothing of a tenant's is on its way any more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tenantctl.control import RETENTION_SECONDS, Control
from tenantctl.drains import Forwarded
from tenantctl.errors import RefusedError
from tenantctl.hands import Destination
from tenantctl.letters import Letter
from tenantry import names
from tenantry.registry import Placement

#: After so many a message goes to the dead letters: `maxReceiveCount` (design §2).
MAX_RECEIVES: Final = 10
#: How often a queue has to be found empty before it is given up.
_LOOKS: Final = 3


async def until_drained(control: Control, placement: Placement) -> None:
    """Wait until nothing of a tenant that was shut out is on a queue any more.

    Producers use a placement for `placement_max_age` at most, so nothing is sent to its queue
    that long after the placement was changed. What pools that it left still hold is forwarded to
    that queue, so theirs come first.

    Raises:
        UnfinishedError: They were not empty within the time given.
    """
    changed_at = placement.changed_at or int(control.clock())
    shut_at = changed_at + control.timing.placement_max_age
    await control.until_at(shut_at, "producers forget the placement")
    horizon = control.clock() - RETENTION_SECONDS - control.timing.placement_max_age
    for pool, left_at in control.left_pools(placement).items():
        if left_at <= horizon:
            continue  # its queue has nothing from then any more; its dead letters may
        url = await control.queues.url(names.queue_name(control.environment, pool))
        if url is not None and url != placement.queue_url:
            await until_empty(control, url, nothing_after=left_at)
    is_shared = placement.tier == "basic"
    await until_empty(control, placement.queue_url, nothing_after=shut_at if is_shared else None)


async def until_empty(
    control: Control, queue_url: str, *, nothing_after: float | None = None
) -> None:
    """Wait until a queue was empty at two looks, a visibility timeout apart.

    SQS counts approximately, and what a consumer holds comes back after its visibility timeout:
    so the looks are that far apart.

    A pool's queue has no count of one tenant's messages. It has to be seen empty as a whole, as
    it is between two bursts of the others; or, where somebody measures it, its oldest message has
    to be younger than the tenant's last.

    Args:
        control: The environment.
        queue_url: Which queue.
        nothing_after: It is shared, and nothing of this tenant's was sent there after this, in
            epoch seconds. None: it is the tenant's own, and has to be empty in between, too.

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
            if nothing_after is None:
                empty_since = None
            elif await _is_behind(control, queue_url, nothing_after):
                return ""
            name = queue_url.rpartition("/")[2]
            return f"{depth.visible} messages that wait and {depth.in_flight} in flight on {name}"
        empty_since = now if empty_since is None else empty_since
        left = apart - (now - empty_since)
        return f"the queue to stay empty: {left:.0f} s" if left > 0 else ""

    await control.until(ask)


async def _is_behind(control: Control, queue_url: str, moment: float) -> bool:
    """Whether what a shared queue holds was sent after a moment.

    The measure leaves out what was received three times and more. So it is believed only when the
    consumers have had all the receives of a message to store it or to bury it, each of which
    waits for its visibility timeout and for what lies before it again.
    """
    now = control.clock()
    if control.ages is None:
        return False
    oldest = await control.ages.oldest_sent_at(queue_url, now)
    if oldest is None or oldest <= moment:
        return False
    a_receive = max(control.timing.visibility, control.timing.settle) + now - oldest
    return now >= moment + MAX_RECEIVES * a_receive


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
