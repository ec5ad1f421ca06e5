"""Structured logs to standard output, and traces by OpenTelemetry's messaging conventions.

Payloads and tokens are never logged: no function here takes one.
"""

from __future__ import annotations

import builtins
import json
import logging
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from opentelemetry.context import Context

#: Attributes that every messaging span has (semantic conventions 1.44, "Messaging: AWS SQS").
MESSAGING_SYSTEM: Final = {"messaging.system": "aws_sqs"}

#: Message attributes that carry W3C trace context.
TRACE_ATTRIBUTES: Final = ("traceparent", "tracestate")

_PROPAGATOR = TraceContextTextMapPropagator()
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

# Without the local variables of each frame: tokens and payloads are among them.
_TRANSFORM = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
#: Errors whose text is the system's; that of others may quote a value: `int("…")` does.
_SYSTEM_ERRORS: Final = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, OSError)
)


def _without_values(exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
    """What was raised, and where; no value of any variable, and none that its text quotes."""
    found = _TRANSFORM(exc_info)
    _withhold(found)
    return found


def _withhold(found: Any) -> None:
    if isinstance(found, list):
        for one in found:
            _withhold(one)
    elif isinstance(found, dict) and "exc_value" in found:
        if found["exc_type"] not in _SYSTEM_ERRORS:
            found["exc_value"] = "withheld: it may quote what a client sent"
        found["exc_notes"] = []
        _withhold(found.get("exceptions", []))


_TRACEBACKS = structlog.processors.ExceptionRenderer(_without_values)


def configure_logs(*, level: str, **fields: str) -> None:
    """JSON lines with these fields on each; libraries' records take the same way."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_trace,
        lambda _, __, event: {**fields, **event},
    ]
    structlog.configure(
        processors=[
            *shared,
            _TRACEBACKS,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.BytesLoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _TRACEBACKS,
                structlog.processors.JSONRenderer(
                    serializer=lambda event, **_: _dumps(event).decode()
                ),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    # Libraries log requests, headers and bodies below this level.
    root.setLevel(max(_LEVELS[level], logging.WARNING))
    # Warns of trace context that it does not understand, and quotes what the client sent.
    logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)


def _dumps(event: Any, **_: Any) -> bytes:
    try:
        return orjson.dumps(event, default=repr)
    except TypeError:
        # An integer beyond 64 bits, a lone surrogate: to log never fails.
        return json.dumps(event, default=repr, skipkeys=True).encode()


def _add_trace(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event


class Tracing:
    """Spans go to `OTEL_EXPORTER_OTLP_ENDPOINT`; without one nothing is recorded or exported.

    Sampling, time-outs and headers come from the standard `OTEL_*` variables.
    """

    def __init__(self, service: str, attributes: Mapping[str, str]) -> None:
        self._provider: Any = None
        if _is_wanted():
            # Imported when wanted: it costs a tenth of a second and 15 MB.
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
                OTLPSpanExporter,
            )
            from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
            from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
            from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

            resource = Resource.create({"service.name": service, **attributes})
            self._provider = TracerProvider(resource=resource)
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        #: None while tracing is off, so that the hot path can leave spans out altogether.
        self.tracer: trace.Tracer | None = (
            self._provider.get_tracer("tenantry") if self._provider else None
        )

    def close(self) -> None:
        """Send the last spans."""
        if self._provider is not None:
            self._provider.shutdown()


def _is_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return any(
        os.environ.get(name)
        for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    )


_SOURCES: Final = otel_context.create_key("tenantry.sources")


@contextmanager
def working_on(spans: Sequence[trace.Span]) -> Generator[None, None, None]:
    """Calls in this block are made for these spans: see `call_span`."""
    if not spans:
        yield
        return
    token = otel_context.attach(otel_context.set_value(_SOURCES, spans))
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def call_span(
    tracer: trace.Tracer | None, name: str, attributes: Mapping[str, str | int]
) -> Generator[trace.Span, None, None]:
    """The span of one call that is made for several messages, linked to each of theirs.

    It joins the trace of the first. Where none is sampled there is none.
    """
    sources = otel_context.get_value(_SOURCES)
    if tracer is None or not isinstance(sources, Sequence) or not sources:
        yield trace.INVALID_SPAN
        return
    with tracer.start_as_current_span(
        name,
        context=trace.set_span_in_context(sources[0]),
        kind=trace.SpanKind.CLIENT,
        links=[trace.Link(source.get_span_context()) for source in sources],
        attributes=dict(attributes),
        # The text of an exception may quote what a client sent.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def failed(span: trace.Span, error_type: str) -> None:
    """Say that what the span stands for failed, and by what."""
    span.set_attribute("error.type", error_type)
    span.set_status(trace.StatusCode.ERROR)


def extract(carrier: Mapping[str, str]) -> Context:
    """The trace context of headers or message attributes."""
    return _PROPAGATOR.extract(carrier)


def inject(context: Context) -> dict[str, str]:
    """Trace context as headers or message attributes; empty where there is none."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier, context)
    return carrier
