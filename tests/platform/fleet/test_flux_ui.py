"""Flux's UI: behind a login, and with the rights of somebody who looks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).resolve().parents[3] / "platform" / "fleet" / "addons" / "flux-ui"
#: What each who is logged in is, in the cluster.
READER: Final = "tenantry:flux-ui"


def objects(name: str) -> list[dict[str, Any]]:
    """What a file brings."""
    return list(yaml.safe_load_all((FOLDER / name).read_text("utf-8")))


def release() -> dict[str, Any]:
    """The release's spec."""
    [found] = objects("release.yaml")
    said: dict[str, Any] = found["spec"]
    return said


def config() -> dict[str, Any]:
    """The UI's configuration, with words in place of what the secret holds."""
    [found] = objects("login.yaml")
    text = found["spec"]["target"]["template"]["data"]["config.yaml"]
    filled: dict[str, Any] = yaml.safe_load(re.sub(r"\{\{.*?\}\}", "filled", text))["spec"]
    return filled


def test_nobody_looks_without_a_login() -> None:
    """OIDC it is, of one group; and without its configuration the UI does not start."""
    authentication = config()["authentication"]

    assert "OAuth2" == authentication["type"]
    assert "anonymous" not in authentication
    assert "OIDC" == authentication["oauth2"]["provider"]
    assert authentication["oauth2"]["validations"]
    values = release()["values"]
    [login] = objects("login.yaml")
    [volume] = values["extraVolumes"]
    assert login["spec"]["target"]["name"] == volume["secret"]["secretName"]
    assert "optional" not in volume["secret"]
    [mount] = values["extraVolumeMounts"]
    assert [f"--web-config={mount['mountPath']}/config.yaml"] == values["extraArgs"]


def test_a_claim_is_nobodys_rights() -> None:
    """Whoever logs in is the same reader: the one that the UI may be, and that has rights."""
    oauth2 = config()["authentication"]["oauth2"]
    assert {"username": f"'{READER}'", "groups": f"['{READER}']"} == oauth2["impersonation"]
    [bound] = [each for each in objects("rights.yaml") if each["kind"] == "ClusterRoleBinding"]
    assert READER in {subject["name"] for subject in bound["subjects"]}
    [patched] = [
        patch for each in release()["postRenderers"] for patch in each["kustomize"]["patches"]
    ]
    [change] = yaml.safe_load(patched["patch"])
    assert ("replace", "/rules") == (change["op"], change["path"])
    [rule] = change["value"]
    assert (["impersonate"], [READER]) == (rule["verbs"], rule["resourceNames"])


def test_who_looks_reads_no_secret_and_changes_nothing() -> None:
    """Neither by name nor by a star."""
    [role] = [each for each in objects("rights.yaml") if each["kind"] == "ClusterRole"]
    for rule in role["rules"]:
        assert {"get", "list", "watch"} == set(rule["verbs"])
        assert "*" not in rule["apiGroups"]
        if "" in rule["apiGroups"]:
            assert not {"*", "secrets", "configmaps"} & set(rule["resources"])
