"""Whether a tenant that is registered is really served, asked the way its clients ask.

Nothing is sent: a message of ours would be stored among the customer's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import httpx

from tenantctl.control import Control
from tenantctl.errors import UnfinishedError, UnhealthyError

#: How long routes may take until they lead to a new tenant, in seconds: names and load balancer.
ROUTE_SECONDS: Final = 300.0
_ANSWER_SECONDS: Final = 10.0


class Smoke:
    """Asks producer and consumer of a tenant who they are, and what is stored."""

    def __init__(self, *, url: str | None, domain: str | None, tokens: Path | None) -> None:
        """Where tenants are: all at `url`, told apart by a header, or at `<tenant>.<domain>`.

        With `tokens`, a folder of `token-<tenant>` files, reads are asked for, too.
        """
        self._url = url
        self._domain = domain
        self._tokens = tokens

    async def test(self, control: Control, tenant_id: str) -> None:
        """Wait until both services answer for this tenant.

        Raises:
            UnhealthyError: Nothing answers, or something refuses.
        """
        if self._url is None and self._domain is None:
            return
        base = self._url or f"https://{tenant_id}.{self._domain}"
        headers = {"tenantID": tenant_id, **self._token(tenant_id)}
        paths = ["/producer", "/consumer"]
        if "Authorization" in headers:
            paths.append("/messages?limit=1")
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS, trust_env=self._url is None) as http:

            async def ask() -> str:
                for path in paths:
                    if why := await _answer(http, f"{base}{path}", headers):
                        return f"{tenant_id}: {path} to answer, {why}"
                return ""

            try:
                await control.until(ask, seconds=ROUTE_SECONDS)
            except UnfinishedError as error:
                raise UnhealthyError(
                    f"{tenant_id} is registered, and not served: {error}"
                ) from None
        control.observer.step("served")

    def _token(self, tenant_id: str) -> dict[str, str]:
        if self._tokens is None:
            return {}
        try:
            line = (self._tokens / f"token-{tenant_id}").read_text().strip()
        except OSError:
            return {}
        name, _, value = line.partition(": ")
        return {name: value}


async def _answer(http: httpx.AsyncClient, url: str, headers: dict[str, str]) -> str:
    """What is wrong with an answer; empty if nothing is."""
    try:
        response = await http.get(url, headers=headers)
    except httpx.HTTPError as error:
        return f"and {type(error).__name__}"
    return "" if response.is_success else f"and not {response.status_code}"
