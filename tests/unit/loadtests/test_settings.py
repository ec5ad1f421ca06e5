from __future__ import annotations

from pathlib import Path

import pytest

from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.settings import Settings, read_settings

HOST = {"HOST": "https://{tenant}.example.com", "TENANTS": "tenants.json"}


def read(*arguments: str, **environ: str) -> Settings:
    return read_settings(arguments, environ)


def test_an_option_wins_over_the_environment() -> None:
    """Every option is a variable, too; an empty one is none."""
    assert read(SHAPE="ramp").shape == "ramp"
    assert read("--shape", "spike", SHAPE="ramp").shape == "spike"
    assert read(SHAPE="").shape == "steady"
    assert read(FAIL_ON="errors<1%").fail_on == "errors<1%"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5_400), ("0.5", 0.5)]
)
def test_durations_are_as_people_write_them(text: str, seconds: float) -> None:
    """Seconds, minutes, hours."""
    assert read(DURATION=text).duration == seconds


@pytest.mark.parametrize(("text", "share"), [("0.3", 0.3), ("30%", 0.3), ("0", 0.0), ("1", 1.0)])
def test_shares_may_be_per_cent(text: str, share: float) -> None:
    """Of messages in batches."""
    assert read(BATCH=text).batch == pytest.approx(share)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SHAPE", "square"),
        ("DURATION", "soon"),
        ("DURATION", "0"),
        ("DURATION", "-5"),
        ("RATE", "0"),
        ("RATE", "nan"),
        ("RATE", "inf"),
        ("USERS", "many"),
        ("BATCH", "150%"),
        ("BATCH_SIZE", "101"),
        ("ENGINE", "real"),
        ("BIND", "5557"),
        ("ARRIVALS", "never"),
        ("TOKEN_COMMAND", ""),
    ],
)
def test_what_is_wrong_is_told_in_one_line(name: str, text: str) -> None:
    """With what it is about."""
    if name == "TOKEN_COMMAND":
        with pytest.raises(UsageError, match="unrecognized arguments: --token x"):
            read("--token", "x")
        return
    with pytest.raises(UsageError, match=name.lower().replace("_", "-")) as caught:
        read(**{name: text})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "what"),
    [
        ({"HOST": "laptop"}, "HOST is no address"),
        ({"HOST": "https://x"}, "HOST needs TENANTS"),
        (HOST | {"SHAPE": "noisy"}, "needs FLOOD"),
        (HOST | {"SHAPE": "scale-out"}, "needs SCALE_COMMAND"),
        ({"TENANTS": "x"}, "TENANTS is of a HOST"),
        ({"METRICS_URL": "http://x/metrics"}, "METRICS_URL is of a HOST"),
        ({"MASTER": "m:5557"}, "a worker needs TENANTS"),
        (HOST | {"WORKERS": "2", "EXPECT_WORKERS": "2"}, "not both"),
        (HOST | {"METRICS_URL": "http://u:p@x/metrics"}, "tokens go in files"),
    ],
)
def test_what_does_not_go_together_is_refused(environ: dict[str, str], what: str) -> None:
    """Before anything is sent."""
    with pytest.raises(UsageError, match=what):
        read(**environ)


def test_a_host_run_has_what_it_needs() -> None:
    """Lists, commands and addresses in their form."""
    settings = read(
        **HOST,
        SHAPE="scale-out",
        SCALE_COMMAND="kubectl scale deploy/consumer --replicas={n}",
        METRICS_URL="http://a/metrics, http://b/metrics",
        EXPECT_WORKERS="4",
        BIND="0.0.0.0:5557",
    )
    assert settings.tenants == Path("tenants.json")
    assert settings.scale_command[-1] == "--replicas={n}"
    assert settings.metrics_url == ("http://a/metrics", "http://b/metrics")
    assert settings.bind == ("0.0.0.0", 5557)


def test_help_explains(capsys: pytest.CaptureFixture[str]) -> None:
    """With examples, and what exit statuses mean."""
    with pytest.raises(SystemExit) as left:
        read("--help")
    told = capsys.readouterr().out
    assert left.value.code == 0
    for word in ("make loadtest", "FAIL_ON", "token_command", "Exit status", "scale-out"):
        assert word in told
