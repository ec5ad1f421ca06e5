"""Holds `requirements/*.txt` to the pyproject files that they were resolved from.

Each locked file must still satisfy what its distribution asks for, pin every package with a
hash, and agree with the others: what an image ships is what was tested. And what is installed
is what was locked, above all a botocore that aioboto3 can work with.

Exit status: 0 all agree; 1 with a line for each thing that does not.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT: Final = Path(__file__).resolve().parent.parent

#: The distributions of the workspace: installed from here, never locked.
PROJECTS: Final = {
    "tenantry": "libs/tenantry",
    "tenantry-producer": "services/producer",
    "tenantry-consumer": "services/consumer",
    "tenantry-local": "platform/local",
    "tenantctl": "platform/tenantctl",
    "tenantry-cloud": "platform/cloud",
    "tenantry-delivery": "platform/delivery",
    "tenantry-loadtests": "loadtests",
    "tenantry-benchmarks": "benchmarks",
}
#: Environments of programs whose pins exclude ours.
APART: Final = ("engine", "lint")
#: What is shipped as an image, or run elsewhere, by the name of its locked file.
IMAGES: Final = {
    "producer": "tenantry-producer",
    "consumer": "tenantry-consumer",
    "tenantctl": "tenantctl",
    "loadtests": "tenantry-loadtests",
}

#: aioboto3 15.5 does not work with this botocore and later ones.
BOTOCORE_BELOW: Final = Version("1.40.62")

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+) *(?:; *([^\\\n]*))?", re.MULTILINE)
_HASHED = re.compile(r"\\\n +--hash=sha256:[0-9a-f]{64}")


def main() -> int:
    """Print everything that does not agree."""
    found = list(problems())
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        print("`make lock` resolves anew, the next target installs that", file=sys.stderr)
    return 1 if found else 0


def problems() -> Iterator[str]:
    """Everything that does not agree, a line each."""
    texts = {
        name: (ROOT / f"requirements/{name}.txt").read_text() for name in ("dev", *APART, *IMAGES)
    }
    pins = {name: pinned(text) for name, text in texts.items()}
    for name, text in texts.items():
        yield from (f"{name}.txt: no hash for {package}" for package in unhashed(text))
    wanted = {
        "dev": project("")["dependency-groups"]["dev"],
        **{name: asked_apart(name) for name in APART},
        **{image: [distribution] for image, distribution in IMAGES.items()},
    }
    for name, requirements in wanted.items():
        for problem in unsatisfied(closure(requirements), pins[name]):
            yield f"{name}.txt: {problem}"
    for image in IMAGES:
        for package, shipped in pins[image].items():
            if pins["dev"].get(package) != shipped:
                tested = pins["dev"].get(package, "none")
                yield f"{image}.txt: ships {package} {shipped}, and {tested} is tested"
    yield from uninstalled(pins["dev"])


def asked_apart(name: str) -> list[str]:
    """What an environment apart from ours is asked to hold."""
    lines = (ROOT / f"requirements/{name}.in").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pinned(text: str) -> dict[str, Version]:
    """The packages of a locked file that this platform takes."""
    return {
        canonicalize_name(name): Version(number)
        for name, number, marker in _PIN.findall(text)
        if not marker.strip() or Marker(marker).evaluate()
    }


def unhashed(text: str) -> Iterator[str]:
    """The packages of a locked file that have no hash."""
    for pin in _PIN.finditer(text):
        if not _HASHED.match(text, pin.end()):
            yield pin[1]


def project(folder: str) -> dict[str, Any]:
    """The pyproject file of a folder of the repository."""
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())


def closure(requirements: Iterable[str]) -> Iterator[Requirement]:
    """The requirements, with those of our own distributions in place of these."""
    waiting, seen = [Requirement(text) for text in requirements], set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name not in PROJECTS:
            yield requirement
        elif name not in seen:
            seen.add(name)
            asked = project(PROJECTS[name])["project"]["dependencies"]
            waiting += [Requirement(text) for text in asked]


def unsatisfied(requirements: Iterable[Requirement], pins: Mapping[str, Version]) -> Iterator[str]:
    """What is asked for and not locked so."""
    for requirement in requirements:
        if requirement.marker and not requirement.marker.evaluate():
            continue
        pin = pins.get(canonicalize_name(requirement.name))
        if pin is None:
            yield f"{requirement} is not locked"
        elif not requirement.specifier.contains(pin, prereleases=True):
            yield f"{requirement} is asked for, {pin} is locked"


def uninstalled(pins: Mapping[str, Version]) -> Iterator[str]:
    """What the environment that runs this holds otherwise than locked."""
    for package, pin in pins.items():
        try:
            installed = Version(version(package))
        except PackageNotFoundError:
            yield f".venv: {package} {pin} is not installed"
            continue
        if installed != pin:
            yield f".venv: {package} {installed} is installed, {pin} is locked"
    botocore = pins.get("botocore")
    if botocore is None or botocore >= BOTOCORE_BELOW:
        yield f"dev.txt: botocore must be below {BOTOCORE_BELOW}, {botocore} is locked"


if __name__ == "__main__":
    sys.exit(main())
