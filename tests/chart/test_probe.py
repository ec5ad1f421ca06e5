"""What `helm test` runs, run against services and an SQS that say what is wanted, or not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import pytest

from chart.render import ADVANCED, CHART, POOL, PREMIUM, moving, named, of_kind, render, values

PROBE: Final = CHART / "files" / "probe.py"
MESSAGE_ID: Final = "019b7b2e-5c00-7abc-8def-0123456789ab"


class Here:
    """Answers in place of both services, SQS and DynamoDB; a test changes what they say."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.stores = True
        self.changes_payload = False
        self.checks_tokens = True
        self.sqs = {"own": "ReceiptHandleIsInvalid", "theirs": "AccessDeniedException"}
        self.dynamodb = "AccessDeniedException"
        self.asked: list[str] = []

    def answer(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        target = headers.get("X-Amz-Target", "")
        if target.startswith("AmazonSQS"):
            queue = json.loads(body)["QueueUrl"].rpartition("/")[2]
            self.asked.append(f"{target.partition('.')[2]} {queue}")
            return self._aws(self.sqs["own" if "acme" in queue else "theirs"])
        if target.startswith("DynamoDB"):
            self.asked.append(f"{target.partition('.')[2]} {json.loads(body)['TableName']}")
            return self._aws(self.dynamodb)
        return self._service(method, path, headers, body)

    def _service(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, Any]:
        if path in {"/producer", "/consumer"}:
            return 200, {"microservice": path[1:], "version": "0.1.0", "environment": "dev"}
        if self.checks_tokens and headers.get("Authorization") != "Bearer of-acme":
            return 401, {"type": "unauthenticated"}
        if method == "POST":
            self.stored = json.loads(body)
            return 202, {"message_id": MESSAGE_ID, "status": "accepted"}
        if self.stored is None or not self.stores:
            return 404, {"type": "message-not-found"}
        changes = {"probe": "another"} if self.changes_payload else {}
        return 200, {**self.stored, "payload": {**self.stored["payload"], **changes}}

    @staticmethod
    def _aws(code: str) -> tuple[int, Any]:
        return (200, {}) if code == "ok" else (400, {"__type": f"com.amazonaws#{code}"})


@contextmanager
def serving(here: Here) -> Generator[str, None, None]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, body = here.answer(
                self.command, self.path, self.headers, self.rfile.read(length)
            )
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def run(test: str, here: Here, **changes: str) -> subprocess.CompletedProcess[str]:
    """The probe, told what a pod of the chart is told."""
    with serving(here) as url:
        environment = {
            "PATH": os.environ["PATH"],
            "PRODUCER_URL": url,
            "CONSUMER_URL": url,
            "TOKEN": "of-acme",
            "QUEUE_URL": f"{url}/000000000000/dev-acme-messages",
            "NEIGHBOUR": "pool-1",
            "NEIGHBOUR_QUEUE_URL": f"{url}/000000000000/dev-pool-1-messages",
            "NEIGHBOUR_TABLE": "dev-pool-1-messages",
            "AWS_ENDPOINT_URL": url,
            "AWS_DEFAULT_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": "here",
            "AWS_SECRET_ACCESS_KEY": "here",
            "AWS_MAX_ATTEMPTS": "1",
            "PROBE_SECONDS": "1",
        } | changes
        return subprocess.run(
            [sys.executable, "-c", PROBE.read_text("utf-8"), test],
            check=False,
            capture_output=True,
            text=True,
            env=environment,
            timeout=40,
        )


def test_a_message_goes_in_and_comes_out() -> None:
    """As this tenant, after a message without a token was refused."""
    ran = run("message", Here())

    assert (0, "") == (ran.returncode, ran.stderr)
    assert f"message {MESSAGE_ID} went in and came out" in ran.stdout


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"stores": False}, "was accepted and is not stored"),
        ({"changes_payload": True}, "the message came back changed"),
        ({"checks_tokens": False}, "a message without a token is not refused"),
    ],
    ids=["lost", "changed", "open"],
)
def test_a_message_that_does_not_come_back_fails(wrong: dict[str, bool], said: str) -> None:
    """Lost, changed, or taken from anybody."""
    here = Here()
    vars(here).update(wrong)
    ran = run("message", here)

    assert 1 == ran.returncode
    assert ran.stderr.startswith("FAILED: ")
    assert said in ran.stderr


def test_a_token_that_is_missing_fails_but_in_a_pool() -> None:
    """A pool's tenants have tokens of their own, and need not lend one."""
    assert "FAILED: no token" in run("message", Here(), TOKEN="").stderr
    ran = run("message", Here(), TOKEN="", TOKEN_IS_OPTIONAL="yes")
    assert (0, "") == (ran.returncode, ran.stderr)


def test_another_instances_queue_and_table_are_denied() -> None:
    """By calls that change nothing, of which the first shows that its own queue is open."""
    here = Here()
    ran = run("isolation", here)

    assert (0, "") == (ran.returncode, ran.stderr)
    assert [
        "DeleteMessage dev-acme-messages",
        "DeleteMessage dev-pool-1-messages",
        "GetItem dev-pool-1-messages",
    ] == here.asked


@pytest.mark.parametrize(
    ("own", "theirs", "table", "said"),
    [
        ("AccessDeniedException", "AccessDeniedException", "AccessDeniedException", "own queue"),
        (
            "ReceiptHandleIsInvalid",
            "ReceiptHandleIsInvalid",
            "AccessDeniedException",
            "queue of pool-1",
        ),
        (
            "ReceiptHandleIsInvalid",
            "QueueDoesNotExist",
            "AccessDeniedException",
            "queue of pool-1",
        ),
        ("ReceiptHandleIsInvalid", "AccessDeniedException", "ok", "table of pool-1"),
        (
            "ReceiptHandleIsInvalid",
            "AccessDeniedException",
            "ResourceNotFoundException",
            "table of pool-1",
        ),
    ],
    ids=["all denied", "queue open", "no such queue", "table open", "no such table"],
)
def test_a_neighbour_that_is_not_denied_fails(
    own: str, theirs: str, table: str, said: str
) -> None:
    """Nor does it count as denied when all is, or when nothing is there."""
    here = Here()
    here.sqs, here.dynamodb = {"own": own, "theirs": theirs}, table
    ran = run("isolation", here)

    assert 1 == ran.returncode
    assert said in ran.stderr


# What the chart tells it


def told(objects: list[Any], name: str) -> dict[str, Any]:
    """The environment of a test's pod."""
    [container] = named(objects, "Pod", f"test-{name}")["spec"]["containers"]
    assert [PROBE.read_text("utf-8").strip(), name] == [each.strip() for each in container["args"]]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize(
    ("given_values", "producer", "consumer"),
    [
        (values(PREMIUM), "acme", "acme"),
        (values(ADVANCED), "pool-1", "globex"),
        (values(POOL), "pool-1", "pool-1"),
        (moving(PREMIUM, "copying", "basic", "pool-2"), "pool-2", "pool-2"),
        (moving(PREMIUM, "switched", "basic", "pool-2"), "acme", "acme"),
        (moving(PREMIUM, "copying", "advanced", "pool-2"), "pool-2", "acme"),
    ],
    ids=["premium", "advanced", "pool", "not there yet", "there", "half of it"],
)
def test_a_message_is_sent_where_the_tenant_is(
    given_values: dict[str, Any], producer: str, consumer: str
) -> None:
    """Its own services, or those of the pool where it has none of its own, or none yet."""
    environment = told(render(given_values), "message")

    assert f"http://producer.{producer}.svc:8080" == environment["PRODUCER_URL"]
    assert f"http://consumer.{consumer}.svc:8080" == environment["CONSUMER_URL"]
    assert "test-token" == environment["TOKEN"]["secretKeyRef"]["name"]


def test_the_neighbour_is_never_the_instance_itself() -> None:
    """The first of the list that is another."""
    for instance, neighbour in ((PREMIUM, "pool-1"), (POOL, "pool-2")):
        objects = render(values(instance))
        environment = told(objects, "isolation")
        assert neighbour == environment["NEIGHBOUR"]
        assert environment["NEIGHBOUR_QUEUE_URL"].endswith(f"/dev-{neighbour}-messages")
        assert f"dev-{neighbour}-messages" == environment["NEIGHBOUR_TABLE"]
        assert "consumer" == named(objects, "Pod", "test-isolation")["spec"]["serviceAccountName"]


def test_a_tests_pod_is_gone_when_it_passed() -> None:
    """And before it runs again; one that failed stays to be read."""
    for pod in of_kind(render(values(PREMIUM)), "Pod"):
        assert {
            "helm.sh/hook": "test",
            "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
        } == pod["metadata"]["annotations"]
        assert "Never" == pod["spec"]["restartPolicy"]
        assert pod["spec"]["activeDeadlineSeconds"] > 60
