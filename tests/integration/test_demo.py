"""The demo, as a process."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
SABOTEUR: Final = Path(__file__).with_name("saboteur.py")
SECONDS: Final = 50


def environment(**changes: str) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if k not in {"MESSAGES", "ONCE", "POISON"}}
    # What must never be used: a user's account, and a proxy with no way to the loopback.
    theirs = {"AWS_PROFILE": "production", "HTTP_PROXY": "http://127.0.0.1:9"}
    return inherited | theirs | changes


def command(tmp_path: Path, *arguments: str) -> list[str | Path]:
    run_dir = tmp_path / "run"
    return [sys.executable, "-m", "tenantry_local", "demo", "--run-dir", run_dir, *arguments]


def demo(tmp_path: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(tmp_path, *arguments),
        env=environment(ONCE="1", **env),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def write(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return str(path)


def event(type_: str = "a", **more: object) -> str:
    return json.dumps({"type": type_, "payload": {"n": 1}} | more)


def rows(output: str) -> dict[str, list[str]]:
    """Accepted, stored, duplicates and dead letters of the table, by tenant."""
    cells = [line.split() for line in output.splitlines() if " local-" in line]
    return {row[0]: row[4:8] for row in cells if len(row) == 10}


def test_the_bundled_sample_is_proven(tmp_path: Path) -> None:
    """Every message of the sample is stored once, whatever its tier, and no file is left."""
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Proven: each of 360 accepted messages" in done.stdout
    counts = rows(done.stdout)
    assert counts.keys() == {"acme", "globex", "initech", "umbrella"}
    assert sum(int(row[0]) for row in counts.values()) == 360
    assert all(row[0] == row[1] and row[2:] == ["0", "0"] for row in counts.values())
    assert "\x1b" not in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        ("drop", "not stored anywhere; it belongs in local-pool-1-messages under acme"),
        ("double", "stored again as "),
        ("misfile", "stored in local-pool-1-messages under globex; it belongs in"),
    ],
)
def test_one_message_that_is_harmed_fails_the_demo_by_name(
    tmp_path: Path, harm: str, what: str
) -> None:
    """The demo exits 1, names the message and its line, and keeps the logs."""
    messages = write(tmp_path, event(), event("sabotaged", tenant_id="acme"), event(), event())
    consumer = shlex.join([sys.executable, str(SABOTEUR), harm])
    done = demo(tmp_path, "--consumer-command", consumer, MESSAGES=messages)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(
        rf"^1 wrong:\n  message [0-9a-f-]{{36}} of acme, line 2: {what}", done.stdout, re.MULTILINE
    )
    assert "The proof does not hold" in done.stderr
    assert f"the logs of this run are in {tmp_path}/last-run" in done.stderr
    kept = {path.name for path in (tmp_path / "last-run").iterdir()}
    assert {"engine.log", "pool-1-consumer.log", "umbrella-producer.log"} <= kept
    assert all(name.endswith(".log") for name in kept)


def test_a_terminal_that_lacks_characters_is_no_error(tmp_path: Path) -> None:
    """What it cannot show becomes a question mark."""
    done = demo(tmp_path, MESSAGES=write(tmp_path, event()), PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "their services ?" in done.stdout


def test_a_bad_line_stops_before_anything_starts(tmp_path: Path) -> None:
    """One line on standard error with its number and the reason, and status 2."""
    messages = write(tmp_path, event(), event(tenant_id="nobody"))
    done = demo(tmp_path, MESSAGES=messages)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"{messages}, line 2: unknown tenant 'nobody'; the laptop has acme, globex, initech, "
        "umbrella; nothing was sent\n"
    )
    assert not (tmp_path / "last-run").exists()


@contextmanager
def waiting_demo(
    tmp_path: Path, *arguments: str, **env: str
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A demo that waits for Ctrl-C, and what it printed until then."""
    process = subprocess.Popen(
        command(tmp_path, *arguments),
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if "Ctrl-C" in line:
                break
        yield process, lines
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SECONDS)


def test_refusals_poison_and_commands_as_pasted(tmp_path: Path) -> None:
    """Refusals count against nothing, a repaired dead letter is stored, the curl works."""
    messages = write(
        tmp_path,
        event(payload={"s": "x" * 300_000}),
        event(payload={"n": 2**64}),
        '{"type":"a","payload":{"s":"\\ud800"}}',
        event(payload={"deep": json.loads("[" * 70 + "]" * 70)}),
        *[event() for _ in range(8)],
    )
    with waiting_demo(tmp_path, "--max-receive-count", "3", MESSAGES=messages, POISON="1") as (
        process,
        lines,
    ):
        output = "\n".join(lines)
        assert process.poll() is None, output
        assert "4 refused, which counts against nothing:" in output
        refused = re.findall(r"line (\d), \w+: (\d+)", output)
        assert refused == [("1", "413"), ("2", "422"), ("3", "422"), ("4", "422")]
        assert "Put 3 bad messages on the queue of acme." in output
        assert "no JSON at all: {this is not JSON" in output
        assert re.search(r"message [0-9a-f-]{36}, repaired, is stored in local-pool-1", output)
        assert "the other 2 are dead letters again" in output
        assert rows(output)["acme"] == ["2", "2", "0", "2"]
        assert "Proven: each of 8 accepted messages" in output
        commands = [line.strip() for line in lines if line.startswith("  curl ")]
        assert len(commands) == 3
        assert not any("eyJ" in command for command in commands)
        sent, read, served = (json.loads(run_pasted(command)) for command in commands)
    assert sent["status"] == "accepted"
    assert read["message_id"] == sent["message_id"]
    assert read["payload"] == {"hello": "world"}
    assert served["microservice"] == "producer"
    assert process.returncode == 130


def run_pasted(command: str) -> bytes:
    """What a shell makes of it; again while the message is still on its way."""
    again = f"{command} --fail --retry 20 --retry-delay 1 --retry-all-errors"
    return subprocess.run(["sh", "-c", again], capture_output=True, check=True, timeout=30).stdout
