"""The workstation's first start, in parts, with stand-ins on the PATH for what it calls."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Final

import pytest

from cloud import templates
from cloud.environments import ROOT
from tenantry_cloud import bootstrap
from tenantry_cloud.reading import read_environment

DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")
SCRIPT: Final[str] = templates.resources("workstation.yaml", bootstrap.parameters(DEV))["Machine"][
    "Properties"
]["UserData"]
MINUTES: Final = 60


def _part(name: str) -> str:
    """The program that the script writes to a path that ends so."""
    found = re.search(rf"/{name} <<'END'\n(.*?)^END$", SCRIPT, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def _program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def _bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_script_is_a_script_and_fits() -> None:
    """Bash reads it, and EC2 takes 16,384 bytes of it."""
    read = subprocess.run(
        ["bash", "-n"], input=SCRIPT, text=True, capture_output=True, check=False
    )

    assert read.stderr == ""
    assert "${" not in SCRIPT
    assert len(SCRIPT.encode()) < 16_384


def test_everything_fetched_has_a_version_and_a_digest() -> None:
    """Nothing is the newest of its kind: addresses name versions, and each has its SHA-256."""
    calls = re.findall(r"^fetch (\S+) (\S+) \\\n\s*(\S+)$", SCRIPT, re.MULTILINE)

    assert ["code-server", "terraform", "kubectl", "helm"] == [name for name, _, _ in calls]
    for name, address, digest in calls:
        assert re.search(r"[0-9]+\.[0-9]+\.[0-9]+", address), name
        assert re.fullmatch(r"[0-9a-f]{64}", digest), name
        assert address.startswith("https://")
    assert SCRIPT.count("curl") == 1, "what is fetched is fetched by `fetch`"
    assert "latest" not in SCRIPT


@pytest.mark.parametrize("is_right", [True, False])
def test_what_was_not_published_is_not_installed(tmp_path: Path, is_right: bool) -> None:
    """A digest that differs ends the start, named."""
    fetch = SCRIPT[SCRIPT.index("fetch() {") : SCRIPT.index("told() {")]
    fetch = fetch.replace("/tmp/", f"{tmp_path}/")
    _program(tmp_path, "curl", f"echo published >{tmp_path}/tool")
    digest = hashlib.sha256(b"published\n" if is_right else b"other\n").hexdigest()

    done = _bash(
        f"set -euo pipefail\n{fetch}\nfetch tool https://example.com/1.2.3 {digest}\necho went-on",
        tmp_path,
    )

    assert ("went-on" in done.stdout) is is_right
    assert ("tool: it is not what was published" in done.stderr) is not is_right


@pytest.mark.parametrize(
    ("up_minutes", "browser_minutes", "works", "stops"),
    [
        (600, None, "", True),
        (600, MINUTES + 5, "", True),
        (600, 1, "", False),
        (5, None, "", False),
        (600, None, "terraform", False),
        (600, None, "ssm-session-worker", False),
    ],
    ids=["never used", "left long ago", "in use", "just started", "terraform", "session"],
)
def test_machine_stops_when_nobody_uses_it(
    tmp_path: Path, up_minutes: int, browser_minutes: int | None, works: str, stops: bool
) -> None:
    """After so many minutes without a browser, a session, Terraform; not right after its start."""
    heartbeat = tmp_path / "heartbeat"
    if browser_minutes is not None:
        heartbeat.touch()
        then = time.time() - 60 * browser_minutes
        os.utime(heartbeat, (then, then))
    (tmp_path / "uptime").write_text(f"{60 * up_minutes}.50 1.00\n", encoding="utf-8")
    _program(tmp_path, "pgrep", f'[[ -n "{works}" && "{works}" =~ ^($2)$ ]]')
    _program(tmp_path, "logger", "true")
    _program(tmp_path, "shutdown", f"touch {tmp_path}/stopped")
    idle = _part("stop-when-idle")
    said = re.sub("/srv/[^\n]*/heartbeat", str(heartbeat), idle)
    said = said.replace("/proc/uptime", f"{tmp_path}/uptime")

    done = _bash(said, tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "stopped").exists() is stops
    assert f"minutes={MINUTES}" in idle


def test_ide_listens_on_the_machine_alone() -> None:
    """Whoever comes by Session Manager is the only one who reaches it, and asks for a password."""
    assert "bind-addr: 127.0.0.1:8080" in SCRIPT
    assert "auth: password" in SCRIPT
    assert "0.0.0.0" not in SCRIPT
