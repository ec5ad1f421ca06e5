from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tenantry_local.proof import (
    Expected,
    Proof,
    TableUnreadableError,
    prove,
    wait_until_stored,
)

POOL, OWN = "pool-table", "own-table"
PAYLOAD = {"a": [1, 1.5, True, None, "é"], "b": {}}


class FakeTables:
    """Tables in memory, scanned an item at a time."""

    def __init__(self) -> None:
        self.items: dict[str, list[dict[str, Any]]] = {POOL: [], OWN: []}

    def add(self, table: str, partition: str, message_id: str, **changes: str) -> None:
        texts = {
            "tenant_id": partition,
            "message_id": message_id,
            "type": "t",
            "payload": json.dumps(PAYLOAD),
            "accepted_at": "2026-01-01T00:00:00.000000Z",
            "stored_at": "2026-01-01T00:00:00.250000Z",
        }
        item = {name: {"S": text} for name, text in (texts | changes).items()}
        self.items[table].append(item)

    async def scan(self, **request: Any) -> dict[str, Any]:
        assert request["ConsistentRead"] is True
        start = request.get("ExclusiveStartKey", 0)
        items = self.items[request["TableName"]][start : start + 1]
        end = start + 1
        more = {"LastEvaluatedKey": end} if end < len(self.items[request["TableName"]]) else {}
        return {"Items": items, "Count": len(items), **more}


def expect(message_id: str, line: int, tenant_id: str = "acme", table: str = POOL) -> Expected:
    text = json.dumps({"type": "t", "payload": PAYLOAD | {"b": {}}}).encode()
    return Expected(message_id, tenant_id, table, line, "t", text)


@pytest.fixture
def tables() -> FakeTables:
    """Three messages, stored as they should be."""
    tables = FakeTables()
    tables.add(POOL, "acme", "m1")
    tables.add(POOL, "acme", "m2")
    tables.add(OWN, "umbrella", "m3")
    return tables


EXPECTED = [expect("m1", 1), expect("m2", 2), expect("m3", 3, "umbrella", OWN)]


async def run(tables: FakeTables, expected: list[Expected] = EXPECTED) -> Proof:
    return await prove(tables, expected, [POOL, OWN])  # type: ignore[arg-type]


async def test_what_is_stored_once_and_unchanged_holds(tables: FakeTables) -> None:
    """Nothing is found, and stored messages and their times are counted by tenant."""
    proof = await run(tables)
    assert proof.findings == []
    assert proof.stored == {"acme": 2, "umbrella": 1}
    assert proof.seconds == {"acme": [0.25, 0.25], "umbrella": [0.25]}
    assert proof.duplicates.total() == 0


def lose(tables: FakeTables) -> None:
    del tables.items[POOL][1]


def double_in_partition(tables: FakeTables) -> None:
    tables.add(POOL, "acme", "m2-again", payload=json.dumps(PAYLOAD))


def double_in_table(tables: FakeTables) -> None:
    tables.add(OWN, "acme", "m2")


def misfile_in_partition(tables: FakeTables) -> None:
    tables.items[POOL][1]["tenant_id"]["S"] = "globex"


def misfile_in_table(tables: FakeTables) -> None:
    tables.items[OWN].append(tables.items[POOL].pop(1))


def payload(value: Any) -> Callable[[FakeTables], None]:
    def change(tables: FakeTables) -> None:
        tables.items[POOL][1]["payload"]["S"] = (
            value if isinstance(value, str) else json.dumps(value)
        )

    return change


def text(name: str, value: str) -> Callable[[FakeTables], None]:
    def change(tables: FakeTables) -> None:
        tables.items[POOL][1][name]["S"] = value

    return change


@pytest.mark.parametrize(
    ("harm", "what", "duplicates"),
    [
        pytest.param(
            lose, "not stored anywhere; it belongs in pool-table under acme", 0, id="lost"
        ),
        pytest.param(double_in_table, "stored again, in own-table under acme", 1, id="two-tables"),
        pytest.param(misfile_in_partition, "stored in pool-table under globex", 0, id="partition"),
        pytest.param(misfile_in_table, "stored in own-table under acme", 0, id="table"),
        pytest.param(payload({"a": PAYLOAD["a"]}), 'lost the key "b"', 0, id="key"),
        pytest.param(
            payload(PAYLOAD | {"a": [1.0, 1.5, True, None, "é"]}),
            "payload.a[0] was 1 and is 1.0",
            0,
            id="float-for-integer",
        ),
        pytest.param(
            payload(PAYLOAD | {"a": [True, 1.5, True, None, "é"]}),
            "payload.a[0] was 1 and is true",
            0,
            id="true-for-one",
        ),
        pytest.param(payload(PAYLOAD | {"a": []}), "had 5 elements and has 0", 0, id="array"),
        pytest.param(payload(PAYLOAD | {"b": None}), "payload.b was {} and is null", 0, id="null"),
        pytest.param(payload("{"), "its stored payload is not JSON", 0, id="no-json"),
        pytest.param(payload('{"a":1,"a":1}'), "a key stands twice", 0, id="key-twice"),
        pytest.param(text("type", "u"), "its type was 't' and is 'u'", 0, id="type"),
        pytest.param(text("stored_at", "soon"), "is not an instant", 0, id="instant"),
    ],
)
async def test_each_harm_to_one_message_is_named(
    tables: FakeTables, harm: Callable[[FakeTables], None], what: str, duplicates: int
) -> None:
    """One finding, with the message's id, tenant and line, says what is wrong."""
    harm(tables)
    proof = await run(tables)
    (finding,) = proof.findings
    assert (finding.message_id, finding.tenant_id, finding.line) == ("m2", "acme", 2)
    assert what in finding.what
    assert proof.duplicates.total() == duplicates
    assert proof.stored["acme"] == (1 if "it belongs in" in finding.what else 2)


async def test_a_copy_under_an_id_that_nobody_got_is_a_duplicate(tables: FakeTables) -> None:
    """The copy is found by its payload, and named with the message that it copies."""
    tables.items[POOL][0]["payload"]["S"] = '{"other":1}'
    other = Expected("m1", "acme", POOL, 1, "t", b'{"type":"t","payload":{"other":1}}')
    double_in_partition(tables)
    proof = await run(tables, [other, *EXPECTED[1:]])
    (finding,) = proof.findings
    assert (finding.message_id, finding.line) == ("m2", 2)
    assert finding.what == "stored again as m2-again, in pool-table under acme"
    assert proof.duplicates == {"acme": 1, "umbrella": 0}


async def test_of_equal_messages_the_one_that_was_copied_is_named(tables: FakeTables) -> None:
    """A copy was accepted at the instant at which its original was."""
    instant = "2026-01-01T00:00:00.000001Z"
    tables.items[POOL][1]["accepted_at"]["S"] = instant
    tables.add(POOL, "globex", "m2-again", accepted_at=instant)
    proof = await run(tables)
    assert [finding.message_id for finding in proof.findings] == ["m2"]


async def test_a_table_that_cannot_be_read_proves_nothing(tables: FakeTables) -> None:
    """The error names the table and what was answered."""

    async def scan(**_: Any) -> dict[str, Any]:
        raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "Scan")

    tables.scan = scan  # type: ignore[method-assign]
    with pytest.raises(TableUnreadableError, match=r"pool-table cannot be read: .*NotFound"):
        await run(tables)
    with pytest.raises(TableUnreadableError, match="pool-table"):
        await wait(tables, lambda: 0)


async def test_what_nobody_sent_is_found(tables: FakeTables) -> None:
    """An item that is nobody's message is named by its own id and place, in no line."""
    tables.add(POOL, "globex", "m9", payload='{"never":"sent"}')
    tables.add(POOL, "globex", "m8", payload="no JSON")
    proof = await run(tables)
    assert [(f.message_id, f.tenant_id, f.line) for f in proof.findings] == [
        ("m9", "globex", None),
        ("m8", "globex", None),
    ]
    assert "never accepted" in proof.findings[0].what


async def test_an_id_that_two_messages_got_is_found(tables: FakeTables) -> None:
    """Two accepted messages cannot be one."""
    proof = await run(tables, [*EXPECTED, expect("m2", 4)])
    whats = {finding.what for finding in proof.findings if finding.line in (2, 4)}
    assert "its id was given to another message too" in whats


async def test_minus_zero_is_not_zero(tables: FakeTables) -> None:
    """A float that lost its sign changed."""
    tables.items[POOL][1]["payload"]["S"] = '{"z":0.0}'
    changed = Expected("m2", "acme", POOL, 2, "t", b'{"type":"t","payload":{"z":-0.0}}')
    proof = await run(tables, [EXPECTED[0], changed, EXPECTED[2]])
    assert [finding.what for finding in proof.findings] == [
        "its payload changed: payload.z was -0.0 and is 0.0"
    ]


async def wait(tables: FakeTables, waiting: Callable[[], int], **options: float) -> list[int]:
    told: list[int] = []

    async def in_queues() -> int:
        return waiting()

    await wait_until_stored(
        tables,  # type: ignore[arg-type]
        EXPECTED,
        [POOL, OWN],
        in_queues,
        told.append,
        poll_seconds=0.001,
        **{"calm_seconds": 0.0, **options},
    )
    return told


async def test_waiting_goes_on_while_messages_arrive(tables: FakeTables) -> None:
    """It ends when as many are stored as were accepted and the queues are empty."""
    late = [tables.items[POOL].pop() for _ in range(2)]

    def arrive() -> int:
        if late:
            tables.items[POOL].append(late.pop())
        return len(late)

    assert await wait(tables, arrive) == [1, 2, 3]


async def test_waiting_goes_on_for_late_copies(tables: FakeTables) -> None:
    """What comes after everything is stored is counted, while the queues were not calm."""
    asked = 0

    def copy_late() -> int:
        nonlocal asked
        asked += 1
        if asked == 5:
            tables.add(OWN, "umbrella", "m3-again")
        return 0

    await wait(tables, copy_late, calm_seconds=0.1)
    assert asked > 5


async def test_waiting_ends_when_nobody_can_hold_what_is_missing(tables: FakeTables) -> None:
    """Empty queues that stay empty have nothing more to give."""
    lose(tables)
    assert await wait(tables, lambda: 0, settle_seconds=0.01) == [2]


async def test_waiting_ends_without_progress(tables: FakeTables) -> None:
    """A queue that nobody empties is not waited for longer than patience lasts."""
    lose(tables)
    assert await wait(tables, lambda: 1, patience_seconds=0.01) == [2]
