"""A release reaches a tier, one ring after the other, and goes on only where the last is well.

All that is remembered is in Git and in the cluster, so the same command again goes on where it
was. What has the release before is not asked twice: a ring that a later one followed was well.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from tenantctl.awsfailures import ResourceMissingError
from tenantctl.control import Control
from tenantctl.errors import InvalidError, RefusedError, UnfinishedError, UnhealthyError
from tenantctl.model import RINGS, Instance, Ring
from tenantctl.ports import Applied
from tenantctl.releases import Held, Line, Release, RingFiles, Train
from tenantry import names

#: How long a ring is watched after all of it runs the release, in seconds: a message that cannot
#: be stored is received ten times before it is a dead letter, which takes ten minutes.
SOAK_SECONDS: Final = 900.0
#: By how many messages a dead-letter queue may grow meanwhile.
DEAD_LETTERS: Final = 5


class Releases(Protocol):
    """What was packaged."""

    async def require(self, release: Release) -> dt.datetime | None:
        """Go on if there is a chart of this version, and it has this digest.

        Returns:
            When its commit was made; None where nobody knows.

        Raises:
            NotFoundError: There is none.
            InvalidError: The version is another chart's.
            UnavailableError: The registry does not answer, or denies.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is asked for.

    Attributes:
        rings: In this order they get it; one that is left out must have it where a later one
            is named.
        soak_seconds: How long a ring is watched before the next one.
        strict: Whether one that had given up before counts, too.
        dead_letters: By how many each dead-letter queue may grow meanwhile.
    """

    train: Train
    release: Release
    rings: tuple[Ring, ...] = RINGS
    soak_seconds: float = SOAK_SECONDS
    strict: bool = False
    dead_letters: int = DEAD_LETTERS
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """How it went.

    Attributes:
        commits: What was committed, by ring; empty where every ring had the release.
        instances: How many instances of each ring run it.
        diff: Of a dry run, what would be committed.
        running_after: How long after the release's commit all of a ring ran it, in seconds; of
            rings that came to run it now.
    """

    release: Release
    commits: Mapping[Ring, str]
    instances: Mapping[Ring, int]
    diff: str = ""
    running_after: Mapping[Ring, float] = field(default_factory=dict)


async def deploy(
    control: Control,
    files: RingFiles,
    known: Releases,
    wanted: Deployment,
    *,
    dry_run: bool = False,
) -> Deployed:
    """Bring a release to the rings of a tier, or of the pools.

    Raises:
        NotFoundError: There is no such release.
        RefusedError: A ring before those asked for has another release or is not well, somebody
            else deploys, or Flux was told to leave an instance alone.
        UnhealthyError: A ring is not well with it, and has again what it had.
        UnavailableError, GitError: Somebody does not answer; the same call goes on.
    """
    if not wanted.rings or list(wanted.rings) != [ring for ring in RINGS if ring in wanted.rings]:
        raise InvalidError(f"rings are some of {', '.join(RINGS)}, in this order, each once")
    made_at = await known.require(wanted.release)
    if dry_run:
        return await _dry_run(files, wanted)
    commits: dict[Ring, str] = {}
    counts: dict[Ring, int] = {}
    after: dict[Ring, float] = {}
    rings = await files.rings(wanted.train)
    for ring in RINGS[: RINGS.index(wanted.rings[-1]) + 1]:
        step = _Step(control, files, wanted, ring)
        held = rings[ring]
        counts[ring] = await step.prepare(is_new=held.release != wanted.release)
        if held.release != wanted.release:
            step.refuse_skipped(held)
            if (commit := await step.commit(held)) is not None:
                commits[ring] = commit
        elif _is_passed(rings, ring, wanted.release) or await step.is_over():
            continue
        try:
            await step.until_running()
            if made_at is not None and counts[ring]:
                after[ring] = control.clock() - made_at.timestamp()
                told = f"{wanted.train} {ring}: {after[ring] / 60:.1f} min after its commit"
                control.observer.step("running", told)
            await step.until_well()
        except UnhealthyError as error:
            if ring not in wanted.rings:
                raise RefusedError(
                    f"{error}. {ring} was not asked for, and is left alone"
                ) from None
            raise UnhealthyError(f"{error}. {await step.put_back()}") from None
        control.observer.step("healthy", f"{wanted.train} {ring}")
    return Deployed(release=wanted.release, commits=commits, instances=counts, running_after=after)


def _is_passed(rings: Mapping[Ring, Held], ring: Ring, release: Release) -> bool:
    """Whether a later ring has it, too: then this one was well."""
    return any(rings[later].release == release for later in RINGS[RINGS.index(ring) + 1 :])


async def _dry_run(files: RingFiles, wanted: Deployment) -> Deployed:
    rings = await files.rings(wanted.train)
    diffs = []
    for ring in wanted.rings:
        there = rings[ring].release
        change = await files.put(
            wanted.train,
            ring,
            Held(wanted.release, there, knows_before=True),
            over=there,
            subject=_subject(wanted, ring),
            dry_run=True,
        )
        diffs.append("" if change is None else change.diff)
    return Deployed(release=wanted.release, commits={}, instances={}, diff="".join(diffs))


def deployed_subject(train: Line, version: str, ring: Ring) -> str:
    """Of the commit that gives a ring a release."""
    return f"Deploy {train} {version} to {ring}"


def taken_back_subject(train: Line, version: str, ring: Ring) -> str:
    """Of the commit that gives a ring what it had before."""
    return f"Take {train} {ring} back from {version}"


def _subject(wanted: Deployment, ring: Ring) -> str:
    return deployed_subject(wanted.train, wanted.release.version, ring)


class _Step:
    """One ring."""

    def __init__(self, control: Control, files: RingFiles, wanted: Deployment, ring: Ring) -> None:
        self._control = control
        self._files = files
        self._wanted = wanted
        self._ring = ring
        self._name = f"{wanted.train} {ring}"
        self._instances: dict[str, Instance] = {}
        self._letters: dict[str, int] = {}
        #: Who had given up before, and was not well since: that is no verdict on this release.
        self._failed_before: dict[str, Applied] = {}

    async def prepare(self, *, is_new: bool) -> int:
        """Look at who is in the ring; how many there are.

        Who has given up before the ring's line is changed (`is_new`) is no verdict on what comes.
        """
        census = await self._control.tenants.census()
        self._instances = {
            one.id: one
            for one in (*census.tenants.values(), *census.pools.values())
            if one.release == f"{self._wanted.train}-{self._ring}" and one.phase != "offboarding"
        }
        applied = await self._applied()
        for name, state in applied.items():
            if state.is_suspended:
                raise RefusedError(
                    f"the release of {name} is suspended in the cluster, and follows nothing: "
                    "resume it there (flux resume helmrelease)"
                )
        self._failed_before = {
            name: state
            for name, state in applied.items()
            if is_new and state.has_failed and not self._wanted.strict
        }
        self._letters = await self._depths()
        return len(self._instances)

    def refuse_skipped(self, held: Held) -> None:
        """Refuse to go on over a ring that was not asked for and has another release."""
        if self._ring not in self._wanted.rings:
            raise RefusedError(
                f"{self._name} has {held.release or 'no release'}, and comes before "
                f"{self._wanted.rings[0]}: deploy it there first"
            )

    async def commit(self, held: Held) -> str | None:
        """Write the ring's line; the commit, None where somebody else just did."""
        wanted = self._wanted
        change = await self._files.put(
            wanted.train,
            self._ring,
            Held(wanted.release, held.release, knows_before=True),
            over=held.release,
            subject=_subject(wanted, self._ring),
            request_id=wanted.request_id,
        )
        await self._control.cluster.nudge()
        if change is None:
            return None
        self._control.observer.step("committed", f"{self._name}: {change.commit}")
        return change.commit

    async def is_over(self) -> bool:
        """Whether a ring that has the line runs it, and was watched for as long as is asked.

        One that was not is watched anew: nobody knows what dead letters there were before.
        """
        if not all(self._is_well(state) for state in (await self._applied()).values()):
            return False
        moment = await self._files.committed_at(
            self._wanted.train, _subject(self._wanted, self._ring)
        )
        if moment is None:
            return False
        return moment.timestamp() + self._wanted.soak_seconds <= self._control.clock()

    async def until_well(self) -> None:
        """Watch those that run the release for a while.

        Raises:
            UnhealthyError: Who is not well, and why.
        """
        control = self._control
        applied = await self._applied()
        for name in self._left_out(applied):
            control.observer.step("left-out", f"{name} gave up before: {applied[name].detail}")
        if not self._instances:
            return  # there is nobody to watch
        ends_at = control.clock() + self._wanted.soak_seconds
        while (left := ends_at - control.clock()) > 0:
            self._refuse_failed(await self._applied())
            await self._refuse_letters()
            control.observer.waiting(f"{self._name} to be well for {left:.0f} s more")
            await control.sleep(min(left, control.timing.poll))
        await self._refuse_letters()
        await self.until_running()

    async def until_running(self) -> None:
        """Wait until all run the release.

        Raises:
            UnhealthyError: Who does not, and why.
        """

        async def ask() -> str:
            applied = await self._applied()
            self._refuse_failed(applied)
            left_out = self._left_out(applied)
            waits = [
                f"{name}: {state.detail or 'it to take up the release'}"
                for name, state in sorted(applied.items())
                if not self._is_well(state) and name not in left_out
            ]
            return f"{self._name}, {len(waits)} left: {waits[0]}" if waits else ""

        try:
            await self._control.until(ask)
        except UnfinishedError as error:
            raise UnhealthyError(f"{self._wanted.release.version} in {error}") from None

    def _refuse_failed(self, applied: Mapping[str, Applied]) -> None:
        for name, state in sorted(applied.items()):
            if not state.has_failed or self._is_excused(name, state, applied):
                continue
            raise UnhealthyError(
                f"{name} gave up with {self._wanted.release.version} in {self._name}: "
                f"{state.detail or 'it does not say why'}"
            )

    async def _refuse_letters(self) -> None:
        for owner, depth in sorted((await self._depths()).items()):
            risen = depth - self._letters.get(owner, 0)
            if risen > self._wanted.dead_letters:
                raise UnhealthyError(
                    f"{owner} has {risen} dead letters more since {self._wanted.release.version} "
                    f"came to {self._name}, and {self._wanted.dead_letters} are let pass"
                )

    async def put_back(self) -> str:
        """Give the ring what it had before, and what was done in words."""
        wanted = self._wanted
        held = (await self._files.rings(wanted.train))[self._ring]
        if held.release != wanted.release:
            return f"{self._name} has {held.release or 'no release'} by now"
        if not held.knows_before:
            return f"{self._name} keeps it: its line does not say what it had before"
        change = await self._files.put(
            wanted.train,
            self._ring,
            Held(held.before),
            over=wanted.release,
            subject=taken_back_subject(wanted.train, wanted.release.version, self._ring),
            request_id=wanted.request_id,
        )
        await self._control.cluster.nudge()
        if change is not None:
            self._control.observer.step("put-back", f"{self._name}: {change.commit}")
        return f"{self._name} has {held.before or 'no release'} again"

    def _left_out(self, applied: Mapping[str, Applied]) -> list[str]:
        """Who had given up before and is not well yet, if others show how the release does.

        Helm tries each again with the release, and says its old failure in new words.
        """
        for name, state in applied.items():
            if self._is_well(state):
                self._failed_before.pop(name, None)
        return sorted(self._failed_before) if len(self._failed_before) < len(applied) else []

    def _is_excused(self, name: str, state: Applied, applied: Mapping[str, Applied]) -> bool:
        """Whether a failure is no verdict: it was there before, as it is or among others."""
        return self._failed_before.get(name) == state or name in self._left_out(applied)

    def _is_well(self, state: Applied) -> bool:
        return self._runs(state) and state.is_ready

    def _runs(self, state: Applied) -> bool:
        return state.chart.rpartition("@")[2] == self._wanted.release.digest

    async def _applied(self) -> dict[str, Applied]:
        if not self._instances:
            return {}
        found = await self._control.cluster.instances()
        return {name: found.get(name, Applied()) for name in self._instances}

    async def _depths(self) -> dict[str, int]:
        """How many dead letters there are, by who owns the queue: of a basic tenant, its pool."""
        control = self._control
        found: dict[str, int] = {}
        for owner in sorted({one.home.owner(one.id) for one in self._instances.values()}):
            name = names.dead_letter_queue_name(control.environment, owner)
            if (url := await control.queues.url(name)) is None:
                continue
            try:
                found[owner] = (await control.queues.depth(url)).total
            except ResourceMissingError:
                continue  # it went meanwhile
        return found
