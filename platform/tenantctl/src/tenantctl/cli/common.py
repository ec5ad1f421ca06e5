"""What all commands share: options, one way to run, errors as a line and a status."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Awaitable, Callable
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tenantctl import model
from tenantctl.app import App, opened
from tenantctl.contexts import load
from tenantctl.errors import ControlError, InvalidError, NotFoundError
from tenantctl.printing import Printer
from tenantctl.tenants import ShownError

_INTERRUPTED: Final = 130

Tier = Enum("Tier", {tier: tier for tier in model.TIERS}, type=str)  # type: ignore[misc]
Ring = Enum("Ring", {ring: ring for ring in model.RINGS}, type=str)  # type: ignore[misc]


class Output(StrEnum):
    """How results are printed."""

    TEXT = "text"
    JSON = "json"


app = typer.Typer(
    help="Onboard, move, suspend and offboard tenants by Git.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

ContextOption = Annotated[
    str | None,
    typer.Option("--context", help="The environment; the only one there is, if not named."),
]
OutputOption = Annotated[
    Output, typer.Option("--output", "-o", help="json: the result, and a line of JSON a step.")
]
TenantArgument = Annotated[str, typer.Argument(metavar="ID", help="The tenant's id.")]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show the first commit as a diff, and do nothing.")
]
RequestOption = Annotated[
    str | None, typer.Option("--request-id", help="Put into the commits, to find them by.")
]


def run_verb(
    context: str | None,
    output: Output,
    work: Callable[[App, Printer], Awaitable[Any]],
    *,
    dry_run: bool = False,
) -> None:
    """Do one verb in one environment; errors are a line and a status.

    A dry run ends at its first commit, and shows that: all before it only looks.
    """
    printer = Printer(as_json=output is Output.JSON)

    async def work_on() -> Any:
        name, found = load(context)
        async with opened(name, found, printer) as opened_app:
            if dry_run:
                opened_app.control.tenants.only_show()
            return await work(opened_app, printer)

    code = 0
    try:
        asyncio.run(_until_signal(work_on()))
    except ShownError as shown:
        printer.result(shown.change)
        printer.say(shown.change.diff if shown.change else "nothing to commit")
    except ControlError as error:
        code = error.exit_code
        printer.error(error, code)
    except (asyncio.CancelledError, KeyboardInterrupt):
        code = _INTERRUPTED
        printer.error(InterruptedError("interrupted: the same command goes on from here"), code)
    if code:
        raise typer.Exit(code)


async def _until_signal(work: Awaitable[Any]) -> Any:
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await task


def token_file(app: App, tenant_id: str) -> Path:
    """The file with a token of a tenant, where the issuer is ours.

    Raises:
        InvalidError: It is not.
        NotFoundError: The tenant does not live here.
    """
    tokens = app.context.routes.tokens
    if tokens is None:
        raise InvalidError(
            f"the issuer of {app.name} is not ours: its identity provider gives tokens"
        )
    path = tokens / f"token-{tenant_id}"
    if not path.exists():
        raise NotFoundError(f"there is no token of {tenant_id}: it does not live here")
    return path


def curl_lines(app: App, tenant_id: str) -> tuple[str, ...]:
    """A command that sends the tenant's first message; none where no token is ours."""
    routes = app.context.routes
    if routes.tokens is None or routes.url is None:
        return ()
    token = shlex.quote(str(routes.tokens / f"token-{tenant_id}"))
    body = '{"type":"hello","payload":{"hello":"world"}}'
    headers = f"-H @{token} -H 'tenantID: {tenant_id}' -H 'Content-Type: application/json'"
    return (f"curl -sS {headers} -d '{body}' {routes.url}/messages",)
