"""How the stand-ins refuse a call: the error that the real service gives, as a value."""

from __future__ import annotations

from typing import Any


class AwsError(Exception):
    """A whole call is refused.

    Attributes:
        kind: The error's shape: `QueueDoesNotExist`, `ValidationException`, …
        code: What the query protocol called it, if that differs; SQS still says so in a header.
        status: Of HTTP.
        fields: What else the error says.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        status: int = 400,
        fields: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code or kind
        self.status = status
        self.fields = fields or {}
