"""Stand-in for what SQS looks at in a message: its characters, size, attributes and digests.

It honours the characters of XML 1.0, at most ten attributes with the names and types that SQS
takes, the size as SQS counts it (body, and name, type and value of each attribute) and the
digests that it answers with. System attributes of a send (`AWSTraceHeader`) are refused, and
list values, which SQS does not do either.
"""

from __future__ import annotations

import binascii
import functools
import re
from collections.abc import Iterable, Mapping
from hashlib import md5
from typing import Any, Final

from tenantry_local.sqs_requests_standin import RefusedEntryError, invalid
from tenantry_local.sqs_standin import Message

_MOST_ATTRIBUTES: Final = 10
_PLAIN: Final = bytes([9, 10, 13, *range(0x20, 0x80)])
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTE_NAME: Final = re.compile(r"(?!(?i:aws\.|amazon\.))(?!\.)(?!.*\.\.)[\w.-]{1,256}(?<!\.)")
_GROUP: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TYPE: Final = re.compile(r"(String|Number|Binary)(\.[\w.-]+)?", re.ASCII)
#: Groups whose names were looked at, so many at the most.
_groups: set[str] = set()
_GROUPS_MOST: Final = 100_000
#: Lengths of name, type and value, and how a value is kept.
_FRAME_BYTES: Final = 13


def parse(entry: Mapping[str, Any], message_id: str) -> tuple[Message, int]:
    """The message of an entry of a send, and its size in bytes.

    Raises:
        RefusedEntryError: SQS would not take it.
    """
    body = entry.get("MessageBody")
    if not body or not isinstance(body, str):
        raise _no_body(body)
    raw = _encoded(body)
    size = len(raw)
    group = entry.get("MessageGroupId")
    if group is not None and group not in _groups:
        _check_group(group)
    attributes = entry.get("MessageAttributes") or None
    digest = None
    if attributes is not None:
        parts = _encoded_attributes(attributes)
        digest = md5(parts, usedforsecurity=False).hexdigest()
        # Without their lengths, and the byte that says how a value is kept.
        size += len(parts) - _FRAME_BYTES * len(attributes)
    message = Message(
        body,
        attributes,
        group,
        message_id=message_id,
        body_md5=md5(raw, usedforsecurity=False).hexdigest(),
        attributes_md5=digest,
    )
    return message, size


def chosen(attributes: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """The attributes that a receive asks for: by name, by `prefix.*`, or all."""
    found: dict[str, Any] = {}
    for name in names:
        if name in ("All", ".*"):
            return attributes
        if name.endswith(".*"):
            prefix = name[:-2]
            found |= {key: value for key, value in attributes.items() if key.startswith(prefix)}
        elif name in attributes:
            found[name] = attributes[name]
    return found


def digest_of(attributes: Mapping[str, Any]) -> str:
    """MD5 of attributes, as SQS computes it."""
    return md5(_encoded_attributes(attributes), usedforsecurity=False).hexdigest()


def _encoded(text: str) -> bytes:
    if text.isascii():
        raw = text.encode()
        if not raw.translate(None, _PLAIN):
            return raw
    elif _FORBIDDEN.search(text) is None:
        return text.encode()
    raise RefusedEntryError(
        "InvalidMessageContents", "Message contains characters outside the allowed set."
    )


def _encoded_attributes(attributes: Mapping[str, Any]) -> bytes:
    """Name, type and value of each, in the order of names, as SQS digests them.

    Raises:
        RefusedEntryError: SQS would not take one of them, or so many.
    """
    if len(attributes) > _MOST_ATTRIBUTES:
        raise RefusedEntryError(
            "InvalidParameterValue",
            f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum "
            f"[{_MOST_ATTRIBUTES}].",
        )
    parts: list[bytes] = []
    for name in sorted(attributes) if len(attributes) > 1 else attributes:
        value = attributes[name]
        kind = value.get("DataType") or ""
        raw = _value(name, value, is_binary=kind.startswith("Binary"))
        parts += (_prefix(name, kind), len(raw).to_bytes(4, "big"), raw)
    return b"".join(parts)


@functools.lru_cache(maxsize=4_096)
def _prefix(name: str, kind: str) -> bytes:
    """What comes before an attribute's value."""
    if _ATTRIBUTE_NAME.fullmatch(name) is None:
        raise invalid(name, "MessageAttributes", "Invalid attribute name.")
    if _TYPE.fullmatch(kind) is None:
        raise RefusedEntryError(
            "InvalidParameterValue",
            f"The message attribute '{name}' must contain a valid message attribute type.",
        )
    how = b"\x02" if kind.startswith("Binary") else b"\x01"
    parts = [len(part).to_bytes(4, "big") + part for part in (name.encode(), kind.encode())]
    return b"".join((*parts, how))


def _value(name: str, value: Mapping[str, Any], *, is_binary: bool) -> bytes:
    given = value.get("BinaryValue" if is_binary else "StringValue")
    if not given or not isinstance(given, str):
        raise RefusedEntryError(
            "InvalidParameterValue",
            f"The message attribute '{name}' must contain a non-empty value of its type.",
        )
    if not is_binary:
        return _encoded(given)
    try:
        return binascii.a2b_base64(given, strict_mode=True)
    except binascii.Error:
        raise invalid(name, "MessageAttributes", "The value is not base64.") from None


def _check_group(group: object) -> None:
    if not (isinstance(group, str) and _GROUP.fullmatch(group)):
        raise invalid(
            group,
            "MessageGroupId",
            "MessageGroupId can only include alphanumeric and punctuation characters. "
            "1 to 128 in length.",
        )
    if len(_groups) >= _GROUPS_MOST:
        _groups.clear()
    _groups.add(group)


def _no_body(body: object) -> RefusedEntryError:
    if isinstance(body, str):
        return RefusedEntryError(
            "InvalidParameterValue",
            "One or more parameters cannot be validated. Reason: The request must contain a "
            "message body of at least one character.",
        )
    return RefusedEntryError(
        "MissingParameter", "The request must contain the parameter MessageBody."
    )
