"""The registry: `DynamoRegistry` on engines of DynamoDB, and reading from the one in memory."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any, Protocol

import pytest

from contract.engines import dynamodb_client
from contract.tables import make_table
from fakes.registry import MemoryRegistry, a_placement
from tenantry.errors import RegistryUnavailableError
from tenantry.registry import DynamoRegistry, Place, Placement, PlacementReader
from tenantry.tenant_id import TenantId

ACME = TenantId("acme")


class Registry(Protocol):
    """A registry under test, and what its items are made of."""

    reader: PlacementReader

    async def hold(self, placement: Placement) -> None:
        """Have this placement."""
        ...


class _InMemory(Registry):
    def __init__(self) -> None:
        self.memory = MemoryRegistry()
        self.reader = self.memory

    async def hold(self, placement: Placement) -> None:
        self.memory.placements[placement.tenant_id] = placement


class _OnEngine(Registry):
    def __init__(self, dynamo: DynamoRegistry, client: Any, table: str) -> None:
        self.dynamo = dynamo
        self.client = client
        self.table = table
        self.reader = dynamo

    async def hold(self, placement: Placement) -> None:
        assert await self.dynamo.put(placement, expected_generation=None)


READERS = [
    "fake",
    "standin",
    "ministack",
    pytest.param("dynamodb-local", marks=pytest.mark.engines),
]
WRITERS = READERS[1:]


@pytest.fixture(params=READERS)
def engine(request: pytest.FixtureRequest) -> str:
    """Where the registry is."""
    name: str = request.param
    return name


@pytest.fixture
async def registry(engine_url: str | None) -> AsyncGenerator[Registry]:
    """The registry under test, without tenants."""
    if engine_url is None:
        yield _InMemory()
        return
    async with dynamodb_client(engine_url) as client:
        table = f"contract-{uuid.uuid4()}"
        await make_table(client, table, "tenant_id")
        yield _OnEngine(DynamoRegistry(client, table), client, table)
        await client.delete_table(TableName=table)


@pytest.fixture
async def nowhere(engine: str, nowhere_url: str) -> AsyncGenerator[PlacementReader]:
    """A registry that does not answer."""
    if engine == "fake":
        memory = MemoryRegistry()
        memory.failing = True
        yield memory
        return
    async with dynamodb_client(nowhere_url) as client:
        yield DynamoRegistry(client, "any")


@pytest.mark.parametrize(
    "placement",
    [
        a_placement(),
        a_placement(tier="advanced", status="suspended", rate=1, max_message_bytes=1_048_576),
        a_placement(
            tier="premium",
            pool=None,
            status="moving",
            shards=16,
            generation=2**53 + 1,
            previous=Place("http://sqs.example/0/old", "old"),
        ),
        a_placement(status="offboarded", until=1_765_000_000, changed_at=1_763_800_000),
    ],
    ids=["basic", "advanced", "moving", "tombstone"],
)
async def test_a_placement_is_read_as_it_was_written(
    registry: Registry, placement: Placement
) -> None:
    """Every field."""
    await registry.hold(placement)

    assert placement == await registry.reader.get(placement.tenant_id)


async def test_a_tenant_that_is_not_there_is_none(registry: Registry) -> None:
    """Which is an answer, and no error; another tenant's placement is not taken for it."""
    await registry.hold(a_placement("acme-2"))

    assert await registry.reader.get(ACME) is None


async def test_a_registry_that_does_not_answer_says_so(nowhere: PlacementReader) -> None:
    """It does not say that there is no such tenant."""
    with pytest.raises(RegistryUnavailableError):
        await nowhere.get(ACME)


@pytest.mark.parametrize("engine", WRITERS, indirect=True)
async def test_a_registry_that_is_not_there_yet_does_not_answer(engine_url: str) -> None:
    """A table that is missing knows nothing about tenants."""
    async with dynamodb_client(engine_url) as client:
        with pytest.raises(RegistryUnavailableError):
            await DynamoRegistry(client, "none").get(ACME)


@pytest.mark.parametrize("engine", WRITERS, indirect=True)
@pytest.mark.parametrize(
    "change",
    [
        {"queue_url": None},
        {"tier": {"S": "gold"}},
        {"status": {"S": "paused"}},
        {"shards": {"S": "many"}},
        {"previous": {"M": {"queue_url": {"S": "http://sqs.example/0/old"}}}},
    ],
    ids=["no-queue", "tier", "status", "shards", "half-a-place"],
)
async def test_an_item_that_is_not_understood_is_not_guessed_at(
    registry: _OnEngine, change: dict[str, Any]
) -> None:
    """Nobody sends by half a placement."""
    item: dict[str, Any] = {
        "tenant_id": {"S": "acme"},
        "tier": {"S": "basic"},
        "queue_url": {"S": "http://sqs.example/0/a"},
        "table_name": {"S": "a"},
    }
    await registry.client.put_item(TableName=registry.table, Item=item)
    assert await registry.reader.get(ACME) is not None
    changed = {name: value for name, value in (item | change).items() if value is not None}
    await registry.client.put_item(TableName=registry.table, Item=changed)

    with pytest.raises(RegistryUnavailableError):
        await registry.reader.get(ACME)


# Writing, which is tenantctl's


@pytest.mark.parametrize("engine", WRITERS, indirect=True)
async def test_a_tenant_is_placed_once(registry: _OnEngine) -> None:
    """Whoever expects none and finds one changes nothing."""
    await registry.hold(a_placement())
    other = a_placement(table_name="other")

    assert not await registry.dynamo.put(other, expected_generation=None)
    assert a_placement() == await registry.reader.get(ACME)


@pytest.mark.parametrize("engine", WRITERS, indirect=True)
async def test_a_change_holds_only_on_what_was_read(registry: _OnEngine) -> None:
    """An older generation changes nothing, nor does one of a tenant that is not there."""
    await registry.hold(a_placement(generation=7))
    changed = a_placement(generation=8, status="suspended")

    assert not await registry.dynamo.put(changed, expected_generation=6)
    assert await registry.dynamo.put(changed, expected_generation=7)
    assert not await registry.dynamo.put(a_placement(), expected_generation=7)
    assert changed == await registry.reader.get(ACME)
    nobody = a_placement("globex")
    assert not await registry.dynamo.put(nobody, expected_generation=1)
    assert await registry.reader.get(nobody.tenant_id) is None


@pytest.mark.parametrize("engine", WRITERS, indirect=True)
async def test_of_many_writers_one_wins(registry: _OnEngine) -> None:
    """And what it wrote is what is there."""
    first = a_placement()
    await registry.hold(first)
    wanted = [replace(first, generation=2, rate=rate) for rate in range(1, 11)]
    won = await asyncio.gather(
        *(registry.dynamo.put(one, expected_generation=1) for one in wanted)
    )

    assert won.count(True) == 1
    assert wanted[won.index(True)] == await registry.reader.get(ACME)


@pytest.mark.parametrize("engine", WRITERS, indirect=True)
async def test_what_a_place_no_longer_has_is_gone(registry: _OnEngine) -> None:
    """A move that ended leaves no `previous`."""
    moving = a_placement(status="moving", previous=Place("http://sqs.example/0/old", "old"))
    await registry.hold(moving)
    ended = a_placement(generation=2)

    assert await registry.dynamo.put(ended, expected_generation=1)
    assert ended == await registry.reader.get(ACME)
