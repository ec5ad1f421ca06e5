"""The tables of what comes from outside, and how numbers are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tenantry_benchmarks.scale import quotas
from tenantry_benchmarks.scale.prices import MILLION, Price, all_prices
from tenantry_benchmarks.scale.quotas import Quota


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell for cell in line) + " |\n" for line in lines)


def most_of(quota: Quota) -> str:
    """What a quota can be raised to."""
    if not quota.can_be_raised:
        return "fixed"
    return "on request" if quota.most is None else f"{number(quota.most)} on request"


def number(value: float) -> str:
    """As a reader wants it."""
    if value == quotas.ETCD_BYTES.value:
        return "8 GiB"
    return f"{value:,g}" if value < MILLION else f"{value / 1e9:g} G"


def quotas_table() -> str:
    """Every quota with what it can be raised to; those of one source in one row."""
    by_source: dict[str, list[str]] = {}
    for quota in vars(quotas).values():
        if isinstance(quota, Quota):
            source = quota.source if quota.is_documented else f"*assumed*: {quota.source}"
            text = f"{number(quota.value)} {quota.of} ({most_of(quota)})"
            by_source.setdefault(source, []).append(text)
    return table(("quota", "source"), (["; ".join(texts), of] for of, texts in by_source.items()))


def prices_table() -> str:
    """Every price; those of one source in one row."""
    by_source: dict[str, list[str]] = {}
    for name, price in all_prices():
        source = price.source if price.is_documented else f"*assumed*: {price.source}"
        by_source.setdefault(source, []).append(f"{name.replace('_', ' ')}: {_dollars(price)}")
    return table(("$", "source"), (["; ".join(names), of] for of, names in by_source.items()))


def _dollars(price: Price) -> str:
    if price.unit.startswith("of "):
        return f"{price.dollars:g} {price.unit}"
    if price.dollars < 0.0001:  # noqa: PLR2004 - of these, a million is easier to read
        return f"{price.dollars * MILLION:g} / million {price.unit}s"
    return f"{price.dollars:g} / {price.unit}"
