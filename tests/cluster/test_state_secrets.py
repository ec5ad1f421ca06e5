"""Secrets of Terraform states on a real API server, and in the tests' fake; and who may read."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from chart.render import Object
from cluster.admission import account, done
from fakes.states import FakeStateSecrets, a_state
from support.cluster import Cluster
from support.flux_standin import FLEET, kubectl, kustomize
from tenantctl import states_cluster
from tenantctl.errors import UnavailableError
from tenantctl.flux import api_client
from tenantctl.places import Folder
from tenantctl.states import StateSecrets, copy, restore
from tenantctl.states_cluster import StatesInCluster

pytestmark = pytest.mark.cluster

INFRA: Final = "tenant-infra"
BACKUP: Final = account(INFRA, "tfstate-backup")
TERRAFORM: Final = {
    "apiVersion": "infra.contrib.fluxcd.io/v1alpha2",
    "kind": "Terraform",
    "metadata": {"name": "acme", "namespace": INFRA},
    "spec": {"interval": "1h", "sourceRef": {"kind": "OCIRepository", "name": "module"}},
}


def lease(holder: str | None) -> Object:
    """The lock of acme's state, as Terraform's backend keeps it."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lock-tfstate-default-acme-state", "namespace": INFRA},
        "spec": {} if holder is None else {"holderIdentity": holder},
    }


class Stage(Protocol):
    """Secrets, and what Terraform does meanwhile."""

    @property
    def secrets(self) -> StateSecrets: ...

    def work(self, *, suspended: bool | None) -> None: ...
    def lock(self, holder: str | None) -> None: ...


class OfTheFake:
    def __init__(self) -> None:
        self.secrets = FakeStateSecrets()

    def work(self, *, suspended: bool | None) -> None:
        self.secrets.at_work = {"acme"} if suspended is False else set()

    def lock(self, holder: str | None) -> None:
        self.secrets.locked = set() if holder is None else {"tfstate-default-acme-state"}


class OfTheCluster:
    def __init__(self, cluster: Cluster, secrets: StateSecrets) -> None:
        self.secrets = secrets
        self._cluster = cluster

    def clean(self) -> None:
        """Nothing of an earlier test is there."""
        for each in self._cluster.list("v1", "Secret", INFRA).body["items"]:
            found = {"apiVersion": "v1", "kind": "Secret", "metadata": each["metadata"]}
            done(self._cluster.delete(found))
        for one in (lease(None), TERRAFORM):
            self._cluster.delete(one)

    def work(self, *, suspended: bool | None) -> None:
        if suspended is None:
            self._cluster.delete(TERRAFORM)
        else:
            spec = {**TERRAFORM["spec"], "suspend": suspended}  # type: ignore[dict-item]
            done(self._cluster.apply({**TERRAFORM, "spec": spec}, dry_run=False))

    def lock(self, holder: str | None) -> None:
        done(self._cluster.apply(lease(holder), dry_run=False))


@pytest.fixture(params=["fake", "cluster"])
async def stage(
    request: pytest.FixtureRequest, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Stage]:
    """Two of everything, so that both are held to the same."""
    if request.param == "fake":
        yield OfTheFake()
        return
    cluster.namespace(INFRA)
    # As where there are hundreds: a page ends before the list does.
    monkeypatch.setattr(states_cluster, "_PAGE", 1)
    async with api_client(cluster.kubeconfig("tenantctl", "system:masters"), None) as api:
        standing = OfTheCluster(cluster, StatesInCluster(api))
        standing.clean()
        yield standing
        standing.clean()


async def test_what_is_written_is_read(stage: Stage) -> None:
    """Label by label and byte by byte; one that is there is written over on request only."""
    secrets = stage.secrets
    one, two = a_state("tfstate-default-acme-state"), a_state("tfstate-default-pool-1-state")
    assert await secrets.get(one.name) is None
    assert [] == await secrets.all()

    await secrets.put(one, over=False)
    await secrets.put(two, over=False)

    assert [one, two] == sorted(await secrets.all(), key=lambda each: each.name)
    assert one == await secrets.get(one.name)
    newer = a_state(one.name, 2)
    with pytest.raises(UnavailableError, match=one.name):
        await secrets.put(newer, over=False)
    assert one == await secrets.get(one.name)
    await secrets.put(newer, over=True)
    assert newer == await secrets.get(one.name)


async def test_whether_terraform_may_run_is_known(stage: Stage) -> None:
    """Not where it is suspended or not there; and a lock is held or let go."""
    secrets, name = stage.secrets, "tfstate-default-acme-state"
    for suspended, at_work in ((None, False), (False, True), (True, False)):
        stage.work(suspended=suspended)
        assert at_work is await secrets.is_at_work("acme")
    assert not await secrets.is_locked(name)
    for holder in ("somebody", None, "another"):
        stage.lock(holder)
        assert (holder is not None) is await secrets.is_locked(name)
    assert not await secrets.is_locked("tfstate-default-globex-state")


# --- who copies in the cluster ----------------------------------------------------------------


@pytest.fixture(scope="module")
def objects() -> dict[str, Object]:
    """What the fleet of dev puts beside the states, by kind."""
    if kubectl() is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("there is no kubectl: `make test-cluster` builds it")
    found = kustomize(FLEET / "states" / "dev")
    return {each["kind"]: each for each in found if each["metadata"].get("namespace") == INFRA}


@pytest.fixture
def rights(cluster: Cluster, objects: dict[str, Object]) -> Cluster:
    """A server with the account that copies."""
    for name in (INFRA, "tenants", "flux-system"):
        cluster.namespace(name)
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        assert objects[kind]["metadata"]["name"] == "tfstate-backup"
        done(cluster.apply(objects[kind], dry_run=False))
    return cluster


async def test_the_account_in_the_cluster_copies_and_puts_nothing_back(
    rights: Cluster, tmp_path: Path
) -> None:
    """It lists; who may write states is a person."""
    state = a_state("tfstate-default-acme-state")
    async with api_client(rights.kubeconfig("tenantctl", "system:masters"), None) as api:
        people = StatesInCluster(api)
        if await people.get(state.name) is None:
            await people.put(state, over=False)
        async with api_client(rights.kubeconfig(BACKUP), None) as own:
            job, place = StatesInCluster(own), Folder(tmp_path)

            assert state.name in (await copy(job, place)).written

            with pytest.raises(UnavailableError, match="tenant-infra"):
                await restore(job, place, "acme")
            with pytest.raises(UnavailableError, match=state.name):
                await job.put(state, over=True)
        assert state == await people.get(state.name)


def test_the_account_has_no_other_right(rights: Cluster) -> None:
    """No Secret of another namespace, no writing, and nothing but Secrets."""
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tfstate-default-acme-state", "namespace": INFRA},
    }
    assert rights.list("v1", "Secret", INFRA, as_user=BACKUP).ok
    for namespace in ("tenants", "flux-system", "default", None):
        assert 403 == rights.list("v1", "Secret", namespace, as_user=BACKUP).code
    assert 403 == rights.delete(secret, as_user=BACKUP).code
    assert 403 == rights.apply(secret, as_user=BACKUP).code
    created = {**secret, "metadata": {**secret["metadata"], "name": "tfstate-default-new-state"}}
    assert 403 == rights.create(created, as_user=BACKUP).code
    for version, kind in (
        ("v1", "ConfigMap"),
        ("v1", "ServiceAccount"),
        ("coordination.k8s.io/v1", "Lease"),
        (str(TERRAFORM["apiVersion"]), "Terraform"),
    ):
        assert 403 == rights.list(version, kind, INFRA, as_user=BACKUP).code, kind


def test_its_pod_is_let_in_where_only_restricted_ones_are(
    cluster: Cluster, objects: dict[str, Object]
) -> None:
    """As `tenant-infra` is; and a pod that may become root is not, which shows that it asks."""
    name = cluster.namespace(
        "states-restricted", {"pod-security.kubernetes.io/enforce": "restricted"}
    )
    spec = objects["CronJob"]["spec"]
    template = spec["jobTemplate"]["spec"]["template"]
    metadata = {**template["metadata"], "name": "copies", "namespace": name}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    pod["spec"] = {**pod["spec"], "serviceAccountName": "default"}

    done(cluster.create(pod, dry_run=True))

    [container] = pod["spec"]["containers"]
    open_ = {**container, "securityContext": {}}
    loose = {**pod, "spec": {**pod["spec"], "containers": [open_]}}
    assert "restricted" in cluster.create(loose, dry_run=True).message
    assert ("Forbid", "17 * * * *") == (spec["concurrencyPolicy"], spec["schedule"])
    job = spec["jobTemplate"]["spec"]
    assert job["activeDeadlineSeconds"] < 3600
    assert ["tenantctl"] == container["command"]
