"""Tools for the tests that there may be no binary of: built once, into the user's cache.

`tool.py NAME [COMMAND]...` makes the commands of tests/tools/NAME, all of them where none is
named, and prints the folder that holds them. Folders are keyed by what the lock says, so that a
changed lock is another folder. `tool.py --built NAME …` makes nothing, and prints nothing where
something is missing. `tool.py --all` makes everything.

Exit status: 0 it is there; 1 it cannot be made; 2 there is no such tool; 3 Go is missing, on a
person's machine. In CI that is 1.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Final

LOCKS: Final = Path(__file__).resolve().parent.parent / "tests" / "tools"

#: Its folder holds YAML that downloads bring, and no command.
CRDS: Final = "crds"

#: Commands whose package is not called like them.
_PACKAGES: Final = {
    "argo-events": "github.com/argoproj/argo-events/cmd",
    "etcd": "go.etcd.io/etcd/server/v3",
    "nats-server": "github.com/nats-io/nats-server/v2",
}
#: Commands whose version does not matter here: one on the PATH will do.
_FROM_PATH: Final = frozenset({"kubectl", "tofu"})
#: Build tags of a tool: promtool without the clouds, of which its tests ask nothing; Gitea with a
#: database in a file, which is C.
_TAGS: Final = {"gitea": "sqlite sqlite_unlock_notify", "promtool": "remove_all_sd"}
_WITH_C: Final = frozenset({"gitea"})
_NO_GO: Final = 3


class CannotMakeError(Exception):
    """A tool cannot be made. The text is one line for a person; `status` is the exit status."""

    def __init__(self, text: str, status: int = 1) -> None:
        super().__init__(text)
        self.status = status


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options = [word for word in arguments if word.startswith("-")]
    names = [word for word in arguments if not word.startswith("-")]
    try:
        if options == ["--all"] and not names:
            for name in sorted(path.name for path in LOCKS.iterdir()):
                say(f"{name}: {make(name)}")
        elif options == ["--built"] and names:
            found = built(*names)
            if found is not None:
                print(found)
        elif not options and names:
            print(make(*names))
        else:
            say("tool.py [--built] NAME [COMMAND]..., or tool.py --all")
            return 2
    except CannotMakeError as exc:
        say(str(exc))
        return exc.status
    except KeyboardInterrupt:
        return 130
    return 0


def built(name: str, *commands: str) -> Path | None:
    """The folder of a tool, if it holds these commands (all, where none is named).

    Raises:
        CannotMakeError: There is no such tool.
    """
    folder = _folder(name)
    return None if _missing(folder, _commands(name, commands)) else folder


def make(name: str, *commands: str) -> Path:
    """The folder of a tool, with these commands (all, where none is named) made where missing.

    Raises:
        CannotMakeError: There is no such tool, Go is missing, or it does not build.
    """
    folder = _folder(name)
    wanted = _commands(name, commands)
    if not _missing(folder, wanted):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        for left_over in folder.glob("making.*"):  # of a run that was killed
            shutil.rmtree(left_over)
        missing = _missing(folder, wanted)  # a run beside this one may have made them meanwhile
        for number, command in enumerate(missing, 1):
            started = time.monotonic()
            say(f"{name}: making {command}, {number} of {len(missing)}")
            with tempfile.TemporaryDirectory(prefix="making.", dir=folder) as scratch:
                path = Path(scratch) / command
                _make(name, command, path)
                path.rename(folder / command)  # one step: who looks sees all or nothing
            say(f"{name}: {command} is there after {time.monotonic() - started:.0f} s")
    return folder


def modules() -> dict[str, tuple[str, list[str]]]:
    """Sum, and patterns of files, of each module with custom resource definitions."""
    lines = (LOCKS / CRDS / "modules.txt").read_text("utf-8").splitlines()
    parted = (line.split() for line in lines if line and not line.startswith("#"))
    return {module: (checksum, patterns) for module, checksum, *patterns in parted}


def version(name: str, module: str) -> str:
    """The version of a module that a tool is built from."""
    text = (LOCKS / name / "go.mod").read_text("utf-8")
    [found] = re.findall(rf"^\s(?:require )?{re.escape(module)} (v\S+)", text, re.MULTILINE)
    return str(found)


def sources(name: str, module: str) -> Path:
    """The folder of a module that a tool is built from: what it reads beside its program.

    Raises:
        CannotMakeError: It cannot be fetched.
    """
    return Path(json.loads(_go(name, "mod", "download", "-json", module))["Dir"])


def say(text: str) -> None:
    """Print one line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def _folder(name: str) -> Path:
    lock = LOCKS / name
    if not lock.is_dir():
        there = ", ".join(sorted(path.name for path in LOCKS.iterdir()))
        raise CannotMakeError(f"there is no tool called {name}: there are {there}", 2)
    contents = hashlib.sha256()
    for path in sorted(lock.iterdir()):
        contents.update(path.read_bytes() + b"\0")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tenantry" / f"{name}-{contents.hexdigest()[:12]}"


def _commands(name: str, named: Sequence[str]) -> list[str]:
    known = [CRDS] if name == CRDS else list(_packages(name))
    if unknown := [command for command in named if command not in known]:
        text = f"{name} has no {', '.join(unknown)}: it has {', '.join(known)}"
        raise CannotMakeError(text, 2)
    return list(named) or known


def _packages(name: str) -> dict[str, str]:
    """The package of each command: the `tool` lines of its go.mod."""
    text = (LOCKS / name / "go.mod").read_text("utf-8")
    [block] = re.findall(r"^tool \(\n(.*?)^\)|^tool (\S+)$", text, re.MULTILINE | re.DOTALL)
    names = {package: command for command, package in _PACKAGES.items()}
    return {names.get(path, path.rpartition("/")[2]): path for path in "".join(block).split()}


def _missing(folder: Path, commands: Sequence[str]) -> list[str]:
    return [command for command in commands if not (folder / command).exists()]


@contextlib.contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Held by the one run that makes something in this folder."""
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{folder.name}: another run makes it, waiting")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make(name: str, command: str, path: Path) -> None:
    if command in _FROM_PATH and (found := shutil.which(command)):
        path.symlink_to(found)
        return
    if shutil.which("go") is None:
        text = f"{name} must be made once, which needs Go 1.26 or later on the PATH"
        raise CannotMakeError(text, 1 if os.environ.get("CI") else _NO_GO)
    if name == CRDS:
        path.mkdir()
        _collect(path)
        return
    _go(
        name,
        # They need not be fast: not inlining saves a third of the time to build.
        *(
            "build",
            "-mod=readonly",
            "-buildvcs=false",
            "-trimpath",
            "-gcflags=all=-dwarf=false -l",
        ),
        *(["-tags", _TAGS[name]] if name in _TAGS else []),
        *("-ldflags", " ".join(["-s", "-w", *_stamps(name)])),
        *("-o", str(path), _packages(name)[command]),
    )


def _stamps(name: str) -> list[str]:
    """What a command is told of its own version: the build cannot know it from a module."""
    if name == "gitea":
        return [f"-X main.Version={version(name, 'code.gitea.io/gitea').removeprefix('v')}"]
    if name != "kubernetes":
        return []
    number = version(name, "k8s.io/kubernetes")
    major, minor, _ = number.removeprefix("v").split(".", 2)
    stamps = {"gitVersion": number, "gitMajor": major, "gitMinor": minor}
    return [f"-X k8s.io/component-base/version.{key}={text}" for key, text in stamps.items()]


def _collect(folder: Path) -> None:
    """Put the custom resource definitions into a folder."""
    for module, (checksum, patterns) in modules().items():
        said = json.loads(_go(CRDS, "mod", "download", "-json", module))
        if said["Sum"] != checksum:
            raise CannotMakeError(f"{module} has the sum {said['Sum']}, and {checksum} is locked")
        for pattern in patterns:
            found = list(Path(said["Dir"]).glob(pattern))
            if not found:
                raise CannotMakeError(f"{module} has no {pattern}")
            for path in found:
                (folder / path.name).write_bytes(path.read_bytes())


def _go(name: str, *arguments: str) -> str:
    """What Go says, run beside the lock; what it complains about goes to who waits."""
    ran = subprocess.run(
        ["go", *arguments],
        cwd=LOCKS / name,
        env=os.environ | {"CGO_ENABLED": "1" if name in _WITH_C else "0"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ran.returncode:
        raise CannotMakeError(
            f"{name}: go {' '.join(arguments[:2])} failed{_last_word(ran.stdout)}"
        )
    return ran.stdout


def _last_word(said: str) -> str:
    found = re.search(r'"Error": "(.*)"', said)
    return f": {found[1]}" if found else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
