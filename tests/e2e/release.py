"""What the story begins with: all parts of a release, built and signed, as a registry keeps them.

By the code that a runner of Gitea's runs. It needs the network, for wheels; so it is made before
there is none, once for what it is made from, and kept in the user's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from delivery import base
from delivery.world import ROOT, World, copy_checkout
from support.registry_process import Served
from support.terraform import find
from tenantry_cloud.providers import provider_folders
from tenantry_delivery.artefacts import CHART_INPUTS, IMAGES, MODULE
from tenantry_delivery.registry import Registry

#: What else decides what is built.
_INPUTS: Final = (
    *dict.fromkeys([*CHART_INPUTS, MODULE, *(path for one in IMAGES for path in one.inputs)]),
    "platform/delivery/src",
    "tests/delivery/base.py",
    "tests/e2e/release.py",
)
_PARTS: Final = "parts.json"
_KEY: Final = "ours"
_CHART: Final = "tenant-template"
#: The chart with a line more, and one that asks for what no tenant's release may make.
NEXT: Final = "next"
BAD: Final = "bad"
_TEMPLATES: Final = "charts/tenant-template/templates"
_NOT_OURS: Final = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "{{ .Release.Name }}"}
rules: []
"""


@dataclass(frozen=True, slots=True)
class Release:
    """A release, and where it is.

    Attributes:
        folder: What a registry keeps, in `data`.
        parts: What `make images` and `make chart` printed, by the last part of the name.
        key: The public half of what it is signed with.
    """

    folder: Path
    parts: Mapping[str, Mapping[str, Any]]
    key: Path

    def digest(self, name: str) -> str:
        """Of a part: producer, consumer, tenantctl, tf-runner, tenant-module, tenant-template.

        `NEXT` and `BAD` are charts of later commits.
        """
        return str(self.parts[name]["digest"])

    def version(self, name: str) -> str:
        """Of a part."""
        return str(self.parts[name]["version"])


def prepared() -> Release:
    """Of the checkout as it is; built, unless it was before."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenantry"
    folder = cache / f"release-{_key()}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "release.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in cache.glob("release-*"):  # of what nobody has any more: a GB each
                shutil.rmtree(old)
            sys.stderr.write("make e2e: building images, chart and module, some 4 minutes\n")
            with tempfile.TemporaryDirectory(prefix="making.", dir=cache) as scratch:
                _make(Path(scratch))
                kept = Path(scratch) / "kept"
                kept.mkdir()
                for name in ("data", _PARTS, f"{_KEY}.pub", f"{_KEY}.key"):
                    (Path(scratch) / name).rename(kept / name)
                kept.rename(folder)
    parts = json.loads((folder / _PARTS).read_text("utf-8"))
    return Release(folder, parts, folder / f"{_KEY}.pub")


def _key() -> str:
    """Of all files that something is made from."""
    words = ["git", "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "--"]
    listed = subprocess.run(
        [*words, *_INPUTS], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    found = hashlib.sha256(base.archive().name.encode())
    for name in sorted(set(listed.splitlines())):
        if (ROOT / name).is_file():
            found.update(f"{name}\0".encode() + (ROOT / name).read_bytes())
    return found.hexdigest()[:12]


def _make(folder: Path) -> None:
    terraform = find("terraform") or find("tofu")
    assert terraform is not None, "terraform or tofu: what tenants are made with"
    [provider] = list(provider_folders())[:1]
    copy_checkout(folder / "source")
    (folder / "docker").mkdir()
    (folder / "docker/config.json").write_text('{"auths": {}}', "utf-8")
    place = folder / "providers/registry.terraform.io/hashicorp/aws"
    (place / provider.parent.name).mkdir(parents=True)
    (place / provider.parent.name / provider.name).symlink_to(provider)
    served = Served(folder)
    served.start()
    try:
        with Registry(served.url) as registry:
            runner = base.push(registry, "runner-base", terraform)
            base.write(folder / "bases", base.push(registry), runner)
            world = World(served, registry, folder / "source", folder)
            parts: dict[str, dict[str, Any]] = {}
            for what in ("images", "chart"):
                made = world.make(what)
                assert 0 == made.status, made.err
                parts |= made.parts
            world.change(f"{_TEMPLATES}/services.yaml")
            parts[NEXT] = _chart(world)
            (folder / "source" / _TEMPLATES / "cluster-role.yaml").write_text(_NOT_OURS, "utf-8")
            world.git("add", "--all")
            world.change(f"{_TEMPLATES}/services.yaml")
            parts[BAD] = _chart(world)
            (folder / _PARTS).write_text(json.dumps(parts), "utf-8")
    finally:
        served.end()


def _chart(world: World) -> dict[str, Any]:
    made = world.make("chart")
    assert 0 == made.status, made.err
    return made.parts[_CHART]


if __name__ == "__main__":
    prepared()
