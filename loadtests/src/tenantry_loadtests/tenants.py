"""Who is sent for: a list of tenants, and where each one's token comes from.

The list is JSON (an array, or an object with `tenants`) or CSV with a header line. It names where
tokens are, never a token.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from tenantry_loadtests.errors import UsageError

_TIERS: Final = ("basic", "advanced", "premium")
_TENANT: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
#: What a token starts with: JSON in base64. A list that holds one is refused.
_TOKEN: Final = re.compile(r"(Bearer\s+)?eyJ[\w-]{8,}\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantEntry:
    """One tenant of a run.

    Attributes:
        tenant: Its id.
        tier: `basic`, `advanced`, `premium`; `unknown` if the list does not say.
        token_file: A file with the token, or the line `Authorization: Bearer <token>`. It is
            read again before the token expires and when it is refused.
        token_command: A command that prints a token, run as it stands, without a shell, when
            there is no token or the last one is about to expire.
        post_url: Where POST goes; the run's host if None.
        get_url: Where GET goes; the run's host if None.
        queue_url: Its queue, observed when AWS can be reached. Several may share one.
        dead_letter_queue_url: Likewise.
        weight: Its share of the users, relative to others.
    """

    tenant: str
    tier: str = "unknown"
    token_file: str | None = None
    token_command: tuple[str, ...] = ()
    post_url: str | None = None
    get_url: str | None = None
    queue_url: str | None = None
    dead_letter_queue_url: str | None = None
    weight: int = 1

    def to_wire(self, *, with_tokens: bool) -> dict[str, Any]:
        """As plain values; without where tokens are for those that have a list of their own."""
        entry = self if with_tokens else replace(self, token_file=None, token_command=())
        return asdict(entry)

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """What `to_wire` made."""
        return cls(**{**wire, "token_command": tuple(wire["token_command"])})


_FIELDS: Final = tuple(field.name for field in fields(TenantEntry))


def read_tenants(path: Path) -> tuple[TenantEntry, ...]:
    """The tenants of a list.

    Raises:
        UsageError: It cannot be read, or is not a list of tenants; with the place.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"the list of tenants {path} cannot be read: {reason}") from None
    rows = _rows_of_csv(text) if path.suffix == ".csv" else _rows_of_json(text, path)
    entries = []
    for place, row in rows:
        try:
            entries.append(_entry(row))
        except ValueError as error:
            raise UsageError(f"{path}, {place}: {error}") from None
    if not entries:
        raise UsageError(f"{path} names no tenants")
    names = [entry.tenant for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path} names {twice[0]} twice")
    return tuple(entries)


def with_host(entries: Iterable[TenantEntry], host: str) -> tuple[TenantEntry, ...]:
    """Entries whose URLs are whole: of the host, in which `{tenant}` is the tenant.

    Raises:
        UsageError: The host is no URL.
    """
    base = host.rstrip("/")
    check_url(base.replace("{tenant}", "tenant"), "HOST")
    return tuple(
        replace(
            entry,
            post_url=(entry.post_url or base.replace("{tenant}", entry.tenant)).rstrip("/"),
            get_url=(entry.get_url or base.replace("{tenant}", entry.tenant)).rstrip("/"),
        )
        for entry in entries
    )


def check_url(text: str, name: str) -> None:
    """Hold a URL to what requests can be sent to.

    Raises:
        UsageError: It is none, or holds a password.
    """
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        known = None
    if not known:
        raise UsageError(f"{name} is no address: {text[:60]!r}; wanted http(s)://host[:port]")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"{name} holds more than scheme, host, port and path; tokens go in files")


def _rows_of_json(text: str, path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from None
    if isinstance(value, dict):
        value = value.get("tenants")
    if not isinstance(value, list):
        raise UsageError(f"{path}: wanted an array of tenants")
    for number, row in enumerate(value, start=1):
        if not isinstance(row, dict):
            raise UsageError(f"{path}, tenant {number}: not an object")
        yield f"tenant {number}", row


def _rows_of_csv(text: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text), restkey="more")
    for row in reader:
        yield f"line {reader.line_num}", {name: value for name, value in row.items() if value}


def _entry(row: Mapping[str, Any]) -> TenantEntry:
    if unknown := sorted(set(row) - set(_FIELDS)):
        raise ValueError(f"unknown field {unknown[0]!r}; known: {', '.join(_FIELDS)}")
    values = dict(row)
    _check_texts(values)
    tenant = values.get("tenant")
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise ValueError(f"{tenant!r} is no tenant's id")
    if values.get("tier", "unknown") not in {*_TIERS, "unknown"}:
        raise ValueError(f"no such tier: {values['tier']!r}; wanted {', '.join(_TIERS)}")
    values["token_command"] = _command(values.get("token_command", ()))
    values["weight"] = _weight(values.get("weight", 1))
    if not values.get("token_file") and not values["token_command"]:
        raise ValueError(f"{tenant} has neither token_file nor token_command")
    for name in ("post_url", "get_url"):
        if values.get(name):
            check_url(values[name], name)
    return TenantEntry(**values)


def _check_texts(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        parts = value if isinstance(value, list) else [value]
        if any(isinstance(part, str) and _TOKEN.match(part) for part in parts):
            raise ValueError("it holds a token; name a token_file or token_command instead")
        if name not in {"token_command", "weight"} and not isinstance(value, str):
            raise ValueError(f"{name} is a text")


def _command(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return tuple(value)
    raise ValueError("token_command is a text, or an array of texts")


def _weight(value: object) -> int:
    try:
        weight = int(str(value))
    except ValueError:
        weight = 0
    if not 1 <= weight <= 1_000:  # noqa: PLR2004 - a user of each is spawned for it
        raise ValueError(f"weight is a whole number from 1 to 1000, not {value!r}")
    return weight
