# ruff: noqa: INP001 - a file that a pod is given, and no part of a package
"""What `helm test` asks of an instance. It runs in the consumer's image, with what is there.

`message` sends one as this tenant and reads it back; `isolation` shows that the queue and the
table of another instance are denied to it, by a call that is allowed on its own queue and
changes nothing on either. Exit status: 0 it holds; 1 with a line that says what does not.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError, ClientError

#: How long a message may take to be stored.
SECONDS = float(os.environ.get("PROBE_SECONDS", "60"))
DENIED = {"AccessDenied", "AccessDeniedException"}
#: What SQS says to who may delete, of a receipt that nobody gave out.
ALLOWED = {"ReceiptHandleIsInvalid", "InvalidParameterValue", "InvalidAddress"}


class FailedError(Exception):
    """The text is for people."""


def message() -> None:
    """In by the producer, out by the consumer."""
    producer, consumer = os.environ["PRODUCER_URL"], os.environ["CONSUMER_URL"]
    for url in (f"{producer}/producer", f"{consumer}/consumer"):
        about = expect(HTTPStatus.OK, "GET", url)
        say(f"{url}: {about['microservice']} {about['version']} of {about['environment']}")
    payload = {"probe": str(uuid.uuid4())}
    sent = {"type": "tenantry.probe", "payload": payload}
    if ask(f"{producer}/messages", sent)[0] != HTTPStatus.UNAUTHORIZED:
        raise FailedError("a message without a token is not refused")
    say("a message without a token is refused")

    token = os.environ.get("TOKEN", "")
    if not token and os.environ.get("TOKEN_IS_OPTIONAL"):
        say("no token (Secret test-token): a pool's tenants are not asked")
        return
    if not token:
        raise FailedError("no token: the Secret test-token of this namespace has none")
    accepted = expect(HTTPStatus.ACCEPTED, "POST", f"{producer}/messages", sent, token)
    stored = wait_for(f"{consumer}/messages/{accepted['message_id']}", token)
    if stored["payload"] != payload:
        raise FailedError("the message came back changed")
    say(f"message {accepted['message_id']} went in and came out")


def wait_for(url: str, token: str) -> dict[str, Any]:
    """A message, as soon as it is stored."""
    ends_at = time.monotonic() + SECONDS
    while True:
        status, stored = ask(url, token=token)
        if status == HTTPStatus.OK:
            return stored
        if time.monotonic() > ends_at:
            raise FailedError(f"{url} was accepted and is not stored: {status}")
        time.sleep(0.5)  # between two looks: `SECONDS` ends the wait


def expect(
    wanted: HTTPStatus, method: str, url: str, body: object = None, token: str = ""
) -> dict[str, Any]:
    """The body of an answer that has this status."""
    status, answer = ask(url, body, token)
    if status != wanted:
        raise FailedError(f"{method} {url} answers {status}: {answer.get('type')}")
    return answer


def ask(url: str, body: object = None, token: str = "") -> tuple[int, dict[str, Any]]:
    """Status and body of one request."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - the chart's address
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - as above
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def isolation() -> None:
    """Own queue: allowed; another's queue and table: denied."""
    session = botocore.session.get_session()
    sqs: Any = session.create_client("sqs")
    dynamodb: Any = session.create_client("dynamodb")
    other = os.environ["NEIGHBOUR"]

    def delete(queue_url: str) -> str:
        return outcome(sqs.delete_message, QueueUrl=queue_url, ReceiptHandle="of-nobody")

    own = delete(os.environ["QUEUE_URL"])
    if own not in ALLOWED:
        raise FailedError(f"on its own queue it may not delete: {own}")
    say("its own queue lets it delete")
    key = {"tenant_id": {"S": other}, "message_id": {"S": "probe"}}
    table = os.environ["NEIGHBOUR_TABLE"]
    for what, answer in (
        ("queue", delete(os.environ["NEIGHBOUR_QUEUE_URL"])),
        ("table", outcome(dynamodb.get_item, TableName=table, Key=key)),
    ):
        if answer not in DENIED:
            raise FailedError(f"the {what} of {other} answers {answer}, and is not denied")
        say(f"the {what} of {other} is denied")


def outcome(call: Callable[..., object], **arguments: object) -> str:
    """The code of the error that a call ends in, or `ok`."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"]).rpartition(".")[2]
    except BotoCoreError as error:
        return type(error).__name__
    return "ok"


def say(line: str) -> None:
    """Where `helm test --logs` shows it."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    try:
        {"message": message, "isolation": isolation}[sys.argv[1]]()
    except FailedError as failed:
        sys.exit(f"FAILED: {failed}")
