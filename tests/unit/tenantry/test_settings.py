"""Settings: what is impossible refuses to start, with a line that says what to change."""

from __future__ import annotations

import os

import pytest
from pydantic import ValidationError

from tenantry.settings import ServiceSettings, grace_seconds, load

GOOD = {
    "TENANTRY_ENVIRONMENT": "dev",
    "TENANTRY_INSTANCE": "pool-1",
    "TENANTRY_TIER": "basic",
    "TENANTRY_REGISTRY_TABLE": "dev-tenants",
    "TENANTRY_JWKS": "https://issuer.example/jwks.json",
    "TENANTRY_JWT_ISSUER": "https://issuer.example",
    "TENANTRY_JWT_AUDIENCE": "tenantry",
}


@pytest.fixture(autouse=True)
def good_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a pool's service, and nothing else of ours."""
    for name in os.environ:
        if name.startswith("TENANTRY_"):
            monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_the_least_that_is_needed_starts() -> None:
    """Everything else has a default that is safe in a pod."""
    settings = load(ServiceSettings)

    assert settings.is_pool
    assert settings.pool == "pool-1"
    assert settings.identity == "jwt"
    assert settings.jwt_algorithms == ("RS256",)
    assert (8080, 9090) == (settings.port, settings.private_port)
    assert settings.placement_max_age_seconds == 300
    assert settings.tenant_claim == "tenant_id"


def test_a_dedicated_tenant_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that is a tenant has a tier of its own and no pool."""
    monkeypatch.setenv("TENANTRY_INSTANCE", "acme")
    monkeypatch.setenv("TENANTRY_TIER", "premium")
    settings = load(ServiceSettings)

    assert not settings.is_pool
    assert settings.pool is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"ENVIRONMENT": ""}, "TENANTRY_ENVIRONMENT: is not set"),
        # `dev-a` + `b` and `dev` + `a-b` would share the names of queue and table.
        ({"ENVIRONMENT": "dev-a"}, "TENANTRY_ENVIRONMENT: String should match pattern"),
        ({"INSTANCE": ""}, "TENANTRY_INSTANCE: is not set"),
        ({"TIER": ""}, "TENANTRY_TIER: is not set"),
        ({"REGISTRY_TABLE": ""}, "TENANTRY_REGISTRY_TABLE: is not set"),
        ({"ENVIRONMENT": "Dev"}, "TENANTRY_ENVIRONMENT: String should match pattern"),
        ({"ENVIRONMENT": "dev\n"}, "TENANTRY_ENVIRONMENT: String should match pattern"),
        ({"ENVIRONMENT": "a" * 21}, "TENANTRY_ENVIRONMENT: String should have at most 20"),
        ({"TIER": "gold"}, "TENANTRY_TIER: Input should be 'basic', 'advanced' or 'premium'"),
        ({"TIER": "advanced"}, "TENANTRY_INSTANCE=pool-1 is a pool, so TENANTRY_TIER is basic"),
        ({"INSTANCE": "acme"}, "TENANTRY_TIER=basic is a pool's, so TENANTRY_INSTANCE is pool-"),
        ({"INSTANCE": "pool-"}, "TENANTRY_INSTANCE is no pool's name"),
        ({"INSTANCE": "pool-A_b"}, "TENANTRY_INSTANCE is no pool's name"),
        ({"INSTANCE": "pool-1\n"}, "TENANTRY_INSTANCE is no pool's name"),
        ({"INSTANCE": "Acme", "TIER": "premium"}, "TENANTRY_INSTANCE is no tenant's id: a tenan"),
        ({"INSTANCE": "argocd", "TIER": "premium"}, "TENANTRY_INSTANCE is no tenant's id: this"),
        ({"INSTANCE": "a" * 33, "TIER": "premium"}, "TENANTRY_INSTANCE: String should have at m"),
        ({"JWKS": ""}, "TENANTRY_IDENTITY=jwt needs TENANTRY_JWKS"),
        ({"JWT_ISSUER": ""}, "TENANTRY_IDENTITY=jwt needs TENANTRY_JWT_ISSUER"),
        ({"JWT_AUDIENCE": ""}, "TENANTRY_IDENTITY=jwt needs TENANTRY_JWT_AUDIENCE"),
        ({"JWT_ALGORITHMS": "HS256"}, "TENANTRY_JWT_ALGORITHMS: must be of ES256"),
        ({"JWT_ALGORITHMS": "RS256,none"}, "TENANTRY_JWT_ALGORITHMS: must be of ES256"),
        ({"JWT_ALGORITHMS": ","}, "TENANTRY_JWT_ALGORITHMS: must be of ES256"),
        ({"IDENTITY": "both"}, "TENANTRY_IDENTITY: Input should be 'jwt' or 'header'"),
        ({"PORT": "65536"}, "TENANTRY_PORT: Input should be less than or equal to 65535"),
        ({"PORT": "-1"}, "TENANTRY_PORT: Input should be greater than or equal to 0"),
        ({"PORT": "http"}, "TENANTRY_PORT: Input should be a valid integer"),
        ({"PORT": "9090"}, "TENANTRY_PORT and TENANTRY_PRIVATE_PORT are the same"),
        ({"PLACEMENT_MAX_AGE_SECONDS": "29"}, "TENANTRY_PLACEMENT_MAX_AGE_SECONDS: Input should"),
        ({"PLACEMENT_MAX_AGE_SECONDS": "inf"}, "TENANTRY_PLACEMENT_MAX_AGE_SECONDS: Input shou"),
        ({"PLACEMENT_MAX_AGE_SECONDS": "nan"}, "TENANTRY_PLACEMENT_MAX_AGE_SECONDS: Input shou"),
        ({"REQUEST_SECONDS": "0"}, "TENANTRY_REQUEST_SECONDS: Input should be greater than 0"),
        ({"SHUTDOWN_DELAY_SECONDS": "-1"}, "TENANTRY_SHUTDOWN_DELAY_SECONDS: Input should be"),
        ({"LOG_LEVEL": "trace"}, "TENANTRY_LOG_LEVEL: Input should be 'debug', 'info', 'warn"),
    ],
)
def test_what_is_impossible_refuses_to_start(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, str],
    line: str,
) -> None:
    """Exit 2 and one line on standard error that names what to change."""
    for name, value in changes.items():
        monkeypatch.setenv(f"TENANTRY_{name}", value)

    with pytest.raises(SystemExit) as caught:
        load(ServiceSettings)
    written = capsys.readouterr()

    assert caught.value.code == 2
    assert line in written.err
    assert 1 == written.err.count("\n")
    assert "Value error" not in written.err
    assert not written.out


def test_each_thing_that_is_wrong_has_its_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All at once, not one for each attempt."""
    monkeypatch.setenv("TENANTRY_PORT", "x")
    monkeypatch.delenv("TENANTRY_TIER")

    with pytest.raises(SystemExit):
        load(ServiceSettings)
    lines = capsys.readouterr().err.splitlines()

    assert ["TENANTRY_PORT", "TENANTRY_TIER"] == sorted(line.partition(":")[0] for line in lines)


def test_all_that_tokens_need_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three missing settings are one line."""
    for name in ("JWKS", "JWT_ISSUER", "JWT_AUDIENCE"):
        monkeypatch.delenv(f"TENANTRY_{name}")

    with pytest.raises(SystemExit):
        load(ServiceSettings)

    expected = "TENANTRY_JWKS, TENANTRY_JWT_ISSUER, TENANTRY_JWT_AUDIENCE"
    assert expected in capsys.readouterr().err


def test_the_header_needs_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind a mesh there is no issuer."""
    monkeypatch.setenv("TENANTRY_IDENTITY", "header")
    for name in ("JWKS", "JWT_ISSUER", "JWT_AUDIENCE"):
        monkeypatch.delenv(f"TENANTRY_{name}")

    assert load(ServiceSettings).identity == "header"


def test_two_free_ports_are_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 takes a free one each time."""
    monkeypatch.setenv("TENANTRY_PORT", "0")
    monkeypatch.setenv("TENANTRY_PRIVATE_PORT", "0")

    assert load(ServiceSettings).port == 0


def test_algorithms_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blanks and a last comma do no harm."""
    monkeypatch.setenv("TENANTRY_JWT_ALGORITHMS", "RS256, ES256,")

    assert ("RS256", "ES256") == load(ServiceSettings).jwt_algorithms


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts render empty strings for what has no value."""
    monkeypatch.setenv("TENANTRY_PORT", "")

    assert load(ServiceSettings).port == 8080


def test_settings_do_not_change() -> None:
    """Frozen: who holds them may rely on them."""
    settings = load(ServiceSettings)
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [
        ({"shutdown_delay_seconds": 15, "request_seconds": 10}, 35),
        ({"shutdown_delay_seconds": 0, "request_seconds": 10}, 20),
        (
            {
                "shutdown_delay_seconds": 15,
                "request_seconds": 10,
                "wait_seconds": 20,
                "drain_seconds": 30,
            },
            72,
        ),
        (
            {
                "shutdown_delay_seconds": 60,
                "request_seconds": 10,
                "wait_seconds": 2,
                "drain_seconds": 5,
            },
            80,
        ),
    ],
)
def test_the_grace_period_covers_the_longer_way_to_stop(
    arguments: dict[str, float], seconds: int
) -> None:
    """The lag, or a last poll and what it brought; then requests, spans and a margin."""
    assert seconds == grace_seconds(**arguments)
