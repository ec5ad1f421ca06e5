"""What is published, and that nothing else comes in its place."""

from __future__ import annotations

import base64
import json
from collections.abc import Generator
from pathlib import Path

import pytest

from support.oci_registry import Answer, OciRegistry, open_registry
from tenantry_delivery.content import Content, artefact, digest_of, index
from tenantry_delivery.errors import DeliveryError, FailedError, PublishedError
from tenantry_delivery.registry import Registry, is_loopback

WHERE = "tenantry/producer"
TAG = "0.1.0-main.7.gabc"


def content(data: bytes = b"layer") -> Content:
    return artefact(data, "application/x", b"{}", "application/y", {})


@pytest.fixture
def server() -> Generator[OciRegistry]:
    with open_registry() as found:
        yield found


@pytest.fixture
def registry(
    server: OciRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Registry]:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with Registry(server.url) as found:
        yield found


def test_what_is_pushed_has_no_name_until_it_is_given_one(
    server: OciRegistry, registry: Registry
) -> None:
    """Whoever looks by version finds nothing half-done."""
    found = content()
    registry.push(WHERE, found)
    assert None is registry.resolve(WHERE, TAG)

    assert registry.name(WHERE, found, TAG)

    assert found.digest == registry.resolve(WHERE, TAG)
    assert {*found.blobs} <= {digest for where, digest in server.blobs if where == WHERE}


def test_an_index_goes_after_its_parts(server: OciRegistry, registry: Registry) -> None:
    """A registry takes none that names what is not there."""
    parts = [content(bytes([number])) for number in (1, 2)]
    registry.push(WHERE, index(dict(zip(("linux/arm64", "linux/amd64"), parts, strict=True)), {}))

    puts = [path for method, path, _ in server.requests if method == "PUT" and "manif" in path]
    assert [part.digest for part in parts] == [path.rpartition("/")[2] for path in puts[:2]]
    assert 3 == len(puts)


def test_what_is_there_is_not_sent_again(server: OciRegistry, registry: Registry) -> None:
    """A layer of a base, say, or all of it after a run that was ended."""
    registry.push(WHERE, content())
    server.requests.clear()

    registry.push(WHERE, content())

    assert [] == [path for method, path, _ in server.requests if method == "POST"]


def test_a_layer_comes_from_its_file(
    server: OciRegistry, registry: Registry, tmp_path: Path
) -> None:
    """As it is there."""
    path = tmp_path / "layer"
    path.write_bytes(bytes(range(256)) * 5_000)
    digest = digest_of(path)

    registry.push(WHERE, Content("application/x", b"{}", {digest: path}))

    assert path.read_bytes() == server.blobs[WHERE, digest]


def test_the_same_under_its_name_is_a_success(registry: Registry) -> None:
    """Twice in a row, and of two at once."""
    found = content()
    registry.push(WHERE, found)

    assert registry.name(WHERE, found, TAG)
    assert not registry.name(WHERE, found, TAG)


def test_another_thing_keeps_its_name(server: OciRegistry, registry: Registry) -> None:
    """And it is said what is there, and what was not put there."""
    first, second = content(b"1"), content(b"2")
    for each in (first, second):
        registry.push(WHERE, each)
    registry.name(WHERE, first, TAG)

    with pytest.raises(PublishedError) as refused:
        registry.name(WHERE, second, TAG)

    assert first.digest in str(refused.value)
    assert second.digest in str(refused.value)
    assert first.digest == registry.resolve(WHERE, TAG)
    assert 3 == refused.value.exit_code


@pytest.mark.parametrize("is_same", [True, False])
def test_who_was_a_moment_too_late_sees_what_is_there(
    server: OciRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch, *, is_same: bool
) -> None:
    """Where tags never move, the registry refuses the second one, even of the same bytes."""
    mine = content()
    other = mine if is_same else content(b"other")
    for each in (mine, other):
        registry.push(WHERE, each)
    looked = []

    def resolve(repository: str, tag: str) -> str | None:
        looked.append(tag)
        if len(looked) == 1:  # between this look and the push, somebody else is done
            server.manifests[repository, tag] = other.manifest
            server.faults.append(400)
            return None
        return Registry.resolve(registry, repository, tag)

    monkeypatch.setattr(registry, "resolve", resolve)

    if is_same:
        assert not registry.name(WHERE, mine, TAG)
    else:
        with pytest.raises(PublishedError):
            registry.name(WHERE, mine, TAG)


@pytest.mark.parametrize("number", range(7))
def test_a_registry_that_fails_half_way_has_published_nothing(
    server: OciRegistry, registry: Registry, number: int
) -> None:
    """Whichever request it was; and the same again goes on from there."""
    found = content()
    asked = server.answer

    def fails(method: str, target: str, authorization: str, body: bytes) -> Answer:
        if len(server.requests) == number + 1:
            server.faults.append(503)
        return asked(method, target, authorization, body)

    server.answer = fails  # type: ignore[method-assign]
    with pytest.raises(FailedError, match="HTTP 503"):
        registry.push(WHERE, found)
    server.answer = asked  # type: ignore[method-assign]
    assert None is registry.resolve(WHERE, TAG)

    registry.push(WHERE, found)
    assert registry.name(WHERE, found, TAG)


def test_a_registry_that_is_away_is_named(registry: Registry) -> None:
    """And so is what was asked."""
    asked = r"127\.0\.0\.1:9: GET /v2/tenantry/producer/manifests"

    with Registry("http://127.0.0.1:9") as gone, pytest.raises(FailedError, match=asked):
        gone.resolve(WHERE, TAG)


def test_credentials_are_those_of_a_login(
    server: OciRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of this registry alone."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    server.password = "user:secret"
    with Registry(server.url) as nobody, pytest.raises(FailedError, match="HTTP 401: `docker log"):
        nobody.resolve(WHERE, TAG)
    auth = base64.b64encode(server.password.encode()).decode()
    host = server.url.removeprefix("http://")
    config = tmp_path / "config.json"

    config.write_text(json.dumps({"auths": {host: {"auth": auth}}}), "utf-8")
    with Registry(server.url) as somebody:
        assert None is somebody.resolve(WHERE, TAG)

    config.write_text(json.dumps({"auths": {host: {}, "x": {"auth": auth}}}), "utf-8")
    with Registry(server.url) as nobody, pytest.raises(FailedError, match="HTTP 401"):
        nobody.resolve(WHERE, TAG)


@pytest.mark.parametrize(
    "config",
    ["{", "[]", '{"auths": {"127.0.0.1:9": {"auth": "%%"}}}', '{"auths": {"127.0.0.1:9": 5}}'],
)
def test_a_login_that_cannot_be_read_is_no_login_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    """It is named, and nothing of it is shown."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_text(config, "utf-8")

    with pytest.raises(DeliveryError, match=r"config\.json has no user and password for 127"):
        Registry("http://127.0.0.1:9")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x",
        "https://",
        "https://user:password@registry.example.com",
        "http://registry.example.com",
    ],
)
def test_what_is_no_registry_is_refused(url: str) -> None:
    """A password in an address, too, and an address without TLS that is not on this machine."""
    with pytest.raises(DeliveryError) as refused:
        Registry(url)

    assert 2 == refused.value.exit_code


@pytest.mark.parametrize(
    ("reference", "is_here"),
    [
        ("127.0.0.1:5000/base@sha256:0", True),
        ("localhost:5000", True),
        ("localhost", True),
        ("localhost.example.com/base", False),
        ("127.example.com", False),
        ("registry.example.com/127.0.0.1", False),
    ],
)
def test_this_machine_is_told_from_one_that_is_called_like_it(
    reference: str, *, is_here: bool
) -> None:
    """Over a network nothing goes without TLS."""
    assert is_here is is_loopback(reference)


def test_a_layer_goes_to_nobody_else(server: OciRegistry, registry: Registry) -> None:
    """With it went the password."""
    with open_registry() as other:
        server.faults.extend([404])  # HEAD
        asked = server.answer

        def elsewhere(method: str, target: str, authorization: str, body: bytes) -> Answer:
            found = asked(method, target, authorization, body)
            if method != "POST":
                return found
            return Answer(202, headers={"Location": f"{other.url}/v2/x/blobs/uploads/1"})

        server.answer = elsewhere  # type: ignore[method-assign]

        with pytest.raises(FailedError, match="it is to go to"):
            registry.push(WHERE, content())

        assert [] == list(other.requests)
