"""What tenants cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from tenantctl import cost
from tenantctl.app import App
from tenantctl.cli.common import ContextOption, Output, OutputOption, app, run_verb
from tenantctl.costsources import Period
from tenantctl.errors import InvalidError
from tenantctl.printing import Printer


@app.command("cost")
def cost_command(
    month: Annotated[
        str | None, typer.Option(metavar="YYYY-MM", help="Which month; this one, if not named.")
    ] = None,
    first: Annotated[
        str | None,
        typer.Option("--from", metavar="YYYY-MM-DD", help="The first day, instead of a month."),
    ] = None,
    last: Annotated[
        str | None,
        typer.Option("--to", metavar="YYYY-MM-DD", help="The last day; today, if not named."),
    ] = None,
    opencost: Annotated[
        str | None, typer.Option(metavar="URL", help="OpenCost: what pods cost.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(metavar="URL", help="Prometheus: calls, and shares of pools.")
    ] = None,
    context: ContextOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """What each tenant cost: pods, requests of SQS, DynamoDB; the rest by name."""

    async def work(app: App, printer: Printer) -> None:
        now = datetime.now(UTC)
        if first is None and last is None:
            period = period_of(month, now)
        elif month is None:
            period = days_of(first, last, now)
        else:
            raise InvalidError("--month, or --from and --to: not both")
        measured = await app.measure(period, opencost, prometheus)
        prices = cost.read_prices()
        lines = cost.lines_of(measured, prices)
        printer.result(
            {
                "start": period.start,
                "end": period.end,
                "prices": prices,
                "lines": [{**vars_of(line), "total": line.total} for line in lines],
                "missing": measured.missing,
                "estimated": cost.ESTIMATED,
            }
        )
        rows = [
            (line.name if line.is_tenant else f"({line.name})", *amounts(line)) for line in lines
        ]
        whole = cost.Line("all", is_tenant=False)
        for line in lines:
            whole = whole.plus(line)
        printer.table(
            ("tenant", "pods $", "SQS $", "DynamoDB $", "all $"),
            [*rows, (whole.name, *amounts(whole))],
        )
        printer.say(
            f"{period.start:%Y-%m-%d} to {period.end:%Y-%m-%d %H:%M} UTC; prices of SQS and "
            f"DynamoDB as of {prices.as_of}, from a table; in brackets what is nobody's"
        )
        for what in cost.ESTIMATED:
            printer.say(f"estimated: {what}")
        for what in measured.missing:
            printer.say(f"not known, and in no line: {what}")

    run_verb(context, output, work)


def period_of(month: str | None, now: datetime) -> Period:
    """A month, as far as it went by.

    Raises:
        InvalidError: It is none, or has not begun.
    """
    try:
        start = (
            datetime(now.year, now.month, 1, tzinfo=UTC)
            if month is None
            else datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
        )
    except ValueError:
        raise InvalidError(f"{month!r} is no month: as 2026-11") from None
    if start >= now:
        raise InvalidError(f"{month} has not begun")
    after = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return Period(start, min(after, now))


def days_of(first: str | None, last: str | None, now: datetime) -> Period:
    """From the begin of a day to the end of another, as far as it went by.

    Raises:
        InvalidError: One of them is no day, or they are the wrong way round, or to come.
    """
    if first is None:
        raise InvalidError("--to needs --from: the first day")
    start = _day(first)
    after = now if last is None else _day(last) + timedelta(days=1)
    if start >= now:
        raise InvalidError(f"{first} has not begun")
    if after <= start:
        raise InvalidError(f"{last} is before {first}")
    return Period(start, min(after, now))


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise InvalidError(f"{text!r} is no day: as 2026-11-01") from None


def amounts(line: cost.Line) -> tuple[str, ...]:
    """As people read them."""
    return tuple(f"{usd:.2f}" for usd in (line.pods, line.sqs, line.dynamodb, line.total))


def vars_of(line: cost.Line) -> dict[str, str | bool | float]:
    """As machines read them."""
    return {
        "name": line.name,
        "is_tenant": line.is_tenant,
        "pods": line.pods,
        "sqs": line.sqs,
        "dynamodb": line.dynamodb,
    }
