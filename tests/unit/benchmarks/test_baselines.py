"""The baselines are what they are said to be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from consumer import poller
from consumer.hand import Hand
from fakes.deliveries import a_held, a_message
from support.waiting import wait_for
from tenantry_benchmarks import others, proc
from tenantry_benchmarks.baselines import __file__ as baselines_file
from tenantry_benchmarks.baselines.floor import Aws, message_in

FOLDER = Path(baselines_file).parent


@pytest.mark.parametrize(
    "name", ["plain_producer", "plain_consumer", "good_producer", "good_consumer"]
)
def test_a_pair_is_short_enough_to_be_judged(name: str) -> None:
    """At most eighty lines each."""
    assert len((FOLDER / f"{name}.py").read_text("utf-8").splitlines()) <= 80


@pytest.mark.parametrize("body", [b"{}", json.dumps({"MessageBody": "ä" * 500}).encode()])
def test_the_floor_signs_as_botocore_does(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it leaves out is not the signature."""
    for name, value in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ):
        monkeypatch.setenv(name, value)

    head = Aws("sqs", "AmazonSQS")._head("SendMessageBatch", body).decode()

    headers = dict(line.split(": ", 1) for line in head.strip().splitlines()[1:])
    request = AWSRequest(
        "POST",
        "http://127.0.0.1:4566/",
        data=body,
        headers={
            "X-Amz-Target": headers["X-Amz-Target"],
            "X-Amz-Date": headers["X-Amz-Date"],
            "host": headers["Host"],
        },
    )
    signer = SigV4Auth(Credentials("key", "secret"), "sqs", "eu-west-1")
    request.context["timestamp"] = headers["X-Amz-Date"]
    text = signer.string_to_sign(request, signer.canonical_request(request))
    wanted = signer.signature(text, request)
    assert headers["Authorization"].endswith(f"Signature={wanted}")
    assert headers["X-Amz-Date"].startswith(datetime.now(UTC).strftime("%Y%m%d"))
    assert str(len(body)) == headers["Content-Length"]


def test_the_floor_reads_messages_as_they_come() -> None:
    """Whole ones, one after the other; a cut one waits."""
    whole = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"

    assert message_in(whole[:-1]) is None
    assert message_in(whole[:20]) is None
    assert (whole.partition(b"\r\n\r\n")[0], b"abc", b"GET") == message_in(whole + b"GET")


def test_a_hand_without_lanes_knows_no_tenants(monkeypatch: pytest.MonkeyPatch) -> None:
    """First come, first served; and nothing of ours stays changed."""
    monkeypatch.setattr(poller, "Hand", Hand)
    from tenantry_benchmarks.baselines.without_fairness import take_lanes_away  # noqa: PLC0415

    take_lanes_away()
    hand = vars(poller)["Hand"](most_messages=100, most_bytes=100_000)
    tenants = ["noisy"] * 5 + ["quiet"] + ["noisy"] * 2
    held = [a_held(a_message(tenant)) for tenant in tenants]
    hand.add(held)

    batch = hand.take(0.0, 6)
    hand.remove(held[6:])

    assert tenants[:6] == [one.message.tenant_id for one in batch]
    assert 0 == hand.waiting
    fair = Hand(most_messages=100, most_bytes=100_000)
    fair.add(a_held(a_message(tenant)) for tenant in tenants)
    assert "quiet" in [one.message.tenant_id for one in fair.take(0.0, 2)]


def test_taskiq_gets_its_own_envelope() -> None:
    """Ours is its task's argument; the others take it as it is."""
    body = '{"message_id":"1"}'

    found = json.loads(others.wrapped(others.TASKIQ, body))

    assert "store" == found["task_name"]
    assert [{"message_id": "1"}] == found["args"]
    assert body == others.wrapped(others.SQS_CONSUMER, body)


@pytest.mark.skipif(sys.platform != "linux", reason="it is /proc that is read")
def test_cpu_and_memory_are_of_whole_trees() -> None:
    """A child's work is its parent's."""
    child = "import hashlib\nfor _ in range(60): hashlib.sha256(bytes(2**20))\ninput()"
    parent = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE)\n"
        "print(child.pid, flush=True)\ninput()\nchild.communicate(b'x')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        child_pid = int(process.stdout.readline())

        assert [process.pid, child_pid] == proc.tree(process.pid)
        wait_for(lambda: proc.cpu_seconds(process.pid) >= 0.04, seconds=10)
        # A child that was only just forked has next to nothing: it is not Python yet.
        wait_for(lambda: proc.peak_mebibytes(child_pid) > 1, seconds=10)
        assert proc.peak_mebibytes(process.pid) > proc.peak_mebibytes(child_pid)
        fields = Path(f"/proc/{child_pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()
        by_ticks = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        assert by_ticks == pytest.approx(proc.cpu_seconds(child_pid), abs=0.05)
        process.communicate(b"x")
    assert 0 == proc.cpu_seconds(process.pid)
