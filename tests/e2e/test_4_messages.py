"""Messages of all three tiers, in by a route and out of a table."""

from __future__ import annotations

import pytest

from e2e.aws import Aws
from e2e.tenants import TENANTS, Routes, Tenant
from support.waiting import wait_for

pytestmark = pytest.mark.e2e


@pytest.mark.usefixtures("control")
@pytest.mark.parametrize("tenant", TENANTS, ids=lambda one: one.id)
def test_a_message_is_stored_in_its_tenants_table_and_read(routes: Routes, tenant: Tenant) -> None:
    """By pods whose role is their account's, through the policies that the environment has."""
    sent = routes.send(tenant, {"n": 1, "of": tenant.id})

    wait_for(lambda: sent["message_id"] in routes.stored(tenant), what="its storing")
    found = routes.read(tenant, sent["message_id"])
    assert found is not None
    assert {"n": 1, "of": tenant.id} == found["payload"]


def test_nobody_was_refused_what_the_path_of_messages_needs(environment: Aws) -> None:
    """The gate saw services ask for nothing that their roles do not have, once they had queues."""
    services = {"producer", "consumer", "pool-producer", "pool-consumer", "tenant-reader"}
    for one in environment.gate.seen:
        purpose = one.role.removeprefix("dev-tenantry-")
        if purpose in services and not one.allowed:
            # Until Terraform has made the queue, nobody can say whose it is.
            assert one.action in {"sqs:ReceiveMessage", "dynamodb:DescribeTable"}, str(one)
    assert not environment.gate.lost, environment.gate.lost
