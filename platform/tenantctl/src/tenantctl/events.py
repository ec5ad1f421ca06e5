"""Requests to the control plane: one versioned form, and how others are read as it.

`data/event.schema.json` is the form for those who send; docs/control-plane.md explains it. What is
read here is read strictly: a key that nobody knows, one that stands twice, a number that is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NoReturn, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from tenantctl.errors import InvalidError
from tenantctl.model import Home, Ring, parse_id, parse_pool
from tenantctl.releases import Release, Train
from tenantry.registry import Tier

#: The form's version. Another one is refused by name, and never read as this one.
VERSION: Final = 1
#: Far more than any request has: a list of messages to redrive is the largest.
MAX_BYTES: Final = 16_384
REQUEST_ID: Final = "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"
_MESSAGES: Final = 100

Verb = Literal[
    "onboard", "offboard", "deploy", "move", "suspend", "resume", "redrive", "reconcile"
]
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)
#: Which queue a request came by. All but `control` have the reference implementation's payloads.
Source = Literal["control", "onboarding", "offboarding", "deployment"]
SOURCES: Final[tuple[Source, ...]] = get_args(Source)


def _checked(parse: Any) -> AfterValidator:
    def check(value: str | None) -> str | None:
        try:
            if value is not None:
                parse(value)
        except InvalidError as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(check)


TenantName = Annotated[str, _checked(parse_id)]
PoolName = Annotated[str, _checked(parse_pool)]
RequestId = Annotated[str, Field(pattern=REQUEST_ID)]


class Request(BaseModel):
    """What every request says."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[1] = 1
    request_id: RequestId


class _OfTenant(Request):
    tenant_id: TenantName


class Onboard(_OfTenant):
    """A tenant comes."""

    verb: Literal["onboard"] = "onboard"
    tier: Tier
    pool: PoolName | None = None
    ring: Ring | None = None


class Offboard(_OfTenant):
    """A tenant goes."""

    verb: Literal["offboard"] = "offboard"
    keep_data: bool = False


class MoveTo(_OfTenant):
    """A tenant goes elsewhere, or back while it does."""

    verb: Literal["move"] = "move"
    tier: Tier | None = None
    pool: PoolName | None = None
    rollback: bool = False


class Suspend(_OfTenant):
    """A tenant's requests are refused."""

    verb: Literal["suspend"] = "suspend"


class Resume(_OfTenant):
    """A tenant is served again."""

    verb: Literal["resume"] = "resume"


class Redrive(_OfTenant):
    """Dead letters go back; all of them, if none is named."""

    verb: Literal["redrive"] = "redrive"
    messages: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]] | None,
        Field(min_length=1, max_length=_MESSAGES),
    ] = None


class Deploy(Request):
    """A release reaches a tier, or the pools; or what was published last reaches all of them."""

    verb: Literal["deploy"] = "deploy"
    tier: Train | None = None
    release: Annotated[str | None, _checked(Release.parse)] = None
    rings: Annotated[list[Ring] | None, Field(min_length=1, max_length=3)] = None
    candidate: Literal[True] | None = None


class Reconcile(Request):
    """Registry, Git, cluster and cloud are compared."""

    verb: Literal["reconcile"] = "reconcile"
    fix: bool = False


Event = Onboard | Offboard | Deploy | MoveTo | Suspend | Resume | Redrive | Reconcile
_EVENTS: Final[TypeAdapter[Event]] = TypeAdapter(Annotated[Event, Field(discriminator="verb")])


def parse_event(
    data: bytes, *, source: Source = "control", request_id: str | None = None
) -> Event:
    """The request of a message's body.

    Args:
        data: The body, JSON.
        source: Which queue it came by.
        request_id: For a payload that has none of its own.

    Raises:
        InvalidError: It is none, and where it is wrong. Its values are not repeated but for a
            tenant's id.
    """
    if len(data) > MAX_BYTES:
        raise InvalidError(f"a request holds {len(data)} bytes, and may hold {MAX_BYTES}")
    body = _object(data)
    if "oversized" in body:  # what the Sensor leaves of one
        raise InvalidError(f"a request is too large: it may hold {MAX_BYTES} bytes")
    if source != "control":
        body = _of_reference(body, source, request_id)
    if (version := body.get("version")) != VERSION or isinstance(version, bool):
        raise InvalidError(f"version: this reads requests of version {VERSION} only")
    if body.get("verb") not in VERBS:
        raise InvalidError(f"verb: there is none of this name, only {', '.join(VERBS)}")
    try:
        event = _EVENTS.validate_python(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "request"
        raise InvalidError(f"{where}: {first['msg']}") from None
    _refuse_nonsense(event)
    return event


def _refuse_nonsense(event: Event) -> None:
    """Refuse what each part may be, and all together may not."""
    match event:
        case Onboard(tier=tier, pool=pool) if tier == "premium" and pool is not None:
            Home(tier, pool)
        case MoveTo(rollback=True, tier=tier, pool=pool) if tier or pool:
            raise InvalidError("rollback: it goes back to where it was: leave tier and pool out")
        case Deploy(candidate=True) if event.tier or event.release or event.rings:
            raise InvalidError("candidate: it reaches every tier: leave tier and the rest out")
        case Deploy(candidate=None) if event.tier is None or event.release is None:
            missing = "tier" if event.tier is None else "release"
            raise InvalidError(f"{missing}: Field required")
        case MoveTo(rollback=False, tier=None, pool=None):
            raise InvalidError("tier: a move leads somewhere: name a tier or a pool")


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data, object_pairs_hook=_once, parse_constant=_no_number)
    except InvalidError:
        raise
    except (ValueError, RecursionError):
        raise InvalidError("a request is a JSON object, and this is no JSON") from None
    if not isinstance(found, dict):
        raise InvalidError("a request is a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise InvalidError("a request says one thing once: a key stands twice")
    return found


def _no_number(_: str) -> NoReturn:
    raise InvalidError("a request has no NaN and no infinity")


# --- the reference implementation's payloads -------------------------------------------------

_KEYS: Final[Mapping[Source, tuple[str, ...]]] = {
    "onboarding": ("tenant_id", "tenant_tier", "release_version"),
    "offboarding": ("tenant_id", "tenant_tier"),
    "deployment": ("tenant_tier", "release_version"),
}


def _of_reference(
    body: Mapping[str, Any], source: Source, request_id: str | None
) -> dict[str, Any]:
    """A payload `{tenant_id, tenant_tier, release_version}` in our own form.

    What a tenant that comes is to run is said by its ring here, and not by the request; and of one
    that goes the tier is known. Its release is a version and a digest: `1.2` names nothing.
    """
    keys = _KEYS[source]
    if unknown := body.keys() - set(keys) - {"request_id"}:
        raise InvalidError(f"{min(unknown)}: a request of {source} holds {', '.join(keys)}")
    for key in keys:
        if not isinstance(body.get(key), str):
            raise InvalidError(f"{key}: a request of {source} needs it, as text")
    form: dict[str, Any] = {"version": VERSION, "request_id": body.get("request_id", request_id)}
    if source == "onboarding":
        _refuse_version(body["release_version"])
        return form | {
            "verb": "onboard",
            "tenant_id": body["tenant_id"],
            "tier": body["tenant_tier"],
        }
    if source == "offboarding":
        return form | {"verb": "offboard", "tenant_id": body["tenant_id"]}
    return form | {
        "verb": "deploy",
        "tier": body["tenant_tier"],
        "release": body["release_version"],
    }


def _refuse_version(version: str) -> None:
    """Refuse a release that is neither the reference's `MAJOR.MINOR` nor one of ours."""
    if not re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}(\.[0-9]{1,9})?", version):
        Release.parse(version)
