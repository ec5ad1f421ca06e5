"""Errors as RFC 9457 problems: the one table of status and type, for both services."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from tenantry import errors

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
#: `docs/problems.md` explains each type.
TYPE_PREFIX: Final = "urn:tenantry:problem:"


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one type share."""

    slug: str
    status: int
    title: str


KINDS: Final[dict[type[errors.TenantryError], Kind]] = {
    errors.InvalidRequestError: Kind("invalid-request", 400, "The request is not valid"),
    errors.MalformedBodyError: Kind("malformed-body", 400, "The body is not JSON"),
    errors.UnauthenticatedError: Kind("unauthenticated", 401, "The token is not accepted"),
    errors.TenantMismatchError: Kind("tenant-mismatch", 403, "Header and token differ"),
    errors.UnknownTenantError: Kind("unknown-tenant", 403, "The tenant is not known"),
    errors.TenantSuspendedError: Kind("tenant-suspended", 403, "The tenant is suspended"),
    errors.MessageNotFoundError: Kind("message-not-found", 404, "Not stored, or not yours"),
    errors.RequestTimeoutError: Kind("request-timeout", 408, "The body came too slowly"),
    errors.MessageTooLargeError: Kind("message-too-large", 413, "The message is too large"),
    errors.UnsupportedMediaTypeError: Kind("unsupported-media-type", 415, "The body must be JSON"),
    errors.InvalidMessageError: Kind("invalid-message", 422, "The message is not valid"),
    errors.RateLimitedError: Kind("rate-limited", 429, "The tenant's rate is used up"),
    errors.NotAcceptedError: Kind("not-accepted", 503, "Nothing was sent"),
    errors.OutcomeUnknownError: Kind("outcome-unknown", 503, "It may have been sent"),
    errors.MisplacedError: Kind("misplaced", 503, "The tenant's queue cannot be used"),
    errors.RegistryUnavailableError: Kind(
        "registry-unavailable", 503, "The placement is not known"
    ),
    errors.IdentityUnavailableError: Kind(
        "identity-unavailable", 503, "Tokens cannot be verified"
    ),
    errors.StoreUnavailableError: Kind("store-unavailable", 503, "The table cannot be read"),
}

#: For what is no error of ours: a bug, or a path and method that nobody serves.
INTERNAL: Final = Kind("internal", 500, "An error of the service")


def kind_of(error: BaseException) -> Kind:
    """What an error is answered as."""
    return KINDS[type(error)] if isinstance(error, errors.TenantryError) else INTERNAL


class Problem(BaseModel):
    """An RFC 9457 problem, for OpenAPI."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="A URN that docs/problems.md explains.")
    title: str
    status: int
    detail: str
    pointer: str | None = Field(
        default=None,
        description="JSON pointer of what is wrong in the body.",
        json_schema_extra={"format": "json-pointer"},
    )
    retry_after: int | None = Field(default=None, ge=0, description="Seconds to wait.")


#: The headers of problems, by status; each error of such a status has them.
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {
        "WWW-Authenticate": {
            "description": "`Bearer`.",
            "required": True,
            "schema": {"type": "string"},
        }
    },
    **{
        status: {
            "Retry-After": {
                "description": "Seconds to wait.",
                "required": True,
                "schema": {"type": "integer", "minimum": 0},
            }
        }
        for status in (408, 429, 503)
    },
}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's responses that are problems, of these statuses."""
    found: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        slugs = sorted(kind.slug for kind in KINDS.values() if kind.status == status)
        found[status] = {
            "description": f"Problem: {', '.join(slugs)}.",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        if status in _HEADERS:
            found[status]["headers"] = _HEADERS[status]
    return found


def document(error: errors.TenantryError) -> dict[str, Any]:
    """The problem as a JSON object."""
    kind = KINDS[type(error)]
    problem: dict[str, Any] = {
        "type": TYPE_PREFIX + kind.slug,
        "title": kind.title,
        "status": kind.status,
        "detail": error.detail,
    }
    if isinstance(error, errors.InvalidMessageError) and error.pointer is not None:
        problem["pointer"] = error.pointer
    if isinstance(error, errors.TransientError):
        problem["retry_after"] = error.retry_after
    return problem


def response(error: errors.TenantryError) -> Response:
    """The problem as an answer."""
    problem = document(error)
    headers: dict[str, str] = {}
    if isinstance(error, errors.TransientError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    return _render(problem, headers)


def _render(problem: dict[str, Any], headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(problem), problem["status"], headers, media_type=MEDIA_TYPE)


async def on_tenantry_error(_: Request, error: Exception) -> Response:
    """Handler of our own errors."""
    assert isinstance(error, errors.TenantryError)  # noqa: S101 - registered for these only
    return response(error)


async def on_http_exception(_: Request, error: Exception) -> Response:
    """Handler of what the framework raises: no such path, no such method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these only
    phrase = HTTPStatus(error.status_code).phrase
    problem = {
        "type": "about:blank",
        "title": phrase,
        "status": error.status_code,
        "detail": error.detail,
    }
    return _render(problem, dict(error.headers or {}))


async def on_bug(request: Request, error: Exception) -> Response:
    """Handler of everything else: logged with its trace, answered without."""
    log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    problem = {
        "type": TYPE_PREFIX + INTERNAL.slug,
        "title": INTERNAL.title,
        "status": INTERNAL.status,
        "detail": "the service made an error, which it logged",
    }
    return _render(problem, {})


EXCEPTION_HANDLERS: Final = {
    errors.TenantryError: on_tenantry_error,
    HTTPException: on_http_exception,
    Exception: on_bug,
}
