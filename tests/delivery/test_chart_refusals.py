"""A chart of images that are not ours, by the command that a runner calls.

Small parts stand for images.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import pytest

from delivery.world import ROOT, World
from support.registry_process import Served
from tenantry_delivery.artefacts import IMAGES, Named, name_of
from tenantry_delivery.commits import Source
from tenantry_delivery.content import Content, artefact
from tenantry_delivery.registry import Registry
from tenantry_delivery.releasing import Shop
from tenantry_delivery.signing import FOLDER, Signer

pytestmark = pytest.mark.delivery

CHART: Final = "tenantry/tenant-template"


@pytest.fixture(scope="module")
def small(world: World, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """A registry of its own: every image has its name, and the consumer's has no signature."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "docker").mkdir()
    (folder / "docker/config.json").write_text('{"auths": {}}', "utf-8")
    served = Served(folder)
    served.start()
    try:
        with Registry(served.url) as registry, pytest.MonkeyPatch.context() as patch:
            there = World(served, registry, world.source, folder)
            for name, value in there.env().items():
                patch.setenv(name, value)
            for name, named in images(there).items():
                if name == "consumer":
                    registry.push(named.repository, content(name))
                    registry.name(named.repository, content(name), named.version)
                else:
                    shop(there)._publish(named, content(name), {}, None)
            yield there
    finally:
        served.end()


def images(world: World) -> dict[str, Named]:
    """What the chart of the commit asks for."""
    source = Source(world.source)
    return {one.name: name_of(source, one.name, one.inputs) for one in IMAGES if one.chart_key}


def content(text: str) -> Content:
    return artefact(text.encode(), "application/x", b"{}", "application/y", {})


def shop(world: World, key: str = "ours") -> Shop:
    signer = Signer.of(world.registry, str(world.key(key)), ROOT / FOLDER)
    return Shop(world.registry, signer, "https://git/x", "https://here", lambda _: None)


def refusal(world: World, **env: str) -> str:
    """Why there is no chart; and there is none."""
    made = world.make("chart", **env)
    assert (2, False) == (made.status, "tenant-template" in made.parts), made.err
    assert not world.tags(CHART)
    return made.err


def test_a_chart_takes_no_image_that_nobody_signed(small: World) -> None:
    """Which one it is, and that nothing is built on it; signed by somebody else it is no better.

    Signed by us it is taken, and the same command goes on.
    """
    consumer = images(small)["consumer"]
    text = f"{consumer} is {content('consumer').digest}, and has no signature of"
    assert text in refusal(small)
    shop(small, "theirs").signer.sign(consumer.repository, content("consumer").digest)
    assert text in refusal(small)

    shop(small).signer.sign(consumer.repository, content("consumer").digest)

    made = small.make("chart")
    assert 0 == made.status, made.err
    assert {made.parts["tenant-template"]["version"]} == small.tags(CHART)


def test_another_key_takes_nothing_that_is_there(small: World) -> None:
    """Whoever lost the key does not go on with another one: that is a decision of people."""
    said = small.make("chart", KEY=str(small.key("theirs")))

    assert 2 == said.status, said.err
    assert "has no signature of" in said.err
    assert "theirs.key: somebody else put it there" in said.err
