"""Where Terraform has its provider from, also without a network.

The user's CLI configuration, if it is there; else a mirror, which TENANTRY_PROVIDER_MIRROR names
or which is found where systems put such things; else the registry, with a cache of its own.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tenantry_cloud.errors import TerraformFailedError
from tenantry_cloud.steps import NOT_INSTALLED, Shell


def cli_configuration(tool: Path, folder: Path) -> Path:
    """The configuration by which a tool that works in a folder finds its provider.

    It is written beside the folder, unless the user has one.
    """
    named = os.environ.get("TF_CLI_CONFIG_FILE")
    if named and Path(named).is_file():
        return Path(named)
    path = folder.parent / f"{folder.name}.tfrc"
    found = list(provider_folders())
    if not found:
        cache = (
            Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "tenantry/providers"
        )
        cache.mkdir(parents=True, exist_ok=True)
        path.write_text(f'plugin_cache_dir = "{cache}"\n', encoding="utf-8")
        return path
    mirror = folder.parent / f"{folder.name}-mirror"
    host = _registry_host(tool, folder.parent)
    for provider in found:  # …/hashicorp/aws/<version>/<system>
        link = mirror / host / "hashicorp" / Path(*provider.parts[-3:])
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(provider)
    path.write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror}"\n  }}\n}}\n',
        encoding="utf-8",
    )
    return path


def provider_folders() -> Iterator[Path]:
    """Unpacked `hashicorp/aws` for this machine, in mirrors laid out as Terraform reads them."""
    named = os.environ.get("TENANTRY_PROVIDER_MIRROR")
    places: Iterable[Path] = (
        [Path(named)]
        if named
        else (
            path
            for base in ("/opt", "/usr/share", "/usr/local/share")
            for path in Path(base).glob("*")
        )
    )
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for place in places:
        yield from sorted(place.glob(f"*/hashicorp/aws/*/{sys.platform}_{machine}"))


def _registry_host(tool: Path, scratch: Path) -> str:
    """Whose providers `hashicorp/aws` means: each tool has a registry of its own."""
    asked = scratch / f"registry-of-{tool.name}"
    asked.mkdir(exist_ok=True)
    (asked / "main.tf.json").write_text(
        '{"terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}}}', "utf-8"
    )
    done = Shell(asked).run([str(tool), "providers"], env={"TF_CLI_CONFIG_FILE": os.devnull})
    if done.status == NOT_INSTALLED:
        raise TerraformFailedError(f"{tool} is not on the PATH: 1.11 or later is needed")
    if done.status:
        raise TerraformFailedError(f"{tool} providers failed:\n{done.err[-500:]}")
    found = re.search(r"provider\[([^/\]]+)/hashicorp/aws\]", done.out)
    if found is None:
        raise TerraformFailedError(f"terraform providers said nothing of aws:\n{done.out[-500:]}")
    return found[1]
