"""An environment that follows main gets what was published last: the module, then every tier.

Image automation knows the newest version and nothing of how it does; this knows. What one tier
was taken back from reaches no other one, and is not tried again: it waits for the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tenantctl.candidates import Candidate
from tenantctl.control import Control
from tenantctl.model import RINGS
from tenantctl.releases import MODULE, TRAINS, Held, Release, RingFiles, Train
from tenantctl.verbs.deploy import (
    Deployed,
    Deployment,
    Releases,
    deploy,
    deployed_subject,
    taken_back_subject,
)

#: How long a ring is watched, in seconds: less than `deploy` watches, since somebody waits to see
#: their change, and the next one may be there in an hour.
SOAK_SECONDS: Final = 120.0
#: What is shared first.
_ORDER: Final[tuple[Train, ...]] = ("pools", "basic", "advanced", "premium")


@dataclass(frozen=True, slots=True)
class Followed:
    """How it went.

    Attributes:
        candidate: What was published last.
        deployed: What each tier has now; empty where no chart was published yet.
        module_commits: What was committed for the module.
        taken_back: From where the chart was taken back, so that nothing is done with it.
    """

    candidate: Candidate
    taken_back: str = ""
    deployed: Mapping[Train, Deployed] = field(default_factory=dict)
    module_commits: tuple[str, ...] = ()


async def follow(
    control: Control,
    files: RingFiles,
    candidate: Candidate,
    charts: Releases,
    modules: Releases,
    *,
    soak_seconds: float = SOAK_SECONDS,
    request_id: str | None = None,
) -> Followed:
    """Bring the candidate to every ring of the environment.

    Raises:
        NotFoundError: What the candidate names was not published.
        RefusedError: Somebody else deploys, or Flux was told to leave an instance alone.
        UnhealthyError: A ring is not well with it, and has again what it had.
        ControlError: As `deploy`.
    """
    commits = await _module(control, files, modules, candidate.module, request_id)
    if candidate.chart is None:
        return Followed(candidate, module_commits=commits)
    if where := await _taken_back(files, candidate.chart):
        return Followed(candidate, taken_back=where, module_commits=commits)
    deployed: dict[Train, Deployed] = {}
    for train in _ORDER:
        wanted = Deployment(
            train=train,
            release=candidate.chart,
            soak_seconds=soak_seconds,
            request_id=request_id,
        )
        deployed[train] = await deploy(control, files, charts, wanted)
    return Followed(candidate, deployed=deployed, module_commits=commits)


async def _module(
    control: Control,
    files: RingFiles,
    known: Releases,
    release: Release | None,
    request_id: str | None,
) -> tuple[str, ...]:
    """Give every ring the module; nobody watches it: a plan that would delete data fails."""
    if release is None:
        return ()
    rings = await files.rings(MODULE)
    commits = []
    for ring in RINGS:
        held = rings[ring]
        if held.release == release:
            continue
        await known.require(release)
        change = await files.put(
            MODULE,
            ring,
            Held(release, held.release, knows_before=True),
            over=held.release,
            subject=deployed_subject(MODULE, release.version, ring),
            request_id=request_id,
        )
        if change is not None:
            commits.append(change.commit)
            control.observer.step("committed", f"{MODULE} {ring}: {change.commit}")
    return tuple(commits)


async def _taken_back(files: RingFiles, release: Release) -> str:
    """Which ring had it and has it no more, as the log of its file says; empty if none."""
    for train in TRAINS:
        for ring, held in (await files.rings(train)).items():
            if held.release == release:
                continue
            back = await files.committed_at(
                train, taken_back_subject(train, release.version, ring)
            )
            given = await files.committed_at(train, deployed_subject(train, release.version, ring))
            if back is not None and (given is None or back >= given):
                return f"{train} {ring}"
    return ""
