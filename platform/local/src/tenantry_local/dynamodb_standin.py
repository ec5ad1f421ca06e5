"""Stand-in for a table of DynamoDB: its keys, its items, and the order in which they are read.

State alone: no I/O, no clock, no words of the protocol (`dynamodb_api_standin` speaks those).

It honours keys (a partition key, perhaps a sort key; their types and sizes), the order of sort
keys within a partition, and the order of a scan, which is by the digest of the partition key.
It has no secondary indexes and no streams; every read is consistent; nothing expires by a time
to live; a partition takes any number of writes a second.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, Final

from tenantry_local.dynamodb_values_standin import (
    Item,
    RefusedValueError,
    Value,
    comparable,
    measure,
)

_HASH_KEY_BYTES: Final = 2_048
_RANGE_KEY_BYTES: Final = 1_024
#: A key of so many characters has no more bytes than that, whichever they are.
_SURE_CHARACTERS: Final = _RANGE_KEY_BYTES // 4
#: So many new keys are put in their place one by one; more are sorted in.
_INSERT_MOST: Final = 64

#: Partition and sort key, as they compare; the second is None in tables without one.
Key = tuple[Any, Any]


@dataclass(slots=True)
class Stored:
    """An item and its bytes."""

    item: Item
    size: int


class Partition:
    """The items of one partition key."""

    def __init__(self) -> None:
        self.items: dict[Any, Stored] = {}
        self._ordered: list[Any] = []
        self._fresh: list[Any] = []

    def put(self, key: Any, stored: Stored) -> None:
        """Write an item."""
        if key not in self.items:
            self._fresh.append(key)
        self.items[key] = stored

    def remove(self, key: Any) -> None:
        """Delete an item that is there."""
        del self.items[key]
        ordered = self.ordered()
        del ordered[bisect_left(ordered, key)]

    def ordered(self) -> list[Any]:
        """Every sort key, in order."""
        if self._fresh:
            if len(self._fresh) <= _INSERT_MOST:
                for key in self._fresh:
                    insort(self._ordered, key)
            else:
                self._ordered += self._fresh
                self._ordered.sort()
            self._fresh = []
        return self._ordered


@dataclass(slots=True, eq=False)
class Table:
    """A table. `keys` are the names of its key attributes with their types."""

    name: str
    keys: dict[str, str]
    description: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    _partitions: dict[Any, Partition] = field(default_factory=dict)
    # The names of two keys that are strings: what is mostly there, and looked at quickly.
    _strings: tuple[str, ...] | None = field(init=False)
    # Digest and key of each partition: a scan's order.
    _scanned: list[tuple[bytes, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        is_plain = len(self.keys) > 1 and set(self.keys.values()) == {"S"}
        self._strings = tuple(self.keys) if is_plain else None

    def key_of(self, item: Mapping[str, Value]) -> Key:
        """The key of an item.

        Raises:
            RefusedValueError: It has none of this table's.
        """
        if self._strings is not None:
            try:
                key = item[self._strings[0]]["S"], item[self._strings[1]]["S"]
            except KeyError:
                pass  # said below
            else:
                if 0 < len(key[0]) <= _SURE_CHARACTERS and 0 < len(key[1]) <= _SURE_CHARACTERS:
                    return key
        hash_key, *rest = (self._part(item, name) for name in self.keys)
        return hash_key, rest[0] if rest else None

    def exact_key(self, key: Mapping[str, Value]) -> Key:
        """A key that is nothing but one.

        Raises:
            RefusedValueError: It is none of this table's.
        """
        if any(set(key.get(name, {})) != {kind} for name, kind in self.keys.items()) or len(
            key
        ) != len(self.keys):
            raise RefusedValueError("The provided key element does not match the schema")
        measure(key)
        return self.key_of(key)

    def _part(self, item: Mapping[str, Value], name: str) -> Any:
        kind = self.keys[name]
        value = item.get(name)
        if value is None:
            raise RefusedValueError(
                f"One or more parameter values were invalid: Missing the key {name} in the item"
            )
        if kind not in value:
            raise RefusedValueError(
                f"One or more parameter values were invalid: Type mismatch for key {name} "
                f"expected: {kind} actual: {next(iter(value))}"
            )
        part = comparable(value)[1]
        if kind != "N":
            self._check_length(name, part, is_range=name != next(iter(self.keys)))
        return part

    @staticmethod
    def _check_length(name: str, key: str | bytes, *, is_range: bool) -> None:
        if not key:
            raise RefusedValueError(
                "One or more parameter values are not valid. The AttributeValue for a key "
                f"attribute cannot contain an empty string value. Key: {name}"
            )
        most = _RANGE_KEY_BYTES if is_range else _HASH_KEY_BYTES
        if len(key.encode() if isinstance(key, str) else key) > most:
            which = "rangekey" if is_range else "hashkey"
            raise RefusedValueError(
                f"One or more parameter values were invalid: Size of {which} has exceeded the "
                f"maximum size limit of {most} bytes"
            )

    def __len__(self) -> int:
        return sum(len(partition.items) for partition in self._partitions.values())

    @property
    def size(self) -> int:
        """Bytes of all items."""
        return sum(one.size for part in self._partitions.values() for one in part.items.values())

    def get(self, key: Key) -> Stored | None:
        """The item of a key."""
        partition = self._partitions.get(key[0])
        return None if partition is None else partition.items.get(key[1])

    def put(self, key: Key, stored: Stored) -> None:
        """Write an item, in place of another that may be there."""
        partition = self._partitions.get(key[0])
        if partition is None:
            partition = self._partitions[key[0]] = Partition()
            insort(self._scanned, (_digest(key[0]), key[0]))
        partition.put(key[1], stored)

    def add(self, key: Key, stored: Stored) -> bool:
        """Write an item, unless there is one."""
        partition = self._partitions.get(key[0])
        if partition is not None and key[1] in partition.items:
            return False
        self.put(key, stored)
        return True

    def delete(self, key: Key) -> None:
        """Delete an item, if it is there."""
        partition = self._partitions.get(key[0])
        if partition is not None and key[1] in partition.items:
            partition.remove(key[1])
            if not partition.items:
                del self._partitions[key[0]]
                del self._scanned[bisect_left(self._scanned, (_digest(key[0]), key[0]))]

    def query(
        self, partition_key: Any, *, after: Any = None, forward: bool = True
    ) -> Iterator[Stored]:
        """Items of a partition in the order of their sort keys, from behind one on."""
        partition = self._partitions.get(partition_key)
        if partition is None:
            return
        ordered = partition.ordered()
        if forward:
            start = 0 if after is None else bisect_right(ordered, after)
            places = range(start, len(ordered))
        else:
            start = len(ordered) if after is None else bisect_left(ordered, after)
            places = range(start - 1, -1, -1)
        for place in places:
            yield partition.items[ordered[place]]

    def scan(self, *, after: Key | None = None) -> Iterator[Stored]:
        """Every item, from behind a key on."""
        start = 0
        if after is not None:
            yield from self.query(after[0], after=after[1]) if after[1] is not None else ()
            start = bisect_right(self._scanned, (_digest(after[0]), after[0]))
        for _, key in self._scanned[start:]:
            yield from self.query(key)


def _digest(key: Any) -> bytes:
    return md5(repr(key).encode(), usedforsecurity=False).digest()
