"""The project's stand-in for SQS and DynamoDB, in this process and at the time of a clock.

What is asked goes through botocore's own serializer and parser, so that requests and errors are
as they are with any other engine; only the network is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

import botocore.session
import orjson
from botocore import xform_name
from botocore.errorfactory import ClientExceptionsFactory
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from fakes.clock import Clock
from tenantry_local.aws_error_standin import AwsError
from tenantry_local.aws_standin import Endpoint

URL: Final = "http://aws.example"
_EXCEPTIONS: Final = ClientExceptionsFactory()


@cache
def _model(service: str) -> tuple[Any, dict[str, Any]]:
    model = botocore.session.Session().get_service_model(service)
    return model, {xform_name(name): name for name in model.operation_names}


class MemoryAws:
    """An account. `before` and `after` are called around each call of its clients."""

    def __init__(
        self,
        clock: Clock,
        *,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
        seen: Callable[[str, dict[str, Any]], None] = lambda _, __: None,
    ) -> None:
        loop: Any = SimpleNamespace(time=clock, call_at=None)  # for polls that wait, which none do
        self.endpoint = Endpoint(URL, loop)
        self.before = before
        self.after = after
        self.seen = seen
        self.sqs: Any = Client(self, "sqs")
        self.dynamodb: Any = Client(self, "dynamodb")
        #: As the cluster and the services call it: without `before` and `after`.
        self.others_sqs: Any = Client(self, "sqs", is_watched=False)
        self.others_dynamodb: Any = Client(self, "dynamodb", is_watched=False)


class Client:
    """What tenantctl calls of aiobotocore's clients."""

    def __init__(self, aws: MemoryAws, service: str, *, is_watched: bool = True) -> None:
        self._aws = aws
        self._is_watched = is_watched
        self._model, self._operations = _model(service)
        self.exceptions = _EXCEPTIONS.create_client_exceptions(self._model)
        self._serializer = create_serializer("json")
        self._parser = create_parser("json")

    def __getattr__(self, name: str) -> Any:
        operation = self._model.operation_model(self._operations[name])

        async def call(**request: Any) -> Any:
            await asyncio.sleep(0)  # others have their turn, as they would
            if self._is_watched:
                self._aws.before()
            answer = self._answer(operation, request)
            self._aws.seen(operation.name, request)
            if self._is_watched:
                self._aws.after()
            return answer

        return call

    def _answer(self, operation: Any, request: dict[str, Any]) -> Any:
        wire = self._serializer.serialize_to_request(request, operation)
        status, headers = 200, {}
        try:
            body = self._aws.endpoint.call(wire["headers"]["X-Amz-Target"].encode(), wire["body"])
        except AwsError as error:
            status = error.status
            headers = {"x-amzn-query-error": f"{error.code};Sender"}
            body = {"__type": f"#{error.kind}", "message": error.message, **error.fields}
        response = {"status_code": status, "headers": headers, "body": orjson.dumps(body)}
        parsed = self._parser.parse(response, operation.output_shape)
        if status == 200:
            return parsed
        refused: Any = self.exceptions.from_code(parsed["Error"]["Code"])
        raise refused(parsed, operation.name)
