"""A way to the registry that breaks off anywhere: nothing is published, and the same again is."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from itertools import count
from typing import Final
from urllib.parse import urlsplit

import pytest

from delivery.line import Line, opened
from delivery.world import ROOT, World
from tenantry_delivery.artefacts import Named
from tenantry_delivery.commits import Change
from tenantry_delivery.content import artefact
from tenantry_delivery.errors import FailedError
from tenantry_delivery.registry import Registry
from tenantry_delivery.releasing import Shop
from tenantry_delivery.signing import FOLDER, Signer

pytestmark = pytest.mark.delivery

REPOSITORY: Final = "tenantry/interrupted"
_NUMBERS: Final = count(1)
#: About as many bytes as what is said of it, so that every part of it is met.
_SIZE: Final = 20_000


@pytest.fixture
def line(world: World) -> Generator[Line]:
    """The only way to the registry that the shop knows."""
    port = urlsplit(world.served.url).port
    assert port is not None
    with opened(port) as found:
        yield found


@contextmanager
def a_shop(world: World, line: Line) -> Generator[Shop]:
    with Registry(line.url) as registry:
        signer = Signer.of(registry, str(world.key()), ROOT / FOLDER)
        yield Shop(registry, signer, "https://git/x", "https://here", lambda _: None)


def publish(shop: Shop, named: Named) -> str:
    """What is published has bytes of its own, the same every time."""
    data = random.Random(named.version).randbytes(_SIZE)
    content = artefact(data, "application/x", b"{}", "application/y", {})
    return shop._publish(named, content, {}, None).digest


def another() -> Named:
    change = Change("d" * 40, next(_NUMBERS), 1_700_000_000)
    return Named(REPOSITORY, change.version("0.1.0"), change)


@pytest.fixture
def whole(world: World, line: Line, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes a release is, with its signature and its name."""
    for name, value in world.env().items():
        monkeypatch.setenv(name, value)
    with a_shop(world, line) as shop:
        publish(shop, another())
    return line.sent


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8, 0.99])
def test_broken_off_anywhere_it_has_no_name(
    world: World, line: Line, whole: int, part: float
) -> None:
    """In the bytes, in what is said of them, in the signature, in the name itself."""
    named = another()
    line.limit = line.sent + int(whole * part)
    with a_shop(world, line) as shop, pytest.raises(FailedError):
        publish(shop, named)
    assert None is world.registry.resolve(REPOSITORY, named.version)
    line.limit = None

    with a_shop(world, line) as shop:
        digest = publish(shop, named)
        signed = shop.signer.is_signed(REPOSITORY, digest)

    assert (digest, True) == (world.registry.resolve(REPOSITORY, named.version), signed)
