"""The engines of the contract suites: clients of theirs, and what they get wrong."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from aiobotocore.session import AioSession

from tenantry.aws import config

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient

REGION: Final = "eu-west-1"
#: False, and taken by every engine; nothing here reaches AWS.
CREDENTIALS: Final = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}

#: Longer than any long poll of a test; a service's own is shorter.
READ_SECONDS: Final = 30.0

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
