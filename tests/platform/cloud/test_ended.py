"""Somebody ends a command: what it runs is told, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cloud.environments import ROOT
from support.waiting import wait_for
from tenantry_cloud.steps import TIMED_OUT, Shell


@contextmanager
def _running(folder: Path, *words: str, **env: str) -> Generator[subprocess.Popen[str]]:
    """A program in a session of its own, which is killed at the end, with all that it started."""
    process = subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **env},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        # What is started in the background has it ignored, and can trap it no more.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - no threads
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_terraform_saves_what_it_made_when_somebody_presses_ctrl_c(tmp_path: Path) -> None:
    """It gets the signal, too, and is waited for: a killed one loses state and keeps its lock."""
    child = "trap 'sleep 0.7; touch saved; exit 0' INT; touch ready; while :; do sleep 0.05; done"
    program = (
        "from pathlib import Path; from tenantry_cloud.steps import Shell;"
        f"Shell(Path('.')).run(['bash', '-c', {child!r}])"
    )
    with _running(tmp_path, "-c", program) as process:
        wait_for((tmp_path / "ready").exists)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=20)

    assert (tmp_path / "saved").exists()
    assert "KeyboardInterrupt" in said


#: Terraform as it is while it works: ended, it saves, and says when it has.
TERRAFORM = """#!/bin/bash
case "$*" in
providers) echo 'provider[example.org/hashicorp/aws]' ;;
*test*)
    trap 'sleep 0.7; touch "$HERE/saved"; exit 1' TERM
    echo $$ > "$HERE/terraform"
    touch "$HERE/ready"
    while :; do sleep 0.05; done ;;
esac
"""


def test_who_is_terminated_leaves_neither_children_nor_folders(tmp_path: Path) -> None:
    """SIGTERM reaches it alone: once Terraform went on by itself, and its folder stayed."""
    program, scratch = tmp_path / "bin" / "terraform", tmp_path / "scratch"
    program.parent.mkdir()
    scratch.mkdir()
    program.write_text(TERRAFORM, encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    with _running(
        ROOT,
        *("-m", "tenantry_cloud", "cost", "dev"),
        PATH=path,
        HERE=str(tmp_path),
        TMPDIR=str(scratch),
    ) as process:
        wait_for((tmp_path / "ready").exists)
        process.terminate()
        _, said = process.communicate(timeout=20)

    assert (tmp_path / "saved").exists(), "it was not told, or not waited for"
    assert process.returncode == 143
    assert said == "interrupted: the same command goes on from there\n"
    assert [*scratch.iterdir()] == []
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "terraform").read_text("utf-8")), 0)


def test_what_takes_too_long_is_told_and_waited_for(tmp_path: Path) -> None:
    """Not killed: it may hold a lock."""
    child = "trap 'touch saved; exit 0' TERM; while :; do sleep 0.05; done"

    done = Shell(tmp_path, 0.5).run(["bash", "-c", child])

    assert done.status == TIMED_OUT
    assert (tmp_path / "saved").exists()


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_what_is_said_is_read_in_any_locale(tmp_path: Path, locale: str) -> None:
    """Python reads what programs say by the locale, unless it is told: ASCII knows no ≤."""
    (tmp_path / "say").write_text("≤ ä", encoding="utf-8")
    program = (
        "from pathlib import Path; from tenantry_cloud.steps import Shell;"
        f"assert Shell(Path('.')).run(['cat', 'say']).out == {'≤ ä'!a}"
    )
    # Without this, Python takes UTF-8 where a locale says nothing better.
    plain = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}

    with _running(tmp_path, "-c", program, **plain) as process:
        _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")
    # And what we say ourselves: the first line has an ellipsis.
    nothing = {**plain, "PATH": str(tmp_path)}
    with _running(ROOT, "-m", "tenantry_cloud", "make", "dev", **nothing) as process:
        _, said = process.communicate(timeout=20)
    assert process.returncode == 3, said
