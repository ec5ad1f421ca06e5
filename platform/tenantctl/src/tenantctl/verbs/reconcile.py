"""Whether registry, Git, cluster and cloud say the same, and what may be put right by itself.

Git is what is wanted. What is put right is what a verb would have done next if it had not been
interrupted, and what changes no data: registering who is there, and a status. A tenant whose place
differs, an orphan with data, a file that went: a person decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from tenantctl.control import Control
from tenantctl.errors import RefusedError, UnfinishedError
from tenantctl.model import Home, Instance
from tenantctl.ports import Applied
from tenantctl.tenants import Census
from tenantctl.verbs.differences import Difference, contents
from tenantctl.verbs.placements import register
from tenantctl.view import expected_status
from tenantry import names
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId

#: How long a move or an offboarding may take for one step, in seconds, before it counts as one
#: that stands still.
PATIENCE_SECONDS: Final = 7_200.0
#: Looks at a file that changes while its tenant's placement is put right.
_TRIES: Final = 3


async def reconcile(
    control: Control,
    *,
    fix: bool = False,
    deep: bool = False,
    patience: float = PATIENCE_SECONDS,
) -> tuple[Difference, ...]:
    """Every difference, those that were put right marked.

    Args:
        control: The environment.
        fix: Put right what is safe.
        deep: Read every table and look through pools' dead letters for what is nobody's.
        patience: How long a move or an offboarding may have been at the same step, in seconds:
            until then it is on its way, and no difference.

    Raises:
        GitError, UnavailableError, RegistryUnavailableError: Somebody could not be asked, so that
            nothing can be said.
    """
    # The registry first: who changes a status commits it before, so what is read of Git after
    # this is no older, and a fix that is conditional on this cannot undo it.
    scanned = await control.registry.scan()
    census, applied, strays, cloud = await asyncio.gather(
        control.tenants.census(),
        control.cluster.instances(),
        control.cluster.strays(),
        _cloud(control),
    )
    placements = scanned.placements
    found = [
        Difference(about=about, kind="unreadable", detail=why)
        for about, why in sorted((*census.unreadable.items(), *scanned.unreadable.items()))
    ]
    broken = {path.rpartition("/")[2].removesuffix(".yaml") for path in census.unreadable}
    for name in sorted({*census.tenants, *placements} - scanned.unreadable.keys() - broken):
        difference = _of_tenant(
            census.tenants.get(name),
            applied.get(name, Applied()),
            placements.get(TenantId(name)),
            now=control.clock(),
        )
        placement = placements.get(TenantId(name))
        if fix and difference is not None and difference.can_fix:
            difference = await _fix(control, name, applied.get(name, Applied()), placement)
        if difference is not None and difference.kind in {"moving", "leaving"}:
            difference = await _still(control, difference, placement, patience)
        if difference is not None:
            found.append(difference)
    found += _of_pools(census, applied)
    present = {name for name, one in placements.items() if one.status != "offboarded"}
    known = {*census.tenants, *census.pools, *present, *broken, *scanned.unreadable}
    found += await _of_strays(control, strays, placements, known | applied.keys())
    found += _of_cloud(control, census, applied, {*present, *broken}, cloud)
    if deep:
        found += await contents(control, census, placements, cloud.tables)
    return tuple(found)


async def _still(
    control: Control, difference: Difference, placement: Placement | None, patience: float
) -> Difference | None:
    """A move or an offboarding that stands still; None while it is on its way.

    Each step is a commit of the tenant's file or a write of its placement: the later one counts.
    """
    committed = await control.tenants.changed_at(difference.about) or 0.0
    since = max(committed, float(placement.changed_at or 0) if placement is not None else 0.0)
    if control.clock() - since < patience:
        return None
    when = f"{datetime.fromtimestamp(since, UTC):%Y-%m-%d %H:%M} UTC" if since else "nobody knows"
    return replace(difference, detail=f"stands still since {when}: {difference.detail}")


async def _of_strays(
    control: Control,
    strays: Mapping[str, tuple[str, ...]],
    placements: Mapping[TenantId, Placement],
    known: set[str],
) -> list[Difference]:
    """What the cluster still has of who left, or never had a file.

    Secrets are asked for by the names of who left lately: an account that may list them may read
    them all.
    """
    found = {name: set(what) for name, what in strays.items() if name not in known}
    now = control.clock()
    for name, one in sorted(placements.items()):
        if one.status == "offboarded" and now < (one.until or 0) and name not in known:
            found.setdefault(name, set()).update(await control.cluster.remains(name))
    return [
        Difference(
            about=name,
            kind="orphan",
            detail=f"it has no file, and the cluster has {', '.join(sorted(what))} of it: if it "
            "holds data put its file back (git revert) and let it leave, otherwise delete these",
        )
        for name, what in sorted(found.items())
        if what
    ]


def _of_tenant(  # noqa: PLR0911 - a table of cases, the first that holds is told
    wanted: Instance | None, applied: Applied, placement: Placement | None, *, now: float
) -> Difference | None:
    """The first difference of one tenant; those behind it may go with it."""
    if wanted is None:
        return _of_nobody(placement)
    name = wanted.id
    if applied.is_suspended:
        return Difference(
            about=name, kind="cluster-suspended", detail="its release follows nothing: resume it"
        )
    if wanted.phase == "offboarding":
        if placement is not None and placement.status not in {"draining", "offboarded"}:
            return Difference(
                about=name,
                kind="status",
                detail=f"leaving, and registered as {placement.status}",
                can_fix=True,
            )
        return Difference(
            about=name, kind="leaving", detail=f"resume with `tenantctl offboard {name}`"
        )
    if wanted.transition is not None:
        return Difference(
            about=name,
            kind="moving",
            detail=f"it is {wanted.transition.phase}, from {wanted.transition.origin} to "
            f"{wanted.home}; resume with `tenantctl move {name}`",
        )
    if placement is not None and placement.status == "offboarded" and now < (placement.until or 0):
        return Difference(
            about=name,
            kind="tombstone",
            detail="it has a file, and left too lately for its id to be given again: `tenantctl "
            f"offboard {name}` takes the file away",
        )
    if placement is None or placement.status == "offboarded":
        return Difference(
            about=name,
            kind="not-registered",
            detail=applied.detail or "it has a file, and no placement",
            can_fix=applied.follows(wanted),
        )
    if not applied.follows(wanted):
        return Difference(
            about=name,
            kind="cluster",
            detail=applied.detail or "the cluster has not taken up its file",
        )
    return _of_placement(wanted, placement)


def _of_nobody(placement: Placement | None) -> Difference | None:
    """What the registry says of a tenant that has no file."""
    if placement is None or placement.status == "offboarded":
        return None
    name = placement.tenant_id
    if placement.status == "draining":
        return Difference(
            about=name,
            kind="leaving",
            detail="its file is gone, and it has no tombstone; resume with `tenantctl offboard "
            f"{name}`",
        )
    return Difference(
        about=name,
        kind="file-missing",
        detail=f"registered as {placement.status}, and has no file: put it back (git revert)",
    )


def _of_placement(wanted: Instance, placement: Placement) -> Difference | None:
    name = wanted.id
    if Home(placement.tier, placement.pool) != wanted.home:
        return Difference(
            about=name,
            kind="place",
            detail=f"its file says {wanted.home}, its placement "
            f"{Home(placement.tier, placement.pool)}: `tenantctl status {name}`",
        )
    if placement.status != expected_status(wanted) or placement.previous is not None:
        return Difference(
            about=name,
            kind="status",
            detail=f"registered as {placement.status}, and its file says "
            f"{expected_status(wanted)}",
            can_fix=placement.previous is None and placement.status in {"active", "suspended"},
        )
    return None


async def _fix(
    control: Control, name: str, applied: Applied, placement: Placement | None
) -> Difference | None:
    """Put one right, if its file still says so, and only over the placement that was seen.

    The file is read again before each write, and once more after it: a verb that commits between
    the two, and finds the status that it wants, writes nothing. Whoever commits after that last
    look finds what was written here. A race that is lost is the next run's.
    """
    fixed = None
    for _ in range(_TRIES):
        wanted = (await control.tenants.census()).tenants.get(name)
        if fixed is not None:  # what the cluster says is older than this file
            applied = Applied(exists=True, instance=wanted, is_ready=True)
        difference = _of_tenant(wanted, applied, placement, now=control.clock())
        if wanted is None or difference is None or not difference.can_fix:
            return fixed or difference
        try:
            if placement is None or placement.status == "offboarded":
                placement, _ = await register(control, wanted)
            else:
                placement = await control.registry.change(
                    placement.tenant_id, placement, status=expected_status(wanted)
                )
        except (RefusedError, UnfinishedError) as error:
            return replace(difference, detail=str(error), can_fix=False)
        control.observer.step("fixed", f"{name}: {difference.kind}")
        fixed = replace(difference, fixed=True)
    return fixed


def _of_pools(census: Census, applied: dict[str, Applied]) -> list[Difference]:
    found = []
    for name, pool in sorted(census.pools.items()):
        state = applied.get(name, Applied())
        if not state.follows(pool):
            found.append(
                Difference(
                    about=name,
                    kind="cluster",
                    detail=state.detail or "the cluster has not taken up its file",
                )
            )
    return found


@dataclass(frozen=True, slots=True)
class _Cloud:
    queues: frozenset[str]
    tables: frozenset[str]


async def _cloud(control: Control) -> _Cloud:
    prefix = f"{control.environment}-"
    queues, tables = await asyncio.gather(
        control.inventory.queues(prefix), control.inventory.tables(prefix)
    )
    return _Cloud(frozenset(queues), frozenset(tables))


def _of_cloud(
    control: Control,
    census: Census,
    applied: dict[str, Applied],
    others: set[str],
    cloud: _Cloud,
) -> list[Difference]:
    """Releases, queues and tables of nobody, and those that are missing.

    `others` are registered, or have a file that is not understood: they keep what they have.
    """
    instances = {**census.tenants, **census.pools}
    settled = {
        name for name, one in instances.items() if one.transition is None and one.phase == "active"
    }
    owners = {
        name for name in settled if name in census.pools or instances[name].home.is_dedicated
    }
    # Whoever moves or leaves has what is its own, or has it no more.
    may_own = owners | (instances.keys() - settled) | (others - settled)
    complete = {name for name in owners if applied.get(name, Applied()).follows(instances[name])}
    found = [
        Difference(about=name, kind="orphan", detail="the cluster has a release of no file")
        for name in sorted(applied.keys() - instances.keys() - others)
    ]
    environment = control.environment
    for what, there, makers in (
        ("queue", cloud.queues, (names.queue_name, names.dead_letter_queue_name)),
        ("table", cloud.tables, (names.table_name,)),
    ):
        known = {make(environment, owner) for make in makers for owner in may_own}
        wanted = {make(environment, owner) for make in makers for owner in complete}
        messages = {name for name in there if _is_messages(name)}
        found += [
            Difference(about=name, kind="orphan", detail=f"a {what} of no tenant or pool")
            for name in sorted(messages - known)
        ]
        found += [
            Difference(about=name, kind="missing", detail=f"a {what} that was there is gone")
            for name in sorted(wanted - there)
        ]
    return found


def _is_messages(name: str) -> bool:
    """Whether a name is one that tenants' resources have; others of the environment are not ours.

    Long ones are cut and end with a digest, so that only their beginning is theirs: they are
    taken for a tenant's, too.
    """
    head, _, digest = name.rpartition("-")
    is_cut = len(digest) == 8 and len(head) == 40 and "-messages" not in digest  # noqa: PLR2004 - tenantry.names
    return name.endswith(("-messages", "-messages-dead-letters")) or is_cut
