"""Long work in steps, each of which asks what is there: interrupted anywhere, it is run again.

| status | meaning |
| --- | --- |
| 3 | refused: something has to be done first, and the text says what |
| 4 | a command failed; the same run again goes on from there |
| 5 | destroyed, and something was left behind |
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol

from tenantry_cloud.errors import CloudError

_LAST_LINES: Final = 15
#: The status of a program that is not there, as a shell has it.
NOT_INSTALLED: Final = 127
#: The status of one that was given a time and did not end in it, as `timeout` has it.
TIMED_OUT: Final = 124


class RefusedError(CloudError):
    """Nothing was done: something has to be done first."""

    exit_code = 3


class CommandError(CloudError):
    """A command failed."""

    exit_code = 4


class LeftoversError(CloudError):
    """Something is still there that should not be."""

    exit_code = 5


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a command."""

    status: int
    out: str = ""
    err: str = ""


class Commands(Protocol):
    """Runs programs. What is secret goes to their standard input, never among their words."""

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        is_shown: bool = False,
    ) -> Done:
        """Run to its end. Whatever its status is, it is returned.

        `is_shown`: the person sees what it says, and it is not in what is returned.
        """
        ...


class World(Protocol):
    """Where steps happen: programs, a clock, and a person who reads."""

    @property
    def commands(self) -> Commands:
        """Programs."""
        ...

    def say(self, line: str) -> None:
        """Tell the person."""
        ...

    def ask(self, question: str) -> str:
        """Ask the person; empty where there is nobody."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def now(self) -> float:
        """Seconds of a clock that never goes back."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the work.

    Attributes:
        name: What people call it.
        is_done: Asks what is there. True: nothing is to do.
        do: Does it; done twice, it does no harm.
    """

    name: str
    is_done: Callable[[], bool]
    do: Callable[[], None]


def work(world: World, steps: Sequence[Step]) -> None:
    """Do the steps in their order, but for those that are done."""
    for number, step in enumerate(steps, 1):
        head = f"[{number}/{len(steps)}] {step.name}"
        if step.is_done():
            world.say(f"{head}: done already")
            continue
        world.say(f"{head} …")
        begun = world.now()
        step.do()
        world.say(f"{head}: done in {world.now() - begun:.0f} s")


def output(
    commands: Commands,
    *words: str,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    advice: str = "",
) -> str:
    """What a command says on standard output.

    Raises:
        CommandError: It failed; with its last lines and, if given, with advice.
    """
    done = commands.run(words, stdin=stdin, env=env)
    if done.status:
        raise failed(words, done, advice)
    return done.out


def failed(words: Sequence[str], done: Done, advice: str = "") -> CommandError:
    """The error of a command: what it was, what it said last, and what to do."""
    said = (done.err or done.out).strip().splitlines()[-_LAST_LINES:]
    lines = [f"{' '.join(words[:3])}: status {done.status}", *(f"  {line}" for line in said)]
    if advice:
        lines.append(advice)
    return CommandError("\n".join(lines))


def wait(world: World, seconds: float, every: float, is_there: Callable[[], str]) -> None:
    """Wait until nothing is missing.

    Args:
        world: Whose clock it is.
        seconds: For how long, at most.
        every: How often it is asked.
        is_there: Says what is missing; nothing where all is there.

    Raises:
        CommandError: It took longer.
    """
    end = world.now() + seconds
    before = None
    while missing := is_there():
        if world.now() >= end:
            raise CommandError(
                f"not there after {seconds:.0f} s: {missing}. Once it is seen to, run it again."
            )
        if missing != before:
            world.say(f"  waiting for {missing}")
            before = missing
        world.sleep(every)


class TerminatedError(KeyboardInterrupt):
    """Somebody ended this program, by SIGTERM."""


class Shell:
    """Programs of this machine, run in the checkout."""

    #: What runs now, and has to be told; and whether it was, or was about to be started.
    _running: ClassVar[subprocess.Popen[str] | None] = None
    _is_busy: ClassVar[bool] = False
    _is_terminated: ClassVar[bool] = False

    def __init__(self, folder: Path, seconds: float | None = None) -> None:
        """Where, and for how long a program may run before it is ended, if there is a bound."""
        self._folder = folder
        self._seconds = seconds

    @classmethod
    def terminate(cls, *_: object) -> None:
        """A handler of SIGTERM, which reaches us alone: what runs gets it once, and is waited for.

        Raises:
            TerminatedError: Nothing runs. Else it is raised when that has ended.
        """
        if not cls._is_busy:
            raise TerminatedError
        if cls._running and not cls._is_terminated:
            cls._running.terminate()
        cls._is_terminated = True

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        is_shown: bool = False,
    ) -> Done:
        where = None if is_shown else subprocess.PIPE
        # What is installed beside this program, tenantctl for one, is found first.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        Shell._is_busy = True
        try:
            process = subprocess.Popen(
                list(words),
                cwd=self._folder,
                env={**os.environ, "PATH": path, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=where,
                stderr=where,
                # Whatever the locale is: all of these programs say UTF-8.
                encoding="utf-8",
                errors="replace",
            )
            Shell._running = process
            if Shell._is_terminated:
                process.terminate()
            done, was_interrupted = self._wait(process, stdin)
        except FileNotFoundError:
            return Done(NOT_INSTALLED, "", f"{words[0]} is not installed")
        finally:
            was_terminated, Shell._is_terminated = Shell._is_terminated, False
            Shell._running, Shell._is_busy = None, False
        if was_terminated:
            raise TerminatedError
        if was_interrupted:
            raise KeyboardInterrupt
        return done

    def _wait(self, process: subprocess.Popen[str], stdin: str) -> tuple[Done, bool]:
        """Its end, also after Ctrl-C, which it gets, too: Terraform then saves what it made."""
        was_interrupted = is_late = False
        told: str | None = stdin
        while True:
            try:
                out, err = process.communicate(told, timeout=None if is_late else self._seconds)
            except KeyboardInterrupt:
                was_interrupted, told = True, None
            except subprocess.TimeoutExpired:
                process.terminate()
                is_late, told = True, None
            else:
                status = TIMED_OUT if is_late else process.returncode
                return Done(status, out or "", err or ""), was_interrupted


class Terminal:
    """This machine, and whoever sits at it."""

    def __init__(self, folder: Path, *, asks: bool) -> None:
        """Where, and whether somebody answers."""
        self.commands: Commands = Shell(folder)
        self._asks = asks

    def say(self, line: str) -> None:
        print(line, flush=True)

    def ask(self, question: str) -> str:
        try:
            return input(f"{question} ") if self._asks else ""
        except EOFError:
            return ""

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def now(self) -> float:
        return time.monotonic()
