"""What is installed in an image: wheels of ours, built here, and those that are locked.

An image is then built without a network. Wheels come from the package index that the user's pip
is told of, once, into the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tenantry_delivery.artefacts import Image
from tenantry_delivery.commits import Source
from tenantry_delivery.errors import DeliveryError
from tenantry_delivery.programs import run

_MACHINES: Final = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
#: The C library's of Debian 12, down to the oldest that wheels are made for.
_GLIBC: Final = range(36, 16, -1)
PLATFORMS: Final = tuple(_MACHINES)


def options(platform: str, python: str) -> list[str]:
    """How pip is told whose wheels are meant.

    Raises:
        DeliveryError: No image is built for the platform.
    """
    machine = _MACHINES.get(platform)
    if machine is None:
        raise DeliveryError(f"{platform} is no platform of ours: {', '.join(PLATFORMS)}")
    tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC] + [f"manylinux2014_{machine}"]
    said = ["--only-binary=:all:", "--no-deps", f"--python-version={python}"]
    return [*said, "--implementation=cp", *(f"--platform={tag}" for tag in tags)]


def wheels(source: Source, image: Image, platform: str, python: str, folder: Path) -> list[Path]:
    """Fill a folder with all that is installed in an image.

    Raises:
        FailedError: pip failed: a wheel is not there for the platform, or is another one.
    """
    folder.mkdir()
    for locked in _locked(source.read(image.requirements), platform, python):
        shutil.copyfile(locked, folder / locked.name)
    with tempfile.TemporaryDirectory(prefix="tenantry-") as scratch:
        source.extract(image.projects, Path(scratch))
        for project in image.projects:
            _pip(
                "wheel",
                "--no-deps",
                "--no-build-isolation",
                f"--wheel-dir={folder}",
                f"./{project}",
                cwd=Path(scratch),
            )
    return sorted(folder.iterdir())


def _locked(requirements: bytes, platform: str, python: str) -> list[Path]:
    """The wheels of a locked file, fetched once."""
    key = hashlib.sha256(b"\0".join([requirements, platform.encode(), python.encode()]))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tenantry/wheels"
    place = cache / key.hexdigest()[:16]
    if not place.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making.", dir=cache) as scratch:
            listed, made = Path(scratch) / "requirements.txt", Path(scratch) / "wheels"
            listed.write_bytes(requirements)
            words = ("--require-hashes", f"--requirement={listed}", f"--dest={made}")
            _pip("download", *options(platform, python), *words, cwd=Path(scratch))
            # One step: who looks sees all or nothing; who was second has the same.
            try:
                made.rename(place)
            except OSError:
                if not place.is_dir():
                    raise
    return sorted(place.iterdir())


def _pip(*words: str, cwd: Path) -> None:
    said = ("--quiet", "--disable-pip-version-check", "--no-input")
    # Hatchling gives what it packs the time that it is told.
    env = {"SOURCE_DATE_EPOCH": "1580601600"}
    run(sys.executable, "-m", "pip", words[0], *said, *words[1:], folder=cwd, env=env)
