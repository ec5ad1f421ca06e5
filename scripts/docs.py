"""Writes the pages of docs/ that are made from the code: docs/settings.md and docs/metrics.md.

`python scripts/docs.py` writes them; `--check` writes nothing and names each one that is stale.

Exit status: 0 all are as the code says; 1 with `--check`, when one is not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import Histogram, MetricWrapperBase
from pydantic.fields import FieldInfo

from consumer.settings import Settings as ConsumerSettings
from producer.settings import Settings as ProducerSettings
from tenantry.metrics import TENANT_LABELS, ConsumerMetrics, ProducerMetrics
from tenantry.settings import FLUSH_SECONDS, MARGIN_SECONDS, ServiceSettings, grace_seconds

ROOT: Final = Path(__file__).resolve().parent.parent

_MADE: Final = "<!-- Made by scripts/docs.py from the code; a change by hand does not last. -->"

_SETTINGS_INTRODUCTION: Final = """\
# Settings

{made}

A service reads its settings from the environment at start, and never again.
A variable that is empty counts as not set; one that nobody knows is ignored.
What is missing, out of bounds or does not fit together ends the process with status 2 and one
line for each on standard error: the variable, and what is wrong with it.
Quotas of AWS are constants (`tenantry.limits`), not settings.

`AWS_*` variables (region, credentials, endpoint) and `OTEL_*` variables mean what they mean
everywhere. Tracing is off until `OTEL_EXPORTER_OTLP_ENDPOINT` or
`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` is set.
"""

_SETTINGS_END: Final = """\
## What must fit together

| rule | why |
| --- | --- |
| `TENANTRY_IDENTITY=jwt` needs `TENANTRY_JWKS`, `TENANTRY_JWT_ISSUER` and \
`TENANTRY_JWT_AUDIENCE` | a token that is not checked against all three proves nothing |
| `TENANTRY_INSTANCE` is `pool-…` exactly when `TENANTRY_TIER` is `basic`, and else a tenant's id \
| a pool serves many, a dedicated instance one |
| `TENANTRY_PORT` and `TENANTRY_PRIVATE_PORT` differ, unless both are 0 \
| no route may reach the private port |
| `TENANTRY_JWT_ALGORITHMS` holds asymmetric signatures only \
| a key that is published must not be able to sign |
| producer: `TENANTRY_QUEUE_BUFFER_BYTES` ≤ `TENANTRY_BUFFER_BYTES` \
| one queue that hangs must not take what the others need |
| consumer: `TENANTRY_HAND_BYTES` ≥ 10 times `TENANTRY_MAX_MESSAGE_BYTES` \
| one poll must fit the hand |

## Grace period

`tenantry.settings.grace_seconds` computes the `terminationGracePeriodSeconds` that the settings
need: the longer of shutdown delay and work (wait + 2 s + drain), then the request time, and
{flush:g} s for the last spans and {margin:g} s of margin.
With the defaults: producer {producer} s, consumer {consumer} s.
"""

#: What pydantic's constraints say, by the attribute that holds it.
_BOUNDS: Final = {
    "ge": "≥ {}",
    "gt": "> {}",
    "le": "≤ {}",
    "lt": "< {}",
    "min_length": "≥ {} characters",
    "max_length": "≤ {} characters",
    "pattern": "`{}`",
}

_METRICS_INTRODUCTION: Final = """\
# Metrics

{made}

`/metrics` on the private port, in Prometheus' text format. Units are in the names; a histogram
has the series `_bucket`, `_sum` and `_count`, and each counter and histogram a `_created`.
The label `tenant` is bounded: the first {tenants} tenants that a process sees have a value of
their own, the others share `other`.
"""


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description="Write docs/settings.md and docs/metrics.md.")
    parser.add_argument("--check", action="store_true", help="write nothing, name what is stale")
    check = parser.parse_args(arguments).check
    stale = [name for name, text in pages().items() if read(ROOT / name) != text]
    if check:
        for name in stale:
            print(f"{name} is not what the code says: python scripts/docs.py", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (ROOT / name).write_text(pages()[name], encoding="utf-8")
        print(f"wrote {name}")
    return 0


def pages() -> Mapping[str, str]:
    """The text of each page, by its name in the repository."""
    return {"docs/settings.md": settings_page(), "docs/metrics.md": metrics_page()}


def read(path: Path) -> str:
    """A page as it stands; empty where there is none."""
    return path.read_text("utf-8") if path.exists() else ""


# Settings


def settings_page() -> str:
    """Every environment variable of both services."""
    shared = ServiceSettings.model_fields
    parts = [
        _SETTINGS_INTRODUCTION.format(made=_MADE),
        "## Both services\n\n" + _settings_table(shared),
        "## Producer\n\n" + _settings_table(_own(ProducerSettings.model_fields, shared)),
        "## Consumer\n\n" + _settings_table(_own(ConsumerSettings.model_fields, shared)),
        _SETTINGS_END.format(
            flush=FLUSH_SECONDS,
            margin=MARGIN_SECONDS,
            producer=grace_seconds(
                shutdown_delay_seconds=shared["shutdown_delay_seconds"].default,
                request_seconds=shared["request_seconds"].default,
            ),
            consumer=grace_seconds(
                shutdown_delay_seconds=shared["shutdown_delay_seconds"].default,
                request_seconds=shared["request_seconds"].default,
                wait_seconds=ConsumerSettings.model_fields["wait_seconds"].default,
                drain_seconds=ConsumerSettings.model_fields["drain_seconds"].default,
            ),
        ),
    ]
    return "\n".join(parts)


def _own(fields: Mapping[str, FieldInfo], shared: Mapping[str, FieldInfo]) -> dict[str, FieldInfo]:
    return {name: field for name, field in fields.items() if name not in shared}


def _settings_table(fields: Mapping[str, FieldInfo]) -> str:
    prefix = ServiceSettings.model_config["env_prefix"]
    rows = [
        (f"`{prefix}{name}`".upper(), _default(field), _values(field), field.description or "")
        for name, field in fields.items()
    ]
    return _table(("variable", "default", "values", "meaning"), rows)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if default is None:
        return "not set"
    if isinstance(default, tuple):
        return f"`{','.join(map(str, default))}`"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _values(field: FieldInfo) -> str:
    """The type, and what bounds it."""
    annotation = field.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    kinds = [kind for kind in get_args(annotation) or (annotation,) if kind is not type(None)]
    kind = {str: "text", int: "whole number", float: "number"}.get(kinds[0], "text")
    if get_origin(annotation) is tuple:
        kind = "list, by commas"
    bounds = [text for constraint in field.metadata if (text := _bound(constraint))]
    return ", ".join([kind, *bounds])


def _bound(constraint: Any) -> str:
    for attribute, text in _BOUNDS.items():
        value = getattr(constraint, attribute, None)
        if value is not None:
            if isinstance(value, float):
                value = f"{value:g}"
            return text.format(f"{value:,}" if isinstance(value, int) else value)
    return ""


# Metrics


def metrics_page() -> str:
    """Every metric of both services."""
    parts = [
        _METRICS_INTRODUCTION.format(made=_MADE, tenants=TENANT_LABELS),
        "## Producer\n\n" + _metrics_table(ProducerMetrics(CollectorRegistry())),
        "## Consumer\n\n" + _metrics_table(ConsumerMetrics(CollectorRegistry())),
    ]
    return "\n".join(parts)


def _metrics_table(metrics: object) -> str:
    found = [one for one in vars(metrics).values() if isinstance(one, MetricWrapperBase)]
    return _table(("metric", "kind", "labels", "meaning"), [_metric(one) for one in found])


def _metric(metric: MetricWrapperBase) -> tuple[str, str, str, str]:
    [family] = metric.describe()
    name = f"{family.name}_total" if family.type == "counter" else family.name
    # Names of labels and bounds of buckets have no public door.
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001
    meaning = family.documentation
    if isinstance(metric, Histogram):
        bounds = [f"{bound:g}" for bound in metric._upper_bounds[:-1]]  # noqa: SLF001
        meaning += f" Buckets: {', '.join(bounds)}."
    return f"`{name}`", family.type, labels or "none", meaning


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    # A bar would end the cell.
    cells = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "".join(f"| {line} |\n" for line in cells)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
