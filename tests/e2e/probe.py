"""What a pod tries, from inside: given JSON on standard input, it says what came of each try.

Runs in the images of the services, which have Python and botocore, by `kubectl exec`. Nothing of
the project is imported.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

_SECONDS = 5


def connect(host: str, port: int) -> None:
    """A connection, which is ended at once."""
    socket.create_connection((host, port), _SECONDS).close()


def resolve(name: str) -> None:
    """A name's address."""
    socket.getaddrinfo(name, 80)


def call(service: str, operation: str, parameters: dict[str, Any]) -> None:
    """A call of AWS, with the pod's own credentials."""
    config = Config(retries={"total_max_attempts": 1}, read_timeout=_SECONDS)
    client = botocore.session.get_session().create_client(service, config=config)
    getattr(client, operation)(**parameters)


def main() -> None:
    """Try all of it."""
    ways: dict[str, Callable[..., None]] = {
        "connect": connect,
        "resolve": resolve,
        "call": call,
    }
    told = {}
    for name, (what, *words) in json.load(sys.stdin).items():
        try:
            ways[what](*words)
        except ClientError as error:
            told[name] = str(error.response["Error"]["Code"])
        except OSError as error:
            told[name] = type(error).__name__
        else:
            told[name] = "ok"
    sys.stdout.write(json.dumps(told))


main()
