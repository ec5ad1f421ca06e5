"""The fleet itself: its check, its facts, its history, and tokens for trying out."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from tenantctl import addons, facts, model
from tenantctl.app import App
from tenantctl.check import check
from tenantctl.cli.common import (
    ContextOption,
    Output,
    OutputOption,
    RequestOption,
    TenantArgument,
    app,
    run_verb,
    token_file,
)
from tenantctl.errors import ControlError, InvalidError, UnavailableError
from tenantctl.fleet import message
from tenantctl.gate import check_fleet
from tenantctl.gate.published import check_published
from tenantctl.printing import Printer
from tenantctl.snapshot import Snapshot


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

    run_verb(context, output, work)


@app.command("check-fleet")
def check_fleet_command(
    folder: Annotated[Path, typer.Argument(help="A clone of the fleet.")] = Path(),
    registry: Annotated[
        bool,
        typer.Option(
            "--registry", help="Ask the registry, too, whether releases are there, and signed."
        ),
    ] = False,
    output: OutputOption = Output.TEXT,
) -> None:
    """Whether a fleet may be merged: files, what Flux builds of them, and what that may be."""
    printer = Printer(as_json=output is Output.JSON)
    kubectl = shutil.which("kubectl")
    try:
        if kubectl is None:
            raise UnavailableError("kubectl is not installed here: its kustomize builds the fleet")
        found = check_fleet(folder, Path(kubectl))
        if registry:
            found += asyncio.run(check_published(folder))
        printer.result(found)
        for finding in found:
            printer.say(str(finding))
        if found:
            raise InvalidError(f"{len(found)} findings")
    except ControlError as error:
        printer.error(error, error.exit_code)
        raise typer.Exit(error.exit_code) from None
    printer.say("the fleet may be merged")


@app.command("facts")
def facts_command(
    file: Annotated[
        Path, typer.Argument(help="JSON or YAML: `terraform output -json`, or the facts alone.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff only.")] = False,
    pull_request: Annotated[
        bool, typer.Option("--pull-request", help="Propose it, where main takes no push.")
    ] = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Write the environment's facts into the fleet: for the chart, admission, and add-ons."""

    async def work(app: App, printer: Printer) -> None:
        if pull_request and dry_run:
            raise InvalidError("--pull-request proposes, and does not only show")
        environment = app.control.environment
        try:
            said = facts.load(str(file), file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidError(f"{file} cannot be read: {error}") from None
        told, cluster = facts.parse(str(file), said), addons.parse(str(file), said)
        for of in (told["environment"], environment if cluster is None else cluster.name):
            if of != environment:
                raise InvalidError(f"{file} is of {of}, and this context of {environment}")
        path = facts.facts_path(environment)
        filled_in = {} if cluster is None else addons.render(environment, cluster)

        def edit(snapshot: Snapshot) -> Mapping[str, bytes | None]:
            written = facts.render(told, snapshot.read(path), said.get("context"))
            return {path: written, **filled_in}

        subject = f"Facts of {environment}"
        text = message(subject, verb="facts", request_id=request_id)
        if pull_request:
            pull_requests = app.pull_requests()
            branch = f"tenantctl/{environment}-facts"
            change = await app.fleet.propose(edit, text, branch)
            if change is not None:
                where = await pull_requests.open(branch, subject)
                printer.result(change)
                printer.say(f"{path} is proposed: {where}")
                return
        else:
            change = await app.fleet.change(edit, text, dry_run=dry_run)
        printer.result(change)
        if dry_run:
            printer.say(change.diff if change else "nothing to change")
        else:
            printer.say(f"{path}: {change.commit if change else 'nothing to change'}")

    run_verb(context, output, work)


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

    run_verb(context, output, work)


@app.command("token")
def token_command(
    tenant_id: TenantArgument,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """A token for trying out, where the issuer is ours: on the laptop."""

    async def work(app: App, printer: Printer) -> None:
        path = token_file(app, model.parse_id(tenant_id))
        token = path.read_text().strip().removeprefix("Authorization: Bearer ")
        printer.result({"token": token})
        printer.say(token)

    run_verb(context, output, work)
