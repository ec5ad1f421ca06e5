"""What the demo sends: JSON lines, read and checked in whole before the first is sent.

Only the standard library's parser is used here, and it decides what an event *is*.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from tenantry_local.model import LaptopError

_BOM: Final = b"\xef\xbb\xbf"
_KEYS: Final = frozenset({"type", "payload", "tenant_id"})
_TYPE: Final = re.compile(r"[A-Za-z0-9._:/-]{1,128}")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the input.

    Attributes:
        line: Its number, from 1.
        text: The line as it was read.
    """

    line: int
    tenant_id: str
    type: str
    text: bytes

    def payload(self) -> dict[str, Any]:
        """The payload, parsed by the standard library."""
        payload: dict[str, Any] = json.loads(self.text)["payload"]
        return payload

    def body(self) -> bytes:
        """What is posted: type and payload, compact."""
        value = {"type": self.type, "payload": self.payload()}
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError:
            # A lone surrogate: for the service to refuse, in the form in which it can be sent.
            return json.dumps(value, separators=(",", ":")).encode()


def read_events(path: Path | None, tenants: Sequence[str]) -> list[Event]:
    """The events of a file, or of the bundled sample; those without a tenant dealt in turn.

    Raises:
        LaptopError: The file cannot be read, or a line cannot be sent; with its number and
            the reason.
    """
    if path is None:
        content = (files("tenantry_local") / "data" / "events.jsonl").read_bytes()
        name = "the bundled sample"
    else:
        name = str(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            msg = f"{name} cannot be read: {error.strerror}"
            raise LaptopError(msg, status=2) from error
    events = []
    dealt = 0
    for number, line in enumerate(content.split(b"\n"), start=1):
        text = line.strip()
        if not text:
            continue
        try:
            tenant_id, type_ = _check(text, tenants)
        except ValueError as error:
            msg = f"{name}, line {number}: {error}; nothing was sent"
            raise LaptopError(msg, status=2) from None
        if tenant_id is None:
            tenant_id = tenants[dealt % len(tenants)]
            dealt += 1
        events.append(Event(number, tenant_id, type_, text))
    if not events:
        msg = f"{name} holds no messages"
        raise LaptopError(msg, status=2)
    return events


def _check(text: bytes, tenants: Sequence[str]) -> tuple[str | None, str]:
    if text.startswith(_BOM):
        msg = "it starts with a byte order mark; save the file as UTF-8 without one"
        raise ValueError(msg)
    value = strict_json(text)
    if not isinstance(value, dict):
        msg = 'not an object; a line is {"type": …, "payload": {…}}'
        raise ValueError(msg)
    if unknown := sorted(value.keys() - _KEYS):
        msg = f"unknown key {unknown[0]!r}; a line has type, payload and perhaps tenant_id"
        raise ValueError(msg)
    type_ = value.get("type")
    if not isinstance(type_, str) or not _TYPE.fullmatch(type_):
        msg = "type is 1 to 128 of A-Z a-z 0-9 . _ : / -"
        raise ValueError(msg)
    if not isinstance(value.get("payload"), dict):
        msg = "payload is not an object"
        raise ValueError(msg)
    tenant_id = value.get("tenant_id")
    if "tenant_id" in value and tenant_id not in tenants:
        msg = f"unknown tenant {tenant_id!r}; the laptop has {', '.join(tenants)}"
        raise ValueError(msg)
    return tenant_id, type_


def strict_json(text: bytes) -> Any:
    """The value of a JSON text, if the standard library's parser keeps all of it.

    Raises:
        ValueError: It is no JSON, or some of it would be lost or changed.
    """
    try:
        return json.loads(
            text.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except UnicodeDecodeError as error:
        msg = f"not UTF-8 at byte {error.start}"
        raise ValueError(msg) from None
    except json.JSONDecodeError as error:
        msg = f"not JSON: {error.msg} at character {error.pos + 1}"
        raise ValueError(msg) from None
    except RecursionError:
        msg = "nested too deeply"
        raise ValueError(msg) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        msg = f"the key {twice!r} stands twice in one object"
        raise ValueError(msg)
    return found


def _no_constant(name: str) -> Any:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        msg = f"the number {text[:40]} is too large for 64 bits"
        raise ValueError(msg)
    return value
