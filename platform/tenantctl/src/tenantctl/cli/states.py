"""Copies of tenants' Terraform states."""

from __future__ import annotations

from typing import Annotated

import typer

from tenantctl import model, states
from tenantctl.app import App
from tenantctl.cli.common import ContextOption, Output, OutputOption, app, run_verb
from tenantctl.errors import UnavailableError
from tenantctl.printing import Printer

FromOption = Annotated[
    str | None,
    typer.Option("--from", help="Another folder, or s3://bucket/prefix, that holds copies."),
]
_app = typer.Typer(help="Copies of tenants' Terraform states.", no_args_is_help=True)
app.add_typer(_app, name="states")


@_app.command("copy")
def copy_command(context: ContextOption = None, output: OutputOption = Output.TEXT) -> None:
    """Copy the states that changed since they were copied."""

    async def work(app: App, printer: Printer) -> None:
        secrets, place = await app.states()
        done = await states.copy(secrets, place)
        printer.result(done)
        printer.say(f"{len(done.written)} copied to {place}, {done.same} were the same")
        for name in done.anew:
            printer.say(f"{name}: another state than its copy was; an older version has that")
        for name in done.kept:
            printer.say(f"{name}: empty, and another state than its copy, which was left")
        for name, why in done.failed.items():
            printer.say(f"{name}: {why}")
        if done.failed:
            raise UnavailableError(f"{len(done.failed)} states have no copy of now")

    run_verb(context, output, work)


@_app.command("list")
def list_command(
    instance: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A tenant's or a pool's: each version.")
    ] = None,
    place: FromOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """The latest copy of each state, or every version of one."""

    async def work(app: App, printer: Printer) -> None:
        name = None if instance is None else _parse(instance)
        found = await states.versions(await app.state_versions(place), name)
        printer.result(found)
        for (
            each
        ) in found:  # no table: it would cut a version's name short, which is copied by hand
            printer.say(f"{each.copied_at}  {each.version}  {each.state}")

    run_verb(context, output, work)


@_app.command("restore")
def restore_command(
    instance: Annotated[str, typer.Argument(metavar="ID", help="A tenant's or a pool's.")],
    place: FromOption = None,
    version: Annotated[
        str | None, typer.Option("--version", help="An older copy, as `states list ID` names it.")
    ] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Where the cluster has a state, too.")
    ] = False,
    older: Annotated[
        bool, typer.Option("--older", help="Even where the cluster's is newer than the copy.")
    ] = False,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put the copy of a state back, while nobody runs Terraform for it."""

    async def work(app: App, printer: Printer) -> None:
        name = _parse(instance)
        secrets, latest = await app.states(place)
        where: states.Copies = latest
        if version is not None:
            where = (await app.state_versions(place)).at(version)
        done = await states.restore(secrets, where, name, replace=replace, older=older)
        printer.result(done)
        if not done.changed:
            printer.say(f"{name}: the cluster has this state already, serial {done.serial}")
            return
        printer.say(f"{name}: state of serial {done.serial} is back. Let Flux go on:")
        printer.say(f"  flux resume helmrelease {name} -n tenants")

    run_verb(context, output, work)


def _parse(instance: str) -> str:
    is_pool = instance.startswith("pool-")
    return model.parse_pool(instance) if is_pool else model.parse_id(instance)
