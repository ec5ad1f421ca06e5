"""tenantctl's command line, called in an environment of a test's."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from typer.testing import CliRunner, Result

from support.control_world import World
from tenantctl import cli
from tenantctl.app import App
from tenantctl.contexts import Context
from tenantctl.ports import Observer
from tenantctl.smoke import Smoke

Call = Callable[..., Result]


def calling(world: World, context: Context, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls a command with its words; the context is the only one that there is."""

    @asynccontextmanager
    async def opened(name: str, found: Context, observer: Observer) -> AsyncGenerator[App]:
        world.control.observer = observer
        smoke = Smoke(url=None, domain=None, tokens=None)
        async with AsyncExitStack() as stack:
            yield App(name, found, world.fleet, world.control, smoke, stack)

    monkeypatch.setattr(cli.common, "load", lambda _: ("test", context))
    monkeypatch.setattr(cli.common, "opened", opened)
    runner = CliRunner()
    return lambda *arguments: runner.invoke(cli.app, list(arguments))


def said(result: Result) -> str:
    """What a person reads, in one line of words."""
    return re.sub(r"\s+", " ", result.stdout + result.stderr)
