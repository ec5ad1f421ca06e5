"""The producer's settings: what refuses to start."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from producer.settings import Settings
from tenantry.limits import SQS_BATCH_BYTES
from tenantry.settings import load


def settings(**changes: Any) -> Settings:
    """Settings of a pool's producer, changed."""
    values: dict[str, Any] = {
        "environment": "dev",
        "instance": "pool-1",
        "tier": "basic",
        "registry_table": "dev-tenants",
        "identity": "header",
    }
    return Settings(**(values | changes))


def test_defaults_fit_each_other() -> None:
    """Without any of the producer's own settings it starts, lingering 5 ms."""
    found = settings()
    assert found.linger_seconds == 0.005
    assert SQS_BATCH_BYTES <= found.queue_buffer_bytes < found.buffer_bytes


def test_one_queue_never_gets_more_than_all() -> None:
    """A queue's buffer above that of all refuses to start, and says why by the names."""
    with pytest.raises(ValidationError, match="TENANTRY_QUEUE_BUFFER_BYTES must not exceed"):
        settings(queue_buffer_bytes=2 * SQS_BATCH_BYTES, buffer_bytes=2 * SQS_BATCH_BYTES - 1)
    settings(queue_buffer_bytes=2 * SQS_BATCH_BYTES, buffer_bytes=2 * SQS_BATCH_BYTES)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linger_seconds", -0.001),
        ("linger_seconds", 0.11),
        ("calls_per_queue", 0),
        ("calls_per_queue", 33),
        # A buffer below one call's bytes could never hold the largest message.
        ("queue_buffer_bytes", SQS_BATCH_BYTES - 1),
        ("buffer_bytes", SQS_BATCH_BYTES - 1),
        ("request_seconds", 0),
    ],
)
def test_values_out_of_bounds_refuse_to_start(name: str, value: float) -> None:
    """Each bound holds, and the error is about this setting."""
    with pytest.raises(ValidationError) as refused:
        settings(**{name: value})
    assert [(name,)] == [error["loc"] for error in refused.value.errors()]


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting has its variable, with the prefix."""
    for name, value in {
        "ENVIRONMENT": "dev",
        "INSTANCE": "acme",
        "TIER": "premium",
        "REGISTRY_TABLE": "dev-tenants",
        "IDENTITY": "header",
        "LINGER_SECONDS": "0",
        "CALLS_PER_QUEUE": "3",
    }.items():
        monkeypatch.setenv(f"TENANTRY_{name}", value)
    found = load(Settings)
    assert (0, 3, None) == (found.linger_seconds, found.calls_per_queue, found.pool)


def test_a_bad_environment_ends_the_process_with_a_line_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit 2, and a line for each setting that is wrong or missing."""
    for name, value in {"ENVIRONMENT": "dev", "TIER": "basic", "CALLS_PER_QUEUE": "99"}.items():
        monkeypatch.setenv(f"TENANTRY_{name}", value)
    with pytest.raises(SystemExit) as ended:
        load(Settings)
    lines = capsys.readouterr().err.splitlines()
    assert 2 == ended.value.code
    assert {"TENANTRY_INSTANCE", "TENANTRY_REGISTRY_TABLE", "TENANTRY_CALLS_PER_QUEUE"} == {
        line.partition(":")[0] for line in lines
    }
