"""`tenantctl`: the verbs as commands. What each does is under `tenantctl.verbs`."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tenantctl import facts, model
from tenantctl.app import App, opened
from tenantctl.check import check
from tenantctl.contexts import load
from tenantctl.errors import ControlError, DriftError, InvalidError, NotFoundError
from tenantctl.fleet import message
from tenantctl.ociregistry import opened_releases
from tenantctl.printing import Printer
from tenantctl.releases import TRAINS, Release, RingFiles
from tenantctl.verbs.deploy import DEAD_LETTERS, SOAK_SECONDS, Deployment, deploy
from tenantctl.verbs.letters import look, redrive
from tenantctl.verbs.move import Move, move
from tenantctl.verbs.offboard import Offboarding, offboard
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.reconcile import reconcile
from tenantctl.verbs.suspend import resume, suspend
from tenantctl.view import Standing, everybody, rooms, standing

_INTERRUPTED: Final = 130
_BUG: Final = 1

Tier = Enum("Tier", {tier: tier for tier in model.TIERS}, type=str)  # type: ignore[misc]
Train = Enum("Train", {train: train for train in TRAINS}, type=str)  # type: ignore[misc]
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
RequestOption = Annotated[
    str | None, typer.Option("--request-id", help="Put into the commits, to find them by.")
]


def _run(
    context: str | None, output: Output, work: Callable[[App, Printer], Awaitable[Any]]
) -> None:
    """Do one verb in one environment; errors are a line and a status."""
    printer = Printer(as_json=output is Output.JSON)

    async def run() -> Any:
        name, found = load(context)
        async with opened(name, found, printer) as opened_app:
            return await work(opened_app, printer)

    code = 0
    try:
        asyncio.run(_until_signal(run()))
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

    _run(context, output, work)


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
                f"{place}"
            )
        printer.say(
            f"{tenant_id} is shut out, and its data is kept: the same without --keep-data ends it"
            if keep_data
            else f"{tenant_id} is gone"
        )

    _run(context, output, work)


@app.command("move")
def move_command(
    tenant_id: TenantArgument,
    tier: Annotated[Tier | None, typer.Option(help="Where to; the same if not named.")] = None,
    pool: Annotated[str | None, typer.Option(help="Where there is room, if not named.")] = None,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Take back the move that is on its way.")
    ] = False,
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

    _run(context, output, work)


@app.command("suspend")
def suspend_command(
    tenant_id: TenantArgument,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Refuse a tenant's requests; what was accepted is stored."""

    async def work(app: App, printer: Printer) -> None:
        placement = await suspend(app.control, model.parse_id(tenant_id), request_id=request_id)
        printer.result(placement)
        printer.say(f"{tenant_id} is suspended: services know it within 36 s")

    _run(context, output, work)


@app.command("resume")
def resume_command(
    tenant_id: TenantArgument,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Serve a suspended tenant again."""

    async def work(app: App, printer: Printer) -> None:
        placement = await resume(app.control, model.parse_id(tenant_id), request_id=request_id)
        printer.result(placement)
        printer.say(f"{tenant_id} is active: services know it within 36 s")

    _run(context, output, work)


@app.command("list")
def list_command(context: ContextOption = None, output: OutputOption = Output.TEXT) -> None:
    """Every tenant, and what it waits for."""

    async def work(app: App, printer: Printer) -> None:
        found = await everybody(app.control)
        printer.result(found)
        printer.table(
            ("TENANT", "PLACE", "RING", "STATUS", "WAITS FOR"), (_row(one) for one in found)
        )

    _run(context, output, work)


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

    _run(context, output, work)


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

    _run(context, output, work)


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

    _run(context, output, work)


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

    _run(context, output, work)


@app.command("redrive")
def redrive_command(
    tenant_id: TenantArgument,
    only: Annotated[
        list[str] | None, typer.Option("--message", help="This one only; may stand again.")
    ] = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Move dead letters back, to wherever the tenant lives now."""

    async def work(app: App, printer: Printer) -> None:
        done = await redrive(app.control, model.parse_id(tenant_id), only=only or None)
        printer.result(done)
        printer.say(f"{done.forwarded} moved back, {done.kept} left")

    _run(context, output, work)


@app.command("reconcile")
def reconcile_command(
    fix: Annotated[bool, typer.Option("--fix", help="Put right what is safe.")] = False,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Compare registry, Git, cluster and cloud; status 9 where they differ."""

    async def work(app: App, printer: Printer) -> None:
        found = await reconcile(app.control, fix=fix)
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

    _run(context, output, work)


@app.command("deploy")
def deploy_command(
    tier: Annotated[Train, typer.Option(help="Whose chart: a tier's, or that of the pools.")],
    release: Annotated[str, typer.Option(metavar="VERSION@sha256:DIGEST", help="Which chart.")],
    rings: Annotated[str, typer.Option(help="Which rings, in order.")] = ",".join(model.RINGS),
    soak: Annotated[
        float, typer.Option(min=0, help="Seconds that a ring is watched before the next one.")
    ] = SOAK_SECONDS,
    dead_letters: Annotated[
        int, typer.Option(min=0, help="By how many a dead-letter queue may grow meanwhile.")
    ] = DEAD_LETTERS,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff only.")] = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring a release to a tier ring by ring; a ring that is not well gets back what it had."""

    async def work(app: App, printer: Printer) -> None:
        charts = app.context.charts
        if charts is None:
            raise InvalidError(f"the context {app.name} does not say where charts are: [charts]")
        deployment = Deployment(
            train=tier.value,
            release=Release.parse(release),
            rings=tuple(
                model.one_of(ring, model.RINGS, "ring") for ring in rings.split(",") if ring
            ),
            soak_seconds=soak,
            dead_letters=dead_letters,
            request_id=request_id,
        )
        region = app.context.aws.region if charts.is_ecr else None
        async with opened_releases(charts.registry, charts.repository, region=region) as known:
            files = RingFiles(app.fleet, app.control.environment)
            done = await deploy(app.control, files, known, deployment, dry_run=dry_run)
        printer.result(done)
        if dry_run:
            printer.say(done.diff or "nothing to change")
            return
        for ring, count in done.instances.items():
            new = ", committed now" if ring in done.commits else ""
            printer.say(f"{tier.value} {ring}: {count} run {done.release.version}{new}")

    _run(context, output, work)


@app.command("check")
def check_command(context: ContextOption = None, output: OutputOption = Output.TEXT) -> None:
    """Whether every file of the fleet's tenants is valid."""

    async def work(app: App, printer: Printer) -> None:
        found = check(await app.fleet.snapshot(), app.control.environment, app.control.bounds)
        printer.result(found)
        for finding in found:
            printer.say(str(finding))
        if found:
            raise InvalidError(f"{len(found)} findings")
        printer.say("every file is valid")

    _run(context, output, work)


@app.command("facts")
def facts_command(
    file: Annotated[
        Path, typer.Argument(help="JSON or YAML: `terraform output -json`, or the facts alone.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff only.")] = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the environment's facts into the fleet, for the chart, admission and Flux."""

    async def work(app: App, printer: Printer) -> None:
        environment = app.control.environment
        try:
            told = facts.parse(str(file), file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"{file} cannot be read: {error}") from None
        if told["environment"] != environment:
            raise InvalidError(
                f"{file} is of {told['environment']}, and this context of {environment}"
            )
        path = facts.facts_path(environment)
        change = await app.fleet.change(
            lambda snapshot: {path: facts.render(told, snapshot.read(path))},
            message(f"Facts of {environment}", verb="facts", request_id=request_id),
            dry_run=dry_run,
        )
        printer.result(change)
        if dry_run:
            printer.say(change.diff if change else "nothing to change")
        else:
            printer.say(f"{path}: {change.commit if change else 'nothing to change'}")

    _run(context, output, work)


@app.command("accept-rewrite")
def accept_rewrite_command(
    commit: Annotated[str, typer.Argument(help="What main ends with now.")],
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Go on with a fleet whose history lost commits that this machine had seen."""

    async def work(app: App, printer: Printer) -> None:
        snapshot = await app.fleet.accept_rewrite(commit)
        printer.result({"commit": snapshot.commit})
        printer.say(f"going on from {snapshot.commit}; what was lost is in refs/tenantry/lost")

    _run(context, output, work)


@app.command("token")
def token_command(
    tenant_id: TenantArgument,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """A token for trying out, where the issuer is ours: on the laptop."""

    async def work(app: App, printer: Printer) -> None:
        path = _token_file(app, model.parse_id(tenant_id))
        token = path.read_text().strip().removeprefix("Authorization: Bearer ")
        printer.result({"token": token})
        printer.say(token)

    _run(context, output, work)


def _token_file(app: App, tenant_id: str) -> Any:
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


def main() -> None:
    """Run one command."""
    # A pipe that is closed early, `tenantctl list | head`, is nobody's error.
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BUG)
