"""tenantctl as a process, on a laptop with real services: under traffic, killed at each step."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from support.ledger import Ledger
from tenantry import names
from tenantry_local.laptop import Laptop
from tenantry_local.model import ENVIRONMENT, TenantSpec
from tenantry_local.resources import REGISTRY_TABLE

pytestmark = pytest.mark.faults

#: What a move reports, in this order; where old and new place are one, less.
MOVE_STEPS: Final = (
    *("committed", "provisioning", "copying", "placed", "switched"),
    *("forwarded", "copied", "active", "emptied", "unsealed"),
    *("draining", "removing"),
)
EVEN, ODD = MOVE_STEPS[::2], MOVE_STEPS[1::2]


@dataclass(frozen=True, slots=True)
class Leg:
    """A move: from where, by which options to where, and after which steps it is killed.

    Each step of each kind of move is died after; those that take long share them.
    """

    home: TenantSpec
    options: tuple[str, ...]
    to: tuple[str, str | None]
    deaths: tuple[str, ...] = MOVE_STEPS


#: Each direction once; all at the same time.
LEGS: Final = (
    Leg(TenantSpec("acme", "basic"), ("--tier", "advanced"), ("advanced", "pool-1")),
    Leg(TenantSpec("bluth", "basic"), ("--tier", "premium"), ("premium", None), EVEN),
    Leg(TenantSpec("cyber", "basic"), ("--pool", "pool-2"), ("basic", "pool-2"), ODD),
    Leg(TenantSpec("dunder", "advanced"), ("--tier", "basic"), ("basic", "pool-1"), EVEN),
    Leg(TenantSpec("ecorp", "advanced"), ("--tier", "premium"), ("premium", None)),
    Leg(
        TenantSpec("frink", "premium", None),
        ("--tier", "basic", "--pool", "pool-2"),
        ("basic", "pool-2"),
        ODD,
    ),
    Leg(
        TenantSpec("gekko", "premium", None),
        ("--tier", "advanced", "--pool", "pool-2"),
        ("advanced", "pool-2"),
    ),
)
#: Stays where it is, and goes on.
NEIGHBOUR: Final = TenantSpec("hooli", "basic", "pool-2")
OFFBOARD_STEPS: Final = (
    *("committed", "draining", "unsealed", "drained", "exported", "deleted"),
    *("removed", "gone", "tombstone"),
)
#: Services use a placement for so long at most; less than they allow themselves to.
AGE_SECONDS: Final = 30
VISIBILITY_SECONDS: Final = 5
CACHE_SECONDS: Final = 36
TENANTCTL: Final = str(Path(sys.executable).with_name("tenantctl"))


@dataclass(slots=True)
class Ended:
    """One run of tenantctl that ended: by itself, or by SIGKILL (-9)."""

    status: int
    out: str
    steps: list[str]
    errors: list[str]


@dataclass(slots=True)
class Caller:
    """Calls tenantctl."""

    context: Path
    exports: Path

    async def run(self, *arguments: str, deaths: set[str] | None = None) -> Ended:
        """One run; killed after the first of these steps, which is taken from them."""
        is_json = "--output" in arguments
        process = await asyncio.create_subprocess_exec(
            TENANTCTL,
            *arguments,
            *("--context", self.context.stem),
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.exports),
                "TENANTCTL_CONTEXTS": str(self.context.parent),
            },
            cwd=self.exports,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        assert process.stdout is not None
        steps, errors = [], []
        async for line in process.stderr:
            errors.append(line.decode().rstrip())
            step = json.loads(line).get("step") if is_json else None
            if step is None:
                continue
            steps.append(step)
            if deaths and step in deaths and process.returncode is None:
                deaths.discard(step)
                deaths = None
                process.send_signal(signal.SIGKILL)
        out = (await process.stdout.read()).decode()
        return Ended(await process.wait(), out, steps, errors)

    async def result(self, *arguments: str) -> Any:
        """What a command that does its work says."""
        ended = await self.run(*arguments, "--output", "json")
        assert ended.status == 0, ended.errors
        return json.loads(ended.out)

    async def with_kills(self, *arguments: str, deaths: Collection[str]) -> list[str]:
        """Run it again and again, killed once after each of these; its steps as they came."""
        left = set(deaths)
        order: list[str] = []
        kills = 0
        while True:
            ended = await self.run(*arguments, "--output", "json", deaths=left)
            order += [step for step in ended.steps if step not in order]
            if ended.status != -signal.SIGKILL:
                assert ended.status == 0, (arguments, ended.errors)
                # After its last step it may have ended before the signal came.
                assert kills >= len(set(deaths) & set(order[:-1]))
                return order
            kills += 1


@pytest.fixture
async def laptop(tmp_path: Path) -> AsyncGenerator[Laptop]:
    """A laptop that follows a fleet."""
    async with Laptop.up(
        (*(leg.home for leg in LEGS), NEIGHBOUR),
        run_dir=tmp_path / f"moves-{os.getpid()}",
        engine="standin",
        fleet=True,
        placement_max_age_seconds=AGE_SECONDS,
        visibility_seconds=VISIBILITY_SECONDS,
        wait_seconds=1,
    ) as laptop:
        yield laptop


@pytest.fixture
def caller(laptop: Laptop, tmp_path: Path) -> Caller:
    """Calls tenantctl for this laptop."""
    assert laptop.context is not None
    (tmp_path / "home").mkdir()
    return Caller(laptop.context, tmp_path / "home")


async def test_tenants_live_through_every_verb_and_every_kill(
    laptop: Laptop, caller: Caller
) -> None:
    """A life under traffic: come, move everywhere, be shut out, leave; nothing lost or twice."""
    ledgers = {
        spec.tenant_id: Ledger(laptop, spec.tenant_id, through_router=True)
        for spec in (*(leg.home for leg in LEGS), NEIGHBOUR)
    }
    hooli = ledgers["hooli"]
    async with AsyncExitStack() as stack:
        for ledger in ledgers.values():
            await stack.enter_async_context(ledger.sending(clients=1, pause_seconds=0.4))
        async with asyncio.TaskGroup() as group:
            newco = group.create_task(onboarded(laptop, caller))
            for leg in LEGS:
                group.create_task(moved(caller, leg))
            group.create_task(shut_out(caller, hooli))
    for ledger in ledgers.values():
        await ledger.wait_stored(seconds=60)
        assert len(ledger.accepted) >= 50, (ledger.tenant, ledger.answers)
    assert await whereabouts(laptop) == {
        **{
            message_id: [(laptop.tenants[name].table_name, name)]
            for name, ledger in ledgers.items()
            for message_id in ledger.accepted
        },
        newco.result(): [(laptop.tenants["newco"].table_name, "newco")],
    }
    homes = {name: (tenant.tier, tenant.pool) for name, tenant in laptop.tenants.items()}
    assert homes == {
        **{leg.home.tenant_id: leg.to for leg in LEGS},
        "hooli": ("basic", "pool-2"),
        "newco": ("premium", None),
    }
    assert await caller.result("reconcile") == []

    leaving = ("frink", "gekko")
    # The neighbour in the pool goes on, and who leaves until it is refused.
    async with hooli.sending(clients=1, pause_seconds=0.5), asyncio.TaskGroup() as group:
        for name in (*leaving, "newco"):
            group.create_task(left(caller, name))
        for name in leaving:
            group.create_task(until_answered(ledgers[name], 403, seconds=CACHE_SECONDS + 20))
    for name in leaving:
        assert exported(caller, name) == set(ledgers[name].accepted)
    assert exported(caller, "newco") == {newco.result()}
    await hooli.wait_stored(seconds=60)
    owners = {tenant for places in (await whereabouts(laptop)).values() for _, tenant in places}
    assert owners == ledgers.keys() - set(leaving)
    await nothing_is_left(laptop, "gekko", "newco")
    assert await caller.result("reconcile") == []


async def onboarded(laptop: Laptop, caller: Caller) -> str:
    """A premium tenant comes, and what is printed for it works as pasted; the message's id."""
    ended = await caller.run("onboard", "newco", "--tier", "premium", "--wait")
    assert ended.status == 0, ended.errors
    curl = next(line for line in ended.out.splitlines() if line.startswith("curl "))
    process = await asyncio.create_subprocess_exec(
        *shlex.split(curl), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    answer = json.loads(out)
    assert answer["status"] == "accepted"
    again = await caller.run("onboard", "newco", "--tier", "premium", "--wait")
    assert "nothing was changed" in again.out
    assert laptop.tenants["newco"].tier == "premium"
    message_id: str = answer["message_id"]
    return message_id


async def moved(caller: Caller, leg: Leg) -> None:
    """One tenant's move, killed after steps; and once more, which changes nothing."""
    name = leg.home.tenant_id
    steps = await caller.with_kills("move", name, *leg.options, deaths=leg.deaths)
    assert steps == [step for step in MOVE_STEPS if step in steps], leg
    is_far = "basic" in {leg.home.tier, leg.to[0]}
    assert ("emptied" in steps) is is_far, leg
    assert {"placed", "switched", "draining", "removing"} <= set(steps), leg
    again = await caller.run("move", name, *leg.options)
    assert (again.status, "already" in again.out) == (0, True)


async def left(caller: Caller, name: str) -> None:
    """A tenant leaves, killed at each step; and once more, which changes nothing."""
    export_to = str(caller.exports / "exports")
    steps = await caller.with_kills(
        "offboard", name, "--export-to", export_to, deaths=OFFBOARD_STEPS
    )
    assert steps == [step for step in OFFBOARD_STEPS if step in steps], name
    again = await caller.run("offboard", name, "--export-to", export_to)
    assert (again.status, "nothing was to do" in again.out) == (0, True)


async def shut_out(caller: Caller, ledger: Ledger) -> None:
    """A suspended tenant is refused within the cache's time, and served again after."""
    for verb, status in (("suspend", 403), ("resume", 202)):
        await caller.result(verb, ledger.tenant)
        await until_answered(ledger, status, seconds=CACHE_SECONDS + 4)


async def until_answered(ledger: Ledger, status: int, *, seconds: float) -> None:
    """A tenant sends until it is answered so."""
    deadline = time.monotonic() + seconds
    async with aiohttp.ClientSession() as session:
        while await ledger.send(session) != status:
            assert time.monotonic() < deadline, (ledger.tenant, status, ledger.answers)
            await asyncio.sleep(0.5)  # between two sends: the deadline above ends the wait


def exported(caller: Caller, name: str) -> set[str]:
    """Ids of an export, which its manifest counts."""
    (folder,) = (caller.exports / "exports" / name).iterdir()  # of its one life
    found = {
        file: [json.loads(line) for line in (folder / file).read_text().splitlines()]
        for file in ("items.jsonl", "dead-letters.jsonl")
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    assert {file: one["lines"] for file, one in manifest["files"].items()} == {
        file: len(lines) for file, lines in found.items()
    }
    return {one["message_id"] for lines in found.values() for one in lines}


async def whereabouts(laptop: Laptop) -> dict[str, list[tuple[str, str]]]:
    """Every item of every table: table and tenant, by the message's id."""
    found: dict[str, list[tuple[str, str]]] = {}
    dynamodb = laptop.engine.dynamodb
    for table in (await dynamodb.list_tables())["TableNames"]:
        if table == REGISTRY_TABLE:
            continue
        pages = dynamodb.get_paginator("scan")
        async for page in pages.paginate(TableName=table, ConsistentRead=True):
            for item in page["Items"]:
                place = (table, item["tenant_id"]["S"])
                found.setdefault(item["message_id"]["S"], []).append(place)
    return found


async def nothing_is_left(laptop: Laptop, *tenants: str) -> None:
    """No queue and no table has the name of one of these."""
    queues = (await laptop.engine.sqs.list_queues()).get("QueueUrls", [])
    tables = (await laptop.engine.dynamodb.list_tables())["TableNames"]
    there = {url.rpartition("/")[2] for url in queues} | set(tables)
    for tenant in tenants:
        assert names.queue_name(ENVIRONMENT, tenant) not in there
        assert names.dead_letter_queue_name(ENVIRONMENT, tenant) not in there
        assert names.table_name(ENVIRONMENT, tenant) not in there
