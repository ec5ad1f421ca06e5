"""What is not published, by a real registry and a real cosign; small parts stand for images."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from delivery.world import PASSWORD, ROOT, World
from tenantry_delivery.artefacts import Named
from tenantry_delivery.commits import Change
from tenantry_delivery.content import Content, artefact
from tenantry_delivery.errors import DeliveryError, FailedError, PublishedError
from tenantry_delivery.releasing import Shop
from tenantry_delivery.signing import FOLDER, PROVENANCE, Signer

pytestmark = pytest.mark.delivery

_NUMBERS: Final[Iterator[int]] = count(1)
REPOSITORY: Final = "tenantry/small"


def content(data: bytes = b"layer") -> Content:
    return artefact(data, "application/x", b"{}", "application/y", {})


@pytest.fixture
def named() -> Named:
    """A version that nothing else here has."""
    change = Change("c" * 40, next(_NUMBERS), 1_700_000_000)
    return Named(REPOSITORY, change.version("0.1.0"), change)


@pytest.fixture
def shop(world: World, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """As `make images` has it, with our key."""
    return a_shop(world, monkeypatch, "ours")


def a_shop(world: World, monkeypatch: pytest.MonkeyPatch, key: str) -> Shop:
    for name in ("PATH", "DOCKER_CONFIG", "COSIGN_PASSWORD"):
        monkeypatch.setenv(name, world.env()[name])
    signer = Signer.of(world.registry, str(world.key(key)), ROOT / FOLDER)
    return Shop(world.registry, signer, "https://git/x", "https://here", lambda _: None)


def publish(shop: Shop, named: Named, data: bytes = b"layer") -> str:
    return shop._publish(named, content(data), {}, None).digest


def test_what_is_only_spoken_of_is_not_signed(shop: Shop, world: World, named: Named) -> None:
    """To cosign an attestation of the same key is a signature, too.

    A run that was ended between the two would never have signed.
    """
    found = content(b"only spoken of")
    world.registry.push(REPOSITORY, found)
    said: dict[str, dict[str, str]] = {"buildDefinition": {}, "runDetails": {}}
    assert not shop.signer.is_signed(REPOSITORY, found.digest)

    shop.signer.attest(REPOSITORY, found.digest, PROVENANCE, said)

    assert not shop.signer.is_signed(REPOSITORY, found.digest)
    shop.signer.sign(REPOSITORY, found.digest)
    assert shop.signer.is_signed(REPOSITORY, found.digest)


def test_somebody_elses_signature_is_none(
    shop: Shop, world: World, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may push there may sign with a key of their own."""
    theirs = a_shop(world, monkeypatch, "theirs")
    publish(theirs, named, b"of somebody else")

    with pytest.raises(DeliveryError, match=r"has no signature of .*ours\.key"):
        shop._there(named)

    assert theirs._there(named) is not None


def test_what_is_published_stays(shop: Shop, world: World, named: Named) -> None:
    """Another thing under its name is refused, though this registry would take it."""
    digest = publish(shop, named, b"first")

    with pytest.raises(PublishedError, match=digest):
        publish(shop, named, b"second")

    assert digest == world.registry.resolve(REPOSITORY, named.version)


def test_a_tag_that_somebody_moved_is_seen(shop: Shop, world: World, named: Named) -> None:
    """Nothing is built on what it names now."""
    publish(shop, named, b"ours")
    moved = content(b"moved")
    world.registry.push(REPOSITORY, moved)
    world.registry._put(REPOSITORY, moved, named.version)

    with pytest.raises(DeliveryError, match="has no signature"):
        shop._there(named)


def test_two_at_once_publish_one_thing(shop: Shop, world: World, named: Named) -> None:
    """Of the same commit they have the same bytes; it is signed at the end."""
    digests: list[str] = []
    threads = [
        threading.Thread(target=lambda: digests.append(publish(shop, named, b"of two")))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 2 == len(digests)
    [digest] = {*digests}
    assert digest == world.registry.resolve(REPOSITORY, named.version)
    assert shop.signer.is_signed(REPOSITORY, digest)


def test_a_registry_that_goes_away_is_gone_on_with(
    shop: Shop, world: World, named: Named, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the bytes, before the signature: no name is there, and the same again succeeds."""
    pushed = world.registry.push

    def then_away(repository: str, found: Content) -> None:
        pushed(repository, found)
        world.served.end()

    monkeypatch.setattr(world.registry, "push", then_away)
    try:
        with pytest.raises(FailedError, match="refused"):
            publish(shop, named, b"interrupted")
    finally:
        world.served.start()
    monkeypatch.undo()
    for name, value in world.env().items():
        monkeypatch.setenv(name, value)
    assert None is world.registry.resolve(REPOSITORY, named.version)

    assert publish(shop, named, b"interrupted")


@pytest.mark.parametrize(
    ("key", "password"), [("missing", PASSWORD), ("ours", "another password")]
)
def test_a_key_that_cannot_be_used_is_told_before_anything(
    world: World, key: str, password: str
) -> None:
    """Neither the key's file nor its password is shown."""
    world.key("ours")
    path = str(world.folder / f"{key}.key")

    made = world.make("chart", KEY=path, COSIGN_PASSWORD=password)

    assert (2, True) == (made.status, "there is no signing with" in made.err), made.err
    assert password not in made.err


def test_a_part_of_the_history_is_refused(world: World, tmp_path: Path) -> None:
    """Versions are counted in it."""
    shallow = tmp_path / "shallow"
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", f"file://{world.source}", str(shallow)],
        check=True,
    )
    there = World(world.served, world.registry, shallow, world.folder)

    made = there.make("images")

    assert (2, True) == (made.status, "git fetch --unshallow" in made.err), made.err


@pytest.mark.parametrize(
    ("base", "text"),
    [
        ("x/python:3.13", "x/python:3.13 is no image by digest"),
        (f"x/python@sha256:{'0' * 64}", "a digest of zeros stands for one that you choose"),
    ],
)
def test_a_base_that_may_change_is_refused(
    world: World, tmp_path: Path, base: str, text: str
) -> None:
    """A tag would be another one tomorrow; zeros are what is committed where nobody chose."""
    (tmp_path / "python.json").write_text(json.dumps({"image": base, "python": "3.13"}), "utf-8")

    made = world.make("images", "--only=producer", BASES=str(tmp_path), REGISTRY="")

    assert (2, True) == (made.status, f"python.json: {text}" in made.err), made.err


def test_a_recipe_that_asks_the_network_does_not_build(world: World, tmp_path: Path) -> None:
    """Not even this machine, where the registry answers everybody else."""
    clone = tmp_path / "clone"
    world.git("clone", "--quiet", str(world.source), str(clone))
    there = World(world.served, world.registry, clone, world.folder)
    recipe = clone / "platform/images/python.Containerfile"
    stage = "AS installed\n"
    asks = (
        "import urllib.request as r; "
        f"print('reached', r.urlopen('{world.served.url}/v2/', timeout=9).status)"
    )
    assert 1 == recipe.read_text("utf-8").count(stage)
    text = recipe.read_text("utf-8").replace(stage, f'{stage}RUN python3 -c "{asks}"\n')
    recipe.write_text(text, "utf-8")
    who = ("-c", "user.name=dev", "-c", "user.email=dev@localhost")
    there.git(*who, "commit", "--quiet", "--all", "--message=Ask")
    here = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)

    made = there.make("images", "--only=producer", REGISTRY="")

    assert "reached 200" in here.stdout
    assert (4, {}) == (made.status, made.parts), made.err
    assert "Network is unreachable" in made.err, made.err
