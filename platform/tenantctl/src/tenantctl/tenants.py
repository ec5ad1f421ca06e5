"""The tenants and pools of one environment, as files in the fleet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol

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
            InvalidError: Its file cannot be read.
        """
        self.require_readable(tenant_id)
        try:
            return self.tenants[tenant_id]
        except KeyError:
            raise NotFoundError(
                f"there is no tenant {tenant_id}: `tenantctl list` shows who is here"
            ) from None

    def require_readable(self, tenant_id: str) -> None:
        """Refuse a tenant whose file is there, and says nothing.

        Raises:
            InvalidError: It cannot be read, and why: what stood there before is in Git.
        """
        for path, why in self.unreadable.items():
            if path.endswith(f"/{tenant_id}.yaml"):
                raise InvalidError(
                    f"the file of {tenant_id} cannot be read, so nothing is done to it. {why}"
                )


@dataclass(frozen=True, slots=True)
class Decision:
    """Instances to write, and ids of tenants whose files go."""

    write: tuple[Instance, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Changed:
    """What a decision came to.

    Attributes:
        change: The commit; None where everything stood there already.
        pull_request: Its address, where the commit was only proposed.
    """

    census: Census
    decision: Decision
    change: Change | None
    pull_request: str | None = None


@lru_cache(maxsize=8_192)
def _parse(path: str, data: bytes) -> Instance:
    """Of hundreds of files one or two are new from one look to the next."""
    return parse(path, data)


#: More than a move has commits, and what else may happen to a file meanwhile.
_LOG_ENTRIES: Final = 30


class ShownError(Exception):
    """A dry run came to its commit, and shows it instead: `change` is None where there is none."""

    def __init__(self, change: Change | None) -> None:
        super().__init__("shown, and not done")
        self.change = change


class PullRequests(Protocol):
    """A Git server's pull requests."""

    async def open(self, branch: str, title: str) -> str:
        """Open one for a branch, or find the one that is open; its address."""
        ...


class Tenants:
    """Reads and writes them; every write is validated with the whole environment."""

    def __init__(
        self,
        fleet: Fleet,
        environment: str,
        bounds: Bounds,
        pull_requests: PullRequests | None = None,
    ) -> None:
        self._fleet = fleet
        self._pull_requests = pull_requests
        self._only_shows = False
        self._environment = environment
        self._bounds = bounds

    async def census(self) -> Census:
        """Everybody, as main has it now.

        Raises:
            GitError: The fleet cannot be read.
        """
        return self._count(await self._fleet.snapshot())

    async def subjects(self, tenant_id: str) -> tuple[str, ...]:
        """What the last commits of a tenant's file say in their first lines, the newest first.

        As of the last census.

        Raises:
            GitError: The fleet cannot be read.
        """
        path = self.path_of_tenant(tenant_id)
        return tuple(one.subject for one in await self._fleet.log(path, limit=_LOG_ENTRIES))

    async def changed_at(self, tenant_id: str) -> float | None:
        """When a tenant's file was last changed or removed, in epoch seconds; None: it never was.

        As of the last census.

        Raises:
            GitError: The fleet cannot be read.
        """
        newest = await self._fleet.log(self.path_of_tenant(tenant_id), limit=1)
        return newest[0].time.timestamp() if newest else None

    def only_show(self) -> None:
        """From now on a change commits nothing: it raises ShownError with what it would."""
        self._only_shows = True

    async def change(
        self,
        decide: Decide,
        *,
        verb: str,
        subject: str,
        tenant_id: str | None = None,
        request_id: str | None = None,
        dry_run: bool = False,
        propose: bool = False,
    ) -> Changed:
        """Write what `decide` says of main as it is now, again if somebody was faster.

        With `propose` it goes to a branch of its own, and a pull request is opened for it.

        Raises:
            ControlError: Of `decide`, or of what the fleet would become.
            GitError: The fleet cannot be read or written.
            ShownError: After `only_show`.
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

        def validate(after: Snapshot) -> None:
            before = last[0] if last else after
            require(new_findings(before, after, self._environment, self._bounds))

        text = message(subject, verb=verb, tenant=tenant_id, request_id=request_id)
        pull_request = None
        if self._only_shows:
            raise ShownError(await self._fleet.change(edit, text, validate=validate, dry_run=True))
        if propose:
            pull_requests = self._require_pull_requests()
            branch = f"tenantctl/{self._environment}-{verb}-{tenant_id or 'all'}"
            change = await self._fleet.propose(edit, text, branch, validate=validate)
            if change is not None:
                pull_request = await pull_requests.open(branch, subject)
        else:
            change = await self._fleet.change(edit, text, validate=validate, dry_run=dry_run)
        assert last is not None  # noqa: S101 - the edit was asked at least once
        return Changed(last[1], last[2], change, pull_request)

    def _require_pull_requests(self) -> PullRequests:
        if self._pull_requests is None:
            raise InvalidError(
                "a pull request needs a Git server with Gitea's API: name its address as "
                "fleet.gitea in the context"
            )
        return self._pull_requests

    def _count(self, snapshot: Snapshot) -> Census:
        tenants: dict[str, Instance] = {}
        pools: dict[str, Instance] = {}
        unreadable: dict[str, str] = {}
        for path in snapshot.paths(tenants_folder(self._environment)):
            name = path.rpartition("/")[2]
            if not name.endswith(".yaml") or name in {"shard.yaml", "kustomization.yaml"}:
                continue
            try:
                instance = _parse(path, snapshot.read(path) or b"")
            except InvalidError as error:
                unreadable[path] = str(error)
                continue
            (pools if instance.kind == "pool" else tenants)[instance.id] = instance
        return Census(snapshot.commit, tenants, pools, unreadable)

    def path_of_tenant(self, tenant_id: str) -> str:
        """Where a tenant's file is, from its first day to its last."""
        return tenant_path(self._environment, tenant_id)
