"""The chart, rendered: what the tests of this folder look at."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import jsonschema_rs
import pytest
import yaml
from hypothesis import Phase

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "charts" / "tenant-template"
EXAMPLES: Final = sorted(
    path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml")
)
SCHEMA: Final[dict[str, Any]] = json.loads((CHART / "values.schema.json").read_bytes())
TIERS: Final[dict[str, Any]] = yaml.safe_load((CHART / "tiers.yaml").read_text("utf-8"))

#: Libyaml's, ten times as fast.
_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Hypothesis's phases but for shrinking: each try renders the whole chart.
PHASES: Final = (Phase.explicit, Phase.reuse, Phase.generate)

Object = dict[str, Any]


class RefusedError(Exception):
    """Helm rendered nothing; the text is what a person reads."""


class Helm(Protocol):
    """Renders the chart."""

    def render(self, values: Mapping[str, Any], name: str) -> dict[str, str]:
        """Each template's text, by its path.

        Raises:
            RefusedError: The values are wrong.
        """
        ...


class _Sdk:
    """Helm 4's own SDK."""

    def __init__(self, sdk: Any, chart: Path) -> None:
        self._sdk = sdk
        self._chart = sdk.Chart.load(str(chart))

    def render(self, values: Mapping[str, Any], name: str) -> dict[str, str]:
        try:
            found: dict[str, str] = self._chart.render(
                dict(values), name=name, namespace="tenants"
            )
        except self._sdk.HelmError as error:
            raise RefusedError(str(error)) from None
        return found


class _Binary:
    """A `helm` on the PATH, where there is no wheel of the SDK."""

    def __init__(self, chart: Path) -> None:
        self._chart = chart

    def render(self, values: Mapping[str, Any], name: str) -> dict[str, str]:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(dict(values), file)
            file.flush()
            command = [
                "helm",
                "template",
                name,
                str(self._chart),
                "-n",
                "tenants",
                "-f",
                file.name,
            ]
            ran = subprocess.run(command, check=False, capture_output=True, text=True)
        if ran.returncode:
            raise RefusedError(ran.stderr)
        found: dict[str, str] = {}
        for text in ran.stdout.split("---\n# Source: ")[1:]:
            path, _, body = text.partition("\n")
            found[path] = f"{found.get(path, '')}---\n{body}"
        return found


@cache
def helm(chart: Path = CHART) -> Helm:
    """The SDK, or a binary; the test is skipped where there is neither."""
    try:
        import helm_python  # noqa: PLC0415 - there is a wheel for some machines only
    except ImportError:
        if shutil.which("helm") is None:
            # Nothing else renders a chart; where CI sets TENANTRY_REQUIRE=all this is a failure.
            pytest.skip("neither helm-python-sdk nor a helm on the PATH")
        return _Binary(chart)
    return _Sdk(helm_python, chart)


def example(name: str) -> dict[str, Any]:
    """The values of a committed example."""
    found: dict[str, Any] = yaml.load(
        (CHART / "ci" / f"{name}-values.yaml").read_text("utf-8"), _Loader
    )
    return found


def values(instance: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
    """Values of an instance in `dev`, with these facts beside the least."""
    return {"instance": dict(instance), "facts": {"environment": "dev", **facts}}


PREMIUM: Final = {"id": "acme", "tier": "premium"}
ADVANCED: Final = {"id": "globex", "tier": "advanced", "pool": "pool-1"}
BASIC: Final = {"id": "initech", "tier": "basic", "pool": "pool-1"}
POOL: Final = {"kind": "pool", "id": "pool-1"}
KINDS: Final = {"premium": PREMIUM, "advanced": ADVANCED, "basic": BASIC, "pool": POOL}


def moving(
    to: Mapping[str, Any], phase: str, tier: str, pool: str | None = None
) -> dict[str, Any]:
    """Values of a tenant on its way from this tier to an instance."""
    left = {"tier": tier} | ({"pool": pool} if pool else {})
    return values({**to, "transition": {"from": left, "phase": phase}})


def texts(given: Mapping[str, Any], chart: Path = CHART) -> dict[str, str]:
    """Each template's text, by its path.

    Raises:
        RefusedError: The values are wrong.
    """
    instance = given.get("instance") or {}
    return helm(chart).render(given, str(instance.get("id", "release"))[:50] or "release")


def render(given: Mapping[str, Any], chart: Path = CHART) -> list[Object]:
    """All objects, in the order of their templates.

    Raises:
        RefusedError: The values are wrong.
    """
    return [
        found
        for path, text in sorted(texts(given, chart).items())
        if not path.endswith("NOTES.txt")
        for found in yaml.load_all(text, _Loader)
        if found is not None
    ]


def refusal(given: Mapping[str, Any]) -> str:
    """What a person reads of values that are wrong; fails where they are not."""
    try:
        render(given)
    except RefusedError as refused:
        return str(refused)
    pytest.fail("these values render")


@cache
def rendered(name: str) -> list[Object]:
    """The objects of a committed example; they are shared, so nobody changes them."""
    return render(example(name))


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """The objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def named(objects: list[Object], kind: str, name: str) -> Object:
    """The one of this kind and name."""
    [found] = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def who(found: Object) -> str:
    """Kind, namespace and name."""
    metadata = found["metadata"]
    place = f"{metadata['namespace']}/" if "namespace" in metadata else ""
    return f"{found['kind']} {place}{metadata['name']}"


def pods(objects: list[Object]) -> dict[str, dict[str, Any]]:
    """The spec of each pod that objects describe, by who describes it."""
    return {
        who(each): each["spec"]["template"]["spec"]
        if each["kind"] == "Deployment"
        else each["spec"]
        for each in objects
        if each["kind"] in {"Deployment", "Pod"}
    }


def environment(objects: list[Object], name: str) -> dict[str, str]:
    """What a Deployment's container is told."""
    [container] = pods([named(objects, "Deployment", name)])[
        f"Deployment {named(objects, 'Deployment', name)['metadata']['namespace']}/{name}"
    ]["containers"]
    return {each["name"]: each["value"] for each in container["env"]}


def changed(given: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The same values with another at `a.b.c`; None removes a default, as in Helm."""
    found = copy.deepcopy(dict(given))
    *parents, last = path.split(".")
    inside = found
    for key in parents:
        inside = inside.setdefault(key, {})
    inside[last] = value
    return found


# What the API server takes


@cache
def _schemas() -> dict[str, Any]:
    source = json.loads(Path(__file__).with_name("schemas.json").read_bytes())
    return {
        kind: jsonschema_rs.Draft202012Validator({**schema, "definitions": source["definitions"]})
        for kind, schema in source["kinds"].items()
    }


def mistakes(found: Object) -> list[str]:
    """What is wrong with an object by the schema of its kind; empty if nothing is."""
    kind = f"{found['apiVersion']} {found['kind']}"
    if kind not in _schemas():
        return [f"{who(found)}: no schema of {kind}"]
    return [
        f"{who(found)}: {'.'.join(map(str, error.instance_path))}: {error.message[:200]}"
        for error in _schemas()[kind].iter_errors(found)
    ]
