"""What was published last reaches every tier: a real Git repository, a cluster that follows it."""

from __future__ import annotations

import pytest

from support.fleets import MakeFleet, as_files
from support.git_server import Origin
from support.release_world import INSTANCES, NEW, OLD, Desk, ReleaseWorld
from tenantctl.candidates import Candidate, parse_candidate
from tenantctl.errors import InvalidError, NotFoundError, UnhealthyError
from tenantctl.model import RINGS
from tenantctl.releases import MODULE, TRAINS, Held, Release, parse_rings, render_rings

PATH = "releases/dev/candidate.yaml"
OTHER = Release("1.5.0", f"sha256:{'c' * 64}")


def candidate(chart: Release | None = None, module: Release | None = None) -> bytes:
    """The file as image automation leaves it."""
    lines = ["# Written by automation.", "kind: ConfigMap", "data:"]
    for part, said in (("chart", chart), ("module", module)):
        version, digest = ("none", "none") if said is None else (said.version, said.digest)
        lines += [f"  {part}-version: {version} # {{}}", f"  {part}-digest: {digest} # {{}}"]
    return "\n".join([*lines, ""]).encode()


@pytest.fixture
def world(origin: Origin) -> ReleaseWorld:
    """A fleet in which everybody runs the old release, and nothing new was published."""
    files = as_files(*INSTANCES)
    for train in TRAINS:
        files[f"releases/dev/{train}.yaml"] = render_rings(train, dict.fromkeys(RINGS, Held(OLD)))
    files[f"releases/dev/{MODULE}.yaml"] = render_rings(MODULE, dict.fromkeys(RINGS, Held()))
    files[PATH] = candidate()
    origin.commit(files, "Everybody")
    return ReleaseWorld(origin)


@pytest.fixture
def desk(world: ReleaseWorld, fleet: MakeFleet) -> Desk:
    return Desk(world, fleet)


def publish(world: ReleaseWorld, *, chart: Release | None, module: Release | None = None) -> None:
    """As image automation does it: one commit of one file."""
    world.origin.commit({PATH: candidate(chart, module)}, "Automation")


async def test_before_anything_is_published_nothing_is_done(
    world: ReleaseWorld, desk: Desk
) -> None:
    """A fresh fleet is no error."""
    head = world.origin.head

    done = await desk.follow()

    assert (Candidate(), head) == (done.candidate, world.origin.head)


async def test_a_chart_reaches_every_ring_of_every_tier(world: ReleaseWorld, desk: Desk) -> None:
    """And the same again changes nothing."""
    publish(world, chart=NEW)

    done = await desk.follow()

    assert set(TRAINS) == set(done.deployed)
    for train in TRAINS:
        assert {NEW} == {held.release for held in world.rings(train).values()}
    head, now = world.origin.head, world.now
    await desk.follow()
    assert (head, now) == (world.origin.head, world.now)


async def test_the_module_reaches_its_rings_by_a_line_each(
    world: ReleaseWorld, desk: Desk
) -> None:
    """Its file keeps what each had before."""
    publish(world, chart=None, module=OLD)
    await desk.follow()
    publish(world, chart=None, module=NEW)

    done = await desk.follow()

    path = f"releases/dev/{MODULE}.yaml"
    data = f"{world.origin.read(path)}\n".encode()
    assert dict.fromkeys(RINGS, Held(NEW, OLD, knows_before=True)) == parse_rings(
        path, MODULE, data
    )
    assert b"namespace: tenant-infra" in data
    assert len(RINGS) == len(done.module_commits)


async def test_what_a_tier_was_taken_back_from_reaches_no_other(
    world: ReleaseWorld, desk: Desk
) -> None:
    """It is not tried again either, though it is still what was published last."""
    publish(world, chart=NEW)
    world.faults["canary", NEW.digest] = "a bad image"
    with pytest.raises(UnhealthyError, match="r0 has 1\\.3\\.0"):
        await desk.follow()
    head = world.origin.head

    done = await desk.follow()

    assert ("premium r0", head) == (done.taken_back, world.origin.head)


async def test_a_first_release_that_was_taken_back_is_not_tried_again(
    world: ReleaseWorld, desk: Desk
) -> None:
    """Where there was none before, the ring's line says nothing of it: the log does."""
    files = {
        f"releases/dev/{train}.yaml": render_rings(train, dict.fromkeys(RINGS, Held()))
        for train in TRAINS
    }
    world.origin.commit(files, "Nobody has a release")
    publish(world, chart=NEW)
    world.faults["pool-1", NEW.digest] = "a bad image"
    with pytest.raises(UnhealthyError, match="no release"):
        await desk.follow()

    done = await desk.follow()

    assert "pools r2" == done.taken_back
    assert {None} == {held.release for held in world.rings("premium").values()}


async def test_by_hand_it_is_tried_again(world: ReleaseWorld, desk: Desk) -> None:
    """Whoever deploys it there has mended what was wrong; then it is followed to its end."""
    publish(world, chart=NEW)
    world.faults["canary", NEW.digest] = "a bad image"
    with pytest.raises(UnhealthyError):
        await desk.follow()
    world.faults.clear()
    await desk.deploy("r0")

    done = await desk.follow()

    assert not done.taken_back
    assert {NEW} == {held.release for held in world.rings().values()}


async def test_what_nobody_published_is_named_and_changes_nothing(
    world: ReleaseWorld, desk: Desk
) -> None:
    """A chart and a module that the registry does not have."""
    for chart, module in ((OTHER, None), (None, OTHER)):
        publish(world, chart=chart, module=module)
        head = world.origin.head

        with pytest.raises(NotFoundError, match=r"1\.5\.0"):
            await desk.follow()

        assert head == world.origin.head


async def test_an_environment_without_a_candidate_follows_nothing(
    world: ReleaseWorld, desk: Desk
) -> None:
    """Staging and production are deployed to; the text says how."""
    world.origin.commit({PATH: None}, "Not here")

    with pytest.raises(NotFoundError, match="tenantctl deploy"):
        await desk.follow()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "its data are chart-digest, chart-version"),
        ("data: {chart-version: none}", "its data are"),
        ("{", "it is no YAML"),
        (
            candidate().decode().replace("chart-version: none", "chart-version: 1.4.0"),
            "or neither",
        ),
        (candidate(NEW).decode().replace("1.4.0", "1.4"), "chart: '1.4@"),
        (candidate(None, NEW).decode().replace("sha256:", "sha512:"), "module: "),
    ],
)
def test_a_file_that_is_no_candidate_is_refused(text: str, said: str) -> None:
    """By path and rule."""
    with pytest.raises(InvalidError, match=f"^{PATH}: .*{said}"):
        parse_candidate(PATH, text.encode())
