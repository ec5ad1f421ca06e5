"""Pull requests by Gitea's API."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from tenantctl.errors import GitError, InvalidError
from tenantctl.remote import read_credentials

_SECONDS: Final = 30.0
_CONFLICT: Final = 409
_PAGE: Final = 50


def repository_of(url: str) -> str:
    """`owner/name` of a repository's address.

    Raises:
        InvalidError: It has none.
    """
    parts = [part for part in urlsplit(url).path.removesuffix(".git").split("/") if part]
    if len(parts) < 2:  # noqa: PLR2004 - owner and name
        raise InvalidError(f"{url} names no repository of a Gitea: owner and name are missing")
    return "/".join(parts[-2:])


class Gitea:
    """One repository of a Gitea."""

    def __init__(self, url: str, repository: str, *, base: str, credentials: Path | None) -> None:
        """Which one, and as whom.

        Args:
            url: Of the server.
            repository: `owner/name`.
            base: The branch that pull requests go to.
            credentials: The file that Git uses, too; its password is a token of Gitea's.
        """
        self._pulls = f"{url.rstrip('/')}/api/v1/repos/{quote(repository)}/pulls"
        self._base = base
        self._credentials = credentials

    async def open(self, branch: str, title: str) -> str:
        """Open a pull request for a branch, or find the one that is open; its address.

        Raises:
            GitError: Gitea does not answer, or refuses.
        """
        async with httpx.AsyncClient(timeout=_SECONDS, auth=self._auth()) as http:
            wanted = {"head": branch, "base": self._base, "title": title}
            answer = await _asked(http, "POST", self._pulls, json=wanted)
            if answer.status_code != _CONFLICT:
                return str(_body(answer)["html_url"])
            page = 1
            while True:
                asked = {"state": "open", "limit": str(_PAGE), "page": str(page)}
                found = _body(await _asked(http, "GET", self._pulls, params=asked))
                for one in found:
                    if one["head"]["ref"] == branch:
                        return str(one["html_url"])
                if len(found) < _PAGE:
                    raise GitError(f"Gitea has a pull request for {branch} and does not show it")
                page += 1

    def _auth(self) -> httpx.Auth | None:
        if self._credentials is None:
            return None
        password, user = read_credentials(self._credentials)
        return httpx.BasicAuth(user, password)


async def _asked(http: httpx.AsyncClient, method: str, url: str, **what: Any) -> httpx.Response:
    try:
        return await http.request(method, url, **what)
    except httpx.HTTPError as error:
        raise GitError(f"Gitea does not answer at {url}: {type(error).__name__}") from None


def _body(answer: httpx.Response) -> Any:
    if answer.is_success:
        return answer.json()
    try:
        said = str(answer.json().get("message", ""))[:200]
    except (ValueError, AttributeError):
        said = ""
    raise GitError(
        f"Gitea answered {answer.status_code} to {answer.request.method} "
        f"{answer.request.url}{f': {said}' if said else ''}"
    )
