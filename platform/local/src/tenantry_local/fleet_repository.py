"""The laptop's GitOps repository: bare, in its run folder, read at main."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import structlog

from tenantctl.errors import InvalidError
from tenantctl.files import parse, path_of, render, tenants_folder
from tenantctl.model import Instance
from tenantry_local.model import ENVIRONMENT, LaptopError

log = structlog.get_logger()

#: Of one Git command, in seconds: all of them are local.
_GIT_SECONDS: Final = 30
_AUTHOR: Final = "The laptop <laptop@localhost>"


class FleetRepository:
    """What `tenantctl` pushes to, and the stand-in for Flux reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._commit = ""
        self._wanted: dict[str, Instance] = {}

    def begin(self, instances: Iterable[Instance]) -> None:
        """Make it, with the files of those who are here already.

        Raises:
            LaptopError: Git is not there, or fails.
        """
        self._folder.mkdir(parents=True)
        self._git("init", "--quiet", "--bare", "--initial-branch=main", ".")
        subject = b"The tenants of this laptop"
        stream = [
            b"commit refs/heads/main\ncommitter %s now\ndata %d\n%s\n"
            % (_AUTHOR.encode(), len(subject), subject)
        ]
        for instance in instances:
            data = render(instance)
            path = path_of(ENVIRONMENT, instance).encode()
            stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(data), data))
        self._git("fast-import", "--quiet", "--date-format=now", data=b"".join(stream))

    def read(self, known: Mapping[str, Instance]) -> Mapping[str, Instance]:
        """Every instance of main; of a file that is none what is `known` of its instance.

        Raises:
            LaptopError: The repository cannot be read.
        """
        commit = self._git("rev-parse", "refs/heads/main").decode().strip()
        if commit == self._commit:
            return self._wanted
        wanted: dict[str, Instance] = {}
        folder = f"{tenants_folder(ENVIRONMENT)}/"
        listing = self._git("ls-tree", "-r", "-z", "--name-only", commit, folder)
        for path in filter(None, listing.decode().split("\0")):
            name = Path(path).stem
            try:
                instance = parse(path, self._git("cat-file", "blob", f"{commit}:{path}"))
            except InvalidError as error:
                log.warning("fleet.file_refused", path=path, error=str(error))
                if name in known:
                    wanted[name] = known[name]
                continue
            wanted[instance.id] = instance
        self._commit, self._wanted = commit, wanted
        return wanted

    def _git(self, *arguments: str, data: bytes = b"") -> bytes:
        try:
            done = subprocess.run(
                ("git", *arguments),  # noqa: S607 - Git is where the user has it
                cwd=self._folder,
                # Nothing of the user's configuration, and no other repository.
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "GIT_CONFIG_NOSYSTEM": "1",
                    "GIT_CONFIG_GLOBAL": os.devnull,
                    "GIT_DIR": ".",
                    "LC_ALL": "C",
                },
                input=data,
                capture_output=True,
                timeout=_GIT_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise LaptopError("git is not there: the laptop's fleet is a repository") from None
        if done.returncode:
            said = done.stderr.decode(errors="replace").strip()
            raise LaptopError(f"git {arguments[0]} failed: {said[:300]}")
        return done.stdout
