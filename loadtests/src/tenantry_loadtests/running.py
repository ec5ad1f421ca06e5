"""One run: the generator as a process, the accounting after it, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Final

from tenantry_loadtests.accounting import Accounting, account
from tenantry_loadtests.catalogue import Recipe
from tenantry_loadtests.errors import GeneratorError
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.planning import LOOPBACK, make_plan
from tenantry_loadtests.progress import Progress
from tenantry_loadtests.recording import ACCEPTED, ERROR, Span
from tenantry_loadtests.results import IDS, RESULT, Result, read_result
from tenantry_loadtests.settings import Settings
from tenantry_loadtests.target import Facts, ScalingError, Target
from tenantry_loadtests.thresholds import Judged, judge, read_conditions

_GENERATOR: Final = "tenantry_loadtests.generator"
_STOP_SECONDS: Final = 40.0
#: Of an interrupted run: whoever presses Ctrl-C does not want to wait long.
_PATIENCE_WHEN_INTERRUPTED: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and its verdict.

    Attributes:
        problems: Why it failed, one line each; empty: it passed.
        notes: What its reader should know.
    """

    recipe: Recipe
    facts: Facts
    result: Result
    accounting: Accounting
    judged: Sequence[Judged]
    problems: Sequence[str]
    notes: Sequence[str]

    @property
    def passed(self) -> bool:
        """Whether all held."""
        return not self.problems


class Interrupt:
    """Ctrl-C: the first ends the load, the second everything."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._task = asyncio.current_task()

    def signalled(self) -> None:
        """A signal came."""
        if self.stopping.is_set() and self._task is not None:
            self._task.cancel()
        self.stopping.set()


async def run(
    settings: Settings,
    recipe: Recipe,
    target: Target,
    *,
    folder: Path,
    interrupt: Interrupt,
    progress: Progress,
) -> Outcome:
    """Load, account, judge.

    Raises:
        GeneratorError: The generator broke.
    """
    facts = target.facts
    conditions = read_conditions(settings.fail_on or recipe.conditions)
    plan = make_plan(settings, recipe, facts)
    with tempfile.TemporaryDirectory(prefix="tenantry-loadtest-") as private:
        log = folder / "generator.log"
        loader = _Loader(target, Path(private), log, progress, workers=settings.workers)
        result = await loader.load(plan, interrupt)
    ended = target.ended()
    accounting = Accounting()
    if result.accepted or result.unknown:
        progress.phase("accounting")

        def patience() -> float:
            # Asked anew all the time: the signal may come while this is under way.
            hurries = interrupt.stopping.is_set()
            return _PATIENCE_WHEN_INTERRUPTED if hurries else settings.drain

        books = await target.books(result, patience, progress.say)
        accounting = account(
            result.accepted, result.unknown, books, lost_workers=len(result.workers_lost)
        )
    result = replace(result, interrupted=result.interrupted or interrupt.stopping.is_set())
    judged = judge(conditions, result)
    return Outcome(
        recipe=recipe,
        facts=facts,
        result=result,
        accounting=accounting,
        judged=judged,
        problems=[
            *(f"{service} ended during the run" for service in ended),
            *problems_of(result, accounting, judged),
        ],
        notes=[*facts.notes, *notes_of(result)],
    )


def problems_of(result: Result, accounting: Accounting, judged: Sequence[Judged]) -> list[str]:
    """Why a run failed."""
    problems = [
        f"threshold: {one.condition.text} does not hold" for one in judged if not one.holds
    ]
    problems += [f"accounting: {finding}" for finding in accounting.findings]
    whole = Span(result.recorder)
    if not whole.count(ACCEPTED):
        problems.append("nothing was accepted")
    for tenant in result.tenants:
        refused = Span(result.recorder, tenants=[tenant]).counts_of(ERROR)
        if times := sum(n for what, n in refused.items() if what.startswith(("401", "no token"))):
            problems.append(f"{tenant}: {times} messages had no token that was taken")
    for lost in result.workers_lost:
        after = lost["at"] - result.started_at
        problems.append(f"incomplete: {lost['worker']} was lost {after:.0f} s after the start")
    if result.failure:
        problems.append(f"incomplete: {result.failure}")
    problems += [f"generator: {one['count']} × {one['message']}" for one in result.exceptions]
    if result.interrupted:
        problems.append("incomplete: interrupted")
    return problems


def notes_of(result: Result) -> list[str]:
    """What a reader of the figures should know of how they came about."""
    notes = []
    busiest = result.busiest()
    if result.is_generator_busy():
        notes.append(
            f"the load generator was short of CPU (up to {busiest:.0f} % of a core): its own delay"
            " is in these figures; more WORKERS, or less beside it"
        )
    span = result.span()
    if result.achieved_share(span) < 0.95 and not result.interrupted:  # noqa: PLR2004 - a twentieth
        notes.append(
            f"{result.achieved_share(span):.1%} of the messages that were due were accepted;"
            " durations count from when they were due"
        )
    for what, why in result.observing_failed.items():
        notes.append(f"not always observed: {what} ({why})")
    return notes


@dataclass(frozen=True, slots=True)
class _Loader:
    """Runs a plan's generator.

    Attributes:
        private: A folder of nobody else's, for what generators are told and leave.
        log: Where they say what went wrong.
        workers: To start on this machine; others come by themselves.
    """

    target: Target
    private: Path
    log: Path
    progress: Progress
    workers: int

    async def load(self, plan: Plan, interrupt: Interrupt) -> Result:
        """Run it to its end.

        Raises:
            GeneratorError: It broke.
        """
        path = self.private / "plan.json"
        plan.write(path)
        role = "master" if plan.workers else "local"
        async with AsyncExitStack() as stack:
            log = stack.enter_context(self.log.open("ab"))
            arguments = [role, str(path), str(self.private)]
            child = await stack.enter_async_context(_child(arguments, log))
            stopper = asyncio.create_task(_stop_when_interrupted(child, interrupt))
            stack.push_async_callback(_cancel, stopper)
            assert child.stdout is not None  # noqa: S101 - a pipe
            async for line in child.stdout:
                told = json.loads(line)
                if "waiting" in told:
                    self.progress.update(told)
                    for _ in range(self.workers):
                        worker = ["worker", str(path), LOOPBACK, str(plan.bind[1])]
                        await stack.enter_async_context(_child(worker, log))
                elif "scale" in told:
                    await self._scale(told["scale"], child)
                else:
                    self.progress.update(told)
            status = await child.wait()
        if status or not (self.private / RESULT).exists():
            how = f"was killed by signal {-status}" if status < 0 else f"ended with {status}"
            raise GeneratorError(
                f"the load generator {how}, so what it sent cannot be accounted for; "
                f"{self.log} has its last words"
            )
        return read_result(self.private / RESULT, self.private / IDS)

    async def _scale(self, consumers: int, child: asyncio.subprocess.Process) -> None:
        self.progress.say(f"making it {consumers} consumers")
        answer: dict[str, Any] = {"scaled": consumers}
        try:
            answer["metrics_urls"] = list(await self.target.scale(consumers))
        except ScalingError as error:
            answer["error"] = str(error)
        assert child.stdin is not None  # noqa: S101 - a pipe
        child.stdin.write(json.dumps(answer).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await child.stdin.drain()


@asynccontextmanager
async def _child(
    arguments: Sequence[str], log: IO[bytes]
) -> AsyncGenerator[asyncio.subprocess.Process, None]:
    """A generator process, ended with the block."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _GENERATOR,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=log,
        # A terminal's Ctrl-C is for the run to handle.
        start_new_session=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            try:
                async with asyncio.timeout(5):
                    await child.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()


async def _stop_when_interrupted(child: asyncio.subprocess.Process, interrupt: Interrupt) -> None:
    await interrupt.stopping.wait()
    with contextlib.suppress(ProcessLookupError):
        child.send_signal(signal.SIGTERM)
    await asyncio.sleep(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        child.kill()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
