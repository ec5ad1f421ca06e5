"""The fleet's check with the registry: whether what it names was published."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from support.flux_standin import FLEET
from support.oci_registry import MODULE, OciRegistry, open_registry
from support.signing import Signer
from tenantctl.cli import app
from tenantctl.errors import UnavailableError
from tenantctl.gate.published import check_published
from tenantctl.model import RINGS
from tenantctl.releases import Held, Line, Release, path_of_train, render_rings

CHARTS: Final = "tenantry/tenant-template"
MODULES: Final = "tenantry/tenant-module"
SIGNER: Final = Signer()
UNKNOWN: Final = f"sha256:{'0' * 64}"


@pytest.fixture
def registry() -> Generator[OciRegistry]:
    """A registry of its own."""
    with open_registry() as found:
        yield found


@pytest.fixture
def fleet(tmp_path: Path, registry: OciRegistry) -> Path:
    """The fleet, whose production has this registry and a key."""
    folder = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    facts = folder / "facts" / "production" / "facts.yaml"
    host = registry.url.removeprefix("http://")
    facts.write_text(facts.read_text("utf-8").replace("unset.invalid\n", f"{host}\n"), "utf-8")
    (folder / "keys" / "production" / "one.pub").write_bytes(SIGNER.pem)
    return folder


def name(fleet: Path, line: Line, *releases: Release, environment: str = "production") -> None:
    """Let the first rings have these."""
    rings = {ring: Held() for ring in RINGS} | {
        ring: Held(release) for ring, release in zip(RINGS, releases, strict=False)
    }
    (fleet / path_of_train(environment, line)).write_bytes(render_rings(line, rings))


async def wrong(fleet: Path) -> list[str]:
    return [str(each) for each in await check_published(fleet)]


async def test_a_fleet_that_names_nothing_asks_nobody(fleet: Path, registry: OciRegistry) -> None:
    """Nor does it need to know a registry."""
    assert [] == await wrong(fleet)
    assert [] == registry.requests


async def test_what_was_published_and_signed_may_be_named(
    fleet: Path, registry: OciRegistry
) -> None:
    """Charts and modules, each asked for once, whichever rings have them."""
    chart = registry.put(CHARTS, "1.4.0")
    module = registry.put(MODULES, "1.4.0", MODULE)
    SIGNER.sign(registry, CHARTS, chart)
    SIGNER.sign(registry, MODULES, module)
    name(fleet, "basic", Release("1.4.0", chart), Release("1.4.0", chart))
    name(fleet, "pools", Release("1.4.0", chart))
    name(fleet, "tenant-module", Release("1.4.0", module))

    assert [] == await wrong(fleet)
    assert 1 == sum(path.endswith(f"manifests/{chart}") for _, path, _ in registry.requests)


async def test_what_was_not_is_named_by_its_file(fleet: Path, registry: OciRegistry) -> None:
    """An unknown digest, one that nobody signed, and a chart where the module belongs."""
    unsigned = registry.put(CHARTS, "1.5.0")
    chart = registry.put(MODULES, "1.4.0")
    SIGNER.sign(registry, MODULES, chart)
    name(fleet, "basic", Release("1.4.0", UNKNOWN))
    name(fleet, "premium", Release("1.5.0", unsigned))
    name(fleet, "tenant-module", Release("1.4.0", chart))

    basic, premium, module = await wrong(fleet)

    assert basic.startswith("releases/production/basic.yaml: ")
    assert basic.endswith(f"{CHARTS} has no {UNKNOWN}")
    assert premium.startswith("releases/production/premium.yaml: ")
    assert "it is not signed" in premium
    assert module.startswith("releases/production/tenant-module.yaml: ")
    assert "has no layer of" in module


async def test_the_candidate_is_asked_for_too(fleet: Path, registry: OciRegistry) -> None:
    """It is what `follow` brings to the rings next."""
    path = fleet / "releases" / "production" / "candidate.yaml"
    text = (fleet / "releases" / "dev" / "candidate.yaml").read_text("utf-8")
    text = text.replace("module-version: none", "module-version: 2.0.0")
    path.write_text(text.replace("module-digest: none", f"module-digest: {UNKNOWN}"), "utf-8")

    (only,) = await wrong(fleet)

    assert only.startswith("releases/production/candidate.yaml: ")
    assert f"{MODULES} has no {UNKNOWN}" in only


async def test_without_a_key_or_a_registry_nothing_is_called_good(fleet: Path) -> None:
    """Staging has neither; what is missing is named, one after the other."""
    name(fleet, "basic", Release("1.4.0", UNKNOWN), environment="staging")

    (keyless,) = await wrong(fleet)
    (fleet / "keys" / "staging" / "one.pub").write_bytes(SIGNER.pem)
    (nowhere,) = await wrong(fleet)

    assert "has no keys/staging/*.pub" in keyless
    assert nowhere.startswith("facts/staging/facts.yaml: registry")


async def test_a_registry_that_is_away_is_no_verdict(fleet: Path, registry: OciRegistry) -> None:
    """It says another time, and not that the release is bad."""
    registry.faults.extend([503] * 9)
    name(fleet, "basic", Release("1.4.0", UNKNOWN))

    with pytest.raises(UnavailableError, match="answers 503"):
        await check_published(fleet)


def test_the_command_asks_where_it_is_told_to(
    fleet: Path, registry: OciRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `--registry`; without, it has no need of a network. What is found is a status of 2."""
    monkeypatch.setattr("tenantctl.cli.fleet.check_fleet", lambda *_: ())
    monkeypatch.setattr("tenantctl.cli.fleet.shutil.which", lambda _: "/kubectl")
    name(fleet, "basic", Release("1.4.0", UNKNOWN))

    offline = CliRunner().invoke(app, ["check-fleet", str(fleet)])
    asked = CliRunner().invoke(app, ["check-fleet", str(fleet), "--registry"])

    assert 0 == offline.exit_code
    assert 2 == asked.exit_code
    assert f"releases/production/basic.yaml: {registry.url[7:]}/{CHARTS} has no" in asked.output
