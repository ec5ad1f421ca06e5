from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tenantry_local import guardian
from tenantry_local.model import LaptopError
from tenantry_local.processes import Process, Processes, free_port, is_free

#: Says that it is ready, and ignores SIGTERM if so asked.
PROGRAM = """
import signal, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").close()
time.sleep(60)
"""


def is_running(pid: int) -> bool:
    """Whether a process exists and is more than a zombie."""
    if sys.platform != "linux":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def processes() -> Iterator[Processes]:
    subject = Processes()
    yield subject
    subject.close()


async def start(processes: Processes, tmp_path: Path, name: str, *arguments: str) -> Process:
    ready = tmp_path / f"{name}.ready"
    process = processes.start(
        name,
        [sys.executable, "-c", PROGRAM, str(ready), *arguments],
        env={"PATH": os.defpath},
        cwd=tmp_path,
        log=tmp_path / f"{name}.log",
    )

    async def is_ready() -> bool:
        return ready.exists()

    await processes.wait_ready(process, is_ready, seconds=10)
    return process


async def test_processes_are_stopped_in_parallel_and_killed_when_they_must_be(
    processes: Processes, tmp_path: Path
) -> None:
    """SIGTERM ends the willing; the stubborn are killed after the bound, and named."""
    willing = await start(processes, tmp_path, "willing")
    stubborn = await start(processes, tmp_path, "stubborn", "stubborn")
    started = time.monotonic()
    late = await processes.stop([willing, stubborn], seconds=0.5)
    assert time.monotonic() - started < 2
    assert late == [stubborn]
    assert (willing.popen.returncode, stubborn.popen.returncode) == (
        -signal.SIGTERM,
        -signal.SIGKILL,
    )
    assert (willing.pid, stubborn.pid) == (None, None)


async def test_a_process_that_ends_early_fails_with_the_end_of_its_log(
    processes: Processes, tmp_path: Path
) -> None:
    """The reader sees what the process said last."""
    process = processes.start(
        "the service",
        [sys.executable, "-c", "import sys; sys.exit('TENANTRY_JWKS: is not set')"],
        env={},
        cwd=tmp_path,
        log=tmp_path / "service.log",
    )
    with pytest.raises(LaptopError, match="the service ended with status 1") as caught:
        await processes.wait_ready(process, never, seconds=10)
    assert str(caught.value).endswith("service.log ends with\n    TENANTRY_JWKS: is not set")


async def test_a_program_that_does_not_exist_is_named(
    processes: Processes, tmp_path: Path
) -> None:
    """The log of what could not start says so."""
    process = processes.start(
        "it", ["/no/such/program"], env={}, cwd=tmp_path, log=tmp_path / "it.log"
    )
    with pytest.raises(LaptopError, match="/no/such/program cannot be run: No such file"):
        await processes.wait_ready(process, never, seconds=10)


async def test_a_process_that_is_never_ready_fails_in_time(
    processes: Processes, tmp_path: Path
) -> None:
    """Waiting has a bound."""
    process = await start(processes, tmp_path, "slow")
    with pytest.raises(LaptopError, match=r"slow is not ready after 0\.1 s"):
        await processes.wait_ready(process, never, seconds=0.1)


async def never() -> bool:
    return False


async def test_closing_kills_what_still_runs(tmp_path: Path) -> None:
    """Nothing outlives its laptop, even when nobody stopped it."""
    processes = Processes()
    process = await start(processes, tmp_path, "stubborn", "stubborn")
    processes.close()
    assert process.popen.returncode == -signal.SIGKILL


def test_the_guardian_kills_what_it_was_told_of_and_not_what_ended() -> None:
    """At end of file it kills every group still named; a terminal's Ctrl-C does not end it."""
    victim, released = (
        subprocess.Popen([sys.executable, "-c", PROGRAM, os.devnull], start_new_session=True)
        for _ in range(2)
    )
    watcher = subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__], stdin=subprocess.PIPE
    )
    try:
        assert watcher.stdin is not None
        watcher.stdin.write(b"+%d\n+%d\n-%d\n" % (victim.pid, released.pid, released.pid))
        watcher.stdin.flush()
        wait_for(lambda: ignores(watcher.pid, signal.SIGINT))
        watcher.send_signal(signal.SIGINT)
        watcher.stdin.close()
        assert watcher.wait(timeout=10) == 0
        assert victim.wait(timeout=10) == -signal.SIGKILL
        assert released.poll() is None
    finally:
        for process in (victim, released, watcher):
            process.kill()
            process.wait()


def ignores(pid: int, number: signal.Signals) -> bool:
    if sys.platform != "linux":
        return True
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigIgn:"):
            return bool(int(line.split()[1], 16) & 1 << (number - 1))
    return False


def test_a_process_dies_with_a_laptop_that_was_killed(tmp_path: Path) -> None:
    """SIGKILL of the parent leaves neither child nor guardian, without any help of the parent."""
    pids = tmp_path / "pids"
    program = f"""
import pathlib, sys, time
from tenantry_local.processes import Processes
here = pathlib.Path({str(tmp_path)!r})
processes = Processes()
child = processes.start("child", [sys.executable, "-c", "import time; time.sleep(60)"],
                        env={{}}, cwd=here, log=here / "child.log")
(here / "new").write_text(f"{{child.popen.pid}} {{processes._guardian.pid}}")
(here / "new").rename({str(pids)!r})
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program])
    try:
        wait_for(pids.exists)
        children = [int(pid) for pid in pids.read_text().split()]
        assert all(is_running(pid) for pid in children)
    finally:
        parent.kill()
        parent.wait()
    wait_for(lambda: not any(is_running(pid) for pid in children))


def test_no_port_is_given_twice() -> None:
    """Two services of a laptop with many once got one port, and the second could not listen."""
    ports = [free_port() for _ in range(1_000)]
    assert len(set(ports)) == len(ports)


def test_a_free_port_is_free() -> None:
    """It can be listened on, and is outside the range of outgoing connections."""
    port = free_port()
    assert is_free(port)
    assert port < 32_768
