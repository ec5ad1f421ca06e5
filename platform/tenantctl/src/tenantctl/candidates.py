"""What an environment that follows main is to run next: `releases/<environment>/candidate.yaml`.

Flux's image automation writes the newest versions that the registry has into this one file, and
nothing else in the fleet; `follow` brings them to the rings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tenantctl.errors import InvalidError, NotFoundError
from tenantctl.releases import Release
from tenantctl.snapshot import Snapshot

#: Where nothing was published yet.
NONE: Final = "none"
_PARTS: Final = ("chart", "module")
_KEYS: Final = frozenset(f"{part}-{of}" for part in _PARTS for of in ("version", "digest"))


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was published last; None where nothing was."""

    chart: Release | None = None
    module: Release | None = None


def path_of_candidate(environment: str) -> str:
    """Where it is."""
    return f"releases/{environment}/candidate.yaml"


def read_candidate(snapshot: Snapshot, environment: str) -> Candidate:
    """The candidate of an environment.

    Raises:
        NotFoundError: It has none: nothing is followed there.
        InvalidError: The file says something else.
    """
    path = path_of_candidate(environment)
    data = snapshot.read(path)
    if data is None:
        raise NotFoundError(
            f"the fleet has no {path}: {environment} follows nothing, and `tenantctl deploy` "
            "brings releases to it"
        )
    return parse_candidate(path, data)


def parse_candidate(path: str, data: bytes) -> Candidate:
    """What the file says.

    Raises:
        InvalidError: It is not a ConfigMap of these four texts; the text names file and rule.
    """
    try:
        said = yaml.safe_load(data)
    except yaml.YAMLError as error:
        raise InvalidError(f"{path}: it is no YAML: {' '.join(str(error).split())}") from None
    told: Any = said.get("data") if isinstance(said, Mapping) else None
    if not isinstance(told, Mapping) or told.keys() != _KEYS:
        raise InvalidError(f"{path}: its data are {', '.join(sorted(_KEYS))}, and nothing else")
    chart, module = (_release(path, part, told) for part in _PARTS)
    return Candidate(chart, module)


def _release(path: str, part: str, told: Mapping[str, Any]) -> Release | None:
    version, digest = told[f"{part}-version"], told[f"{part}-digest"]
    if NONE in {version, digest}:
        if version == digest:
            return None
        raise InvalidError(f"{path}: {part}-version and {part}-digest are both {NONE}, or neither")
    try:
        return Release.parse(f"{version}@{digest}")
    except InvalidError as error:
        raise InvalidError(f"{path}: {part}: {error}") from None
