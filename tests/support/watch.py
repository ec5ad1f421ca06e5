"""What a proxy sees of each message on its way: the judge of when a process was killed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal

Phase = Literal["received", "writing", "written"]


class Watch:
    """Follows message ids from receive over write to delete.

    A message is `received` from the answer to ReceiveMessage on, `writing` from the call of
    BatchExecuteStatement on, `written` from its answer until DeleteMessageBatch comes in.
    """

    def __init__(self) -> None:
        self.phases: dict[str, Phase] = {}
        self._by_handle: dict[str, str] = {}
        self._changed = asyncio.Event()

    def called(self, operation: str, request: bytes) -> None:
        if operation == "BatchExecuteStatement":
            self._move(_written_ids(request), "writing")
        elif operation == "DeleteMessageBatch":
            for entry in json.loads(request)["Entries"]:
                message_id = self._by_handle.pop(entry["ReceiptHandle"], None)
                if message_id is not None:
                    self.phases.pop(message_id, None)

    def answered(self, operation: str, request: bytes, status: int, answer: bytes) -> None:
        if status != 200:
            return
        if operation == "ReceiveMessage":
            for message in json.loads(answer).get("Messages", []):
                message_id = json.loads(message["Body"])["message_id"]
                self._by_handle[message["ReceiptHandle"]] = message_id
                self.phases[message_id] = "received"
            self._changed.set()
        elif operation == "BatchExecuteStatement":
            self._move(_written_ids(request), "written")

    async def until(self, phase: Phase, *, seconds: float) -> None:
        """Return in the moment in which some message is in this phase."""
        async with asyncio.timeout(seconds):
            while phase not in self.phases.values():
                self._changed.clear()
                await self._changed.wait()

    def count(self) -> Counter[Phase]:
        """How many messages are in each phase now."""
        return Counter(self.phases.values())

    def forget(self) -> None:
        """The process that held them is gone."""
        self.phases.clear()
        self._by_handle.clear()

    def _move(self, message_ids: Iterable[str], phase: Phase) -> None:
        for message_id in message_ids:
            if message_id in self.phases:
                self.phases[message_id] = phase
        self._changed.set()


def _written_ids(request: bytes) -> list[str]:
    statements: list[dict[str, Any]] = json.loads(request)["Statements"]
    return [statement["Parameters"][1]["S"] for statement in statements]
