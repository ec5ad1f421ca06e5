"""Clients of the engine. They reach it, and never an account of the user's."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from tenantry_local.model import ACCESS_KEY_ID, HOST, REGION, SECRET_ACCESS_KEY

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient

_CONFIG: Final = AioConfig(
    connect_timeout=2,
    read_timeout=30,
    max_pool_connections=32,
    # None, where the default is the environment's: a proxy has no way to this loopback.
    proxies={},
    retries={"mode": "standard", "total_max_attempts": 3},
)

#: Where a session looks for what the user configured: nowhere.
_NOTHING_OF_THE_USERS: Final[dict[str, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


class Engine:
    """SQS and DynamoDB of the embedded engine, for the laptop itself."""

    def __init__(self, url: str, sqs: SQSClient, dynamodb: DynamoDBClient) -> None:
        self.url = url
        self.sqs = sqs
        self.dynamodb = dynamodb

    @classmethod
    async def connect(cls, url: str, stack: AsyncExitStack) -> Engine:
        """Open the clients; they close with the stack."""
        session = AioSession(_NOTHING_OF_THE_USERS)
        common: dict[str, Any] = {
            "region_name": REGION,
            "endpoint_url": url,
            "aws_access_key_id": ACCESS_KEY_ID,
            "aws_secret_access_key": SECRET_ACCESS_KEY,
            "config": _CONFIG,
        }
        sqs = await stack.enter_async_context(session.create_client("sqs", **common))
        dynamodb = await stack.enter_async_context(session.create_client("dynamodb", **common))
        return cls(url, sqs, dynamodb)


def service_environment(endpoint_url: str) -> dict[str, str]:
    """The environment of a child: the user's, without anything that leads to their account."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TENANTRY_", "BOTO"))
    }
    # A proxy of the user's has no way to this machine's loopback.
    for name in ("NO_PROXY", "no_proxy"):
        env[name] = ",".join(filter(None, (os.environ.get(name), HOST, "localhost")))
    return env | {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONUNBUFFERED": "1",
    }
