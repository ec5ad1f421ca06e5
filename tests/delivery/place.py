"""A Gitea with the project's repositories as they are in production, and who works there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from delivery.gitea import Gitea, Person, git
from delivery.gitea_runner_standin import Job, Runner
from support.waiting import wait_for
from tenantry_cloud.model import Git
from tenantry_cloud.seeding import CODE_MAIN, FLEET_MAIN, Forge, Protection, differences
from tenantry_cloud.steps import Shell

CODE: Final = "platform/tenantry"
FLEET: Final = "platform/fleet"
RELEASE: Final = "release/tenantry"


@dataclass
class Place:
    """A Gitea with its repositories as they are in production, and who works there."""

    gitea: Gitea
    folder: Path
    operator: Person
    developer: Person
    ci: Runner
    release: Runner

    def clone(self, repository: str, by: Person) -> Path:
        path = self.folder / f"clone-{len(list(self.folder.iterdir()))}"
        done = git(self.folder, "clone", "--quiet", self.address(repository), str(path), by=by)
        assert 0 == done.returncode, done.stderr
        return path

    def address(self, repository: str) -> str:
        return f"{self.gitea.url}/{repository}.git"

    def push(self, clone: Path, branch: str, files: Mapping[str, str], by: Person) -> str:
        """Commit files on a branch, and push it; the commit."""
        git(clone, "switch", "--quiet", "--create", branch)
        for name, text in files.items():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            (clone / name).write_text(text, "utf-8")
        git(clone, "add", "--all", by=by)
        git(clone, "commit", "--quiet", "--message=Change", by=by)
        done = git(clone, "push", "--quiet", "origin", branch, by=by)
        assert 0 == done.returncode, done.stderr
        return git(clone, "rev-parse", "HEAD").stdout.strip()

    def statuses(self, repository: str, commit: str) -> dict[str, str]:
        """How each check of a commit went."""
        path = f"/repos/{repository}/commits/{commit}/status"
        told = self.gitea.api("GET", path, token=self.operator.token).body
        return {each["context"]: each["status"] for each in told["statuses"] or []}

    def until(self, runner: Runner, is_it: Callable[[Job], bool], seconds: float = 300) -> Job:
        """Run jobs until it was one of these."""
        found: list[Job] = []

        def ran() -> bool:
            job = runner.run_one()
            if job is not None and is_it(job):
                found.append(job)
            return bool(found)

        wait_for(ran, seconds=seconds, what="the job")
        return found[0]

    def variable(self, name: str, value: str) -> None:
        """What the workflow of releases is told."""
        self.done("POST", f"/repos/{RELEASE}/actions/variables/{name}", {"value": value})

    def dispatch(self, by: Person, commit: str = "") -> int:
        """Start a release; the API's status."""
        path = f"/repos/{RELEASE}/actions/workflows/release.yaml/dispatches"
        body = {"ref": "main", "inputs": {"commit": commit}}
        return self.gitea.api("POST", path, body, token=by.token).status

    def done(self, method: str, path: str, body: Any = None) -> Any:
        """By the operator, and it succeeds."""
        answer = self.gitea.api(method, path, body, token=self.operator.token)
        assert answer.status < 300, answer
        return answer.body


def furnished(
    gitea: Gitea, folder: Path, source: Path, code_main: Protection = CODE_MAIN
) -> Place:
    """Organisations as the server's script makes them, repositories as `make environment` does."""
    operator, developer = gitea.person("operator", is_administrator=True), gitea.person("dev")
    runners = {name: Runner(gitea.url, name, folder) for name in ("ci", "release")}
    place = Place(gitea, folder, operator, developer, runners["ci"], runners["release"])
    for organisation in ("platform", "release"):
        place.done("POST", "/orgs", {"username": organisation, "visibility": "private"})
    said = Git(url=gitea.url, fleet=FLEET, source=CODE, branch="main")
    forge = Forge(Shell(source), said, operator.credentials)
    for repository, tree in ((CODE, ""), (FLEET, "platform/fleet"), (RELEASE, "platform/release")):
        forge.create(repository)
        forge.push(repository, tree)
        assert forge.has(repository)
    for name, rights in (("developers", "write"), ("readers", "read")):
        body = {
            "name": name,
            "permission": rights,
            "units": ["repo.code", "repo.pulls", "repo.actions"],
        }
        team = place.done("POST", "/orgs/platform/teams", body)["id"]
        repository = CODE if rights == "write" else FLEET
        place.done("PUT", f"/teams/{team}/repos/{repository}")
        place.done("PUT", f"/teams/{team}/members/dev")
    for repository, protection in ((CODE, code_main), (FLEET, FLEET_MAIN)):
        assert forge.rule(repository) is None
        forge.protect(repository, protection)
        rule = forge.rule(repository)
        assert rule is not None
        assert not differences(rule, protection, "main")
    place.done("PUT", f"/repos/{RELEASE}/actions/secrets/CODE_TOKEN", {"data": operator.token})
    gitea.allow_reading("platform", "tenantry", operator)
    place.ci.register(gitea.runner_token("platform"))
    place.release.register(gitea.runner_token(RELEASE))
    return place
