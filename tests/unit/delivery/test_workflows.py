"""Workflows that need nothing but the runner's own tools, and may do no more than they have to."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[3]
WORKFLOWS: Final = sorted(
    path
    for folder in ("", "platform/fleet", "platform/release")
    for path in (ROOT / folder / ".gitea/workflows").glob("*")
)
MAY: Final = {"ci": "ci", "fleet": "ci", "release": "release"}


def said(path: Path) -> Any:
    # `on` is a boolean to YAML 1.1.
    return yaml.load(path.read_text("utf-8"), yaml.BaseLoader)


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in said(path)["jobs"].values() for step in job["steps"]]


def test_there_is_one_for_each_repository() -> None:
    """The code's, the fleet's and the one of releases."""
    assert {"ci", "fleet", "release"} == {path.stem for path in WORKFLOWS}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_on_the_runners_own_tools(path: Path) -> None:
    """No action from elsewhere; every step has a name, which is what a person sees of it."""
    for step in steps(path):
        assert {"name", "run"} <= step.keys()
        assert "uses" not in step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_jobs_token_reads_and_no_more(path: Path) -> None:
    """By itself Gitea's may push to its repository and tell that a check passed."""
    assert {"contents": "read"} == said(path)["permissions"]
    for job in said(path)["jobs"].values():
        assert (MAY[path.stem], False) == (job["runs-on"], "permissions" in job)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_what_is_secret_or_from_outside_is_no_part_of_a_script(path: Path) -> None:
    """It comes by the environment: in a script it would be run, or be in a process's words."""
    for step in steps(path):
        assert "${{" not in step["run"], step["name"]
        for name in step.get("env", {}):
            if "TOKEN" in name:
                [line] = [line for line in step["run"].splitlines() if name in line]
                assert line.startswith("printf "), line  # a command of the shell's own
                # However the step ends.
                before, _, _ = step["run"].partition(line)
                assert """trap 'rm -f "$RUNNER_TEMP/token"' EXIT""" in before


def test_only_the_repository_of_releases_has_secrets() -> None:
    """Those of an organisation reach every pull request."""
    for path in WORKFLOWS:
        assert ("secrets." in path.read_text("utf-8")) is (path.stem == "release"), path


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_step_calls_what_anybody_can_run(path: Path) -> None:
    """Targets that the Makefile has."""
    made = re.findall(r"\bmake(?: -C \w+)? ([a-z-]+)", "\n".join(s["run"] for s in steps(path)))
    targets = re.findall(r"(?m)^([a-z-]+):.*##", (ROOT / "Makefile").read_text("utf-8"))

    assert made
    assert {*made} <= {*targets}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_runner_takes_it(path: Path) -> None:
    """By the strict schema of the engine that runs Gitea's runners, too."""
    act = Path(sys.executable).parent / "act"
    done = subprocess.run(
        [str(act), "--validate", "--strict", "-W", str(path)],
        env={"ACT_DISABLE_VERSION_CHECK": "1", "HOME": "/nonexistent", "PATH": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stdout + done.stderr


def test_a_commit_that_nobody_merged_is_not_released(tmp_path: Path) -> None:
    """The step itself, run as the runner runs it."""
    [path] = [path for path in WORKFLOWS if path.stem == "release"]
    [step] = [step for step in steps(path) if "commit of main" in step["name"]]
    bash = shutil.which("bash")
    assert bash is not None

    def git(*words: str) -> str:
        who = ("-c", "user.name=dev", "-c", "user.email=dev@localhost")
        words = ("git", "-C", str(tmp_path / "code"), *who, *words)
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "code").mkdir()
    git("init", "--quiet", "--initial-branch=main")
    git("commit", "--quiet", "--allow-empty", "--message=First")
    first = git("rev-parse", "HEAD")
    git("switch", "--quiet", "--create", "work")
    git("commit", "--quiet", "--allow-empty", "--message=Mine")
    mine = git("rev-parse", "HEAD")
    git("switch", "--quiet", "main")
    git("commit", "--quiet", "--allow-empty", "--message=Second")
    second = git("rev-parse", "HEAD")

    def take(commit: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [bash, "-e", "-c", step["run"]],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "COMMIT": commit},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr, git("rev-parse", "HEAD")

    assert (0, second) == take("")[::2]
    assert (0, first) == take(first)[::2]
    for wrong in (mine, "no-such", "--help", "f" * 40):
        status, told, where = take(wrong)
        assert (2, first) == (status, where), wrong
        assert "is no commit of main: what is released was merged" in told
