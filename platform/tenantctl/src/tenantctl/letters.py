"""A message as it lies on a queue: what can be said of it, and how it is sent on unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tenantry.contract import ENVELOPE_FIELDS, Message, decode, utf8_bytes
from tenantry.errors import InvalidMessageError, MalformedBodyError
from tenantry.limits import SQS_BATCH_BYTES, SQS_BATCH_ENTRIES

_Entry = TypeVar("_Entry")

#: A system attribute that a sender may set, and that travels with the message.
_TRACE_HEADER: Final = "AWSTraceHeader"


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message on a queue.

    Attributes:
        sqs_id: SQS's own id of it, on this queue; a message that is sent on gets another.
        message_id: Of the envelope; None where the body is none.
        tenant_id: Of the envelope; None where the body is none.
        type: Of the envelope; None where the body is none.
        problem: Why the body is no envelope that is understood: kind and place, never a part of
            it. Empty if it is one.
        receive_count: How often it was received, this time included.
        sent_at: When SQS took it, in epoch seconds; a dead letter keeps it.
        size: Bytes of body and attributes, as SQS counts.
        sha256: Of the body, in hex.
        attributes: Message attributes as SQS has them.
        body: The text itself; None unless it was asked for.
    """

    sqs_id: str
    message_id: str | None
    tenant_id: str | None
    type: str | None
    problem: str
    receive_count: int
    sent_at: float
    size: int
    sha256: str
    attributes: Mapping[str, Any]
    group_id: str | None = None
    body: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A message in hand: what it is, and what it takes to send and delete it."""

    letter: Letter
    body: str
    receipt_handle: str
    trace_header: str | None

    def entry(self, number: int, group_id: str | None) -> Any:
        """An entry of SendMessageBatch with the same body and attributes."""
        entry: dict[str, Any] = {"Id": str(number), "MessageBody": self.body}
        if group_id is not None:
            entry["MessageGroupId"] = group_id
        if self.letter.attributes:
            entry["MessageAttributes"] = dict(self.letter.attributes)
        if self.trace_header is not None:
            entry["MessageSystemAttributes"] = {
                _TRACE_HEADER: {"DataType": "String", "StringValue": self.trace_header}
            }
        return entry


def received(wire: Mapping[str, Any]) -> Received:
    """A message as ReceiveMessage answers it, asked for all attributes."""
    system = wire.get("Attributes", {})
    body: str = wire["Body"]
    attributes = {
        name: _attribute(value) for name, value in wire.get("MessageAttributes", {}).items()
    }
    # SQS lets surrogates through that no text holds: such a body is no envelope.
    raw = body.encode("utf-8", "surrogatepass")
    message, problem = _read(raw)
    letter = Letter(
        sqs_id=wire["MessageId"],
        message_id=message.message_id if message else None,
        tenant_id=message.tenant_id if message else None,
        type=message.type if message else None,
        problem=problem,
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_at=int(system.get("SentTimestamp", 0)) / 1_000,
        size=len(raw) + sum(_size(name, value) for name, value in attributes.items()),
        sha256=hashlib.sha256(raw).hexdigest(),
        attributes=attributes,
        group_id=system.get("MessageGroupId"),
    )
    return Received(letter, body, wire["ReceiptHandle"], system.get(_TRACE_HEADER))


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    """Type and value alone: what else an engine answers cannot be sent."""
    names = ("DataType", "StringValue", "BinaryValue")
    return {name: value[name] for name in names if value.get(name) is not None}


def _size(name: str, value: Mapping[str, Any]) -> int:
    content = value.get("BinaryValue", b"")
    text = value.get("StringValue", "")
    return utf8_bytes(name) + len(value["DataType"]) + len(content) + utf8_bytes(text)


def _read(body: bytes) -> tuple[Message | None, str]:
    try:
        return decode(body), ""
    except MalformedBodyError:
        return None, "not JSON"
    except InvalidMessageError as error:
        return None, f"no envelope that is understood: {_place(error.pointer)}"


def _place(pointer: str | None) -> str:
    """A pointer without the names that a client chose."""
    first = (pointer or "").lstrip("/").partition("/")[0]
    return f"/{first}" if first in ENVELOPE_FIELDS else "the whole"


def in_batches(entries: Iterable[tuple[_Entry, int]]) -> list[list[_Entry]]:
    """Entries with their bytes as one call each of SendMessageBatch takes: ten, and 1 MiB."""
    batches: list[list[_Entry]] = []
    total = 0
    for entry, size in entries:
        total += size
        if not batches or total > SQS_BATCH_BYTES or len(batches[-1]) == SQS_BATCH_ENTRIES:
            batches.append([])
            total = size
        batches[-1].append(entry)
    return batches
