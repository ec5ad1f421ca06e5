"""What clients send and get. Never the envelope itself: that is `tenantry.contract`'s."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tenantry.contract import TYPE_PATTERN, escape_pointer, parse_json
from tenantry.errors import InvalidMessageError
from tenantry.limits import BATCH_MESSAGES, IDEMPOTENCY_KEY_CHARACTERS
from tenantry.problems import Problem

#: Visible ASCII.
IDEMPOTENCY_KEY_PATTERN = r"^[!-~]{1,%d}$" % IDEMPOTENCY_KEY_CHARACTERS

MessageType = Annotated[
    str,
    Field(
        pattern=f"^{TYPE_PATTERN}$",
        description="What the payload is.",
        examples=["order.created"],
    ),
]
Payload = Annotated[
    dict[str, Any],
    Field(
        description="Any JSON object; stored unchanged, which means equal after parsing. What "
        "cannot be is refused: duplicate keys, integers beyond 64 bits, numbers beyond a double, "
        "lone surrogates, more than 64 levels.",
        examples=[{"order": 1001, "total": "12.30"}],
    ),
]
MessageId = Annotated[str, Field(description="A UUID.", json_schema_extra={"format": "uuid"})]


class Submission(BaseModel):
    """One message, as a client sends it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    type: MessageType
    payload: Payload


class BatchEntry(Submission):
    """One message of a batch."""

    idempotency_key: str | None = Field(
        default=None,
        pattern=IDEMPOTENCY_KEY_PATTERN,
        description="The same key always makes the same message id.",
    )


class BatchSubmission(BaseModel):
    """Messages that are accepted or refused one by one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    messages: list[BatchEntry] = Field(min_length=1, max_length=BATCH_MESSAGES)


class Accepted(BaseModel):
    """The answer to a message that SQS has."""

    message_id: MessageId
    status: Literal["accepted"] = "accepted"


class BatchAccepted(BaseModel):
    """The outcome of one message of a batch that was accepted."""

    status: Literal[202] = 202
    message_id: MessageId


class BatchResults(BaseModel):
    """One outcome for each message, in order."""

    results: list[BatchAccepted | Problem]


class About(BaseModel):
    """Who served."""

    tenant_id: str | None = Field(description="Of the token; null without one.")
    environment: str
    version: str
    microservice: Literal["producer"] = "producer"
    pool: str | None = Field(description="The pool that serves; null where it is dedicated.")


BodyT = TypeVar("BodyT", Submission, BatchSubmission)


def parse(body: bytes, model: type[BodyT]) -> BodyT:
    """The body, parsed once and strictly, as a model.

    Raises:
        MalformedBodyError: Not JSON.
        InvalidMessageError: JSON, but not this model; it says where.
    """
    value = parse_json(body)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        # The input is left out: a payload has no place in an answer, and none in a log.
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        pointer = "".join(f"/{escape_pointer(step)}" for step in first["loc"])
        raise InvalidMessageError(first["msg"], pointer) from None
