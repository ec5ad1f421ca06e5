"""Where costs are measured: OpenCost, Prometheus, CloudWatch and DynamoDB.

Pods are OpenCost's allocation by namespace. Calls of SQS are counted by the services themselves,
since SQS tells CloudWatch of messages and not of requests. Units are what CloudWatch says that a
table consumed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import httpx

from tenantctl.awsfailures import AWS_ERRORS, ResourceMissingError, failure
from tenantctl.cost import Measured, Served, Usage
from tenantctl.errors import UnavailableError
from tenantry import names

_IDLE: Final = "__idle__"
_SECONDS: Final = 60.0
#: What GetMetricData takes in a call.
_QUERIES: Final = 500
_DAY: Final = 86_400
_SENDS: Final = "tenantry_send_calls_total"
#: Calls of SQS, of all that a consumer calls.
_CALLS: Final = (
    'tenantry_consumer_calls_total{operation=~"receive|delete|change_visibility|forward"}'
)
#: Later than this after a period's begin, what Prometheus keeps does not cover it.
_SLACK: Final = 7_200


@dataclass(frozen=True, slots=True)
class Period:
    """From one moment to another."""

    start: datetime
    end: datetime

    @property
    def seconds(self) -> int:
        """How long it is."""
        return int((self.end - self.start).total_seconds())


class Metrics(Protocol):
    """What is needed of CloudWatch."""

    async def get_metric_data(self, *args: Any, **request: Any) -> Any:
        """`GetMetricData`."""
        ...


class Descriptions(Protocol):
    """What is needed of DynamoDB."""

    async def describe_table(self, *args: Any, **request: Any) -> Any:
        """`DescribeTable`."""
        ...


@dataclass(frozen=True, slots=True)
class Sources:
    """Where to ask.

    Attributes:
        opencost: Its address; None: pods are not known.
        prometheus: Its address; None: neither calls nor shares are known.
    """

    http: httpx.AsyncClient
    metrics: Metrics
    tables: Descriptions
    opencost: str | None
    prometheus: str | None


async def measure(
    sources: Sources, environment: str, period: Period, known: Iterable[str]
) -> Measured:
    """What was used in a period. Who does not answer is named in it, and in no line.

    Args:
        sources: Where to ask.
        environment: Whose.
        period: When.
        known: Instances of today. Those that left are known by what they did.

    Raises:
        UnavailableError: CloudWatch or DynamoDB do not answer, or deny.
    """
    missing: list[str] = []
    pods = await _or_missing(_pods(sources, period), missing, "pods")
    sends = await _or_missing(_calls(sources, period, _SENDS), missing, "calls of SQS")
    calls = await _or_missing(_calls(sources, period, _CALLS), missing, "calls of SQS")
    told = len(missing)
    accepted = await _or_missing(_messages(sources, period, "accepted"), missing, "shares")
    stored = await _or_missing(_messages(sources, period, "stored"), missing, "shares")
    is_known = told == len(missing)
    missing.extend(await _too_old(sources, period) if is_known else ())
    instances = {*known, *sends, *calls, *accepted, *stored}
    units = await _units(sources.metrics, environment, period, sorted(instances))
    used = {
        name: Usage(
            pods=pods.get(name, 0.0),
            sends=sends.get(name, 0.0),
            requests=calls.get(name, 0.0),
            writes=units.get((name, "Write"), 0.0),
            reads=units.get((name, "Read"), 0.0),
            stored_bytes=await _size(sources.tables, environment, name),
        )
        for name in sorted(instances)
    }
    return Measured(
        hours=period.seconds / 3600,
        used=used,
        served={
            name: Served(
                accepted=accepted.get(name, {}), stored=stored.get(name, {}), is_known=is_known
            )
            for name in used
            if name.startswith("pool-")
        },
        platform={
            ("idle nodes" if name == _IDLE else f"namespace {name}"): usd
            for name, usd in pods.items()
            if name not in used
        },
        missing=tuple(dict.fromkeys(missing)),
    )


async def _or_missing(asked: Any, missing: list[str], what: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = await asked
    except UnavailableError as error:
        missing.append(f"{what}: {error}")
        return {}
    return found


async def _pods(sources: Sources, period: Period) -> dict[str, float]:
    """US dollars by namespace."""
    said = await _get(
        sources,
        "OpenCost",
        sources.opencost,
        "/allocation/compute",
        {
            "window": f"{_rfc(period.start)},{_rfc(period.end)}",
            "aggregate": "namespace",
            "includeIdle": "true",
            "accumulate": "true",
        },
    )
    found: defaultdict[str, float] = defaultdict(float)
    try:
        for part in said["data"] or []:
            for name, allocation in (part or {}).items():
                found[name] += float(allocation["totalCost"] or 0.0)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise UnavailableError("OpenCost answers something else than allocations") from None
    return dict(found)


async def _calls(sources: Sources, period: Period, series: str) -> dict[str, float]:
    """Calls of SQS by namespace."""
    query = f"sum by (namespace) (increase({series}[{period.seconds}s]))"
    return {
        labels["namespace"]: value
        for labels, value in await _query(sources, query, period.end)
        if labels.get("namespace")
    }


async def _too_old(sources: Sources, period: Period) -> tuple[str, ...]:
    """What to say of a period that begins before what Prometheus keeps."""
    try:
        found = await _query(sources, "min(prometheus_tsdb_lowest_timestamp_seconds)")
    except UnavailableError as error:
        return (f"whether Prometheus keeps the whole period: {error}",)
    if not found or found[0][1] <= period.start.timestamp() + _SLACK:
        return ()
    oldest = min(datetime.fromtimestamp(found[0][1], UTC), period.end)
    return (f"pods, calls of SQS and shares before {_rfc(oldest)}: Prometheus keeps none as old",)


async def _messages(sources: Sources, period: Period, what: str) -> dict[str, dict[str, float]]:
    """Messages by namespace and tenant."""
    series = f"tenantry_messages_{what}_total[{period.seconds}s]"
    query = f"sum by (namespace, tenant) (increase({series}))"
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for labels, value in await _query(sources, query, period.end):
        if labels.get("namespace") and labels.get("tenant"):
            found[labels["namespace"]][labels["tenant"]] = value
    return dict(found)


async def _query(
    sources: Sources, query: str, moment: datetime | None = None
) -> list[tuple[Mapping[str, str], float]]:
    """A vector at a moment; now, if none is named."""
    said = await _get(
        sources,
        "Prometheus",
        sources.prometheus,
        "/api/v1/query",
        {"query": query} | ({"time": _rfc(moment)} if moment else {}),
    )
    try:
        found = [(each["metric"], float(each["value"][1])) for each in said["data"]["result"]]
    except (KeyError, TypeError, IndexError, ValueError):
        raise UnavailableError("Prometheus answers something else than a vector") from None
    return [(labels, value) for labels, value in found if math.isfinite(value)]


async def _get(
    sources: Sources, who: str, url: str | None, path: str, query: Mapping[str, str]
) -> Any:
    if url is None:
        raise UnavailableError(
            f"{who} is not named: --{who.lower()} http://127.0.0.1:PORT, or [costs] of the context"
        )
    try:
        answer = await sources.http.get(
            f"{url.rstrip('/')}{path}", params=dict(query), timeout=_SECONDS
        )
        answer.raise_for_status()
        return answer.json()
    except httpx.HTTPStatusError as error:
        raise UnavailableError(f"{who} answers {error.response.status_code}") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UnavailableError(f"{who} does not answer ({type(error).__name__})") from None


async def _units(
    metrics: Metrics, environment: str, period: Period, instances: list[str]
) -> dict[tuple[str, str], float]:
    """Units by instance, and by `Read` or `Write`."""
    wanted = [(name, kind) for name in instances for kind in ("Read", "Write")]
    found: defaultdict[tuple[str, str], float] = defaultdict(float)
    for first in range(0, len(wanted), _QUERIES):
        part = wanted[first : first + _QUERIES]
        queries = [
            {
                "Id": f"q{number}",
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/DynamoDB",
                        "MetricName": f"Consumed{kind}CapacityUnits",
                        "Dimensions": [
                            {"Name": "TableName", "Value": names.table_name(environment, name)}
                        ],
                    },
                    "Period": _DAY,
                    "Stat": "Sum",
                },
            }
            for number, (name, kind) in enumerate(part)
        ]
        more: dict[str, str] = {}
        while True:
            try:
                answer = await metrics.get_metric_data(
                    MetricDataQueries=queries,
                    StartTime=period.start,
                    EndTime=period.end,
                    **more,
                )
            except AWS_ERRORS as error:
                raise failure(error, "GetMetricData", "CloudWatch") from error
            for result in answer["MetricDataResults"]:
                if result.get("StatusCode") in {"InternalError", "Forbidden"}:
                    table = names.table_name(environment, part[int(result["Id"][1:])][0])
                    raise UnavailableError(
                        f"CloudWatch does not tell of table {table}: {result['StatusCode']}"
                    )
                found[part[int(result["Id"][1:])]] += sum(result["Values"])
            if not answer.get("NextToken"):
                break
            more = {"NextToken": answer["NextToken"]}
    return dict(found)


async def _size(tables: Descriptions, environment: str, instance: str) -> float:
    """Bytes; none of a table that is not there: a basic tenant has none."""
    name = names.table_name(environment, instance)
    try:
        answer = await tables.describe_table(TableName=name)
    except AWS_ERRORS as error:
        told = failure(error, "DescribeTable", f"table {name}")
        if isinstance(told, ResourceMissingError):
            return 0.0
        raise told from error
    return float(answer["Table"].get("TableSizeBytes", 0))


def _rfc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
