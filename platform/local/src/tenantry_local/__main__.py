"""`python -m tenantry_local`: up, token, demo."""

from __future__ import annotations

import argparse
import asyncio
import errno
import io
import json
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, get_args

from tenantry_local import issuer
from tenantry_local.demo import DemoOptions, run_demo
from tenantry_local.laptop import Laptop
from tenantry_local.model import (
    CONSUMER,
    ENVIRONMENT,
    PRODUCER,
    REGION,
    EngineKind,
    LaptopError,
)
from tenantry_local.paths import RUN_DIR, is_in_use, last_run, run_directories
from tenantry_local.resources import REGISTRY_TABLE

_INTERRUPTED: Final = 130
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_NOWHERE_TO_WRITE: Final = frozenset(
    {
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.ENOTDIR,
        errno.EEXIST,
    }
)


def main() -> None:
    """Run one command; errors are one line on standard error and a status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal has every character
    arguments = _parser().parse_args()
    try:
        sys.exit(_run(arguments))
    except LaptopError as error:
        sys.stderr.write(f"{error}\n")
        if error.status == 1:
            _say_where_logs_are(arguments)
        sys.exit(error.status)
    except Exception as error:  # noqa: BLE001 - a bug: shown whole, and where the logs are
        if isinstance(error, OSError) and error.errno in _NOWHERE_TO_WRITE:
            where = f" ({error.filename})" if error.filename else ""
            sys.stderr.write(f"the laptop cannot write its files: {error.strerror}{where}\n")
            sys.exit(2)
        traceback.print_exc()
        _say_where_logs_are(arguments)
        sys.exit(1)


def _say_where_logs_are(arguments: argparse.Namespace) -> None:
    kept = last_run(arguments.run_dir or RUN_DIR)
    sys.stderr.write(f"the logs of this run are in {kept}\n")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "token":
        sys.stdout.write(f"{_token(arguments)}\n")
        return 0
    settings = {
        "run_dir": arguments.run_dir,
        "engine": arguments.engine,
        "engine_port": arguments.engine_port,
        "router_port": arguments.router_port,
        "max_receive_count": arguments.max_receive_count,
        "producer_command": arguments.producer_command,
        "consumer_command": arguments.consumer_command,
        "fleet": True,
        # As short as services take it: who tries out a move should not wait for minutes.
        "placement_max_age_seconds": 30,
    }
    if arguments.command == "up":
        return _until_signal(_up(settings, as_json=arguments.json), stopped=0)
    options = DemoOptions(
        messages=arguments.messages,
        once=arguments.once,
        poison=arguments.poison,
        faults=arguments.faults,
        laptop=settings,
    )
    return _until_signal(run_demo(options), stopped=_INTERRUPTED)


def _until_signal(work: Coroutine[Any, Any, int], *, stopped: int) -> int:
    """Run until the work ends or a signal cancels it; further signals do nothing."""

    async def run() -> int:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        is_stopping = False

        def on_signal(*_: object) -> None:
            nonlocal is_stopping
            if not is_stopping:
                is_stopping = True
                loop.call_soon_threadsafe(task.cancel)

        # Not the loop's own handlers: those go with the loop, and the next Ctrl-C would end
        # the process with a traceback while it is leaving.
        for number in _SIGNALS:
            signal.signal(number, on_signal)
        try:
            return await task
        except asyncio.CancelledError:
            return stopped
        finally:
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    return asyncio.run(run())


async def _up(settings: dict[str, Any], *, as_json: bool) -> int:
    async with Laptop.up(**settings) as laptop:
        if as_json:
            text = json.dumps(describe(laptop), default=str)
        else:
            lines = [f"router  {laptop.router_url}"]
            lines += [f"engine  {laptop.engine_url}, {laptop.engine_name}"]
            lines += [f"logs    {laptop.run_dir}", "Ctrl-C ends it."]
            text = "\n".join(lines)
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()
    return 0


def describe(laptop: Laptop) -> dict[str, Any]:
    """Everything that a client of a laptop needs, but no secret: those are in files."""
    return {
        "router_url": laptop.router_url,
        "engine_url": laptop.engine_url,
        "engine_name": laptop.engine_name,
        "region": REGION,
        "run_dir": laptop.run_dir,
        "environment": ENVIRONMENT,
        "registry_table": REGISTRY_TABLE,
        "issuer": issuer.ISSUER,
        "audience": issuer.AUDIENCE,
        "jwks": laptop.jwks,
        "pools": {name: asdict(pool) for name, pool in laptop.pools.items()},
        "tenants": {name: asdict(tenant) for name, tenant in laptop.tenants.items()},
        "instances": [
            asdict(instance) | {"url": instance.url, "private_url": instance.private_url}
            for instance in laptop.instances
        ],
    }


def _token(arguments: argparse.Namespace) -> str:
    places = [arguments.run_dir] if arguments.run_dir else run_directories()
    known = {
        path.name.removeprefix("token-"): place
        for place in reversed(places)
        if is_in_use(place)
        for path in place.glob("token-*")
    }
    if not known:
        raise LaptopError("no laptop runs: `make up` or `make demo` starts one", status=2)
    place = known.get(arguments.tenant)
    if place is None:
        raise LaptopError(
            f"no tenant {arguments.tenant!r} lives here, only {', '.join(sorted(known))}", status=2
        )
    return issuer.Issuer.load(place).token(arguments.tenant)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tenantry_local", description="Tenantry on this machine."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything, and run until Ctrl-C")
    up.add_argument("--json", action="store_true", help="say where it is as one line of JSON")
    token = commands.add_parser("token", help="print a token of a tenant's")
    token.add_argument("tenant")
    demo = commands.add_parser("demo", help="send messages through all tiers and prove them")
    demo.add_argument(
        "--messages",
        type=Path,
        default=_path_or_none(os.environ.get("MESSAGES")),
        help="JSON lines to send (MESSAGES)",
    )
    demo.add_argument(
        "--once", action="store_true", default=_is_set("ONCE"), help="leave at the end (ONCE=1)"
    )
    demo.add_argument(
        "--poison", action="store_true", default=_is_set("POISON"), help="also bad ones (POISON=1)"
    )
    demo.add_argument(
        "--faults",
        action="store_true",
        default=_is_set("FAULTS"),
        help="make AWS calls go wrong all the while (FAULTS=1)",
    )
    for command in (up, token, demo):
        command.add_argument("--run-dir", type=Path, help="where keys, tokens and logs are")
    for command in (up, demo):
        command.add_argument(
            "--engine",
            choices=get_args(EngineKind),
            default="embedded",
            help="what stands for AWS: ministack, or the project's own fast stand-in",
        )
        command.add_argument("--engine-port", type=_port, default=0, help="0: a free one")
        command.add_argument("--router-port", type=_port, default=0, help="0: a free one")
        command.add_argument(
            "--max-receive-count",
            type=int,
            default=10,
            help="receives before a message is a dead letter",
        )
        for service in (PRODUCER, CONSUMER):
            command.add_argument(
                f"--{service}-command",
                type=_command,
                help=f"started instead of `python -m {service}`",
            )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:  # noqa: PLR2004 - what a port is
        msg = f"{text} is no port: 0 to 65535"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _command(text: str) -> tuple[str, ...]:
    return tuple(shlex.split(text))


def _is_set(name: str) -> bool:
    return os.environ.get(name, "") not in {"", "0"}


def _path_or_none(text: str | None) -> Path | None:
    return Path(text) if text else None


if __name__ == "__main__":
    main()
