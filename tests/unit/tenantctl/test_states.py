"""Copies of Terraform states: what is copied, what is left, and what is put back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.states import FakeStateSecrets, a_state
from tenantctl.errors import RefusedError, UnavailableError
from tenantctl.places import Folder
from tenantctl.states import State, Version, copy, restore, versions

ACME = "tfstate-default-acme-state"
POOL = "tfstate-default-pool-1-state"


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "copies")


async def test_what_changed_is_copied_and_what_did_not_is_not(place: Folder) -> None:
    """Each is counted once; what is gone keeps its copy."""
    secrets = FakeStateSecrets(a_state(ACME), a_state(POOL))
    assert (ACME, POOL) == (await copy(secrets, place)).written

    secrets.held[ACME] = a_state(ACME, 2)
    done = await copy(secrets, place)

    assert ((ACME,), 1, (), (), {}) == (
        done.written,
        done.same,
        done.anew,
        done.kept,
        dict(done.failed),
    )
    del secrets.held[ACME]
    await copy(secrets, place)
    assert (await restore(secrets, place, "acme")).serial == 2


async def test_an_empty_state_of_somebody_who_began_anew_leaves_the_copy(place: Folder) -> None:
    """A plan wrote it while the state was lost: the copy is all that says what was made."""
    secrets = FakeStateSecrets(a_state(ACME, 7))
    await copy(secrets, place)
    secrets.held[ACME] = a_state(ACME, 1, lineage="two", resources=())

    done = await copy(secrets, place)

    assert ((ACME,), (), {}) == (done.kept, done.written, dict(done.failed))
    assert (await restore(secrets, place, "acme")).serial == 7


async def test_a_state_that_was_emptied_is_copied(place: Folder) -> None:
    """By who had it: all that it named was destroyed."""
    secrets = FakeStateSecrets(a_state(ACME, 7))
    await copy(secrets, place)
    secrets.held[ACME] = a_state(ACME, 8, resources=())

    assert (ACME,) == (await copy(secrets, place)).written


async def test_a_state_that_is_another_one_is_copied_and_named(place: Folder) -> None:
    """A tenant that left may come again; if it was a loss, an older version has what was."""
    secrets = FakeStateSecrets(a_state(ACME, 7))
    await copy(secrets, place)
    secrets.held[ACME] = a_state(ACME, 1, lineage="two")

    done = await copy(secrets, place)

    assert ((ACME,), (ACME,)) == (done.written, done.anew)


async def test_what_cannot_be_put_back_does_not_replace_what_can(place: Folder) -> None:
    """A Secret without a state, or one that is cut short, is named, and its copy stays."""
    secrets = FakeStateSecrets(a_state(ACME, 7), a_state(POOL))
    await copy(secrets, place)
    for data in ({}, {"tfstate": ""}, {"tfstate": a_state(ACME, 9).data["tfstate"][:40]}):
        secrets.held[ACME] = replace(a_state(ACME, 8), data=data)
        done = await copy(secrets, place)
        assert [ACME] == list(done.failed)
        assert (1, ()) == (done.same, done.written)

    del secrets.held[ACME]
    assert (await restore(secrets, place, "acme")).serial == 7


async def test_a_copy_that_nobody_can_read_is_written_anew(place: Folder, tmp_path: Path) -> None:
    """It says nothing of what it was."""
    secrets = FakeStateSecrets(a_state(ACME))
    await copy(secrets, place)
    (tmp_path / "copies" / f"{ACME}.json").write_text("{", encoding="utf-8")

    done = await copy(secrets, place)

    assert ((ACME,), ()) == (done.written, done.anew)


async def test_a_place_that_fails_is_told_and_holds_up_no_other(tmp_path: Path) -> None:
    """Each that has no copy of now is named."""

    class Broken(Folder):
        def file(self, name: str) -> Any:
            if name == f"{ACME}.json":
                raise UnavailableError("the bucket: denied")
            return super().file(name)

    done = await copy(FakeStateSecrets(a_state(ACME), a_state(POOL)), Broken(tmp_path))

    assert ((POOL,), {ACME: "the bucket: denied"}) == (done.written, dict(done.failed))


async def test_while_somebody_holds_the_lock_nothing_is_put_back(place: Folder) -> None:
    """A runner goes on when its object is suspended, and would write over what was put back."""
    secrets = FakeStateSecrets(a_state(ACME))
    await copy(secrets, place)
    del secrets.held[ACME]
    secrets.locked.add(ACME)

    with pytest.raises(RefusedError, match=f"holds the lock.*lease lock-{ACME}"):
        await restore(secrets, place, "acme", replace=True, older=True)
    assert {} == secrets.held

    secrets.locked.clear()
    assert (await restore(secrets, place, "acme")).changed


async def test_no_word_is_enough_where_the_state_is_another(place: Folder) -> None:
    """Nor is one for another: each says what it is for, and nothing was changed."""
    secrets = FakeStateSecrets(a_state(ACME, 7))
    await copy(secrets, place)
    other = a_state(ACME, 9, lineage="two")
    newer = a_state(ACME, 9)
    for there, words, text in (
        (other, {"replace": True, "older": True}, "another state"),
        (newer, {}, "--replace"),
        (newer, {"older": True}, "--replace"),
        (newer, {"replace": True}, "--older"),
    ):
        secrets.held[ACME] = there
        with pytest.raises(RefusedError, match=text):
            await restore(secrets, place, "acme", **words)
        assert there == secrets.held[ACME]


async def test_nothing_of_a_state_is_said(place: Folder) -> None:
    """Neither when it is copied nor when it is refused: a state may hold secrets."""
    secret = "p4ss-word"
    state = a_state(ACME, 7, resources=(secret,))
    secrets = FakeStateSecrets(state)

    done = await copy(secrets, place)
    secrets.held[ACME] = replace(state, data={"tfstate": "AAAA"})
    failed = await copy(secrets, place)

    for text in (secret, state.data["tfstate"], "AAAA"):
        assert text not in f"{done} {failed}"


async def test_versions_of_a_neighbour_are_nobodys_else() -> None:
    """`acme` and `acme-two` begin alike."""

    class Kept:
        async def of(self, begins: str) -> list[Version]:
            names = ("acme", "acme-two")
            said = [f"tfstate-default-{name}-state" for name in names]
            return [
                Version(name, version, "2026-11-23T10:00:00+00:00", is_latest)
                for name in said
                for version, is_latest in (("v2", True), ("v1", False))
                if f"{name}.json".startswith(begins)
            ]

        def at(self, version: str) -> Any:
            raise AssertionError(version)

    found = await versions(Kept(), "acme")
    assert [(ACME, "v2"), (ACME, "v1")] == [(each.state, each.version) for each in found]
    latest = await versions(Kept(), None)
    two = "tfstate-default-acme-two-state"
    assert [(ACME, "v2"), (two, "v2")] == [(one.state, one.version) for one in latest]


def test_a_copy_has_no_more_of_a_secret_than_restoring_needs() -> None:
    """And the same Secret has the same copy, whatever order its keys came in."""
    state = a_state(ACME)
    turned = replace(state, labels=dict(reversed(list(state.labels.items()))))

    assert state.pack() == turned.pack()
    assert state == State.unpack(ACME, state.pack())
