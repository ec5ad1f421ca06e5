"""What the chart renders is let in when it is packaged, and only under a tenant's id."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chart.render import EXAMPLES, KINDS, Object, example, named, of_kind, render, values, who
from cluster.admission import (
    POLICY,
    changed,
    done,
    merge,
    packaged,
    refused_by,
    release,
    stand,
    tell,
)
from cluster.admission_cases import INSTANCES, guard, world
from support.cluster import Cluster
from support.waiting import wait_for
from tenantry.tenant_id import parse_tenant_id

RULE: dict[str, Any] = json.loads((files("tenantry") / "data" / "tenant_id.json").read_text())


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Generator[Cluster]:
    """The API server with policies in force, and instances that stand."""
    with guard(cluster):
        yield cluster


@pytest.fixture
def facts_of_dev(guarded: Cluster) -> Generator[None]:
    """The facts that all the other tests go by, again."""
    yield
    done(tell(guarded, values(INSTANCES["premium"]), world()["new"][-1:]))


def of_its_own(name: str) -> dict[str, Any]:
    """An example's values under an id that no other example has: all stand side by side."""
    given = packaged(example(name))
    number = EXAMPLES.index(name)
    is_pool = given["instance"].get("kind") == "pool"
    return changed(given, ("instance|id", f"pool-x{number}" if is_pool else f"example-{number}"))


def installed(found: Object) -> Object:
    """The same object with the marks that Helm and Flux leave."""
    owner = found["metadata"]["labels"]["app.kubernetes.io/instance"]
    marks = {"release-name": owner, "release-namespace": "tenants"}
    whole = changed(found, ("metadata|labels|helm.toolkit.fluxcd.io/name", owner))
    annotations = whole["metadata"].setdefault("annotations", {})
    annotations.update({f"meta.helm.sh/{key}": value for key, value in marks.items()})
    return whole


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_instance_is_let_in_as_a_whole(guarded: Cluster, facts_of_dev: None, name: str) -> None:
    """Every object of every example, and its release, by the facts that it was rendered with."""
    given_values = of_its_own(name)
    objects = [*map(installed, render(given_values)), release(given_values["instance"])]
    spaces = of_kind(objects, "Namespace")
    done(tell(guarded, given_values, spaces or objects))
    stand(guarded, [*spaces, *of_kind(objects, "ServiceAccount")])

    done(tell(guarded, given_values, objects))


@pytest.mark.parametrize("kind", ["premium", "advanced", "pool"])
def test_an_instance_with_tags_is_refused_and_told_why(guarded: Cluster, kind: str) -> None:
    """Each object that names an image, as the chart renders it from the source tree."""
    tagged = {
        who(found): guarded.apply(found)
        for found in render(values(KINDS[kind]))
        if found["kind"] in {"Deployment", "Pod", "Terraform"}
    }

    assert len(tagged) >= 4
    for what, answer in tagged.items():
        assert not answer.ok, what
        assert f"{what}: " in answer.message
        assert "@sha256:<digest>, since a tag can be moved to another image" in answer.message


@pytest.mark.parametrize("kind", ["ingress", "httproute"])
@pytest.mark.parametrize("by_header", [False, True], ids=["by host", "by header"])
def test_routes_of_every_kind_are_let_in_and_nobody_elses(
    guarded: Cluster, facts_of_dev: None, kind: str, by_header: bool
) -> None:
    """Of pools and tenants, by host or by header: with another tenant's in its place, refused."""
    said = {"kind": kind, "byHeader": by_header}
    routes = {
        name: [
            found
            for found in render(packaged(values(INSTANCES[name], routes=said)))
            if found["kind"] in {"Ingress", "HTTPRoute"}
        ]
        for name in ("premium", "advanced", "pool")
    }
    everybodys = [found for mine in routes.values() for found in mine]
    assert 3 == len(everybodys)
    done(tell(guarded, values(INSTANCES["premium"], routes=said), everybodys))

    for name, mine, theirs in (("premium", "acme", "globex"), ("advanced", "globex", "acme")):
        [route] = routes[name]
        spec, notes = (
            json.loads(json.dumps(part).replace(mine, theirs))
            for part in (route["spec"], route["metadata"].get("annotations", {}))
        )
        assert (spec, notes) != (route["spec"], route["metadata"].get("annotations", {}))
        answer = guarded.apply(changed(route, ("spec", spec), ("metadata|annotations", notes)))
        policy = "ingresses" if kind == "ingress" else "httproutes"
        assert refused_by(answer, f"{policy}.tenantry.dev"), answer.message or "it was let through"


def test_facts_that_are_missing_let_nothing_in(guarded: Cluster, facts_of_dev: None) -> None:
    """Closed, and not open; what is none of ours does not wait for them."""
    good = named(world()["premium"], "Deployment", "consumer")
    done(guarded.apply(good))
    facts: Object = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "facts", "namespace": "tenants"},
    }
    # They are kept as long as nobody says otherwise.
    assert refused_by(guarded.delete(facts), "deletions.tenantry.dev")
    done(merge(guarded, facts, {"metadata": {"labels": {"tenantry.dev/phase": "offboarding"}}}))
    done(guarded.delete(facts))
    wait_for(lambda: not guarded.apply(good).ok, what="facts that are gone")

    answer = guarded.apply(good)
    # Several ask for them, and the server tells of one.
    assert POLICY in answer.message
    assert "no params found" in answer.message
    metadata = {"name": "somebody-elses"}
    done(guarded.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))


# Ids


def called(found: Object, tenant: str) -> Object:
    """The same object as another tenant's."""
    name = f"tenant-{tenant}" if found["kind"] == "ConfigMap" else tenant
    if found["kind"] == "HelmRelease":
        return changed(found, ("metadata|name", name), ("spec|values|instance|id", tenant))
    labels = ("tenantry.dev/tenant", "app.kubernetes.io/instance")
    edits = [("metadata|name", name), *((f"metadata|labels|{label}", tenant) for label in labels)]
    if found["kind"] == "Terraform":
        edits += [("spec|vars|2|value|id", tenant)]
        edits += [("spec|writeOutputsToSecret|name", f"{tenant}-outputs")]
    return changed(found, *edits)


OF_A_TENANT: Mapping[str, tuple[str, str]] = {
    "Namespace": ("new", "newco"),
    "Terraform": ("new", "newco"),
    "HelmRelease": ("new", "newco"),
    "ConfigMap": ("basic", "tenant-initech"),
}
#: What can be the name of an object, and is no tenant's id.
NAMES = [
    *RULE["reserved"],
    *(f"{prefix}{rest}" for prefix in RULE["reserved_prefixes"] for rest in ("x", "9")),
    "a" * (RULE["min_length"] - 1),
    "a" * (RULE["max_length"] + 1),
    "1acme",
    "ac--me",
]
#: What cannot.
OTHERS = [
    "",
    "..",
    "a/b",
    "../acme",
    "ac me",
    "acme\n",
    "\nacme",
    "${acme}",
    "Acme",
    "acme-",
    "äcme",
]


@pytest.mark.parametrize("kind", OF_A_TENANT)
@pytest.mark.parametrize("tenant", NAMES)
def test_a_name_that_is_no_tenants_id_is_refused(guarded: Cluster, tenant: str, kind: str) -> None:
    """Wherever an id comes in, by the rule that the services have."""
    with pytest.raises(ValueError, match="tenant id"):
        parse_tenant_id(tenant)
    of, name = OF_A_TENANT[kind]
    answer = guarded.apply(called(named(world()[of], kind, name), tenant))

    if kind == "Namespace" and guarded.get("v1", "Namespace", tenant).ok:
        # Two refuse it, and the server tells of either: it is there, too, and somebody else's.
        assert POLICY in answer.message, answer.message or "it was let through"
        return
    assert refused_by(answer, "ids.tenantry.dev"), answer.message or "it was let through"
    assert f'"{tenant}"' in answer.message


@pytest.mark.parametrize("tenant", OTHERS)
def test_an_id_that_is_no_name_is_refused_in_a_tenants_file(guarded: Cluster, tenant: str) -> None:
    """Path, blank, line break and what a shell would fill in: told in one line."""
    with pytest.raises(ValueError, match="tenant id"):
        parse_tenant_id(tenant)
    good = named(world()["new"], "HelmRelease", "newco")
    answer = guarded.apply(changed(good, ("spec|values|instance|id", tenant)))

    assert refused_by(answer, "ids.tenantry.dev"), answer.message or "it was let through"
    assert "HelmRelease tenants/newco: the id is " in answer.message


@pytest.mark.parametrize("value", [123, True, ["newco"], {"newco": "newco"}])
def test_an_id_that_is_no_text_is_refused(guarded: Cluster, value: object) -> None:
    """As YAML reads some names that nobody put in quotes."""
    with pytest.raises(ValueError, match="tenant id"):
        parse_tenant_id(value)
    good = named(world()["new"], "HelmRelease", "newco")
    answer = guarded.apply(changed(good, ("spec|values|instance|id", value)))

    assert refused_by(answer, "ids.tenantry.dev"), answer.message or "it was let through"
    assert "the id is no text (put it in quotes)" in answer.message


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
@given(
    tenant=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,34}[a-z0-9])?", fullmatch=True)
    | st.sampled_from([*RULE["reserved_prefixes"], "pool", "kube", "flux", "arg", "systems"]).map(
        lambda text: f"{text}ab"
    )
)
def test_admission_takes_the_ids_that_the_services_take(guarded: Cluster, tenant: str) -> None:
    """Of all that may be an object's name."""
    good = named(world()["new"], "HelmRelease", "newco")
    answer = guarded.apply(called(good, tenant))
    try:
        parse_tenant_id(tenant)
    except ValueError:
        assert refused_by(answer, "ids.tenantry.dev")
    else:
        assert answer.ok, answer.message
