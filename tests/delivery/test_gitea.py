"""What a push and a pull request start, and what they cannot: by a real Gitea."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from delivery.gitea import Gitea, git
from delivery.gitea_runner_standin import Job
from delivery.place import CODE, FLEET, RELEASE, Place, furnished
from delivery.world import ROOT
from support.waiting import wait_for
from tenantry_cloud.seeding import CODE_MAIN

pytestmark = pytest.mark.delivery

#: Stands for the project's own: what is looked at here is who runs it, and of what.
MAKEFILE: Final = """\
check:
\t@test ! -e broken || { echo "broken is here" >&2; exit 1; }
test:
\t@echo tested
check-fleet:
\t@test ! -e "$(FLEET)/broken" || { echo "$(FLEET): broken is here" >&2; exit 1; }
images chart:
\t@echo "$@ of $$(git rev-parse HEAD) to $$REGISTRY"
"""


def is_asked_for(job: Job) -> bool:
    """And not one of the release's schedule."""
    return (job.repository, job.event) == (RELEASE, "workflow_dispatch")


@contextmanager
def started_of(folder: Path) -> Generator[tuple[Gitea, Path]]:
    """An empty Gitea, and a code of which nothing is built, with the project's own workflows."""
    source = folder / "source"
    for path in ("", "platform/fleet", "platform/release"):
        below = Path(path) / ".gitea/workflows"
        shutil.copytree(ROOT / below, source / below)
    (source / "Makefile").write_text(MAKEFILE, "utf-8")
    git(source, "init", "--quiet", "--initial-branch=main")
    git(source, "add", "--all")
    git(source, "commit", "--quiet", "--message=Begin")
    (folder / "server").mkdir()
    gitea = Gitea(folder / "server")
    gitea.start()
    try:
        yield gitea, source
    finally:
        gitea.end()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Generator[Place]:
    """As it is when everything was made."""
    folder = tmp_path_factory.mktemp("gitea")
    with started_of(folder) as (gitea, source):
        # Nobody else is here to approve; test_workflows.py has somebody.
        found = furnished(gitea, folder, source, replace(CODE_MAIN, approvals=0))
        found.variable("REGISTRY", "registry.example.com")
        found.variable("SIGNING_KEY", "a.key")
        yield found


def pull_request(place: Place, branch: str, files: Mapping[str, str]) -> tuple[int, str]:
    """By a developer, to the code's main; its number and commit."""
    clone = place.clone(CODE, place.developer)
    commit = place.push(clone, branch, files, place.developer)
    body = {"head": branch, "base": "main", "title": branch}
    path = f"/repos/{CODE}/pulls"
    answer = place.gitea.api("POST", path, body, token=place.developer.token)
    assert 201 == answer.status, answer
    return answer.body["number"], commit


def merge(place: Place, number: int) -> int:
    path = f"/repos/{CODE}/pulls/{number}/merge"
    return place.gitea.api("POST", path, {"Do": "merge"}, token=place.developer.token).status


def test_a_good_change_is_checked_and_merged(place: Place) -> None:
    """Not before its status is there, which the job's end makes."""
    number, commit = pull_request(place, "good", {"a": "1"})
    assert 405 == merge(place, number)

    job = place.until(place.ci, lambda job: job.event == "pull_request")

    assert job.has_succeeded, job.log
    assert "tested" in job.log
    wait_for(
        lambda: place.statuses(CODE, commit).get("ci / check (pull_request)") == "success",
        what="the status",
    )
    assert 200 == merge(place, number)


def test_a_change_that_fails_is_not_merged(place: Place) -> None:
    """And the log says why."""
    number, commit = pull_request(place, "bad", {"broken": ""})

    job = place.until(place.ci, lambda job: job.event == "pull_request")

    assert not job.has_succeeded
    assert "broken is here" in job.log
    wait_for(
        lambda: place.statuses(CODE, commit).get("ci / check (pull_request)") == "failure",
        what="the status",
    )
    assert 405 == merge(place, number)


def test_a_pull_request_gets_no_runner_that_publishes(place: Place) -> None:
    """Whatever its workflow says: the runner of releases is another repository's."""
    evil = (ROOT / ".gitea/workflows/ci.yaml").read_text("utf-8")
    evil = evil.replace("runs-on: ci", "runs-on: release")
    _, commit = pull_request(place, "evil", {".gitea/workflows/ci.yaml": evil})
    wait_for(lambda: place.statuses(CODE, commit), what="the job that waits")

    while (job := place.release.run_one()) is not None:
        assert RELEASE == job.repository  # its schedule's
    assert "pending" == place.statuses(CODE, commit)["ci / check (pull_request)"]


def test_a_jobs_token_only_reads(place: Place) -> None:
    """It pushes nothing, and tells nobody that a check passed."""
    text = (ROOT / ".gitea/workflows/ci.yaml").read_text("utf-8")
    tries = """\
      - name: Try
        env: {TOKEN: "${{ github.token }}"}
        run: |
          printf 'username=job\\npassword=%s\\n' "$TOKEN" >"$RUNNER_TEMP/t"
          there=${GITHUB_SERVER_URL%/}
          git -c credential.helper="!cat '$RUNNER_TEMP/t' #" push \\
            "$there/$GITHUB_REPOSITORY.git" HEAD:refs/heads/pushed-by-a-job && echo "PUSHED"
          curl --silent --output /dev/null --write-out 'STATUS %{http_code}\\n' \\
            --header "Authorization: token $TOKEN" \\
            --json '{"context": "ci / check (pull_request)", "state": "success"}' \\
            "$there/api/v1/repos/$GITHUB_REPOSITORY/statuses/$GITHUB_SHA"
"""
    pull_request(place, "tries", {".gitea/workflows/ci.yaml": text + tries})

    job = place.until(place.ci, lambda job: job.event == "pull_request")

    assert "STATUS 403" in job.log
    assert "PUSHED\n" not in job.log
    clone = place.clone(CODE, place.operator)
    assert "pushed-by-a-job" not in git(clone, "branch", "--remotes").stdout


def test_main_takes_no_push(place: Place) -> None:
    """Nobody's, not an administrator's either."""
    for person in (place.developer, place.operator):
        clone = place.clone(CODE, person)
        (clone / "b").write_text("1", "utf-8")
        git(clone, "add", "--all", by=person)
        git(clone, "commit", "--quiet", "--message=Past everybody", by=person)

        done = git(clone, "push", "origin", "main", by=person)

        assert done.returncode != 0
        assert "protected branch main" in done.stderr


def test_a_release_is_of_main(place: Place) -> None:
    """Started by an operator, with the registry of the repository's variables."""
    main = git(place.clone(CODE, place.operator), "rev-parse", "HEAD").stdout.strip()
    assert 404 == place.dispatch(place.developer)
    assert 204 == place.dispatch(place.operator)

    job = place.until(place.release, is_asked_for)

    assert job.has_succeeded, job.log
    for what in ("images", "chart"):
        assert f"{what} of {main} to registry.example.com" in job.log


def test_a_release_of_anything_else_is_refused(place: Place) -> None:
    """A commit that a developer pushed, and nobody merged."""
    _, commit = pull_request(place, "unmerged", {"c": "1"})
    place.dispatch(place.operator, commit)

    job = place.until(place.release, is_asked_for)

    assert not job.has_succeeded
    assert f"{commit} is no commit of main: what is released was merged" in job.log
    assert f"images of {commit}" not in job.log


def test_no_token_is_in_a_log(place: Place) -> None:
    """Neither the job's nor the one that reads the code."""
    assert 204 == place.dispatch(place.operator)

    job = place.until(place.release, is_asked_for)

    assert place.operator.token not in job.log


@pytest.mark.parametrize("files", [{"broken": ""}, {"tenants/dev/README": "more"}])
def test_a_fleet_that_would_break_is_not_merged(place: Place, files: dict[str, str]) -> None:
    """By the code of main, which its token reads since the organisation allows that."""
    clone = place.clone(FLEET, place.operator)
    branch = f"change-{len(files)}-{min(files).partition('/')[0]}"
    commit = place.push(clone, branch, files, place.operator)
    body = {"head": branch, "base": "main", "title": branch}
    number = place.done("POST", f"/repos/{FLEET}/pulls", body)["number"]

    job = place.until(place.ci, lambda job: (job.repository, job.event) == (FLEET, "pull_request"))

    is_good = "broken" not in files
    assert is_good is job.has_succeeded, job.log
    assert is_good is ("broken is here" not in job.log)
    wanted = "success" if is_good else "failure"
    check = "fleet / check (pull_request)"
    wait_for(lambda: place.statuses(FLEET, commit).get(check) == wanted, what="the status")
    path = f"/repos/{FLEET}/pulls/{number}/merge"
    answer = place.gitea.api("POST", path, {"Do": "merge"}, token=place.operator.token)
    assert (200 if is_good else 405) == answer.status
