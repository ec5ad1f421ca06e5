"""How tenants stand, their dead letters, and what differs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from tenantctl import model
from tenantctl.app import App
from tenantctl.cli.common import (
    ContextOption,
    DryRunOption,
    Output,
    OutputOption,
    TenantArgument,
    app,
    run_verb,
)
from tenantctl.errors import DriftError
from tenantctl.printing import Printer
from tenantctl.verbs.letters import look, redrive
from tenantctl.verbs.reconcile import PATIENCE_SECONDS, reconcile
from tenantctl.view import Standing, everybody, rooms, standing

#: More letters than a dead-letter queue can be looked through for.
_ALL = 1_000_000


@app.command("list")
def list_command(context: ContextOption = None, output: OutputOption = Output.TEXT) -> None:
    """Every tenant, and what it waits for."""

    async def work(app: App, printer: Printer) -> None:
        found = await everybody(app.control)
        printer.result(found)
        printer.table(
            ("TENANT", "PLACE", "RING", "STATUS", "WAITS FOR"), (_row(one) for one in found)
        )

    run_verb(context, output, work)


def _row(one: Standing) -> tuple[str, ...]:
    wanted, placement = one.wanted, one.placement
    return (
        one.tenant_id,
        "-" if wanted is None else str(wanted.lives_in),
        "-" if wanted is None else wanted.ring,
        "-" if placement is None else placement.status,
        one.waiting_for or "-",
    )


@app.command("status")
def status_command(
    tenant_id: TenantArgument,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Again and again until nothing is waited for.")
    ] = False,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """How a tenant stands: Git, cluster, registry and AWS side by side."""

    async def work(app: App, printer: Printer) -> None:
        model.parse_id(tenant_id)
        while True:
            found = await standing(app.control, tenant_id)
            if not watch or not found.waiting_for:
                break
            printer.waiting(found.waiting_for)
            await asyncio.sleep(app.control.timing.poll)
        printer.result(found)
        for name, value in describe(found):
            printer.say(f"{name:13} {value}")

    run_verb(context, output, work)


@app.command("describe")
def describe_command(
    tenant_id: TenantArgument,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """A tenant in whole: how it stands, its file and its last commits."""

    async def work(app: App, printer: Printer) -> None:
        model.parse_id(tenant_id)
        found = await standing(app.control, tenant_id)
        path = app.control.tenants.path_of_tenant(tenant_id)
        snapshot = await app.fleet.snapshot()
        text = (snapshot.read(path) or b"").decode()
        commits = await app.fleet.log(path)
        printer.result({"standing": found, "path": path, "file": text, "commits": commits})
        for name, value in describe(found):
            printer.say(f"{name:13} {value}")
        printer.say(f"\n{path}")
        printer.say(text)
        for entry in commits:
            printer.say(f"{entry.commit[:10]}  {entry.time:%Y-%m-%d %H:%M}  {entry.subject}")

    run_verb(context, output, work)


def describe(one: Standing) -> tuple[tuple[str, str], ...]:
    """A standing as lines of name and value."""
    wanted, applied, placement = one.wanted, one.applied, one.placement
    lines = [("tenant", one.tenant_id)]
    if wanted is None:
        lines.append(("file", "none"))
    else:
        lines += [("place", str(wanted.lives_in)), ("ring", wanted.ring)]
        if wanted.transition is not None:
            lines.append(
                (
                    "moving",
                    f"{wanted.transition.origin} → {wanted.home}, {wanted.transition.phase}",
                )
            )
        if wanted.more:
            lines.append(("overrides", ", ".join(sorted(wanted.more))))
    lines.append(
        ("cluster", "ready" if applied.is_ready else applied.detail or "knows nothing of it")
    )
    if placement is None:
        lines.append(("registry", "knows nothing of it"))
    else:
        lines += [
            ("registry", f"{placement.status}, generation {placement.generation}"),
            ("queue", placement.queue_url),
            ("table", placement.table_name),
        ]
    for name, depth in (("waiting", one.queue), ("dead letters", one.dead_letters)):
        if depth is not None:
            lines.append((name, f"{depth.visible}, and {depth.in_flight} in flight"))
    lines.append(("waits for", one.waiting_for or "nothing"))
    return tuple(lines)


@app.command("pools")
def pools_command(context: ContextOption = None, output: OutputOption = Output.TEXT) -> None:
    """Pools, and the room in them."""

    async def work(app: App, printer: Printer) -> None:
        found = rooms(await app.control.tenants.census())
        bounds = app.control.bounds
        printer.result(found)
        printer.table(
            ("POOL", "BASIC", "ADVANCED"),
            (
                (
                    room.pool,
                    f"{room.basic} of {bounds.basic_a_pool}",
                    f"{room.advanced} of {bounds.advanced_a_pool}",
                )
                for room in found
            ),
        )

    run_verb(context, output, work)


@app.command("dead-letters")
def dead_letters_command(
    tenant_id: TenantArgument,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    payloads: Annotated[
        bool, typer.Option("--payloads", help="With their bodies, which are the customer's data.")
    ] = False,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Look at what was given up on; it stays where it is."""

    async def work(app: App, printer: Printer) -> None:
        found = await look(app.control, model.parse_id(tenant_id), limit=limit, payloads=payloads)
        printer.result(found)
        printer.table(
            ("MESSAGE", "TYPE", "RECEIVED", "BYTES", "WHAT IS WRONG"),
            (
                (
                    letter.message_id or letter.sqs_id,
                    letter.type or "-",
                    str(letter.receive_count),
                    str(letter.size),
                    letter.problem or "-",
                )
                for letter in found
            ),
        )
        if not found:
            printer.say(f"{tenant_id} has no dead letters")

    run_verb(context, output, work)


@app.command("redrive")
def redrive_command(
    tenant_id: TenantArgument,
    only: Annotated[
        list[str] | None, typer.Option("--message", help="This one only; may stand again.")
    ] = None,
    dry_run: DryRunOption = False,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Move dead letters back, to wherever the tenant lives now."""

    async def work(app: App, printer: Printer) -> None:
        name = model.parse_id(tenant_id)
        if dry_run:
            found = [
                letter
                for letter in await look(app.control, name, limit=_ALL)
                if not only or {letter.message_id, letter.sqs_id} & set(only)
            ]
            printer.result(found)
            printer.say(f"{len(found)} would be moved back")
            return
        done = await redrive(app.control, name, only=only or None)
        printer.result(done)
        printer.say(f"{done.forwarded} moved back, {done.kept} left")

    run_verb(context, output, work)


@app.command("reconcile")
def reconcile_command(
    fix: Annotated[bool, typer.Option("--fix", help="Put right what is safe.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read tables and dead letters for what is nobody's.")
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds that a step of a move or an offboarding may take.")
    ] = PATIENCE_SECONDS,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare registry, Git, cluster and cloud; status 9 where they differ."""

    async def work(app: App, printer: Printer) -> None:
        found = await reconcile(app.control, fix=fix, deep=deep, patience=patience)
        printer.result(found)
        printer.table(
            ("ABOUT", "KIND", "WHAT", "FIX"),
            (
                (
                    one.about,
                    one.kind,
                    one.detail,
                    "done" if one.fixed else "--fix" if one.can_fix else "by hand",
                )
                for one in found
            ),
        )
        left = sum(not one.fixed for one in found)
        if left:
            raise DriftError(f"{left} differences")
        printer.say("registry, Git, cluster and cloud agree")

    run_verb(context, output, work)
