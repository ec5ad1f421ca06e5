"""The tenants and pools of one environment, as files in the fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tenantctl.check import Bounds, new_findings, require
from tenantctl.errors import InvalidError, NotFoundError
from tenantctl.files import parse, path_of, render, tenant_path, tenants_folder
from tenantctl.fleet import Change, Fleet, Snapshot, message
from tenantctl.model import Instance

#: Says what a tenant's file is to hold, given what it holds and all the others; None removes it.
Decide = Callable[["Census"], "Decision"]


@dataclass(frozen=True, slots=True)
class Census:
    """Every instance of the environment at one commit.

    Attributes:
        tenants: By id.
        pools: By name.
        unreadable: Paths that hold no instance, and why.
    """

    commit: str
    tenants: Mapping[str, Instance]
    pools: Mapping[str, Instance]
    unreadable: Mapping[str, str]

    def tenant(self, tenant_id: str) -> Instance:
        """One of the tenants.

        Raises:
            NotFoundError: There is none of this id.
        """
        try:
            return self.tenants[tenant_id]
        except KeyError:
            raise NotFoundError(
                f"there is no tenant {tenant_id}: `tenantctl list` shows who is here"
            ) from None


@dataclass(frozen=True, slots=True)
class Decision:
    """Instances to write, and ids of tenants whose files go."""

    write: tuple[Instance, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """What a decision came to: the commit, or None where everything stood there already."""

    census: Census
    decision: Decision
    change: Change | None


class Tenants:
    """Reads and writes them; every write is validated with the whole environment."""

    def __init__(self, fleet: Fleet, environment: str, bounds: Bounds) -> None:
        self._fleet = fleet
        self._environment = environment
        self._bounds = bounds

    async def census(self) -> Census:
        """Everybody, as main has it now.

        Raises:
            GitError: The fleet cannot be read.
        """
        return self._count(await self._fleet.snapshot())

    async def change(
        self,
        decide: Decide,
        *,
        verb: str,
        subject: str,
        tenant_id: str | None = None,
        request_id: str | None = None,
        dry_run: bool = False,
    ) -> Changed:
        """Write what `decide` says of main as it is now, again if somebody was faster.

        Raises:
            ControlError: Of `decide`, or of what the fleet would become.
            GitError: The fleet cannot be read or written.
        """
        last: tuple[Snapshot, Census, Decision] | None = None

        def edit(snapshot: Snapshot) -> Mapping[str, bytes | None]:
            nonlocal last
            census = self._count(snapshot)
            decision = decide(census)
            last = snapshot, census, decision
            return {
                **{path_of(self._environment, one): render(one) for one in decision.write},
                **{tenant_path(self._environment, one): None for one in decision.remove},
            }

        change = await self._fleet.change(
            edit,
            message(subject, verb=verb, tenant=tenant_id, request_id=request_id),
            validate=lambda after: require(
                new_findings(last[0] if last else after, after, self._environment, self._bounds)
            ),
            dry_run=dry_run,
        )
        assert last is not None  # noqa: S101 - `change` asked at least once
        return Changed(last[1], last[2], change)

    def _count(self, snapshot: Snapshot) -> Census:
        tenants: dict[str, Instance] = {}
        pools: dict[str, Instance] = {}
        unreadable: dict[str, str] = {}
        for path in snapshot.paths(tenants_folder(self._environment)):
            name = path.rpartition("/")[2]
            if not name.endswith(".yaml") or name in {"shard.yaml", "kustomization.yaml"}:
                continue
            try:
                instance = parse(path, snapshot.read(path) or b"")
            except InvalidError as error:
                unreadable[path] = str(error)
                continue
            (pools if instance.kind == "pool" else tenants)[instance.id] = instance
        return Census(snapshot.commit, tenants, pools, unreadable)

    def path_of_tenant(self, tenant_id: str) -> str:
        """Where a tenant's file is, from its first day to its last."""
        return tenant_path(self._environment, tenant_id)
