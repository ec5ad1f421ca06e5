"""What is written down of the calls that tenantctl makes: the permissions that they need.

Kept in `verbs.json`, by verb, each once.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ClientError

from iam import wire
from iam.wildcards import Context
from support.control_world import ENVIRONMENT

_HERE: Final = Path(__file__).parent
_REGION: Final = "eu-west-1"
_ACCOUNT: Final = "000000000000"
#: S3 API Reference: what a call needs, where it is not of its own name.
_OF_S3: Final = {
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
}
_MISSING: Final = frozenset(
    {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist", "ResourceNotFoundException"}
)


@dataclass(frozen=True, slots=True)
class Made:
    """A permission that a call needed.

    Attributes:
        on: What it was on, in words: `queue of a pool`.
        is_there: Whether that was there. What is not has no tags.
        context: What else a policy could ask for.
    """

    operation: str
    action: str
    on: str
    is_there: bool = True
    context: Context = field(default_factory=dict, compare=False)

    def line(self) -> dict[str, Any]:
        """As it is written down."""
        told: dict[str, Any] = {
            "operation": self.operation,
            "action": self.action,
            "on": self.on,
        }
        return told if self.is_there else {**told, "there": False}


class LosesAnswers:
    """A client whose first insert is made, and not answered: it is tried again."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._has_lost = False
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def batch_execute_statement(self, **request: Any) -> Any:
        if not self._has_lost:
            self._has_lost = True
            await self._client.batch_execute_statement(**request)
        return await self._client.batch_execute_statement(**request)


@dataclass(slots=True)
class Tape:
    """What is recorded, by verb; nothing while no verb is played."""

    verb: str | None = None
    made: dict[str, dict[Made, None]] = field(default_factory=dict)

    def note(self, one: Made) -> None:
        """Write a permission down."""
        if self.verb is not None:
            self.made.setdefault(self.verb, {})[one] = None

    @asynccontextmanager
    async def of(self, verb: str) -> AsyncGenerator[None]:
        """Record what the block calls as a verb's."""
        self.verb = verb
        try:
            yield
        finally:
            self.verb = None


class Recorded:
    """A client whose calls are written down, those that fail, too."""

    def __init__(self, client: Any, service: str, tape: Tape) -> None:
        self._client = client
        self._service = service
        self._tape = tape
        self.exceptions = getattr(client, "exceptions", None)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)
        operation = "".join(part.title() for part in name.split("_"))

        async def made(**request: Any) -> Any:
            is_there = True
            try:
                return await call(**request)
            except ClientError as error:
                is_there = error.response["Error"]["Code"] not in {*_MISSING, "NoSuchKey"}
                raise
            finally:
                for one in _needed(self._service, operation, request, is_there=is_there):
                    self._tape.note(one)

        return made


def _needed(
    service: str, operation: str, request: Mapping[str, Any], *, is_there: bool
) -> Iterator[Made]:
    if service == "s3":
        action = f"s3:{_OF_S3.get(operation, operation)}"
        yield Made(operation, action, "an export")
        if not is_there:
            # S3 API Reference, GetObject: without it what is not there is denied.
            yield Made(operation, "s3:ListBucket", "the bucket of exports")
    elif service == "cloudwatch":
        yield Made(operation, f"cloudwatch:{operation}", "everything")
    elif service == "events":
        for entry in request["Entries"]:
            told = {
                "events:source": (entry["Source"],),
                "events:detail-type": (entry["DetailType"],),
            }
            yield Made(operation, f"events:{operation}", "the bus", context=told)
    else:
        body = json.dumps(request, default=str).encode()
        call = wire.Call(service, _REGION, _ACCOUNT, operation, body)
        for one in wire.needed(call):
            yield Made(
                operation, one.action, _kind(one.resource), is_there=is_there, context=one.context
            )


def _kind(arn: str) -> str:
    """What is meant, in words: of a tenant or a pool."""
    if arn == "*":
        return "everything"
    name = arn.rpartition(":")[2].rpartition("/")[2].removeprefix(f"{ENVIRONMENT}-")
    if name == "tenants":
        return "the registry"
    what = "table" if ":table/" in arn else "queue"
    if name.endswith("-dead-letters"):
        what = "dead letters"
    instance = name.removesuffix("-dead-letters").removesuffix("-messages")
    assert instance != name, arn
    return f"{what} of a {'pool' if instance.startswith('pool-') else 'tenant'}"


def lines(tape: Tape) -> str:
    """What was recorded, as it is kept: by verb, each permission once."""
    found = {
        verb: sorted({json.dumps(one.line()) for one in made})
        for verb, made in sorted(tape.made.items())
    }
    blocks = (
        f'  "{verb}": [\n' + ",\n".join(f"    {one}" for one in ones) + "\n  ]"
        for verb, ones in found.items()
    )
    return "{\n" + ",\n".join(blocks) + "\n}\n"


@cache
def kept() -> dict[str, list[dict[str, Any]]]:
    """What was recorded last."""
    found: dict[str, list[dict[str, Any]]] = json.loads((_HERE / "verbs.json").read_text("utf-8"))
    return found
