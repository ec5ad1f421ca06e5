"""Requests done as commands: the same verbs, the same statuses, and what is told afterwards."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from support.control_world import World
from support.fleets import a_pool
from tenantctl import cli
from tenantctl.app import App
from tenantctl.contexts import Context
from tenantctl.outcomes import Outcome
from tenantctl.ports import Observer
from tenantctl.smoke import Smoke

Ask = Callable[..., Result]


class ToldApp(App):
    """Remembers what its bus is told."""

    told: list[Outcome]

    async def tell(self, outcome: Outcome) -> bool:
        self.told.append(outcome)
        return True


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One pool."""
    return asyncio.run(World(tmp_path, a_pool()).begin())


@pytest.fixture
def told() -> list[Outcome]:
    return []


@pytest.fixture
def ask(world: World, told: list[Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Puts a request into a file, and calls tenantctl with it."""
    context = Context.model_validate(
        {
            "environment": "dev",
            "fleet": {"url": "file:///fleet"},
            "cluster": {"kind": "laptop", "state": str(tmp_path)},
            "aws": {"region": "eu-west-1"},
            "exports": str(tmp_path / "exports"),
        }
    )

    @asynccontextmanager
    async def opened(name: str, found: Context, observer: Observer) -> AsyncGenerator[App]:
        world.control.observer = observer
        smoke = Smoke(url=None, domain=None, tokens=None)
        async with AsyncExitStack() as stack:
            app: Any = ToldApp(name, found, world.fleet, world.control, smoke, stack)
            object.__setattr__(app, "told", told)
            yield app

    monkeypatch.setattr(cli.common, "load", lambda _: ("test", context))
    monkeypatch.setattr(cli.common, "opened", opened)

    def call(command: str, body: Any, *options: str, encode: bool = False) -> Result:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        file = tmp_path / "event"
        file.write_bytes(base64.b64encode(data) if encode else data)
        return CliRunner().invoke(cli.app, [command, str(file), *options])

    return call


def request(verb: str, **more: Any) -> dict[str, Any]:
    return {"version": 1, "verb": verb, "request_id": "r-1", **more}


def onboarded(world: World) -> bool:
    return asyncio.run(world.tenant("acme")) is not None


ACME = {"tenant_id": "acme", "tier": "basic"}


@pytest.mark.parametrize("encode", [False, True])
def test_a_request_is_done_as_its_verb(world: World, ask: Ask, encode: bool) -> None:
    """From JSON, or from base64 as a Workflow has it."""
    options = ("--base64",) if encode else ()

    done = ask("handle", request("onboard", **ACME), "--verb=onboard", *options, encode=encode)

    assert 0 == done.exit_code, done.output
    placement = world.placement("acme")
    assert placement is not None
    assert "active" == placement.status


def test_until_the_commit_nothing_is_waited_for(world: World, ask: Ask) -> None:
    """The rest is a step of its own, which changes nothing in Git."""
    done = ask("handle", request("onboard", **ACME), "--until=commit")

    assert 0 == done.exit_code, done.output
    assert onboarded(world)
    assert world.placement("acme") is None


def test_the_references_payload_is_done(world: World, ask: Ask) -> None:
    """With the id that its message has."""
    body = {"tenant_id": "acme", "tenant_tier": "basic", "release_version": "0.0"}

    done = ask("handle", body, "--source=onboarding", "--request-id=sqs-1", "--verb=onboard")

    assert 0 == done.exit_code, done.output
    assert onboarded(world)


@pytest.mark.parametrize(
    ("verb", "more"),
    [
        ("suspend", {"tenant_id": "acme"}),
        ("resume", {"tenant_id": "acme"}),
        ("redrive", {"tenant_id": "acme"}),
        ("move", {"tenant_id": "acme", "tier": "advanced"}),
        ("offboard", {"tenant_id": "acme"}),
        ("reconcile", {"fix": True}),
    ],
)
def test_each_verb_is_done(ask: Ask, verb: str, more: dict[str, Any]) -> None:
    """Of a tenant that is here."""
    assert 0 == ask("handle", request("onboard", **ACME)).exit_code

    done = ask("handle", request(verb, **more), f"--verb={verb}", "--output=json")

    assert 0 == done.exit_code, done.output


@pytest.mark.parametrize(
    ("body", "options", "status", "text"),
    [
        (b"", (), 2, "no JSON"),
        (b"!", ("--base64",), 2, "no base64"),
        (request("destroy"), (), 2, "there is none of this name"),
        (request("suspend", **ACME), (), 2, "tier: Extra inputs"),
        (request("suspend", tenant_id="nobody"), (), 4, "nobody"),
        (request("onboard", **ACME), ("--verb=offboard",), 2, "asks for onboard"),
        (request("onboard", **ACME), ("--source=elsewhere",), 2, "no queue"),
        (request("onboard", **ACME), ("--until=later",), 2, "no step"),
        (
            request("deploy", tier="basic", release=f"1.0.0@sha256:{'a' * 64}"),
            (),
            2,
            "where charts are",
        ),
    ],
)
def test_what_cannot_be_done_ends_with_its_status(
    world: World, ask: Ask, body: Any, *, options: tuple[str, ...], status: int, text: str
) -> None:
    """Which says whether it is tried again; and nobody came."""
    done = ask("handle", body, *options)

    assert status == done.exit_code, done.output
    assert text in " ".join((done.stdout + done.stderr).split())
    assert not onboarded(world)


def test_a_file_that_is_not_there_is_told(ask: Ask, tmp_path: Path) -> None:
    """By its path."""
    done = CliRunner().invoke(cli.app, ["handle", str(tmp_path / "none")])

    assert 2 == done.exit_code
    assert "cannot be read" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("verb", "status", "name"),
    [
        ("onboard", "Succeeded", "onboardingSuccess"),
        ("onboard", "Failed", "onboardingFailure"),
        ("onboard", "Error", "onboardingFailure"),
        ("reject", "Failed", "requestFailure"),
        ("reject", "Succeeded", "requestSuccess"),
    ],
)
def test_what_came_of_it_is_told(
    ask: Ask, told: list[Outcome], verb: str, status: str, name: str
) -> None:
    """By the toolkit's names, with nothing that a customer sent."""
    done = ask(
        "outcome",
        request("onboard", **ACME),
        f"--verb={verb}",
        f"--status={status}",
        "--request-id=r-1",
    )

    assert 0 == done.exit_code, done.output
    [outcome] = told
    assert name == outcome.detail_type
    assert {"environment": "dev", "requestId": "r-1", "tenantId": "acme", "version": 1} == {
        key: value for key, value in outcome.detail.items() if key != "verb"
    }


def test_what_was_not_understood_is_told_all_the_same(ask: Ask, told: list[Outcome]) -> None:
    """An exit handler that fails would tell nobody."""
    done = ask("outcome", b"nonsense", "--verb=reject", "--status=Failed")

    assert 0 == done.exit_code, done.output
    assert ["requestFailure"] == [one.detail_type for one in told]
