"""What files alone say of releases and keys."""

from __future__ import annotations

from typing import Final

import pytest

from support.fleets import a_snapshot
from support.flux_standin import FLEET
from support.signing import Signer
from tenantctl.check import Bounds, check
from tenantctl.gate.reading import read_folder
from tenantctl.model import RINGS
from tenantctl.releases import Held, Line, Release, path_of_train, render_rings
from tenantctl.snapshot import Snapshot

RELEASE: Final = Release("1.4.0", f"sha256:{'a' * 64}")
OTHER: Final = Release("1.4.0", f"sha256:{'b' * 64}")
BASIC: Final = "releases/dev/basic.yaml"
LISTING: Final = "keys/dev/kustomization.yaml"
KEY: Final = Signer().pem


def ringed(line: Line, release: Release) -> dict[str, bytes]:
    """The file of a line whose canary has a release."""
    rings = {ring: Held() for ring in RINGS} | {"r0": Held(release)}
    return {path_of_train("dev", line): render_rings(line, rings)}


def listing(*names: str) -> bytes:
    files = ", ".join(names)
    return (FLEET / LISTING).read_text("utf-8").replace("&keys []", f"&keys [{files}]").encode()


GOOD: Final = (
    ringed("basic", RELEASE)
    | ringed("pools", RELEASE)
    | ringed("tenant-module", OTHER)
    | {"keys/dev/one.pub": KEY, LISTING: listing("one.pub")}
)


def found(files: dict[str, bytes]) -> list[str]:
    return [str(each) for each in check(a_snapshot(**files), "dev", Bounds())]


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_the_fleet_as_it_starts_has_nothing_wrong(environment: str) -> None:
    """No release, and no key yet."""
    assert () == check(read_folder(FLEET), environment, Bounds())


def test_releases_as_they_are_deployed_have_nothing_wrong() -> None:
    """A version of the module is another one's than the chart's."""
    assert [] == found(GOOD)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({BASIC: b"spec: {}\n"}, f"{BASIC}: 0 rings have a line, and 3 have to"),
        (
            {BASIC: GOOD[BASIC].replace(b'digest: "sha256:', b'digest: "sha1:')},
            f"{BASIC}: 'ref: {{tag",
        ),
        (
            {BASIC: GOOD[BASIC].replace(b"  suspend", b"  verify: null\n  suspend", 1)},
            f"{BASIC}: it holds more than a line a ring",
        ),
        (
            {BASIC: GOOD[BASIC].replace(b'tag: "1.4.0"', b'tag: "1.4"')},
            f"{BASIC}: 'ref: {{tag",
        ),
        ({"releases/dev/gold.yaml": b""}, "releases/dev/gold.yaml: nothing of this name"),
        (ringed("pools", OTHER), f"1.4.0 is {RELEASE.digest} elsewhere"),
        (
            {"releases/dev/candidate.yaml": b"data: {chart-version: none}"},
            "releases/dev/candidate.yaml: its data are",
        ),
        ({"keys/dev/two.pub": b"-----BEGIN"}, "keys/dev/two.pub: it is no public key"),
        ({"keys/dev/notes.txt": b"a"}, "keys/dev/notes.txt: a key's name ends with .pub"),
        ({"keys/dev/two.pub": KEY}, f"{LISTING}: the Secret release-keys in tenants and"),
        ({LISTING: listing("one.pub", "two.pub")}, f"{LISTING}: the Secret release-keys"),
        (
            {LISTING: listing("one.pub").replace(b"files: *keys", b"files: []")},
            f"{LISTING}: the Secret release-keys",
        ),
        (
            {
                LISTING: listing("one.pub").replace(
                    b"release-keys, namespace: tenants", b"keys, namespace: tenants"
                )
            },
            f"{LISTING}: the Secret release-keys",
        ),
        ({LISTING: b"kind: ["}, f"{LISTING}: the Secret release-keys"),
        ({LISTING: b"secretGenerator: 3"}, f"{LISTING}: the Secret release-keys"),
    ],
)
def test_a_mistake_is_named_by_its_file(changes: dict[str, bytes], why: str) -> None:
    """And nothing else is."""
    (only,) = found(GOOD | changes)

    assert why in only


def test_a_release_without_a_key_is_found() -> None:
    """Flux would refuse it, hours later and elsewhere."""
    files = ringed("basic", RELEASE) | {LISTING: listing()}

    assert ["keys/dev: no key is here, and a release is verified with one"] == found(files)


def test_what_is_no_file_is_found() -> None:
    """A link leads anywhere."""
    links = {"releases/dev/pools.yaml": "symbolic link", "keys/dev/two.pub": "symbolic link"}
    fleet = Snapshot("", {path: GOOD[path] for path in GOOD if path not in links}, links)

    assert [f"{path}: a symbolic link does not belong here" for path in sorted(links)] == [
        str(each) for each in check(fleet, "dev", Bounds())
    ]
