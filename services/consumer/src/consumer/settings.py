"""What a consumer is told by the environment."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tenantry.limits import (
    DEFAULT_MAX_MESSAGE_BYTES,
    SQS_BATCH_ENTRIES,
    SQS_MAX_MESSAGE_BYTES,
    SQS_MAX_VISIBILITY_SECONDS,
    SQS_MAX_WAIT_SECONDS,
)
from tenantry.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of a consumer."""

    queue_url: str = Field(description="The instance's queue.")
    table_name: str = Field(description="The instance's table.")
    reader_role_arn: str | None = Field(
        default=None,
        description="Role whose sessions are limited to one tenant's partition; reads use it, "
        "and never this process's own role in its place.",
    )
    max_message_bytes: int = Field(
        default=DEFAULT_MAX_MESSAGE_BYTES,
        ge=1_024,
        le=SQS_MAX_MESSAGE_BYTES,
        description="The queue's largest message, attributes included.",
    )
    wait_seconds: int = Field(
        default=20, ge=1, le=SQS_MAX_WAIT_SECONDS, description="How long one poll waits."
    )
    visibility_seconds: int = Field(
        default=30,
        ge=2,
        le=SQS_MAX_VISIBILITY_SECONDS,
        description="The visibility timeout of what is received.",
    )
    rejected_retry_seconds: int = Field(
        default=30,
        ge=0,
        le=SQS_MAX_VISIBILITY_SECONDS,
        description="When a message that cannot be stored is tried again, until it is a dead "
        "letter.",
    )
    drain_seconds: float = Field(
        default=10,
        gt=0,
        le=300,
        description="How long work in hand may take after the last poll ended.",
    )
    polls: int = Field(default=4, ge=1, le=16, description="Polls in flight at most.")
    writes: int = Field(default=4, ge=1, le=16, description="Write calls in flight at most.")
    write_linger_seconds: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="How long a message waits for others to share its write, while one runs.",
    )
    delete_linger_seconds: float = Field(
        default=0.05,
        ge=0,
        le=1,
        description="How long a stored message waits for others to share its deletion, while "
        "others are in hand.",
    )
    hand_messages: int = Field(
        default=200,
        ge=SQS_BATCH_ENTRIES,
        le=5_000,
        description="Messages received and not settled, at most.",
    )
    hand_bytes: int = Field(
        default=16_777_216, description="Bytes received and not settled, at most."
    )

    @model_validator(mode="after")
    def _a_poll_fits_the_hand(self) -> Self:
        least = SQS_BATCH_ENTRIES * self.max_message_bytes
        if self.hand_bytes < least:
            msg = f"TENANTRY_HAND_BYTES must be at least {least}: what one poll can bring"
            raise ValueError(msg)
        return self
