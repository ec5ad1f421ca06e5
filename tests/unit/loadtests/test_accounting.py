from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.loadtests import some_ids
from tenantry_loadtests.accounting import Books, account

SENT = some_ids(10)
FIVE, OTHERS = frozenset(sorted(SENT)[:5]), frozenset(sorted(SENT)[5:])


def books(**changes: Any) -> Books:
    values: dict[str, Any] = {"stored": {}, "dead": {}, "queued": {}, "strays": True}
    return Books(**(values | changes))


def test_stored_and_dead_and_queued_together_are_accepted() -> None:
    """Every message is in one of the three places, counted once."""
    three, two = frozenset(sorted(OTHERS)[:3]), frozenset(sorted(OTHERS)[3:])
    found = account(
        {"acme": SENT},
        {},
        books(stored={"acme": FIVE}, dead={"acme": three}, queued={"acme": two}),
    )
    assert found.holds
    [one] = found.accounts
    assert (one.accepted, one.stored, one.dead, one.queued, one.missing) == (10, 5, 3, 2, 0)


def test_a_lost_message_is_named_with_its_tenant_and_the_numbers() -> None:
    """And the run fails."""
    found = account(
        {"acme": SENT, "globex": FIVE},
        {},
        books(stored={"acme": SENT - {min(SENT)}, "globex": FIVE}),
    )
    assert not found.holds
    [finding] = found.findings
    assert "acme: 10 accepted, 9 stored, 0 dead letters, 0 queued: 1 missing" in finding
    assert min(SENT).hex()[:8] in finding
    assert "globex" not in finding


def test_a_copy_in_a_queue_of_what_is_stored_counts_once() -> None:
    """A late copy is no second message."""
    found = account(
        {"acme": SENT},
        {},
        books(stored={"acme": SENT}, dead={"acme": FIVE}, queued={"acme": SENT}),
    )
    assert found.holds
    [one] = found.accounts
    assert (one.stored, one.dead, one.queued) == (10, 0, 0)


def test_a_message_in_another_tenants_partition_is_missing_here_and_a_stray_there() -> None:
    """Both tenants are named."""
    found = account({"acme": SENT}, {}, books(stored={"acme": FIVE, "globex": OTHERS}))
    assert len(found.findings) == 2
    assert "acme: 10 accepted, 5 stored" in found.findings[0]
    assert "globex: 5 stored that nobody sent" in found.findings[1]


def test_unknown_outcomes_are_a_band_that_is_stated() -> None:
    """They are neither missing nor strays, wherever they are."""
    unknown = some_ids(4, "unknown")
    there = frozenset(sorted(unknown)[:3])
    found = account({"acme": SENT}, {"acme": unknown}, books(stored={"acme": SENT | there}))
    assert found.holds
    [one] = found.accounts
    assert (one.unknown, one.unknown_found, one.strays) == (4, 3, 0)
    assert any("4 of unknown outcome; 3 of them are there, up to 1" in n for n in found.notes)


def test_unknown_once_and_accepted_later_is_accepted() -> None:
    """One key is one message."""
    found = account({"acme": SENT}, {"acme": FIVE}, books(stored={"acme": SENT}))
    assert found.accounts[0].unknown == 0


def test_strays_of_a_lost_worker_are_a_note() -> None:
    """It went away with ids that it had told nobody."""
    some = books(stored={"acme": SENT})
    assert not account({"acme": FIVE}, {}, some).holds
    found = account({"acme": FIVE}, {}, some, lost_workers=1)
    assert found.holds
    assert any("5 stored messages are of workers that were lost" in note for note in found.notes)


def test_queues_that_can_only_be_counted_leave_a_note() -> None:
    """As many as wait there may be missing elsewhere; one more may not."""
    blind = {"stored": {"acme": FIVE}, "dead": None, "queued": None, "strays": False}
    found = account({"acme": SENT}, {}, books(**blind, waiting=5))
    assert found.holds
    assert any("cannot be told apart" in note for note in found.notes)
    assert not account({"acme": SENT}, {}, books(**blind, waiting=4)).holds
    assert not account({"acme": SENT}, {}, books(**blind, waiting=None)).holds


def test_what_was_not_looked_for_is_named_and_not_missing() -> None:
    """A list that is too long is no loss; one that cannot be read at all fails the run."""
    found = account({"acme": SENT}, {}, books(stored={"acme": FIVE}, unlooked={"acme": OTHERS}))
    assert found.holds
    assert found.accounts[0].unlooked == 5
    assert any("5 accepted messages were not looked for" in note for note in found.notes)
    unreadable = books(unlooked={"acme": SENT}, unreadable=frozenset({"acme"}))
    assert account({"acme": SENT}, {}, unreadable).findings == [
        "acme: 10 accepted, and its messages cannot be read"
    ]


IDS = st.frozensets(st.sampled_from(sorted(some_ids(12))), max_size=12)


@given(IDS, IDS, IDS, IDS, IDS)
def test_the_columns_always_add_up(
    accepted: frozenset[bytes],
    unknown: frozenset[bytes],
    stored: frozenset[bytes],
    dead: frozenset[bytes],
    queued: frozenset[bytes],
) -> None:
    """Accepted = stored + dead + queued + missing, whatever is where."""
    found = account(
        {"acme": accepted},
        {"acme": unknown},
        books(stored={"acme": stored}, dead={"acme": dead}, queued={"acme": queued}),
    )
    for one in found.accounts:
        assert one.accepted == one.stored + one.dead + one.queued + one.missing
        assert one.missing == len(accepted - stored - dead - queued)
        assert one.unknown_found <= one.unknown
    assert found.holds == (accepted <= stored | dead | queued and stored <= accepted | unknown)


def test_totals_are_over_all_tenants() -> None:
    """For the summary's one line."""
    found = account(
        {"acme": FIVE, "globex": OTHERS}, {}, books(stored={"acme": FIVE, "globex": OTHERS})
    )
    assert found.total("stored") == 10


@pytest.mark.parametrize("where", ["accepted", "unknown"])
def test_a_tenant_without_books_is_accounted_too(where: str) -> None:
    """Nothing of it was found: that is an account as well."""
    sent = {"acme": FIVE}
    found = account(
        sent if where == "accepted" else {}, sent if where == "unknown" else {}, books()
    )
    assert [one.tenant for one in found.accounts] == ["acme"]
