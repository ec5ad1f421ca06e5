"""Text of a wrong shape is refused by the templates, too: the schema can be skipped."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from chart import shapes
from chart.render import (
    ADVANCED,
    CHART,
    EXAMPLES,
    POOL,
    PREMIUM,
    RefusedError,
    changed,
    example,
    helm,
    moving,
    render,
    values,
)
from conftest import Golden

EVERYTHING: Final = example("everything")
#: Values in which a key may stand, where those of EVERYTHING are not.
OTHERS: Final[dict[str, dict[str, Any]]] = {
    "instance.id@pool": values(POOL),
    "instance.pool": values(ADVANCED),
    "instance.transition": moving(PREMIUM, "copying", "advanced", "pool-1"),
    "facts.network": values(PREMIUM),
    "facts.local": values(PREMIUM),
}
#: Text that would be something else in YAML, a shell, a path or a template, and none at all.
BAD: Final = (
    "a b",
    'a"b',
    "a\nb",
    "${x}",
    "../x;",
    "\u00e4",
    "a: b",
    "{{ x }}",
    12345,
    None,
    True,
)


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart without its schema: what is left where somebody skips it."""
    found = tmp_path_factory.mktemp("bare") / CHART.name
    shutil.copytree(CHART, found, ignore=shutil.ignore_patterns("values.schema.json"))
    return found


def refused(bare: Path, given: Mapping[str, Any]) -> str:
    """What the templates alone say; empty where they render."""
    try:
        helm(bare).render(given, "acme")
    except RefusedError as error:
        return str(error)
    return ""


def values_with(path: str) -> dict[str, Any]:
    """Values in which the key of a path may stand."""
    for start, found in OTHERS.items():
        if path.startswith(start):
            return found
    return EVERYTHING


def put(path: str, value: Any) -> dict[str, Any]:
    """Values with this at the key, in a list or a map where the path says so."""
    key = name_of(path)
    if path.endswith(".{}"):
        value = {str(value): "x"}
    elif path.endswith(".[]"):
        value = {"key": value} if key.endswith(("tags", "labels")) else [value]
    return changed(values_with(path), key, value)


def name_of(path: str) -> str:
    """The key as a message has it."""
    return path.partition("@")[0].removesuffix(".[]").removesuffix(".{}")


def test_the_shapes_are_the_schemas(golden: Golden) -> None:
    """Of every text that has a pattern or a list of words; two that differ would be two rules."""
    golden("charts/tenant-template/files/shapes.json", shapes.as_file())


def test_what_rests_on_a_shape_has_one() -> None:
    """Digests, ids, host names, accounts, roles and networks: none is lost in the making."""
    assert {
        "images.producer.digest",
        "images.runner.repository",
        "instance.id@tenant",
        "instance.id@pool",
        "instance.pool",
        "instance.transition.from.pool",
        "instance.overrides.consumer.digest",
        "facts.account",
        "facts.domain",
        "facts.environment",
        "facts.registry",
        "facts.roles.tenantReader",
        "facts.identity.cidrs.[]",
        "facts.network.loadBalancerCidrs.[]",
        "facts.module.tags.{}",
        "facts.tests.neighbours.[]",
    } <= shapes.shapes().keys()


@pytest.mark.parametrize("path", shapes.shapes())
def test_a_text_of_a_wrong_shape_is_refused_without_the_schema(bare: Path, path: str) -> None:
    """By a message that names the key.

    With --skip-schema-validation a digest, an account or a host name went into objects as it was.
    """
    is_key = path.endswith("{}")
    for value in BAD[: 3 if is_key else len(BAD)]:
        if is_key and value == "a b" and path.endswith("tags.{}"):
            continue  # tags may hold spaces
        said = refused(bare, put(path, value))
        assert f"{name_of(path)} is " in said, (value, said)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("instance.id@tenant", "ab", "to have 3 to 32 characters"),
        ("instance.id@tenant", "a" * 33, "to have 3 to 32 characters"),
        ("instance.id@tenant", "tenant-infra", "which is reserved"),
        ("instance.id@tenant", "pool-9", "which is reserved"),
        ("instance.id@tenant", "argocd", "which is reserved"),
        ("instance.id@pool", "acme", "is to match ^pool-"),
        ("facts.environment", "a" * 21, "to have 0 to 20 characters"),
        ("facts.domain", f"{'a' * 64}.com", "is to match"),
        ("facts.domain", ".".join(["a" * 63] * 4), "to have 0 to 220 characters"),
        ("facts.identity.cidrs.[]", "999.1.1.1/8", "is to match"),
        ("facts.network.endpointCidrs.[]", "10.0.0.0/33", "is to match"),
        ("facts.identity.cidrs.[]", "10.0.0.0/0", "is to match ^(0\\.0\\.0\\.0/0|::/0|"),
        ("facts.identity.cidrs.[]", "128.0.0.0/1", "is to match"),
        ("instance.overrides.consumer.settings.{}", "queueUrl", "is to match ^(shutdownDelay"),
        ("instance.overrides.producer.settings.{}", "registryTable", "is to match ^(shutdown"),
        ("facts.module.tags.{}", "TENANTRY:Tenant", "which is reserved"),
        ("facts.module.tags.{}", "tenantry:tenant", "which is reserved"),
        ("facts.module.tags.{}", "aWs:x", "which is reserved"),
        ("images.producer.digest", "sha256:abc", "is to match"),
        ("instance.tier", "gold", "is to match ^(basic|"),
    ],
)
def test_bounds_and_reserved_words_are_held_without_the_schema(
    bare: Path, path: str, value: str, told: str
) -> None:
    """What a pattern does not say."""
    said = refused(bare, put(path, value))

    assert f"{name_of(path)} is " in said
    assert told in said


@pytest.mark.parametrize("key", ["loadBalancerCidrs", "endpointCidrs"])
@pytest.mark.parametrize("empty", [[], None])
def test_an_empty_list_of_a_network_policy_is_refused_without_the_schema(
    bare: Path, key: str, empty: Any
) -> None:
    """It rendered as `from: null`, which lets everybody in."""
    said = refused(bare, values(PREMIUM, network={key: empty}))

    assert f"facts.network.{key} is empty" in said


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_right_renders_the_same_without_the_schema(bare: Path, name: str) -> None:
    """The schema decides what is taken, and nothing of what is made."""
    assert render(example(name)) == render(example(name), bare)
