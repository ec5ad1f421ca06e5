"""What is pushed, as registries have it: a manifest, what it names, and a digest of all that."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from tenantry_delivery.artefacts import Named
from tenantry_delivery.errors import FailedError

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Content:
    """A manifest and what it names.

    Attributes:
        media_type: Of the manifest.
        manifest: Its bytes.
        blobs: By digest: the bytes, or the file that has them.
        parts: Of an index: the manifests that it names.
    """

    media_type: str
    manifest: bytes
    blobs: Mapping[str, bytes | Path] = field(default_factory=dict)
    parts: tuple[Content, ...] = ()

    @property
    def digest(self) -> str:
        """What it is named by."""
        return digest_of(self.manifest)


def digest_of(data: bytes | Path) -> str:
    """As registries name content: `sha256:` and 64 hexadecimal digits."""
    if isinstance(data, bytes):
        return f"sha256:{hashlib.sha256(data).hexdigest()}"
    found = hashlib.sha256()
    with data.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    return f"sha256:{found.hexdigest()}"


def size_of(data: bytes | Path) -> int:
    """In bytes."""
    return len(data) if isinstance(data, bytes) else data.stat().st_size


def canonical(said: Any) -> bytes:
    """JSON of which there is one form only."""
    return json.dumps(said, sort_keys=True, separators=(",", ":")).encode()


def about(named: Named, title: str, source_url: str) -> dict[str, str]:
    """The OCI's, which are the same wherever the same commit is built."""
    return {
        "org.opencontainers.image.title": named.repository.rpartition("/")[2],
        "org.opencontainers.image.description": title,
        "org.opencontainers.image.version": named.version,
        "org.opencontainers.image.revision": named.change.commit,
        "org.opencontainers.image.created": when(named.change.time),
        "org.opencontainers.image.source": source_url,
        "org.opencontainers.image.licenses": "Apache-2.0",
    }


def when(time: int) -> str:
    """As RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def artefact(
    layer: bytes, layer_type: str, config: bytes, config_type: str, said: Mapping[str, str]
) -> Content:
    """A manifest of one layer."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": _described(config, config_type),
        "layers": [_described(layer, layer_type)],
        "annotations": dict(said),
    }
    blobs = {digest_of(each): each for each in (config, layer)}
    return Content(MANIFEST, canonical(manifest), blobs)


def index(parts: Mapping[str, Content], said: Mapping[str, str]) -> Content:
    """Images for several platforms, `linux/arm64` say, under one digest."""
    manifests = []
    for platform, part in parts.items():
        system, _, architecture = platform.partition("/")
        manifests.append(
            {
                "mediaType": part.media_type,
                "digest": part.digest,
                "size": len(part.manifest),
                "platform": {"os": system, "architecture": architecture},
            }
        )
    told = {
        "schemaVersion": 2,
        "mediaType": INDEX,
        "manifests": manifests,
        "annotations": dict(said),
    }
    return Content(INDEX, canonical(told), {}, tuple(parts.values()))


def from_layout(folder: Path) -> Content:
    """The one image of an OCI layout.

    Raises:
        FailedError: It has another number of them.
    """
    blobs = folder / "blobs" / "sha256"
    listed = json.loads((folder / "index.json").read_bytes())["manifests"]
    if len(listed) != 1:
        raise FailedError(f"{folder}: {len(listed)} images in the place of one")
    manifest = (blobs / listed[0]["digest"].removeprefix("sha256:")).read_bytes()
    said = json.loads(manifest)
    named = [said["config"], *said["layers"]]
    return Content(
        MANIFEST,
        manifest,
        {each["digest"]: blobs / each["digest"].removeprefix("sha256:") for each in named},
    )


def packed(files: Mapping[str, bytes], time: int) -> bytes:
    """A compressed archive that is the same for the same files: sorted, of one time, of nobody."""
    buffer = io.BytesIO()
    with (
        # No name in its head; the level by number, since a default may change.
        gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=time) as out,
        tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(files):
            member = tarfile.TarInfo(name)
            member.size, member.mtime, member.mode = len(files[name]), time, 0o644
            tar.addfile(member, io.BytesIO(files[name]))
    return buffer.getvalue()


def _described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
