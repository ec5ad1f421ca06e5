"""What travels on the queues and rests in the tables: envelope and item, version 1.

Both are contracts with programs that are not ours; `docs/contract.md` describes them for
those, and golden samples in `tests/contract/golden` hold them still.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import re
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, isinf
from typing import Any, Final

import jiter
import orjson

from tenantry.errors import InvalidMessageError, MalformedBodyError
from tenantry.limits import JSON_LEVELS, TYPE_CHARACTERS, WRITE_UNIT_BYTES
from tenantry.tenant_id import TenantId, parse_tenant_id

#: The version that is written. Consumers take this one and the one before.
VERSION: Final = 1
ACCEPTED_VERSIONS: Final = frozenset({1})

#: Namespace of the ids that are made from an Idempotency-Key: part of the wire contract.
IDEMPOTENCY_NAMESPACE: Final = uuid.UUID("6f1c3a52-0d0e-5b7e-9a51-7d1f0c9e4b21")

TYPE_PATTERN: Final = r"[A-Za-z0-9._:/-]{1,%d}" % TYPE_CHARACTERS
MESSAGE_ID_PATTERN: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
INSTANT_PATTERN: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z"

_TYPE = re.compile(TYPE_PATTERN)
_MESSAGE_ID = re.compile(MESSAGE_ID_PATTERN)
_INSTANT = re.compile(INSTANT_PATTERN)

# A body without these, and without more openers than levels, holds no number beyond 64 bits,
# none that overflows and no deep nesting: the walk over every value is then not needed. A table
# and a search for bytes, since a regular expression costs more than the walk that it saves.
_SHAPES: Final = bytes(
    ord(
        "0"
        if byte in b"0123456789"
        else "e"
        if byte in b"eE"
        else "+"
        if byte == ord("+")
        else " "
    )
    for byte in range(256)
)
_DIGITS: Final = b"0" * 19
_EXPONENT: Final = b"e000"
_SIGNED_EXPONENT: Final = b"e+000"

#: Up to here a body is parsed while the collector of garbage runs.
_COLLECTED_BYTES: Final = 65_536

_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1

# Valid JSON, but not allowed in SQS, which takes what XML 1.0 takes.
_NONCHARACTERS: Final = ((b"\xef\xbf\xbe", rb"\ufffe"), (b"\xef\xbf\xbf", rb"\uffff"))


@dataclass(frozen=True, slots=True)
class Message:
    """One message of one tenant.

    Attributes:
        message_id: UUID in its canonical lower-case form. UUIDv7, or UUIDv5 of an
            Idempotency-Key.
        tenant_id: The tenant, from a verified token.
        type: What the payload is; 1 to 128 of `[A-Za-z0-9._:/-]`.
        payload: A JSON object as compact JSON text.
        accepted_at: When the producer took it, RFC 3339 in UTC.
        version: Of the envelope.
    """

    message_id: str
    tenant_id: str
    type: str
    payload: str
    accepted_at: str
    version: int = VERSION

    def body(self) -> str:
        """The envelope, as it is sent. No field but the payload can hold what JSON escapes."""
        return (
            f'{{"version":{self.version},"message_id":"{self.message_id}",'
            f'"tenant_id":"{self.tenant_id}","type":"{self.type}",'
            f'"payload":{self.payload},"accepted_at":"{self.accepted_at}"}}'
        )

    def payload_sha256(self) -> bytes:
        """Digest of type, a line feed, and the payload's text: what an item's reader can check."""
        return hashlib.sha256(f"{self.type}\n{self.payload}".encode()).digest()

    @property
    def is_idempotent(self) -> bool:
        """Whether the id was made from an Idempotency-Key (UUIDv5)."""
        return self.message_id[14] == "5"


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as its item holds it."""

    message: Message
    payload_sha256: bytes
    stored_at: str


def parse_json(body: bytes) -> Any:
    """The value of a JSON text, or an error that says where it cannot be kept unchanged.

    Raises:
        MalformedBodyError: Not JSON.
        InvalidMessageError: JSON, but with duplicate keys, NaN, an integer beyond 64 bits, a
            number that overflows, a lone surrogate or more than 64 levels.
    """
    # A large body can be half a million lists: the collector would go through all that the
    # process holds, over and over, for nothing, since what was parsed has no cycles.
    pauses = len(body) > _COLLECTED_BYTES and gc.isenabled()
    if pauses:
        gc.disable()
    try:
        return _parsed(body)
    finally:
        if pauses:
            gc.enable()


def _parsed(body: bytes) -> Any:
    try:
        value = jiter.from_json(body, catch_duplicate_keys=True, allow_inf_nan=False)
    except ValueError as error:
        raise _refusal(body, str(error)) from None
    shape = body.translate(_SHAPES)
    if (
        _DIGITS in shape
        or _EXPONENT in shape
        or _SIGNED_EXPONENT in shape
        or body.count(b"{") + body.count(b"[") > JSON_LEVELS
    ):
        _refuse_what_cannot_be_kept(value)
    return value


def _refusal(body: bytes, reason: str) -> MalformedBodyError | InvalidMessageError:
    """Told apart by the lenient parser: what it takes is JSON to most people."""
    try:
        # Integers as floats: the parser of the library refuses those of thousands of digits.
        json.loads(body, parse_int=float)
    except RecursionError:
        return InvalidMessageError(f"nested more than {JSON_LEVELS} levels deep")
    except ValueError:
        return MalformedBodyError(f"the body is not JSON: {reason}")
    return InvalidMessageError(f"the body cannot be kept unchanged: {reason}")


def _refuse_what_cannot_be_kept(root: Any) -> None:
    # Level by level, since it blocks everybody: a stack of iterators takes 0.26 s for a megabyte
    # of `[],`, this 0.03 s. The outermost list holds the root as a value like any other.
    levels: list[list[Any]] = [[[root]]]
    while levels[-1]:
        below: list[Any] = []
        for parent in levels[-1]:
            for value in parent.values() if type(parent) is dict else parent:
                kind = type(value)
                if kind is dict or kind is list:
                    below.append(value)
                elif kind is float:
                    if isinf(value):
                        reason = "the number is too large for 64 bits"
                        raise InvalidMessageError(reason, _pointer(levels, value))
                elif kind is int and not _INT_MIN <= value <= _INT_MAX:
                    reason = "the integer is beyond 64 bits"
                    raise InvalidMessageError(reason, _pointer(levels, value))
        if below and len(levels) > JSON_LEVELS:
            reason = f"nested more than {JSON_LEVELS} levels deep"
            raise InvalidMessageError(reason, _pointer(levels, below[0]))
        levels.append(below)


def _pointer(levels: list[list[Any]], value: Any) -> str:
    """The way to a value of the last level: looked for once it is wanted, from its end."""
    steps: list[object] = []
    for level in reversed(levels):
        step, value = next(
            (step, parent)
            for parent in level
            for step, one in (parent.items() if type(parent) is dict else enumerate(parent))
            if one is value
        )
        steps.append(step)
    # The last one found leads to the root, which has no name.
    return "".join(f"/{escape_pointer(step)}" for step in reversed(steps[:-1]))


def escape_pointer(key: object) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def dump_json(value: Any) -> str:
    """Compact JSON text that SQS takes and that parses to the same value."""
    text = orjson.dumps(value)
    if b"\xef\xbf" in text:
        for character, escape in _NONCHARACTERS:
            text = text.replace(character, escape)
    return text.decode()


#: Fields of an envelope: the rest of what it may hold is not ours.
ENVELOPE_FIELDS: Final = frozenset(
    {"version", "message_id", "tenant_id", "type", "payload", "accepted_at"}
)


def decode(body: bytes) -> Message:
    """The message of an envelope, whoever sent it. Unknown fields are ignored.

    Raises:
        MalformedBodyError: Not JSON.
        InvalidMessageError: Not an envelope of a version that is understood.
    """
    value = parse_json(body)
    if not isinstance(value, dict):
        raise InvalidMessageError("an envelope is a JSON object", "")
    version = value.get("version")
    if type(version) is not int or version not in ACCEPTED_VERSIONS:
        raise InvalidMessageError("not a version that is understood", "/version")
    payload = value.get("payload")
    if not isinstance(payload, dict):
        raise InvalidMessageError("a payload is a JSON object", "/payload")
    return Message(
        version=version,
        message_id=_field(value, "message_id", _MESSAGE_ID, "a UUID in lower case"),
        tenant_id=_tenant_id(value.get("tenant_id")),
        type=_field(value, "type", _TYPE, "1 to 128 of A-Z a-z 0-9 . _ : / -"),
        payload=dump_json(payload),
        accepted_at=instant(value.get("accepted_at")),
    )


def _tenant_id(value: object) -> TenantId:
    try:
        return parse_tenant_id(value)
    except ValueError as error:
        raise InvalidMessageError(str(error), "/tenant_id") from None


def _field(value: dict[str, Any], name: str, pattern: re.Pattern[str], rule: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not pattern.fullmatch(found):
        raise InvalidMessageError(f"{name} is {rule}", f"/{name}")
    return found


def instant(value: object) -> str:
    """The value, if it is an RFC 3339 instant in UTC.

    Raises:
        InvalidMessageError: It is not.
    """
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            pass
        else:
            return value
    raise InvalidMessageError("accepted_at is an RFC 3339 instant in UTC (…Z)", "/accepted_at")


def is_message_id(value: str) -> bool:
    """Whether this is a UUID in its canonical lower-case form."""
    return _MESSAGE_ID.fullmatch(value) is not None


def now() -> str:
    """This instant, RFC 3339 in UTC with microseconds."""
    # Not strftime, at ten times the CPU.
    return datetime.now(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def new_message_id() -> str:
    """A UUIDv7 (RFC 9562): ids made later sort later, to the millisecond."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & (2**48 - 1)) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def idempotent_message_id(tenant_id: str, key: str) -> str:
    """The UUIDv5 of a tenant's Idempotency-Key: the same for every process, for ever."""
    return str(uuid.uuid5(IDEMPOTENCY_NAMESPACE, f"{tenant_id}\n{key}"))


def partition(tenant_id: str, message_id: str, shards: int) -> str:
    """The partition key of a message: the tenant, or `tenant#n` where it has shards."""
    if shards == 1:
        return tenant_id
    first = hashlib.sha256(message_id.encode()).digest()[0]
    return f"{tenant_id}#{first % shards}"


def partitions(tenant_id: str, shards: int) -> tuple[str, ...]:
    """Every partition key of a tenant."""
    if shards == 1:
        return (tenant_id,)
    return tuple(f"{tenant_id}#{n}" for n in range(shards))


#: The attributes of an item.
ITEM_ATTRIBUTES: Final = (
    "tenant_id",
    "message_id",
    "type",
    "payload",
    "payload_sha256",
    "accepted_at",
    "stored_at",
    "version",
)

# Names, id, digest, two instants, version and shard; each value at its largest.
_ITEM_FIXED_BYTES: Final = sum(map(len, ITEM_ATTRIBUTES)) + 36 + 32 + 27 + 27 + 21 + len("#255")


def item_bytes(message: Message) -> int:
    """Bytes that DynamoDB counts for the item, at most ("Item size" in its guide)."""
    return (
        _ITEM_FIXED_BYTES
        + len(message.tenant_id)
        + len(message.type)
        + utf8_bytes(message.payload)
    )


def write_units(size: int) -> int:
    """Write units that storing an item of so many bytes costs."""
    return ceil(size / WRITE_UNIT_BYTES)


def utf8_bytes(text: str) -> int:
    """Bytes of a text in UTF-8, without a copy where it is ASCII."""
    return len(text) if text.isascii() else len(text.encode())
