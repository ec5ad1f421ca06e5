"""Emptying a queue, or going through it: receive, send on, and only then delete.

Killed anywhere, nothing is lost: what was received comes back when its visibility timeout ends,
and what was sent and not deleted is sent twice, which consumers store once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tenantctl.errors import UnavailableError
from tenantctl.hands import Clock, Destination, Hands, Hold
from tenantctl.letters import Letter, Received, in_batches

#: Receives in a row that bring nothing new, after which a queue has been gone through. One is no
#: proof: what somebody else has just given back may not be seen everywhere yet.
QUIET_RECEIVES: Final = 2


class Drop(Enum):
    """The one verdict that is no destination and yet takes a message off its queue."""

    DROP = "drop"


DROP: Final = Drop.DROP


#: Where a message goes; None leaves it where it is.
Route = Callable[[Letter], Awaitable[Destination | Drop | None]]


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What became of messages.

    Attributes:
        forwarded: Confirmed by their destination.
        kept: Left on the queue, as the route said.
        dropped: Deleted, as the route said.
        refused: Left on the queue, since their destination will never take them.
    """

    forwarded: int = 0
    kept: int = 0
    dropped: int = 0
    refused: int = 0

    def __add__(self, other: Forwarded) -> Forwarded:
        """Of two runs together."""
        return Forwarded(
            forwarded=self.forwarded + other.forwarded,
            kept=self.kept + other.kept,
            dropped=self.dropped + other.dropped,
            refused=self.refused + other.refused,
        )


class Drain:
    """One run through a queue. What it keeps is hidden until it ends, and then given back."""

    def __init__(
        self, hands: Hands, url: str, route: Route, *, visibility_seconds: int, clock: Clock
    ) -> None:
        self._hands = hands
        self._url = url
        self._route = route
        #: What stays.
        self._hold = Hold(hands, url, seconds=visibility_seconds, clock=clock)
        self._kept = self._hold.handles
        self._refused: set[str] = set()
        #: Sent or to be dropped, and not deleted yet.
        self._settled: set[str] = set()
        self._forwarded = 0
        self._dropped = 0

    async def run(self) -> Forwarded:
        """Until nothing new is received.

        Raises:
            UnavailableError: Source or destination fail; done again, it goes on.
        """
        quiet = 0
        try:
            while quiet < QUIET_RECEIVES:
                is_new = await self._settle(await self._hold.receive())
                quiet = 0 if is_new else quiet + 1
        finally:
            await self._hold.give_back()
        return Forwarded(
            forwarded=self._forwarded,
            kept=len(self._kept) - len(self._refused),
            dropped=self._dropped,
            refused=len(self._refused),
        )

    async def _settle(self, hand: dict[str, Received]) -> bool:
        """Act on what was received; whether any of it had not been seen before."""
        delete: list[Received] = []
        send: dict[Destination, list[Received]] = {}
        is_new = False
        for sqs_id, one in hand.items():
            if sqs_id in self._kept:
                self._kept[sqs_id] = one.receipt_handle
                continue
            is_new = True
            # Held from here on, so that a route that fails leaves nothing hidden.
            self._kept[sqs_id] = one.receipt_handle
            if sqs_id in self._settled:
                delete.append(one)
                continue
            match await self._route(one.letter):
                case None:
                    pass
                case Destination() as destination:
                    send.setdefault(destination, []).append(one)
                case Drop.DROP:
                    self._dropped += 1
                    self._settled.add(sqs_id)
                    delete.append(one)
        error: UnavailableError | None = None
        for destination, messages in send.items():
            for batch in in_batches((one, one.letter.size) for one in messages):
                sent = await self._hands.send(destination, batch)
                self._forwarded += len(sent.done)
                self._settled.update(one.letter.sqs_id for one in sent.done)
                self._refused.update(one.letter.sqs_id for one in sent.refused)
                delete += sent.done
                error = error or sent.error
        # Also where others failed: what is confirmed must not be sent twice for them.
        await self._delete(delete)
        if error is not None:
            raise error
        return is_new

    async def _delete(self, batch: list[Received]) -> None:
        if not batch:
            return
        for one in batch:
            del self._kept[one.letter.sqs_id]
        stale = {one.letter.sqs_id for one in await self._hands.delete(self._url, batch)}
        self._settled -= {one.letter.sqs_id for one in batch} - stale
