"""A registry that asks who somebody is: one login serves buildah, cosign and the code here."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from typing import Final

import pytest

from delivery import base
from delivery.world import PASSWORD, ROOT, World
from support.registry_process import Served
from tenantry_delivery.registry import Registry
from tenantry_delivery.signing import FOLDER, Signer

pytestmark = pytest.mark.delivery

#: `release` with the password of the tests; cheap to check, since every call is.
_USERS: Final = "release:$2b$04$oJbgxG6t0HWp3qiUWChyo.bR01zTSY77qWaN2mWE/LmLCCt6JxIb.\n"


def log_in(world: World, name: str, password: str) -> str:
    """As `docker login` leaves it; the folder."""
    folder = world.folder / name
    folder.mkdir(exist_ok=True)
    known = base64.b64encode(f"release:{password}".encode()).decode()
    said = {"auths": {world.served.url.partition("//")[2]: {"auth": known}}}
    (folder / "config.json").write_text(json.dumps(said), "utf-8")
    return str(folder)


@pytest.fixture(scope="module")
def guarded(world: World, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """A registry of its own, with a base and nothing else in it."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "providers").symlink_to(world.folder / "providers")
    served = Served(folder, _USERS)
    with pytest.MonkeyPatch.context() as patch, Registry(served.url) as nobody:
        there = World(served, nobody, world.source, folder)
        patch.setenv("DOCKER_CONFIG", log_in(there, "docker", PASSWORD))
        served.start()
        try:
            with Registry(served.url) as registry:
                base.write(folder / "bases", base.push(registry))
                yield World(served, registry, world.source, folder)
        finally:
            served.end()


def test_one_login_is_enough(guarded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the base, the image, what is said of it, its signature and its name."""
    made = guarded.make("images", "--only=tf-runner")

    assert 0 == made.status, made.err
    part = made.parts["tf-runner"]
    assert part["digest"] == guarded.registry.resolve(part["name"], part["version"])
    for name, value in guarded.env().items():
        monkeypatch.setenv(name, value)
    signer = Signer.of(guarded.registry, str(guarded.key()), ROOT / FOLDER)
    assert signer.is_signed(part["name"], part["digest"])


@pytest.mark.parametrize("what", ["images", "chart"])
@pytest.mark.parametrize("password", ["", "not-the-one"])
def test_who_is_not_known_there_is_told_before_anything(
    guarded: World, what: str, password: str
) -> None:
    """Which login it takes, and not what was tried; the same again may succeed."""
    folder = log_in(guarded, f"docker-{password}", password)

    made = guarded.make(what, DOCKER_CONFIG=folder)

    assert 4 == made.status, made.err
    assert f"`docker login {guarded.registry.host}` first" in made.err
    assert "building" not in made.err
    assert "not-the-one" not in made.err.replace(folder, "")
