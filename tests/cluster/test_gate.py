"""The fleet's check before a merge finds each of these mistakes, and names its place."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner, Result

from support.fleets import a_pool, a_tenant
from support.flux_standin import FLEET, kubectl
from tenantctl.cli import app
from tenantctl.files import path_of
from tenantctl.files import render as file_of

pytestmark = pytest.mark.cluster

DIGEST: Final = f"sha256:{'a' * 64}"
NO_RELEASE: Final = "  suspend: true # no release yet"
ACME: Final = path_of("dev", a_tenant("acme"))


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """The fleet of one environment, with a pool and a tenant."""
    fleet = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    for other in ("staging", "production"):
        shutil.rmtree(fleet / "tenants" / other)
    for one in (a_pool(), a_tenant("acme")):
        (fleet / path_of("dev", one)).write_bytes(file_of(one))
    return fleet


def check(fleet: Path, *options: str) -> Result:
    """As a person does it, with kubectl on the path."""
    command = kubectl()
    assert command is not None
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return CliRunner().invoke(app, ["check-fleet", str(fleet), *options], env={"PATH": path})


def swap(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Somebody writes something else, once."""

    def mistake(fleet: Path) -> None:
        text = (fleet / path).read_text("utf-8")
        assert old in text, path
        (fleet / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    return mistake


def write(path: str, text: str) -> Callable[[Path], None]:
    """Somebody adds a file, or writes over one."""

    def mistake(fleet: Path) -> None:
        (fleet / path).write_text(text, encoding="utf-8")

    return mistake


def add(path: str, text: str) -> Callable[[Path], None]:
    """Somebody adds to a file's end."""

    def mistake(fleet: Path) -> None:
        with (fleet / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return mistake


def linked(fleet: Path) -> None:
    (fleet / "tenants" / "dev" / "a" / "evil.yaml").symlink_to("/etc/passwd")


def nowhere(fleet: Path) -> None:
    (fleet / "addons" / "keda" / "more.yaml").symlink_to("/nowhere")


FACTS: Final = "clusters/dev/addons/facts.yaml"
ENTRIES: Final = "clusters/addons/entries.yaml"
SWITCHES: Final = "clusters/dev/addons/kustomization.yaml"
SECRETS: Final = "addons/secrets/store.yaml"
BASIC: Final = "releases/dev/basic.yaml"
SECRET: Final = """\
---
apiVersion: v1
kind: Secret
metadata: {name: token, namespace: flux-system}
stringData: {token: hunter2}
"""
AGAIN: Final = """\
---
apiVersion: v1
kind: Namespace
metadata: {name: keda}
"""
JOB: Final = f"""\
---
apiVersion: batch/v1
kind: Job
metadata: {{name: once, namespace: flux-system}}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {{name: pinned, image: "example.com/a@{DIGEST}"}}
        - {{name: moved, image: "example.com/b:latest"}}
"""
PATCH: Final = """\
patches:
  - target: {{kind: OCIRepository}}
    patch: |
      - {op}
"""
OTHER_KEYS: Final = "{op: replace, path: /spec/verify/secretRef/name, value: evil}"
OTHER_SHARD: Final = "tenants/dev/0/acme.yaml"

#: What somebody does, and where and how it is named.
MISTAKES: Final[dict[str, tuple[Callable[[Path], None], str, str]]] = {
    "a fact is missing": (swap(FACTS, "  cluster_name: dev\n", ""), FACTS, "cluster_name is miss"),
    "a fact is misspelt": (swap(FACTS, "vpc_id:", "vpcid:"), FACTS, "'vpcid' is nobody's"),
    "a fact asks for another": (
        swap(FACTS, "domain: dev.example.com", "domain: ${region}.example.com"),
        FACTS,
        "domain: a fact is one line",
    ),
    "an add-on is on without what it needs": (
        swap(ENTRIES, "{name: karpenter-crds}]", "{name: karpenter-crds}, {name: opencost}]"),
        SWITCHES,
        "karpenter is on, and needs opencost",
    ),
    "an add-on waits for nobody": (
        swap(ENTRIES, "[{name: argo-workflows}]", "[{name: argo-workflow}]"),
        "clusters/dev",
        "argo-events waits for argo-workflow, which is not there",
    ),
    "two wait for each other": (
        swap(ENTRIES, "dependsOn: [{name: external-secrets}]", "dependsOn: [{name: monitoring}]"),
        "clusters/dev",
        "they wait for each other: ",
    ),
    "a folder is misspelt": (
        swap(ENTRIES, "./addons/keda", "./addons/kedda"),
        "addons/kedda",
        "path not found",
    ),
    "a file is not there": (
        swap("addons/keda/kustomization.yaml", "release.yaml", "releases.yaml"),
        "addons/keda",
        "does not build",
    ),
    "a variable is misspelt": (
        swap(SECRETS, "${region}", "${regoin}"),
        "addons/secrets",
        "variable not set (strict mode): 'regoin'",
    ),
    "an API is removed": (
        swap(SECRETS, "external-secrets.io/v1\n", "external-secrets.io/v1beta1\n"),
        "addons/secrets",
        "external-secrets.io/v1beta1 is removed, deprecated or unknown; external-secrets.io/v1 is",
    ),
    "an API of Flux is removed": (
        swap("automation/policies.yaml", "toolkit.fluxcd.io/v1\n", "toolkit.fluxcd.io/v1beta2\n"),
        "automation",
        "image.toolkit.fluxcd.io/v1 is",
    ),
    "a Secret is in Git": (add(SECRETS, SECRET), "addons/secrets", "never in Git"),
    "two entry points write one object": (
        add(SECRETS, AGAIN),
        "addons/",
        "and both would write it",
    ),
    "a reference leads elsewhere": (
        swap(
            "automation/update.yaml", "name: automation}", "name: automation, namespace: tenants}"
        ),
        "automation",
        "sourceRef is in the namespace tenants",
    ),
    "an image is named by a tag": (add(SECRETS, JOB), "addons/secrets", "example.com/b:latest is"),
    "an add-on acts as nobody": (
        swap("addons/common/release.yaml", "  serviceAccountName: helm-controller\n", ""),
        "addons/keda",
        "it names no serviceAccountName",
    ),
    "a chart of any version": (
        swap("addons/keda/release.yaml", '"${keda_version}"', '">=2"'),
        "addons/keda",
        "'>=2' is none",
    ),
    "the latest of an add-on": (
        swap("addons/karpenter/source.yaml", 'tag: "${karpenter_version}"', 'semver: ">=1"'),
        "addons/karpenter",
        "it names one version",
    ),
    "a release is named by a tag": (
        swap(BASIC, NO_RELEASE, '  ref: {tag: "1.4.0"}'),
        "releases/dev",
        "a release is named by its digest",
    ),
    "a release is not verified": (
        swap("releases/base/all.yaml", "    provider: cosign\n", "    provider: notation\n"),
        "releases/dev",
        "a release is verified",
    ),
    "verification is turned off": (
        add(
            "releases/dev/kustomization.yaml", PATCH.format(op="{op: remove, path: /spec/verify}")
        ),
        "releases/dev",
        "OCIRepository basic-r0: a release is verified",
    ),
    "a release is verified with somebody's keys": (
        add("releases/dev/kustomization.yaml", PATCH.format(op=OTHER_KEYS)),
        "releases/dev",
        "OCIRepository tenant-module-r2: a release is verified",
    ),
    "a digest is cut short": (
        swap(BASIC, NO_RELEASE, '  ref: {tag: "1.4.0", digest: "sha256:0"}'),
        BASIC,
        "'ref: {tag",
    ),
    "a release is named, and no key": (
        swap(BASIC, NO_RELEASE, f'  ref: {{tag: "1.4.0", digest: "{DIGEST}"}}'),
        "keys/dev",
        "no key is here",
    ),
    "a private key is among the public": (
        write("keys/dev/one.pub", f"-----BEGIN ENCRYPTED SIGSTORE {'PRIVATE'} KEY-----\n"),
        "keys/dev/one.pub",
        "it is no public key",
    ),
    "the keys' Secret holds something else": (
        swap("keys/dev/kustomization.yaml", "files: *keys", "literals: [password=hunter2]"),
        "releases/dev",
        "Secret release-keys: a Secret is never in Git",
    ),
    "a tenant's file is no YAML": (write(ACME, "a: [\n"), ACME, ""),
    "a tenant is of no tier": (swap(ACME, "tier: basic", "tier: gold"), ACME, "tier"),
    "a tenant's pool is not there": (swap(ACME, "pool-1", "pool-7"), ACME, "no pool pool-7"),
    "a tenant has two files": (
        write(OTHER_SHARD, file_of(a_tenant("acme")).decode()),
        OTHER_SHARD,
        f"it belongs at {ACME}",
    ),
    "a tenant names an image": (add(ACME, "    image: evil\n"), ACME, ""),
    "a need is no list": (
        swap(ENTRIES, "dependsOn: [{name: karpenter}]", "dependsOn: karpenter"),
        "clusters/dev",
        "nodes: spec.dependsOn: ",
    ),
    "a need of another's is no list": (
        swap("clusters/base/delivery.yaml", "[{name: secrets}, ", "[secrets, "),
        "clusters/dev",
        "notifications: spec.dependsOn.0: ",
    ),
    "a fact is a number": (
        swap(FACTS, "vpc_cidr: 10.16.0.0/16", "vpc_cidr: 5"),
        "notifications",
        "variable not set (strict mode): 'vpc_cidr'",
    ),
    "a release has no chart": (
        swap("addons/keda/release.yaml", "  chart:\n", "  chart: keda\n  was:\n"),
        "addons/keda",
        "it is not of the form of its kind",
    ),
    "two entry points build one folder": (
        swap(ENTRIES, "path: ./addons/keda", "path: ./addons/external-secrets"),
        "addons/external-secrets",
        "and both would write it",
    ),
    "a link leads nowhere": (nowhere, "addons/keda/more.yaml", "a symbolic link does not belong"),
    "a link leads out": (linked, "tenants/dev/a/evil.yaml", "a symbolic link does not belong"),
}


def test_the_fleet_as_it_starts_may_be_merged() -> None:
    """In every environment."""
    done = check(FLEET)

    assert 0 == done.exit_code, done.output
    assert "may be merged" in done.stdout


def test_an_inhabited_fleet_may_be_merged(dev: Path) -> None:
    """With nothing left behind in it."""
    before = sorted(path.relative_to(dev) for path in dev.rglob("*"))

    assert 0 == check(dev).exit_code
    assert before == sorted(path.relative_to(dev) for path in dev.rglob("*"))


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(dev: Path, mistake: str) -> None:
    """By its place and what is wrong there; the status says so to who merges."""
    change, path, text = MISTAKES[mistake]
    change(dev)

    done = check(dev, "--output=json")

    assert 2 == done.exit_code, done.output
    found = json.loads(done.stdout)
    assert any(each["path"].startswith(path) and text in each["text"] for each in found), found


def test_without_kubectl_it_is_not_called_well(tmp_path: Path) -> None:
    """Nothing was built: the status is another one than of a mistake."""
    done = CliRunner().invoke(app, ["check-fleet", str(FLEET)], env={"PATH": str(tmp_path)})

    assert 6 == done.exit_code
    assert "kubectl is not installed" in done.stderr


def test_what_is_no_fleet_is_refused(tmp_path: Path) -> None:
    """And not called well because nothing is in it."""
    done = check(tmp_path)

    assert 2 == done.exit_code
    assert "is no fleet" in done.stderr
