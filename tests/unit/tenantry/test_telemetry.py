"""Logs that machines read and that hold no secret, and traces that cross the queue."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState

from tenantry.telemetry import Tracing, extract, inject

# What is logged belongs to the process, so it is looked at in one of its own.
PROGRAM = """
import logging
import structlog
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from tenantry.telemetry import configure_logs, extract

early = structlog.get_logger()
configure_logs(level="info", service="producer", environment="dev")
early.info("first.logged", queue="q", number=3)
early.debug("debug.logged")


def fails(token, payload):
    raise ValueError(f"no number: {payload}")


try:
    fails("token-that-is-secret", {"card": "payload-that-is-secret"})
except ValueError as error:
    early.error("structlog.failed", exc_info=error)
    logging.getLogger("library").exception("library failed %s", "here")
try:
    open("/nowhere/at-all")
except OSError:
    early.exception("system.failed")
early.info("odd.logged", big=2**70, text="\\ud800", keys={1: 2, (3, 4): 5}, what=object, raw=b"x")
logging.getLogger("library").warning("big", extra={"x": 2**70})
logging.getLogger("library").info("request with headers")
logging.getLogger("botocore").debug("request with headers")
structlog.contextvars.bind_contextvars(request="r-1")
early.warning("bound.logged")
early.info("field.given", service="mine")
context = SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=TraceFlags(1))
with trace.use_span(NonRecordingSpan(context)):
    early.info("traced.logged")
for state in ("a=header-of-a-client,a=b", "header-of-a-client", "=header-of-a-client" * 40):
    extract({"traceparent": f"00-{0xABC:032x}-{0xDEF:016x}-01", "tracestate": state})
extract({"traceparent": "header-of-a-client" * 40})
"""


@pytest.fixture(scope="module")
def written() -> str:
    """What that program wrote."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def lines(written: str) -> dict[str, dict[str, Any]]:
    """The lines by their event."""
    found = [json.loads(line) for line in written.splitlines()]
    return {line["event"]: line for line in found}


def test_every_line_is_json_with_the_services_fields(lines: dict[str, dict[str, Any]]) -> None:
    """Ours and libraries' alike: who, when, how bad."""
    for line in lines.values():
        assert line["environment"] == "dev"
        assert line["service"] in {"producer", "mine"}
        assert line["level"] in {"info", "warning", "error"}
        assert line["timestamp"].endswith("Z")
    assert ("q", 3) == (lines["first.logged"]["queue"], lines["first.logged"]["number"])


def test_a_lines_own_field_wins(lines: dict[str, dict[str, Any]]) -> None:
    """What a line says of itself is not overwritten."""
    assert lines["field.given"]["service"] == "mine"


def test_an_error_has_its_trace_without_variables(
    written: str, lines: dict[str, dict[str, Any]]
) -> None:
    """Where it happened, but not what the variables held, nor what its text quotes of them."""
    for event in ("structlog.failed", "library failed here"):
        (error,) = lines[event]["exception"]
        assert error["exc_type"] == "ValueError"
        assert error["exc_value"].startswith("withheld")
        assert [frame["name"] for frame in error["frames"]] == ["<module>", "fails"]
        assert not any("locals" in frame for frame in error["frames"])
    assert "secret" not in written
    (system,) = lines["system.failed"]["exception"]
    assert "No such file" in system["exc_value"]


def test_to_log_never_fails(lines: dict[str, dict[str, Any]]) -> None:
    """Values that are not JSON are written somehow: a log line must not break a request."""
    assert lines["odd.logged"]["big"] == 2**70
    assert "big" in lines


def test_less_than_the_level_and_libraries_chatter_are_left_out(
    lines: dict[str, dict[str, Any]],
) -> None:
    """Libraries log requests and headers below warning."""
    assert "debug.logged" not in lines
    assert "request with headers" not in lines


def test_trace_context_that_is_none_is_not_quoted(written: str) -> None:
    """Each such header used to be a warning with the header in it."""
    assert "header-of-a-client" not in written
    assert "traceparent header exceeded" not in written


def test_bound_fields_and_the_trace_are_on_the_line(lines: dict[str, dict[str, Any]]) -> None:
    """A line can be found from its trace."""
    assert lines["bound.logged"]["request"] == "r-1"
    assert lines["traced.logged"]["trace_id"] == "00000000000000000000000000000abc"
    assert lines["traced.logged"]["span_id"] == "0000000000000def"
    assert "trace_id" not in lines["first.logged"]


@pytest.fixture(autouse=True)
def no_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own settings are not ours."""
    for name in (
        "OTEL_SDK_DISABLED",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ):
        monkeypatch.delenv(name, raising=False)


class Collector(BaseHTTPRequestHandler):
    """Takes spans."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Generator[ThreadingHTTPServer, None, None]:
    """A collector of spans on a free port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    server.received = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_without_an_endpoint_nothing_is_recorded() -> None:
    """And to close costs nothing."""
    tracing = Tracing("producer", {})
    assert tracing.tracer is None
    tracing.close()


def test_closing_sends_the_last_spans(
    collector: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an endpoint, spans reach it with service and attributes, at the latest at the end."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    tracing = Tracing("producer", {"tenantry.instance": "pool-1"})
    assert tracing.tracer is not None
    with tracing.tracer.start_as_current_span("send the-queue") as span:
        assert span.is_recording()
    tracing.close()
    ((path, body),) = collector.received  # type: ignore[attr-defined]

    assert path == "/v1/traces"
    for text in (b"send the-queue", b"producer", b"tenantry.instance", b"pool-1"):
        assert text in body


def test_the_standard_switch_turns_tracing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SDK_DISABLED=true` wins over an endpoint."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "True")
    assert Tracing("producer", {}).tracer is None


def test_a_trace_crosses_the_queue() -> None:
    """What is injected on one side is extracted on the other."""
    here = SpanContext(
        0xABC,
        0xDEF,
        is_remote=False,
        trace_flags=TraceFlags(1),
        trace_state=TraceState([("a", "b")]),
    )
    carrier = inject(trace.set_span_in_context(NonRecordingSpan(here)))
    there = trace.get_current_span(extract(carrier)).get_span_context()

    assert {
        "traceparent": f"00-{0xABC:032x}-{0xDEF:016x}-01",
        "tracestate": "a=b",
    } == carrier
    assert (here.trace_id, here.span_id) == (there.trace_id, there.span_id)
    assert there.is_remote


@pytest.mark.parametrize(
    "carrier", [{}, {"traceparent": "nonsense"}, {"traceparent": "00-" + "0" * 32 + "-x-01"}]
)
def test_no_trace_is_no_trace(carrier: dict[str, str]) -> None:
    """Nothing, or nonsense from a client, starts a new trace and breaks nothing."""
    context = extract(carrier)

    assert not trace.get_current_span(context).get_span_context().is_valid
    assert {} == inject(context)
