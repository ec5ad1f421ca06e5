"""The fleet in memory is what the one over Git is, as far as the verbs can see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from fakes.fleet import MemoryFleet
from support.fleets import MAY_CHANGE, MakeFleet, a_pool, a_tenant, as_files, writing
from tenantctl.errors import InvalidError
from tenantctl.files import tenant_path
from tenantctl.fleet import Snapshot

ACME = tenant_path("dev", "acme")


@pytest.fixture(params=["git", "memory"])
def any_fleet(request: pytest.FixtureRequest, fleet: MakeFleet) -> Any:
    """One with a pool."""
    if request.param == "git":
        return fleet()
    return MemoryFleet({"README.md": b"A fleet.\n", **as_files(a_pool())}, MAY_CHANGE)


async def test_what_an_edit_says_is_there_after_it(any_fleet: Any) -> None:
    """In a commit of its own; what stands there already is none."""
    before = await any_fleet.snapshot()
    change = await any_fleet.change(writing(a_tenant()), "Onboard acme")
    after = await any_fleet.snapshot()

    assert change.commit == after.commit != before.commit
    assert after.files == {**before.files, **as_files(a_tenant())}
    assert "+    name: basic-r2\n" in change.diff
    assert await any_fleet.change(writing(a_tenant()), "Onboard acme") is None
    assert (await any_fleet.snapshot()).commit == after.commit
    (entry,) = await any_fleet.log(ACME)
    assert (entry.commit, entry.subject) == (change.commit, "Onboard acme")
    await any_fleet.change(lambda _: {ACME: None}, "Remove acme")
    assert (await any_fleet.snapshot()).files == before.files


async def test_a_dry_run_and_a_refusal_change_nothing(any_fleet: Any) -> None:
    """Validation sees what would come out; an edit touches only what it may."""
    before = await any_fleet.snapshot()
    shown = await any_fleet.change(writing(a_tenant()), "Onboard acme", dry_run=True)
    assert (shown.commit, "+      id: acme\n" in shown.diff) == ("", True)

    def validate(after: Snapshot) -> None:
        assert after.files.keys() - before.files.keys() == {ACME}
        raise InvalidError("no")

    with pytest.raises(InvalidError, match=r"^no$"):
        await any_fleet.change(writing(a_tenant()), "Onboard acme", validate=validate)

    def edit(_: Snapshot) -> Mapping[str, bytes | None]:
        return {"README.md": b""}

    with pytest.raises(InvalidError, match="may not be changed"):
        await any_fleet.change(edit, "Edit")
    assert (await any_fleet.snapshot()).commit == before.commit
