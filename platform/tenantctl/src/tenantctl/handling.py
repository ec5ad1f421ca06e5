"""A request, done: the verb that it names, as if somebody had typed it."""

from __future__ import annotations

import base64
import binascii
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, Literal, get_args

from tenantctl import events
from tenantctl.app import App
from tenantctl.candidates import Candidate, read_candidate
from tenantctl.contexts import ChartsSection
from tenantctl.errors import DriftError, InvalidError
from tenantctl.model import RINGS, Ring
from tenantctl.ociregistry import CHART, MODULE_FILES, OciReleases, Wanted, opened_releases
from tenantctl.releases import Release, RingFiles, Train
from tenantctl.signatures import release_keys
from tenantctl.verbs.beginning import Move
from tenantctl.verbs.deploy import Deployed, Deployment, deploy
from tenantctl.verbs.follow import SOAK_SECONDS, Followed, follow
from tenantctl.verbs.letters import redrive
from tenantctl.verbs.move import move
from tenantctl.verbs.offboard import Offboarding, offboard
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.reconcile import reconcile
from tenantctl.verbs.suspend import resume, suspend

#: What a verb is done until: the commit, where the rest comes in a step of its own, or the end.
Until = Literal["commit", "end"]
UNTILS: Final[tuple[Until, ...]] = get_args(Until)
#: A request's base64 is a third larger than itself.
_MAX_ENCODED: Final = events.MAX_BYTES * 2


def read_event(path: Path, *, is_base64: bool) -> bytes:
    """The body of a request, from a file.

    Raises:
        InvalidError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_ENCODED + 1)
    except OSError as error:
        raise InvalidError(f"{path} cannot be read: {error.strerror}") from None
    if not is_base64:
        return data
    try:
        return base64.b64decode(data.strip(), validate=True)
    except binascii.Error:
        raise InvalidError(f"{path} is no base64") from None


async def deploy_in(app: App, wanted: Deployment, *, dry_run: bool = False) -> Deployed:
    """Deploy to the environment that is open.

    Raises:
        InvalidError: Its context does not say where charts are, or the fleet has no keys.
        ControlError: As `deploy`.
    """
    section = _charts(app)
    keys = release_keys(await app.fleet.snapshot(), app.control.environment)
    async with _opened(app, section, Wanted(section.repository, CHART, keys)) as charts:
        files = RingFiles(app.fleet, app.control.environment)
        return await deploy(app.control, files, charts, wanted, dry_run=dry_run)


async def follow_in(
    app: App, *, soak_seconds: float = SOAK_SECONDS, request_id: str | None = None
) -> Followed:
    """Bring what was published last to the environment that is open.

    Raises:
        NotFoundError: The environment follows nothing.
        InvalidError: Its context does not say where charts are, or the fleet has no keys.
        ControlError: As `follow`.
    """
    section, environment = _charts(app), app.control.environment
    snapshot = await app.fleet.snapshot()
    candidate = read_candidate(snapshot, environment)
    if candidate == Candidate():  # before the first release, which may be before the first key
        return Followed(candidate)
    keys = release_keys(snapshot, environment)
    async with (
        _opened(app, section, Wanted(section.repository, CHART, keys)) as charts,
        _opened(app, section, Wanted(section.module, MODULE_FILES, keys)) as modules,
    ):
        return await follow(
            app.control,
            RingFiles(app.fleet, environment),
            candidate,
            charts,
            modules,
            soak_seconds=soak_seconds,
            request_id=request_id,
        )


def _charts(app: App) -> ChartsSection:
    if app.context.charts is None:
        raise InvalidError(f"the context {app.name} does not say where charts are: [charts]")
    return app.context.charts


def _opened(
    app: App, section: ChartsSection, wanted: Wanted
) -> AbstractAsyncContextManager[OciReleases]:
    region = app.context.aws.region if section.is_ecr else None
    return opened_releases(section.registry, wanted, region=region)


async def handle(  # noqa: C901, PLR0911 - a table of verbs
    app: App, event: events.Event, *, until: Until = "end"
) -> Any:
    """Do what a request asks for.

    Raises:
        ControlError: As the verb; of `reconcile`, where differences are left.
    """
    control = app.control
    match event:
        case events.Onboard():
            done = await onboard(
                control,
                Onboarding(
                    tenant_id=event.tenant_id,
                    tier=event.tier,
                    pool=event.pool,
                    ring=event.ring,
                    request_id=event.request_id,
                ),
                wait=until == "end",
            )
            if done.placement is not None and done.placement.status == "active":
                await app.smoke.test(control, event.tenant_id)
            return done
        case events.Offboard():
            place = await app.export_place(event.tenant_id, None)
            request = Offboarding(
                tenant_id=event.tenant_id, keep_data=event.keep_data, request_id=event.request_id
            )
            return await offboard(control, request, place)
        case events.MoveTo():
            return await move(
                control,
                Move(
                    tenant_id=event.tenant_id,
                    tier=event.tier,
                    pool=event.pool,
                    rollback=event.rollback,
                    request_id=event.request_id,
                ),
            )
        case events.Suspend():
            return await suspend(control, event.tenant_id, request_id=event.request_id)
        case events.Resume():
            return await resume(control, event.tenant_id, request_id=event.request_id)
        case events.Redrive():
            return await redrive(control, event.tenant_id, only=event.messages)
        case events.Deploy(candidate=True):
            return await follow_in(app, request_id=event.request_id)
        case events.Deploy(tier=tier, release=release) if tier is not None and release is not None:
            return await deploy_in(app, deployment_of(event, tier, release))
        case events.Reconcile():
            found = await reconcile(control, fix=event.fix)
            if left := sum(not one.fixed for one in found):
                raise DriftError(f"{left} differences: {found[0].about}: {found[0].detail}")
            return found


def deployment_of(event: events.Deploy, train: Train, release: str) -> Deployment:
    """What a request asks to deploy."""
    rings: tuple[Ring, ...] = RINGS if event.rings is None else tuple(event.rings)
    return Deployment(
        train=train,
        release=Release.parse(release),
        rings=rings,
        request_id=event.request_id,
    )
