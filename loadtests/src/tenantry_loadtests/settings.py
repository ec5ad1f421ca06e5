"""What a run is asked to do: options, and the environment variables of the same names."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal

from tenantry_loadtests.catalogue import SHAPES
from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.pacing import Arrivals
from tenantry_loadtests.payloads import DEFAULT_SIZES, DEFAULT_TYPES
from tenantry_loadtests.tenants import check_url

EngineKind = Literal["embedded", "standin"]

_REPORTS: Final = Path(__file__).resolve().parents[2] / "reports"
_DURATION: Final = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")

_EPILOG: Final = """\
Every option is also an environment variable: HOST, SHAPE, FAIL_ON, … An option wins.

  make loadtest                                        this machine, two minutes
  make loadtest SHAPE=ramp                             where is the knee?
  make loadtest HOST=https://{tenant}.example.com TENANTS=tenants.json SHAPE=steady RATE=200
  make loadtest FAIL_ON='p99(accepted)<500ms, errors<1%, p99(stored)<5s'

The list of tenants is JSON, [{"tenant": "acme", "tier": "basic", "token_file": "…"}, …], or CSV
with these names in its first line; token_command prints a token instead. Exit status: 0 all held;
1 a threshold or the accounting did not hold, or the run is incomplete; 2 nothing was tried.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A run, as it was asked for. None: what the shape or the target has."""

    host: str | None
    shape: str
    tenants: Path | None
    duration: float | None
    warm_up: float
    rate: float | None
    users: int | None
    arrivals: Arrivals
    batch: float
    batch_size: int
    sizes: str
    types: str
    events: Path | None
    engine: EngineKind
    flood: str | None
    follow: float | None
    follow_seconds: float
    request_seconds: float
    give_up: float
    drain: float
    fail_on: str | None
    metrics_url: tuple[str, ...]
    aws_region: str | None
    scale_command: tuple[str, ...]
    workers: int
    expect_workers: int
    bind: tuple[str, int]
    master: tuple[str, int] | None
    linger: float
    consumer_command: tuple[str, ...]
    insecure: bool
    seed: int
    out: Path


def read_settings(arguments: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a command line and an environment.

    Raises:
        UsageError: Something is not as it must be.
    """
    parser = _parser(environ)
    values = vars(parser.parse_args(arguments))
    settings = Settings(**{field.name: values[field.name] for field in fields(Settings)})
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    if settings.host is not None:
        check_url(settings.host.replace("{tenant}", "tenant"), "HOST")
        if settings.tenants is None:
            raise UsageError("HOST needs TENANTS: the list of tenants and where their tokens are")
        if settings.shape == "scale-out" and not settings.scale_command:
            raise UsageError(
                "SHAPE=scale-out against HOST needs SCALE_COMMAND: what makes it {n} consumers"
            )
        if settings.shape == "noisy" and settings.flood is None:
            raise UsageError("SHAPE=noisy against HOST needs FLOOD: the tenant that may flood")
    elif settings.master is None:
        for name in ("tenants", "metrics_url", "scale_command", "aws_region", "expect_workers"):
            if getattr(settings, name):
                raise UsageError(f"{name.upper()} is of a HOST; there is none")
    if settings.master is not None and settings.tenants is None:
        raise UsageError("a worker needs TENANTS: where its tokens are")
    if settings.workers and settings.expect_workers:
        raise UsageError("WORKERS starts workers here, EXPECT_WORKERS waits for others: not both")


def _parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m tenantry_loadtests",
        usage="%(prog)s [--shape SHAPE] [--host URL --tenants FILE] [option …]",
        description="Load on the whole path, from POST to stored; a report; an exit status.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )

    def add(
        name: str, kind: Callable[[str], Any], default: Any, what: str, metavar: str = ""
    ) -> None:
        variable = name.upper().replace("-", "_")
        text = environ.get(variable, "")
        parser.add_argument(
            f"--{name}",
            type=kind,
            # A text is parsed as an option would be, and its error names the option.
            default=text or default,
            help=f"{what} ({variable})",
            metavar=metavar or variable,
        )

    where = "of what is loaded; {tenant} in it is the tenant; without it, this machine's laptop"
    add("host", str, None, f"address {where}", "URL")
    add("shape", _one_of(SHAPES), "steady", ", ".join(SHAPES))
    add("tenants", Path, None, "list of tenants, JSON or CSV; needed with HOST", "FILE")
    add("duration", _seconds, None, "of the load: 90, 5m, 1h; the shape's if not said")
    add("warm-up", _seconds, 5.0, "before it, in no figure")
    add("rate", _positive, None, "messages a second in all; of a ramp, the most")
    add("users", _count, None, "Locust users; as many as the rate needs if not said")
    add("arrivals", _one_of(("constant", "poisson")), "constant", "constant or poisson")
    add("batch", _share, 0.3, "share of messages sent in batches: 0.3 or 30%%")
    add("batch-size", _batch_size, 10, "messages in a batch, at most 100")
    add("sizes", str, DEFAULT_SIZES, "of payloads: bytes:weight,…")
    add("types", str, DEFAULT_TYPES, "of messages: type:weight,…")
    add("events", Path, None, "real events instead: JSON lines with type and payload", "FILE")
    add("engine", _one_of(("embedded", "standin")), "embedded", "the laptop's: embedded, standin")
    add("flood", str, None, "the tenant that floods in SHAPE=noisy against HOST", "TENANT")
    add("follow", _not_negative, None, "looks a second for followed messages; 0: follow none")
    add("follow-seconds", _seconds, 60.0, "after which a followed message is not stored")
    add("request-seconds", _seconds, 15.0, "after which a request is not answered")
    add("give-up", _seconds, 30.0, "after which a message is not accepted")
    add("drain", _seconds, 60.0, "to wait for the queues, as long as nothing arrives")
    add("fail-on", str, None, "what must hold: p99(accepted)<500ms,errors<1%% or a TOML file")
    add("metrics-url", _urls, (), "of consumers, for age and stored: URL,URL")
    add("aws-region", str, None, "look at the queues of the list, with AWS's credentials")
    add("scale-command", _command, (), "makes it {n} consumers, for SHAPE=scale-out")
    add("workers", _count, 0, "generator processes on this machine; 0: one does it all")
    add("expect-workers", _count, 0, "wait for so many workers of other machines")
    add("bind", _address, ("*", 5557), "where a master listens", "HOST:PORT")
    add("master", _address, None, "be a worker of this master", "HOST:PORT")
    add("linger", _not_negative, 0.0, "seconds to stay when done, for whoever copies the report")
    add("consumer-command", _command, (), "started instead of `python -m consumer` (laptop)")
    add("seed", _count, 1, "of what is drawn")
    add("out", Path, _REPORTS, "where reports go", "FOLDER")
    parser.add_argument(
        "--insecure",
        action="store_true",
        default=environ.get("INSECURE", "") not in {"", "0"},
        help="do not verify HOST's certificate (INSECURE=1)",
    )
    return parser


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """One line; argparse would print the usage as well."""
        raise UsageError(message.removeprefix("argument "))


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def kind(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(names)}")
        return text

    return kind


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: 90, 90s, 5m, 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration above 0")
    return total


def _positive(text: str) -> float:
    value = _not_negative(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0")
    return value


def _not_negative(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:  # noqa: PLR2004 - also no infinity
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) > 1_000_000:  # noqa: PLR2004 - more is a slip
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 up")
    return int(text)


def _batch_size(text: str) -> int:
    size = _count(text)
    if not 1 <= size <= 100:  # noqa: PLR2004 - what the API takes
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100")
    return size


def _share(text: str) -> float:
    number, percent = (text[:-1], True) if text.endswith("%") else (text, False)
    share = _not_negative(number) / (100 if percent else 1)
    if share > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: 0 to 1, or 0% to 100%")
    return share


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(filter(None, (part.strip() for part in text.split(","))))
    for url in urls:
        check_url(url, "METRICS_URL")
    return urls


def _command(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT")
    return host, int(port)
