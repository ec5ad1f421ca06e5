"""Units and bytes, asked of moto's CloudWatch and DynamoDB by the client that asks AWS."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from contract.engines import CREDENTIALS, REGION, _session
from tenantctl.costsources import Period, Sources, measure
from tenantry import names

PERIOD: Final = Period(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 3, tzinfo=UTC))
HOUR: Final = timedelta(hours=1)


async def test_units_are_those_of_the_table_and_of_the_period(moto_url: str) -> None:
    """Of each kind, every day; a tenant without a table has none."""
    environment = f"dev{uuid.uuid4().hex[:8]}"
    table = names.table_name(environment, "acme")
    told = [
        ("ConsumedWriteCapacityUnits", PERIOD.start - HOUR, 1.0),
        ("ConsumedWriteCapacityUnits", PERIOD.start, 10.0),
        ("ConsumedWriteCapacityUnits", PERIOD.end - HOUR, 100.0),
        ("ConsumedWriteCapacityUnits", PERIOD.end + HOUR, 1_000.0),
        ("ConsumedReadCapacityUnits", PERIOD.start + HOUR, 7.0),
    ]
    options: dict[str, Any] = {"region_name": REGION, "endpoint_url": moto_url, **CREDENTIALS}
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        metrics = await enter(_session().create_client("cloudwatch", **options))
        tables = await enter(_session().create_client("dynamodb", **options))
        http = await enter(httpx.AsyncClient(trust_env=False))
        await tables.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        await metrics.put_metric_data(
            Namespace="AWS/DynamoDB",
            MetricData=[
                {
                    "MetricName": name,
                    "Dimensions": [{"Name": "TableName", "Value": table}],
                    "Timestamp": moment,
                    "Value": value,
                }
                for name, moment, value in told
            ],
        )

        sources = Sources(http, metrics, tables, opencost=None, prometheus=None)
        found = await measure(sources, environment, PERIOD, {"acme", "globex"})

    acme, globex = found.used["acme"], found.used["globex"]
    assert (110.0, 7.0) == (acme.writes, acme.reads)
    assert (0.0, 0.0, 0.0) == (globex.writes, globex.reads, globex.stored_bytes)
