"""What tenantctl does with queues, on engines of SQS."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract.engines import sqs_client
from contract.queues import EngineQueues, Sent
from contract.queues import Queues as Account
from fakes.clock import Clock
from fakes.dying import KilledError, Watched
from fakes.registry import MemoryRegistry, a_placement
from tenantctl.awsfailures import ResourceMissingError
from tenantctl.errors import UnavailableError, UnfinishedError
from tenantctl.queues import (
    DROP,
    Depth,
    Destination,
    Drop,
    Forwarded,
    Letter,
    Queues,
    Route,
    by_placement,
)
from tenantry.contract import Message

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SECRET = "what only the tenant may read"


@pytest.fixture(params=["standin", "ministack"])
def engine(request: pytest.FixtureRequest) -> str:
    """Where the queues are."""
    name: str = request.param
    return name


@pytest.fixture
async def client(engine_url: str) -> AsyncGenerator[Any]:
    """The engine's client."""
    async with sqs_client(engine_url) as client:
        yield client


async def no_sleep(_: float) -> None:
    """Back off by nothing."""


def our(client: Any, **options: Any) -> Queues:
    """What is under test. Short polls see all that an engine on this machine holds."""
    defaults: dict[str, Any] = {"wait_seconds": 0, "visibility_seconds": 2, "sleep": no_sleep}
    return Queues(client, **defaults | options)


def envelope(number: int, tenant_id: str = "acme", payload: str = "{}") -> str:
    """The body of a message."""
    return Message(
        message_id=f"019b7b2e-5c00-7abc-8def-{number:012}",
        tenant_id=tenant_id,
        type="order.created",
        payload=payload,
        accepted_at="2026-01-02T03:04:05.678901Z",
    ).body()


def id_of(number: int) -> str:
    """The id in the envelope."""
    return str(json.loads(envelope(number))["message_id"])


def always(found: Destination | Drop | None) -> Route:
    """The same for every message."""

    async def route(_: Letter) -> Destination | Drop | None:
        return found

    return route


async def bodies(queues: Account, url: str) -> list[str]:
    """What is visible, sorted."""
    return sorted(one.body for one in await queues.contents(url))


async def everything(client: Any, url: str) -> set[str]:
    """Every body that is visible, of a queue that nobody else reads."""
    found: set[str] = set()
    while True:
        answer = await client.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60
        )
        if not answer.get("Messages"):
            return found
        found |= {wire["Body"] for wire in answer["Messages"]}


# Looking


async def test_a_queue_is_found_by_its_name(queues: EngineQueues, client: Any) -> None:
    """None where there is none: that is an answer."""
    url = await queues.make()

    assert await our(client).url(url.rsplit("/", 1)[-1]) == url
    assert await our(client).url("dev-nobody-messages") is None


async def test_the_largest_message_is_what_the_queue_was_made_with(client: Any) -> None:
    """The placement carries it, and producers answer 413 above it."""
    made = await client.create_queue(
        QueueName="small-messages", Attributes={"MaximumMessageSize": "1024"}
    )
    try:
        assert await our(client).max_message_bytes(made["QueueUrl"]) == 1_024
    finally:
        await client.delete_queue(QueueUrl=made["QueueUrl"])


async def test_the_depth_counts_what_is_seen_and_what_is_hidden(
    queues: EngineQueues, client: Any
) -> None:
    """A queue is empty when both are nothing."""
    url = await queues.make()
    assert await our(client).depth(url) == Depth(0, 0, 0)
    await queues.send(url, Sent("a"), Sent("b"), Sent("c"))
    await client.receive_message(QueueUrl=url, MaxNumberOfMessages=1)
    depth = await our(client).depth(url)

    assert (depth.visible, depth.in_flight, depth.total) == (2, 1, 3)


async def test_a_queue_that_is_not_there_is_named(queues: EngineQueues, client: Any) -> None:
    """Whatever was asked of it."""
    ours, url = our(client), queues.missing()
    for asked in (ours.depth(url), ours.forward(url, always(None)), ours.look(url, 1)):
        with pytest.raises(ResourceMissingError, match="queue nobody is not there"):
            await asked


async def test_a_look_tells_of_letters_and_keeps_none(queues: EngineQueues, client: Any) -> None:
    """Ids, type, counts and size; a payload for who asks for it, and all visible afterwards."""
    url = await queues.make()
    body = envelope(1, payload=json.dumps({"a": SECRET}))
    await queues.send(url, Sent(body, {"traceparent": TRACE}), Sent(SECRET))
    letters = {one.problem: one for one in await our(client).look(url, 10)}

    good, bad = letters.pop(""), letters.pop("not JSON")
    assert (good.message_id, good.tenant_id, good.type) == (id_of(1), "acme", "order.created")
    assert good.receive_count == 1
    assert good.sent_at > 1_700_000_000
    assert good.size == len(body) + len("traceparent") + len("String") + len(TRACE)
    assert (bad.message_id, bad.tenant_id, bad.type, bad.size) == (None, None, None, len(SECRET))
    assert SECRET not in repr((good, bad))
    assert await queues.depth(url) == (2, 0)
    with_bodies = await our(client).look(url, 10, payloads=True)
    assert {body, SECRET} == {one.body for one in with_bodies}


async def test_a_look_ends_at_its_limit_and_at_its_tenant(
    queues: EngineQueues, client: Any
) -> None:
    """Of a pool's dead letters one tenant's are shown."""
    url = await queues.make()
    await queues.send(url, *(Sent(envelope(n)) for n in range(15)))
    await queues.send(url, Sent(envelope(20, "globex")))

    assert len(await our(client).look(url, 12)) == 12
    assert await queues.depth(url) == (16, 0)
    (one,) = await our(client).look(url, 99, tenant_id="globex")
    assert one.tenant_id == "globex"
    async with aclosing(our(client).letters(url)) as letters:
        assert len({letter.sqs_id async for letter in letters}) == 16
    assert await queues.depth(url) == (16, 0)


async def test_a_place_in_a_bad_body_names_nothing_of_the_clients(
    queues: EngineQueues, client: Any
) -> None:
    """Only fields of the envelope are told."""
    url = await queues.make()
    await queues.send(url, Sent('{"version": 99}'), Sent('{"%s": 1e400}' % SECRET))
    problems = {one.problem for one in await our(client).look(url, 10)}

    place = "no envelope that is understood: "
    assert {f"{place}/version", f"{place}the whole"} == problems


# Forwarding


async def test_a_message_arrives_as_it_was(queues: EngineQueues, client: Any) -> None:
    """Body, attributes of every type, and in a pool's queue its tenant as the group."""
    old, new = await queues.make(), await queues.make()
    attributes = {
        "traceparent": {"DataType": "String", "StringValue": TRACE},
        "attempts": {"DataType": "Number", "StringValue": "7"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    body = envelope(1, payload='{"ü": "\U0001f600"}')
    await client.send_message(QueueUrl=old, MessageBody=body, MessageAttributes=attributes)
    done = await our(client).forward(old, always(Destination(new, "acme")))

    assert done == Forwarded(forwarded=1)
    answer = await client.receive_message(
        QueueUrl=new, MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"]
    )
    (wire,) = answer["Messages"]
    assert wire["Body"] == body
    kept = ("DataType", "StringValue", "BinaryValue")
    found = {
        name: {key: value[key] for key in kept if value.get(key)}
        for name, value in wire["MessageAttributes"].items()
    }
    assert attributes == found
    assert wire["Attributes"]["MessageGroupId"] == "acme"
    assert await our(client).depth(old) == Depth(0, 0, 0)


async def test_large_messages_go_in_calls_that_sqs_takes(
    queues: EngineQueues, client: Any
) -> None:
    """Ten of 250 KB are more than 1 MiB."""
    old, new = await queues.make(), await queues.make()
    sent = [Sent("%02d" % n + "x" * 250_000) for n in range(10)]
    await queues.send(old, *sent)
    watched = Watched(client)

    assert await our(watched).forward(old, always(Destination(new))) == Forwarded(forwarded=10)
    assert watched.calls["send_message_batch"] >= 3
    assert [one.body for one in sent] == await bodies(queues, new)


async def test_what_a_route_keeps_stays_and_what_it_drops_goes(
    queues: EngineQueues, client: Any
) -> None:
    """What is kept is visible at once when the run ends."""
    old, new = await queues.make(), await queues.make()
    tenants = ["acme", "globex", "initech"] * 7
    await queues.send(old, *(Sent(envelope(n, one)) for n, one in enumerate(tenants)))
    routes = {"acme": Destination(new), "globex": None, "initech": DROP}

    async def route(letter: Letter) -> Destination | Drop | None:
        return routes[str(letter.tenant_id)]

    done = await our(client).forward(old, route)

    assert done == Forwarded(forwarded=7, kept=7, dropped=7)
    assert await queues.depth(old) == (7, 0)
    assert {"globex"} == {json.loads(one)["tenant_id"] for one in await bodies(queues, old)}
    assert len(await bodies(queues, new)) == 7


async def test_a_message_goes_where_its_tenant_lives(queues: EngineQueues, client: Any) -> None:
    """Unknown, malformed or at home: kept. Offboarded: dropped. In a pool: as a group."""
    old, new = await queues.make(), await queues.make()
    registry = MemoryRegistry(
        a_placement("acme", queue_url=new),
        a_placement("globex", tier="premium", pool=None, queue_url=old),
        a_placement("initech", status="offboarded", until=1),
    )
    tenants = ["acme", "globex", "initech", "nobody"]
    await queues.send(old, *(Sent(envelope(n, one)) for n, one in enumerate(tenants)), Sent("{"))
    done = await our(client).forward(old, by_placement(registry, old))

    assert done == Forwarded(forwarded=1, kept=3, dropped=1)
    (arrived,) = await queues.contents(new)
    assert (arrived.body, arrived.group_id) == (envelope(0), "acme")


async def test_entries_that_fail_are_sent_again_and_nothing_else(
    queues: EngineQueues, client: Any
) -> None:
    """HTTP 200 says nothing of an entry; what was not confirmed is not deleted."""
    old, new = await queues.make(), await queues.make()
    await queues.send(old, *(Sent(f"{n}") for n in range(5)))
    passing: Any = {"Code": "InternalError", "SenderFault": False}
    throttled: Any = {"Code": "ThrottlingException", "SenderFault": True}
    failures: list[Any] = []

    async def spoil(call: Any, **request: Any) -> Any:
        if not failures:
            return await call(**request)
        failed = {"Id": request["Entries"].pop()["Id"], **failures.pop()}
        done = await call(**request) if request["Entries"] else {}
        return {**done, "Failed": [failed]}

    for name in ("send_message_batch", "delete_message_batch"):
        failures[:] = [passing, throttled]
        watched = Watched(client, spoils={name: spoil})
        target, source = (new, old) if name.startswith("send") else (old, new)
        assert await our(watched).forward(source, always(Destination(target))) == Forwarded(5)
        assert watched.calls[name] >= 2
        assert await our(client).depth(source) == Depth(0, 0, 0)
    assert ["0", "1", "2", "3", "4"] == await bodies(queues, old)


async def test_what_its_destination_never_takes_stays(queues: EngineQueues, client: Any) -> None:
    """Too large for that queue: counted, visible again, and its neighbours arrive."""
    old, new = await queues.make(), await queues.make(max_message_bytes=1_024)
    await queues.send(old, Sent("a"), Sent("b" * 2_000), Sent("c"))
    done = await our(client).forward(old, always(Destination(new)))

    assert done == Forwarded(forwarded=2, refused=1)
    assert ["a", "c"] == await bodies(queues, new)
    assert ["b" * 2_000] == await bodies(queues, old)


async def test_a_call_that_is_refused_whole_is_halved(queues: EngineQueues, client: Any) -> None:
    """An older SQS takes 256 KiB a call; here, one or two messages."""
    old, new = await queues.make(), await queues.make()
    await queues.send(old, *(Sent(f"{n}") for n in range(5)))
    code = "AWS.SimpleQueueService.BatchRequestTooLong"

    async def spoil(call: Any, **request: Any) -> Any:
        if len(request["Entries"]) > 2:
            raise ClientError({"Error": {"Code": code}}, "SendMessageBatch")
        return await call(**request)

    watched = Watched(client, spoils={"send_message_batch": spoil})
    assert await our(watched).forward(old, always(Destination(new))) == Forwarded(forwarded=5)
    assert ["0", "1", "2", "3", "4"] == await bodies(queues, new)


async def test_what_is_kept_and_comes_back_does_not_keep_a_run_going(
    queues: EngineQueues, client: Any
) -> None:
    """It is new once, however often it is received."""
    url = await queues.make()
    await queues.send(url, Sent("a"), Sent("b"))
    async with asyncio.timeout(10):
        done = await our(client, visibility_seconds=0).forward(url, always(None))

    assert done == Forwarded(kept=2)


async def test_a_destination_that_is_gone_loses_nothing(queues: EngineQueues, client: Any) -> None:
    """The others of the hand are sent and deleted; the error names the queue."""
    old, new = await queues.make(), await queues.make()
    await queues.send(old, *(Sent(envelope(n, one)) for n, one in enumerate(["acme", "globex"])))

    async def route(letter: Letter) -> Destination:
        return Destination(new if letter.tenant_id == "acme" else queues.missing())

    with pytest.raises(UnavailableError, match="queue nobody is not there"):
        await our(client).forward(old, route)
    assert [envelope(0)] == await bodies(queues, new)
    assert [envelope(1, "globex")] == await bodies(queues, old)


@pytest.mark.parametrize("engine", ["standin"], indirect=True)
async def test_a_forward_that_is_killed_anywhere_loses_nothing(
    queues: EngineQueues, client: Any
) -> None:
    """Before and after each of its calls; done again, everything is there at least once."""
    sent = sorted(envelope(n) for n in range(12))

    async def killed(dies_at: int, after: bool) -> bool:
        old, new = await queues.make(), await queues.make()
        await queues.send(old, *map(Sent, sent))
        watched = Watched(client, dies_at=dies_at, after=after)
        with suppress(KilledError):
            await our(watched).forward(old, always(Destination(new)))
        while (await our(client).depth(old)).total:
            await our(client, wait_seconds=1).forward(old, always(Destination(new)))
        assert await everything(client, new) == set(sent)
        return watched.is_dead

    deaths = await asyncio.gather(
        *(killed(n, after) for n in range(1, 12) for after in (False, True))
    )

    assert deaths.count(True) >= 14  # two hands of three calls, and what ends a run
    assert deaths.count(False) > 0  # and beyond the last call nothing died


async def test_what_is_held_stays_hidden_for_as_long_as_it_is_looked_at(
    queues: EngineQueues, client: Any
) -> None:
    """Beyond the first hold letters came back, were taken for all there was, and the rest lost."""
    url = await queues.make()
    await queues.send(url, *(Sent(envelope(n)) for n in range(23)))
    clock = Clock()

    async def slow(call: Any, **request: Any) -> Any:
        clock.advance(20)
        return await call(**request)

    watched = Watched(client, spoils={"receive_message": slow})
    ours = our(watched, hold_seconds=30, clock=clock)
    async with aclosing(ours.letters(url, whole=True)) as letters:
        assert len([letter async for letter in letters]) == 23
    assert watched.calls["change_message_visibility_batch"] > 3
    assert await queues.depth(url) == (23, 0)


async def test_a_part_of_a_queue_is_not_taken_for_the_whole(
    queues: EngineQueues, client: Any
) -> None:
    """What somebody else holds is named, and what was seen is given back."""
    url = await queues.make()
    await queues.send(url, *(Sent(envelope(n)) for n in range(15)))
    await client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=600)
    clock = Clock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    ours = our(client, clock=clock, sleep=sleep)
    assert len(await ours.look(url, 100)) == 5
    with pytest.raises(UnfinishedError, match="holds 15 messages, and 5 of them can be received"):
        async with aclosing(ours.letters(url, whole=True)) as letters:
            assert [letter async for letter in letters] == []
    assert await queues.depth(url) == (5, 10)


async def test_counts_that_lag_are_waited_for(queues: EngineQueues, client: Any) -> None:
    """SQS says a minute late what is visible."""
    url = await queues.make()
    await queues.send(url, Sent(envelope(1)))
    late = iter([1, 1, 0])
    clock = Clock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    async def attributes(call: Any, **request: Any) -> Any:
        answer = await call(**request)
        answer["Attributes"]["ApproximateNumberOfMessages"] = str(next(late))
        return answer

    watched = Watched(client, spoils={"get_queue_attributes": attributes})
    ours = our(watched, clock=clock, sleep=sleep)
    async with aclosing(ours.letters(url, whole=True)) as letters:
        assert len([letter async for letter in letters]) == 1
    assert next(late, None) is None


# Dead letters


async def test_dead_letters_go_back_as_they_were(queues: EngineQueues, client: Any) -> None:
    """Those that were named, or all; the rest is visible again at once."""
    dead, queue = await queues.make(), await queues.make()
    await queues.send(
        dead, *(Sent(envelope(n), {"traceparent": TRACE}, "acme") for n in range(12))
    )
    some = await our(client).redrive(dead, queue, only={id_of(3), id_of(7)})

    assert some == Forwarded(forwarded=2, kept=10)
    found = await queues.contents(queue)
    assert {envelope(3), envelope(7)} == {one.body for one in found}
    assert {(TRACE, "acme")} == {(one.attributes["traceparent"], one.group_id) for one in found}
    assert await queues.depth(dead) == (10, 0)
    assert await our(client).redrive(dead, queue) == Forwarded(forwarded=10)


async def test_a_redrive_follows_its_tenant(queues: EngineQueues, client: Any) -> None:
    """The letter of a tenant that moved goes to where it lives now."""
    dead, elsewhere = await queues.make(), await queues.make()
    await queues.send(dead, Sent(envelope(1), group_id="acme"))
    moved = a_placement(tier="premium", pool=None, queue_url=elsewhere)
    done = await our(client).redrive(dead, by_placement(MemoryRegistry(moved), dead))

    assert done == Forwarded(forwarded=1)
    assert [Sent(envelope(1))] == await queues.contents(elsewhere)


async def test_what_dies_again_at_once_does_not_go_round(
    queues: EngineQueues, client: Any
) -> None:
    """A run moves a message once, however often it comes back."""
    dead = await queues.make()
    await queues.send(dead, Sent(envelope(1)), Sent("{"))
    # Whoever receives from this queue finds what it was sent there again, at once.
    done = await our(client).redrive(dead, dead)

    assert done == Forwarded(forwarded=2, kept=2)
    assert sorted(["{", envelope(1)]) == await bodies(queues, dead)


async def test_only_what_was_exported_is_deleted(queues: EngineQueues, client: Any) -> None:
    """What died meanwhile stays."""
    dead = await queues.make()
    await queues.send(dead, *(Sent(envelope(n)) for n in range(3)))
    exported = {one.sqs_id for one in await our(client).look(dead, 10)}
    await queues.send(dead, Sent(envelope(9)))
    done = await our(client).drain_delete(dead, exported)

    assert done == Forwarded(dropped=3, kept=1)
    assert [envelope(9)] == await bodies(queues, dead)
