from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tenantry_loadtests.settings import read_settings
from tenantry_loadtests.tenants import read_tenants
from tenantry_loadtests.thresholds import read_conditions

LOADTESTS: Final = Path(__file__).resolve().parents[3] / "loadtests"
FOLDER: Final = LOADTESTS / "kubernetes"


def read(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


KUSTOMIZATION: Final = read("kustomization.yaml")
JOBS: Final = ("master.yaml", "worker.yaml")


def test_every_file_is_applied() -> None:
    """None is forgotten in the kustomization, none is named that is not there."""
    generated = [
        name for one in KUSTOMIZATION["configMapGenerator"] for name in one.get("files", [])
    ]
    named = {*KUSTOMIZATION["resources"], *generated, "kustomization.yaml"}
    assert named == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("name", JOBS)
def test_pods_are_restricted(name: str) -> None:
    """As the namespace enforces: no root, no privileges, no writable root, no API token."""
    pod = read(name)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]) == {"requests", "limits"}
    namespace = read("namespace.yaml")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", JOBS)
def test_tokens_are_files_and_nothing_else(name: str) -> None:
    """From a Secret, mounted read-only; none is in the environment or an argument."""
    pod = read(name)["spec"]["template"]["spec"]
    [container] = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    assert volumes["tokens"]["secret"] == {"secretName": "loadtest-tokens", "defaultMode": 0o440}
    assert mounts["tokens"]["readOnly"] is True
    assert "args" not in container
    assert "command" not in container
    assert not any("valueFrom" in variable for variable in container["env"])
    entries = read_tenants(FOLDER / "tenants.json")
    where = mounts["tokens"]["mountPath"]
    assert all(entry.token_file == f"{where}/{entry.tenant}" for entry in entries)


def test_images_are_named_by_digest() -> None:
    """By a placeholder that nobody can pull; no tag moves anywhere."""
    [image] = KUSTOMIZATION["images"]
    assert re.fullmatch(r"sha256:0{64}", image["digest"])
    assert image["newName"].startswith("registry.invalid/")
    for name in JOBS:
        [container] = read(name)["spec"]["template"]["spec"]["containers"]
        assert container["image"] == image["name"]
    bases = re.findall(r"^FROM (\S+)", (LOADTESTS / "Dockerfile").read_text(), re.MULTILINE)
    assert bases == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]


def test_the_settings_are_understood() -> None:
    """By the same code that will read them, master's and worker's."""
    [literals] = [
        one["literals"] for one in KUSTOMIZATION["configMapGenerator"] if "literals" in one
    ]
    environ = dict(literal.split("=", 1) for literal in literals)
    [master] = read("master.yaml")["spec"]["template"]["spec"]["containers"]
    environ |= {variable["name"]: variable["value"] for variable in master["env"]}
    settings = read_settings([], environ)
    assert settings.bind == ("0.0.0.0", 5557)
    assert len(read_conditions(settings.fail_on or "")) == 5
    worker = read("worker.yaml")["spec"]
    assert worker["parallelism"] == worker["completions"] == settings.expect_workers
    [container] = worker["template"]["spec"]["containers"]
    theirs = read_settings([], {one["name"]: one["value"] for one in container["env"]})
    service = read("service.yaml")
    assert theirs.master == (service["metadata"]["name"], service["spec"]["ports"][0]["port"])


def test_nobody_but_workers_reaches_the_master() -> None:
    """Its port asks nobody who they are."""
    policy = read("network-policy.yaml")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    [rule] = policy["ingress"]
    [peer] = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "worker"
    assert [port["port"] for port in rule["ports"]] == [5557]


def test_labels_reach_the_pods() -> None:
    """Service and policy select by them."""
    [labels] = KUSTOMIZATION["labels"]
    assert labels["includeTemplates"] is True
    for name, component in zip(JOBS, ("master", "worker"), strict=True):
        template = read(name)["spec"]["template"]
        assert template["metadata"]["labels"]["app.kubernetes.io/component"] == component


def test_the_example_list_holds_no_token() -> None:
    """It is in Git."""
    assert "eyJ" not in json.dumps(read("kustomization.yaml"))
    assert "token_file" in (FOLDER / "tenants.json").read_text()
