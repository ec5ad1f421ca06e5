"""The consumer's routes, through ASGI."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from consumer.api import Api
from consumer.app import create_app
from consumer.reads import Reads
from consumer.repository import Row
from fakes.asgi import Answer, call
from fakes.consuming import TABLE, pool_settings
from fakes.deliveries import ACCEPTED_AT, a_message, message_id
from fakes.registry import MemoryRegistry, a_placement
from fakes.repository import FakeRepository
from tenantry.contract import Message, dump_json
from tenantry.metrics import ConsumerMetrics
from tenantry.problems import MEDIA_TYPE
from tenantry.registry import PlacementCache
from tenantry.tenancy import HeaderIdentity
from tenantry.tenant_id import TenantId

STORED_AT: Final = "2026-01-02T03:04:06.000000Z"


@dataclass(slots=True)
class Service:
    """The application, and what it reads from."""

    app: Any
    repository: FakeRepository
    registry: MemoryRegistry
    metrics: ConsumerMetrics

    async def store(self, *messages: Message) -> None:
        for one in messages:
            await self.repository.insert(TABLE, [Row(one.tenant_id, one)], STORED_AT)

    async def get(self, path: str, tenant_id: str | None = "acme") -> Answer:
        headers = {} if tenant_id is None else {"tenantID": tenant_id}
        return await call(self.app, path, headers=headers)


def a_service(**changes: Any) -> Service:
    repository = FakeRepository(TABLE)
    registry = MemoryRegistry(a_placement("acme"), a_placement("globex"))
    metrics = ConsumerMetrics(CollectorRegistry())
    service_settings = pool_settings(**changes)
    reads = Reads(
        repository,
        PlacementCache(registry, max_age_seconds=300),
        instance=service_settings.instance,
        is_pool=service_settings.is_pool,
        sessions=None,
    )
    app = create_app(Api(service_settings, HeaderIdentity(), reads, metrics))
    return Service(app, repository, registry, metrics)


@pytest.fixture
def service() -> Service:
    """A pool's; behind a mesh, so that the header names the tenant."""
    return a_service()


def assert_problem(answer: Answer, status: int, slug: str) -> None:
    """RFC 9457, and nothing but."""
    assert (status, MEDIA_TYPE) == (answer.status, answer.headers["content-type"])
    problem = answer.json
    assert f"urn:tenantry:problem:{slug}" == problem["type"]
    assert status == problem["status"]
    assert problem["title"]
    assert problem["detail"]
    assert ("retry-after" in answer.headers) is (status == 503)


async def test_a_stored_message_is_answered_whole(service: Service) -> None:
    """What was sent, and when it was accepted and stored."""
    message = a_message(payload='{"n":[1,2.5,null,true,"ü"]}')
    await service.store(message)
    answer = await service.get(f"/messages/{message.message_id}")

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "tenant_id": "acme",
        "message_id": message.message_id,
        "type": "order.created",
        "payload": {"n": [1, 2.5, None, True, "ü"]},
        "accepted_at": ACCEPTED_AT,
        "stored_at": STORED_AT,
    }


VALUES: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(payload=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES))
async def test_any_payload_comes_back_equal(payload: dict[str, Any]) -> None:
    """Alone and in a list: the text is passed through as it is stored."""
    service = a_service()
    message = a_message(payload=dump_json(payload))
    await service.store(message)
    one = await service.get(f"/messages/{message.message_id}")
    (item,) = (await service.get("/messages")).json["items"]

    assert payload == one.json["payload"] == item["payload"]
    assert message.payload.encode() in one.body
    assert json.loads(one.body) == item


async def test_a_list_is_paged(service: Service) -> None:
    """By the cursor of each page; the last one has none."""
    await service.store(*(a_message("acme", number) for number in range(5)))
    await service.store(a_message("globex", 9))
    seen: list[str] = []
    path = "/messages?limit=2"
    for _ in range(3):
        page = (await service.get(path)).json
        seen += [item["message_id"] for item in page["items"]]
        path = f"/messages?limit=2&cursor={page['next_cursor']}"

    assert [message_id(number) for number in range(5)] == seen
    assert page["next_cursor"] is None


@pytest.mark.parametrize(("query", "items"), [("", 20), ("?limit=100", 100), ("?limit=1", 1)])
async def test_a_page_has_the_size_that_was_asked_for(
    service: Service, query: str, items: int
) -> None:
    """Twenty, if nothing was."""
    await service.store(*(a_message("acme", number) for number in range(101)))

    assert items == len((await service.get(f"/messages{query}")).json["items"])


async def test_an_empty_list_is_no_error(service: Service) -> None:
    """There is just nothing yet."""
    answer = await service.get("/messages")

    assert (answer.status, answer.json) == (200, {"items": [], "next_cursor": None})


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("limit=0", "limit: "),
        ("limit=101", "limit: "),
        ("limit=-1", "limit: "),
        ("limit=many", "limit: "),
        ("limit=", "limit: "),
        ("limit=1.5", "limit: "),
        ("cursor=" + "A" * 65, "cursor: "),
        ("cursor=secret", "the cursor "),
        ("cursor=%FF%00", "the cursor "),
        ("cursor=", "the cursor "),
    ],
)
async def test_a_bad_parameter_is_a_problem(service: Service, query: str, detail: str) -> None:
    """Which names it, and does not repeat what was sent."""
    answer = await service.get(f"/messages?{query}")

    assert_problem(answer, 400, "invalid-request")
    assert answer.json["detail"].startswith(detail)
    assert "secret" not in answer.body.decode()


async def test_anothers_message_and_none_are_one_answer(service: Service) -> None:
    """Byte for byte, headers too."""
    theirs = a_message("globex")
    await service.store(theirs)
    foreign = await service.get(f"/messages/{theirs.message_id}")
    missing = await service.get(f"/messages/{message_id(10**6)}")

    assert_problem(foreign, 404, "message-not-found")
    assert (foreign.body, foreign.headers) == (missing.body, missing.headers)
    assert (await service.get(f"/messages/{theirs.message_id}", "globex")).status == 200


@pytest.mark.parametrize(
    ("changes", "status", "slug"),
    [
        ({"status": "suspended"}, 403, "tenant-suspended"),
        ({"status": "draining"}, 403, "tenant-suspended"),
        ({"status": "offboarded"}, 403, "unknown-tenant"),
        (None, 403, "unknown-tenant"),
    ],
)
async def test_who_may_not_read_is_told_so(
    service: Service, changes: dict[str, Any] | None, status: int, slug: str
) -> None:
    """And it is counted by what it was."""
    service.registry.placements.clear()
    if changes is not None:
        service.registry.placements[TenantId("acme")] = a_placement(**changes)
    for path in ("/messages", f"/messages/{message_id(1)}"):
        assert_problem(await service.get(path), status, slug)

    assert service.metrics.reads.labels(slug)._value.get() == 2


async def test_another_instances_tenant_is_told_to_come_again() -> None:
    """It reached the wrong service: its own answers soon."""
    service = a_service(instance="globex", tier="premium")

    assert_problem(await service.get("/messages"), 503, "misplaced")


async def test_what_is_out_of_reach_is_said(service: Service) -> None:
    """Store and registry, each by its name."""
    service.registry.failing = True
    assert_problem(await service.get("/messages"), 503, "registry-unavailable")
    service.registry.failing = False
    service.repository.down = True
    for path in ("/messages", f"/messages/{message_id(1)}"):
        assert_problem(await service.get(path), 503, "store-unavailable")


async def test_without_an_identity_nothing_is_read(service: Service) -> None:
    """Nor with two, nor with one that is no tenant's."""
    for path in ("/messages", f"/messages/{message_id(1)}"):
        answer = await service.get(path, None)
        assert_problem(answer, 401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert_problem(await service.get(path, "No Tenant"), 400, "invalid-request")
    assert service.repository.reads == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("POST", "/messages", 405),
        ("DELETE", f"/messages/{message_id(1)}", 405),
    ],
)
async def test_what_nobody_serves_is_a_problem_too(
    service: Service, method: str, path: str, status: int
) -> None:
    """Whatever the framework says is rendered like the rest."""
    answer = await call(service.app, path, method=method, headers={"tenantID": "acme"})

    assert (status, MEDIA_TYPE) == (answer.status, answer.headers["content-type"])
    assert answer.json["status"] == status


async def test_it_says_who_serves(service: Service) -> None:
    """Of a pool; with a tenant, and without one."""
    expected = {
        "tenant_id": "acme",
        "environment": "dev",
        "version": "0.1.0",
        "microservice": "consumer",
        "pool": "pool-1",
    }
    assert expected == (await service.get("/consumer")).json
    assert expected | {"tenant_id": None} == (await service.get("/consumer", None)).json


async def test_a_dedicated_instance_has_no_pool() -> None:
    """The field is there, and null."""
    service = a_service(instance="acme", tier="premium")

    assert (await service.get("/consumer")).json["pool"] is None


async def test_reads_are_counted(service: Service) -> None:
    """Those that went well, and those that did not, by the problem's type."""
    await service.get("/messages")
    await service.get(f"/messages/{message_id(1)}")
    await service.get("/messages?cursor=x")

    counted = {
        sample.labels["outcome"]: sample.value
        for metric in service.metrics.reads.collect()
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    assert counted == {"ok": 1, "message-not-found": 1, "invalid-request": 1}


async def test_a_bug_is_answered_without_its_trace(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the log."""

    async def get(*_: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr(service.repository, "get", get)
    with structlog.testing.capture_logs() as logs:
        answer = await service.get(f"/messages/{message_id(1)}")

    assert ["request.failed"] == [entry["event"] for entry in logs]
    assert answer.status == 500
    assert answer.json["type"] == "urn:tenantry:problem:internal"
    assert "secret" not in answer.body.decode()
