"""What the fixes of a review refuse: each of these once rendered, and broke something later."""

from __future__ import annotations

from typing import Any, Final

import pytest

from chart.render import (
    ADVANCED,
    BASIC,
    KINDS,
    PREMIUM,
    changed,
    environment,
    moving,
    named,
    of_kind,
    pods,
    refusal,
    render,
    rendered,
    values,
)
from chart.test_moves import PHASES, refusal_in

PREMIUM_VALUES: Final = values(PREMIUM)
MIB: Final = 1048576

# Namespaces


@pytest.mark.parametrize(
    "fact", ["routes.gatewayNamespace", "monitoring.namespace", "telemetry.namespace"]
)
@pytest.mark.parametrize("kind", KINDS)
def test_an_instance_in_a_namespace_of_the_platform_is_refused(kind: str, fact: str) -> None:
    """A tenant `monitoring` reached every private port, and took the namespace with it."""
    name = KINDS[kind]["id"]
    said = refusal(changed(values(KINDS[kind]), f"facts.{fact}", name))

    assert f"instance.id and facts.{fact} are both {name}" in said


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (values(ADVANCED), "instance.pool"),
        (values(BASIC), "instance.pool"),
        (moving(PREMIUM, "copying", "advanced", "pool-1"), "instance.transition.from.pool"),
    ],
    ids=["advanced", "basic", "move"],
)
def test_a_pool_in_a_namespace_of_the_platform_is_refused(given: dict[str, Any], key: str) -> None:
    """Also for the tenants of the pool, whose messages go there."""
    said = refusal(changed(given, "facts.routes.gatewayNamespace", "pool-1"))

    assert f"{key} and facts.routes.gatewayNamespace are both pool-1" in said


@pytest.mark.parametrize("kind", KINDS)
def test_a_namespace_that_is_somebody_elses_is_refused(kind: str) -> None:
    """Facts do not name every controller's: what is in the cluster does."""
    metadata: dict[str, Any] = {"name": KINDS[kind]["id"]}
    there = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}

    said = refusal_in([there], values(KINDS[kind]))
    assert f"the namespace {KINDS[kind]['id']} is there, and no instance's" in said
    metadata["labels"] = {"app": "keda"}
    assert said == refusal_in([there], values(KINDS[kind]))


HOSTS: Final = {
    "identity.issuer": "https://{}/realms/x",
    "identity.jwks": "https://{}:8443/keys",
    "monitoring.runbooks": "https://{}/docs",
    "telemetry.endpoint": "http://{}:4318",
    "registry": "{}:5000/images",
    "queueUrlPrefix": "https://{}/000000000000",
    "local.awsEndpointUrl": "http://{}:4566",
}


@pytest.mark.parametrize("fact", HOSTS)
@pytest.mark.parametrize("kind", KINDS)
def test_an_instance_at_a_host_of_the_platform_is_refused(kind: str, fact: str) -> None:
    """A tenant `identity` got the issuer's host, and its logins."""
    name = KINDS[kind]["id"]
    given = changed(values(KINDS[kind]), "facts.domain", "apps.example")
    host = f"{name}.apps.example"

    said = refusal(changed(given, f"facts.{fact}", HOSTS[fact].format(host)))
    assert f"instance.id and facts.{fact} are both at {host}" in said
    assert render(changed(given, f"facts.{fact}", HOSTS[fact].format(f"x-{host}")))


@pytest.mark.parametrize("name", ["identity", "gitea"])
def test_the_hosts_of_the_defaults_are_the_platforms(name: str) -> None:
    """Their domain is the tenants' own."""
    assert f"are both at {name}.example.com" in refusal(values({**PREMIUM, "id": name}))


@pytest.mark.parametrize(
    "issuer",
    ["https://ACME.example.com", "acme.example.com.", "https://me@acme.example.com:443?x"],
)
def test_a_host_is_found_however_it_is_written(issuer: str) -> None:
    """An issuer is any text; DNS knows no case, and a dot at the end says nothing."""
    said = refusal(changed(PREMIUM_VALUES, "facts.identity.issuer", issuer))

    assert "instance.id and facts.identity.issuer are both at acme.example.com" in said


# Tags


def test_no_more_tags_than_aws_takes_are_taken() -> None:
    """It takes 50 with the module's own: with 50 more each apply failed."""
    tags = {f"k{number}": "" for number in range(41)}

    assert "maxProperties: got 41, want 40" in refusal(values(PREMIUM, module={"tags": tags}))
    tags.popitem()
    assert render(values(PREMIUM, module={"tags": tags}))


@pytest.mark.parametrize(
    "key",
    ["tenantry:tenant", "TENANTRY:Tenant", "TENANTRY:tenant", "Tenantry:x", "tEnAnTrY:", "aWs:x"],
)
def test_a_tag_that_iam_takes_for_the_modules_own_is_refused(key: str) -> None:
    """IAM compares the keys of tags without their case: `TENANTRY:tenant` opened a queue."""
    said = refusal(values(PREMIUM, module={"tags": {key: "globex"}}))

    assert f"invalid propertyName '{key}'" in said
    assert "a key of facts.module.tags that begins neither with tenantry: nor" in said


@pytest.mark.parametrize("key", ["CostCentre", "tenantry", "my:tenantry:tag", "TENANTRY.tenant"])
def test_other_tags_are_taken(key: str) -> None:
    """What only looks like it is anybody's."""
    [terraform] = of_kind(render(values(PREMIUM, module={"tags": {key: "4711"}})), "Terraform")

    told = {each["name"]: each["value"] for each in terraform["spec"]["vars"]}
    assert {key: "4711"} == told["tags"]


# Names and addresses


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("facts.routes.premiumGroup", f"premium-{'a' * 25}", "maxLength: got 33, want 32"),
        ("facts.domain", f"{'a' * 64}.example.com", "does not match pattern"),
        ("facts.domain", f"a.{'b' * 64}", "does not match pattern"),
        ("facts.domain", ".".join(["a" * 55] * 4), "maxLength: got 223, want 220"),
        ("facts.tests.neighbours", ["pool-1", "pool-1"], "items at 0 and 1 are equal"),
        ("facts.identity.jwks", "https://id.example:0123/keys", "does not match pattern"),
        ("facts.telemetry.endpoint", "http://otel:0", "does not match pattern"),
        ("facts.telemetry.endpoint", "http://otel:65536", "does not match pattern"),
        ("facts.identity.jwks", "https://id.example:70000/keys", "does not match pattern"),
        ("facts.identity.jwks", "https://id.example/%zz", "does not match pattern"),
        ("facts.monitoring.runbooks", "https://id.example/%", "does not match pattern"),
        ("facts.queueUrlPrefix", "https://id.example/%1", "does not match pattern"),
        ("facts.local.awsEndpointUrl", "http://id.example/\x01", "does not match pattern"),
        ("facts.registry", "images.example:99999/x", "does not match pattern"),
    ],
)
def test_names_that_something_else_refuses_later_are_refused(
    path: str, value: Any, told: str
) -> None:
    """A label's value, DNS, Helm's test, and a port that YAML reads as octal."""
    said = refusal(changed(PREMIUM_VALUES, path, value))

    assert f"'/{path.replace('.', '/')}': " in said
    assert told in said


def test_a_labels_key_that_ends_in_a_hyphen_is_refused() -> None:
    """The API server takes none, and would refuse the monitors."""
    said = refusal(values(PREMIUM, monitoring={"labels": {"release-": "x"}}))

    assert "invalid propertyName 'release-'" in said
    assert render(values(PREMIUM, monitoring={"labels": {"release-2": "x"}}))


@pytest.mark.parametrize("port", [1, 9999, 10000, 59999, 64999, 65499, 65529, 65535])
def test_every_port_is_taken(port: int) -> None:
    """Up to the last, and escapes of a path."""
    facts = {"telemetry": {"endpoint": f"http://otel:{port}/a%2Fb?c=d"}}
    policy = named(render(values(PREMIUM, **facts)), "NetworkPolicy", "to-telemetry")

    assert [{"protocol": "TCP", "port": port}] == policy["spec"]["egress"][0]["ports"]


def test_the_longest_name_that_dns_takes_renders() -> None:
    """A tenant's of 32 characters in a domain of 220: 253, in labels of 63."""
    domain = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 28])
    found = render(changed(values({**PREMIUM, "id": "a" * 32}), "facts.domain", domain))
    [ingress] = of_kind(found, "Ingress")

    assert 253 == len(ingress["spec"]["rules"][0]["host"])


CIDRS: Final = ("identity.cidrs", "network.loadBalancerCidrs", "network.endpointCidrs")


@pytest.mark.parametrize("path", CIDRS)
@pytest.mark.parametrize(
    "cidr",
    [
        *("999.1.1.1/8", "256.0.0.0/8", "10.0.0.0/33", "10.0.0.0/99", "10.0.0/8", "10.0.0.0"),
        *("010.0.0.0/8", "10.0.0.0/08", "2001:db8::/129", "2001:db8:/", "12345::/16", "/8", "::"),
        *("1:2:3/64", "1::2::3/64", ":::/0", ":::/64", "1:2:3:4:5:6:7:8:9/64", "1:2/64"),
    ],
)
def test_a_cidr_that_is_none_is_refused(path: str, cidr: str) -> None:
    """The API server would refuse the policies alone, and leave an instance without one."""
    said = refusal(changed(PREMIUM_VALUES, f"facts.{path}", [cidr]))

    assert f"'/facts/{path.replace('.', '/')}/0': '{cidr}' does not match pattern" in said


@pytest.mark.parametrize("path", CIDRS)
@pytest.mark.parametrize(
    "cidr",
    [
        *("10.0.0.0/0", "0:0::/0", "::0/0", "0.0.0.0/1", "128.0.0.0/1", "10.0.0.0/7"),
        *("::/1", "8000::/1", "fc00::/7"),
    ],
)
def test_a_block_that_opens_private_addresses_with_others_is_refused(path: str, cidr: str) -> None:
    """Exceptions belong to the whole internet: `10.0.0.0/0` had none, and opened every address."""
    said = refusal(changed(PREMIUM_VALUES, f"facts.{path}", [cidr]))

    assert f"'/facts/{path.replace('.', '/')}/0': " in said
    assert "a block of /8 or narrower, or 0.0.0.0/0 or ::/0" in said


@pytest.mark.parametrize("path", CIDRS)
def test_every_cidr_of_either_version_is_taken(path: str) -> None:
    """The bounds, and addresses written short and long."""
    cidrs = [
        *("0.0.0.0/0", "255.255.255.255/32", "10.200.99.0/24", "::/0", "::1/128", "fd00::/8"),
        *("2001:db8::/32", "2001:db8:0:0:0:0:0:1/128", "fe80::1:2/64", "10.0.0.0/8"),
        *(f"{'1:' * before}:{':'.join('2' * (7 - before))}/64" for before in range(1, 8)),
        *("::2:3:4:5:6:7:8/64", "1::8/9", "1:2:3:4::7:8/100"),
    ]

    assert render(changed(PREMIUM_VALUES, f"facts.{path}", cidrs))


# Memory


@pytest.mark.parametrize(
    ("service", "key", "most"), [("producer", "bufferBytes", 78), ("consumer", "handBytes", 78)]
)
def test_what_a_process_holds_fits_its_limit(service: str, key: str, most: int) -> None:
    """256 MiB of buffer in 384 MiB were taken: the process was killed, and its messages came back.

    78 MiB thrice and 150 MiB are 384 MiB, a premium tenant's limit.
    """
    path = f"instance.overrides.{service}"
    over = changed(PREMIUM_VALUES, f"{path}.settings", {key: (most + 1) * MIB})

    said = refusal(over)
    assert f"{path}.settings.{key} is {(most + 1) * MIB}" in said
    assert "needs 387 MiB, and memoryLimit is 384" in said
    told = environment(render(changed(over, f"{path}.memoryLimit", 387)), service)
    assert str((most + 1) * MIB) in told.values()
    assert render(changed(PREMIUM_VALUES, f"{path}.settings", {key: most * MIB}))


@pytest.mark.parametrize("service", ["producer", "consumer"])
@pytest.mark.parametrize("kind", ["premium", "pool"])
def test_the_least_limit_is_enough_for_what_is_held_by_default(kind: str, service: str) -> None:
    """The schema's bound does not promise what the templates refuse."""
    given = changed(values(KINDS[kind]), f"instance.overrides.{service}.memoryLimit", 256)
    [spec] = pods([named(render(given), "Deployment", service)]).values()

    assert "256Mi" == spec["containers"][0]["resources"]["limits"]["memory"]


# Moves


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("to", "left", "service"),
    [
        (ADVANCED, {"tier": "premium"}, "producer"),
        (BASIC, {"tier": "premium"}, "consumer"),
        (BASIC, {"tier": "premium"}, "producer"),
        (BASIC, {"tier": "advanced", "pool": "pool-2"}, "consumer"),
    ],
    ids=["premium to advanced", "premium to basic", "the same, producer", "advanced to basic"],
)
def test_overrides_of_what_a_move_takes_away_are_refused_from_its_start(
    to: dict[str, Any], left: dict[str, str], service: str, phase: str
) -> None:
    """They were refused in `removing` alone, when the move could no more be turned round."""
    given = changed(
        moving(to, phase, **left), f"instance.overrides.{service}", {"cpu": 500, "maxReplicas": 9}
    )

    said = refusal(given)
    assert f"instance.overrides.{service}: {to['id']} has no {service} of its own" in said
    assert f"as {to['tier']}" in said


@pytest.mark.parametrize("phase", PHASES)
def test_overrides_of_what_a_move_leads_to_are_taken(phase: str) -> None:
    """From the first phase on, where the old place has no such service."""
    given = moving(PREMIUM, phase, "basic", "pool-1")

    assert render(changed(given, "instance.overrides.producer", {"cpu": 500}))


def test_a_load_balancer_that_changes_without_a_move_is_refused() -> None:
    """The old one's rules went with the upgrade, and clients went there until DNS forgot it."""
    there = render(values({**PREMIUM, "group": "premium-2"}))

    for given in (values({**PREMIUM, "group": "premium-3"}), PREMIUM_VALUES):
        said = refusal_in(there, given)
        assert "instance.group: acme is reached by premium-2, and no more by these values" in said
    assert "reached by premium-1" in refusal_in(
        render(PREMIUM_VALUES), values(PREMIUM, routes={"premiumGroup": "premium-9"})
    )
    assert not refusal_in(there, values({**PREMIUM, "group": "premium-2"}))
    assert not refusal_in(there, values({**PREMIUM, "group": "premium-2", "phase": "offboarding"}))


def test_a_load_balancer_is_left_at_the_end_of_a_move() -> None:
    """When it has drained, and not before."""
    home = {"id": "acme", "tier": "advanced", "pool": "pool-1"}
    end = moving(home, "removing", "premium")

    assert not refusal_in(render(moving(home, "draining", "premium")), end)
    assert "reached by premium-1" in refusal_in(render(moving(home, "switched", "premium")), end)


@pytest.mark.parametrize("kind", ["advanced", "pool"])
def test_other_load_balancers_follow_from_the_pool(kind: str) -> None:
    """A pool has its own, and an advanced tenant its pool's: nothing else is asked."""
    assert not refusal_in(
        render(values(KINDS[kind])), values(KINDS[kind], routes={"byHeader": True})
    )


def test_a_port_of_an_address_is_a_number() -> None:
    """As it is written, in a network policy."""
    found = named(rendered("on-one-machine"), "NetworkPolicy", "to-aws")

    assert [443, 4566] == [each["port"] for each in found["spec"]["egress"][1]["ports"]]
