"""A real registry, a real cosign with a key, and a copy that somebody works in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.request import urlopen

import tool
from support.registry_process import Served
from tenantry_delivery.registry import Registry

ROOT: Final = Path(__file__).resolve().parents[2]
PASSWORD: Final = "of-a-test"


@dataclass
class Made:
    """What a command said and left.

    Attributes:
        parts: What it printed, by the last part of the name.
    """

    status: int
    err: str
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def new(self) -> set[str]:
        """What was published by it."""
        return {name for name, part in self.parts.items() if part["new"]}


@dataclass
class World:
    """Everything that a release needs.

    Attributes:
        served: The registry.
        registry: Its client.
        source: A copy of this checkout, which tests commit to.
        folder: What else there is: keys, bases, a mirror of providers.
    """

    served: Served
    registry: Registry
    source: Path
    folder: Path

    def key(self, name: str = "ours") -> Path:
        """A key of cosign's, made when it is first asked for."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            words = ["cosign", "generate-key-pair", f"--output-key-prefix={self.folder / name}"]
            subprocess.run(words, env=self.env(), check=True, capture_output=True)
        return path

    def env(self, **more: str) -> dict[str, str]:
        """Of a command: nothing of this machine but its tools, and how pip finds packages."""
        cosign = tool.built("cosign")
        assert cosign is not None, "`make test-delivery` builds cosign"
        return {
            **os.environ,
            "PATH": f"{cosign}:{os.environ['PATH']}",
            "PYTHONPATH": str(self.source / "platform/delivery/src"),
            "DOCKER_CONFIG": str(self.folder / "docker"),
            "COSIGN_PASSWORD": PASSWORD,
            "BUILDAH_ISOLATION": "chroot",
            "CONTAINERS_STORAGE_CONF": str(self.store("store")),
            "BASES": str(self.folder / "bases"),
            "PROVIDERS": str(self.folder / "providers"),
            "PLATFORMS": "linux/amd64",
            "BUILDER": "https://runner.example.com",
            **more,
        }

    def store(self, name: str) -> Path:
        """Where buildah keeps what it builds, apart from the machine's own."""
        path = self.folder / f"{name}.conf"
        if not path.exists():
            places = {"graphroot": f"{name}/graph", "runroot": f"{name}/run"}
            lines = [f'{key} = "{self.folder / place}"' for key, place in places.items()]
            path.write_text("\n".join(['[storage]\ndriver = "overlay"', *lines, ""]), "utf-8")
        return path

    def make(self, what: str, *words: str, **env: str) -> Made:
        """`make images` or `make chart` of the clone, published with our key."""
        told = {"REGISTRY": self.served.url, "KEY": str(self.key()), **env}
        done = subprocess.run(
            [sys.executable, "-m", "tenantry_delivery", what, *words],
            cwd=self.source,
            env=self.env(**told),
            capture_output=True,
            text=True,
            check=False,
        )
        said = [json.loads(line) for line in done.stdout.splitlines()]
        parts = {part["name"].rpartition("/")[2]: part for part in said}
        return Made(done.returncode, done.stderr, parts)

    def change(self, path: str) -> None:
        """Commit a line more of a file."""
        file = self.source / path
        file.write_text(f"{file.read_text('utf-8')}\n# A line more.\n", "utf-8")
        who = ("-c", "user.name=dev", "-c", "user.email=dev@localhost")
        self.git(*who, "commit", "--quiet", "--all", f"--message=Change {path}")

    def git(self, *words: str) -> None:
        subprocess.run(["git", *words], cwd=self.source, check=True, capture_output=True)

    def tags(self, repository: str) -> set[str]:
        """What has a name there; signatures are none."""
        try:
            with urlopen(f"{self.served.url}/v2/{repository}/tags/list", timeout=10) as answer:
                found = json.load(answer)["tags"] or []
        except URLError:
            return set()
        return {tag for tag in found if not tag.startswith("sha256-")}


def copy_checkout(folder: Path) -> None:
    """The checkout as it is, as two commits: its own history may be anybody's, or cut off."""
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():  # what was deleted and not committed is listed, too
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name, follow_symlinks=False)
    who = ("-c", "user.name=dev", "-c", "user.email=dev@localhost")
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("commit", "--quiet", "--allow-empty", "--message=Begin"),
        ("add", "--all"),
        ("commit", "--quiet", "--message=The checkout"),
    ):
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)
