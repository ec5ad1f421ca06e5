"""Releases, ring by ring."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from tenantctl import model
from tenantctl.app import App
from tenantctl.cli.common import (
    ContextOption,
    Output,
    OutputOption,
    RequestOption,
    app,
    run_verb,
)
from tenantctl.handling import deploy_in, follow_in
from tenantctl.printing import Printer
from tenantctl.releases import TRAINS, Release
from tenantctl.verbs import follow
from tenantctl.verbs.deploy import DEAD_LETTERS, SOAK_SECONDS, Deployment

Train = Enum("Train", {train: train for train in TRAINS}, type=str)  # type: ignore[misc]


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
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="One that had given up before counts, too; else it is left out."
        ),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the diff only.")] = False,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring a release to a tier ring by ring; a ring that is not well gets back what it had."""

    async def work(app: App, printer: Printer) -> None:
        deployment = Deployment(
            train=tier.value,
            release=Release.parse(release),
            rings=tuple(
                model.one_of(ring, model.RINGS, "ring") for ring in rings.split(",") if ring
            ),
            soak_seconds=soak,
            strict=strict,
            dead_letters=dead_letters,
            request_id=request_id,
        )
        done = await deploy_in(app, deployment, dry_run=dry_run)
        printer.result(done)
        if dry_run:
            printer.say(done.diff or "nothing to change")
            return
        for ring, count in done.instances.items():
            new = ", committed now" if ring in done.commits else ""
            told = f"{tier.value} {ring}: {count} run {done.release.version}{new}"
            printer.say(told + _after(done.running_after.get(ring)))

    run_verb(context, output, work)


@app.command("follow")
def follow_command(
    soak: Annotated[
        float, typer.Option(min=0, help="Seconds that a ring is watched before the next one.")
    ] = follow.SOAK_SECONDS,
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Bring what was published last to every tier, where an environment follows main."""

    async def work(app: App, printer: Printer) -> None:
        done = await follow_in(app, soak_seconds=soak, request_id=request_id)
        printer.result(done)
        if done.candidate.chart is None:
            printer.say("no chart was published yet")
        elif done.taken_back:
            printer.say(
                f"{done.candidate.chart.version} was taken back from {done.taken_back}: the next "
                "version is waited for. To try it again, deploy it there by hand"
            )
        for train, deployed in done.deployed.items():
            count = sum(deployed.instances.values())
            last = max(deployed.running_after.values(), default=None)
            printer.say(f"{train}: {count} run {deployed.release.version}{_after(last)}")
        for commit in done.module_commits:
            printer.say(f"the module: {commit}")

    run_verb(context, output, work)


def _after(seconds: float | None) -> str:
    return "" if seconds is None else f", {seconds / 60:.1f} min after its commit"
