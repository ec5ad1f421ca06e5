"""A bare clone in a cache folder, which several processes may share and any may be killed in.

Whatever writes a reference holds one lock, and so does every command that it starts, for as long
as that lives: a reference's own lock file that is found under it was left by a dead process. All
else in the clone is objects, which Git writes once, under a name that is their content.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import random
import re
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from tenantctl.errors import GitError
from tenantctl.git import DamagedError, Git
from tenantctl.snapshot import Snapshot

#: What the branch held when it was fetched last.
HEAD: Final = "refs/tenantry/head"
#: What it held before its history was rewritten, kept from Git's own tidying.
LOST: Final = "refs/tenantry/lost"

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_IRREGULAR: Final = {"120000": "symbolic link", "160000": "submodule"}
_FILE_BYTES: Final = 4 * 1024 * 1024
_LEFTOVER_SECONDS: Final = 3_600.0


def cache_folder(url: str, branch: str, root: Path | None = None) -> Path:
    """Where the clone of a fleet is: in the folder given, or in the user's cache."""
    if root is None:
        cache = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
        root = base / "tenantry" / "fleets"
    return root / hashlib.sha256(f"{url}\n{branch}".encode()).hexdigest()[:16]


class Clone:
    """The clone in a folder. `git` says whom it is of; its folder is chosen here."""

    def __init__(self, git: Git, folder: Path, *, lock_seconds: float) -> None:
        self._folder = folder
        self._lock_seconds = lock_seconds
        self._blobs: dict[str, bytes] = {}
        self.git = replace(git, folder=folder / "clone.git")

    async def snapshot(self, *, accepted: str | None = None) -> Snapshot:
        """What the branch holds now.

        Args:
            accepted: The commit whose history may be another one than this machine saw.

        Raises:
            GitError: It cannot be brought, or its history was rewritten.
        """
        async with self._locked() as git:
            for is_last in (False, True):
                try:
                    await self._prepare(git)
                    await git.fetch(HEAD)
                    commit = (await git.run("rev-parse", "--verify", HEAD)).decode().strip()
                    await self._compare(git, commit, accepted)
                    return await self._read(git, commit)
                except DamagedError:
                    if is_last:
                        raise
                    # Nothing is in it that the remote has not, but for what was lost there.
                    await asyncio.to_thread(self._put_aside)
            raise AssertionError

    async def saw(self, commit: str) -> None:
        """Remember that the branch holds a commit: one that was pushed."""
        async with self._locked() as git:
            seen = self._seen()
            if seen is None or await self.reaches(seen, commit, git):
                self._remember(commit)

    async def reaches(self, commit: str, head: str, git: Git | None = None) -> bool:
        """Whether a commit is in the history of another one."""
        git = git or self.git
        if not await git.holds("cat-file", "-e", commit):
            return False
        return await git.holds("merge-base", "--is-ancestor", commit, head)

    @contextmanager
    def work(self) -> Generator[Path]:
        """A folder for temporary files."""
        with tempfile.TemporaryDirectory(dir=self._folder / "work") as folder:
            yield Path(folder)

    async def _compare(self, git: Git, commit: str, accepted: str | None) -> None:
        seen = self._seen()
        if seen not in {None, commit} and not await self.reaches(str(seen), commit, git):
            if accepted != commit:
                raise GitError(
                    f"{git.remote.url}: the history of {git.remote.branch} was rewritten: it no "
                    f"longer holds {seen}, which this machine saw last, and ends at {commit}. "
                    "Changes may be lost. When you know which: "
                    f"`tenantctl accept-rewrite {commit}`"
                )
            if await git.holds("cat-file", "-e", str(seen)):
                await git.run("update-ref", f"{LOST}/{seen}", str(seen))
        if seen != commit:
            self._remember(commit)

    async def _read(self, git: Git, commit: str) -> Snapshot:
        names: dict[str, str] = {}
        irregular: dict[str, str] = {}
        listing = await git.run("ls-tree", "-r", "-l", "-z", "--full-tree", commit)
        for entry in listing.decode(errors="surrogateescape").split("\0")[:-1]:
            about, _, path = entry.partition("\t")
            mode, _, name, size = about.split()
            if mode in _IRREGULAR:
                irregular[path] = _IRREGULAR[mode]
            elif int(size) > _FILE_BYTES:
                irregular[path] = f"file of {size} bytes"
            else:
                names[path] = name
        known = self._blobs
        wanted = sorted({name for name in names.values() if name not in known})
        fresh = await self._contents(git, wanted)
        self._blobs = {
            name: fresh[name] if name in fresh else known[name] for name in names.values()
        }
        files = {path: self._blobs[name] for path, name in names.items()}
        return Snapshot(commit, files, irregular)

    async def _contents(self, git: Git, names: list[str]) -> dict[str, bytes]:
        if not names:
            return {}
        out = memoryview(
            await git.run("cat-file", "--batch", stdin="".join(f"{n}\n" for n in names).encode())
        )
        contents = {}
        at = 0
        for name in names:
            head = bytes(out[at : at + 120]).partition(b"\n")[0]
            said = head.decode(errors="replace").split()
            if len(said) != 3 or said[0] != name:  # noqa: PLR2004 - name, type, size
                raise DamagedError(f"the clone {self._folder} lacks {name}")
            at += len(head) + 1
            contents[name] = bytes(out[at : at + int(said[2])])
            at += int(said[2]) + 1
        return contents

    async def _prepare(self, git: Git) -> None:
        """A clone that can be fetched into, whatever died in it."""
        await asyncio.to_thread(self._sweep)
        if not git.folder.exists():
            with self.work() as folder:
                fresh = folder / "clone.git"
                await replace(git, folder=fresh).run(
                    "init", "--quiet", "--bare", "--template=", str(fresh)
                )
                fresh.rename(git.folder)
        await git.run("rev-parse", "--is-bare-repository")

    def _sweep(self) -> None:
        for pattern in ("*.lock", "refs/**/*.lock", "objects/*.lock", "objects/info/**/*.lock"):
            for path in self.git.folder.glob(pattern):
                path.unlink(missing_ok=True)
        for path in (self._folder / "work").iterdir():
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _LEFTOVER_SECONDS:
                    shutil.rmtree(path)

    def _put_aside(self) -> None:
        with self.work() as folder, contextlib.suppress(FileNotFoundError):
            self.git.folder.rename(folder / "clone.git")

    def _seen(self) -> str | None:
        try:
            text = (self._folder / "seen").read_text("ascii").strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return text if _COMMIT.fullmatch(text) else None

    def _remember(self, commit: str) -> None:
        with self.work() as folder:
            fresh = folder / "seen"
            with fresh.open("w", encoding="ascii") as file:
                file.write(f"{commit}\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._folder / "seen")

    @asynccontextmanager
    async def _locked(self) -> AsyncGenerator[Git]:
        try:
            (self._folder / "work").mkdir(mode=0o700, parents=True, exist_ok=True)
            # Kept open by each command that is started meanwhile: it ends with the last of them.
            lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise GitError(f"{self._folder} cannot be used: {error.strerror}") from None
        try:
            await self._lock(lock)
            try:
                yield replace(self.git, inherit=(lock,))
            except OSError as error:
                raise GitError(f"{self._folder} cannot be used: {error}") from None
        finally:
            os.close(lock)

    async def _lock(self, lock: int) -> None:
        give_up = time.monotonic() + self._lock_seconds
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise GitError(
                        f"{self._folder} was in use for {self._lock_seconds:g} s: another "
                        f"tenantctl, or a git that one left behind"
                    ) from None
                # There is no way to wait for a file lock but a thread that cannot be cancelled.
                await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - not a secret
            else:
                return
