"""Every verb of tenantctl, played so that it makes each of its calls.

In the in-process environment of tests/support, in all directions and with what makes a verb call
more: dead letters, pools that were left, keys used twice, places that never came up, answers that
are lost, uploads that fail.
"""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, Self, cast

from botocore.exceptions import ClientError

from consumer.repository import Row, to_item
from fakes.deliveries import a_message
from iam.verbs_tape import LosesAnswers, Recorded, Tape
from support.control_world import ENVIRONMENT, REGISTRY, World, dead_letters_of
from support.fleets import a_pool
from tenantctl import places
from tenantctl.ages import Ages
from tenantctl.errors import UnavailableError, UnfinishedError
from tenantctl.inventory import Inventory
from tenantctl.model import RINGS, Home, Ring
from tenantctl.outcomes import Outcome, emit
from tenantctl.ports import Applied, Cluster
from tenantctl.queues import Queues
from tenantctl.registry import Placements
from tenantctl.releases import Held, Release, RingFiles, Train
from tenantctl.tables import Tables
from tenantctl.verbs.beginning import Move
from tenantctl.verbs.deploy import Deployment, deploy
from tenantctl.verbs.letters import redrive
from tenantctl.verbs.move import move
from tenantctl.verbs.offboard import Offboarding, offboard
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.reconcile import reconcile
from tenantctl.verbs.suspend import resume, suspend
from tenantry.contract import idempotent_message_id

HOMES: Final = (
    Home("basic", "pool-1"),
    Home("basic", "pool-2"),
    Home("advanced", "pool-1"),
    Home("premium"),
)


class _S3:
    """A bucket in memory, after S3's API Reference; `fails` names a call that does so once."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fails = ""
        self._parts: dict[str, list[bytes]] = {}

    async def put_object(self, **request: Any) -> Any:
        self.objects[request["Key"]] = request["Body"]
        return {}

    async def create_multipart_upload(self, **request: Any) -> Any:
        self._parts[request["Key"]] = []
        return {"UploadId": "1"}

    async def upload_part(self, **request: Any) -> Any:
        self._parts[request["Key"]].append(request["Body"])
        return {"ETag": "a part"}

    async def complete_multipart_upload(self, **request: Any) -> Any:
        if self.fails:
            self.fails = ""
            raise ClientError({"Error": {"Code": "SlowDown"}}, "CompleteMultipartUpload")
        self.objects[request["Key"]] = b"".join(self._parts[request["Key"]])
        return {}

    async def abort_multipart_upload(self, **_: Any) -> Any:
        return {}

    async def get_object(self, **request: Any) -> Any:
        if request["Key"] not in self.objects:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": _Body(self.objects[request["Key"]])}


class _Body:
    def __init__(self, data: bytes) -> None:
        self._data = data

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def read(self, size: int) -> bytes:
        data, self._data = self._data[:size], self._data[size:]
        return data


class _Metrics:
    """The oldest message is always young."""

    async def get_metric_statistics(self, **request: Any) -> Any:
        at = request["EndTime"] - timedelta(minutes=1)
        return {"Datapoints": [{"Timestamp": at, "Maximum": 60.0}]}


class _Bus:
    async def put_events(self, **_: Any) -> Any:
        return {"FailedEntryCount": 0}


async def _world(folder: Path, tape: Tape, **more: Any) -> World:
    """Two pools, and a control whose clients are written down."""
    world = await World(folder, a_pool("pool-1"), a_pool("pool-2"), **more).begin()
    sqs = cast("Any", Recorded(world.aws.sqs, "sqs", tape))
    dynamodb = cast("Any", Recorded(LosesAnswers(world.aws.dynamodb), "dynamodb", tape))
    world.control.registry = Placements(dynamodb, REGISTRY, clock=world.clock)
    world.control.queues = Queues(sqs, wait_seconds=0, sleep=world.sleep, clock=world.clock)
    world.control.tables = Tables(dynamodb, clock=world.clock, sleep=world.sleep)
    world.control.inventory = Inventory(sqs, dynamodb)
    return world


async def play(folder: Path, monkeypatch: Any) -> Tape:
    """Every verb; what it called is on the tape."""
    tape = Tape()
    await _lives(folder / "lives", tape)
    for number, (old, new) in enumerate(permutations(HOMES, 2)):
        await _move(folder / f"move-{number}", tape, old, new)
    await _key_used_twice(folder / "twice", tape)
    await _taken_back(folder / "back", tape)
    # A part for each write, so that parts are sent at all.
    monkeypatch.setattr(places, "PART_BYTES", 1)
    for tier in ("basic", "advanced", "premium"):
        await _offboard(folder / f"offboard-{tier}", tape, tier)
    await _left_pool(folder / "left", tape)
    await _deploy(folder / "deploy", tape)
    await _outcomes(tape)
    return tape


async def _lives(folder: Path, tape: Tape) -> None:
    """Tenants come, are shut out and let in, and have their dead letters moved back."""
    world = await _world(folder, tape)
    for name, tier in (("acme", "basic"), ("globex", "advanced"), ("initech", "premium")):
        async with tape.of("onboard"):
            await world.onboard(name, tier)
        await world.services.accept(name, 2)
        owner = "pool-1" if tier == "basic" else name
        await world.services.bury(name, dead_letters_of(world, owner))
        for only in (["nobody"], None):
            async with tape.of("redrive"):
                await redrive(world.control, name, only=only)
        async with tape.of("suspend"):
            await suspend(world.control, name)
        async with tape.of("resume"):
            await resume(world.control, name)
    # Nobody waited until it was there, and so nobody registered it.
    await onboard(world.control, Onboarding(tenant_id="hooli", tier="premium"), wait=False)
    for _ in range(20):
        await world.cluster.tick()
    async with tape.of("reconcile"):
        assert any(one.fixed for one in await reconcile(world.control, fix=True))


async def _living(folder: Path, tape: Tape, home: Home) -> World:
    """A tenant with something stored, queued and given up on, and a neighbour."""
    world = await _world(folder, tape)
    for name, where in (("acme", home), ("globex", HOMES[0])):
        await world.onboard(name, where.tier, pool=where.pool)
        await world.services.accept(name, 12)
        await world.services.bury(name, dead_letters_of(world, where.owner(name)))
    world.busy.add("globex")
    await world.turn()
    return world


async def _move(folder: Path, tape: Tape, old: Home, new: Home) -> None:
    world = await _living(folder, tape, old)
    async with tape.of("move"):
        await move(world.control, Move(tenant_id="acme", tier=new.tier, pool=new.pool))


async def _key_used_twice(folder: Path, tape: Tape) -> None:
    """Before and after a switch, by either service: what was stored first is put in its place.

    And what waits on the queue that is left is moved.
    """
    world = await _living(folder, tape, Home("premium"))
    world.behind["acme"] = math.inf
    await world.services.accept("acme", 3)
    message_id = idempotent_message_id("acme", "k")
    for owner, payload, second in (("acme", '{"n":1}', 6), ("pool-1", '{"n":2}', 7)):
        message = replace(a_message("acme"), message_id=message_id, payload=payload)
        item = to_item(Row("acme", message), f"2026-01-02T03:04:0{second}.000001Z")
        table = world.cluster.outputs[owner].table_name
        await world.aws.others_dynamodb.put_item(TableName=table, Item=item)
    async with tape.of("move"):
        await move(world.control, Move(tenant_id="acme", tier="basic", pool="pool-1"))


async def _taken_back(folder: Path, tape: Tape) -> None:
    """A place that never came up is left: nothing of it is there."""
    world = await _living(folder, tape, HOMES[0])
    world.cluster.broken["acme"] = "no capacity"
    async with tape.of("move"):
        try:
            await move(world.control, Move(tenant_id="acme", tier="premium"))
        except UnfinishedError:
            world.busy.clear()

        def told(step: str) -> None:
            if step == "draining":
                world.cluster.broken.clear()

        world.watcher.told = told
        await move(world.control, Move(tenant_id="acme", rollback=True))


async def _offboard(folder: Path, tape: Tape, tier: str) -> None:
    """The first upload fails; then all of it, and once more."""
    world = await _living(
        folder, tape, Home(cast("Any", tier), None if tier == "premium" else "pool-1")
    )
    bucket = _S3()
    bucket.fails = "complete_multipart_upload"
    place = _bucket(bucket, tape)
    for is_first in (True, False, False):
        async with tape.of("offboard"):
            try:
                await offboard(world.control, Offboarding(tenant_id="acme"), place)
            except UnavailableError:
                assert is_first


def _bucket(bucket: _S3, tape: Tape) -> places.Bucket:
    return places.Bucket(cast("Any", Recorded(bucket, "s3", tape)), "exports", "acme")


async def _left_pool(folder: Path, tape: Tape) -> None:
    """A pool that was left and is never empty is judged by its oldest message."""
    world = await _world(folder, tape)
    await world.onboard("acme", "basic", pool="pool-1")
    await world.onboard("globex", "basic", pool="pool-1")
    await move(world.control, Move(tenant_id="acme", tier="premium"))
    await world.services.accept("globex", 5)
    world.behind["pool-1"] = math.inf
    world.control.ages = Ages(cast("Any", Recorded(_Metrics(), "cloudwatch", tape)))
    async with tape.of("offboard"):
        # Nothing of it is dead: a file without a line is written in one piece.
        await offboard(world.control, Offboarding(tenant_id="acme"), _bucket(_S3(), tape))


class _Rings:
    """The lines of a train, and a cluster that runs what they say."""

    def __init__(self, world: World, old: Release) -> None:
        self._world = world
        self._rings: dict[Ring, Held] = dict.fromkeys(RINGS, Held(old))

    async def rings(self, _: Train) -> dict[Ring, Held]:
        return dict(self._rings)

    async def put(self, _: Train, ring: Ring, held: Held, **__: Any) -> Any:
        self._rings[ring] = held
        return SimpleNamespace(commit="a commit")

    async def instances(self) -> dict[str, Applied]:
        census = await self._world.census()
        return {
            one.id: Applied(
                exists=True,
                instance=one,
                is_ready=True,
                chart=str(self._rings[one.ring].release),
            )
            for one in (*census.tenants.values(), *census.pools.values())
        }

    async def nudge(self) -> None:
        pass


class _Shelf:
    async def require(self, _: Release) -> None:
        return None


async def _deploy(folder: Path, tape: Tape) -> None:
    """To tenants of their own, to pools, and where a queue is not there yet."""
    world = await _living(folder, tape, Home("premium"))
    old, new = (Release(f"1.{n}.0", f"sha256:{str(n) * 64}") for n in (3, 4))
    trains: tuple[tuple[Train, bool], ...] = (
        ("premium", True),
        ("pools", True),
        ("premium", False),
    )
    for train, is_there in trains:
        if not is_there:
            url = dead_letters_of(world, "acme")
            await world.aws.others_sqs.delete_queue(QueueUrl=url)
        rings = _Rings(world, old)
        world.control.cluster = cast("Cluster", rings)
        wanted = Deployment(train=train, release=new, soak_seconds=60)
        async with tape.of("deploy"):
            await deploy(world.control, cast("RingFiles", rings), _Shelf(), wanted)


async def _outcomes(tape: Tape) -> None:
    """What came of each: as `tenantctl outcome` tells it, which is no verb's name for reject."""
    bus = Recorded(_Bus(), "events", tape)
    for verb in [*tape.made, "reject"]:
        for succeeded in (True, False):
            outcome = Outcome(
                verb=None if verb == "reject" else cast("Any", verb),
                succeeded=succeeded,
                request_id="1",
                environment=ENVIRONMENT,
            )
            async with tape.of(verb):
                await emit(bus, "local-tenantry", outcome)
