"""The load test, as a process."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil
import pytest

from support import load
from support.waiting import wait_for
from tenantry_local.issuer import Issuer
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, PRODUCER, TenantSpec

ROOT: Final = Path(__file__).resolve().parents[2]
SABOTEUR: Final = Path(__file__).with_name("saboteur.py")
SECONDS: Final = 500

#: What a shell may have that would be a setting.
SETTINGS: Final = (
    "HOST", "SHAPE", "TENANTS", "DURATION", "RATE", "USERS", "EVENTS", "ENGINE", "OUT", "FAIL_ON",
)  # fmt: skip


def environment(**changes: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    # What must never be used: a user's account, and a proxy with no way to the loopback.
    theirs = {"AWS_PROFILE": "production", "HTTP_PROXY": "http://127.0.0.1:9"}
    return inherited | theirs | changes


def command(tmp_path: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "tenantry_loadtests", "--out", str(tmp_path / "out"), *arguments]


def loadtest(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(tmp_path, *arguments),
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


async def loadtest_beside(
    laptop: Laptop, tmp_path: Path, entries: list[dict[str, object]], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """A load test of a laptop that runs here, as of any host."""
    path = tmp_path / "tenants.json"
    path.write_text(json.dumps(entries))
    return await asyncio.to_thread(
        loadtest,
        tmp_path,
        *("--host", laptop.router_url, "--tenants", str(path), *arguments),
    )


def report_of(tmp_path: Path) -> Path:
    [folder] = (tmp_path / "out").iterdir()
    return folder


def are_users_there(tmp_path: Path) -> bool:
    logs = list((tmp_path / "out").glob("*/generator.log"))
    return bool(logs) and "All users spawned" in logs[0].read_text()


@pytest.mark.faults
def test_a_short_run_passes_and_leaves_a_report(tmp_path: Path) -> None:
    """Status 0, every message accounted for, and the files; nothing of the user's is used."""
    done = loadtest(tmp_path, DURATION="4", WARM_UP="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steady: PASSED" in done.stdout
    assert "unknown outcome" not in done.stdout, "users were cut off while they sent"
    found = re.search(r"accounting: ([\d,]+) accepted = ([\d,]+) stored \+ 0 dead", done.stdout)
    assert found is not None
    assert found[1] == found[2]
    folder = report_of(tmp_path)
    assert folder.name.endswith("-steady")
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "summary.txt", "stats.csv", "series.csv", "requests.csv", "errors.csv",
        "generator.log",
    }  # fmt: skip
    for path in folder.iterdir():  # a token is a JWT: it starts so
        assert "eyJ" not in path.read_text("utf-8"), path.name
    assert "what stands for AWS is ministack" in (folder / "report.html").read_text("utf-8")
    stored = re.search(r"all +[\d,]+ +[\d,]+ +[\d.]+ +0 .* ms +(\d+) ", done.stdout)
    assert stored is not None
    assert int(stored[1]) > 0, "no message was followed to the table"


@pytest.mark.faults
def test_a_lost_message_fails_the_run_with_its_tenant(tmp_path: Path) -> None:
    """The consumer drops one type of message, of one tenant, and says that all is well."""
    events = tmp_path / "events.jsonl"
    kept = [{"type": "kept", "payload": {"n": n}} for n in range(20)]
    lost = [{"type": "sabotaged", "payload": {}, "tenant_id": "umbrella"}]
    mine = [{"type": "kept", "payload": {}, "tenant_id": "umbrella"}] * 9
    lines = [json.dumps(event) for event in (*kept, *lost, *mine)]
    events.write_text("".join(f"{line}\n" for line in lines))
    saboteur = shlex.join([sys.executable, str(SABOTEUR), "drop"])
    done = loadtest(
        tmp_path,
        EVENTS=str(events),
        CONSUMER_COMMAND=saboteur,
        DURATION="3",
        WARM_UP="1",
        FOLLOW="0",
    )
    assert done.returncode == 1, done.stdout + done.stderr
    text = re.sub(r"\s+", " ", done.stdout)
    found = re.search(
        r"accounting: umbrella: (\d+) accepted, (\d+) stored, 0 dead letters, 0 queued: (\d+) m",
        text,
    )
    assert found is not None, text
    accepted, stored, missing = map(int, found.groups())
    assert missing == accepted - stored > 0
    for other in ("acme", "globex", "initech"):
        assert f"accounting: {other}" not in text
    assert "missing" in (report_of(tmp_path) / "report.html").read_text("utf-8")


def test_a_host_that_is_down_is_one_line_and_nothing_is_sent(tmp_path: Path) -> None:
    """Status 2 before any load, and no report of a run that was none."""
    token, tenants = tmp_path / "token", tmp_path / "tenants.json"
    token.write_text("abc")
    tenants.write_text(json.dumps([{"tenant": "acme", "token_file": str(token)}]))
    done = loadtest(tmp_path, HOST="http://127.0.0.1:9", TENANTS=str(tenants))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "http://127.0.0.1:9/producer does not answer: connection refused" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ({"SHAPE": "square"}, "shape"),
        ({"FAIL_ON": "p99(accepted)<5%"}, "FAIL_ON"),
        ({"EVENTS": "/nowhere"}, "EVENTS /nowhere cannot be read"),
        ({"SIZES": "huge"}, "SIZES"),
        ({"HOST": "https://x.example", "TENANTS": "/nowhere"}, "/nowhere cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, env: Mapping[str, str], what: str) -> None:
    """Status 2, on standard error, before anything is started."""
    done = loadtest(tmp_path, **env)
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert what in line
    assert not (tmp_path / "out").exists()


@pytest.mark.faults
def test_an_interrupted_run_ends_cleanly_with_what_was_measured(tmp_path: Path) -> None:
    """Status 130, a report that says so, accounted for, and no process is left."""
    child = subprocess.Popen(
        command(tmp_path, "--duration", "60"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(lambda: are_users_there(tmp_path))
        family = psutil.Process(child.pid).children(recursive=True)
        assert family
        child.send_signal(signal.SIGINT)
        output, _ = child.communicate(timeout=SECONDS)
    finally:
        child.kill()
    assert child.returncode == 130, output
    assert "steady: INTERRUPTED" in output
    assert "accounting:" in output
    assert "INTERRUPTED" in (report_of(tmp_path) / "report.html").read_text("utf-8")
    wait_for(lambda: not any(one.is_running() for one in family), seconds=5)


@pytest.mark.faults
def test_a_worker_that_dies_makes_the_run_incomplete(tmp_path: Path) -> None:
    """Status 1; summary and report name it, and what the others did is accounted for."""
    child = subprocess.Popen(
        command(tmp_path, "--duration", "12", "--workers", "2"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: are_users_there(tmp_path))
        workers = [
            one
            for one in psutil.Process(child.pid).children(recursive=True)
            if "tenantry_loadtests.generator worker" in " ".join(one.cmdline())
        ]
        assert len(workers) == 2
        workers[0].kill()
        output, _ = child.communicate(timeout=SECONDS)
    finally:
        child.kill()
    assert child.returncode == 1, output
    assert re.search(r"incomplete: worker \d was lost \d+ s after the start", output)
    assert output.count("was lost") == 1
    assert "was lost" in (report_of(tmp_path) / "report.html").read_text("utf-8")
    assert "missing" not in output


def entry(laptop: Laptop, tenant: str) -> dict[str, object]:
    path = laptop.tenants[tenant].token_file
    return {"tenant": tenant, "tier": laptop.tenants[tenant].tier, "token_file": str(path)}


@pytest.mark.faults
async def test_tokens_that_expire_are_renewed_or_counted(tmp_path: Path) -> None:
    """One with a command goes on; without one the 401s have a name of their own: it fails."""
    async with Laptop.up(
        [TenantSpec("acme", "basic"), TenantSpec("globex", "basic")], run_dir=tmp_path / "run"
    ) as laptop:
        short = tmp_path / "globex-token"
        short.write_text(Issuer.load(laptop.run_dir).token("globex", seconds=3))
        program = (
            "import sys; from pathlib import Path; from tenantry_local.issuer import Issuer; "
            "print(Issuer.load(Path(sys.argv[1])).token('acme', seconds=5))"
        )
        entries: list[dict[str, object]] = [
            {
                "tenant": "acme",
                "token_command": [sys.executable, "-c", program, str(laptop.run_dir)],
            },
            {"tenant": "globex", "token_file": str(short)},
        ]
        done = await loadtest_beside(
            laptop, tmp_path, entries, "--duration", "8", "--rate", "20", "--drain", "2"
        )
    assert done.returncode == 1, done.stdout + done.stderr
    text = re.sub(r"\s+", " ", done.stdout)
    found = re.search(r"globex: (\d+) messages had no token that was taken", text)
    assert found is not None, text
    assert f"{found[1]} × 401 unauthenticated" in text
    assert "acme: " not in text.replace("acme: 0", "")
    assert "globex: " in text


@pytest.mark.faults
async def test_a_host_that_goes_down_is_not_hidden_in_averages(tmp_path: Path) -> None:
    """What was due meanwhile counts as failed, by its kind, and with all of its time."""
    async with Laptop.up([TenantSpec("acme", "basic")], run_dir=tmp_path / "run") as laptop:
        run = asyncio.create_task(
            loadtest_beside(
                laptop,
                tmp_path,
                [entry(laptop, "acme")],
                *("--duration", "6", "--rate", "20", "--give-up", "3", "--drain", "2"),
            )
        )
        await asyncio.to_thread(wait_for, lambda: are_users_there(tmp_path))
        producer = laptop.instance("pool-1", PRODUCER)

        async def is_warmed_up() -> bool:
            # What is sent until then, some 115 messages, is not measured.
            return await load.metric(producer, "tenantry_messages_accepted_total") >= 140

        await load.wait_for(is_warmed_up, seconds=30)
        await laptop.kill("pool-1", PRODUCER)
        done = await run
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"\d+ × given up: 502", done.stdout)
    assert re.search(r"p99\(accepted\)<1s: [\d.]+ s", done.stdout)
    assert "threshold: errors<1% does not hold" in done.stdout


@pytest.mark.faults
async def test_plain_locust_works_as_well(tmp_path: Path) -> None:
    """The queue path is a request type in its figures, and a report is left."""
    async with Laptop.up([TenantSpec("acme", "basic")], run_dir=tmp_path / "run") as laptop:
        tenants = tmp_path / "tenants.json"
        tenants.write_text(json.dumps([entry(laptop, "acme")]))
        arguments = ("--headless", "--users", "5", "--spawn-rate", "5", "--run-time", "4s")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "locustfile.py")),
            *arguments,
            env=environment(
                HOST=laptop.router_url,
                TENANTS=str(tenants),
                OUT=str(tmp_path / "out"),
                RATE="20",
                FOLLOW="5",
            ),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output = (await process.communicate())[0].decode()
    assert process.returncode == 0, output
    assert re.search(r"QUEUE +accepted→stored +[1-9]", output)
    assert re.search(r"POST +POST /messages +[1-9]", output)
    page = (report_of(tmp_path) / "report.html").read_text("utf-8")
    assert "no accounting was made" in page


@pytest.mark.faults
async def test_more_consumers_of_one_pool_share_its_queue(tmp_path: Path) -> None:
    """The laptop starts them, each with its own name, ports and log; all of them are ready."""
    async with Laptop.up([TenantSpec("acme", "basic")], run_dir=tmp_path / "run") as laptop:
        await laptop.replicate("pool-1", CONSUMER, 3)
        await laptop.replicate("pool-1", CONSUMER, 2)  # more are there already
        consumers = [one for one in laptop.instances if one.service == CONSUMER]
        assert len(consumers) == 3
        assert len({one.pid for one in consumers}) == len({one.log for one in consumers}) == 3
        assert len({port for one in consumers for port in (one.port, one.private_port)}) == 6
        await laptop.kill("pool-1", "consumer-2")
        assert [one.pid is None for one in laptop.instances if one.service == CONSUMER] == [
            False, True, False,
        ]  # fmt: skip
        await laptop.restart("pool-1", "consumer-2")
        assert all(one.pid for one in laptop.instances)
