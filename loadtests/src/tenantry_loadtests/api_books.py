"""The books of a system that is only reached by its API: lists, and reads by id.

Every id of the run is an idempotency key's, so earlier data cannot be mistaken for it. A list is
in the order of ids, which for such ids is no order of time: all of a tenant's list is read, up to
a bound; beyond it ids are looked up one by one, up to another. What is left is named.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import requests

from tenantry_loadtests.accounting import Books
from tenantry_loadtests.clock import SYSTEM, Clock
from tenantry_loadtests.tokens import TokenError, TokenSource

if TYPE_CHECKING:
    from tenantry_loadtests.observing import Observation
    from tenantry_loadtests.results import Result
    from tenantry_loadtests.tenants import TenantEntry

_PAGE: Final = 100
_PAGES_AT_MOST: Final = 500
_READS_AT_MOST: Final = 1_000
_SECONDS: Final = 15.0
_PAUSE: Final = 1.0
_TRIES: Final = 4


class UnreadableError(Exception):
    """The API does not say; and why."""


class ApiBooks:
    """Finds the run's messages by the API."""

    def __init__(
        self,
        tenants: Sequence[TenantEntry],
        result: Result,
        *,
        insecure: bool,
        say: Callable[[str], object],
        observe: Callable[[], Observation | None] = lambda: None,
        session: requests.Session | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._entries = [entry for entry in tenants if entry.tenant in set(result.tenants)]
        self._result = result
        self._say = say
        self._clock = clock
        self._observe = observe
        self._session = session or requests.Session()
        self._session.trust_env = False  # neither a proxy nor a .netrc of the user's
        self._session.verify = not insecure
        self._tokens = {entry.tenant: TokenSource(entry) for entry in self._entries}

    def read(self, patience: Callable[[], float]) -> Books:
        """Look until all is found, or nothing was for a while."""
        stored: dict[str, set[bytes]] = {entry.tenant: set() for entry in self._entries}
        unread: dict[str, str] = {}
        unlooked: dict[str, frozenset[bytes]] = {}
        since = self._clock.monotonic()
        while True:
            before = sum(map(len, stored.values()))
            for entry in self._entries:
                wanted = self._wanted(entry.tenant) - stored[entry.tenant]
                unlooked.pop(entry.tenant, None)
                if not wanted:
                    continue
                try:
                    found, left = self._find(entry, wanted)
                except (UnreadableError, TokenError) as error:
                    unread[entry.tenant] = f"{entry.tenant}'s messages ({error})"
                    unlooked[entry.tenant] = wanted
                    continue
                unread.pop(entry.tenant, None)
                stored[entry.tenant] |= found
                if left:
                    unlooked[entry.tenant] = left
            total = sum(map(len, stored.values()))
            told = {tenant: len(self._told(tenant)) for tenant in stored}
            have = {tenant: len(self._told(tenant) & ids) for tenant, ids in stored.items()}
            self._say(f"found {sum(have.values())} of {sum(told.values())} accepted messages")
            if have == told or (unlooked and not unread):
                break
            if total > before:
                since = self._clock.monotonic()
            if self._clock.monotonic() > since + patience():
                break
            self._clock.sleep(_PAUSE)
        return Books(
            stored={tenant: frozenset(ids) for tenant, ids in stored.items()},
            dead=None,
            queued=None,
            strays=False,
            waiting=self._waiting(),
            unread=tuple(unread.values()),
            unreadable=frozenset(unread),
            unlooked=unlooked,
        )

    def _told(self, tenant: str) -> frozenset[bytes]:
        return self._result.accepted.get(tenant, frozenset())

    def _wanted(self, tenant: str) -> frozenset[bytes]:
        return self._told(tenant) | self._result.unknown.get(tenant, frozenset())

    def _find(
        self, entry: TenantEntry, wanted: frozenset[bytes]
    ) -> tuple[set[bytes], frozenset[bytes]]:
        """Those that are stored; and those that were not looked for: too many."""
        if len(wanted) <= _PAGE:
            return self._look_up(entry, wanted), frozenset()
        found: set[bytes] = set()
        cursor: str | None = None
        for _ in range(_PAGES_AT_MOST):
            page = self._get(entry, "/messages", {"limit": str(_PAGE), "cursor": cursor})
            for item in page["items"]:
                found.add(uuid.UUID(item["message_id"]).bytes)
            cursor = page["next_cursor"]
            if cursor is None or wanted <= found:
                return found & wanted, frozenset()
        left = sorted(wanted - found)
        found |= self._look_up(entry, left[:_READS_AT_MOST])
        return found & wanted, frozenset(left[_READS_AT_MOST:])

    def _look_up(self, entry: TenantEntry, ids: Iterable[bytes]) -> set[bytes]:
        return {
            one
            for one in ids
            if self._get(entry, f"/messages/{uuid.UUID(bytes=one)}", {}) is not None
        }

    def _get(self, entry: TenantEntry, path: str, query: dict[str, str | None]) -> Any:
        """The answer's value; None for 404."""
        refused = ""
        for number in range(_TRIES):
            header = self._tokens[entry.tenant].header()
            try:
                answer = self._session.get(
                    f"{entry.get_url}{path}",
                    params=query,
                    headers={"Authorization": header, "tenantID": entry.tenant},
                    timeout=_SECONDS,
                    allow_redirects=False,
                )
            except requests.RequestException as error:
                refused = type(error).__name__
            else:
                if answer.status_code == requests.codes.ok:
                    return answer.json()
                if answer.status_code == requests.codes.not_found and path != "/messages":
                    return None
                if answer.status_code == requests.codes.unauthorized:
                    self._tokens[entry.tenant].renew(header)
                refused = str(answer.status_code)
            self._clock.sleep(_PAUSE * number)
        raise UnreadableError(refused)

    def _waiting(self) -> int | None:
        """What waits in the queues now, and what became a dead letter since the start."""
        now = self._observe()
        if now is None or now.depth is None:
            return None
        dead = [o.dead for o in self._result.observations if o.dead is not None]
        grown = now.dead - dead[0] if dead and now.dead is not None else 0
        return now.depth + max(0, grown)
