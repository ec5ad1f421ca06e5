"""What is sent: made up by sizes and types, or taken from a file of real events.

Bodies are made once, before the run. A request then costs the generator no serialising, and a
message differs from another of the same body by its idempotency key alone.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, Protocol

from tenantry_loadtests.errors import UsageError

DEFAULT_SIZES: Final = "256:30,600:50,2048:15,10240:5"
DEFAULT_TYPES: Final = "order.created:4,order.paid:3,order.shipped:2,customer.updated:1"

#: What the types of made-up messages start with, for whoever finds them in a table.
PREFIX: Final = "loadtest."
#: Bodies of each size: enough that no cache on the way sees one body alone.
_BODIES_OF_A_SIZE: Final = 32
_SIZE_AT_MOST: Final = 240_000
#: A line of a made-up payload is shorter than this.
_LINE_BYTES: Final = 160
_TYPE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_KEYS: Final = frozenset({"type", "payload", "tenant_id"})
_WORDS: Final = [
    "tenant",
    "queue",
    "order",
    "invoice",
    "café",
    "naïve",
    "数据",
    "🚀",
    "shipped",
    "refund",
    "ledger",
    "north",
    "river",
    "late",
    "paper",
    "amber",
    "stone",
]


@dataclass(frozen=True, slots=True)
class Message:
    """A message without its key, as it stands between a body's braces.

    Attributes:
        inner: `"type":…,"payload":{…}` in UTF-8.
        tenant: Whose it is; None for anybody's.
    """

    inner: bytes
    tenant: str | None = None

    def body(self) -> bytes:
        """The body of a single request; its key is a header."""
        return b"{" + self.inner + b"}"

    def in_batch(self, key: str) -> bytes:
        """An element of a batch's array."""
        return b"{" + self.inner + b',"idempotency_key":"' + key.encode() + b'"}'


class Messages(Protocol):
    """Where messages come from."""

    def next(self, tenant: str, generator: random.Random) -> Message:
        """One message for a tenant."""
        ...


class MadeUp:
    """Messages of sizes and types that are drawn by their weights."""

    def __init__(self, sizes: str, types: str, *, seed: int = 0) -> None:
        """Make the bodies.

        Args:
            sizes: `bytes:weight,…`: of the payload's JSON text.
            types: `type:weight,…`; each is sent with `PREFIX` before it.
            seed: The same bodies for the same seed.

        Raises:
            UsageError: They are not of this form.
        """
        generator = random.Random(seed)  # noqa: S311 - the same bodies in every process
        try:
            weighed_types = [
                (_type(f"{PREFIX}{text}"), weight) for text, weight in _weighed(types, "TYPES")
            ]
        except ValueError as error:
            raise UsageError(f"TYPES: {error}") from None
        names = [name for name, _ in weighed_types]
        weights = [weight for _, weight in weighed_types]
        self._weights: list[float] = []
        self._bodies: list[list[Message]] = []
        for text, weight in _weighed(sizes, "SIZES"):
            size = _size(text)
            self._weights.append(weight)
            self._bodies.append(
                [
                    _made_up(name, size, generator)
                    for name in generator.choices(names, weights, k=_BODIES_OF_A_SIZE)
                ]
            )
        self._cumulative = list(accumulate(self._weights))

    def next(self, tenant: str, generator: random.Random) -> Message:  # noqa: ARG002 - for all
        """One message; every tenant gets of the same."""
        [bodies] = generator.choices(self._bodies, cum_weights=self._cumulative)
        return bodies[int(generator.random() * len(bodies))]


class RealEvents:
    """Messages of a file, in its order, over and over; each tenant goes through its own."""

    def __init__(self, messages: Sequence[Message], start: int = 0) -> None:
        self._anybodys = [message for message in messages if message.tenant is None]
        self._own: dict[str, list[Message]] = {}
        for message in messages:
            if message.tenant is not None:
                self._own.setdefault(message.tenant, []).append(message)
        self._at: dict[str, int] = {}
        self._start = start

    def next(self, tenant: str, generator: random.Random) -> Message:  # noqa: ARG002 - in order
        """The next line of the tenant's, or of anybody's if the file has none of the tenant's."""
        messages = self._own.get(tenant) or self._anybodys
        at = self._at.get(tenant, self._start)
        self._at[tenant] = at + 1
        return messages[at % len(messages)]


def read_events(path: Path, tenants: Iterable[str]) -> list[Message]:
    """The messages of a file of JSON lines: `type`, `payload` and perhaps `tenant_id`.

    Raises:
        UsageError: It cannot be read, a line is no message, or a tenant would have none.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"EVENTS {path} cannot be read: {error.strerror}") from None
    messages = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                messages.append(_real(line))
            except ValueError as error:
                raise UsageError(f"EVENTS {path}, line {number}: {error}") from None
    owners = {message.tenant for message in messages}
    if not messages:
        raise UsageError(f"EVENTS {path} holds no messages")
    if None not in owners and (without := sorted(set(tenants) - owners)):
        raise UsageError(f"EVENTS {path} has no message for {without[0]}")
    return messages


def _real(line: bytes) -> Message:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("payload"), dict):
        raise ValueError('wanted {"type": …, "payload": {…}}')
    if unknown := sorted(set(value) - _KEYS):
        raise ValueError(f"unknown key {unknown[0]!r}")
    tenant = value.get("tenant_id")
    if tenant is not None and not isinstance(tenant, str):
        raise ValueError("tenant_id is a text")
    return Message(_inner(_type(value.get("type")), value["payload"]), tenant)


def _made_up(type_: str, size: int, generator: random.Random) -> Message:
    """A message whose payload's text has so many bytes, give or take a few."""
    lines: list[dict[str, Any]] = []
    payload = {"source": "loadtest", "lines": lines, "note": ""}
    room = size - len(_json(payload))
    while room > _LINE_BYTES:
        line = {
            "sku": f"SKU-{generator.randrange(10**6):06}",
            "count": generator.randrange(1, 100),
            "price": f"{generator.randrange(10**5) / 100:.2f}",
            "text": " ".join(generator.choices(_WORDS, k=4)),
        }
        room -= len(_json(line)) + (1 if lines else 0)  # and its comma
        lines.append(line)
    payload["note"] = "x" * max(0, room)
    return Message(_inner(type_, payload))


def _inner(type_: str, payload: object) -> bytes:
    return b'"type":' + _json(type_) + b',"payload":' + _json(payload)


def _json(value: object) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # a lone surrogate: the service's to refuse
        return json.dumps(value, separators=(",", ":")).encode()


def _weighed(text: str, name: str) -> list[tuple[str, float]]:
    weighed = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        # A type may hold a colon: what stands behind the last one is the weight.
        value, colon, weight = part.rpartition(":")
        try:
            weighed.append((value, float(weight)) if colon else (weight, 1.0))
        except ValueError:
            weighed.append((part, 1.0))
    if not weighed or not all(0 < weight < 1e9 for _, weight in weighed):  # noqa: PLR2004
        raise UsageError(f"{name} is {text!r}; wanted value:weight,value:weight …")
    return weighed


def _size(text: str) -> int:
    if not text.isdecimal() or not 64 <= int(text) <= _SIZE_AT_MOST:  # noqa: PLR2004 - the frame's
        raise UsageError(f"SIZES: {text!r} is no size from 64 to {_SIZE_AT_MOST} bytes")
    return int(text)


def _type(text: object) -> str:
    if not isinstance(text, str) or not _TYPE.fullmatch(text):
        raise ValueError(f"{text!r} is no type: 1 to 128 of A-Z a-z 0-9 . _ : / -")
    return text
