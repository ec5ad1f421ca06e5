"""Settings of a consumer: what cannot work refuses to start."""

from __future__ import annotations

import os

import pytest

from consumer.settings import Settings
from tenantry.limits import SQS_BATCH_ENTRIES
from tenantry.settings import load

GOOD = {
    "TENANTRY_ENVIRONMENT": "dev",
    "TENANTRY_INSTANCE": "pool-1",
    "TENANTRY_TIER": "basic",
    "TENANTRY_REGISTRY_TABLE": "dev-tenants",
    "TENANTRY_IDENTITY": "header",
    "TENANTRY_QUEUE_URL": "http://sqs.example/000000000000/dev-pool-1-messages",
    "TENANTRY_TABLE_NAME": "dev-pool-1-messages",
}


@pytest.fixture(autouse=True)
def good_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least that a pool's consumer needs, and nothing else of ours."""
    for name in os.environ:
        if name.startswith("TENANTRY_"):
            monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_the_least_that_is_needed_starts() -> None:
    """Its hand has room for what its polls bring at once, of the largest messages."""
    settings = load(Settings)

    assert settings.reader_role_arn is None
    assert settings.wait_seconds == 20
    assert settings.hand_bytes >= (settings.polls * SQS_BATCH_ENTRIES * settings.max_message_bytes)
    assert settings.hand_messages >= settings.polls * SQS_BATCH_ENTRIES


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("QUEUE_URL", "", "TENANTRY_QUEUE_URL: is not set"),
        ("TABLE_NAME", "", "TENANTRY_TABLE_NAME: is not set"),
        ("WAIT_SECONDS", "21", "TENANTRY_WAIT_SECONDS: "),
        ("WAIT_SECONDS", "0", "TENANTRY_WAIT_SECONDS: "),
        ("VISIBILITY_SECONDS", "1", "TENANTRY_VISIBILITY_SECONDS: "),
        ("VISIBILITY_SECONDS", "43201", "TENANTRY_VISIBILITY_SECONDS: "),
        ("DRAIN_SECONDS", "0", "TENANTRY_DRAIN_SECONDS: "),
        ("POLLS", "0", "TENANTRY_POLLS: "),
        ("WRITES", "17", "TENANTRY_WRITES: "),
        ("HAND_MESSAGES", "9", "TENANTRY_HAND_MESSAGES: "),
        ("HAND_BYTES", "2621439", "TENANTRY_HAND_BYTES must be at least 2621440"),
        ("MAX_MESSAGE_BYTES", "1048577", "TENANTRY_MAX_MESSAGE_BYTES: "),
    ],
)
def test_what_cannot_work_refuses_to_start(
    name: str,
    value: str,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the name of what to change; a hand that no poll fits would never receive."""
    monkeypatch.setenv(f"TENANTRY_{name}", value)
    with pytest.raises(SystemExit) as end:
        load(Settings)

    assert end.value.code == 2
    assert line in capsys.readouterr().err


def test_a_hand_that_one_poll_just_fits_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of the largest messages."""
    monkeypatch.setenv("TENANTRY_HAND_BYTES", "2621440")

    assert load(Settings).hand_bytes == SQS_BATCH_ENTRIES * 262_144
