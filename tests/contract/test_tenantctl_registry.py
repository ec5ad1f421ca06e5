"""The registry as tenantctl writes it: lost races, lost answers, tombstones."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from contract.engines import dynamodb_client
from contract.tables import make_table
from fakes.clock import Clock
from fakes.dying import Watched
from fakes.registry import a_placement
from tenantctl.awsfailures import RegistryDownError
from tenantctl.errors import RefusedError, UnavailableError
from tenantctl.registry import Placements
from tenantry.errors import RegistryUnavailableError
from tenantry.registry import to_item
from tenantry.tenant_id import TenantId

ACME = TenantId("acme")
NOW = 1_763_800_000
LOST = ReadTimeoutError(endpoint_url="http://dynamodb.example")


class Table:
    """A registry on the stand-in, and clients that spoil its calls."""

    def __init__(self, client: Any, name: str) -> None:
        self.client = client
        self.name = name
        self.clock = Clock(NOW)

    def placements(self, **spoils: Any) -> Placements:
        """What is under test."""
        return Placements(Watched(self.client, spoils=spoils), self.name, clock=self.clock)  # type: ignore[arg-type]


@pytest.fixture
async def table(standin_url: str) -> AsyncGenerator[Table]:
    """An empty registry."""
    name = f"registry-{uuid.uuid4()}"
    async with dynamodb_client(standin_url) as client:
        await make_table(client, name, "tenant_id")
        yield Table(client, name)
        await client.delete_table(TableName=name)


async def place(table: Table) -> Any:
    """Have acme placed."""
    values = {"tier": "basic", "pool": "pool-1", "queue_url": "q", "table_name": "t"}
    return await table.placements().change(ACME, None, **values)


async def test_a_change_is_the_next_generation(table: Table) -> None:
    """It says when it was made; a tombstone says until when."""
    first = await place(table)
    table.clock.advance(60)
    gone = await table.placements().change(ACME, first, status="offboarded", until=NOW + 99)

    assert (first.generation, first.changed_at) == (1, NOW)
    assert gone == replace(
        first, generation=2, changed_at=NOW + 60, status="offboarded", until=NOW + 99
    )
    assert await table.placements().get(ACME) == gone


async def test_who_was_slower_is_told_what_is_there(table: Table) -> None:
    """And changes nothing."""
    first = await place(table)
    await table.placements().change(ACME, first, status="suspended")

    with pytest.raises(RefusedError, match=r"acme: .*generation 1 .*generation 2 .*suspended"):
        await table.placements().change(ACME, first, status="moving")
    with pytest.raises(RefusedError, match=r"It was none, and is generation 2"):
        await place(table)
    found = await table.placements().get(ACME)
    assert found is not None
    assert (found.generation, found.status) == (2, "suspended")


@pytest.mark.parametrize("lost", [1, 2])
@pytest.mark.parametrize("is_written", [True, False])
async def test_a_write_whose_answer_is_lost_is_recognised(
    table: Table, lost: int, is_written: bool
) -> None:
    """Whether it was done or not: the change is there once."""
    first = await place(table)
    left = [LOST] * lost

    async def put(call: Any, **request: Any) -> Any:
        if not left:
            return await call(**request)
        if is_written:
            try:
                await call(**request)
            except ClientError:
                raise left.pop() from None  # the second try of what was done
        raise left.pop()

    changed = await table.placements(put_item=put).change(ACME, first, status="suspended")

    assert changed.generation == 2
    assert await table.placements().get(ACME) == changed


async def test_a_write_of_somebody_else_is_not_taken_for_ours(table: Table) -> None:
    """Where our answer was lost and another was faster."""
    first = await place(table)
    left = [LOST]

    async def put(call: Any, **request: Any) -> Any:
        if left:
            await table.placements().change(ACME, first, status="draining")
            raise left.pop()
        return await call(**request)

    with pytest.raises(RefusedError, match="draining"):
        await table.placements(put_item=put).change(ACME, first, status="suspended")


async def test_a_registry_that_never_answers_is_named(table: Table) -> None:
    """Both as the port says it, and as the command ends with it."""

    async def lose(_: Any, **request: Any) -> Any:
        raise LOST

    async def deny(_: Any, **request: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDeniedException"}}, "PutItem")

    with pytest.raises(RegistryDownError, match=f"{table.name}: PutItem did not answer"):
        await table.placements(put_item=lose).put(a_placement(), expected_generation=None)
    with pytest.raises(UnavailableError, match="dynamodb:PutItem is not allowed"):
        await table.placements(put_item=deny).put(a_placement(), expected_generation=None)
    with pytest.raises(RegistryUnavailableError, match="GetItem did not answer"):
        await table.placements(get_item=lose).get(ACME)
    with pytest.raises(RegistryUnavailableError, match="Scan did not answer"):
        await table.placements(scan=lose).scan()


async def test_all_placements_are_read_over_pages(table: Table) -> None:
    """Tombstones too, consistently."""
    wanted = {
        one.tenant_id: one
        for one in (a_placement(f"tenant-{n}", table_name="t" * 2_000) for n in range(700))
    }
    gone = a_placement("gone", status="offboarded", until=NOW)
    wanted[gone.tenant_id] = gone
    writes: list[Any] = [{"PutRequest": {"Item": to_item(one)}} for one in wanted.values()]
    for start in range(0, len(writes), 25):
        batch = writes[start : start + 25]
        await table.client.batch_write_item(RequestItems={table.name: batch})
    asked: list[Any] = []

    async def scan(call: Any, **request: Any) -> Any:
        asked.append(request)
        return await call(**request)

    assert wanted == (await table.placements(scan=scan).scan()).placements
    assert len(asked) == 2
    assert all(request["ConsistentRead"] for request in asked)


async def test_one_item_that_is_not_understood_is_named(table: Table) -> None:
    """The others are there for who asks; nobody takes its tenant for none."""
    await place(table)
    bad = {"tenant_id": {"S": "globex"}, "tier": {"S": "gold"}}
    await table.client.put_item(TableName=table.name, Item=bad)
    scanned = await table.placements().scan()

    assert set(scanned.placements) == {ACME}
    assert set(scanned.unreadable) == {"globex"}
    with pytest.raises(RegistryDownError, match="globex is not understood"):
        await table.placements().get(TenantId("globex"))
