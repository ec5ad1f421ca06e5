"""A ring's line: what it may say, and that nothing else is taken or touched."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tenantctl.errors import InvalidError
from tenantctl.releases import (
    TRAINS,
    Held,
    Release,
    Rings,
    Train,
    parse_rings,
    path_of_train,
    render_rings,
)

ROOT: Final = Path(__file__).resolve().parents[3]
FLEET: Final = ROOT / "platform" / "fleet"
OLD: Final = Release("1.3.0", f"sha256:{'a' * 64}")
NEW: Final = Release("1.4.0-rc.1", f"sha256:{'b' * 64}")
PATH: Final = "releases/dev/basic.yaml"


@pytest.mark.parametrize("train", TRAINS)
@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_a_fresh_fleet_has_no_release(environment: str, train: Train) -> None:
    """Its files are as they are written here: the first release is one line, too."""
    path = path_of_train(environment, train)
    rings = parse_rings(path, train, (FLEET / path).read_bytes())

    assert {"r0": Held(), "r1": Held(), "r2": Held()} == rings


def test_a_release_is_one_line() -> None:
    """Version, digest and what the ring had before; the other rings' lines stay."""
    rings: Rings = {"r0": Held(OLD), "r1": Held(OLD), "r2": Held()}
    before = render_rings("basic", rings).decode().splitlines()
    after = render_rings("basic", {**rings, "r0": Held(NEW, OLD, knows_before=True)})

    changed = set(after.decode().splitlines()) - set(before)

    assert changed == {
        f'  ref: {{tag: "1.4.0-rc.1", digest: "{NEW.digest}"}} # before: 1.3.0@{OLD.digest}'
    }
    assert len(before) == len(after.decode().splitlines())


@pytest.mark.parametrize(
    "held",
    [
        Held(),
        Held(NEW),
        Held(NEW, OLD, knows_before=True),
        Held(NEW, None, knows_before=True),
    ],
)
def test_what_is_written_is_read(held: Held) -> None:
    """Each state of a ring, and whether there was one before."""
    rings: Rings = {"r0": held, "r1": Held(OLD), "r2": Held()}

    assert rings == parse_rings(PATH, "basic", render_rings("basic", rings))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1.4.0",
        f"@{OLD.digest}",
        f"1.4@{OLD.digest}",
        f"01.4.0@{OLD.digest}",
        f"v1.4.0@{OLD.digest}",
        "latest@sha256:" + "a" * 64,
        "1.4.0@sha256:" + "a" * 63,
        "1.4.0@sha256:" + "A" * 64,
        f"1.4.0@{OLD.digest}\n",
        f"1.4.0-{'x' * 80}@{OLD.digest}",
        f"1.4.0-x_y@{OLD.digest}",
        f'1.4.0"}}@{OLD.digest}',
        "1.4.0@sha512:" + "a" * 128,
    ],
)
def test_what_is_no_release_is_refused(text: str) -> None:
    """A version and a digest, both: a tag alone can be moved."""
    with pytest.raises(InvalidError, match="is no release"):
        Release.parse(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  suspend: true # no release yet", "  suspend: false # no release yet"),
        ("  suspend: true # no release yet", '  ref: {tag: "1.4.0"}'),
        ("  suspend: true # no release yet", f'  ref: {{digest: "{OLD.digest}"}}'),
        ("name: basic-r0", "name: basic-r9"),
        ("namespace: tenants", "namespace: default"),
        ("kind: OCIRepository", "kind: GitRepository"),
        ("---\n", "---\napiVersion: v1\n---\n"),
        ("spec:\n", "spec:\n  url: oci://elsewhere/x\n"),
        ("spec:\n", "spec:\n  suspend: true # no release yet\n"),
        ("  suspend: true # no release yet\n", ""),
    ],
)
def test_a_file_in_another_form_is_refused(old: str, new: str) -> None:
    """By path; a line that somebody wrote otherwise is not overwritten."""
    text = render_rings("basic", {"r0": Held(), "r1": Held(), "r2": Held()}).decode()
    assert old in text

    with pytest.raises(InvalidError, match=f"^{PATH}: "):
        parse_rings(PATH, "basic", text.replace(old, new, 1).encode())
