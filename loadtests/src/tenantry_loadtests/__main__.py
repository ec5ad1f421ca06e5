"""`python -m tenantry_loadtests`: load, report, exit status."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from tenantry_loadtests.catalogue import Recipe, Wanted, laptop_tenants, recipe_of
from tenantry_loadtests.errors import GeneratorError, UsageError
from tenantry_loadtests.noisy import laptop_recipes
from tenantry_loadtests.planning import make_plan
from tenantry_loadtests.progress import Progress
from tenantry_loadtests.reporting import write_reports
from tenantry_loadtests.running import Interrupt, Outcome, run
from tenantry_loadtests.settings import Settings, read_settings
from tenantry_loadtests.summary import WIDTH as SUMMARY_WIDTH
from tenantry_loadtests.summary import print_summary
from tenantry_loadtests.target import Facts, HostTarget, Target, host_up
from tenantry_loadtests.tenants import TenantEntry, read_tenants
from tenantry_loadtests.thresholds import read_conditions

_FAILED: Final = 1
_USAGE: Final = 2
_INTERRUPTED: Final = 130


def main() -> None:
    """Run; errors are one line on standard error and a status."""
    try:
        settings = read_settings(sys.argv[1:])
        if settings.master is not None:
            _work(settings)
        sys.exit(asyncio.run(_main(settings)))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_USAGE)
    except GeneratorError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(_FAILED)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(_INTERRUPTED)


async def _main(settings: Settings) -> int:
    interrupt = Interrupt()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt.signalled)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=SUMMARY_WIDTH)
    entries = _entries(settings)
    recipes = _recipes(settings, entries)
    started = datetime.now().astimezone()
    folder = settings.out / f"{started:%Y%m%d-%H%M%S}-{settings.shape}"
    outcomes: list[Outcome] = []
    with _report_folder(folder):
        for recipe in recipes:
            if interrupt.stopping.is_set():
                break
            with Progress(console) as progress:
                progress.phase(f"{recipe.name}: starting")
                async with _target(settings, recipe, entries) as target:
                    run_folder = folder if len(recipes) == 1 else folder / recipe.name
                    run_folder.mkdir(exist_ok=True)
                    try:
                        outcome = await run(
                            settings,
                            recipe,
                            target,
                            folder=run_folder,
                            interrupt=interrupt,
                            progress=progress,
                        )
                    except GeneratorError as error:
                        # All there is to say of it, for whoever looks into the folder.
                        text = f"{recipe.name}: FAILED\n{error}\n"
                        (run_folder / "summary.txt").write_text(text, "utf-8")
                        raise
                    outcomes.append(outcome)
    if not outcomes:
        return _INTERRUPTED
    page = write_reports(folder, settings.shape, outcomes, started)
    print_summary(console, outcomes)
    console.print(f"report: {page}", markup=False)
    if settings.linger:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(settings.linger):
                await interrupt.stopping.wait()
    if any(outcome.result.interrupted for outcome in outcomes):
        return _INTERRUPTED
    return 0 if all(outcome.passed for outcome in outcomes) else _FAILED


@contextmanager
def _report_folder(folder: Path) -> Generator[None, None, None]:
    """Make the folder before anything is sent, and take it away if nothing was.

    Raises:
        UsageError: It cannot be made.
    """
    made = [one for one in (folder, *folder.parents) if not one.exists()]
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # it holds something: then it stays
            for one in made:
                one.rmdir()


def _entries(settings: Settings) -> tuple[TenantEntry, ...]:
    if settings.host is None:
        return laptop_tenants(settings.shape)
    return HostTarget(settings).facts.tenants


def _recipes(settings: Settings, entries: tuple[TenantEntry, ...]) -> list[Recipe]:
    """The runs that were asked for, all of them checked before the first.

    Raises:
        UsageError: One of them cannot be.
    """
    wanted = Wanted(
        tenants=entries,
        duration=settings.duration,
        rate=settings.rate,
        users=settings.users,
        batch=settings.batch,
        flood=settings.flood,
        follows=settings.follow != 0,
        warm_up=settings.warm_up,
    )
    if settings.shape == "noisy" and settings.host is None:
        recipes = list(laptop_recipes(wanted))
    else:
        recipes = [recipe_of(settings.shape, wanted)]
    for recipe in recipes:
        read_conditions(settings.fail_on or recipe.conditions)
        make_plan(settings, recipe, Facts(name="", notes=(), tenants=entries))
    return recipes


@asynccontextmanager
async def _target(
    settings: Settings, recipe: Recipe, entries: tuple[TenantEntry, ...]
) -> AsyncGenerator[Target, None]:
    if settings.host is not None:
        async with host_up(settings) as host:
            yield host
        return
    # Only here: where there is a host, there need not be a laptop.
    from tenantry_loadtests.laptop_target import laptop_up  # noqa: PLC0415
    from tenantry_local.model import LaptopError  # noqa: PLC0415

    try:
        async with laptop_up(settings, recipe.laptop, entries) as laptop:
            yield laptop
    except LaptopError as error:
        failure = UsageError if error.status == _USAGE else GeneratorError
        raise failure(str(error)) from error


def _work(settings: Settings) -> None:
    """Become a worker: the generator takes this process over."""
    assert settings.tenants is not None  # noqa: S101 - as the settings checked
    assert settings.master is not None  # noqa: S101
    entries = read_tenants(settings.tenants)
    wanted = Wanted(entries, None, None, None, settings.batch, None, follows=True)
    recipe = recipe_of("steady", wanted)
    plan = make_plan(settings, recipe, Facts(name="", notes=(), tenants=entries))
    path = Path(tempfile.mkdtemp(prefix="tenantry-loadtest-")) / "plan.json"
    plan.write(path)
    host, port = settings.master
    command = [sys.executable, "-m", "tenantry_loadtests.generator", "worker", str(path)]
    os.execv(sys.executable, [*command, host, str(port), "once"])  # noqa: S606 - of our own making


if __name__ == "__main__":
    main()
