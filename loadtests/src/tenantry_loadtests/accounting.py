"""After a run: accepted = stored + dead-lettered + still queued, by tenant, or the run fails.

It compares sets of ids: those that the generators were told, and those that the books (tables,
queues, the list of the API) hold. It decides nothing by a service's own counters.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

#: Ids that are named of those that are lost.
_EXAMPLES: Final = 3

Ids = Mapping[str, frozenset[bytes]]
_NONE: Final[frozenset[bytes]] = frozenset()


@dataclass(frozen=True, slots=True)
class Books:
    """What was found after the run, by tenant.

    Attributes:
        stored: Ids in the tables, or in the list of the API.
        dead: Ids in the dead-letter queues; None: those could not be read.
        queued: Ids in the queues; None: those could not be read.
        strays: Whether `stored` holds everything there is, so that an id nobody sent is found.
        waiting: Messages in the queues that could be counted and not read, in all.
        unread: What could not be read, in words.
        unlooked: Ids that were not looked for: they are too many to be, or cannot be read.
        unreadable: Tenants whose messages cannot be read.
    """

    stored: Ids
    dead: Ids | None
    queued: Ids | None
    strays: bool
    waiting: int | None = None
    unread: Sequence[str] = ()
    unlooked: Ids = field(default_factory=dict)
    unreadable: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Account:
    """One tenant's messages.

    Attributes:
        accepted: Answered with 202.
        stored: Of those, in a table.
        dead: Of those not stored, in a dead-letter queue.
        queued: Of the rest, in a queue.
        unlooked: Accepted, and not looked for.
        missing: Accepted, and nowhere that was read.
        unknown: Neither answered with 202 nor refused: perhaps accepted.
        unknown_found: Of those, stored, dead-lettered or queued after all.
        strays: Stored, and sent by nobody.
        examples: Some ids of what is missing, or of strays.
    """

    tenant: str
    accepted: int
    stored: int
    dead: int
    queued: int
    unlooked: int
    missing: int
    unknown: int
    unknown_found: int
    strays: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Accounting:
    """Every tenant's account, and what they come to.

    Attributes:
        findings: What is wrong; the run fails for it.
        notes: What is not certain, or could not be seen.
    """

    accounts: Sequence[Account] = ()
    findings: Sequence[str] = ()
    notes: Sequence[str] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether every accepted message is accounted for."""
        return not self.findings

    def total(self, name: str) -> int:
        """The sum of a column."""
        return sum(getattr(account, name) for account in self.accounts)


def account(accepted: Ids, unknown: Ids, books: Books, *, lost_workers: int = 0) -> Accounting:
    """Compare what was accepted with the books.

    Args:
        accepted: By tenant.
        unknown: By tenant; disjoint of `accepted` but for keys that were tried again.
        books: What was found.
        lost_workers: Generators that went away with ids that they had not told yet: then ids
            that nobody knows are theirs, perhaps.
    """
    tenants = sorted({*accepted, *unknown, *books.stored})
    accounts = [_account(tenant, accepted, unknown, books) for tenant in tenants]
    findings: list[str] = []
    notes = [f"not read: {what}" for what in books.unread]
    missing = sum(one.missing for one in accounts)
    blind = books.queued is None or books.dead is None
    in_sight = books.waiting is not None and blind and 0 < missing <= books.waiting
    for one in accounts:
        if one.missing and not in_sight:
            findings.append(
                f"{one.tenant}: {one.accepted} accepted, {one.stored} stored, {one.dead} dead"
                f" letters, {one.queued} queued: {one.missing} missing"
                f" ({', '.join(one.examples)}{', …' if one.missing > _EXAMPLES else ''})"
            )
        if one.tenant in books.unreadable:
            findings.append(
                f"{one.tenant}: {one.accepted} accepted, and its messages cannot be read"
            )
        if one.strays and not lost_workers:
            findings.append(
                f"{one.tenant}: {one.strays} stored that nobody sent ({', '.join(one.examples)})"
            )
        if one.unlooked:
            notes.append(f"{one.tenant}: {one.unlooked} accepted messages were not looked for")
        if one.unknown:
            notes.append(
                f"{one.tenant}: {one.unknown} of unknown outcome; {one.unknown_found} of them are"
                f" there, up to {one.unknown - one.unknown_found} may never have been accepted"
            )
    if in_sight:
        notes.append(
            f"{missing} accepted messages are in no table; the queues hold {books.waiting} that"
            " cannot be told apart, so none is missing for certain"
        )
    if lost_workers and (strays := sum(one.strays for one in accounts)):
        notes.append(f"{strays} stored messages are of workers that were lost, or of nobody")
    return Accounting(accounts, findings, notes)


def _account(tenant: str, accepted: Ids, unknown: Ids, books: Books) -> Account:
    told = accepted.get(tenant, _NONE)
    # A key that was tried again has one id: what was accepted in the end is not unknown.
    perhaps = unknown.get(tenant, _NONE) - told
    stored = books.stored.get(tenant, _NONE)
    dead = (books.dead or {}).get(tenant, _NONE) - stored
    queued = (books.queued or {}).get(tenant, _NONE) - stored - dead
    unlooked = books.unlooked.get(tenant, _NONE) - stored
    missing = told - stored - dead - queued - unlooked
    strays = stored - told - perhaps if books.strays else _NONE
    return Account(
        tenant=tenant,
        accepted=len(told),
        stored=len(told & stored),
        dead=len(told & dead),
        queued=len(told & queued),
        unlooked=len(told & unlooked),
        missing=len(missing),
        unknown=len(perhaps),
        unknown_found=len(perhaps & (stored | dead | queued)),
        strays=len(strays),
        examples=tuple(str(uuid.UUID(bytes=one)) for one in sorted(missing or strays)[:_EXAMPLES]),
    )
