"""What is not as it should be; and what tables and dead letters hold that is nobody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from tenantctl.control import Control
from tenantctl.model import Instance
from tenantctl.tenants import Census
from tenantry import names
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not as it should be.

    Attributes:
        about: A tenant, a pool, a path, a queue or a table.
        kind: One word for each kind, for machines.
        detail: What is the case, and what a person can do, in words.
        can_fix: Whether `--fix` puts it right.
        fixed: Whether it did.
    """

    about: str
    kind: str
    detail: str
    can_fix: bool = False
    fixed: bool = False


async def contents(
    control: Control,
    census: Census,
    placements: Mapping[TenantId, Placement],
    tables: Collection[str],
) -> list[Difference]:
    """Items and dead letters of tenants that do not live where they are; of tables that are there.

    Every table is read in whole, and every pool's dead letters are looked through.

    Raises:
        UnavailableError: A table or a queue does not answer, or denies.
    """
    here = {name: one for name, one in placements.items() if one.status != "offboarded"}
    found: list[Difference] = []
    for owner in sorted({*census.pools, *census.tenants}):
        table = names.table_name(control.environment, owner)
        # A move copies to where only its tenant's file says that it goes.
        known: dict[str, int] = {
            name: one.shards
            for name, one in here.items()
            if table in (one.table_name, one.previous.table_name if one.previous else "")
            or (name in census.tenants and owner in _owners(census.tenants[name]))
        }
        if table not in tables or (not known and owner not in census.pools):
            continue  # gone, or of nobody: told as such
        foreign = await control.tables.foreign_items(table, known)
        found += [
            Difference(
                about=f"{table}: {partition}",
                kind="foreign-items",
                detail=f"{count} items of who does not live in this table: if it lives elsewhere "
                "a move left them, and its own table has them too; compare, then delete them here",
            )
            for partition, count in sorted(foreign.items())
        ]
    for pool in sorted(census.pools):
        found += await _letters(control, pool, here)
    return found


def _owners(instance: Instance) -> set[str]:
    """Whose tables an instance has something in, or will have."""
    return {home.owner(instance.id) for home in instance.homes}


async def _letters(
    control: Control, pool: str, here: Mapping[TenantId, Placement]
) -> list[Difference]:
    name = names.dead_letter_queue_name(control.environment, pool)
    url = await control.queues.url(name)
    if url is None:
        return []
    whose: Counter[str] = Counter()
    async with aclosing(control.queues.letters(url)) as letters:
        async for letter in letters:
            owner = letter.tenant_id
            if owner is None or TenantId(owner) not in here:
                whose[owner or "no tenant"] += 1
    return [
        Difference(
            about=f"{name}: {owner}",
            kind="foreign-letters",
            detail=f"{count} dead letters of who is not registered, whom `offboard` would have "
            "exported: save them if they are wanted; SQS deletes them 14 days after they came",
        )
        for owner, count in sorted(whose.items())
    ]
