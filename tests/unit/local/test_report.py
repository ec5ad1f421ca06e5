from __future__ import annotations

import io
import shlex
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from tenantry_local.demo import curl_commands
from tenantry_local.events import Event
from tenantry_local.model import Tenant
from tenantry_local.proof import Finding, Proof
from tenantry_local.report import Report, percentile
from tenantry_local.sending import Accepted, Outcome


def report() -> tuple[Report, io.StringIO]:
    output = io.StringIO()
    return Report(Console(file=output, width=200)), output


def test_no_more_than_twenty_findings_are_listed() -> None:
    """The rest is counted."""
    subject, output = report()
    subject.findings([Finding(f"m{n}", "acme", n, "lost [b]here[/b]") for n in range(1, 24)])
    lines = output.getvalue().splitlines()
    assert lines[0] == "23 wrong:"
    assert lines[1] == "  message m1 of acme, line 1: lost [b]here[/b]"
    assert len(lines) == 22
    assert lines[-1] == "  … and 3 more"


def test_progress_is_plain_lines_where_there_is_no_terminal() -> None:
    """A log gets no control characters."""
    subject, output = report()
    with subject.progress("Sending", 3) as on_sent:
        for done in range(1, 4):
            on_sent(done)
    assert output.getvalue() == "Sending: 3 of 3\n"


NAME = "local-umbrella-messages"


@pytest.mark.parametrize("width", [80, 140])
def test_no_column_is_lost_where_it_is_narrow(width: int) -> None:
    """Names of queues and tables give way; numbers do not."""
    output = io.StringIO()
    tenant = Tenant("umbrella", "advanced", "pool-1", "", "", NAME, "dead", NAME, Path())
    proof = Proof(stored=Counter(umbrella=12), duplicates=Counter(umbrella=34))
    proof.seconds["umbrella"] = [0.567] * 99 + [8.901]
    proof.seconds["umbrella"].append(8.901)
    outcome = Outcome(accepted=[Accepted(Event(1, "umbrella", "t", b""), "m")])
    Report(Console(file=output, width=width)).table([tenant], outcome, proof, {"dead": 56})
    numbers = ["1", "12", "34", "56", "567", "8901"]
    (row,) = (line for line in output.getvalue().splitlines() if "umbrella " in line)
    assert [word for word in row.split() if word.isdecimal()] == numbers
    assert max(len(line) for line in output.getvalue().splitlines()) <= width


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.001, 1)], ids=str
)
def test_a_percentile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    """The nearest rank, without interpolation."""
    assert percentile([float(n) for n in range(100, 0, -1)], share) == expected
    assert percentile([], share) is None


def test_the_token_is_in_no_command() -> None:
    """Commands name the token's file, quoted for a shell, never the token."""
    commands = curl_commands("http://127.0.0.1:1", "acme", Path("/a b/token-acme"), "{}")
    assert [shlex.split(command)[3] for command in commands] == ["@/a b/token-acme"] * 3
