"""Errors as answers: one status and one type for each, and nothing that only logs may hold."""

from __future__ import annotations

import inspect
import json

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from structlog.testing import capture_logs

from fakes.asgi import call
from tenantry import errors, problems
from tenantry.errors import TenantryError

#: Those of the services: tenantctl's own are answers to nobody.
LEAVES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, TenantryError)
    and not any(each.__module__ == errors.__name__ for each in kind.__subclasses__())
]


@pytest.mark.parametrize("kind", LEAVES)
def test_every_error_is_a_problem_of_its_own(kind: type[TenantryError]) -> None:
    """No error is without an answer, and a 5xx is one that may succeed later."""
    document = problems.document(kind("what happened"))

    assert document["detail"] == "what happened"
    assert document["type"].startswith("urn:tenantry:problem:")
    assert document["title"]
    transient = issubclass(kind, errors.TransientError)
    assert transient == (document["status"] in {408, 429} or document["status"] >= 500)
    assert transient == ("retry_after" in document)


def test_types_are_unique_and_nothing_else_has_one() -> None:
    """A client can tell every error apart by its type."""
    slugs = [kind.slug for kind in problems.KINDS.values()]

    assert len(slugs) == len({*slugs, problems.INTERNAL.slug}) - 1
    assert set(LEAVES) == set(problems.KINDS)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.InvalidRequestError, 400),
        (errors.MalformedBodyError, 400),
        (errors.UnauthenticatedError, 401),
        (errors.TenantMismatchError, 403),
        (errors.UnknownTenantError, 403),
        (errors.TenantSuspendedError, 403),
        (errors.MessageNotFoundError, 404),
        (errors.RequestTimeoutError, 408),
        (errors.MessageTooLargeError, 413),
        (errors.UnsupportedMediaTypeError, 415),
        (errors.InvalidMessageError, 422),
        (errors.RateLimitedError, 429),
        (errors.NotAcceptedError, 503),
        (errors.OutcomeUnknownError, 503),
        (errors.MisplacedError, 503),
        (errors.RegistryUnavailableError, 503),
        (errors.IdentityUnavailableError, 503),
        (errors.StoreUnavailableError, 503),
    ],
)
def test_statuses_are_the_designs(kind: type[TenantryError], status: int) -> None:
    """What clients and load balancers act on."""
    assert status == problems.KINDS[kind].status == problems.response(kind("x")).status_code


def test_the_errors_docstring_shows_every_class() -> None:
    """The picture in the module is true."""
    shown = inspect.getdoc(errors) or ""

    assert [] == [kind.__name__ for kind in LEAVES if kind.__name__ not in shown]


def an_app(error: Exception) -> Starlette:
    """An application whose one route fails."""

    async def fail(_: Request) -> Response:
        raise error

    return Starlette(
        routes=[Route("/x", fail)],
        exception_handlers=problems.EXCEPTION_HANDLERS,
    )


async def test_an_error_is_a_problem_document() -> None:
    """RFC 9457: its media type, its members, and the place in the body."""
    answer = await call(an_app(errors.InvalidMessageError("too deep", "/a/0")), "/x")

    assert answer.status == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert {
        "type": "urn:tenantry:problem:invalid-message",
        "title": "The message is not valid",
        "status": 422,
        "detail": "too deep",
        "pointer": "/a/0",
    } == answer.json


async def test_the_root_is_a_place_and_no_place_is_none() -> None:
    """An empty pointer means the whole body; an unknown place has no member."""
    root = await call(an_app(errors.InvalidMessageError("x", "")), "/x")
    nowhere = await call(an_app(errors.InvalidMessageError("x")), "/x")

    assert root.json["pointer"] == ""
    assert "pointer" not in nowhere.json


async def test_what_may_succeed_later_says_when() -> None:
    """In the header for everybody, in the body for those who batch."""
    answer = await call(an_app(errors.RateLimitedError("slower", retry_after=7)), "/x")

    assert answer.headers["retry-after"] == "7"
    assert answer.json["retry_after"] == 7


async def test_a_401_says_how_to_authenticate() -> None:
    """As RFC 9110 asks; no other error does."""
    refused = await call(an_app(errors.UnauthenticatedError("x")), "/x")
    other = await call(an_app(errors.TenantMismatchError("x")), "/x")

    assert refused.headers["www-authenticate"] == "Bearer"
    assert "www-authenticate" not in other.headers


@pytest.mark.parametrize(("path", "method", "status"), [("/y", "GET", 404), ("/x", "PUT", 405)])
async def test_the_frameworks_errors_are_problems_too(path: str, method: str, status: int) -> None:
    """No such path, no such method."""
    answer = await call(an_app(ValueError()), path, method=method)

    assert answer.status == status == answer.json["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "about:blank"


async def test_a_method_that_is_not_allowed_names_those_that_are() -> None:
    """The framework's headers are kept."""
    answer = await call(an_app(ValueError()), "/x", method="PUT")

    assert "GET" in answer.headers["allow"]


async def test_a_bug_is_logged_and_not_told() -> None:
    """A 500 that says nothing of the inside; the log has the error."""
    with capture_logs() as logs:
        answer = await call(an_app(ValueError("secret of the inside")), "/x")

    assert answer.status == 500
    assert answer.json["type"] == "urn:tenantry:problem:internal"
    assert b"secret" not in answer.body
    assert ["request.failed"] == [entry["event"] for entry in logs]
    assert (logs[0]["method"], logs[0]["path"]) == ("GET", "/x")


def test_a_detail_of_any_text_can_be_sent() -> None:
    """What is not ASCII is UTF-8."""
    body = bytes(problems.response(errors.MalformedBodyError("ä \u2028 \U0001f600")).body)

    assert json.loads(body)["detail"] == "ä \u2028 \U0001f600"
