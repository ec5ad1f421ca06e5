from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any, cast

import pytest
import requests

from fakes.loadtests import FakeTime, a_plan, a_result, some_ids
from tenantry_loadtests import api_books
from tenantry_loadtests.api_books import ApiBooks
from tenantry_loadtests.engine_books import EngineBooks, Places
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.results import Result
from tenantry_loadtests.tenants import TenantEntry


def envelope(tenant: str, message_id: bytes) -> str:
    return json.dumps({"tenant_id": tenant, "message_id": str(uuid.UUID(bytes=message_id))})


class FakeQueues:
    """Queues by URL; what was received stays away."""

    def __init__(self, **queues: list[str]) -> None:
        self.queues = queues

    def receive_message(self, *, QueueUrl: str, MaxNumberOfMessages: int, **_: Any) -> Any:  # noqa: N803
        taken = self.queues[QueueUrl][:MaxNumberOfMessages]
        self.queues[QueueUrl] = self.queues[QueueUrl][MaxNumberOfMessages:]
        return {"Messages": [{"Body": body} for body in taken]} if taken else {}

    def depth(self, queue: str) -> int:
        return len(self.queues[queue])


class FakeTables:
    """Tables by name, in pages of two items."""

    def __init__(self, **tables: list[tuple[str, bytes]]) -> None:
        self.tables = tables

    def scan(self, *, TableName: str, ExclusiveStartKey: int = 0, **_: Any) -> Any:  # noqa: N803
        rows = self.tables[TableName][ExclusiveStartKey : ExclusiveStartKey + 2]
        end = ExclusiveStartKey + 2
        return {
            "Items": [
                {"tenant_id": {"S": tenant}, "message_id": {"S": str(uuid.UUID(bytes=one))}}
                for tenant, one in rows
            ],
            "LastEvaluatedKey": end if end < len(self.tables[TableName]) else None,
        }


class Draining(FakeTime):
    """A clock; while somebody waits, consumers take ten messages of each queue."""

    def __init__(self, queues: FakeQueues) -> None:
        super().__init__()
        self.drained = queues

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        super().sleep(seconds)
        for name, bodies in self.drained.queues.items():
            self.drained.queues[name] = bodies[10:]


def the_books(
    queues: FakeQueues, tables: FakeTables, said: list[str], time: FakeTime
) -> EngineBooks:
    names = sorted(queues.queues)
    return EngineBooks(
        sqs=queues,
        dynamodb=tables,
        depth=queues.depth,
        places=Places(
            tables=sorted(tables.tables),
            queues=[name for name in names if not name.startswith("dead")],
            dead_letter_queues=[name for name in names if name.startswith("dead")],
        ),
        say=said.append,
        clock=time.clock(),
    )


def test_tables_and_queues_are_read_to_the_end() -> None:
    """All pages, all shards, all receives; what is no message is named."""
    ids = sorted(some_ids(25))
    queues = FakeQueues(
        queue=[envelope("acme", one) for one in ids[:12]],
        dead=[envelope("globex", ids[12]), "{this is no JSON", '["nor is this a message"]'],
    )
    tables = FakeTables(
        pool=[("acme", one) for one in ids[13:18]] + [("globex", ids[18])],
        own=[("umbrella#3", one) for one in ids[19:]],
    )
    books = the_books(queues, tables, [], FakeTime()).read()
    assert books.stored == {
        "acme": frozenset(ids[13:18]),
        "globex": frozenset([ids[18]]),
        "umbrella": frozenset(ids[19:]),
    }
    assert books.queued == {"acme": frozenset(ids[:12])}
    assert books.dead == {"globex": frozenset([ids[12]])}
    assert books.strays
    assert books.unread == ["2 messages in dead that are no envelopes"]


def test_waiting_ends_when_the_queues_stay_empty() -> None:
    """And says how many are left until then."""
    queues, said = FakeQueues(queue=["x"] * 30), list[str]()
    books = the_books(queues, FakeTables(), said, Draining(queues))
    assert books.wait_until_empty(lambda: 3.0)
    assert said == [f"{left} messages in the queues" for left in (30, 20, 10)]


def test_waiting_ends_when_the_queues_do_not_become_shorter() -> None:
    """After its patience; a poison message would hold it for ever otherwise."""
    time = FakeTime()
    books = the_books(FakeQueues(queue=["x"]), FakeTables(), [], time)
    assert not books.wait_until_empty(lambda: 3.0)
    assert sum(time.slept) == pytest.approx(3.5)


def test_a_signal_shortens_a_wait_that_is_under_way() -> None:
    """Patience used to be what it was at the start, whatever came meanwhile."""
    time = FakeTime()
    books = the_books(FakeQueues(queue=["x"]), FakeTables(), [], time)
    assert not books.wait_until_empty(lambda: 1_000.0 if sum(time.slept) < 5 else 1.0)
    assert sum(time.slept) == pytest.approx(5)


class FakeApi:
    """A tenant's list and reads, as the consumer answers them."""

    def __init__(self, stored: set[bytes], *, page: int = 100) -> None:
        self.stored = stored
        self.page = page
        self.requests: list[str] = []
        self.failing = 0
        self.trust_env = True
        self.verify = False

    def get(self, url: str, params: dict[str, str | None], **_: Any) -> requests.Response:
        self.requests.append(url)
        answer = requests.Response()
        answer.status_code = 200
        value: Any = {}
        if self.failing:
            self.failing -= 1
            answer.status_code = 503
        elif url.endswith("/messages"):
            ids = sorted(self.stored)
            start = int(params.get("cursor") or 0)
            items = [{"message_id": str(uuid.UUID(bytes=one))} for one in ids[start:][: self.page]]
            end = start + self.page
            value = {"items": items, "next_cursor": str(end) if end < len(ids) else None}
        elif uuid.UUID(url.rsplit("/", 1)[-1]).bytes not in self.stored:
            answer.status_code = 404
        answer._content = json.dumps(value).encode()
        return answer


def the_api_books(
    api: FakeApi, result: Result, observe: Callable[[], Observation | None] = lambda: None
) -> ApiBooks:
    entry = TenantEntry(
        tenant="acme", token_command=("printf", "token"), get_url="http://host", post_url="x"
    )
    return ApiBooks(
        [entry],
        result,
        insecure=False,
        say=lambda _: None,
        session=cast("requests.Session", api),
        clock=FakeTime().clock(),
        observe=observe,
    )


def a_result_of(accepted: frozenset[bytes]) -> Result:
    return a_result(plan=a_plan(), accepted={"acme": accepted})


def test_ids_are_found_in_the_list_whatever_else_is_there() -> None:
    """Earlier data does not count, and does not hide what is sought."""
    wanted, earlier = some_ids(300), some_ids(900, "earlier")
    books = the_api_books(FakeApi({*wanted, *earlier}), a_result_of(wanted)).read(lambda: 5)
    assert books.stored == {"acme": wanted}
    assert not books.unlooked
    assert books.dead is None


def test_what_is_not_stored_is_waited_for_and_then_missing() -> None:
    """As long as nothing comes, its patience lasts."""
    wanted = some_ids(30)
    lost = min(wanted)
    books = the_api_books(FakeApi(set(wanted - {lost})), a_result_of(wanted)).read(lambda: 5)
    assert books.stored == {"acme": wanted - {lost}}


def test_a_list_too_long_is_looked_up_by_id_and_the_rest_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bounded pages, bounded reads; what is left is not looked for."""
    monkeypatch.setattr(api_books, "_PAGES_AT_MOST", 1)
    monkeypatch.setattr(api_books, "_READS_AT_MOST", 20)
    wanted, earlier = some_ids(150), some_ids(900, "earlier")
    books = the_api_books(FakeApi({*wanted, *earlier}), a_result_of(wanted)).read(lambda: 5)
    assert len(books.stored["acme"]) + len(books.unlooked["acme"]) == 150
    assert 20 <= len(books.stored["acme"]) < 150


def test_an_api_that_fails_for_a_moment_is_asked_again() -> None:
    """And one that fails for good is named, with its tenant."""
    wanted = some_ids(5)
    api = FakeApi(set(wanted))
    api.failing = 2
    assert the_api_books(api, a_result_of(wanted)).read(lambda: 5).stored == {"acme": wanted}
    api.failing = 10_000
    books = the_api_books(api, a_result_of(wanted)).read(lambda: 5)
    assert books.unread == ("acme's messages (503)",)
    assert books.unreadable == {"acme"}


def test_what_the_queues_hold_is_counted_where_they_may_be_asked() -> None:
    """What waits now, and what became a dead letter since the load began."""
    wanted = some_ids(5)
    before = Observation(1.0, depth=0, dead=40)
    result = a_result(plan=a_plan(), accepted={"acme": wanted}, observations=[before])
    after = Observation(2.0, depth=3, dead=42)
    api = FakeApi(set())
    assert the_api_books(api, result, lambda: after).read(lambda: 1).waiting == 5
    assert the_api_books(api, result).read(lambda: 1).waiting is None
