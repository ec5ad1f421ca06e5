"""Routes: which service a request reaches, told by building a load balancer's rules.

Of an Ingress group as the AWS Load Balancer Controller builds them: groups by order, then
namespace and name; in an Ingress exact paths first, then the longest prefix; an annotation's
host and path values beside those of the rule. Rules are asked in order, and the first wins.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

import pytest

from chart.render import (
    EXAMPLES,
    POOL,
    Object,
    moving,
    named,
    of_kind,
    render,
    rendered,
    values,
)

#: Of an ALB: values of one condition, and of one rule.
CONDITION_VALUES: Final = 3
RULE_VALUES: Final = 5
#: Rules and target groups that a group may need: 100 are the quota.
GROUP_RULES: Final = 80
GROUP_TENANTS: Final = 20


@dataclass(frozen=True)
class Request:
    host: str
    method: str
    path: str
    tenant: str = ""


@dataclass(frozen=True)
class Rule:
    """One of a listener; an empty list asks for nothing."""

    hosts: tuple[str, ...]
    paths: tuple[str, ...]
    methods: tuple[str, ...]
    tenants: tuple[str, ...]
    target: str

    def takes(self, request: Request) -> bool:
        """Whether a request goes here."""
        return (
            _any(self.hosts, request.host)
            and _any(self.paths, request.path)
            and _any(self.methods, request.method)
            and _any(self.tenants, request.tenant)
        )

    def conditions(self) -> list[tuple[str, ...]]:
        """The conditions that there are."""
        return [each for each in (self.hosts, self.paths, self.methods, self.tenants) if each]


def _any(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(fnmatchcase(value, pattern) for pattern in patterns)


def group_rules(objects: list[Object], group: str) -> list[Rule]:
    """The rules of a group's listener, in order."""
    prefix = "alb.ingress.kubernetes.io/"
    members = [
        each
        for each in of_kind(objects, "Ingress")
        if each["metadata"]["annotations"][f"{prefix}group.name"] == group
    ]
    members.sort(
        key=lambda each: (
            int(each["metadata"]["annotations"][f"{prefix}group.order"]),
            each["metadata"]["namespace"],
            each["metadata"]["name"],
        )
    )
    return [rule for each in members for rule in _ingress_rules(each, prefix)]


def _ingress_rules(ingress: Object, prefix: str) -> list[Rule]:
    annotations, space = ingress["metadata"]["annotations"], ingress["metadata"]["namespace"]
    found = []
    for rule in ingress["spec"]["rules"]:
        paths = sorted(
            rule["http"]["paths"],
            key=lambda each: (each["pathType"] != "Exact", -len(each["path"])),
        )
        for each in paths:
            service = each["backend"]["service"]
            values_of: dict[str, list[str]] = {
                "hosts": [],
                "paths": [],
                "methods": [],
                "tenants": [],
            }
            if "host" in rule:
                values_of["hosts"].append(rule["host"])
            values_of["paths"] += _patterns(each["path"], each["pathType"])
            said = annotations.get(f"{prefix}conditions.{service['name']}", "[]")
            for condition in json.loads(said):
                _add(values_of, condition)
            target = service["name"]
            if service["port"]["name"] == "use-annotation":
                action = json.loads(annotations[f"{prefix}actions.{target}"])
                [only] = action["forwardConfig"]["targetGroups"]
                target = only["serviceName"]
            found.append(
                Rule(
                    tuple(values_of["hosts"]),
                    tuple(values_of["paths"]),
                    tuple(values_of["methods"]),
                    tuple(values_of["tenants"]),
                    f"{space}/{target}",
                )
            )
    return found


def _patterns(path: str, kind: str) -> list[str]:
    if kind == "Exact":
        return [path]
    return ["/*"] if path == "/" else [path, f"{path}/*"]


def _add(values_of: dict[str, list[str]], condition: dict[str, Any]) -> None:
    if condition["field"] == "path-pattern":
        values_of["paths"] += condition["pathPatternConfig"]["values"]
    elif condition["field"] == "http-request-method":
        values_of["methods"] += condition["httpRequestMethodConfig"]["values"]
    else:
        assert ("http-header", "tenantID") == (
            condition["field"],
            condition["httpHeaderConfig"]["httpHeaderName"],
        )
        values_of["tenants"] += condition["httpHeaderConfig"]["values"]


def reached(rules: list[Rule], request: Request) -> str | None:
    """Who answers; None is the load balancer's own 404."""
    return next((rule.target for rule in rules if rule.takes(request)), None)


def cluster(**routes: Any) -> list[Object]:
    """A pool with a basic and two advanced tenants, and two premium ones."""
    found: list[Object] = []
    for instance in (
        POOL,
        {"id": "initech", "tier": "basic", "pool": "pool-1"},
        {"id": "globex", "tier": "advanced", "pool": "pool-1"},
        {"id": "hooli", "tier": "advanced", "pool": "pool-1"},
        {"id": "acme", "tier": "premium"},
        {"id": "umbrella", "tier": "premium"},
    ):
        found += render(values(instance, **({"routes": routes} if routes else {})))
    return found


#: Host (or header), method and path of a request in the pool's group, and who answers it.
IN_A_POOL: Final = {
    ("initech", "POST", "/messages"): "pool-1/producer",
    ("initech", "POST", "/messages/batch"): "pool-1/producer",
    ("initech", "GET", "/messages"): "pool-1/consumer",
    ("initech", "GET", "/messages/0"): "pool-1/consumer",
    ("initech", "GET", "/producer"): "pool-1/producer",
    ("initech", "GET", "/consumer"): "pool-1/consumer",
    ("initech", "GET", "/metrics"): "pool-1/consumer",
    ("globex", "POST", "/messages"): "pool-1/producer",
    ("globex", "POST", "/messages/batch"): "pool-1/producer",
    ("globex", "GET", "/messages"): "globex/consumer",
    ("globex", "GET", "/messages/0"): "globex/consumer",
    ("globex", "GET", "/producer"): "pool-1/producer",
    ("globex", "GET", "/consumer"): "globex/consumer",
    ("hooli", "GET", "/messages/0"): "hooli/consumer",
    ("stranger", "GET", "/messages/0"): "pool-1/consumer",
}
IN_PREMIUM: Final = {
    ("acme", "POST", "/messages"): "acme/producer",
    ("acme", "POST", "/messages/batch"): "acme/producer",
    ("acme", "GET", "/messages/0"): "acme/consumer",
    ("acme", "GET", "/producer"): "acme/producer",
    ("acme", "GET", "/consumer"): "acme/consumer",
    ("acme", "GET", "/messagesx"): "acme/consumer",
    ("umbrella", "POST", "/messages"): "umbrella/producer",
    ("umbrella", "GET", "/messages/0"): "umbrella/consumer",
    ("stranger", "GET", "/messages/0"): None,
    ("stranger", "POST", "/messages"): None,
}


@pytest.mark.parametrize("by_header", [False, True], ids=["by host", "by header"])
@pytest.mark.parametrize(("group", "table"), [("pool-1", IN_A_POOL), ("premium-1", IN_PREMIUM)])
def test_a_request_reaches_whose_it_is(
    group: str, table: dict[tuple[str, str, str], str | None], by_header: bool
) -> None:
    """Sends go to the producer, the rest to the consumer; what is the pool's falls through."""
    rules = group_rules(cluster(byHeader=by_header), group)
    for (tenant, method, path), wanted in table.items():
        request = (
            Request("any.example.com", method, path, tenant)
            if by_header
            else Request(f"{tenant}.example.com", method, path)
        )
        assert wanted == reached(rules, request), request


def test_a_pools_group_needs_no_rule_for_a_basic_tenant() -> None:
    """Three catch all; an advanced tenant needs one more, and a premium one three."""
    assert 3 + 2 == len(group_rules(cluster(), "pool-1"))
    assert 2 * 3 == len(group_rules(cluster(), "premium-1"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rule_is_one_that_a_load_balancer_takes(name: str) -> None:
    """Three values of a condition, five of a rule."""
    objects = rendered(name)
    for ingress in of_kind(objects, "Ingress"):
        for rule in group_rules(objects, ingress["metadata"]["name"]):
            sizes = [len(each) for each in rule.conditions()]
            assert max(sizes) <= CONDITION_VALUES
            assert sum(sizes) <= RULE_VALUES


def test_full_groups_fit_a_load_balancer() -> None:
    """Twenty premium tenants, and as many advanced ones as a pool's group has room for."""
    premium = [
        found
        for n in range(GROUP_TENANTS)
        for found in render(values({"id": f"tenant-{n}", "tier": "premium"}))
    ]
    pool = render(values(POOL))
    advanced = render(values({"id": "globex", "tier": "advanced", "pool": "pool-1"}))
    rules = group_rules(premium, "premium-1")
    own = group_rules(pool, "pool-1")
    one = group_rules(advanced, "pool-1")

    assert len(rules) <= GROUP_RULES
    assert len({rule.target for rule in rules}) <= GROUP_RULES
    # One rule and one target group a tenant, beside the pool's.
    assert (1, 1) == (len(one), len({rule.target for rule in one}))
    assert (GROUP_RULES - len(own)) >= 75


def test_both_pools_lead_to_a_tenant_that_moves_between_them() -> None:
    """And its name stays with the one where its messages go."""
    given = moving(
        {"id": "globex", "tier": "advanced", "pool": "pool-2"}, "copying", "advanced", "pool-1"
    )
    given["facts"]["addons"] = {"externalDns": True}
    objects = render(given)
    key = "external-dns.alpha.kubernetes.io/"
    request = Request("globex.example.com", "GET", "/messages")
    for pool, now in (("pool-1", True), ("pool-2", False)):
        annotations = named(objects, "Ingress", pool)["metadata"]["annotations"]
        assert "globex/consumer" == reached(group_rules(objects, pool), request)
        assert now == (annotations.get(f"{key}hostname") == "globex.example.com")
        assert now == (f"{key}controller" not in annotations)


def test_names_are_made_where_there_is_somebody_to_make_them() -> None:
    """Of pools, too, whose rules have no host."""
    key = "external-dns.alpha.kubernetes.io/hostname"
    off = named(render(values(POOL)), "Ingress", "pool-1")["metadata"]["annotations"]
    on = named(render(values(POOL, addons={"externalDns": True})), "Ingress", "pool-1")

    assert key not in off
    assert "pool-1.example.com" == on["metadata"]["annotations"][key]


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_namespace_names_the_groups_of_its_routes(name: str) -> None:
    """Admission holds routes to these labels."""
    objects = rendered(name)
    for space in of_kind(objects, "Namespace"):
        prefix = "route-group.tenantry.dev/"
        labels = space["metadata"]["labels"]
        groups = {key.removeprefix(prefix) for key in labels if key.startswith(prefix)}
        routes = of_kind(objects, "Ingress") + of_kind(objects, "HTTPRoute")
        assert groups == {each["metadata"]["name"] for each in routes}


# By a Gateway


def http_routes(objects: list[Object], gateway: str, request: Request) -> str | None:
    """Who answers, by rules that are asked as an ALB's: the most special match of all wins."""
    found: list[tuple[tuple[bool, bool, int, bool], str]] = []
    for route in of_kind(objects, "HTTPRoute"):
        if gateway != route["spec"]["parentRefs"][0]["name"]:
            continue
        hosts = route["spec"].get("hostnames")
        if hosts and request.host not in hosts:
            continue
        for rule in route["spec"]["rules"]:
            [backend] = rule["backendRefs"]
            for match in rule["matches"]:
                if _match(match, request):
                    path = match["path"]
                    weight = (
                        bool(hosts) or "headers" in match,
                        path["type"] == "Exact",
                        len(path["value"]),
                        "method" in match,
                    )
                    target = f"{route['metadata']['namespace']}/{backend['name']}"
                    found.append((weight, target))
    return max(found)[1] if found else None


def _match(match: dict[str, Any], request: Request) -> bool:
    path = match["path"]["value"]
    if match["path"]["type"] == "Exact":
        fits = request.path == path
    else:
        fits = path in {"/", request.path} or request.path.startswith(f"{path}/")
    return (
        fits
        and match.get("method", request.method) == request.method
        and all(
            ("tenantID", request.tenant) == (each["name"], each["value"])
            for each in match.get("headers", [])
        )
    )


@pytest.mark.parametrize("by_header", [False, True], ids=["by host", "by header"])
@pytest.mark.parametrize(("group", "table"), [("pool-1", IN_A_POOL), ("premium-1", IN_PREMIUM)])
def test_a_gateway_routes_as_a_load_balancer_does(
    group: str, table: dict[tuple[str, str, str], str | None], by_header: bool
) -> None:
    """The same tables hold."""
    objects = cluster(kind="httproute", byHeader=by_header)
    assert not of_kind(objects, "Ingress")
    for (tenant, method, path), wanted in table.items():
        request = (
            Request("any.example.com", method, path, tenant)
            if by_header
            else Request(f"{tenant}.example.com", method, path)
        )
        assert wanted == http_routes(objects, group, request), request
