"""How old the oldest message of a queue is, which SQS tells CloudWatch alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from tenantctl.awsfailures import AWS_ERRORS, failure, queue_of

#: SQS reports each minute, and some minutes late.
_PERIOD_SECONDS: Final = 60
_LOOK_BACK: Final = timedelta(minutes=15)


class MetricCalls(Protocol):
    """What is needed of CloudWatch: aiobotocore's client, which has no types here."""

    async def get_metric_statistics(self, *args: Any, **request: Any) -> Any:
        """`GetMetricStatistics`."""
        ...


class Ages:
    """The metric `ApproximateAgeOfOldestMessage`."""

    def __init__(self, client: MetricCalls) -> None:
        self._client = client

    async def oldest_sent_at(self, queue_url: str, now: float) -> float | None:
        """When the oldest message of the last minutes was sent to a queue, in epoch seconds.

        Of an empty queue it is when that was looked at. None: nothing is known of these
        minutes. A message that was received three times and more is not counted among these.

        Raises:
            UnavailableError: CloudWatch does not answer, or denies.
        """
        ends_at = datetime.fromtimestamp(now, UTC)
        try:
            answer = await self._client.get_metric_statistics(
                Namespace="AWS/SQS",
                MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[
                    {"Name": "QueueName", "Value": urlsplit(queue_url).path.rpartition("/")[2]}
                ],
                StartTime=ends_at - _LOOK_BACK,
                EndTime=ends_at,
                Period=_PERIOD_SECONDS,
                Statistics=["Maximum"],
            )
        except AWS_ERRORS as error:
            raise failure(error, "GetMetricStatistics", queue_of(queue_url)) from error
        points = answer.get("Datapoints", [])
        if not points:
            return None
        return min(float(one["Timestamp"].timestamp() - one["Maximum"]) for one in points)
