"""The Python environments of the checkout: made when missing, updated when their files changed.

`.venv` holds our code (editable) and its dependencies, `.venv-engine` the embedded AWS engine,
`.venv-lint` what lints the cloud: their pins exclude each other. All come from hash-locked
files in `requirements/`.

Each environment carries a stamp of what it was made from, removed before anything is changed
and written at the end. One that matches costs a few milliseconds. Where requirements changed,
the environment is updated; without a stamp, after an interruption say, it is made anew.
Messages go to stderr, so that `make -s token` prints a token and nothing else.

Exit status: 0 ready; 2 with one line that says why not; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

ROOT: Final = Path(__file__).resolve().parent.parent
STATE: Final = ROOT / ".tenantry"

#: The newest Python that the locked packages were tried with.
NEWEST_TRIED: Final = (3, 13)

#: How long one run waits for another that installs into the same checkout.
LOCK_SECONDS: Final = 900

#: What pip's temporary folder must hold while the largest wheels are unpacked.
TEMPORARY_MEGABYTES: Final = 100

#: Lines of pip's log that are shown when it fails.
TAIL_LINES: Final = 12

# What pip's log says when the index cannot be reached, as opposed to a package that is wrong.
_NETWORK: Final = re.compile(
    r"Temporary failure in name resolution|Name or service not known|nodename nor servname"
    r"|NewConnectionError|ConnectTimeout|Read timed out|Connection (refused|reset|aborted)"
    r"|Network is unreachable|ProxyError|SSLError|CERTIFICATE_VERIFY_FAILED",
)
_NO_SPACE: Final = "No space left on device"
_HASHES: Final = "THESE PACKAGES DO NOT MATCH THE HASHES"


class CannotInstallError(Exception):
    """The environment cannot be made. The text is one line for a person, ready to print."""


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment of the checkout.

    Attributes:
        name: As given on the command line.
        folder: Where it is made.
        requirements: The hash-locked file that it is made from.
        projects: Distributions of the workspace that are installed editable.
        megabytes: Free space needed to make it, with room for pip's copies.
        seconds: About how long that takes.
    """

    name: str
    folder: Path
    requirements: Path
    projects: tuple[Path, ...]
    megabytes: int
    seconds: int

    @property
    def python(self) -> Path:
        """The environment's own interpreter."""
        return self.folder / "bin" / "python"

    @property
    def stamp(self) -> Path:
        """The file that says what the environment was made from."""
        return self.folder / "tenantry-stamp"

    @property
    def log(self) -> Path:
        """What pip said the last time."""
        return STATE / f"install-{self.name}.log"

    def describe(self) -> list[str]:
        """What a stamp must hold: a line for the interpreter, a line for what is installed.

        Raises:
            CannotInstallError: A file that the environment is made from is not there.
        """
        # An environment knows its own path, and breaks when the checkout is moved.
        interpreter = hashlib.sha256(f"{sys.version}\0{base_python()}\0{self.folder}".encode())
        contents = hashlib.sha256()
        for path in (
            self.requirements,
            *(project / "pyproject.toml" for project in self.projects),
        ):
            try:
                contents.update(path.read_bytes() + b"\0")
            except OSError as exc:
                raise CannotInstallError(f"cannot read {shown(path)}: {exc.strerror}") from exc
        return [interpreter.hexdigest(), contents.hexdigest()]

    def stamped(self) -> list[str]:
        """What it was made from, to the end; nothing when it was not, or is broken."""
        try:
            stamp = self.stamp.read_text().split()
        except OSError:
            return []
        # The interpreter is a link: an upgrade of the system's Python may have cut it.
        return stamp if self.python.exists() else []

    def ready(self) -> bool:
        """Whether what stands there was made from what the files say now."""
        return self.stamped() == self.describe()


ENVIRONMENTS: Final = {
    environment.name: environment
    for environment in (
        Environment(
            name="dev",
            folder=ROOT / ".venv",
            requirements=ROOT / "requirements" / "dev.txt",
            projects=(
                ROOT / "libs" / "tenantry",
                ROOT / "services" / "producer",
                ROOT / "services" / "consumer",
                ROOT / "platform" / "local",
                ROOT / "platform" / "tenantctl",
                ROOT / "platform" / "cloud",
                ROOT / "platform" / "delivery",
                ROOT / "loadtests",
                ROOT / "benchmarks",
            ),
            megabytes=1_200,
            seconds=60,
        ),
        Environment(
            name="engine",
            folder=ROOT / ".venv-engine",
            requirements=ROOT / "requirements" / "engine.txt",
            projects=(),
            megabytes=200,
            seconds=10,
        ),
        Environment(
            name="lint",
            folder=ROOT / ".venv-lint",
            requirements=ROOT / "requirements" / "lint.txt",
            projects=(),
            megabytes=700,
            seconds=40,
        ),
    )
}


def shown(path: Path) -> str:
    """The path as a reader of the checkout would name it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def base_python() -> str:
    """The interpreter behind the one that runs this, which may be that of an environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def say(text: str) -> None:
    """Print one line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """A counter on one line of a terminal; elsewhere a line for every twenty packages."""

    STEP: Final = 20

    def __init__(self, folder: str, total: int) -> None:
        self._folder, self._total = folder, total
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._last = ("", 0)

    def show(self, done: str, count: int) -> None:
        """Show that `count` packages are `done` ("fetched", "installed")."""
        count = min(count, self._total)
        last_done, last_count = self._last
        if self._live and (done, count) != self._last:
            self._last = (done, count)
            sys.stderr.write(f"\r\033[K{self._folder}: {done} {count} of {self._total}")
            sys.stderr.flush()
        elif not self._live and count // self.STEP > (last_count if done == last_done else 0):
            self._last = (done, count // self.STEP)
            say(f"{self._folder}: {done} {count} of {self._total}")

    def clear(self) -> None:
        """Leave the terminal's line empty for what follows."""
        if self._live and self._last != ("", 0):
            sys.stderr.write("\r\033[K")
            sys.stderr.flush()


def main(names: Sequence[str]) -> int:
    """Make the named environments ready; all of them when none is named."""
    try:
        wanted = [ENVIRONMENTS[name] for name in names or ENVIRONMENTS]
    except KeyError as exc:
        say(f"no environment is called {exc}: there are {', '.join(ENVIRONMENTS)}")
        return 2
    try:
        if all(environment.ready() for environment in wanted):
            return 0
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with locked() as lock:
            for environment in wanted:
                if not environment.ready():  # another run may have made it meanwhile
                    make(environment, lock)
    except CannotInstallError as exc:
        say(str(exc))
        return 2
    except KeyboardInterrupt:
        say("interrupted: the next run starts this environment anew")
        return 130
    except OSError as exc:
        say(f"cannot install: {exc.strerror or exc}{f': {exc.filename}' if exc.filename else ''}")
        return 2
    return 0


@contextlib.contextmanager
def locked() -> Generator[int]:
    """Held while environments are made, by one run of the checkout at a time.

    pip inherits the lock: if this process is killed, pip goes on and the next run waits for it.

    Yields:
        The descriptor that holds the lock.

    Raises:
        CannotInstallError: The checkout cannot be written to, or another run has it for too long.
    """
    try:
        STATE.mkdir(exist_ok=True)
        file = (STATE / "install.lock").open("a")
    except OSError as exc:
        raise CannotInstallError(f"cannot write to {ROOT}: {exc.strerror}") from exc
    with file:
        deadline, told = time.monotonic() + LOCK_SECONDS, False
        while not taken(file):
            if not told:
                say("another run is installing into this checkout: waiting for it")
                told = True
            if time.monotonic() > deadline:
                text = f"another run has held {shown(STATE / 'install.lock')} for too long: end it"
                raise CannotInstallError(text)
            time.sleep(0.2)
        yield file.fileno()


def taken(file: IO[str]) -> bool:
    """Take the lock if nobody has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make(environment: Environment, lock: int) -> None:
    """Make one environment, or bring it up to date; it gets its stamp when all is installed.

    One that was left half-way has no stamp, and is made from nothing.

    Raises:
        CannotInstallError: Something is missing, or pip failed.
    """
    started = time.monotonic()
    folder = shown(environment.folder)
    description = environment.describe()
    total = len(pins(environment.requirements))
    update = environment.stamped()[:1] == description[:1]
    require_modules()
    if update:
        environment.stamp.unlink()
        say(f"{folder}: what it holds has changed, updating, {environment.seconds} s at most")
    else:
        again = clear(environment)
        require_space(environment)
        say(f"{folder}: {again}installing {total} packages, about {environment.seconds} s")
        if sys.version_info[:2] > NEWEST_TRIED:
            say(f"{folder}: Python {sys.version.split()[0]} is newer than any this was tried with")

    progress = Progress(folder, total)
    with environment.log.open("w", encoding="utf-8") as log:

        def run(command: Sequence[str]) -> None:
            follow(environment, command, log, lock, progress)

        try:
            if not update:
                run([base_python(), "-I", "-m", "venv", str(environment.folder)])
            run(pip(environment, "install", locked_packages(environment)))
            if environment.projects:
                run(pip(environment, "install", editable_projects(environment)))
            if surplus := unlocked(environment):
                run(pip(environment, "uninstall", ["--yes", *surplus]))
        finally:
            progress.clear()
    environment.stamp.write_text("\n".join(description) + "\n")
    say(f"{folder}: ready after {time.monotonic() - started:.0f} s")


def clear(environment: Environment) -> str:
    """Remove what stands where an environment is to be made.

    Returns:
        What to say about it: nothing, when nothing stood there.

    Raises:
        CannotInstallError: Something stands there that no run of this made.
    """
    folder = environment.folder
    if folder.is_symlink() or folder.is_file():
        raise CannotInstallError(f"{shown(folder)} is not a folder: move it away")
    if not folder.exists():
        return ""
    environment.stamp.unlink(missing_ok=True)  # first: the removal may be interrupted
    shutil.rmtree(folder)
    return "making it anew, "


def require_modules() -> None:
    """Debian's Python comes without what makes environments.

    Raises:
        CannotInstallError: `venv` or `ensurepip` is missing.
    """
    for module in ("venv", "ensurepip"):
        if find_spec(module) is None:
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise CannotInstallError(
                f"{base_python()} has no module `{module}`: install it"
                f" (Debian, Ubuntu: apt install python{version}-venv)",
            )


def require_space(environment: Environment) -> None:
    """See that there is room: pip's own message for a full disk comes late and is long.

    Raises:
        CannotInstallError: There is too little room.
    """
    try:
        temporary = Path(tempfile.gettempdir())
    except FileNotFoundError as exc:
        raise CannotInstallError("no temporary folder can be written to: set TMPDIR") from exc
    needs = ((ROOT, environment.megabytes), (temporary, TEMPORARY_MEGABYTES))
    for folder, megabytes in needs:
        free = shutil.disk_usage(folder).free // 1_000_000
        if free < megabytes:
            text = (
                f"{shown(environment.folder)} needs {megabytes} MB in {folder}, which has {free}"
            )
            raise CannotInstallError(text)


def pins(requirements: Path) -> list[str]:
    """The names of the packages in a locked file, but for those of Windows alone."""
    lines = re.findall(r"^([A-Za-z0-9][\w.-]*)==(.*)$", requirements.read_text(), re.MULTILINE)
    return [name for name, rest in lines if "== 'win32'" not in rest]


def pip(environment: Environment, verb: str, arguments: Sequence[str]) -> list[str]:
    """A call of the environment's pip. The user's configuration of pip holds, but for asking."""
    # -I: a PYTHONPATH of the user's would hide what is, or is not, installed.
    command = [str(environment.python), "-I", "-m", "pip", verb, "--no-input"]
    if verb == "install":
        # --no-user: `user = true` in a configuration makes an install into an environment fail.
        command += ["--disable-pip-version-check", "--progress-bar=off", "--no-user"]
    return [*command, *arguments]


def locked_packages(environment: Environment) -> list[str]:
    """The closure is in the file: pip need not look for more, and must not."""
    return ["--require-hashes", "--no-deps", f"--requirement={environment.requirements}"]


def editable_projects(environment: Environment) -> list[str]:
    """Our own code is built with what the locked file brought, so nothing is fetched."""
    editable = [f"--editable={project}" for project in environment.projects]
    return ["--no-deps", "--no-build-isolation", *editable]


def follow(
    environment: Environment,
    command: Sequence[str],
    log: IO[str],
    lock: int,
    progress: Progress,
) -> None:
    """Run one command to its end, showing how far it is.

    Raises:
        CannotInstallError: It failed.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        pass_fds=(lock,),
        start_new_session=True,  # so that what it starts ends with it
    )
    try:
        watch(process, environment, progress)
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    if process.returncode != 0:
        progress.clear()
        raise CannotInstallError(why(environment))


def watch(process: subprocess.Popen[bytes], environment: Environment, progress: Progress) -> None:
    """Show what pip's log and the environment's folder say until the process ends."""
    installing = warned = False
    fetched = 0
    with environment.log.open(encoding="utf-8", errors="replace") as log:
        while process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.25)
            for line in log:
                fetched += line.startswith("Collecting ")
                installing = installing or line.startswith("Installing collected packages")
                if not warned and "Retrying (" in line:
                    warned = True
                    progress.clear()
                    say(
                        f"{shown(environment.folder)}: the package index does not answer, retrying"
                    )
            if installing:
                progress.show("installed", sum(1 for _ in distributions(environment)))
            elif fetched:
                progress.show("fetched", fetched)


def distributions(environment: Environment) -> Iterator[str]:
    """The normalised names of what is installed so far, but for what comes with an environment."""
    for path in environment.folder.glob("lib/python*/site-packages/*.dist-info"):
        name = normalised(path.name.partition("-")[0])
        if name not in {"pip", "setuptools"}:
            yield name


def unlocked(environment: Environment) -> list[str]:
    """What an update left over: installed, and neither locked nor ours."""
    projects = (project / "pyproject.toml" for project in environment.projects)
    ours = [tomllib.loads(path.read_text())["project"]["name"] for path in projects]
    kept = {normalised(name) for name in (*pins(environment.requirements), *ours)}
    return sorted(set(distributions(environment)) - kept)


def normalised(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def why(environment: Environment) -> str:
    """What to tell a person about a failed install: the end of the log, then one line."""
    text = environment.log.read_text(encoding="utf-8", errors="replace")
    where = f"pip's log is {shown(environment.log)}"
    folder = shown(environment.folder)
    if _NO_SPACE in text:
        return f"{folder}: no space left while installing; {where}"
    if _HASHES in text:
        return f"{folder}: a package is not the one that was locked (its hash differs); {where}"
    if _NETWORK.search(text):
        return f"{folder}: the package index cannot be reached: check network and proxy; {where}"
    for line in text.strip().splitlines()[-TAIL_LINES:]:
        say(f"  | {line}")
    return f"{folder}: installing failed; {where}"
