"""Tenants go: what is stored is exported, and nothing else is left of them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from e2e.aws import Aws
from e2e.cluster.whole import Whole
from e2e.control import Control
from e2e.tenants import TENANTS, Routes

pytestmark = pytest.mark.e2e


def test_all_tenants_are_offboarded(
    control: Control, environment: Aws, routes: Routes, whole: Whole
) -> None:
    """At once; exports have what was stored; queues, tables, namespaces and states are gone."""
    stored = {tenant.id: set(routes.stored(tenant)) for tenant in TENANTS}
    assert all(stored.values())

    with ThreadPoolExecutor(len(TENANTS)) as all_at_once:
        gone = {
            tenant.id: all_at_once.submit(control.run, "offboard", tenant.id) for tenant in TENANTS
        }

    told = {name: one.result() for name, one in gone.items()}
    assert {} == {name: one.err for name, one in told.items() if one.status != 0}
    for name, ids in stored.items():
        assert ids == exported(control, name)
    for name in ("acme", "initech"):
        queues = environment.clients["sqs"].list_queues(QueueNamePrefix=f"dev-{name}-")
        assert [] == queues.get("QueueUrls", [])
        assert 404 == whole.cluster.get("v1", "Namespace", name).code
    tables = environment.clients["dynamodb"].list_tables()["TableNames"]
    assert {"dev-pool-1-messages", "dev-tenants"} == set(tables)
    left = whole.cluster.list("v1", "Secret", "tenant-infra").body["items"]
    named = {each["metadata"]["name"] for each in left}
    assert set() == {name for name in named for tenant in TENANTS if tenant.id in name}
    items = environment.clients["dynamodb"].scan(TableName="dev-tenants")["Items"]
    assert {"offboarded"} == {item["status"]["S"] for item in items}


def exported(control: Control, tenant: str) -> set[str]:
    """Ids of messages in a tenant's export."""
    found = set()
    for path in control.exports.rglob("items.jsonl"):
        if tenant in str(path.relative_to(control.exports)):
            found |= {json.loads(line)["message_id"] for line in path.read_text().splitlines()}
    return found
