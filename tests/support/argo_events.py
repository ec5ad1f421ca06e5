"""Argo Events' own processes: the eventsource, the sensor, and the bus between them.

Each is given what the controller gives a pod: the object, and where the bus is. Both listen for
metrics on one port that nothing changes, so that here they run one after the other; what nobody
is there for waits, on the queue or on the bus.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import os
import signal
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import urlopen

import yaml

import tool
from support.certificates import Authority
from support.cluster import HOST
from support.kube_api import Object
from support.waiting import wait_for
from tenantry_local.processes import Process, Processes, free_port

#: What `scripts/tool.py events` builds.
COMMANDS: Final = ("argo-events", "nats-server")
NAMESPACE: Final = "argo-control"
REGION: Final = "eu-west-1"

#: On every address: `EventSourceMetricsPort` and `SensorMetricsPort`.
_METRICS_PORT: Final = 7777
#: Where a sensor writes down who leads; no setting changes that either.
_ELECTION: Final = Path("/tmp/graft.log")
#: The controller's name for the one stream of a bus.
_STREAM: Final = "default"
_READY_SECONDS: Final = 50.0


def built() -> Path | None:
    """The folder of the programs; None where they are not built."""
    return tool.built("events", *COMMANDS)


# --- SQS ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Hurried:
    """SQS in front of an engine, where what was received and not deleted comes back soon.

    The eventsource asks for 120 s, which nothing changes: here it gets one. It can also be refused
    the deletion of what it has handed on.

    Attributes:
        url: What it is given as its endpoint.
        kept: Queues whose next deletion is refused.
        calls: What it was asked for.
    """

    engine_url: str
    url: str = ""
    kept: set[str] = field(default_factory=set)
    calls: set[str] = field(default_factory=set)

    def answer(self, operation: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body."""
        self.calls.add(operation)
        queue = json.loads(body).get("QueueUrl", "").rpartition("/")[2]
        if operation == "DeleteMessage" and queue in self.kept:
            self.kept.remove(queue)
            text = b'{"__type": "com.amazonaws.sqs#AccessDenied", "message": "not now"}'
            return HTTPStatus.BAD_REQUEST, text
        if operation == "ReceiveMessage":
            asked = json.loads(body)
            assert asked["VisibilityTimeout"] == 120  # else this class would have no reason
            body = json.dumps(asked | {"VisibilityTimeout": 1}).encode()
        where = urlsplit(self.engine_url)
        connection = http.client.HTTPConnection(str(where.hostname), where.port, timeout=40)
        try:
            connection.request("POST", "/", body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextmanager
def hurried(engine_url: str) -> Generator[Hurried]:
    """SQS in a hurry, until the block ends."""
    sqs = Hurried(engine_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            target = self.headers["X-Amz-Target"]
            passed = {
                key: self.headers[key]
                for key in ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")
            }
            status, text = sqs.answer(target.rpartition(".")[2], body, passed)
            with suppress(ConnectionError):  # of a source that ended meanwhile
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.0")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, name="sqs")
        thread.start()
        try:
            sqs.url = f"http://{HOST}:{server.server_port}"
            yield sqs
        finally:
            server.shutdown()
            thread.join()


# --- The bus ------------------------------------------------------------------------------------


class Bus:
    """A NATS server with JetStream: alone, and else as the controller sets one up."""

    def __init__(self, folder: Path, processes: Processes, spec: Object) -> None:
        found = built()
        assert found is not None, "`make tools` builds it"
        self._port, self._monitor = free_port(), free_port()
        served = Authority(folder / "certificates").issue("bus", "bus", hosts=[HOST])
        path = folder / "nats.conf"
        path.write_text(
            f"""
            host: {HOST}
            port: {self._port}
            http: "{HOST}:{self._monitor}"
            max_payload: {spec["jetstream"]["maxPayload"]}
            jetstream {{store_dir: "{folder / "stream"}"}}
            tls {{cert_file: "{served.certificate}", key_file: "{served.key}"}}
            """,
            encoding="utf-8",
        )
        process = processes.start(
            "nats-server",
            [str(found / "nats-server"), "--config", str(path)],
            env={"HOME": str(folder)},
            cwd=folder,
            log=folder / "nats-server.log",
        )

        async def is_ready() -> bool:
            return self._answers()

        asyncio.run(processes.wait_ready(process, is_ready, seconds=_READY_SECONDS))
        # A copy on each of three servers, of which there is one here.
        stream = yaml.safe_load(spec["jetstream"]["streamConfig"]) | {"replicas": 1}
        self.config: Final = {
            "jetstream": {
                "url": f"nats://{HOST}:{self._port}",
                "streamConfig": yaml.safe_dump(stream),
            }
        }

    def taken(self) -> int:
        """How many events it ever took."""
        return int(self._stream().get("state", {}).get("last_seq", 0))

    def waiting(self, event: str) -> int | None:
        """How many events a sensor has not acknowledged; None where none was there for them."""
        for each in self._stream().get("consumer_detail", []):
            if each["config"]["filter_subject"] == f"{_STREAM}.requests.{event}":
                return int(each["num_pending"] + each["num_ack_pending"])
        return None

    def _stream(self) -> dict[str, Any]:
        with urlopen(f"http://{HOST}:{self._monitor}/jsz?consumers=true&config=true") as answer:
            said = json.load(answer)
        for account in said.get("account_details", []):
            for stream in account.get("stream_detail", []):
                if stream["name"] == _STREAM:
                    return dict(stream)
        return {}

    def _answers(self) -> bool:
        try:
            with urlopen(f"http://{HOST}:{self._monitor}/healthz") as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False  # nothing listens yet


# --- The processes ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Running:
    """One of them, while it runs."""

    process: Process
    processes: Processes
    log: Path
    _before: int

    def until(self, condition: Callable[[], object], *, seconds: float, what: str) -> None:
        """Wait for a condition; fail with the end of the log."""

        def holds() -> bool:
            ended = self.process.popen.poll()
            assert ended is None, f"the {self.process.name} ended with {ended}"
            return bool(condition())

        try:
            wait_for(holds, seconds=seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.said()[-2000:]}") from None

    def said(self) -> str:
        """What it logged since it was started."""
        return self.log.read_text("utf-8", "replace")[self._before :]

    def kill(self) -> None:
        """End it as a node that fails does."""
        self.processes.signal(self.process, signal.SIGKILL)
        self.process.popen.wait()


@contextmanager
def service(
    kind: str,
    found: Object,
    bus: Bus,
    folder: Path,
    env: Mapping[str, str],
) -> Generator[Running]:
    """The process of an EventSource or a Sensor, until the block ends.

    Args:
        kind: `eventsource` or `sensor`.
        found: The object.
        bus: Its bus.
        folder: For its log and its home.
        env: What it may do: credentials, or a kubeconfig.
    """
    tools = built()
    assert tools is not None, "`make tools` builds it"
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, _METRICS_PORT)), f"port {_METRICS_PORT} is taken"
    _ELECTION.unlink(missing_ok=True)
    log = folder / f"{kind}-{found['metadata']['name']}.log"
    log.touch()
    processes = Processes()
    try:
        process = processes.start(
            f"{kind} {found['metadata']['name']}",
            [str(tools / "argo-events"), f"{kind}-service"],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "NAMESPACE": NAMESPACE,
                "POD_NAME": f"{found['metadata']['name']}-0",
                f"{kind.upper()}_OBJECT": _encoded(found),
                "EVENTBUS_CONFIG": _encoded(bus.config),
                "EVENTBUS_SUBJECT": f"eventbus-{NAMESPACE}",
                **env,
            },
            cwd=folder,
            log=log,
        )
        yield Running(process, processes, log, log.stat().st_size)
        asyncio.run(processes.stop([process], seconds=10.0))
    finally:
        processes.close()
        _ELECTION.unlink(missing_ok=True)


def _encoded(found: Object) -> str:
    return base64.b64encode(json.dumps(found).encode()).decode()
