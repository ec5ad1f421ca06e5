"""What Gitea is set to beside the workflows, and what is worth nothing without it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from delivery.gitea import git
from delivery.place import CODE, FLEET, RELEASE, Place, furnished
from delivery.test_gitea import is_asked_for, started_of
from support.waiting import wait_for

pytestmark = pytest.mark.delivery

CI: Final = "ci / check (pull_request)"
CHECK: Final = "fleet / check (pull_request)"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Generator[Place]:
    """As docs/delivery.md says what to set."""
    folder = tmp_path_factory.mktemp("settings")
    with started_of(folder) as (gitea, source):
        found = furnished(gitea, folder, source)
        found.variable("REGISTRY", "registry.example.com")
        yield found


def member(place: Place, name: str, repository: str, rights: str) -> Any:
    """Somebody in a team of their own, which has one repository."""
    person = place.gitea.person(name)
    body = {"name": f"of-{name}", "permission": rights, "units": ["repo.code"]}
    team = place.done("POST", "/orgs/platform/teams", body)["id"]
    place.done("PUT", f"/teams/{team}/repos/{repository}")
    place.done("PUT", f"/teams/{team}/members/{name}")
    return person


def forged(place: Place, commit: str) -> None:
    """The check's status, by a developer and not by a job: whoever may write may do that."""
    wait_for(lambda: CI in place.statuses(CODE, commit), what="Gitea's own, which is earlier then")
    body = {"context": CI, "state": "success"}
    path = f"/repos/{CODE}/statuses/{commit}"
    assert 201 == place.gitea.api("POST", path, body, token=place.developer.token).status


def refusal(place: Place, number: int) -> str:
    """What a developer's merge is told; empty when it is done."""
    told = ""

    def is_decided() -> bool:
        nonlocal told
        path = f"/repos/{CODE}/pulls/{number}/merge"
        answer = place.gitea.api("POST", path, {"Do": "merge"}, token=place.developer.token)
        told = "" if answer.status < 300 else str(answer.body)
        return "try again later" not in told

    wait_for(is_decided, what="whether it can be merged")
    return told


def change(place: Place, clone: Path, branch: str, files: Mapping[str, str]) -> int:
    """A pull request of a developer's."""
    commit = place.push(clone, branch, files, place.developer)
    body = {"head": branch, "base": "main", "title": branch}
    answer = place.gitea.api("POST", f"/repos/{CODE}/pulls", body, token=place.developer.token)
    assert 201 == answer.status, answer
    forged(place, commit)
    return int(answer.body["number"])


def test_a_status_that_a_developer_made_merges_nothing(place: Place) -> None:
    """Somebody else has to have looked, and at what is merged and not at what was before."""
    clone = place.clone(CODE, place.developer)
    number = change(place, clone, "forged", {"a": "1"})
    assert "Does not have enough approvals" in refusal(place, number)

    said = {"event": "APPROVED", "body": "Good"}
    reviews = f"/repos/{CODE}/pulls/{number}/reviews"
    own = place.gitea.api("POST", reviews, said, token=place.developer.token)
    assert 422 == own.status
    place.done("POST", reviews, said)
    (clone / "b").write_text("not looked at", "utf-8")
    git(clone, "add", "--all", by=place.developer)
    git(clone, "commit", "--quiet", "--message=More", by=place.developer)
    done = git(clone, "push", "--quiet", "origin", "forged", by=place.developer)
    assert 0 == done.returncode, done.stderr
    forged(place, git(clone, "rev-parse", "HEAD").stdout.strip())
    wait_for(lambda: any(each["stale"] for each in place.done("GET", reviews)), what="the push")
    assert "Does not have enough approvals" in refusal(place, number)

    place.done("POST", reviews, said)
    assert not refusal(place, number)


def test_what_is_merged_was_tested_with_what_is_on_main(place: Place) -> None:
    """Two changes that are good, each for itself, may not be together; and main is released."""
    first = change(place, place.clone(CODE, place.developer), "first", {"c": "1"})
    second = change(place, place.clone(CODE, place.developer), "second", {"d": "1"})
    for number in (first, second):
        body = {"event": "APPROVED", "body": "Good"}
        place.done("POST", f"/repos/{CODE}/pulls/{number}/reviews", body)

    assert not refusal(place, first)
    assert "behind the base branch" in refusal(place, second)


def test_a_release_that_waits_is_not_forgotten_for_a_newer_one(place: Place) -> None:
    """Gitea keeps one waiting run of a group; each commit is one of its own."""
    older = git(place.clone(CODE, place.operator), "rev-list", "HEAD").stdout.split()[-1]
    assert [204, 204] == [place.dispatch(place.operator, commit) for commit in (older, "")]

    jobs = [place.until(place.release, is_asked_for) for _ in range(2)]

    assert all(job.has_succeeded for job in jobs)
    assert f"images of {older} to" in jobs[0].log
    assert f"images of {older} to" not in jobs[1].log


def test_a_token_that_reads_is_all_that_a_release_needs(place: Place) -> None:
    """Of an account that reads the code; it can say nothing of a commit."""
    reader = member(place, "reader", CODE, "read")
    token = place.gitea.token(reader.name, "read:repository")
    place.done("PUT", f"/repos/{RELEASE}/actions/secrets/CODE_TOKEN", {"data": token})
    place.dispatch(place.operator)

    job = place.until(place.release, is_asked_for)

    assert job.has_succeeded, job.log
    assert token not in job.log
    main = git(place.clone(CODE, place.operator), "rev-parse", "HEAD").stdout.strip()
    said = {"context": CI, "state": "success"}
    path = f"/repos/{CODE}/statuses/{main}"
    assert 403 == place.gitea.api("POST", path, said, token=token).status


@pytest.mark.parametrize(
    ("file", "is_taken"), [("tenants/dev/a", True), ("releases/dev/b", True), ("Makefile", False)]
)
def test_a_program_pushes_tenants_and_releases_only(
    place: Place, file: str, *, is_taken: bool
) -> None:
    """To main, by who may write the fleet; everything else is a pull request."""
    name = f"program-{file.count('/')}-{file[0].lower()}"
    program = member(place, name, FLEET, "write")
    clone = place.clone(FLEET, program)
    (clone / file).parent.mkdir(parents=True, exist_ok=True)
    (clone / file).write_text("changed", "utf-8")
    git(clone, "add", "--all", by=program)
    git(clone, "commit", "--quiet", "--message=Change", by=program)

    done = git(clone, "push", "origin", "main", by=program)

    assert is_taken is (done.returncode == 0), done.stderr
    assert is_taken is ("protected branch main" not in done.stderr)


def test_a_fleets_change_from_a_fork_is_checked_where_the_code_can_be_read(place: Place) -> None:
    """And where developers, who cannot write the fleet, may start its workflows.

    Else nobody runs what they sent, or it does not get the code that checks it.
    """
    fork = f"/repos/{FLEET}/forks"
    assert 202 == place.gitea.api("POST", fork, {}, token=place.developer.token).status
    assert {CHECK: "pending"} == checked(place, "unasked", is_run=False)
    [team] = [t for t in place.done("GET", "/orgs/platform/teams") if t["name"] == "readers"]
    units = {"repo.code": "read", "repo.pulls": "read", "repo.actions": "write"}
    body = {"name": "readers", "permission": "read", "units_map": units}
    place.done("PATCH", f"/teams/{team['id']}", body)
    assert {CHECK: "failure"} == checked(place, "hidden")

    place.done("PATCH", "/orgs/platform", {"visibility": "limited"})
    place.done("PATCH", f"/repos/{CODE}", {"private": False})

    assert {CHECK: "success"} == checked(place, "readable")
    done = git(place.folder, "ls-remote", place.address(CODE))
    assert done.returncode != 0  # nobody's who does not log in


def checked(place: Place, branch: str, *, is_run: bool = True) -> Mapping[str, str]:
    """A developer's change from a fork, and what came of it."""
    clone = place.clone("dev/fleet", place.developer)
    commit = place.push(clone, branch, {f"tenants/dev/{branch}": ""}, place.developer)
    body = {"head": f"dev:{branch}", "base": "main", "title": branch}
    pulls = f"/repos/{FLEET}/pulls"
    answer = place.gitea.api("POST", pulls, body, token=place.developer.token)
    assert 201 == answer.status, answer
    wait_for(lambda: place.statuses(FLEET, commit), what="the run")
    if is_run:
        place.until(place.ci, lambda job: (job.repository, job.event) == (FLEET, "pull_request"))
        wait_for(
            lambda: {*place.statuses(FLEET, commit).values()} != {"pending"}, what="the status"
        )
    else:
        while (job := place.ci.run_one()) is not None:
            assert (FLEET, "pull_request") != (job.repository, job.event)
    return place.statuses(FLEET, commit)
