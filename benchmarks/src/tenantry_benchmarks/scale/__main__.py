"""Prints the tables of docs/scale.md, writes them into it, or plans one load.

Exit status: 0 done; 1 with `--check`, when the page is not what the models say; 2 wrong input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from tenantry_benchmarks.scale.cost import Size
from tenantry_benchmarks.scale.design import Design
from tenantry_benchmarks.scale.load import typical
from tenantry_benchmarks.scale.tables import BLOCKS, filled, plan_table


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = _Parser(
        prog="python -m tenantry_benchmarks.scale",
        description="What a load needs and costs. Without a command: every table of "
        "docs/scale.md, as Markdown.",
    )
    parser.add_argument("--write", metavar="PAGE", type=Path, help="put the tables into the page")
    parser.add_argument("--check", metavar="PAGE", type=Path, help="say if the page is stale")
    commands = parser.add_subparsers(dest="command")
    plan = commands.add_parser("plan", help="one load: pods, nodes, calls, dollars, first limit")
    _add_plan(plan)
    options = parser.parse_args(arguments)
    try:
        if options.command == "plan":
            print(_plan(options), end="")
            return 0
        if options.check or options.write:
            return _page(options.check or options.write, writes=options.check is None)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    except KeyError as error:
        parser.error(f"the page has a block that nobody makes: {error}")
    for name, block in BLOCKS.items():
        print(f"## {name}\n\n{block()}")
    return 0


def _add_plan(parser: argparse.ArgumentParser) -> None:
    defaults = Design()
    for name, default, least, text in (
        ("--messages", 1_000.0, 1, "a second, of all tenants"),
        ("--tenants", 100, 1, "of all tiers; up to 20 are all premium"),
        ("--payload", 600, 2, "bytes of a message's payload"),
        ("--producer-us", defaults.producer_us, 1, "CPU µs a message of the producer"),
        ("--consumer-us", defaults.consumer_us, 1, "CPU µs a message of the consumer"),
        ("--round-trip-ms", 20.0, 0.1, "of a call to AWS"),
        ("--tenants-per-pool", defaults.tenants_per_pool, 1, "basic and advanced tenants"),
    ):
        parser.add_argument(
            name,
            type=_at_least(type(default), least),
            default=default,
            metavar="N",
            help=f"{text} (default: {default:g})",
        )


class _at_least:  # noqa: N801 - argparse names it in its message
    """A number that is no smaller."""

    def __init__(self, kind: type[int | float], least: float) -> None:
        self._kind, self._least = kind, least
        self.__name__ = "number"

    def __call__(self, text: str) -> float:
        value = self._kind(text)
        if not self._least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be {self._least:g} or more, not {text}")
        return value


def _plan(options: argparse.Namespace) -> str:
    design = Design(
        producer_us=options.producer_us,
        consumer_us=options.consumer_us,
        round_trip=options.round_trip_ms / 1_000,
        tenants_per_pool=options.tenants_per_pool,
    )
    size = Size(options.payload)
    return plan_table(typical(options.messages, options.tenants, size=size), [design])


def _page(page: Path, *, writes: bool) -> int:
    text = page.read_text("utf-8")
    wanted = filled(text)
    if text == wanted:
        return 0
    if not writes:
        print(f"{page} is not what the models say: --write {page}", file=sys.stderr)
        return 1
    page.write_text(wanted, "utf-8")
    print(f"wrote {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
