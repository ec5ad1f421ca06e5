"""A fleet's repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.fleets import MAY_CHANGE, MakeFleet, a_pool, as_files
from support.git_server import Origin
from tenantctl.fleet import Fleet
from tenantctl.remote import Remote


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    """A fleet with one pool."""
    (tmp_path / "srv").mkdir()
    return Origin(tmp_path / "srv" / "fleet.git", as_files(a_pool()))


@pytest.fixture
def fleet(origin: Origin, tmp_path: Path) -> MakeFleet:
    """Makes a fleet of the origin, or of another address, in the cache of a name."""

    def make(
        url: str | None = None,
        *,
        cache: str = "cache",
        credentials: Path | None = None,
        change_seconds: float = 30,
        transfer_seconds: float = 20,
        silent_seconds: int = 10,
    ) -> Fleet:
        return Fleet(
            Remote(url or str(origin.folder), credentials=credentials),
            may_change=MAY_CHANGE,
            cache=tmp_path / cache,
            change_seconds=change_seconds,
            transfer_seconds=transfer_seconds,
            silent_seconds=silent_seconds,
        )

    return make
