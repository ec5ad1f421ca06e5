"""Which queues and tables an account has, by the beginning of their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tenantctl.awsfailures import AWS_ERRORS, failure

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient


class Inventory:
    """Lists, and looks at nothing else."""

    def __init__(self, sqs: SQSClient, dynamodb: DynamoDBClient) -> None:
        self._sqs = sqs
        self._dynamodb = dynamodb

    async def queues(self, prefix: str) -> frozenset[str]:
        """Names of queues that begin so.

        Raises:
            UnavailableError: SQS does not answer, or denies.
        """
        found: set[str] = set()
        request: dict[str, Any] = {"QueueNamePrefix": prefix, "MaxResults": 1_000}
        while True:
            try:
                answer = await self._sqs.list_queues(**request)
            except AWS_ERRORS as error:
                raise failure(error, "ListQueues", f"queues {prefix}*") from error
            found.update(url.rpartition("/")[2] for url in answer.get("QueueUrls", ()))
            if not answer.get("NextToken"):
                return frozenset(found)
            request["NextToken"] = answer["NextToken"]

    async def tables(self, prefix: str) -> frozenset[str]:
        """Names of tables that begin so.

        Raises:
            UnavailableError: DynamoDB does not answer, or denies.
        """
        found: set[str] = set()
        request: dict[str, Any] = {}
        answer: dict[str, Any]
        while True:
            try:
                answer = dict(await self._dynamodb.list_tables(**request))
            except AWS_ERRORS as error:
                raise failure(error, "ListTables", f"tables {prefix}*") from error
            found.update(name for name in answer["TableNames"] if name.startswith(prefix))
            if "LastEvaluatedTableName" not in answer:
                return frozenset(found)
            request["ExclusiveStartTableName"] = answer["LastEvaluatedTableName"]
