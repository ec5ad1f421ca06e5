"""`python -m tenantry_benchmarks`: measures, prints tables, writes a report.

Exit status: 0 measured, and every bound holds; 1 a bound is missed, or ours failed; 2 wrong
input; 130 interrupted, and what was measured is written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from rich.console import Console

from tenantry_benchmarks import machine, report
from tenantry_benchmarks.progress import Progress
from tenantry_benchmarks.rows import ROWS, Row
from tenantry_benchmarks.run import ENGINE_NAMES, Run
from tenantry_benchmarks.subjects import BASELINES, FLOOR
from tenantry_local.model import LaptopError
from tenantry_local.paths import REPOSITORY

RESULTS: Final = REPOSITORY / "benchmarks" / "results"
_USAGE: Final = 2
_INTERRUPTED: Final = 130


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    options = _parser().parse_args(arguments)
    if options.list:
        for row in ROWS.values():
            print(f"{row.key:11} {'full' if row.is_full else 'bench':6} {row.title}")
        return 0
    progress = Progress()
    run = Run(
        progress=progress,
        engine=options.engine,
        repeats=options.repeats,
        scale=options.scale,
        is_quick=options.quick,
        baselines=_wanted_baselines(options),
    )
    wanted = options.only or [row for row in ROWS.values() if options.full or not row.is_full]
    status = 0
    try:
        options.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.stderr.write(f"cannot write to {options.output}: {error.strerror}\n")
        return _USAGE
    try:
        run.was_interrupted = not _until_signal(_measure(run, wanted))
    except LaptopError as error:
        status = error.status
        sys.stderr.write(f"\n{error}\n")
    finally:
        progress.done()
    if run.was_interrupted:
        status = _INTERRUPTED
    if any(table.figures for table in run.tables):
        _write(run, options.output)
        report.show(run, Console(width=None if sys.stdout.isatty() else 160))
        print(f"written to {options.output}")
    if status == 0 and run.failures and not options.no_bounds:
        for text in run.failures:
            sys.stderr.write(f"missed: {text}\n")
        status = 1
    return status


def _wanted_baselines(options: argparse.Namespace) -> tuple[str, ...]:
    if options.baselines is not None:
        return tuple(options.baselines)
    # The floor is no bound's: a quick run leaves it out.
    return tuple(name for name in BASELINES if not (options.quick and name == FLOOR))


async def _measure(run: Run, rows: Sequence[Row]) -> None:
    for row in rows:
        await row.measure(run)


def _until_signal(work: Coroutine[Any, Any, None]) -> bool:
    """Run until the work ends (True) or a signal cancels it (False)."""

    async def run() -> bool:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # The first one cancels; while everything is being ended, further ones do nothing.
            loop.add_signal_handler(number, lambda: task.cancelling() or task.cancel())
        try:
            await task
        except asyncio.CancelledError:
            return False
        return True

    return asyncio.run(run())


def _write(run: Run, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    where = machine.describe(run.engine)
    document = {
        "machine": {**where, "calibration_us": report.calibration(run)},
        "repeats": run.repeats,
        "interrupted": run.was_interrupted,
        "rows": [table.as_json() for table in run.tables],
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (output / "results.json").write_text(text + "\n", "utf-8")
    (output / "results.md").write_text(report.markdown(run, where), "utf-8")
    from tenantry_benchmarks import plots  # noqa: PLC0415 - a second that `--help` need not take

    plots.draw(run.tables, output)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m tenantry_benchmarks",
        description="Measures Tenantry beside its baselines, in turn, and writes tables and "
        "plots. Exit status: 0 every bound holds, 1 one is missed or ours failed, 2 wrong input, "
        "130 interrupted (what was measured is written).",
    )
    parser.add_argument("--full", action="store_true", help="all rows; otherwise the first three")
    parser.add_argument(
        "--only", type=_rows, metavar="ROW,…", help=f"these rows: {', '.join(ROWS)}"
    )
    parser.add_argument("--list", action="store_true", help="say what rows there are")
    parser.add_argument("--quick", action="store_true", help="the one case that the bounds are of")
    parser.add_argument(
        "--repeats", type=_at_least_one, default=5, metavar="N", help="rounds (default: 5)"
    )
    parser.add_argument(
        "--scale",
        type=_positive,
        default=1.0,
        metavar="X",
        help="messages of a round, as a multiple of the usual (default: 1)",
    )
    parser.add_argument(
        "--engine",
        choices=ENGINE_NAMES,
        default="standin",
        help="what stands for AWS (default: standin)",
    )
    parser.add_argument(
        "--baselines",
        type=_baselines,
        default=None,
        metavar="NAME,…",
        help=f"of {', '.join(BASELINES)}, or none",
    )
    parser.add_argument("--no-bounds", action="store_true", help="measure only: a miss exits 0")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, metavar="DIR", help="where the report goes"
    )
    return parser


def _rows(text: str) -> list[Row]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in ROWS]
    if unknown or not names:
        msg = f"no row {', '.join(unknown) or 'named'}; there are {', '.join(ROWS)}"
        raise argparse.ArgumentTypeError(msg)
    return [ROWS[name] for name in names]


def _baselines(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if names == ("none",):
        return ()
    if unknown := [name for name in names if name not in BASELINES]:
        msg = f"no baseline {', '.join(unknown)}; there are {', '.join(BASELINES)}"
        raise argparse.ArgumentTypeError(msg)
    return names


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text} is no number of 1 or more"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 100:  # noqa: PLR2004 - hundred times is hours
        msg = f"{text} is no number between 0 and 100"
        raise argparse.ArgumentTypeError(msg)
    return value


if __name__ == "__main__":
    sys.exit(main())
