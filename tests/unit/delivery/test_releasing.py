"""A release is published in order, once, and never on what somebody else put there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from tenantry_delivery import __main__ as command
from tenantry_delivery.artefacts import CHART_INPUTS, IMAGES, Base, Image, Named, name_of
from tenantry_delivery.commits import Change, Source
from tenantry_delivery.content import Content, artefact
from tenantry_delivery.errors import DeliveryError, FailedError
from tenantry_delivery.images import Built, Workshop
from tenantry_delivery.programs import run
from tenantry_delivery.registry import Registry
from tenantry_delivery.releasing import Part, Shop
from tenantry_delivery.signing import Signer
from unit.delivery.test_artefacts import Files
from unit.delivery.test_commits import Repository


class Committed(Files):
    """The checkout, of which each input has a commit of its own."""

    def __init__(self, **numbers: int) -> None:
        self.numbers = numbers
        self.commit = "f" * 40

    def changed(self, paths: Any) -> Change:
        number = max([1, *(n for name, n in self.numbers.items() if name in " ".join(paths))])
        return Change(f"{number:040x}", number, 1_700_000_000)


class Shelf:
    """A registry and a signer in one, which remembers what was done, in order."""

    host = "registry.example.com"
    key = "one.key"

    def __init__(self) -> None:
        self.done: list[str] = []
        self.names: dict[str, str] = {}
        self.signed: set[str] = set()
        self.fails_at = ""

    def _does(self, what: str, digest: str) -> None:
        self.done.append(what)
        if what == self.fails_at:
            self.fails_at = ""
            raise FailedError(f"{what} of {digest}")

    def resolve(self, repository: str, tag: str) -> str | None:
        return self.names.get(f"{repository}:{tag}")

    def push(self, repository: str, content: Content) -> None:
        self._does("push", content.digest)

    def name(self, repository: str, content: Content, tag: str) -> bool:
        self._does("name", content.digest)
        self.names[f"{repository}:{tag}"] = content.digest
        return True

    def is_signed(self, repository: str, digest: str) -> bool:
        return digest in self.signed

    def attest(self, repository: str, digest: str, kind: str, said: Mapping[str, Any]) -> None:
        self._does(kind, digest)

    def sign(self, repository: str, digest: str) -> None:
        self._does("sign", digest)
        self.signed.add(digest)


class Bench:
    """A workshop that builds at once."""

    platforms = ("linux/arm64",)

    def __init__(self, source: Source) -> None:
        self.source = source
        self.built: list[str] = []

    def build(self, image: Image, named: Named) -> Built:
        self.built.append(image.name)
        return Built(
            artefact(str(named).encode(), "x", b"{}", "y", {}), Base(f"base@sha256:{'b' * 64}"), {}
        )


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def shop(shelf: Shelf) -> Shop:
    return Shop(
        cast("Registry", shelf), cast("Signer", shelf), "https://git/x", "here", lambda _: None
    )


def of(bench: Bench) -> Workshop:
    return cast("Workshop", bench)


def images(shop: Shop, workshop: Workshop, wanted: tuple[Image, ...] = IMAGES) -> list[Part]:
    return [shop.image(workshop, image) for image in wanted]


def test_a_name_comes_last(shop: Shop, shelf: Shelf) -> None:
    """After the bytes, what is said of them, and the signature."""
    images(shop, of(Bench(Committed())), IMAGES[:1])

    assert ["push", "slsaprovenance1", "cyclonedx", "sign", "name"] == shelf.done


@pytest.mark.parametrize("step", ["push", "slsaprovenance1", "cyclonedx", "sign", "name"])
def test_ended_anywhere_nothing_is_published_and_the_same_again_is(
    shop: Shop, shelf: Shelf, step: str
) -> None:
    """With one signature: what was signed before is not signed again."""
    shelf.fails_at = step
    with pytest.raises(FailedError, match=step):
        images(shop, of(Bench(Committed())), IMAGES[:1])
    assert {} == shelf.names

    [part] = images(shop, of(Bench(Committed())), IMAGES[:1])

    assert part.is_new
    assert [part.digest] == [*shelf.names.values()]
    assert shelf.done.count("sign") == (2 if step == "sign" else 1)


def test_what_is_there_is_not_built_again(shop: Shop, shelf: Shelf) -> None:
    """However often it is asked for."""
    first = images(shop, of(Bench(Committed())))
    shelf.done.clear()
    bench = Bench(Committed())

    again = images(shop, of(bench))

    assert ([], []) == (bench.built, shelf.done)
    assert [part.digest for part in first] == [part.digest for part in again]
    assert not [part for part in again if part.is_new]


def test_only_what_changed_is_built(shop: Shop, shelf: Shelf) -> None:
    """A line of the producer: its image, and the chart that names it."""
    before = Committed()
    images(shop, of(Bench(before)))
    chart, module = shop.chart(before), shop.module(before)
    after = Committed(**{"services/producer": 2})
    bench = Bench(after)

    images(shop, of(bench))

    assert ["producer"] == bench.built
    assert chart.named.version != shop.chart(after).named.version
    assert module.named.version == shop.module(after).named.version


def test_a_chart_waits_for_its_images(shop: Shop, shelf: Shelf) -> None:
    """All of them, and of its own commit."""
    images(shop, of(Bench(Committed())))

    with pytest.raises(DeliveryError, match=r"no tenantry/consumer:.*`make images` comes before"):
        shop.chart(Committed(**{"services/consumer": 5}))

    assert not [name for name in shelf.names if "template" in name]


@pytest.mark.parametrize("name", ["producer", "tenant-template", "tenant-module"])
def test_what_nobody_of_ours_signed_is_built_on_by_nothing(
    shop: Shop, shelf: Shelf, name: str
) -> None:
    """An image under its name, or the chart itself, that somebody else put there."""
    source = Committed()
    images(shop, of(Bench(source)))
    inputs = {image.name: image.inputs for image in IMAGES}.get(name, CHART_INPUTS)
    shelf.names[str(name_of(source, name, inputs))] = f"sha256:{'e' * 64}"

    builds_on_it = shop.module if name == "tenant-module" else shop.chart
    with pytest.raises(DeliveryError, match=f"{name}.* has no signature of one.key"):
        builds_on_it(source)


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In a repository of one commit, with nothing in the environment."""
    (tmp_path / "repository").mkdir()
    Repository(tmp_path / "repository").commit(a="1")
    monkeypatch.setattr(command, "_ROOT", tmp_path / "repository")
    for name in ("REGISTRY", "KEY", "COMMIT", "ONLY", "PLATFORMS", "BASES", "PROVIDERS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("chart",), "the chart names images of a registry: REGISTRY="),
        (("chart", "--registry=registry.example.com"), "KEY says what releases are signed with"),
        (("images", "--only=producer,nobody"), "nobody is no image of ours: producer, consumer"),
        (("images", "--commit=no-such"), "has no commit no-such"),
        (("chart", "--registry=http://registry.example.com", "--key=x"), "without TLS only"),
    ],
)
@pytest.mark.usefixtures("nothing_said")
def test_what_is_missing_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], text: str
) -> None:
    """And nothing was done."""
    status = command.main(words)

    told = said(capsys)
    assert (2, True) == (status, text in told), told


@pytest.mark.usefixtures("nothing_said")
def test_what_was_made_is_told_before_a_later_part_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What reads the lines misses none of what is there; the status says that it is not all."""
    change = Change("c" * 40, 1, 1_700_000_000)
    monkeypatch.setattr(
        command, "name_of", lambda _, name, __: Named(f"tenantry/{name}", "0.1.0", change)
    )

    def build(_: Workshop, image: Image, named: Named) -> Built:
        if image.name == "consumer":
            raise FailedError("no wheel")
        return Built(artefact(b"x", "layer", b"{}", "config", {}), Base("x/y@sha256:z"))

    monkeypatch.setattr(Workshop, "build", build)

    assert 4 == command.main(("images",))

    told = capsys.readouterr()
    [line] = told.out.splitlines()
    assert "tenantry/producer" == json.loads(line)["name"]
    assert "make images: no wheel" in told.err


def test_bases_of_a_folder_are_used_in_the_place_of_ours(tmp_path: Path) -> None:
    """By file name; one that is none is refused like ours."""
    digest = f"sha256:{'a' * 64}"
    (tmp_path / "python.json").write_text(
        f'{{"image": "x/y@{digest}", "python": "3.11"}}', "utf-8"
    )

    assert {"python.json": Base(f"x/y@{digest}", "3.11")} == command._bases(tmp_path)
    assert {} == command._bases(None)
    (tmp_path / "python.json").write_text("{}", "utf-8")
    with pytest.raises(DeliveryError, match=r"python\.json"):
        command._bases(tmp_path)
    with pytest.raises(DeliveryError, match="no-such is no folder"):
        command._bases(tmp_path / "no-such")


def test_a_program_that_fails_is_named_with_its_last_words() -> None:
    """And so is one that is not there; what it reads is not among its words."""
    assert b"secret" == run("cat", data=b"secret")
    with pytest.raises(FailedError, match=r"(?s)sh -c .*failed with 3:\n  what was wrong"):
        run("sh", "-c", "echo what was wrong >&2; exit 3")
    with pytest.raises(DeliveryError, match="no-such-program is not on the PATH"):
        run("no-such-program")
