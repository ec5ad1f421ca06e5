"""Requests through Locust's client, as answers that the sender understands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from gevent import Timeout  # type: ignore[import-untyped]
from locust.contrib.fasthttp import FastHttpSession

from tenantry_loadtests.sending import TIMED_OUT, Answer, Route, describe, outcomes

_NAMES: Final[dict[Route, str]] = {"post": "POST /messages", "batch": "POST /messages/batch"}
READ_NAME: Final = "GET /messages/{id}"

_OK: Final = frozenset({200, 202, 207})


class Wire:
    """One client: a user's, or the followers'."""

    def __init__(self, session: FastHttpSession) -> None:
        self._session = session
        session.client.cookiejar = None  # the services set none, and asking costs

    def post(self, route: Route, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send one request; to Locust it failed unless some of it was accepted."""
        return self._request("POST", url, _NAMES[route], headers, body, is_missing_fine=False)

    def get(self, url: str, headers: dict[str, str]) -> Answer:
        """Look for a message; that it is not there yet is no failure."""
        return self._request("GET", url, READ_NAME, headers, None, is_missing_fine=True)

    def _request(
        self,
        method: str,
        url: str,
        name: str,
        headers: Mapping[str, str],
        body: bytes | None,
        *,
        is_missing_fine: bool,
    ) -> Answer:
        started = time.monotonic()
        with self._session.request(
            method,
            url,
            name=name,
            data=body,  # type: ignore[arg-type] # bytes are what it sends
            headers={**headers, "Accept-Encoding": "identity"},
            catch_response=True,
        ) as response:
            seconds = time.monotonic() - started
            status = response.status_code
            answer = Answer(
                status=status,
                body=response.content or b"" if status else b"",
                retry_after=_retry_after(response.headers) if status in {429, 503} else None,
                failure=None if status else _failure(getattr(response, "error", None)),
                seconds=seconds,
            )
            if status in _OK or (is_missing_fine and status == 404):  # noqa: PLR2004 - Not Found
                response.success()
            else:
                [outcome] = outcomes("post", answer, 1)
                response.failure(describe(outcome))
        return answer


def _retry_after(headers: Any) -> float | None:
    text = headers.get("Retry-After", "") if headers is not None else ""
    return float(text) if text.isdecimal() else None


def _failure(error: BaseException | None) -> str:
    """In words that hold nothing of the request: its headers are secret."""
    if isinstance(error, TimeoutError | Timeout):
        return TIMED_OUT
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return type(error).__name__ if error is not None else "unknown"
