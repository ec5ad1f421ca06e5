"""Faults that a proxy injects into AWS calls: which, how often, and what the caller sees.

Each is drawn by a seed, so that a run can be repeated: the same calls in the same order meet
the same faults.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal["delay", "error", "throttle", "partial", "reset", "lost-answer", "hang"]

#: Where the entries of a batch call stand, and what names them.
_ENTRIES: Final = {
    "SendMessageBatch": "Entries",
    "DeleteMessageBatch": "Entries",
    "ChangeMessageVisibilityBatch": "Entries",
    "BatchExecuteStatement": "Statements",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What may happen to a call.

    Attributes:
        kind: `delay` passes it on later. `error` (HTTP 500), `throttle` and `reset` (the
            connection ends) answer for the engine, which never sees the call. `lost-answer`
            lets the engine do it, and then ends the connection. `hang` never answers.
            `partial` takes some entries of a batch out, and answers for those.
        operations: The calls that it may happen to; empty for all.
        text: What such a call must hold: a queue's name, say. Empty for any.
        probability: How often, from 0 to 1.
        seconds: Of a delay.
        times: How often at most; None for ever.
    """

    kind: Kind
    operations: frozenset[str] = frozenset()
    text: str = ""
    probability: float = 1.0
    seconds: float = 0.0
    times: int | None = None


@dataclass(slots=True)
class Faults:
    """Draws faults, and counts those that were felt."""

    seed: int = 0
    active: tuple[Fault, ...] = ()
    felt: Counter[str] = field(default_factory=Counter)
    _spent: Counter[Fault] = field(default_factory=Counter)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - repeatable, not secret

    def set(self, *faults: Fault) -> None:
        """These from now on, instead of those before."""
        self.active = faults
        self._spent.clear()

    def draw(self, operation: str, body: bytes) -> list[Fault]:
        """What happens to this call."""
        drawn: list[Fault] = []
        for fault in self.active:
            if fault.operations and operation not in fault.operations:
                continue
            if fault.text and fault.text.encode() not in body:
                continue
            if fault.times is not None and self._spent[fault] >= fault.times:
                continue
            if fault.kind == "partial" and operation not in _ENTRIES:
                continue
            if self._random.random() < fault.probability:
                self._spent[fault] += 1
                self.felt[f"{fault.kind} {operation}"] += 1
                drawn.append(fault)
        return drawn

    def split(self, operation: str, body: bytes) -> tuple[bytes | None, list[int]]:
        """A batch call without some of its entries (None: without any), and their places."""
        call = json.loads(body)
        name = _ENTRIES[operation]
        entries = call[name]
        out = sorted(self._random.sample(range(len(entries)), k=max(1, len(entries) // 3)))
        call[name] = [entry for place, entry in enumerate(entries) if place not in out]
        return json.dumps(call).encode() if call[name] else None, out


def refusal(kind: Kind, target: str | None) -> tuple[int, str, bytes]:
    """Status, content type and body of an answer that AWS gives for itself."""
    if target is None:  # the query protocol
        code = "Throttling" if kind == "throttle" else "InternalFailure"
        text = f"<ErrorResponse><Error><Code>{code}</Code></Error></ErrorResponse>"
        return 500 if kind == "error" else 400, "text/xml", text.encode()
    service, _, _ = target.partition(".")
    if kind == "error":
        return 500, "application/x-amz-json-1.0", _error("InternalServerError")
    if service == "AmazonSQS":
        return 400, "application/x-amz-json-1.0", _error("com.amazonaws.sqs#RequestThrottled")
    code = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException"
    return 400, "application/x-amz-json-1.0", _error(code)


def merge(operation: str, request: bytes, answer: bytes, out: Iterable[int]) -> bytes:
    """The engine's answer to the rest of a batch, with failures for what was taken out."""
    places = set(out)
    call = json.loads(request)
    found: dict[str, Any] = json.loads(answer or b"{}")
    if operation == "BatchExecuteStatement":
        answered = iter(found.get("Responses", []))
        throttled = {"Error": {"Code": "ThrottlingError", "Message": "injected"}}
        found["Responses"] = [
            throttled if place in places else next(answered)
            for place in range(len(call["Statements"]))
        ]
    else:
        entries = call["Entries"]
        failed = [
            {
                "Id": entries[place]["Id"],
                "SenderFault": False,
                "Code": "InternalError",
                "Message": "injected",
            }
            for place in places
        ]
        found["Failed"] = [*found.get("Failed", []), *failed]
        found.setdefault("Successful", [])
    return json.dumps(found).encode()


def _error(code: str) -> bytes:
    return json.dumps({"__type": code, "message": "injected"}).encode()
