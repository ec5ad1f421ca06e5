"""Items as DynamoDB has them: their size, their content, and as JSON."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from tenantry.contract import partition, utf8_bytes, write_units

#: Attributes by name, each as its type and value, as the client gives them.
Item = Mapping[str, Any]

#: Differ between two copies of one message: a client that tries again with its key gets another
#: `accepted_at`, a message that was delivered to both tables two times of storing, and tables may
#: have other shards. The payload, and what is not known here, does not.
_OF_THE_COPY: Final = frozenset({"tenant_id", "accepted_at", "stored_at", "version"})
#: A number of 38 digits, a truth value or a type's overhead: at most, and rarely there.
_SCALAR_BYTES: Final = 21
#: The version of an UUID that is made of an idempotency key (`contract.idempotent_message_id`).
_OF_A_KEY: Final = 5
_SETS: Final = frozenset({"SS", "NS", "BS"})


@dataclass(frozen=True, slots=True)
class Digest:
    """What a tenant's items come to: how many, and SHA-256 over all of them in key order."""

    count: int
    sha256: str


def key_of(item: Item) -> dict[str, Any]:
    """The key alone."""
    return {"tenant_id": item["tenant_id"], "message_id": item["message_id"]}


def sort_key(item: Item) -> bytes:
    """What orders the items of a tenant: the message's id, in bytes as DynamoDB compares."""
    text: str = item["message_id"]["S"]
    return text.encode()


def relocated(item: Item, tenant_id: str, shards: int) -> dict[str, Any]:
    """The same item under the partition that it has where there are so many shards."""
    return {
        **item,
        "tenant_id": {"S": partition(tenant_id, item["message_id"]["S"], shards)},
    }


def has_same_content(one: Item, other: Item) -> bool:
    """Whether both are copies of one message: equal but for when and where they were stored."""
    names = (one.keys() | other.keys()) - _OF_THE_COPY
    return all(
        name in one and name in other and _canonical(one[name]) == _canonical(other[name])
        for name in names
    )


def first_of(one: Item, other: Item) -> Item | None:
    """Which of two contents under one id stays; None: nobody can tell.

    A client that used its idempotency key twice has what was stored first, as in one table, and
    the other is a conflict. Other ids are never given twice: there something is wrong.
    """
    try:
        of_a_key = all(UUID(item["message_id"]["S"]).version == _OF_A_KEY for item in (one, other))
        first = min(one, other, key=_stored)
    except (KeyError, ValueError):
        return None
    return first if of_a_key else None


def _stored(item: Item) -> tuple[str, str]:
    """When, in an order that is the same whichever is looked at first."""
    return item["stored_at"]["S"], repr(_canonical(item["payload_sha256"]))


def item_units(item: Item) -> int:
    """Write units that storing or deleting it costs."""
    return write_units(sum(utf8_bytes(name) + _value_bytes(value) for name, value in item.items()))


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return utf8_bytes(content)
    if kind == "B":
        return len(content)
    if kind in _SETS:
        return sum(_value_bytes({kind[0]: one}) for one in content)
    if kind == "L":
        return 3 + sum(1 + _value_bytes(one) for one in content)
    if kind == "M":
        return 3 + sum(1 + utf8_bytes(name) + _value_bytes(one) for name, one in content.items())
    return _SCALAR_BYTES


def sent_bytes(value: Any) -> int:
    """Bytes that a part of a request takes as the client sends it: JSON in ASCII."""
    return len(json.dumps(value, default=_base64))


class Digester:
    """Digests the items of one tenant, which come in the order of their keys."""

    def __init__(self, tenant_id: str) -> None:
        self._tenant = {"S": tenant_id}
        self._hash = hashlib.sha256()
        self._count = 0

    def add(self, item: Item) -> None:
        """The next item. Of its partition the tenant counts, and not the shard."""
        data = _canonical({**item, "tenant_id": self._tenant})
        self._hash.update(b"%d\n" % len(data))
        self._hash.update(data)
        self._count += 1

    def digest(self) -> Digest:
        """Of all until now."""
        return Digest(self._count, self._hash.hexdigest())


def _canonical(value: Any) -> bytes:
    return orjson.dumps(_sorted_sets(value), default=_base64, option=orjson.OPT_SORT_KEYS)


def _sorted_sets(value: Any) -> Any:
    """A set has no order, and comes in any."""
    if isinstance(value, Mapping):
        return {
            name: sorted(one) if name in _SETS and isinstance(one, list) else _sorted_sets(one)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_sorted_sets(one) for one in value]
    return value


def _base64(value: Any) -> str:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} is nothing that DynamoDB holds")


def to_json(item: Item) -> bytes:
    """One line of JSON: texts as they are stored, bytes in base64, numbers digit by digit."""
    return orjson.dumps({name: _plain(value) for name, value in item.items()})


def is_line_of(line: bytes, item: Item) -> bool:
    """Whether a line of an export is this item, in any order of its attributes."""
    mine = to_json(item)
    return line == mine or _read(line) == _read(mine)


def sort_key_of(line: bytes) -> bytes:
    """As `sort_key`, of a line of an export."""
    text: str = orjson.loads(line)["message_id"]
    return text.encode()


def _read(line: bytes) -> Any:
    # Numbers digit by digit: DynamoDB's have more than a double.
    return json.loads(line, parse_float=str, parse_int=str)


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, content),) = value.items()
    if kind == "N":
        return orjson.Fragment(content)
    if kind == "B":
        return _base64(content)
    if kind in _SETS:
        return [_plain({kind[0]: one}) for one in sorted(content)]
    if kind == "L":
        return [_plain(one) for one in content]
    if kind == "M":
        return {name: _plain(one) for name, one in content.items()}
    return None if kind == "NULL" else content
