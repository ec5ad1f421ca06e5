"""A laptop as a process: how it starts, and that nothing is left when it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SECONDS = 500


def command(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "tenantry_local", *arguments]


def run(*arguments: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@contextmanager
def up(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("up", "--json", *arguments), stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=SECONDS)


def described(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line: dict[str, Any] = json.loads(process.stdout.readline())
    return line


def family(pid: int) -> set[int]:
    """Every process that a process started, and those that they started."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {pid for child in children for pid in (int(child), *family(int(child)))}


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float) -> float:
    """Seconds until it held."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.01)
    return time.monotonic() - started


def test_two_at_once_and_none_leaves_anything(tmp_path: Path) -> None:
    """Two share nothing; Ctrl-C, pressed again and again, ends one in 5 s, SIGKILL the other."""
    with up("--run-dir", tmp_path / "a" / "run") as one, up("--run-dir", tmp_path / "b") as two:
        first, second = described(one), described(two)
        ports = [
            {laptop["router_url"], laptop["engine_url"]}
            | {instance[key] for instance in laptop["instances"] for key in ("url", "private_url")}
            for laptop in (first, second)
        ]
        assert len(ports[0]) == len(ports[1]) == 12
        assert not ports[0] & ports[1]
        assert first["tenants"]["initech"]["consumer"] == "initech"
        assert "ey" not in json.dumps(first["tenants"])
        families = family(one.pid), family(two.pid)
        assert len(families[0]) == len(families[1]) == 7

        token = run("token", "acme", "--run-dir", first["run_dir"])
        assert (token.returncode, token.stdout[:2]) == (0, "ey")
        taken = first["router_url"].rpartition(":")[2]
        refused = run("up", "--router-port", taken, "--run-dir", tmp_path / "c")
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"port {taken} is taken: ")
        assert refused.stderr.count("\n") == 1
        in_use = run("up", "--run-dir", first["run_dir"])
        assert (in_use.returncode, in_use.stderr.count("\n")) == (2, 1)

        one.send_signal(signal.SIGINT)
        time_to_end = wait_for(lambda: press_again(one), 10)
        assert one.returncode == 0
        assert time_to_end < 5
        assert not any(is_running(pid) for pid in families[0])
        assert list((tmp_path / "a").iterdir()) == []

        two.kill()
        wait_for(lambda: not any(is_running(pid) for pid in families[1]), 5)


def press_again(process: subprocess.Popen[str]) -> bool:
    """Whether it ended; if not, Ctrl-C once more."""
    if process.poll() is not None:
        return True
    process.send_signal(signal.SIGINT)
    return False


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    """Services that are not ready yet end too."""
    with up("--run-dir", tmp_path / "run") as process:
        wait_for(lambda: len(family(process.pid)) >= 4, 20)
        children = family(process.pid)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        assert not any(is_running(pid) for pid in children)


def test_a_service_that_does_not_start_is_shown_and_its_log_kept(tmp_path: Path) -> None:
    """The reason is on the screen, with where the rest of the logs are."""
    failing = f"{sys.executable} -c \"raise SystemExit('out of luck')\""
    done = run("up", "--consumer-command", failing, "--run-dir", tmp_path / "run")
    assert done.returncode == 1
    assert "consumer of pool-1 ended with status 1" in done.stderr
    assert "    out of luck" in done.stderr
    assert done.stderr.endswith(f"the logs of this run are in {tmp_path}/last-run\n")
    assert (tmp_path / "last-run" / "pool-1-consumer.log").read_text() == "out of luck\n"


@pytest.mark.parametrize("whose", ["--router-port", "--engine-port"])
def test_a_port_that_is_taken_is_one_line(tmp_path: Path, whose: str) -> None:
    """Nothing is started, and the status is 2."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run("up", whose, str(port), "--run-dir", tmp_path / "run")
    assert done.returncode == 2
    assert done.stderr.startswith(f"port {port} is taken: the {whose[2:8]}")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_engine_is_one_line(tmp_path: Path) -> None:
    """It says what is missing; the status is 2."""
    missing = str(tmp_path / "none" / "python")
    done = run("up", "--run-dir", tmp_path / "run", TENANTRY_ENGINE_PYTHON=missing)
    assert done.returncode == 2
    assert done.stderr.startswith(f"the engine's environment is missing ({missing})")
    assert done.stderr.count("\n") == 1


def test_a_token_without_a_laptop_is_one_line(tmp_path: Path) -> None:
    """It says how to start one."""
    done = run("token", "acme", "--run-dir", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "no laptop runs: `make up` or `make demo` starts one\n"


def test_a_token_of_a_killed_laptop_is_none(tmp_path: Path) -> None:
    """What a killed laptop left makes no token that nobody would believe."""
    for name in ("laptop.lock", "token-acme"):
        (tmp_path / name).touch()
    done = run("token", "acme", "--run-dir", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("no laptop runs")


def test_nowhere_to_write_is_one_line(tmp_path: Path) -> None:
    """A folder that cannot be made: its name, the reason, and status 2."""
    (tmp_path / "file").touch()
    done = run("up", "--run-dir", tmp_path / "file" / "run")
    assert done.returncode == 2
    assert done.stderr.startswith("the laptop cannot write its files: Not a directory (")
    assert done.stderr.count("\n") == 1
