"""The engines of the contract suites: clients of theirs, and what they get wrong.

A suite reaches an engine as the services do by default; the engine's name with `-botocore` is
the same engine, reached as they do when their lean transport is switched off.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession

from tenantry.aws import CallsT, config, lean_calls
from tenantry.transport.calls import DynamoCalls, SqsCalls

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient

REGION: Final = "eu-west-1"
#: False, and taken by every engine; nothing here reaches AWS.
CREDENTIALS: Final = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}

#: Longer than any long poll of a test; a service's own is shorter.
READ_SECONDS: Final = 30.0

#: Ends the name of an engine that is reached through botocore.
BOTOCORE: Final = "-botocore"

GAPS_FILE: Final = Path(__file__).with_name("engine_gaps.yaml")


@dataclass(frozen=True, slots=True)
class Gap:
    """What an engine gets wrong; `operation` is what a test says that it needs."""

    engine: str
    operation: str
    reason: str


@functools.cache
def gaps() -> tuple[Gap, ...]:
    """What the file lists."""
    return tuple(Gap(**entry) for entry in yaml.safe_load(GAPS_FILE.read_text("utf-8")))


@functools.cache
def _session() -> AioSession:
    # One for all: each new one would read the models of the services from disk again.
    session = AioSession()
    for name in ("profile", "config_file", "credentials_file"):
        session.set_config_variable(name, None if name == "profile" else "/dev/null")
    return session


def _options(url: str) -> dict[str, Any]:
    # As the services' own clients that do not retry.
    return {
        "region_name": REGION,
        "endpoint_url": url,
        "config": config(READ_SECONDS, 1),
        **CREDENTIALS,
    }


@asynccontextmanager
async def sqs_client(url: str) -> AsyncGenerator[SQSClient]:
    """A client of SQS at this address."""
    async with _session().create_client("sqs", **_options(url)) as client:
        yield client


@asynccontextmanager
async def dynamodb_client(url: str) -> AsyncGenerator[DynamoDBClient]:
    """A client of DynamoDB at this address."""
    async with _session().create_client("dynamodb", **_options(url)) as client:
        yield client


@asynccontextmanager
async def sqs_calls(url: str, engine: str = "") -> AsyncGenerator[SQSClient | SqsCalls]:
    """What the services' adapters call of SQS at this address."""
    async with sqs_client(url) as client, AsyncExitStack() as stack:
        yield client if engine.endswith(BOTOCORE) else lean(stack, client, SqsCalls)


def lean(stack: AsyncExitStack, client: Any, calls: type[CallsT]) -> CallsT:
    """The lean calls to where this client's would go."""
    credentials = AioCredentials(
        CREDENTIALS["aws_access_key_id"], CREDENTIALS["aws_secret_access_key"]
    )
    return lean_calls(stack, client, calls, credentials=credentials, ca_bundle=None)


@asynccontextmanager
async def dynamodb_calls(
    url: str, engine: str = ""
) -> AsyncGenerator[tuple[DynamoDBClient, DynamoDBClient | DynamoCalls]]:
    """A client of DynamoDB at this address, and what the services' adapters write with."""
    async with dynamodb_client(url) as client, AsyncExitStack() as stack:
        yield client, client if engine.endswith(BOTOCORE) else lean(stack, client, DynamoCalls)
