"""The laptop on the project's own stand-in of AWS."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from support.waiting import wait_for
from tenantry_local.engine import start_engine
from tenantry_local.processes import Processes, free_port

SECONDS: Final = 50
COMMAND: Final = (sys.executable, "-m", "tenantry_local")
NAME: Final = "stand-in (tenantry_local.aws_standin)"


@contextmanager
def laptop(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A laptop as a process, and what it says of itself."""
    command: list[str | Path] = [
        *COMMAND,
        "up",
        "--json",
        "--engine",
        "standin",
        "--run-dir",
        tmp_path / "run",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def engine_pid(port: str) -> int:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it ended meanwhile
        if arguments[1:6] == [b"-m", b"tenantry_local.aws_standin", b"--port", port.encode(), b""]:
            return int(path.parent.name)
    raise AssertionError("the stand-in does not run")


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def listening(pid: int) -> set[str]:
    """Addresses on which a process listens, as the kernel writes them."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        target = str(descriptor.readlink())
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = set()
    for family in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{family}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.add(fields[1].partition(":")[0])
    return found


@pytest.mark.slow
def test_the_demo_proves_on_the_stand_in(tmp_path: Path) -> None:
    """Every message is stored once; and its report says what stood for AWS."""
    done = subprocess.run(
        [*COMMAND, "demo", "--engine", "standin", "--run-dir", str(tmp_path / "run")],
        env=os.environ | {"ONCE": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert f"In the place of AWS: {NAME}." in done.stdout
    assert "Proven: each of 360 accepted messages is stored once" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="who listens where is read from /proc")
def test_it_says_what_it_is_and_ends_with_the_laptop(tmp_path: Path) -> None:
    """In JSON and on its page; on the loopback alone; SIGKILL of the laptop ends it too."""
    with laptop(tmp_path) as (process, described):
        url = described["engine_url"]
        pid = engine_pid(url.rpartition(":")[2])
        with urllib.request.urlopen(described["router_url"], timeout=10) as page:
            assert f"Engine: {NAME} at " in page.read().decode()
        assert described["engine_name"] == NAME
        assert listening(pid) == {"0100007F"}

        process.kill()
        wait_for(lambda: not is_running(pid), seconds=5)


async def test_a_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    """Whatever it holds, and whoever polls."""
    port, processes = free_port(), Processes()
    url = f"http://127.0.0.1:{port}"
    try:
        engine = await start_engine(processes, port, tmp_path, "standin")
        async with aiohttp.ClientSession() as session:
            headers = {"X-Amz-Target": "AmazonSQS.CreateQueue"}
            async with session.post(url, json={"QueueName": "q"}, headers=headers) as answer:
                queue = json.loads(await answer.text())
            headers = {"X-Amz-Target": "AmazonSQS.ReceiveMessage"}
            request = session.post(url, json=queue | {"WaitTimeSeconds": 20}, headers=headers)
            poll = asyncio.ensure_future(request)
            headers = {"X-Amz-Target": "AmazonSQS.SendMessageBatch"}
            entries = [{"Id": str(n), "MessageBody": "x" * 600} for n in range(10)]
            for _ in range(1_000):
                async with session.post(url, json=queue | {"Entries": entries}, headers=headers):
                    pass

            assert [] == await processes.stop([engine], seconds=2.0)
            await asyncio.wait([poll])
    finally:
        processes.close()
