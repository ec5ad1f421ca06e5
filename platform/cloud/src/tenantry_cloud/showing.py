"""What `make environment DRY_RUN=1` says: what would be made, by its part, and what it costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from tenantry_cloud import costing
from tenantry_cloud.model import Environment
from tenantry_cloud.offline import Resource

_PARTS = ("network", "cluster", "identity", "environment")


def report(said: Environment, resources: Sequence[Resource]) -> str:
    """All of it, for a person."""
    return "\n".join([*_made(said, resources), "", *_costs(said, resources), ""])


def _made(said: Environment, resources: Sequence[Resource]) -> Iterator[str]:
    yield f"{said.environment} in {said.region}: {len(resources)} resources, none of them made now"
    by_part = sorted(resources, key=lambda one: (_rank(one.part), one.part))
    for part, group in groupby(by_part, key=lambda one: one.part):
        kinds = Counter(one.kind.removeprefix("aws_").replace("_", " ") for one in group)
        yield f"\n{part} ({kinds.total()})"
        yield from (f"  {count:4}  {kind}" for kind, count in sorted(kinds.items()))
    enabled = sorted(name for name, addon in said.addons.items() if addon.enabled)
    yield f"\nby Flux, and EKS ({len(enabled)} add-ons)"
    yield f"        {', '.join(enabled)}"


def _rank(part: str) -> int:
    return _PARTS.index(part) if part in _PARTS else len(_PARTS)


def _costs(said: Environment, resources: Sequence[Resource]) -> Iterator[str]:
    table = costing.prices()
    bill = list(costing.lines(said, resources))
    yield f"US dollars a month, by list prices of {table.region}, {table.as_of}"
    for heading, assumed in (("stands there", False), ("is used, as assumed", True)):
        part = [line for line in bill if line.is_assumed is assumed]
        yield f"  {heading}"
        yield from (_line(line) for line in part)
        yield f"  {costing.total(part):10,.2f}"
    ours = costing.total(bill)
    limit = said.limits.monthly_usd
    verdict = "within" if ours <= limit else "ABOVE"
    yield f"  {ours:10,.2f}  {said.environment}, {verdict} limits.monthly_usd ({limit:,.0f})"
    name, own, shared = costing.reference()
    yield (
        f"  {costing.total(own):10,.2f}  the reference ({name}) by the same table, from what it "
        "makes"
    )
    yield (
        f"  {costing.total(shared):10,.2f}  and its Git server, which here is in root `shared`, "
        "once an account, not counted above"
    )
    if said.region != table.region:
        yield f"  Prices are those of {table.region}, not of {said.region}."
    yield f"  {table.source}"


def _line(line: costing.Line) -> str:
    count = f"{line.count:,.2f}".rstrip("0").rstrip(".")
    return f"    {line.usd:8,.2f}  {count:>6} × {line.what}"
