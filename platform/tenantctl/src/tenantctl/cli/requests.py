"""Requests of the control queues, as workflows run them."""

from __future__ import annotations

from pathlib import Path
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
from tenantctl.errors import InvalidError
from tenantctl.events import SOURCES, VERBS, parse_event
from tenantctl.handling import UNTILS, handle, read_event
from tenantctl.outcomes import Outcome
from tenantctl.printing import Printer

EventArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The request, as JSON.")]
Base64Option = Annotated[bool, typer.Option("--base64", help="The file is base64 of it.")]
SourceOption = Annotated[str, typer.Option(help=f"The queue: {', '.join(SOURCES)}.")]
VerbOption = Annotated[
    str | None, typer.Option("--verb", help="What it has to ask for, and nothing else.")
]


@app.command("handle")
def handle_command(
    file: EventArgument,
    is_base64: Base64Option = False,
    verb: VerbOption = None,
    source: SourceOption = SOURCES[0],
    until: Annotated[str, typer.Option(help="commit: the rest is done later; or end.")] = "end",
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Do what a request of the control queues asks for: what workflows run."""

    async def work(app: App, printer: Printer) -> None:
        event = parse_event(
            read_event(file, is_base64=is_base64),
            source=model.one_of(source, SOURCES, "queue"),
            request_id=request_id,
        )
        if verb is not None and event.verb != verb:
            raise InvalidError(f"verb: the request asks for {event.verb}, and not for {verb}")
        step = model.one_of(until, UNTILS, "step")
        printer.result(await handle(app, event, until=step))
        printer.say(f"{event.verb}: done")

    run_verb(context, output, work)


@app.command("outcome")
def outcome_command(
    file: EventArgument,
    status: Annotated[str, typer.Option(help="How its workflow ended: Succeeded, or another.")],
    is_base64: Base64Option = False,
    verb: VerbOption = None,
    source: SourceOption = SOURCES[0],
    request_id: RequestOption = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Tell the environment's bus what came of a request: ...Success or ...Failure."""

    async def work(app: App, printer: Printer) -> None:
        known = verb if verb in VERBS else None
        tenant_id = None
        try:
            event = parse_event(
                read_event(file, is_base64=is_base64),
                source=model.one_of(source, SOURCES, "queue"),
                request_id=request_id,
            )
            tenant_id = getattr(event, "tenant_id", None)
        except InvalidError as error:
            printer.say(f"the request was not understood: {error}")
        outcome = Outcome(
            verb=None if known is None else model.one_of(known, VERBS, "verb"),
            succeeded=status == "Succeeded",
            request_id=request_id or "none",
            environment=app.control.environment,
            tenant_id=tenant_id,
        )
        told = await app.tell(outcome)
        printer.result({"event": outcome.detail_type, "told": told, **outcome.detail})
        printer.say(f"{outcome.detail_type}{'' if told else ': no bus is told'}")

    run_verb(context, output, work)
