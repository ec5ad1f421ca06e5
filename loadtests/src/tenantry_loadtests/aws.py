"""Clients of AWS, or of the engine that stands for it on a laptop."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from tenantry_loadtests.plan import Aws

_CONNECT_SECONDS: Final = 2.0
_READ_SECONDS: Final = 30.0

#: Where a session looks for what the user configured: nowhere.
_NOTHING_OF_THE_USERS: Final[dict[str, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


def sqs_client(aws: Aws) -> Any:
    """A client for queues."""
    return _client("sqs", aws)


def dynamodb_client(aws: Aws) -> Any:
    """A client for tables."""
    return _client("dynamodb", aws)


def _client(service: str, aws: Aws) -> Any:
    """With the plan's credentials and nothing of the user's; without any, with the user's."""
    is_engine = aws.access_key_id is not None
    session = botocore.session.Session(_NOTHING_OF_THE_USERS if is_engine else None)
    options: dict[str, Any] = {
        "connect_timeout": _CONNECT_SECONDS,
        "read_timeout": _READ_SECONDS,
        "retries": {"mode": "standard", "total_max_attempts": 3},
    }
    if is_engine:  # a proxy of the user's has no way to a laptop's loopback
        options["proxies"] = {}
    return session.create_client(
        service,
        region_name=aws.region,
        endpoint_url=aws.endpoint_url,
        aws_access_key_id=aws.access_key_id,
        aws_secret_access_key=aws.secret_access_key,
        config=Config(**options),
    )
