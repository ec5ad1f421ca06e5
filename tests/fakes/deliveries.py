"""Messages as a consumer gets them."""

from __future__ import annotations

import uuid
from itertools import count

from consumer.hand import Held
from consumer.queue import Delivery
from tenantry.contract import Message, idempotent_message_id

_numbers = count(1)

ACCEPTED_AT = "2026-01-02T03:04:05.678901Z"


def message_id(number: int) -> str:
    """A UUIDv7; those of larger numbers sort later."""
    return str(uuid.UUID(int=number << 80 | 0x7 << 76 | 0x2 << 62))


def a_message(
    tenant_id: str = "acme",
    number: int | None = None,
    *,
    key: str | None = None,
    payload: str = '{"n":1}',
    type: str = "order.created",  # noqa: A002 - the field's name
) -> Message:
    """A message of its own, or the one with this number, or of this Idempotency-Key."""
    own_id = message_id(next(_numbers) if number is None else number)
    return Message(
        message_id=own_id if key is None else idempotent_message_id(tenant_id, key),
        tenant_id=tenant_id,
        type=type,
        payload=payload,
        accepted_at=ACCEPTED_AT,
    )


def a_delivery(
    message: Message | bytes, *, receive_count: int = 1, received_at: float = 0.0
) -> Delivery:
    """A receive of the message, or of a body that is none."""
    return Delivery(
        receipt_handle=f"handle-{next(_numbers)}",
        body=message if isinstance(message, bytes) else message.body().encode(),
        attributes={},
        receive_count=receive_count,
        sent_at=received_at,
        received_at=received_at,
    )


def a_held(
    message: Message | None = None, *, visible_at: float = 30.0, ready_at: float = 0.0
) -> Held:
    """The message in hand."""
    message = message or a_message()
    return Held(a_delivery(message), message, visible_at, ready_at)
