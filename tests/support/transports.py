"""Both transports to one server: the lean one, and botocore's client that it stands in for."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiobotocore.credentials import AioCredentials
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from tenantry.aws import config, lean_calls
from tenantry.transport.calls import DynamoCalls, SqsCalls

TRANSPORTS: Final = ("lean", "botocore")
REGION: Final = "eu-west-1"
QUEUE_URL: Final = "https://sqs.eu-west-1.amazonaws.com/123456789012/queue"


@functools.cache
def _session() -> AioSession:
    # One for all: each new one would read the models of the services from disk again.
    return plain_session()


def plain_session() -> AioSession:
    """A session that reads nothing of the user's."""
    session = AioSession()
    for name in ("profile", "config_file", "credentials_file"):
        session.set_config_variable(name, None if name == "profile" else os.devnull)
    return session


@asynccontextmanager
async def calls_of(
    transport: str,
    service: str,
    url: str,
    *,
    credentials: Any = None,
    read_seconds: float = 5.0,
    ca_bundle: str | None = None,
) -> AsyncGenerator[Any]:
    """What an adapter calls, by either transport, once each.

    Args:
        transport: One of `TRANSPORTS`.
        service: `sqs` or `dynamodb`.
        url: The server.
        credentials: What signs; false ones if there are none given.
        read_seconds: For an answer.
        ca_bundle: A file of certificates to trust.
    """
    signing = AioCredentials("AKIDEXAMPLE", "secret") if credentials is None else credentials
    session: Any = _session() if credentials is None else plain_session()
    keys = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
    if credentials is not None:
        session._credentials, keys = credentials, {}
    client = session.create_client(
        service,
        region_name=REGION,
        endpoint_url=url,
        config=config(read_seconds, 1),
        verify=ca_bundle,
        **keys,
    )
    async with client as botocores, AsyncExitStack() as stack:
        if transport == "botocore":
            yield botocores
        else:
            kind: Any = SqsCalls if service == "sqs" else DynamoCalls
            yield lean_calls(stack, botocores, kind, credentials=signing, ca_bundle=ca_bundle)


async def send(calls: Any) -> Any:
    """Send one message to a queue."""
    return await calls.send_message_batch(
        QueueUrl=QUEUE_URL, Entries=[{"Id": "0", "MessageBody": "a"}]
    )


async def insert(calls: Any) -> Any:
    """Write one item."""
    return await calls.batch_execute_statement(Statements=[{"Statement": "INSERT …"}])


#: A call for each service.
CALLS: Final = {"sqs": send, "dynamodb": insert}


async def refusal(calls: Any, service: str) -> ClientError:
    """The error of a call that AWS refuses."""
    try:
        await CALLS[service](calls)
    except ClientError as error:
        return error
    raise AssertionError("it was not refused")


async def failure(calls: Any, service: str) -> type[BaseException]:
    """The kind of error of a call without an answer."""
    try:
        await CALLS[service](calls)
    except (BotoCoreError, RuntimeError) as error:
        return type(error)
    raise AssertionError("it did not fail")
