"""Messages all the time: what was accepted has to be stored, once, whatever happens meanwhile."""

from __future__ import annotations

import time
import urllib.error
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread

from e2e.tenants import Routes, Tenant
from support.waiting import wait_for

#: Between two messages of a tenant: a story is not a load test.
_SECONDS = 0.1


@dataclass
class Traffic:
    """What was sent.

    Attributes:
        routes: How it goes in.
        accepted: Of each tenant, the payload by message id.
        refused: Answers that were none, by what they were; each was asked again.
    """

    routes: Routes
    accepted: dict[str, dict[str, int]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Of messages that were accepted."""
        return sum(len(of) for of in self.accepted.values())

    def missing(self, tenants: Sequence[Tenant]) -> dict[str, list[str]]:
        """Messages that were accepted and are not in their tenant's table, by tenant."""
        found = {
            tenant.id: sorted(self.accepted[tenant.id].keys() - self.routes.stored(tenant).keys())
            for tenant in tenants
        }
        return {name: ids for name, ids in found.items() if ids}

    def settle(self, tenants: Sequence[Tenant], seconds: float = 300.0) -> None:
        """Wait until all of it is stored; fail with what is not."""
        try:
            wait_for(lambda: not self.missing(tenants), seconds=seconds)
        except AssertionError:
            raise AssertionError(f"accepted and not stored: {self.missing(tenants)}") from None

    def send(self, tenant: Tenant, number: int, ends: Event) -> None:
        """One message, asked for until it is accepted or the traffic ends."""
        key = f"{tenant.id}-{number}"
        while not ends.is_set():
            try:
                answer = self.routes.send(tenant, {"n": number}, key)
            except urllib.error.HTTPError as error:
                why = str(error.code)
            except OSError as error:
                why = type(error).__name__
            else:
                self.accepted[tenant.id][answer["message_id"]] = number
                return
            self.refused[why] = self.refused.get(why, 0) + 1
            ends.wait(1.0)


@contextmanager
def flowing(routes: Routes, tenants: Sequence[Tenant]) -> Generator[Traffic]:
    """Traffic of these tenants until the block ends, and all that was begun is answered."""
    found = Traffic(routes, {tenant.id: {} for tenant in tenants})
    ends = Event()

    def flow(tenant: Tenant) -> None:
        begun = time.time_ns()
        number = 0
        while not ends.wait(_SECONDS):
            found.send(tenant, begun + number, ends)
            number += 1

    threads = [Thread(target=flow, args=(each,), name=f"traffic-{each.id}") for each in tenants]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ends.set()
        for thread in threads:
            thread.join()
