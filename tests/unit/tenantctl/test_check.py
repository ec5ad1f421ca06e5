from __future__ import annotations

import time
from types import MappingProxyType

import pytest

from support.fleets import a_pool, a_snapshot, a_tenant, as_files
from tenantctl.check import Bounds, check, new_findings, require
from tenantctl.errors import InvalidError
from tenantctl.files import render, tenant_path
from tenantctl.fleet import Snapshot
from tenantctl.model import Home, Instance, Transition

ACME = tenant_path("dev", "acme")
GOOD = render(a_tenant()).decode()
SMALL = Bounds(basic_a_pool=2, advanced_a_pool=1, premium_a_group=2, load_balancers=3)


def found(snapshot: Snapshot, bounds: Bounds | None = None) -> list[str]:
    """What is found, as people read it."""
    return [str(finding) for finding in check(snapshot, "dev", bounds or Bounds())]


def premium(name: str, group: str | None = "premium-1") -> Instance:
    return Instance(id=name, home=Home("premium"), group=group)


def test_a_fleet_as_it_should_be_has_no_findings() -> None:
    """Every tier, a move, overrides, a suspended one, an empty shard; other environments too."""
    moving = Instance(
        id="mover",
        home=Home("basic", "pool-2"),
        group="premium-1",
        transition=Transition(Home("premium"), "draining"),
        more=MappingProxyType({"overrides": {"producer": {"minReplicas": 2}}}),
    )
    fleet = a_snapshot(
        *(a_pool(), a_pool("pool-2"), a_tenant(), premium("gold"), moving),
        Instance(id="mid", home=Home("advanced", "pool-1"), is_suspended=True),
        **{"tenants/dev/a/.gitkeep": b"", "tenants/production/a/x": b"?", "README.md": b"!"},
    )
    assert found(fleet) == []
    assert found(Snapshot("0" * 40, {})) == []


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"name: &a acme\nother: *a\n", "line 1: anchors and aliases"),
        (GOOD.replace("name: acme", "name: &a acme").encode(), "line 4: anchors and aliases"),
        (GOOD.replace("name: acme", "name: !!str acme").encode(), "line 4: a tag"),
        (GOOD.replace("\n", "\r\n").encode(), "it holds a carriage return"),
        (GOOD.encode() + b"# ${facts}\n", "it holds ${"),
        (GOOD.encode() + b"\0", "it holds a zero byte"),
        (GOOD.encode() + b"#" * 1_000_000, "bytes, and may hold 65536"),
        (GOOD.encode() + b"# a\n" * 3, "more than 15 lines (2 too many)"),
        (GOOD.replace("pool-1", "pool-9").encode(), "there is no pool pool-9"),
        (GOOD.encode() + b"---\n{}\n", "it holds 2 documents"),
        (b"\xff", "it is no YAML"),
        (b"[]", "the file is a mapping"),
        (b"a: b: c", "it is no YAML"),
    ],
)
def test_a_tenants_file_that_is_none_is_found(data: bytes, text: str) -> None:
    """What YAML allows and a tenant's file does not."""
    (line,) = found(a_snapshot(a_pool(), **{ACME: data}))
    assert line.startswith(f"{ACME}: ")
    assert text in line


def test_a_file_that_grows_when_it_is_read_is_refused_in_time() -> None:
    """Aliases of aliases: nine levels of nine would be a billion words."""
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
    )
    began = time.monotonic()
    assert "anchors" in found(a_snapshot(**{ACME: bomb.encode()}))[0]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "path",
    [
        "tenants/dev/kustomization.yaml",
        "tenants/dev/8/kustomization.yaml",
        "tenants/dev/8/README.md",
        "tenants/dev/8/acme.yml",
        "tenants/dev/8/deep/acme.yaml",
        "tenants/dev/pools/acme.yaml",
        "tenants/dev/acme.yaml",
        "tenants/dev/9/acme.yaml",
    ],
)
def test_what_does_not_belong_there_is_found(path: str) -> None:
    """Another file, and a tenant's file in another place."""
    (line,) = found(a_snapshot(a_pool(), **{path: GOOD.encode()}))
    assert line.startswith(f"{path}: ")


def test_a_link_and_a_name_that_is_no_text_are_found() -> None:
    """Neither is followed, and both can be printed."""
    path = b"tenants/dev/8/\xff.yaml".decode(errors="surrogateescape")
    fleet = Snapshot("0" * 40, {path: b""}, {"tenants/dev/8/acme.yaml": "symbolic link"})
    lines = found(fleet)
    assert lines[0] == "tenants/dev/8/acme.yaml: a symbolic link does not belong here"
    assert lines[1].isascii()


def test_a_tenant_that_kustomize_takes_for_its_own_is_found() -> None:
    """`kustomization.yaml` as a tenant's file would stop its whole shard."""
    (line,) = found(a_snapshot(a_pool(), a_tenant("kustomization")))
    assert "choose another id" in line


def test_an_id_in_two_files_is_found() -> None:
    """The second one is misplaced, and says where the first is."""
    lines = found(a_snapshot(a_pool(), a_tenant(), **{"tenants/dev/9/acme.yaml": GOOD.encode()}))
    assert f"tenants/dev/9/acme.yaml: acme has another file: {ACME}" in lines
    assert f"tenants/dev/9/acme.yaml: it belongs at {ACME}" in lines


def test_both_pools_of_a_mover_exist() -> None:
    """The one that it leaves is missed as well as the one that it goes to."""
    moving = a_tenant(pool="pool-8").but(transition=Transition(Home("basic", "pool-9"), "copying"))
    assert found(a_snapshot(a_pool(), moving)) == [
        f"{ACME}: there is no pool pool-8",
        f"{ACME}: there is no pool pool-9",
    ]


def test_a_pool_with_tenants_is_not_removed() -> None:
    """Its file may go, and say so before, when nobody is in it."""
    leaving = a_pool().but(phase="offboarding")
    assert found(a_snapshot(leaving)) == []
    assert found(a_snapshot(leaving, a_tenant())) == [f"{ACME}: its pool pool-1 is being removed"]


def test_a_group_is_a_premium_tenants() -> None:
    """While it moves away it keeps the group; another tenant has none."""
    assert found(a_snapshot(a_pool(), a_tenant().but(group="premium-1"))) == [
        f"{ACME}: premium-1 is a premium tenant's, and it is none"
    ]


def test_bounds_are_held() -> None:
    """Of pools by tier, of groups, and of load balancers; a mover counts in both places."""
    fleet = [a_pool(), premium("g-1"), premium("g-2")]
    fleet += [Instance(id="mid", home=Home("advanced", "pool-1"))]
    fleet += [a_tenant("b-1"), a_tenant("b-2")]
    assert found(a_snapshot(*fleet), SMALL) == []
    moving = premium("mover").but(transition=Transition(Home("basic", "pool-1"), "provisioning"))
    more = [
        *(moving, Instance(id="mid-2", home=Home("advanced", "pool-1"))),
        *(a_pool("pool-2"), premium("g-9", "premium-2")),
    ]
    assert found(a_snapshot(*fleet, *more), SMALL) == [
        "tenants/dev: more than 2 premium tenants are in premium-1 (1 too many)",
        "tenants/dev: more than 3 load balancers: each pool and group has one (1 too many)",
        "tenants/dev/pools/pool-1.yaml: more than 1 advanced tenants are in pool-1 (1 too many)",
        "tenants/dev/pools/pool-1.yaml: more than 2 basic tenants are in pool-1 (1 too many)",
    ]


def test_one_broken_file_hides_no_other_and_holds_nobody_up() -> None:
    """All findings are told; a change is held to what it breaks itself."""
    before = a_snapshot(a_pool(), **{ACME: b"?", tenant_path("dev", "beta"): b"!"})
    assert len(found(before)) == 2
    good = before.but(dict(as_files(a_tenant("gamma"))))
    assert new_findings(before, good, "dev", Bounds()) == ()
    bad = before.but(dict(as_files(a_tenant("gamma", pool="pool-7"))))
    (finding,) = new_findings(before, bad, "dev", Bounds())
    assert finding.text == "there is no pool pool-7"
    untouched = before.but({ACME: b"? "})
    assert [one.path for one in new_findings(before, untouched, "dev", Bounds())] == [ACME]


def test_a_bound_that_is_passed_is_not_passed_more() -> None:
    """Who leaves an overfull pool is let go, and nobody comes in."""
    before = a_snapshot(a_pool(), *(a_tenant(f"b-{number}") for number in range(4)))
    leaves = before.but({tenant_path("dev", "b-0"): None})
    comes = before.but(dict(as_files(a_tenant("b-9"))))
    assert new_findings(before, leaves, "dev", SMALL) == ()
    (finding,) = new_findings(before, comes, "dev", SMALL)
    assert finding.excess == 3


def test_a_pool_that_goes_away_under_its_tenants_is_found() -> None:
    """What breaks is another file than the one that is changed."""
    before = a_snapshot(a_pool(), a_tenant())
    after = before.but({"tenants/dev/pools/pool-1.yaml": None})
    (finding,) = new_findings(before, after, "dev", Bounds())
    assert finding.path == ACME


def test_what_is_required_names_every_finding() -> None:
    """A line each."""
    require(())
    with pytest.raises(InvalidError) as caught:
        require(check(a_snapshot(**{ACME: b"?", "tenants/dev/x": b""}), "dev", Bounds()))
    assert len(str(caught.value).splitlines()) == 3


def test_a_thousand_tenants_are_checked_once() -> None:
    """Files that did not change are not read again."""
    tenants = [
        a_tenant(f"tenant-{number}", f"pool-{number // 100 + 1}") for number in range(1_000)
    ]
    pools = [a_pool(f"pool-{number}") for number in range(1, 11)]
    fleet = a_snapshot(*pools, *tenants)
    assert found(fleet) == []
    began = time.monotonic()
    assert found(fleet.but(dict(as_files(a_tenant("acme", "pool-1"))))) != []
    assert time.monotonic() - began < 1
