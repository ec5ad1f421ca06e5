"""`follow`, `states` and `cost` as commands: what they print, and with which status."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

import tenantctl.app
from support.cli_calls import Call, calling, said
from support.control_world import World
from support.fleets import a_pool
from tenantctl import cli, states
from tenantctl.app import App
from tenantctl.candidates import Candidate, path_of_candidate
from tenantctl.contexts import ChartsSection, Context
from tenantctl.cost import ESTIMATED, Measured, Served, Usage
from tenantctl.costsources import Period, Sources
from tenantctl.releases import Release
from tenantctl.states import Copied
from tenantctl.verbs.deploy import Deployed
from tenantctl.verbs.follow import Followed

RELEASE: Final = Release("1.4.0", f"sha256:{'a' * 64}")


@pytest.fixture
def world(tmp_path: Path) -> World:
    """An environment of one pool."""
    return asyncio.run(World(tmp_path, a_pool()).begin())


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context.model_validate(
        {
            "environment": "dev",
            "fleet": {"url": "file:///fleet"},
            "cluster": {"kind": "laptop", "state": str(tmp_path)},
            "aws": {"region": "eu-west-1"},
            "costs": {"opencost": "http://opencost:9003", "prometheus": "http://prometheus:9090"},
        }
    )


@pytest.fixture
def call(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls tenantctl there."""
    return calling(world, context, monkeypatch)


@pytest.mark.parametrize(
    ("done", "text"),
    [
        (Followed(Candidate()), "no chart was published yet"),
        (
            Followed(Candidate(RELEASE), taken_back="premium r0"),
            "1.4.0 was taken back from premium r0: the next version is waited for",
        ),
        (
            Followed(
                Candidate(RELEASE, RELEASE),
                deployed={
                    "pools": Deployed(release=RELEASE, commits={}, instances={"r0": 1, "r2": 2})
                },
                module_commits=("c0ffee",),
            ),
            "pools: 3 run 1.4.0 the module: c0ffee",
        ),
        (
            Followed(
                Candidate(RELEASE),
                deployed={
                    "basic": Deployed(
                        release=RELEASE,
                        commits={"r0": "c0ffee"},
                        instances={"r0": 1, "r1": 2},
                        running_after={"r0": 131.0, "r1": 432.0},
                    )
                },
            ),
            "basic: 3 run 1.4.0, 7.2 min after its commit",
        ),
    ],
)
def test_what_was_followed_is_told(
    call: Call, monkeypatch: pytest.MonkeyPatch, done: Followed, text: str
) -> None:
    """Also that nothing was, and why."""

    async def follow_in(*_: Any, **__: Any) -> Followed:
        return done

    monkeypatch.setattr(cli.releasing, "follow_in", follow_in)

    result = call("follow")

    assert 0 == result.exit_code, result.output
    assert text in said(result)


def test_without_a_place_for_charts_nothing_is_followed(call: Call) -> None:
    """The context says what is missing."""
    result = call("follow")

    assert (2, True) == (result.exit_code, "[charts]" in said(result))


@pytest.mark.parametrize(
    ("said_last", "answer"),
    [
        ("none", (0, "no chart was published yet")),
        (str(RELEASE), (2, "the fleet has no keys/dev/*.pub")),
    ],
)
def test_a_fresh_fleet_needs_no_key_until_something_is_published(
    world: World,
    context: Context,
    monkeypatch: pytest.MonkeyPatch,
    said_last: str,
    answer: tuple[int, str],
) -> None:
    """Its workflow runs every two minutes from the first day, and would fail as often."""
    version, _, digest = said_last.partition("@")
    data = {"chart-version": version, "chart-digest": digest or "none"}
    candidate = json.dumps({"data": {**data, "module-version": "none", "module-digest": "none"}})
    world.fleet.head = world.fleet.head.but({path_of_candidate("dev"): candidate.encode()})
    charts = ChartsSection(registry="https://registry.example.com")
    call = calling(world, context.model_copy(update={"charts": charts}), monkeypatch)

    result = call("follow")

    status, text = answer
    assert (status, True) == (result.exit_code, text in said(result)), said(result)


def test_without_a_place_for_copies_none_are_made(call: Call) -> None:
    """The context says what is missing."""
    for words in (("copy",), ("restore", "acme")):
        result = call("states", *words)

        assert (2, True) == (result.exit_code, "states = …" in said(result))


@pytest.mark.parametrize(
    ("failed", "status", "text"),
    [
        ({}, 0, "1 copied to the bucket, 2 were the same"),
        ({"tfstate-default-acme-state": "denied"}, 6, "tfstate-default-acme-state: denied"),
    ],
)
def test_a_state_without_a_copy_is_told_by_the_status(
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    failed: Mapping[str, str],
    status: int,
    text: str,
) -> None:
    """So that the job fails, and somebody is told."""

    async def where(*_: Any) -> tuple[None, str]:
        return None, "the bucket"

    async def copy(*_: Any) -> Copied:
        return Copied(("tfstate-default-globex-state",), 2, failed)

    monkeypatch.setattr(App, "states", where)
    monkeypatch.setattr(states, "copy", copy)

    result = call("states", "copy")

    assert (status, True) == (result.exit_code, text in said(result))


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A month of one pool with two tenants, and one of their own."""

    async def measure(*_: Any) -> Measured:
        return Measured(
            hours=730,
            used={"globex": Usage(pods=5.0, requests=1e6), "pool-1": Usage(pods=9.0)},
            served={"pool-1": Served(stored={"acme": 2, "other": 1})},
            platform={"idle nodes": 4.0},
            missing=("calls of SQS: Prometheus is not named",),
        )

    monkeypatch.setattr(App, "measure", measure)


@pytest.mark.usefixtures("measured")
def test_costs_are_a_line_a_tenant_and_all_together(call: Call) -> None:
    """What is nobody's is in brackets, what is not known is said."""
    result = call("cost", "--month", "2026-10")

    lines = [re.sub(r" +", " ", line) for line in result.stdout.splitlines()]
    assert [
        "tenant pods $ SQS $ DynamoDB $ all $",
        "acme 6.00 0.00 0.00 6.00",
        "globex 5.00 0.40 0.00 5.40",
        "(idle nodes) 4.00 0.00 0.00 4.00",
        "(other of pool-1) 3.00 0.00 0.00 3.00",
        "all 18.00 0.40 0.00 18.40",
    ] == [line.strip() for line in lines[:6]]
    assert "2026-10-01 to 2026-11-01" in said(result)
    assert "not known, and in no line: calls of SQS: Prometheus is not named" in said(result)
    assert len(ESTIMATED) == said(result).count("estimated: ")


@pytest.mark.usefixtures("measured")
def test_costs_are_read_by_machines(call: Call) -> None:
    """With what they were reckoned by."""
    told = json.loads(call("cost", "--month=2026-10", "--output=json").stdout)

    assert pytest.approx(18.4) == sum(line["total"] for line in told["lines"])
    assert {"acme", "globex"} == {line["name"] for line in told["lines"] if line["is_tenant"]}
    assert "as_of" in told["prices"]
    assert told["missing"]
    assert len(ESTIMATED) == len(told["estimated"])


@pytest.mark.usefixtures("measured")
def test_costs_are_of_a_month_or_of_days(call: Call) -> None:
    """Not of both."""
    assert "2026-10-03 to 2026-10-06" in said(
        call("cost", "--from", "2026-10-03", "--to", "2026-10-05")
    )

    both = call("cost", "--month", "2026-10", "--from", "2026-10-03")

    assert (2, True) == (both.exit_code, "not both" in said(both))


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ((), ("http://opencost:9003", "http://prometheus:9090")),
        (("--opencost", "http://here"), ("http://here", "http://prometheus:9090")),
        (("--prometheus", "http://here"), ("http://opencost:9003", "http://here")),
    ],
)
def test_who_is_asked_for_costs_is_in_the_context(
    call: Call, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], asked: tuple[str, str]
) -> None:
    """Options come first."""
    found = []

    async def measure(sources: Sources, _: str, period: Period, known: set[str]) -> Measured:
        found.append((sources.opencost, sources.prometheus))
        return Measured(hours=period.seconds / 3600, used={}, served={}, platform={})

    monkeypatch.setattr(tenantctl.app, "measure", measure)

    result = call("cost", *words)

    assert 0 == result.exit_code, result.output
    assert [asked] == found
