"""Images of one static program each: what a cluster needs before it has others."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from tenantry_delivery.content import artefact, canonical, digest_of
from tenantry_delivery.registry import Registry

_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_VERSION: Final = "1"
#: It holds a pod's namespaces, and does nothing.
_PAUSE: Final = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def push_pause(registry: Registry) -> str:
    """The image that holds a pod's namespaces; how it is named."""
    with tempfile.TemporaryDirectory(prefix="pause-") as scratch:
        program = Path(scratch) / "pause"
        words = ["gcc", "-static", "-Os", "-x", "c", "-", "-o", str(program)]
        subprocess.run(words, input=_PAUSE.encode(), check=True, capture_output=True)
        program.chmod(0o755)
        return push(registry, program)


def push(registry: Registry, program: Path) -> str:
    """An image of a program, in a registry; how it is named."""
    words = ["tar", "--owner=0", "--group=0", "-C", str(program.parent), "-cf", "-", program.name]
    layer = subprocess.run(words, check=True, capture_output=True).stdout
    config = {
        "architecture": {"aarch64": "arm64"}.get(platform.machine(), "amd64"),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(layer)]},
    }
    content = artefact(layer, _LAYER, canonical(config), _CONFIG, {})
    registry.push(program.name, content)
    registry.name(program.name, content, _VERSION)
    return f"{registry.host}/{program.name}:{_VERSION}"
