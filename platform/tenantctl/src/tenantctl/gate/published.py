"""Whether what a fleet names was published, asked of the registry: the one check with a network.

Which registry it is the environment's facts say, as they do to Flux.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tenantctl.check import Finding
from tenantctl.contexts import ChartsSection
from tenantctl.errors import InvalidError, NotFoundError
from tenantctl.facts import facts_path
from tenantctl.gate.reading import read_folder
from tenantctl.ociregistry import CHART, MODULE_FILES, Wanted, opened_releases
from tenantctl.releases import MODULE
from tenantctl.releases_check import read_releases
from tenantctl.signatures import keys_folder, release_keys
from tenantctl.snapshot import Snapshot

_ECR: Final = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")
#: Without TLS, as every client of such a registry does it.
_LOOPBACK: Final = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?")


async def check_published(folder: Path) -> tuple[Finding, ...]:
    """Every release of a fleet's environments that is not there, not whole, or not signed.

    What files alone say is `check_fleet`'s to find.

    Raises:
        UnavailableError: A registry does not answer, or denies.
    """
    snapshot = read_folder(folder)
    environments = sorted(path.name for path in (folder / "releases").glob("*") if path.is_dir())
    found = [
        finding for environment in environments for finding in await _wrong(snapshot, environment)
    ]
    return tuple(sorted(found))


async def _wrong(snapshot: Snapshot, environment: str) -> list[Finding]:
    named, _ = read_releases(snapshot, environment)
    if not named:
        return []
    try:
        keys = release_keys(snapshot, environment)
    except InvalidError as error:
        return [Finding(keys_folder(environment), str(error))]
    host = _registry(snapshot.files.get(facts_path(environment), b""))
    if not host:
        return [Finding(facts_path(environment), "registry: nobody can be asked for releases")]
    ecr = _ECR.fullmatch(host)
    charts = ChartsSection(
        registry=f"{'http' if _LOOPBACK.fullmatch(host) else 'https'}://{host}",
        is_ecr=ecr is not None,
    )
    found = []
    for repository, media_type, is_module in (
        (charts.repository, CHART, False),
        (charts.module, MODULE_FILES, True),
    ):
        asked = {release: path for path, line, release in named if (line == MODULE) is is_module}
        wanted = Wanted(repository, media_type, keys)
        region = None if ecr is None else ecr[1]
        async with opened_releases(charts.registry, wanted, region=region) as known:
            for release, path in asked.items():
                try:
                    await known.require(release)
                except (InvalidError, NotFoundError) as error:
                    found.append(Finding(path, str(error)))
    return found


def _registry(data: bytes) -> str:
    try:
        said: Any = yaml.safe_load(data)
    except yaml.YAMLError:
        return ""
    told = said.get("data") if isinstance(said, Mapping) else None
    host = told.get("registry") if isinstance(told, Mapping) else None
    return host if isinstance(host, str) and not host.endswith(".invalid") else ""
