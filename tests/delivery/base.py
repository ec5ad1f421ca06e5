"""What images of the tests stand on: a Debian with Python, made once on this machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tenantry_delivery.content import MANIFEST, Content, canonical, digest_of, index, size_of
from tenantry_delivery.registry import Registry

PYTHON: Final = "3.11"
_SUITE: Final = "bookworm"
_PACKAGES: Final = "ca-certificates,python3-minimal,python3-pip"
_LEFT_OUT: Final = (
    "usr/share/doc",
    "usr/share/locale",
    "usr/share/man",
    "var/cache",
    "var/lib/apt/lists",
    "var/log",
)
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
REPOSITORY: Final = "base"


def archive() -> Path:
    """Its files, in the user's cache."""
    key = hashlib.sha256(" ".join((_SUITE, _PACKAGES, *_LEFT_OUT)).encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenantry"
    path = cache / f"base-{key}.tar"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"base-{key}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            with tempfile.TemporaryDirectory(prefix="base-", dir=cache) as scratch:
                _make(Path(scratch), path)
    return path


def _make(scratch: Path, path: Path) -> None:
    root = scratch / "root"
    words = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, str(root)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stdout[-2_000:] + done.stderr[-2_000:]
    for name in _LEFT_OUT:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(root / name)
    made = scratch / "base.tar"
    words = ["tar", "--sort=name", "--mtime=@0", "--numeric-owner", "-C", str(root), "-cf"]
    subprocess.run([*words, str(made), "."], check=True)
    made.rename(path)


def push(registry: Registry, repository: str = REPOSITORY, *programs: Path) -> str:
    """Put it into a registry, for both platforms, with programs beside; how it is named there.

    Its files are this machine's for the other platform, too: nothing of them is run while an image
    is built for it.
    """
    with tempfile.TemporaryDirectory(prefix="programs-") as scratch:
        layers = [archive(), *_of_programs(Path(scratch) / "programs.tar", programs)]
        digests = [digest_of(layer) for layer in layers]
        parts = {
            f"linux/{machine}": _image(machine, layers, digests) for machine in ("amd64", "arm64")
        }
        content = index(parts, {})
        registry.push(repository, content)
    return f"{registry.host}/{repository}@{content.digest}"


def _of_programs(path: Path, programs: Sequence[Path]) -> list[Path]:
    """A layer that has them where they are found."""
    if not programs:
        return []
    words = ["tar", "--sort=name", "--mtime=@0", "--numeric-owner", "--owner=0", "--group=0"]
    words += ["--mode=0755", "--transform=s,^,usr/local/bin/,", "--dereference", "-cf", str(path)]
    for program in programs:
        words += ["-C", str(program.parent), program.name]
    subprocess.run(words, check=True)
    return [path]


def _image(machine: str, layers: Sequence[Path], digests: Sequence[str]) -> Content:
    config = canonical(
        {
            "architecture": machine,
            "os": "linux",
            "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]},
            "rootfs": {"type": "layers", "diff_ids": list(digests)},
            "history": [
                {"created": "1970-01-01T00:00:00Z", "created_by": "debootstrap"} for _ in layers
            ],
        }
    )
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": _CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {"mediaType": _LAYER, "digest": digest, "size": size_of(layer)}
            for layer, digest in zip(layers, digests, strict=True)
        ],
    }
    blobs: dict[str, bytes | Path] = {digest_of(config): config}
    blobs |= dict(zip(digests, layers, strict=True))
    return Content(MANIFEST, canonical(manifest), blobs)


def write(folder: Path, reference: str, runner: str = "") -> None:
    """As files of bases, in the place of those that are committed; `runner` is Terraform's."""
    folder.mkdir()
    for name in ("python", "python-with-git", "tf-runner"):
        image = runner if runner and name == "tf-runner" else reference
        said = {"image": image, "python": PYTHON}
        (folder / f"{name}.json").write_text(json.dumps(said), "utf-8")
