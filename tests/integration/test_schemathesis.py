"""The OpenAPI documents against both services as they run: what fits them, and what does not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import schemathesis
from schemathesis.engine import StopReason, events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder

from support.load import wait_stored
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, DEFAULT_POOL, PRODUCER, TenantSpec

pytestmark = pytest.mark.faults

ROOT = Path(__file__).resolve().parents[2]
TENANT = "acme"

#: Generated cases of each operation in each phase: about half a minute for both.
CASES = 120

#: By service and operation, how many cases must have been answered how, at least: a run in which
#: nothing is generated, or everything is refused, proves nothing.
LEAST = {
    PRODUCER: {
        "POST /messages": {("positive", 202): 40, ("negative", 400): 20, ("negative", 422): 20},
        "POST /messages/batch": {("positive", 202): 40, ("negative", 422): 40},
        "GET /producer": {("positive", 200): 2},
    },
    CONSUMER: {
        "GET /messages": {("positive", 200): 40, ("negative", 400): 10},
        "GET /messages/{message_id}": {("positive", 200): 20, ("positive", 404): 2},
        "GET /consumer": {("positive", 200): 2},
    },
}


@dataclass
class Found:
    """What a run brought about."""

    cases: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stopped: StopReason | None = None

    def add(self, recorder: ScenarioRecorder) -> None:
        """Count the cases of one scenario, and keep what failed."""
        for case_id, interaction in recorder.interactions.items():
            case = recorder.cases[case_id].value
            mode = case.meta.generation.mode.value if case.meta else "?"
            status = interaction.response.status_code if interaction.response else 0
            self.cases[case.operation.label, mode, status] += 1
        for case_id, checks in recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    info, answer = check.failure_info, recorder.interactions[case_id].response
                    self.failures.append(
                        f"{info.failure.operation}: {check.name}: {info.failure}\n"
                        f"{answer and (answer.status_code, answer.content)}\n{info.code_sample}"
                    )


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def laptop() -> AsyncGenerator[Laptop, None]:
    """One tenant with three stored messages, whose rate no test uses up."""
    tenants = [TenantSpec(TENANT, "basic")]
    async with Laptop.up(tenants, rate=10_000_000) as laptop:
        async with a_client(laptop) as session:
            for number in range(3):
                body = {"type": "order.created", "payload": {"order": number}}
                async with session.post("/messages", json=body) as answer:
                    assert (202, b"message_id") == (answer.status, (await answer.read())[2:12])
        await wait_stored(laptop, TENANT, 3, seconds=20)
        yield laptop


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("service", LEAST)
async def test_a_service_is_what_its_document_says(laptop: Laptop, service: str) -> None:
    """No case makes a 5xx; each answer is documented; what fits is taken, what does not is not."""
    url = laptop.address(DEFAULT_POOL, service)
    cursor = await a_cursor(laptop)

    found = await asyncio.to_thread(run, service, url, laptop.token(TENANT), cursor)

    assert not found.failures, "\n\n".join(found.failures)
    assert StopReason.COMPLETED == found.stopped
    for operation, least in LEAST[service].items():
        for (mode, status), count in least.items():
            assert count <= found.cases[operation, mode, status], (operation, mode, found.cases)


def a_client(laptop: Laptop) -> aiohttp.ClientSession:
    """The tenant's client."""
    headers = {"Authorization": f"Bearer {laptop.token(TENANT)}", "tenantID": TENANT}
    return aiohttp.ClientSession(laptop.router_url, headers=headers)


async def a_cursor(laptop: Laptop) -> str:
    """One that the consumer gave."""
    async with (
        a_client(laptop) as session,
        session.get("/messages", params={"limit": 1}) as answer,
    ):
        return str((await answer.json())["next_cursor"])


def run(service: str, url: str, token: str, cursor: str) -> Found:
    """Every phase of the engine, the same in each run; all of its checks."""
    config = schemathesis.Config.from_dict(
        {
            "base-url": url,
            "auth": {"openapi": {"token": {"bearer": token}}},
            "request-timeout": 10,
            "suppress-health-check": ["all"],
            # What the code's literals suggest would change the cases with every commit.
            "analysis": {"constants": {"enabled": False}},
            "generation": {
                "deterministic": True,
                "max-examples": CASES,
                "no-shrink": True,
                "with-security-parameters": False,
            },
            "phases": {"stateful": {"enabled": False}},
            "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx"]}},
            "operations": [
                {
                    "include-operation-id": "get_message",
                    "checks": {"positive_data_acceptance": {"expected-statuses": ["200", "404"]}},
                }
            ],
        }
    )
    schema = schemathesis.openapi.from_path(ROOT / f"docs/openapi/{service}.json", config=config)

    @schema.hook
    def map_case(
        context: schemathesis.HookContext, case: schemathesis.Case[Any]
    ) -> schemathesis.Case[Any]:
        # The tenant is the token's or absent, and a cursor is one that was given: no schema can
        # say so. What is wrong on purpose stays.
        if "tenantID" in (case.headers or {}):
            case.headers["tenantID"] = TENANT
        is_wrong = case.meta is not None and case.meta.generation.mode.is_negative
        if not is_wrong and "cursor" in (case.query or {}):
            case.query["cursor"] = cursor
        return case

    @schema.hook
    def filter_body(context: schemathesis.HookContext, body: Any) -> bool:
        return all(-(2**63) <= number < 2**64 for number in integers(body))

    found = Found()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            found.add(event.recorder)
        elif isinstance(event, events.NonFatalError):
            found.failures.append(f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            found.failures.append(repr(event.exception))
        elif isinstance(event, events.EngineFinished):
            found.stopped = event.stop_reason
    return found


def integers(value: Any) -> Iterator[int]:
    """Those in it, at any depth: their size is a rule that JSON Schema cannot tell."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from integers(inner)
    elif isinstance(value, int):
        yield value
