"""One world of a release for the whole run."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from delivery import base
from delivery.world import World, copy_checkout
from support.registry_process import Served
from tenantry_delivery.registry import Registry


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """Nothing is published in it yet."""
    folder = tmp_path_factory.mktemp("delivery")
    source = folder / "source"
    copy_checkout(source)
    place = folder / "providers/registry.terraform.io/hashicorp/aws/5.100.0/linux_amd64"
    place.mkdir(parents=True)
    # The real one has 700 MB, and what is in it is not looked at here.
    (place / "terraform-provider-aws_v5.100.0_x5").write_bytes(b"a provider")
    (folder / "docker").mkdir()
    (folder / "docker/config.json").write_text('{"auths": {}}', "utf-8")
    served = Served(folder)
    served.start()
    try:
        with Registry(served.url) as registry:
            base.write(folder / "bases", base.push(registry))
            yield World(served, registry, source, folder)
    finally:
        served.end()
