from __future__ import annotations

from types import MappingProxyType

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenantctl.errors import InvalidError
from tenantctl.files import MAX_LINES, parse, path_of, pool_path, render, tenant_path
from tenantctl.model import PHASES, RINGS, TIERS, TRANSITION_PHASES, Home, Instance, Transition
from tenantry.tenant_id import parse_tenant_id

#: What YAML takes for something else than a string, where it can be an id.
STRINGS = (
    *("null", "true", "false", "yes", "off", "inf", "nan", "nil"),
    *("e10", "oct-8", "a0x1", "null-0", "on-1"),
)


def _is_id(text: str) -> bool:
    try:
        parse_tenant_id(text)
    except ValueError:
        return False
    return True


IDS = (
    st.sampled_from(STRINGS)
    | st.from_regex(r"[a-z][a-z0-9]{2,12}(-[a-z0-9]{1,6}){0,2}", fullmatch=True)
).filter(_is_id)
POOLS = st.from_regex(r"pool-[a-z0-9]{1,8}(-[a-z0-9]{1,8})?", fullmatch=True)


@st.composite
def homes(draw: st.DrawFn) -> Home:
    tier = draw(st.sampled_from(TIERS))
    return Home(tier, None if tier == "premium" else draw(POOLS))


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    ring, phase = draw(st.sampled_from(RINGS)), draw(st.sampled_from(PHASES))
    if draw(st.booleans()):
        name = draw(POOLS)
        return Instance(id=name, kind="pool", home=Home("basic", name), ring=ring, phase=phase)
    home = draw(homes())
    origin = draw(st.none() | homes().filter(lambda other: other != home))
    more: dict[str, object] = draw(
        st.sampled_from(
            [
                {},
                {"overrides": {"producer": {"minReplicas": 3}}},
                {"terraform": {"approvePlan": ""}},
            ]
        )
    )
    return Instance(
        id=draw(IDS),
        home=home,
        ring=ring,
        phase=phase,
        group=draw(st.none() | st.from_regex(r"premium-[1-9][0-9]?", fullmatch=True)),
        transition=None
        if origin is None
        else Transition(origin, draw(st.sampled_from(TRANSITION_PHASES))),
        is_suspended=draw(st.booleans()),
        more=MappingProxyType(more),
    )


@given(instances())
def test_what_is_written_is_read(instance: Instance) -> None:
    """Every instance comes back from its file as it was, and is written the same again."""
    path = path_of("dev", instance)
    data = render(instance)
    assert parse(path, data) == instance
    assert render(parse(path, data)) == data


@given(instances())
def test_a_file_as_onboarding_writes_it_has_at_most_fifteen_lines(instance: Instance) -> None:
    """Of each tier, suspended or not; a premium one with its group."""
    onboarded = instance.but(
        transition=None,
        more=MappingProxyType({}),
        phase="active",
        group=instance.group if instance.home.tier == "premium" else None,
    )
    assert render(onboarded).count(b"\n") <= MAX_LINES


@given(instances())
def test_others_read_the_same(instance: Instance) -> None:
    """An id stays a string for who reads YAML by the letter, and what is rendered has no alias."""
    release = yaml.safe_load(render(instance))
    assert release["metadata"]["name"] == instance.id
    assert release["spec"]["values"]["instance"]["id"] == instance.id
    assert not {b"&", b"*"} & {bytes([one]) for one in render(instance)}


@pytest.mark.parametrize("name", [name for name in STRINGS if _is_id(name)])
def test_an_id_that_looks_like_something_else_stays_an_id(name: str) -> None:
    """null, true, off, yes: customers have such names."""
    instance = Instance(id=name, home=Home("basic", "pool-1"))
    assert parse(tenant_path("dev", name), render(instance)).id == name


def test_a_file_is_where_it_always_was() -> None:
    """The shard is the first digit of SHA-256 of the id, for ever; pools stand beside."""
    assert tenant_path("dev", "acme") == "tenants/dev/8/acme.yaml"
    assert pool_path("dev", "pool-1") == "tenants/dev/pools/pool-1.yaml"


GOOD = render(Instance(id="acme", home=Home("basic", "pool-1"))).decode()


def _but(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new).encode()


HOSTILE = {
    "second document": (GOOD.encode() + b"---\n" + GOOD.encode(), "holds 2 documents"),
    "no document": (b"", "holds 0 documents"),
    "a list": (b"- a\n", "the file is a mapping"),
    "a word": (b"acme\n", "the file is a mapping"),
    "a key twice": (_but("spec:\n", "kind: Terraform\nspec:\n"), "kind stands twice"),
    "a key twice inside": (
        _but("  name: acme", "  name: acme\n  name: beta"),
        "name stands twice",
    ),
    "a key that is none": (_but("spec:\n", "? [a]\n: b\nspec:\n"), "line 5: no key"),
    "another kind": (_but("kind: HelmRelease", "kind: Terraform"), "it is no HelmRelease"),
    "another version": (_but("/v2\n", "/v2beta1\n"), "it is no HelmRelease"),
    "another namespace": (
        _but("  name: acme", "  name: acme\n  namespace: kube-system"),
        "metadata: namespace does not belong here",
    ),
    "a label": (_but("  name: acme", "  name: acme\n  labels: {}"), "labels does not belong here"),
    "an annotation": (
        _but("  name: acme", "  name: acme\n  annotations: {a: b}"),
        "metadata.annotations: tenantry.dev/status is missing",
    ),
    "a sourceRef": (
        _but("    name: basic-r2", "    name: basic-r2\n    sourceRef: {}"),
        "spec.chartRef: sourceRef does not belong here",
    ),
    "a service account": (
        _but("spec:\n", "spec:\n  serviceAccountName: admin\n"),
        "spec: serviceAccountName does not belong here",
    ),
    "facts of its own": (
        _but("  values:\n", "  values:\n    facts: {}\n"),
        "spec.values: facts does not belong here",
    ),
    "another chart": (_but("basic-r2", "premium-r0"), "spec.chartRef is not"),
    "another id": (_but("      id: acme", "      id: beta"), "metadata.name is not instance.id"),
    "another file's id": (GOOD.replace("acme", "beta").encode(), "its name is not beta.yaml"),
    "an id of a tag": (_but("      id: acme", "      id: !!binary YQ=="), "a tag is not for"),
    "a tag of Python": (
        _but("      id: acme", "      id: !!python/name:os.system"),
        "a tag is not for",
    ),
    "a substitution": (GOOD.replace("acme", "${acme}").encode(), "it holds ${"),
    "an unknown key": (_but("      ring: r2", "      ring: r2\n      admin: true"), "admin"),
    "a number": (_but("      pool: pool-1", "      pool: 1"), "a pool's name"),
    "a list of values": (_but("    instance:\n", "    instance: []\n    x:\n"), "spec.values"),
    "a tab": (_but("  name: acme", "\tname: acme"), "it is no YAML"),
    "not UTF-8": (b"\xff\xfe" + GOOD.encode(), "it is no YAML"),
    "a deep nest": (b"[" * 60_000, "line 1 is deeper than 32 levels"),
    "a large one": (b"#" * 100_000, "may hold 65536"),
    "an unknown alias": (_but("name: acme", "name: *nobody"), "anchors and aliases"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_none_is_named(name: str) -> None:
    """With its path and the rule, in a line that can be shown."""
    data, text = HOSTILE[name]
    path = tenant_path("dev", "acme")
    with pytest.raises(InvalidError) as caught:
        parse(path, data)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    assert text in said
    assert len(said) < 400
    assert said.isprintable()
