"""What a producer is told by the environment."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tenantry.limits import SQS_BATCH_BYTES
from tenantry.settings import ServiceSettings


class Settings(ServiceSettings):
    """Settings of a producer."""

    linger_seconds: float = Field(
        default=0.005,
        ge=0,
        le=0.1,
        description="How long a message waits at most for others to share its call.",
    )
    calls_per_queue: int = Field(
        default=8, ge=1, le=32, description="SendMessageBatch calls in flight to one queue."
    )
    queue_buffer_bytes: int = Field(
        default=16_777_216,
        ge=SQS_BATCH_BYTES,
        description="Bytes of messages to one queue that wait, or wait for the answer.",
    )
    buffer_bytes: int = Field(
        default=33_554_432, ge=SQS_BATCH_BYTES, description="The same to all queues together."
    )

    @model_validator(mode="after")
    def _one_queue_is_less_than_all(self) -> Self:
        if self.queue_buffer_bytes > self.buffer_bytes:
            msg = (
                "TENANTRY_QUEUE_BUFFER_BYTES must not exceed TENANTRY_BUFFER_BYTES: "
                "one queue that hangs would take what the others need"
            )
            raise ValueError(msg)
        return self
