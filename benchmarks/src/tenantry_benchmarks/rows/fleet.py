"""What one more tenant costs in a fleet of ten, a hundred, a thousand."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tenantctl.check import Bounds, check
from tenantctl.files import path_of, render
from tenantctl.fleet import Fleet, Remote, Snapshot, message
from tenantctl.model import Home, Instance
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.subjects import OURS
from tenantry_benchmarks.table import Table
from tenantry_local.model import LaptopError
from tenantry_local.paths import REPOSITORY

KEY: Final = "fleet"
TITLE: Final = "One more tenant in the fleet"

ENVIRONMENT: Final = "dev"
SIZES: Final = (10, 100, 1_000)
#: What a script does that edits files: a new clone with a work tree, as the reference's does.
CLONE: Final = "a clone and a work tree"
#: What Flux does of each commit, with one folder for each shard.
KUSTOMIZE: Final = "kustomize"
_BOUNDS: Final = Bounds(basic_a_pool=10_000)
_SECONDS: Final = 120
_PERSON: Final = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "bench"), ("EMAIL", "bench@localhost"))
}


async def measure(run: Run) -> None:
    """The row, as far as it gets."""
    table = run.table(KEY, TITLE, _HOW)
    for size in SIZES[:1] if run.is_quick else SIZES:
        with tempfile.TemporaryDirectory(prefix="tenantry-fleet-") as folder:
            one = _Fleet(Path(folder), size, table)
            await asyncio.to_thread(one.begin)
            await one.warm_up()
            subjects = {OURS: one.ours, CLONE: one.clone}
            await run.in_turn(f"{KEY}: {size} tenants", table, subjects, lambda n, act: act(n))
            await one.check()


@dataclass(slots=True)
class _Fleet:
    """A repository of so many tenants, and two ways to write one more."""

    folder: Path
    size: int
    table: Table

    @property
    def origin(self) -> Path:
        """The repository."""
        return self.folder / "origin.git"

    @property
    def fleet(self) -> Fleet:
        """As tenantctl opens it: a new process has nothing but the clone's folder."""
        return Fleet(
            Remote(str(self.origin)),
            may_change=(f"tenants/{ENVIRONMENT}",),
            cache=self.folder / "clones",
        )

    def begin(self) -> None:
        """One commit with a pool and all tenants."""
        self.origin.mkdir()
        self._git(self.origin, "init", "--quiet", "--bare", "--initial-branch=main", ".")
        pool = Instance(id="pool-1", kind="pool", home=Home("basic", "pool-1"))
        stream = [
            b"commit refs/heads/main\ncommitter bench <bench@localhost> now\ndata 5\nbegin\n"
        ]
        for instance in (pool, *(_tenant(f"tenant-{n}") for n in range(self.size))):
            data, path = render(instance), path_of(ENVIRONMENT, instance).encode()
            stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(data), data))
        self._git(
            self.origin, "fast-import", "--quiet", "--date-format=now", data=b"".join(stream)
        )

    async def warm_up(self) -> None:
        """The clone that a machine keeps."""
        await self.fleet.snapshot()

    async def ours(self, number: int) -> None:
        """A commit by tenantctl's way: fetch, plumbing, push."""
        instance = _tenant(f"ours-{self.size}-{number}")

        def edit(_: Snapshot) -> dict[str, bytes]:
            return {path_of(ENVIRONMENT, instance): render(instance)}

        before = _cpu_seconds()
        await self.fleet.change(edit, message("Onboard", verb="onboard"))
        self._spent(OURS, before)

    async def clone(self, number: int) -> None:
        """A commit by a script: clone, write a file, add, commit, push."""
        instance = _tenant(f"clone-{self.size}-{number}")
        before = _cpu_seconds()
        await asyncio.to_thread(self._by_clone, instance)
        self._spent(CLONE, before)

    async def check(self) -> None:
        """All files of a fleet that this process has not seen yet."""
        snapshot = await self.fleet.snapshot()
        before = _cpu_seconds()
        findings = check(snapshot, ENVIRONMENT, _BOUNDS)
        spent = (_cpu_seconds() - before) * 1_000
        what = f"{self.size:,} tenants, every file checked"
        self.table.figure(OURS, what, "ms CPU").add(spent)
        self.table.require(f"a fleet of {self.size:,} tenants is valid", not findings)
        await asyncio.to_thread(self._build, snapshot)

    def _build(self, snapshot: Snapshot) -> None:
        """Every folder that Flux builds on its own, by kustomize."""
        command = _kubectl()
        if command is None:
            self.table.give_up(KUSTOMIZE, "there is no kubectl: `make tools` builds one")
            return
        work = self.folder / "built"
        shards: dict[Path, list[str]] = {}
        for path, data in snapshot.files.items():
            file = work / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            shards.setdefault(file.parent, []).append(file.name)
        built = 0
        before = _cpu_seconds()
        for folder, names in shards.items():
            # As Flux writes one into a folder that has none.
            text = "resources:\n" + "".join(f"- {name}\n" for name in sorted(names))
            (folder / "kustomization.yaml").write_text(text)
            built += _run((command, "kustomize", str(folder)), folder).count(b"kind: HelmRelease")
        spent = (_cpu_seconds() - before) * 1_000
        what = f"{self.size:,} tenants, all {len(shards)} shards built"
        self.table.figure(KUSTOMIZE, what, "ms CPU").add(spent)
        self.table.require(
            f"a fleet of {self.size:,} tenants builds, every release once",
            built == len(snapshot.files),
        )

    def _by_clone(self, instance: Instance) -> None:
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            work = Path(place) / "work"
            self._git(self.folder, "clone", "--quiet", f"file://{self.origin}", str(work))
            path = work / path_of(ENVIRONMENT, instance)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(render(instance))
            self._git(work, "add", ".")
            self._git(work, "commit", "--quiet", "--message", "Onboard")
            self._git(work, "push", "--quiet")

    def _spent(self, subject: str, before: float) -> None:
        what = f"{self.size:,} tenants, one more committed"
        spent = (_cpu_seconds() - before) * 1_000
        self.table.figure(subject, what, "ms CPU").add(spent)

    def _git(self, folder: Path, *arguments: str, data: bytes = b"") -> None:
        _run(("git", *arguments), folder, data)


def _run(command: tuple[str, ...], folder: Path, data: bytes = b"") -> bytes:
    """What a command says; nothing of the user's Git configuration is read.

    Raises:
        LaptopError: It fails.
    """
    done = subprocess.run(
        command,
        cwd=folder,
        input=data,
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            **_PERSON,
        },
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise LaptopError(f"{Path(command[0]).name} {command[1]} failed: {said[:200]}")
    return done.stdout


def _kubectl() -> str | None:
    """The user's, or the one that `make tools` has built."""
    if found := shutil.which("kubectl"):
        return found
    asked = subprocess.run(
        (sys.executable, REPOSITORY / "scripts" / "tool.py", "--built", "kubernetes", "kubectl"),
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{asked.stdout.strip()}/kubectl" if asked.stdout.strip() else None


def _tenant(name: str) -> Instance:
    return Instance(id=name, home=Home("basic", "pool-1"))


def _cpu_seconds() -> float:
    """User and system time of this process and of those that it waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


_HOW: Final = (
    "User and system time of everything that takes part but a Git server: the repository is a "
    "folder. Ours keeps a bare clone between two commands and has no work tree; beside it a "
    "script that clones, writes a file, adds, commits and pushes. Neither judges anything in "
    "that: the check reads every file, as tenantctl does once in a process, before its first "
    "change. kustomize is kubectl's own, started once for each shard, as Flux builds each apart."
)
