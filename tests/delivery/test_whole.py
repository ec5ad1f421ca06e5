"""The project's own checks, run by a real Gitea: `make test-delivery WHOLE=1`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from delivery.gitea import Gitea
from delivery.gitea_runner_standin import Job
from delivery.place import CODE, FLEET, furnished
from delivery.world import copy_checkout

pytestmark = [pytest.mark.delivery, pytest.mark.whole, pytest.mark.timeout(3 * 3_600)]


def test_the_first_push_passes_what_it_starts(tmp_path: Path) -> None:
    """`make check` and `make test` of the code, `make check-fleet` of the fleet."""
    source = tmp_path / "source"
    copy_checkout(source)
    (tmp_path / "server").mkdir()
    gitea = Gitea(tmp_path / "server")
    gitea.start()
    try:
        place = furnished(gitea, tmp_path, source)
        # What this machine has fetched and built already.
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        place.ci.env["XDG_CACHE_HOME"] = cache
        jobs: dict[str, Job] = {}  # in whatever order

        def are_done(job: Job) -> bool:
            jobs[job.repository] = job
            return {CODE, FLEET} <= jobs.keys()

        place.until(place.ci, are_done, seconds=7_200)
    finally:
        gitea.end()
    of_code, of_fleet = jobs[CODE], jobs[FLEET]
    assert of_code.has_succeeded, of_code.log[-9_000:]
    assert "make check: all good" in of_code.log
    assert " passed" in of_code.log
    assert of_fleet.has_succeeded, of_fleet.log[-9_000:]
    assert "may be merged" in of_fleet.log
