"""`python -m tenantry_cloud`, as make runs it: what it prints, and how it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cloud.environments import ROOT


def _run(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    """With no programs but those of a folder, and nobody to answer."""
    return subprocess.run(
        [sys.executable, "-m", "tenantry_cloud", *arguments],
        cwd=ROOT,
        env={"PATH": str(path), "TENANTRY_ROOT": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def _program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_commands_for_the_workstation_are_printed(tmp_path: Path) -> None:
    """Each with why, and none of them is run."""
    done = _run("workstation", "dev", path=tmp_path)

    assert done.returncode == 0
    assert done.stdout.count("# ") == 8
    assert "--stack-name tenantry-state" in done.stdout
    assert "AWS-StartPortForwardingSession" in done.stdout


@pytest.mark.parametrize("command", ["workstation", "make", "destroy", "cost"])
def test_an_environment_that_is_not_there_is_said(command: str, tmp_path: Path) -> None:
    """By the file that it would have, and before anything is tried."""
    done = _run(command, "nowhere", path=tmp_path)

    assert done.returncode == 2
    assert done.stderr == "nowhere.tfvars: there is no such file\n"


def test_a_machine_without_the_programs_is_refused(tmp_path: Path) -> None:
    """One line, and no traceback."""
    done = _run("make", "dev", path=tmp_path)

    assert done.returncode == 3
    assert "terraform, aws" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_credentials_nothing_is_destroyed(tmp_path: Path) -> None:
    """The status says that a command failed; what it said is shown, and what to do."""
    _program(tmp_path, "aws", "echo 'Unable to locate credentials' >&2; exit 253")

    done = _run("destroy", "dev", path=tmp_path)

    assert done.returncode == 4
    assert done.stderr.splitlines() == [
        "aws sts get-caller-identity: status 253",
        "  Unable to locate credentials",
        "Sign in to AWS first.",
    ]


def test_nobody_at_the_keyboard_destroys_nothing(tmp_path: Path) -> None:
    """As in a pipeline that was not told CONFIRM."""
    _program(
        tmp_path,
        "aws",
        """case "$*" in
        *get-caller-identity*) echo 123456789012 ;;
        *scan*) echo "ResourceNotFoundException" >&2; exit 254 ;;
        *list-tables*) echo '{"TableNames": []}' ;;
        *list-object-versions*) echo NoSuchBucket >&2; exit 254 ;;
        *) exit 1 ;;
        esac""",
    )
    _program(tmp_path, "terraform", 'case "$*" in *destroy*) exit 9 ;; *) exit 0 ;; esac')

    done = _run("destroy", "dev", path=tmp_path)

    assert done.returncode == 3
    assert "CONFIRM=dev agrees beforehand" in done.stderr
    assert "This removes 0 resources of dev" in done.stdout
