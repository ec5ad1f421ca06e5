"""What is said of a release beside its signature: what is in it, and how it was made."""

from __future__ import annotations

import email.parser
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tenantry_delivery.artefacts import Base, Named
from tenantry_delivery.content import digest_of, when

#: Of what people can repeat by `make images` and `make chart`, and get the same digest.
BUILD_TYPE: Final = "https://tenantry.dev/build/make/v1"
_NOT_SCANNED: Final = "not scanned"


def bill_of_materials(
    named: Named, base: Base, wheels: Mapping[str, Sequence[Path]]
) -> dict[str, Any]:
    """CycloneDX 1.6: the base, and every distribution with the digest of its wheel.

    The same for the same image: no serial number, and the commit's time. It says of itself that
    nobody looked for known vulnerabilities: that changes by the day, and is the registry's.
    """
    parts: dict[str, dict[str, Any]] = {}
    for each in (path for platform in sorted(wheels) for path in wheels[platform]):
        found = _component(each)
        known = parts.setdefault(found["bom-ref"], found)
        if found["hashes"][0] not in known["hashes"]:  # another platform's wheel
            known["hashes"] = [*known["hashes"], *found["hashes"]]
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": when(named.change.time),
            "component": {"type": "container", "name": named.repository, "version": named.version},
            "properties": [{"name": "tenantry:vulnerabilities", "value": _NOT_SCANNED}],
        },
        "components": [
            {
                "type": "container",
                "bom-ref": "base",
                "name": base.reference.partition("@")[0],
                "version": base.reference.rpartition("@")[2],
                "hashes": [{"alg": "SHA-256", "content": base.reference[-64:]}],
            },
            *(parts[name] for name in sorted(parts)),
        ],
    }


def provenance(
    named: Named, source_url: str, builder: str, made_from: Mapping[str, str]
) -> dict[str, Any]:
    """SLSA 1.0: of which commit, and what else went in, by digest.

    Args:
        named: What was made.
        source_url: Where the source is.
        builder: Who made it: a runner's address, or this machine.
        made_from: Digests by name, of bases and images.
    """
    return {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"name": named.repository, "version": named.version},
            "resolvedDependencies": [
                {"uri": f"git+{source_url}", "digest": {"gitCommit": named.change.commit}},
                *(
                    {"uri": name, "digest": {"sha256": digest.removeprefix("sha256:")}}
                    for name, digest in sorted(made_from.items())
                ),
            ],
        },
        "runDetails": {"builder": {"id": builder}},
    }


def _component(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        [about] = [
            name
            for name in archive.namelist()
            if name.endswith(".dist-info/METADATA") and name.count("/") == 1
        ]
        said = email.parser.Parser().parsestr(archive.read(about).decode("utf-8", "replace"))
    name, version = said["Name"], said["Version"]
    purl = f"pkg:pypi/{name.lower().replace('_', '-').replace('.', '-')}@{version}"
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "purl": purl,
        "hashes": [
            {"alg": "SHA-256", "content": digest_of(wheel).removeprefix("sha256:")},
        ],
    }
    if expression := said.get("License-Expression"):
        found["licenses"] = [{"expression": expression}]
    return found
