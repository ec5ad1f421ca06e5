"""A tenant comes, moves, rests and goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from tenantctl import model
from tenantctl.app import App
from tenantctl.cli.common import (
    ContextOption,
    DryRunOption,
    Output,
    OutputOption,
    RequestOption,
    Ring,
    TenantArgument,
    Tier,
    app,
    curl_lines,
    run_verb,
)
from tenantctl.errors import InvalidError
from tenantctl.printing import Printer
from tenantctl.verbs.beginning import Move
from tenantctl.verbs.move import move
from tenantctl.verbs.offboard import Offboarding, offboard
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.suspend import resume, suspend
from tenantry.registry import JITTER, TTL_SECONDS, Placement

#: How long a service may go on with the placement that it has, in seconds.
_KNOWN_SECONDS = TTL_SECONDS * (1 + JITTER)


@app.command("onboard")
def onboard_command(
    tenant_id: TenantArgument,
    tier: Annotated[Tier, typer.Option(help="What it gets of its own.")],
    pool: Annotated[str | None, typer.Option(help="Where there is room, if not named.")] = None,
    ring: Annotated[Ring | None, typer.Option(help="Which releases it gets first.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until it can be sent to.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff only.")] = False,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Propose its file; after the merge use --wait.")
    ] = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring a tenant in: place it, commit its file, and wait until it is there and registered."""

    async def work(app: App, printer: Printer) -> None:
        if pull_request and (wait or dry_run):
            raise InvalidError("--pull-request proposes, and neither waits nor only shows")
        done = await onboard(
            app.control,
            Onboarding(
                tenant_id=model.parse_id(tenant_id),
                tier=tier.value,
                pool=None if pool is None else model.parse_pool(pool),
                ring=None if ring is None else ring.value,
                request_id=request_id,
            ),
            wait=wait,
            dry_run=dry_run,
            propose=pull_request,
        )
        if done.placement is not None and done.placement.status == "active":
            await app.smoke.test(app.control, tenant_id)
        printer.result(done)
        if dry_run:
            printer.say(done.change.diff if done.change else "nothing to change")
            return
        home = done.instance.home
        if done.pull_request is not None:
            printer.say(f"{tenant_id} is proposed, {home}: {done.pull_request}")
        elif done.change is None and not done.is_new:
            printer.say(f"{tenant_id} is here already, {home}: nothing was changed")
        elif done.placement is None:
            printer.say(f"{tenant_id} is committed, {home}; the same with --wait registers it")
        else:
            printer.say(f"{tenant_id} is here, {home}")
        if done.placement is not None:
            for line in curl_lines(app, tenant_id):
                printer.say(line)

    run_verb(context, output, work)


@app.command("offboard")
def offboard_command(
    tenant_id: TenantArgument,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="End after the export; nothing is removed.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="As always: it waits.", hidden=True)] = True,
    export_to: Annotated[
        str | None, typer.Option(help="A folder or s3://bucket/prefix; the context's, if not set.")
    ] = None,
    dry_run: DryRunOption = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Let a tenant go: refuse it, drain, export, remove everything, and keep its id back."""
    del wait

    async def work(app: App, printer: Printer) -> None:
        model.parse_id(tenant_id)
        place = await app.export_place(tenant_id, export_to)
        done = await offboard(
            app.control,
            Offboarding(tenant_id=tenant_id, keep_data=keep_data, request_id=request_id),
            place,
        )
        printer.result(done)
        if done.was_gone:
            printer.say(f"{tenant_id} left before: nothing was to do")
            return
        if done.export is not None:
            printer.say(
                f"{done.export.items} items and {done.export.dead_letters} dead letters are in "
                f"{done.exported_to}"
            )
        printer.say(
            f"{tenant_id} is shut out, and its data is kept: the same without --keep-data ends it"
            if keep_data
            else f"{tenant_id} is gone"
        )

    run_verb(context, output, work, dry_run=dry_run)


@app.command("move")
def move_command(
    tenant_id: TenantArgument,
    tier: Annotated[Tier | None, typer.Option(help="Where to; the same if not named.")] = None,
    pool: Annotated[str | None, typer.Option(help="Where there is room, if not named.")] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Take back the move that is on its way.")
    ] = False,
    dry_run: DryRunOption = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring a tenant to another tier or pool under traffic; or end a move that was begun."""

    async def work(app: App, printer: Printer) -> None:
        if rollback and (tier or pool):
            raise InvalidError("--rollback goes back to where it was: leave --tier and --pool out")
        done = await move(
            app.control,
            Move(
                tenant_id=model.parse_id(tenant_id),
                tier=None if tier is None else tier.value,
                pool=None if pool is None else model.parse_pool(pool),
                rollback=rollback,
                request_id=request_id,
            ),
        )
        printer.result(done)
        home = done.instance.home
        printer.say(
            f"{tenant_id} is now {home}" if done.changed else f"{tenant_id} is {home} already"
        )

    run_verb(context, output, work, dry_run=dry_run)


@app.command("suspend")
def suspend_command(
    tenant_id: TenantArgument,
    dry_run: DryRunOption = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Refuse a tenant's requests; what was accepted is stored."""
    _change_status(suspend, tenant_id, request_id, context, output, dry_run=dry_run)


@app.command("resume")
def resume_command(
    tenant_id: TenantArgument,
    dry_run: DryRunOption = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve a suspended tenant again."""
    _change_status(resume, tenant_id, request_id, context, output, dry_run=dry_run)


def _change_status(
    verb: Callable[..., Awaitable[Placement]],
    tenant_id: str,
    request_id: str | None,
    context: str | None,
    output: Output,
    *,
    dry_run: bool,
) -> None:
    async def work(app: App, printer: Printer) -> None:
        name = model.parse_id(tenant_id)
        before = await app.control.placement(name)
        placement = await verb(app.control, name, request_id=request_id)
        printer.result(placement)
        if before == placement:
            printer.say(f"{name} is {placement.status} already: nothing was changed")
        else:
            printer.say(
                f"{name} is {placement.status}: services know it within {_KNOWN_SECONDS:.0f} s"
            )

    run_verb(context, output, work, dry_run=dry_run)
