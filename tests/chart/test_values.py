"""Values that are wrong never render: the message names the key, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from chart.render import (
    ADVANCED,
    BASIC,
    CHART,
    EXAMPLES,
    KINDS,
    PHASES,
    POOL,
    PREMIUM,
    ROOT,
    SCHEMA,
    RefusedError,
    changed,
    example,
    mistakes,
    moving,
    refusal,
    render,
    values,
)
from chart.test_names import is_tenant
from chart.test_workloads import SETTINGS, snake
from tenantry.settings import ENVIRONMENT_PATTERN, POOL_PATTERN

RULE = json.loads((ROOT / "libs/tenantry/src/tenantry/data/tenant_id.json").read_bytes())
SCHEMA_SAYS = jsonschema_rs.Draft7Validator(SCHEMA)
#: Every key there is, with a value that is right.
EVERYTHING = example("everything")
#: The same of a move, which EVERYTHING cannot be in while it has no place to leave.
MOVE = moving(PREMIUM, "copying", "advanced", "pool-1")

DEFAULTS: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))

Node = dict[str, Any]


def nodes() -> Iterator[tuple[str, Node, dict[str, Any]]]:
    """Every key of the schema, by its path, with values in which it may stand."""
    for path, node in _nodes("", SCHEMA):
        yield path, node, MOVE if path.startswith("instance.transition") else EVERYTHING


def _nodes(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    for key, found in node.get("properties", {}).items():
        inner = f"{path}.{key}" if path else key
        resolved = dict(found)
        for each in found.get("allOf", []):
            if "$ref" in each:
                resolved |= SCHEMA["definitions"][each["$ref"].rpartition("/")[2]]
        yield inner, resolved
        yield from _nodes(inner, resolved)


def cases(*kinds: str) -> list[Any]:
    """Parameters: the keys whose schema has one of these words."""
    return [
        pytest.param(path, node, given_values, id=path)
        for path, node, given_values in nodes()
        if any(kind in node for kind in kinds)
    ]


def objects() -> list[Any]:
    """Parameters: the objects, the root among them, that take no other key."""
    found = [("", SCHEMA, EVERYTHING), *nodes()]
    return [
        pytest.param(path, node, given_values, id=path or "root")
        for path, node, given_values in found
        if node.get("additionalProperties") is False
    ]


def required() -> list[Any]:
    """Parameters: each key that must be there."""
    found = [("", SCHEMA, EVERYTHING), *nodes()]
    return [
        pytest.param(f"{path}.{key}" if path else key, given_values, id=f"{path}.{key}")
        for path, node, given_values in found
        for key in node.get("required", [])
    ]


def last(path: str) -> str:
    return path.rpartition(".")[2]


def refused(given_values: dict[str, Any], path: str) -> str:
    """The text of the refusal, which names the key's whole path."""
    said = refusal(given_values)
    assert f"'/{'/'.join(path.split('.')[:-1])}" in said or path in said, said
    assert last(path) in said, said
    return said


# One key at a time


@pytest.mark.parametrize(("path", "given_values"), required())
def test_a_key_that_is_missing_is_named(path: str, given_values: dict[str, Any]) -> None:
    """Also where the chart has a default: null takes that away."""
    without = changed(given_values, path, None)
    *parents, key = path.split(".")
    defaults, inside = DEFAULTS, without
    for parent in parents:
        defaults, inside = defaults.get(parent, {}), inside[parent]
    if key not in defaults:
        del inside[key]
    said = refused(without, path)

    assert "missing property" in said or "got null" in said


@pytest.mark.parametrize(("path", "node", "given_values"), objects())
def test_a_key_that_nobody_knows_is_named(
    path: str, node: Node, given_values: dict[str, Any]
) -> None:
    """On every level, the first one included."""
    key = f"{path}.replicaCuont".lstrip(".")

    assert "additional properties 'replicaCuont' not allowed" in refused(
        changed(given_values, key, 1), key
    )


@pytest.mark.parametrize(("path", "node", "given_values"), cases("enum"))
def test_a_value_that_is_none_of_a_list_is_named(
    path: str, node: Node, given_values: dict[str, Any]
) -> None:
    """With the list."""
    said = refused(changed(given_values, path, "platinum"), path)

    assert str(node["enum"][0]) in said


@pytest.mark.parametrize(("path", "node", "given_values"), cases("pattern"))
@pytest.mark.parametrize(
    "value",
    ["a b", "a\nb", "${x}", "../x", "x;y", "\u00e4"],
    ids=["space", "newline", "dollar", "dots", "semicolon", "umlaut"],
)
def test_a_value_that_is_off_its_pattern_is_named(
    path: str, node: Node, given_values: dict[str, Any], value: str
) -> None:
    """Whatever would mean something else in YAML, a shell, a path or a template."""
    assert "does not match pattern" in refused(changed(given_values, path, value), path)


@pytest.mark.parametrize(("path", "node", "given_values"), cases("minimum"))
def test_a_number_out_of_bounds_is_named(
    path: str, node: Node, given_values: dict[str, Any]
) -> None:
    """Below, above, and as text."""
    below, above = node["minimum"] - 1, node["maximum"] + 1
    for value, said in ((below, "minimum"), (above, "maximum"), ("1", "got string")):
        assert said in refused(changed(given_values, path, value), path)
    if node["type"] == "integer":
        refused(changed(given_values, path, node["minimum"] + 0.5), path)


@pytest.mark.parametrize(
    ("path", "node", "given_values"),
    [each for each in cases("type") if each.values[1]["type"] in {"boolean", "string", "array"}],
)
def test_a_value_of_another_type_is_named(
    path: str, node: Node, given_values: dict[str, Any]
) -> None:
    """Numbers are no text, text is no list, and "false" is no truth value."""
    value: Any = 5 if node["type"] == "string" else "false"

    assert f"want {node['type']}" in refused(changed(given_values, path, value), path)


def test_every_object_of_the_schema_is_closed() -> None:
    """But for maps of labels and tags, whose keys are their users'."""
    open_ones = [
        path
        for path, node, _ in nodes()
        if node.get("type") == "object" and node.get("additionalProperties") is not False
    ]

    assert ["facts.monitoring.labels", "facts.module.tags"] == open_ones


def test_the_example_of_everything_has_every_key() -> None:
    """Else the tests above would set what is not there."""
    for path, _, given_values in nodes():
        inside: Any = given_values
        for key in path.split("."):
            if path.startswith(("instance.pool", "images")) or not isinstance(inside, dict):
                break
            assert key in inside, path
            inside = inside[key]


# Rules between keys


RULES = {
    "a tenant without a tier": (values({"id": "acme"}), "missing property 'tier'"),
    "a basic tenant without a pool": (
        values({"id": "acme", "tier": "basic"}),
        "missing property 'pool'",
    ),
    "an advanced tenant without a pool": (
        values({"id": "acme", "tier": "advanced"}),
        "missing property 'pool'",
    ),
    "a premium tenant in a pool": (
        values({**PREMIUM, "pool": "pool-1"}),
        "'/instance/pool': value must be 'absent: a premium tenant is in no pool'",
    ),
    "a pool whose name is a tenant's": (
        values({**POOL, "id": "acme"}),
        "'/instance/id': 'acme' does not match pattern '^pool-",
    ),
    "a pool of another tier": (
        values({**POOL, "tier": "premium"}),
        "'/instance/tier': value must be 'basic'",
    ),
    "a pool in a pool": (values({**POOL, "pool": "pool-2"}), "/instance/pool"),
    "a pool that moves": (
        values({**POOL, "transition": {"from": {"tier": "premium"}, "phase": "copying"}}),
        "/instance/transition",
    ),
    "a basic tenant with overrides": (
        values({**BASIC, "overrides": {"consumer": {"cpu": 100}}}),
        "'/instance/overrides': value must be 'absent: a basic tenant has nothing of its own",
    ),
    "a basic tenant with a plan": (
        values({**BASIC, "terraform": {"approvePlan": "auto"}}),
        "/instance/terraform",
    ),
    "an advanced tenant with a load balancer": (
        values({**ADVANCED, "group": "premium-2"}),
        "'/instance/group': value must be 'absent: only a premium tenant chooses",
    ),
    "a move that is offboarded": (
        values({**moving(PREMIUM, "copying", "advanced", "pool-1")["instance"]})
        | {
            "instance": {
                **moving(PREMIUM, "copying", "advanced", "pool-1")["instance"],
                "phase": "offboarding",
            }
        },
        "/instance/transition",
    ),
    "a move from a pool that is not named": (
        moving(PREMIUM, "copying", "basic"),
        "'/instance/transition/from': missing property 'pool'",
    ),
    "a move from a premium tenant's pool": (
        moving(BASIC, "copying", "premium", "pool-2"),
        "/instance/transition/from/pool",
    ),
    "a move to where it is": (
        moving(ADVANCED, "copying", "advanced", "pool-1"),
        "instance.transition.from is where globex is to go (advanced pool-1)",
    ),
    "a premium tenant's move to where it is": (
        moving(PREMIUM, "copying", "premium"),
        "instance.transition.from is where acme is to go (premium)",
    ),
    "fewer replicas than more": (
        values({**PREMIUM, "overrides": {"consumer": {"minReplicas": 20, "maxReplicas": 10}}}),
        "instance.overrides.consumer: minReplicas (20) is more than maxReplicas (10)",
    ),
    "one replica in a pool": (
        values({**POOL, "overrides": {"producer": {"minReplicas": 1}}}),
        "instance.overrides.producer.minReplicas is 1: a pool has at least 2",
    ),
    "a queue's buffer above all": (
        values(
            {**PREMIUM, "overrides": {"producer": {"settings": {"queueBufferBytes": 67108864}}}}
        ),
        "queueBufferBytes (67108864) is more than bufferBytes (33554432)",
    ),
    "a hand that no poll fits": (
        values({**PREMIUM, "overrides": {"consumer": {"settings": {"handBytes": 1000000}}}}),
        "settings.handBytes is 1000000, and one poll can bring 2621440",
    ),
    "overrides of what is the pool's": (
        values({**ADVANCED, "overrides": {"producer": {"cpu": 500}}}),
        "instance.overrides.producer: globex has no producer of its own",
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_what_does_not_fit_together_is_refused_in_words(name: str) -> None:
    """By the schema where it can say so, by a template else."""
    given_values, said = RULES[name]

    assert said in refusal(given_values)


def test_a_pools_tier_may_be_said() -> None:
    """As Terraform's module takes it, too: it is basic."""
    assert len(render(values(POOL))) == len(render(values({**POOL, "tier": "basic"})))


# Tenants' ids


def test_the_schemas_rule_of_an_id_is_the_services_own() -> None:
    """Pattern, lengths, reserved ids and prefixes: those of the one data file."""
    rule = SCHEMA["definitions"]["tenantId"]
    listed, prefixed = rule["if"]["anyOf"]

    assert (RULE["pattern"], RULE["min_length"], RULE["max_length"]) == (
        rule["pattern"],
        rule["minLength"],
        rule["maxLength"],
    )
    assert RULE["reserved"] == listed["enum"]
    assert f"^({'|'.join(RULE['reserved_prefixes'])})" == prefixed["pattern"]
    for each in (*RULE["reserved"], *RULE["reserved_prefixes"]):
        assert each in rule["then"]["const"]


def test_patterns_are_the_services_own() -> None:
    """Of environments and pools."""
    facts = SCHEMA["properties"]["facts"]["properties"]

    assert ENVIRONMENT_PATTERN == facts["environment"]["pattern"]
    assert POOL_PATTERN == SCHEMA["definitions"]["pool"]["pattern"]


#: What a reader of YAML takes for something else than text.
WORDS = st.sampled_from(
    [
        *("true", "false", "null", "yes", "no", "off", "on", "y", "n", "~"),
        "0123",
        "1e3",
        "12345678",
    ]
)
IDS = st.one_of(
    st.text(max_size=40),
    WORDS,
    st.from_regex(RULE["pattern"], fullmatch=True),
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from([*RULE["reserved"], *RULE["reserved_prefixes"], "acme", "a"]),
            st.sampled_from(["", "x", "-x", "-", "..", "/", " ", "\n", "${x}", "A", "x" * 30]),
        ),
    ),
)


@settings(max_examples=150, deadline=None)
@given(name=IDS)
def test_the_schema_takes_the_ids_that_the_services_take(name: str) -> None:
    """And no others, whatever they hold."""
    given_values = {**EVERYTHING, "instance": {**EVERYTHING["instance"], "id": name}}

    assert is_tenant(name) == SCHEMA_SAYS.is_valid(given_values)


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(name=IDS)
def test_helm_takes_the_ids_that_the_services_take(name: str) -> None:
    """Its validator reads patterns in its own way; it says what is wrong with the others."""
    if is_tenant(name):
        assert render(values({**BASIC, "id": name}))
    else:
        assert "/instance/id" in refusal(values({**BASIC, "id": name}))


@pytest.mark.parametrize("name", ["default", "tenants", "pool-9", "kube-x", "flux-x", "argocd"])
def test_a_reserved_id_is_refused_with_the_list(name: str) -> None:
    """A pattern alone would leave a person guessing."""
    assert "an id that is not reserved: default, tenants" in refusal(
        values({**PREMIUM, "id": name})
    )


# Settings


@pytest.mark.parametrize("service", SETTINGS)
def test_bounds_of_settings_are_the_services_own(service: str) -> None:
    """No wider, or a pod would end at its start; timings in whole seconds."""
    model = SETTINGS[service].model_json_schema()["properties"]
    override = SCHEMA["properties"]["instance"]["properties"]["overrides"]["properties"][service]
    for key, node in override["properties"]["settings"]["properties"].items():
        own = model[snake(key)]
        if "enum" in own:
            assert own["enum"] == node["enum"], key
            continue
        least = own.get("minimum", own.get("exclusiveMinimum", 0))
        assert node["minimum"] >= least, key
        assert not ("exclusiveMinimum" in own and node["minimum"] == least), key
        if "minimum" in own and node["type"] == own["type"]:
            assert own["minimum"] == node["minimum"], key
        if "maximum" in own:
            assert own["maximum"] == node["maximum"], key


# What is taken renders


INSTANCES = st.one_of(
    st.fixed_dictionaries(
        {
            "id": st.one_of(
                st.from_regex(r"[a-z][a-z0-9]{2,9}(-[a-z0-9]{1,9})?", fullmatch=True), WORDS
            ).filter(is_tenant)
        }
    ).flatmap(
        lambda base: st.sampled_from(
            [
                {**base, "tier": "premium"},
                {**base, "tier": "advanced", "pool": "pool-1"},
                {**base, "tier": "basic", "pool": "pool-a-1"},
            ]
        )
    ),
    st.just(POOL),
)
PLACES = st.sampled_from(
    [
        {"tier": "premium"},
        {"tier": "advanced", "pool": "pool-1"},
        {"tier": "advanced", "pool": "pool-2"},
        {"tier": "basic", "pool": "pool-1"},
        {"tier": "basic", "pool": "pool-2"},
    ]
)
MOVE_PHASES = SCHEMA["properties"]["instance"]["properties"]["transition"]["properties"]["phase"][
    "enum"
]


def _of(node: Node) -> st.SearchStrategy[Any]:
    """Values that a key's schema takes, of the simple ones."""
    if "enum" in node:
        return st.sampled_from(node["enum"])
    kinds: dict[str, st.SearchStrategy[Any]] = {
        "boolean": st.booleans(),
        "integer": st.integers(node.get("minimum", 0), node.get("maximum", 0)),
        "number": st.floats(node.get("minimum", 0), node.get("maximum", 1)),
    }
    return kinds[node["type"]]


FACTS = SCHEMA["properties"]["facts"]["properties"]
#: Of namespaces, classes and node pools.
NAMES = st.one_of(st.just("plain"), WORDS.filter(str.isalnum))
LABELS = st.dictionaries(WORDS.filter(str.isalpha), WORDS.filter(str.isalnum), max_size=3)


@st.composite
def any_values(draw: st.DrawFn) -> dict[str, Any]:
    """Instance and facts, of which the schema takes most."""
    instance: dict[str, Any] = dict(draw(INSTANCES))
    if instance.get("kind") != "pool" and draw(st.booleans()):
        instance["transition"] = {
            "from": draw(PLACES),
            "phase": draw(st.sampled_from(MOVE_PHASES)),
        }
    elif draw(st.booleans()):
        instance["phase"] = "offboarding"
    instance["ring"] = draw(st.sampled_from(["r0", "r1", "r2"]))
    if draw(st.booleans()):
        instance["overrides"] = {
            "consumer": {
                "minReplicas": draw(st.integers(1, 4)),
                "maxReplicas": draw(st.integers(2, 9)),
            }
        }
    return values(
        instance,
        addons={key: draw(_of(node)) for key, node in FACTS["addons"]["properties"].items()},
        routes={key: draw(_of(FACTS["routes"]["properties"][key])) for key in ("kind", "byHeader")}
        | {"className": draw(NAMES), "gatewayNamespace": draw(NAMES)},
        nodePools={tier: draw(NAMES) for tier in FACTS["nodePools"]["properties"]},
        monitoring={"namespace": draw(NAMES), "labels": draw(LABELS)},
        module={"source": draw(NAMES), "tags": draw(LABELS)},
        identity={"mode": draw(_of(FACTS["identity"]["properties"]["mode"]))},
        telemetry={"endpoint": draw(st.sampled_from(["", "http://otel:4318", "https://otel.x"]))},
        local={"awsEndpointUrl": draw(st.sampled_from(["", "http://10.0.0.1:4566"]))},
    )


@settings(max_examples=40, deadline=None, phases=PHASES)
@given(given_values=any_values())
def test_what_is_taken_renders_and_fits_its_kinds(given_values: dict[str, Any]) -> None:
    """Or is refused for a reason in words: nothing breaks a template, nothing renders halfway."""
    try:
        found = render(given_values)
    except RefusedError as refused_for:
        said = str(refused_for)
        assert "nil pointer" not in said
        assert "instance" in said
        return

    assert found
    assert [] == [mistake for each in found for mistake in mistakes(each)]


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_readers_of_the_schema_agree(name: str) -> None:
    """What an editor or tenantctl accepts, with the chart's defaults, Helm does."""
    helm_python = pytest.importorskip("helm_python")
    merged = helm_python.Chart.load(str(CHART)).merge_values(example(name))

    assert SCHEMA_SAYS.is_valid(merged)


@pytest.mark.parametrize("kind", KINDS)
def test_values_without_defaults_are_a_tenants_file(kind: str) -> None:
    """The instance alone, as it stands in the fleet, is held to the same rules."""
    defaults = {"kind": "tenant", "ring": "r2", "phase": "active"}
    alone = changed(EVERYTHING, "instance", {**defaults, **KINDS[kind]})

    assert SCHEMA_SAYS.is_valid(alone)
