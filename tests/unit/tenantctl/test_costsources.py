"""What costs are made of, asked of OpenCost, Prometheus, CloudWatch and DynamoDB."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import httpx
import pytest
from botocore.exceptions import ClientError

from tenantctl.cli.cost import days_of, period_of
from tenantctl.costsources import Period, Sources, measure
from tenantctl.errors import InvalidError, UnavailableError

PERIOD: Final = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC))
PODS: Final = {
    "code": 200,
    "data": [
        {
            "acme": {"totalCost": 2.5},
            "pool-1": {"totalCost": 4.0},
            "keda": {"totalCost": 1.0},
            "__idle__": {"totalCost": 0.5},
        }
    ],
}
#: By what a query begins with, its series.
SERIES: Final = {
    "sum by (namespace) (increase(tenantry_send": [({"namespace": "pool-1"}, "100")],
    "sum by (namespace) (increase(tenantry_consumer": [
        ({"namespace": "pool-1"}, "50"),
        ({"namespace": "acme"}, "7"),
        ({}, "9"),
    ],
    "sum by (namespace, tenant) (increase(tenantry_messages_accepted": [
        ({"namespace": "pool-1", "tenant": "globex"}, "3"),
        ({"namespace": "pool-1", "tenant": "gone"}, "NaN"),
    ],
    "sum by (namespace, tenant) (increase(tenantry_messages_stored": [
        ({"namespace": "pool-1", "tenant": "globex"}, "3"),
        ({"namespace": "left", "tenant": "left"}, "8"),
    ],
}


class Web:
    """OpenCost and Prometheus, as far as they are asked: paths, windows and moments are checked.

    Prometheus keeps what `oldest` says, in seconds; nothing is filtered by it.
    """

    def __init__(self) -> None:
        self.oldest = PERIOD.start.timestamp()
        self.asked: list[httpx.Request] = []
        self.fails: dict[str, Any] = {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if (answer := self.fails.get(request.url.host)) is not None:
            if isinstance(answer, Exception):
                raise answer
            status, data = answer
            return httpx.Response(status, content=data)
        if request.url.host == "opencost":
            assert request.url.path == "/allocation/compute"
            assert request.url.params["window"] == "2026-11-01T00:00:00Z,2026-11-02T00:00:00Z"
            return httpx.Response(200, json=PODS)
        query = request.url.params["query"]
        if query == "min(prometheus_tsdb_lowest_timestamp_seconds)":
            assert "time" not in request.url.params
            result = [{"metric": {}, "value": [0, str(self.oldest)]}]
            return httpx.Response(200, json={"data": {"resultType": "vector", "result": result}})
        assert request.url.params["time"] == "2026-11-02T00:00:00Z"
        [series] = [found for begin, found in SERIES.items() if query.startswith(begin)]
        assert "[86400s]" in query
        result = [{"metric": labels, "value": [0, value]} for labels, value in series]
        return httpx.Response(200, json={"data": {"resultType": "vector", "result": result}})


class Aws:
    """CloudWatch and DynamoDB: each table consumed one unit a day for each letter of its name."""

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.error = ""
        self.status = "Complete"

    async def get_metric_data(self, **request: Any) -> Any:
        if self.error:
            raise ClientError({"Error": {"Code": self.error}}, "GetMetricData")
        queries = request["MetricDataQueries"]
        self.calls.append(len(queries))
        results = []
        for each in queries:
            metric = each["MetricStat"]["Metric"]
            [dimension] = metric["Dimensions"]
            is_write = metric["MetricName"] == "ConsumedWriteCapacityUnits"
            values = [float(len(dimension["Value"]))] if is_write else []
            results.append({"Id": each["Id"], "Values": values, "StatusCode": self.status})
        if "NextToken" in request:
            return {"MetricDataResults": []}
        return {"MetricDataResults": results, "NextToken": "more"}

    async def describe_table(self, *, TableName: str) -> Any:  # noqa: N803 - AWS's name
        if TableName == "dev-globex-messages":
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "DescribeTable")
        return {"Table": {"TableSizeBytes": 1000}}


async def asked(web: Web, aws: Aws, known: set[str], **addresses: str | None) -> Any:
    transport = httpx.MockTransport(web)
    where = {"opencost": "http://opencost", "prometheus": "http://prometheus/", **addresses}
    async with httpx.AsyncClient(transport=transport) as http:
        return await measure(Sources(http, aws, aws, **where), "dev", PERIOD, known)


async def test_each_source_says_its_part() -> None:
    """Of who is here, and of who was: their messages name them."""
    found = await asked(Web(), Aws(), {"acme", "globex", "pool-1"})

    assert {"acme", "globex", "pool-1", "left"} == found.used.keys()
    acme = found.used["acme"]
    assert (2.5, 7.0, 17.0, 0.0, 1000.0) == (
        acme.pods,
        acme.requests,
        acme.writes,
        acme.reads,
        acme.stored_bytes,
    )
    assert (100.0, 50.0) == (found.used["pool-1"].sends, found.used["pool-1"].requests)
    assert 0.0 == found.used["globex"].stored_bytes
    assert {"pool-1"} == found.served.keys()
    assert {"globex": 3.0} == found.served["pool-1"].accepted
    assert found.served["pool-1"].is_known
    assert {"namespace keda": 1.0, "idle nodes": 0.5} == found.platform
    assert (24.0, ()) == (found.hours, found.missing)


async def test_many_tenants_are_asked_for_together() -> None:
    """Five hundred metrics a call, each page once."""
    aws = Aws()

    await asked(Web(), aws, {f"tenant-{number}" for number in range(600)})

    # 600 here, and three by their messages: 1,206 metrics in three calls of two pages each.
    assert [500, 500, 500, 500, 206, 206] == aws.calls


@pytest.mark.parametrize(
    ("host", "answer", "said"),
    [
        ("opencost", (503, b""), "pods: OpenCost answers 503"),
        ("opencost", httpx.ConnectError("no"), "pods: OpenCost does not answer (ConnectError)"),
        ("opencost", (200, b"<html>"), "pods: OpenCost does not answer"),
        ("opencost", (200, b"[]"), "pods: OpenCost answers something else"),
        ("opencost", (200, b'{"data": [{"acme": {}}]}'), "pods: OpenCost answers something else"),
        ("opencost", (200, b'{"data": [{"acme": 1}]}'), "pods: OpenCost answers something else"),
        ("prometheus", (422, b""), "shares: Prometheus answers 422"),
        ("prometheus", (200, b'{"data": 1}'), "calls of SQS: Prometheus answers something"),
    ],
)
async def test_who_does_not_answer_is_named(host: str, answer: Any, said: str) -> None:
    """The rest is told."""
    web = Web()
    web.fails[host] = answer

    found = await asked(web, Aws(), {"acme"})

    assert any(each.startswith(said) for each in found.missing), found.missing
    assert 17.0 == found.used["acme"].writes


async def test_who_is_not_named_is_not_known() -> None:
    """With what to name."""
    web = Web()

    found = await asked(web, Aws(), {"acme"}, opencost=None, prometheus=None)

    assert not web.asked
    assert any("--opencost http://" in each for each in found.missing)


async def test_shares_that_are_not_known_are_not_none() -> None:
    """A pool is unused only if Prometheus says so."""
    found = await asked(Web(), Aws(), {"pool-1"}, prometheus=None)

    assert not found.served["pool-1"].is_known


@pytest.mark.parametrize(
    ("oldest", "said"),
    [
        (datetime(2026, 10, 1, tzinfo=UTC), None),
        (datetime(2026, 11, 1, 1, tzinfo=UTC), None),
        (datetime(2026, 11, 1, 18, tzinfo=UTC), "before 2026-11-01T18:00:00Z"),
        (datetime(2026, 11, 9, tzinfo=UTC), "before 2026-11-02T00:00:00Z"),
    ],
)
async def test_a_period_older_than_what_is_kept_is_told(
    oldest: datetime, said: str | None
) -> None:
    """Else half a month would look like a cheap one."""
    web = Web()
    web.oldest = oldest.timestamp()

    found = await asked(web, Aws(), {"acme"})

    if said is None:
        assert not found.missing
    else:
        assert [True] == [said in each for each in found.missing]


@pytest.mark.parametrize("status", ["InternalError", "Forbidden"])
async def test_a_metric_that_cloudwatch_does_not_tell_is_an_error(status: str) -> None:
    """It comes with the other metrics, and with status 200."""
    aws = Aws()
    aws.status = status

    with pytest.raises(UnavailableError, match=f"table dev-acme-messages: {status}"):
        await asked(Web(), aws, {"acme"})


async def test_aws_that_denies_is_an_error() -> None:
    """Without units there is no report."""
    aws = Aws()
    aws.error = "AccessDenied"

    with pytest.raises(UnavailableError, match="CloudWatch: "):
        await asked(Web(), aws, {"acme"})


@pytest.mark.parametrize(
    ("month", "start", "end"),
    [
        (None, (2026, 11, 1), (2026, 11, 23)),
        ("2026-10", (2026, 10, 1), (2026, 11, 1)),
        ("2025-12", (2025, 12, 1), (2026, 1, 1)),
    ],
)
def test_a_month_is_as_long_as_it_was(
    month: str | None, start: tuple[int, int, int], end: tuple[int, int, int]
) -> None:
    """This one until now."""
    now = datetime(2026, 11, 23, tzinfo=UTC)

    found = period_of(month, now)

    assert (datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC)) == (found.start, found.end)


@pytest.mark.parametrize("month", ["november", "2026-13", "2027-01", "2026-11-01"])
def test_what_is_no_month_is_refused(month: str) -> None:
    """Or has not begun."""
    with pytest.raises(InvalidError, match=month):
        period_of(month, datetime(2026, 11, 23, tzinfo=UTC))


@pytest.mark.parametrize(
    ("first", "last", "start", "end"),
    [
        ("2026-11-05", "2026-11-07", "2026-11-05T00", "2026-11-08T00"),
        ("2026-10-31", "2026-10-31", "2026-10-31T00", "2026-11-01T00"),
        ("2026-11-20", None, "2026-11-20T00", "2026-11-23T12"),
        ("2026-11-20", "2026-11-30", "2026-11-20T00", "2026-11-23T12"),
    ],
)
def test_days_are_whole_with_the_last(first: str, last: str | None, start: str, end: str) -> None:
    """As far as they went by."""
    found = days_of(first, last, datetime(2026, 11, 23, 12, tzinfo=UTC))

    assert (start, end) == (f"{found.start:%Y-%m-%dT%H}", f"{found.end:%Y-%m-%dT%H}")


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (None, "2026-11-01", "--to needs --from"),
        ("2026-11-05", "2026-11-04", "2026-11-04 is before 2026-11-05"),
        ("2026-11-24", None, "2026-11-24 has not begun"),
        ("yesterday", None, "'yesterday' is no day"),
        ("2026-11-01", "2026-11-31", "'2026-11-31' is no day"),
    ],
)
def test_what_are_no_days_is_refused(first: str | None, last: str | None, said: str) -> None:
    """Or are the wrong way round."""
    with pytest.raises(InvalidError, match=said):
        days_of(first, last, datetime(2026, 11, 23, tzinfo=UTC))
