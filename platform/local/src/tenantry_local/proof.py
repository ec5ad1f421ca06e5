"""The proof: every accepted message is stored once, unchanged, under its tenant, in its table.

It asks the tables and nobody else, with a client of its own, and compares what they hold with
the input as the standard library parses it. It shares no code with the services and none with
their library, so that no mistake of theirs can hide itself here.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_dynamodb.type_defs import ScanOutputTypeDef

_COUNT_PAGE: Final = 2_000
_READ_PAGE: Final = 100
#: How long to wait for empty queues when everything is stored: late copies come from there.
_DRAIN_SECONDS: Final = 20.0


class TableUnreadableError(Exception):
    """A table cannot be read, so nothing is proven."""


@dataclass(frozen=True, slots=True)
class Expected:
    """A message that was accepted: by whose id, from which line, and where it belongs."""

    message_id: str
    tenant_id: str
    table_name: str
    line: int
    type: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with one message. `line` is None for what nobody sent."""

    message_id: str
    tenant_id: str
    line: int | None
    what: str


@dataclass(slots=True)
class Proof:
    """What the tables hold. It holds when nothing was found.

    Attributes:
        stored: Accepted messages that are where they belong, by tenant.
        duplicates: Items beyond one for an accepted message, by tenant.
        seconds: From accepted to stored, each message, by tenant.
    """

    findings: list[Finding] = field(default_factory=list)
    stored: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@dataclass(frozen=True, slots=True)
class _Stray:
    message_id: str
    partition: str
    table_name: str
    type: str
    payload: str
    accepted_at: str


async def wait_until_stored(
    client: DynamoDBClient,
    expected: Sequence[Expected],
    tables: Sequence[str],
    in_queues: Callable[[], Awaitable[int]],
    on_stored: Callable[[int], object],
    *,
    patience_seconds: float = 60.0,
    settle_seconds: float = 3.0,
    calm_seconds: float = 1.0,
    poll_seconds: float = 0.5,
) -> None:
    """Wait while messages arrive: until all could be there, or none came for a while.

    When all could be there it goes on for `calm_seconds` of empty queues, for a copy that comes
    late. It waits no longer when the queues stay empty for `settle_seconds`, for then nobody
    holds what is missing. It decides nothing: that is `prove`'s.

    Raises:
        TableUnreadableError: A table cannot be read.
    """
    wanted = len(expected)
    best = -1
    progress_at = complete_at = empty_at = time.monotonic()
    while True:
        stored = sum([await _count(client, table) for table in tables])
        waiting = await in_queues()
        now = time.monotonic()
        if stored > best:
            best, progress_at = stored, now
            on_stored(min(stored, wanted))
        if stored < wanted:
            complete_at = now
        if waiting:
            empty_at = now
        is_calm = now - max(complete_at, empty_at) > calm_seconds
        if stored >= wanted and (is_calm or now - complete_at > _DRAIN_SECONDS):
            return
        if now - max(empty_at, progress_at) > settle_seconds and not waiting:
            return
        if now - progress_at > patience_seconds:
            return
        await asyncio.sleep(poll_seconds)


async def prove(
    client: DynamoDBClient, expected: Sequence[Expected], tables: Sequence[str]
) -> Proof:
    """Read every table in whole, and compare.

    Raises:
        TableUnreadableError: A table cannot be read.
    """
    proof = Proof()
    _find_shared_ids(proof, expected)
    by_id = {message.message_id: message for message in expected}
    places: defaultdict[str, list[str]] = defaultdict(list)
    strays: list[_Stray] = []
    accepted_at: dict[str, str] = {}
    for table in tables:
        async for item in _items(client, table):
            message_id, partition = _text(item, "message_id"), _text(item, "tenant_id")
            message = by_id.get(message_id)
            if message is None:
                type_, payload = _text(item, "type"), _text(item, "payload")
                instant = _text(item, "accepted_at")
                strays.append(_Stray(message_id, partition, table, type_, payload, instant))
                continue
            accepted_at[message_id] = _text(item, "accepted_at")
            places[message_id].append(_place(table, partition))
            if (table, partition) == (message.table_name, message.tenant_id):
                proof.stored[message.tenant_id] += 1
                _compare(proof, message, item)
    for message in expected:
        _judge_places(proof, message, places[message.message_id])
    _judge_strays(proof, strays, expected, accepted_at)
    proof.findings.sort(key=lambda finding: (finding.line is None, finding.line))
    return proof


def _find_shared_ids(proof: Proof, expected: Sequence[Expected]) -> None:
    times = Counter(message.message_id for message in expected)
    for message in expected:
        if times[message.message_id] > 1:
            _find(proof, message, "its id was given to another message too")


def _judge_places(proof: Proof, message: Expected, places: list[str]) -> None:
    proof.duplicates[message.tenant_id] += max(0, len(places) - 1)
    belongs = _place(message.table_name, message.tenant_id)
    if not places:
        _find(proof, message, f"not stored anywhere; it belongs in {belongs}")
    elif belongs not in places:
        _find(proof, message, f"stored in {' and '.join(places)}; it belongs in {belongs}")
    elif len(places) > 1:
        others = [place for place in places if place != belongs]
        _find(proof, message, f"stored again, in {' and '.join(others)}")


def _place(table: str, partition: str) -> str:
    return f"{table} under {partition}"


def _compare(proof: Proof, message: Expected, item: dict[str, Any]) -> None:
    if (type_ := _text(item, "type")) != message.type:
        _find(proof, message, f"its type was {message.type!r} and is {type_!r}")
    try:
        stored = json.loads(_text(item, "payload"), object_pairs_hook=_pairs)
    except ValueError as error:
        _find(proof, message, f"its stored payload is not JSON: {error}")
    else:
        sent = json.loads(message.text, object_pairs_hook=_pairs)["payload"]
        if (difference := _difference(sent, stored, "payload")) is not None:
            _find(proof, message, f"its payload changed: {difference}")
    try:
        accepted_at = datetime.fromisoformat(_text(item, "accepted_at"))
        stored_at = datetime.fromisoformat(_text(item, "stored_at"))
        proof.seconds[message.tenant_id].append((stored_at - accepted_at).total_seconds())
    except (ValueError, TypeError) as error:
        _find(proof, message, f"accepted_at or stored_at is not an instant: {error}")


def _judge_strays(
    proof: Proof,
    strays: Sequence[_Stray],
    expected: Sequence[Expected],
    accepted_at: Mapping[str, str],
) -> None:
    """Items whose id nobody was given: a second copy of a message, or nobody's.

    Of messages that are equal the one that was accepted at the same instant was copied.
    """
    types = {stray.type for stray in strays}
    sent = [
        (message, json.loads(message.text)["payload"])
        for message in expected
        if message.type in types
    ]
    for stray in strays:
        place = _place(stray.table_name, stray.partition)
        try:
            payload = json.loads(stray.payload)
        except ValueError:
            payload = None

        def likeness(pair: tuple[Expected, Any], stray: _Stray = stray) -> tuple[bool, bool]:
            message = pair[0]
            return (
                accepted_at.get(message.message_id) != stray.accepted_at,
                message.tenant_id != stray.partition,
            )

        for message, original in sorted(sent, key=likeness):
            if message.type == stray.type and _difference(original, payload, "") is None:
                proof.duplicates[message.tenant_id] += 1
                _find(proof, message, f"stored again as {stray.message_id}, in {place}")
                break
        else:
            what = f"stored in {place}, but never accepted"
            proof.findings.append(Finding(stray.message_id, stray.partition, None, what))


def _difference(sent: Any, stored: Any, where: str) -> str | None:
    """Where two values differ first, or None. 1, 1.0 and True are three values; so is -0.0."""
    if type(sent) is not type(stored):
        return f"{where} was {_short(sent)} and is {_short(stored)}"
    if isinstance(sent, dict):
        if sent.keys() != stored.keys():
            keys = sorted(sent.keys() ^ stored.keys())
            return f"{where} gained or lost the key {_short(keys[0])}"
        steps = ((sent[key], stored[key], f"{where}.{key}") for key in sent)
    elif isinstance(sent, list):
        if len(sent) != len(stored):
            return f"{where} had {len(sent)} elements and has {len(stored)}"
        steps = (
            (one, other, f"{where}[{index}]")
            for index, (one, other) in enumerate(zip(sent, stored, strict=True))
        )
    else:
        is_same = sent == stored
        if isinstance(sent, float):
            is_same = is_same and math.copysign(1, sent) == math.copysign(1, stored)
        return None if is_same else f"{where} was {_short(sent)} and is {_short(stored)}"
    return next((d for step in steps if (d := _difference(*step)) is not None), None)


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        msg = "a key stands twice in one object"
        raise ValueError(msg)
    return value


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - fits a line


def _find(proof: Proof, message: Expected, what: str) -> None:
    proof.findings.append(Finding(message.message_id, message.tenant_id, message.line, what))


def _text(item: dict[str, Any], name: str) -> str:
    text: str = item.get(name, {}).get("S", "")
    return text


async def _scan(client: DynamoDBClient, table: str, **request: Any) -> ScanOutputTypeDef:
    try:
        return await client.scan(TableName=table, ConsistentRead=True, **request)
    except (BotoCoreError, ClientError) as error:
        msg = f"table {table} cannot be read: {error}"
        raise TableUnreadableError(msg) from error


async def _count(client: DynamoDBClient, table: str) -> int:
    total = 0
    start: dict[str, Any] = {}
    while True:
        page = await _scan(client, table, Select="COUNT", Limit=_COUNT_PAGE, **start)
        total += page["Count"]
        if not page.get("LastEvaluatedKey"):
            return total
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


async def _items(client: DynamoDBClient, table: str) -> AsyncGenerator[dict[str, Any], None]:
    start: dict[str, Any] = {}
    while True:
        page = await _scan(client, table, Limit=_READ_PAGE, **start)
        for item in page["Items"]:
            yield item
        if not page.get("LastEvaluatedKey"):
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
