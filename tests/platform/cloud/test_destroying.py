"""`make destroy`: whom it refuses, in which order it goes, and what it says was left."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, Final

import pytest

from cloud.environments import ROOT
from cloud.fake_account import (
    ACCOUNT,
    CLUSTER,
    LET_IN,
    STATE,
    Account,
    KilledError,
    thing,
)
from tenantry_cloud.destroying import Destroying
from tenantry_cloud.making import Making
from tenantry_cloud.model import Environment
from tenantry_cloud.reading import read_environment
from tenantry_cloud.steps import CommandError, LeftoversError, RefusedError

DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")
PROTECTED: Final = DEV.model_copy(update={"protected": True})
HERE: Final = f"eu-central-1:{ACCOUNT}"
GROUP: Final = f"arn:aws:ec2:{HERE}:security-group/sg-1"
BALANCER: Final = f"arn:aws:elasticloadbalancing:{HERE}:loadbalancer/app/k8s/1"
BUCKET: Final = "arn:aws:s3:::dev-tenantry-kept"


def _account(**others: Any) -> Account:
    """One in which an environment runs."""
    kinds = {
        "fluxinstances.fluxcd.controlplane.io/flux": thing("flux"),
        "kustomizations.kustomize.toolkit.fluxcd.io/tenants": thing("tenants"),
        "helmreleases.helm.toolkit.fluxcd.io/pool-1": thing("pool-1"),
        "ingresses.networking.k8s.io/pool-1": thing("pool-1"),
        "services/capacitor": thing("capacitor", type="LoadBalancer"),
        "services/producer": thing("producer", type="ClusterIP"),
        "eventsources.argoproj.io/requests": thing("requests"),
        "cronworkflows.argoproj.io/reconcile": thing("reconcile"),
        "workflows.argoproj.io/onboard-1": thing("onboard-1"),
        "nodepools.karpenter.sh/basic": thing("basic"),
        "persistentvolumeclaims/prometheus": thing("prometheus"),
    }
    return Account(**{"state": STATE.copy(), "cluster": kinds, "answer": "dev", **others})


def _destroy(account: Account, tmp_path: Path, said: Environment = DEV, **given: str) -> None:
    Destroying(account, said, tmp_path / "home", **given).run()


ORDER: Final = [
    "suspend flux",
    "suspend tenants",
    "suspend pool-1",
    "stop eventsources",
    "stop cronworkflows",
    "delete pool-1",
    "delete capacitor",
    "delete basic",
    "delete prometheus",
    "terraform destroy",
]


def test_it_goes_in_the_order_in_which_nothing_hangs(tmp_path: Path) -> None:
    """Flux first, which would make all of it anew; then what controllers have to clean up."""
    account = _account()

    _destroy(account, tmp_path)

    assert account.changes == ORDER
    assert account.state == []
    assert any("dev is gone" in line for line in account.lines)


def test_it_says_first_what_goes(tmp_path: Path) -> None:
    """By kind and number, before it asks; and the answer is the environment's name."""
    account = _account(answer="yes")

    with pytest.raises(RefusedError, match="CONFIRM=dev"):
        _destroy(account, tmp_path)

    assert account.changes == []
    assert f"This removes {len(STATE)} resources of dev:" in account.lines
    assert any("1 network: aws_vpc" in line for line in account.lines)
    assert account.lines[-1] == "Type dev to destroy all of it:"


def test_confirmed_beforehand_it_does_not_ask(tmp_path: Path) -> None:
    """As in a pipeline: by name."""
    account = _account(answer="")

    _destroy(account, tmp_path, confirmed="dev")

    assert account.state == []


@pytest.mark.parametrize("status", ["active", "suspended", "moving", "draining"])
def test_tenants_are_offboarded_first(tmp_path: Path, status: str) -> None:
    """Whoever is registered has data, or is about to be exported."""
    account = _account(placements={"acme": status, "gone": "offboarded"})

    with pytest.raises(RefusedError, match="1 tenants are registered: acme") as refused:
        _destroy(account, tmp_path, confirmed="dev")

    assert "gone" not in str(refused.value)
    assert account.changes == []


@pytest.mark.parametrize(("is_protected", "says"), [(True, "is protected"), (False, "is there")])
def test_tables_that_were_kept_are_not_taken(
    tmp_path: Path, is_protected: bool, says: str
) -> None:
    """A tenant that left and kept its data, or a pool that still stands; never another's."""
    account = _account(tables={"dev-acme-messages": is_protected})

    with pytest.raises(RefusedError, match=f"table dev-acme-messages {says}") as refused:
        _destroy(account, tmp_path, confirmed="dev")

    assert "production" not in str(refused.value)
    assert account.changes == []


def test_exports_are_not_taken(tmp_path: Path) -> None:
    """What tenants took along stays until somebody has it."""
    account = _account(exports=["tenants/acme/manifest.json"])

    with pytest.raises(RefusedError, match=f"dev-tenantry-exports-{ACCOUNT} holds exports"):
        _destroy(account, tmp_path, confirmed="dev")

    assert account.changes == []


def test_everything_that_stands_in_the_way_is_said_at_once(tmp_path: Path) -> None:
    """Nobody is told one reason a run."""
    account = _account(
        placements={f"tenant-{number}": "active" for number in range(7)},
        tables={"dev-pool-1-messages": False},
        exports=["x"],
    )

    with pytest.raises(RefusedError) as refused:
        _destroy(account, tmp_path, confirmed="dev")

    assert "7 tenants are registered: tenant-0, tenant-1" in str(refused.value)
    assert "and 2 more" in str(refused.value)
    assert len(str(refused.value).splitlines()) == 4


def test_deletion_protection_is_taken_off_before(tmp_path: Path) -> None:
    """Else Terraform would stop at its first step, the registry's table."""
    account = _account(protected=True)

    _destroy(account, tmp_path, PROTECTED)

    assert account.changes == [*ORDER[:-1], "unprotect", "terraform destroy"]


@pytest.mark.parametrize(
    "there",
    [
        ["aws_dynamodb_table.registry", "aws_s3_bucket.state_copies"],
        ["aws_s3_bucket.state_copies"],
    ],
    ids=len,
)
def test_protection_is_taken_from_what_is_there(tmp_path: Path, there: list[str]) -> None:
    """A bucket with copies in it is as protected as a table; what is gone is not made again."""
    account = _account(protected=True, state=[*there, "module.network.aws_vpc.this"])

    _destroy(account, tmp_path, PROTECTED)

    [applied] = [words for words in account.words if "apply" in words]
    targets = [word.removeprefix("-target=") for word in applied if word.startswith("-target=")]
    assert there == targets
    assert account.changes[-1] == "terraform destroy"


def test_what_aws_says_nothing_of_is_not_called_gone(tmp_path: Path) -> None:
    """A call that is denied or throttled is no answer; one that finds nothing is."""
    machine = f"arn:aws:ec2:{HERE}:instance/i-1"
    gateway = f"arn:aws:ec2:{HERE}:natgateway/nat-1"
    key = f"arn:aws:kms:{HERE}:key/1"
    tagged: dict[str, dict[str, str]] = {machine: {}, gateway: {}, key: {}}

    _destroy(_account(leftovers=tagged), tmp_path)
    with pytest.raises(LeftoversError) as left:
        _destroy(_account(leftovers=tagged, says_nothing=True), tmp_path)

    assert [machine, gateway, key] == str(left.value).splitlines()[1:]


def test_making_goes_on_in_no_environment_that_is_being_destroyed(tmp_path: Path) -> None:
    """Flux is suspended there, and would be called Ready."""
    account = _account()
    Destroying(account, DEV, tmp_path / "home")._suspend()

    with pytest.raises(RefusedError, match="somebody began to destroy this environment"):
        Making(account, DEV, lambda: tmp_path / "credentials", tmp_path / "home")._has_flux()


def test_a_destroy_that_was_interrupted_makes_no_table_anew(tmp_path: Path) -> None:
    """The table goes first: where it is gone, taking its protection off would make all again."""
    account = _account(protected=False, state=["module.network.aws_vpc.this"])

    _destroy(account, tmp_path, PROTECTED)

    assert "unprotect" not in account.changes
    assert account.changes[-1] == "terraform destroy"


def test_what_does_not_go_is_waited_for_and_named(tmp_path: Path) -> None:
    """Terraform is not started while a load balancer stands in its subnets."""
    account = _account(stuck={"ingresses.networking.k8s.io/pool-1"})

    with pytest.raises(CommandError, match=r"after 900 s: ingresses\.networking\.k8s\.io/pool-1"):
        _destroy(account, tmp_path)

    assert "terraform destroy" not in account.changes


def test_what_controllers_left_is_swept_and_the_rest_reported(tmp_path: Path) -> None:
    """By the environment's tag; what may hold data is a person's business."""
    account = _account(leftovers={GROUP: {}, BALANCER: {}, BUCKET: {}})

    with pytest.raises(LeftoversError) as left:
        _destroy(account, tmp_path)

    swept = [one for one in account.changes if one.startswith("sweep")]
    assert swept == ["sweep 1", "sweep sg-1"], "a load balancer holds its security group"
    assert str(left.value).splitlines()[1:] == [BUCKET]


def test_what_would_not_be_swept_is_reported(tmp_path: Path) -> None:
    """Nothing is called gone that is there."""
    account = _account(leftovers={GROUP: {}}, stuck={GROUP})

    with pytest.raises(LeftoversError, match="security-group/sg-1"):
        _destroy(account, tmp_path)

    assert f"  not deleted: {GROUP}" in account.lines


def test_the_workstation_and_keys_on_their_way_are_no_leftovers(tmp_path: Path) -> None:
    """The one is of stacks of its own, and keys wait thirty days."""
    machine = f"arn:aws:ec2:{HERE}:instance/i-1"
    role = f"arn:aws:iam::{ACCOUNT}:role/dev-workstation"
    account = _account(
        leftovers={
            machine: {"aws:cloudformation:stack-name": "dev-workstation"},
            role: {"aws:cloudformation:stack-name": "dev-workstation-role"},
            f"arn:aws:kms:{HERE}:key/1": {},
        }
    )

    _destroy(account, tmp_path)

    assert {machine, role} <= account.leftovers.keys()


def test_killed_anywhere_it_is_run_again_to_the_same_end(tmp_path: Path) -> None:
    """Before and after each command in turn."""
    undisturbed = _account(leftovers={GROUP: {}}, protected=True)
    _destroy(undisturbed, tmp_path, PROTECTED)
    kills = list(itertools.product(range(len(undisturbed.words)), (True, False)))
    assert len(kills) > 60

    for kill_at, is_before in kills:
        account = _account(
            leftovers={GROUP: {}}, protected=True, kill_at=kill_at, is_killed_before=is_before
        )
        with pytest.raises(KilledError):
            _destroy(account, tmp_path, PROTECTED)
        account.kill_at = None
        _destroy(account, tmp_path, PROTECTED)

        assert account.state == [], undisturbed.words[kill_at]
        assert account.leftovers == {}
        assert account.changes.count("terraform destroy") == 1
        assert account.changes.index("delete basic") < account.changes.index("terraform destroy")


@pytest.mark.parametrize("is_saved", [True, False])
@pytest.mark.parametrize("resources", range(len(STATE)))
def test_killed_while_terraform_destroys_it_goes_on(
    tmp_path: Path, resources: int, is_saved: bool
) -> None:
    """Once it stopped at kubectl, where those who are let in had gone before the cluster."""
    account = _account(protected=True, kill_in=resources, is_saved=is_saved)
    with pytest.raises(KilledError):
        _destroy(account, tmp_path, PROTECTED)
    assert account.has(CLUSTER) or resources > 3
    account.kill_in = None
    account.changes.clear()

    _destroy(account, tmp_path, PROTECTED)

    assert account.state == []
    assert account.changes[-1] == "terraform destroy"
    # Without the table nothing is asked of the cluster, and the table is not made again.
    asked = {"suspend flux", "unprotect"} & {*account.changes}
    assert asked == (set() if resources else {"suspend flux", "unprotect"})


def test_what_was_made_by_half_is_destroyed(tmp_path: Path) -> None:
    """Killed before and after each command of making it, and in the midst of Terraform."""
    credentials = tmp_path / "credentials"
    credentials.write_text("username=me\npassword=x\n", encoding="utf-8")
    home = tmp_path / "home"
    undisturbed = Account()
    Making(undisturbed, DEV, lambda: credentials, home, is_agreed=True).run()
    kills: list[dict[str, Any]] = [
        *(
            {"kill_at": kill_at, "is_killed_before": is_before}
            for kill_at in range(len(undisturbed.words))
            for is_before in (True, False)
        ),
        *({"kill_in": resources} for resources in range(len(STATE))),
    ]

    for kill in kills:
        account = Account(answer="dev", **kill)
        with pytest.raises(KilledError):
            Making(account, DEV, lambda: credentials, home, is_agreed=True).run()
        account.kill_at = account.kill_in = None
        _destroy(account, tmp_path)

        assert account.state == [], kill
        assert not account.has(CLUSTER), kill


@pytest.mark.parametrize("after", ["stop cronworkflows", "delete prometheus"])
def test_who_comes_while_it_is_at_work_is_not_destroyed(tmp_path: Path, after: str) -> None:
    """It asks again when requests are no longer taken, and before Terraform begins."""
    account = _account(come={after: {"placements": {"acme": "active"}}})

    with pytest.raises(RefusedError, match="1 tenants are registered: acme") as refused:
        _destroy(account, tmp_path)

    assert "Flux is suspended by now: `make environment` says" in str(refused.value)
    assert account.changes[-1] == after
    assert account.state == STATE


def test_workflows_end_before_it_is_asked_who_is_there(tmp_path: Path) -> None:
    """One that is at work may register somebody; one that does not end stops it."""
    account = _account(workflows=["workflow.argoproj.io/onboard-1"])
    _destroy(account, tmp_path)
    assert "  waiting for workflow.argoproj.io/onboard-1" in account.lines

    stuck = _account(workflows=["workflow.argoproj.io/onboard-1"] * 1_000)
    with pytest.raises(CommandError, match=r"after 900 s: workflow\.argoproj\.io/onboard-1"):
        _destroy(stuck, tmp_path)
    assert stuck.changes[-1] == "stop cronworkflows"


def test_a_cluster_that_cannot_be_reached_is_said_with_the_way_on(tmp_path: Path) -> None:
    """It may be full: then nothing is destroyed behind its back."""
    account = _account(there=[one for one in STATE if one != LET_IN])

    with pytest.raises(CommandError, match=r"logged in.*\n.*`make environment` mends it first"):
        _destroy(account, tmp_path)

    assert account.changes == []


def test_an_environment_that_is_gone_already_is_gone(tmp_path: Path) -> None:
    """No cluster, no table, no bucket: nothing is asked of them."""
    account = Account(answer="dev")

    _destroy(account, tmp_path)

    assert account.changes == []
    assert not [words for words in account.words if words[0] == "kubectl"]
