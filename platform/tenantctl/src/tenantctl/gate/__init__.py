"""The fleet's check before a merge: files, what Flux would build of them, and what that may be.

It needs no cluster, no network and no context: the folder, and kubectl, whose kustomize is Flux's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import copytree, ignore_patterns
from tempfile import TemporaryDirectory
from typing import Final

from tenantctl.check import Bounds, Finding, check
from tenantctl.errors import InvalidError
from tenantctl.gate.building import Builder, BuildError, config_maps, entry_points, misshapen
from tenantctl.gate.objects import Built, wrong_objects
from tenantctl.gate.order import wrong_order
from tenantctl.gate.reading import read_folder

#: Whose folder in `clusters` is an environment.
_TENANTS: Final = "tenants"


def check_fleet(folder: Path, kubectl: Path) -> tuple[Finding, ...]:
    """All that is wrong with a fleet, in every environment.

    Raises:
        InvalidError: It is no fleet.
    """
    environments = sorted(path.name for path in (folder / _TENANTS).glob("*") if path.is_dir())
    if not environments:
        raise InvalidError(f"{folder} is no fleet: {_TENANTS}/<environment> is not there")
    snapshot = read_folder(folder)
    found = {
        finding
        for environment in environments
        for finding in check(snapshot, environment, Bounds())
    }
    found |= {
        Finding(path, f"a {what} does not belong here")
        for path, what in snapshot.irregular.items()
    }
    with TemporaryDirectory(prefix="tenantctl-") as copy:
        # A build writes beside what it builds, as Flux does. Nobody follows a link: it stays one.
        ignored = ignore_patterns(".git")
        fleet = Path(copytree(folder, Path(copy) / "fleet", symlinks=True, ignore=ignored))
        for environment in environments:
            found |= set(_wrong_builds(Builder(fleet, kubectl), environment))
    return tuple(sorted(found))


def _wrong_builds(builder: Builder, environment: str) -> Iterator[Finding]:
    root = f"clusters/{environment}"
    try:
        objects = builder.kustomize(root)
    except BuildError as error:
        yield Finding(root, str(error))
        return
    maps, entries = config_maps(objects), entry_points(objects)
    for name, entry in list(entries.items()):
        if text := misshapen(entry):
            yield Finding(root, f"{name}: {text}")
            del entries[name]
    yield from wrong_order(root, entries)
    built = [Built(root, f"clusters of {environment}", objects)]
    for name, entry in entries.items():
        path = entry["spec"]["path"].removeprefix("./")
        try:
            built.append(Built(path, f"{name} of {environment}", builder.build(entry, maps)))
        except BuildError as error:
            yield Finding(path, f"{name} of {environment} does not build: {error}")
    yield from wrong_objects(built)
