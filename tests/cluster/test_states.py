"""Terraform's own state in a real cluster: copied, lost, put back, and nothing is made anew."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

import tool
from support import terraform
from support.cluster import Cluster
from tenantctl.errors import InvalidError, NotFoundError, RefusedError
from tenantctl.flux import api_client
from tenantctl.places import Folder
from tenantctl.states import Copied, Restored, copy, restore
from tenantctl.states_cluster import StatesInCluster

pytestmark = pytest.mark.cluster

INFRA: Final = "tenant-infra"
#: Needs no provider: Terraform has it within.
MAIN: Final = """\
terraform {
  backend "kubernetes" {}
}
variable "word" { default = "one" }
resource "terraform_data" "queue" { input = var.word }
"""

_TOFU: Final = tool.built("opentofu", "tofu")
PROGRAMS: Final = {
    "terraform": terraform.find("terraform"),
    "tofu": terraform.find("tofu") if _TOFU is None else _TOFU / "tofu",
}


class Tenant:
    """An instance whose Terraform is a folder, with its state in the cluster."""

    def __init__(self, cluster: Cluster, name: str, folder: Path, program: Path) -> None:
        self._tool = program
        self._cluster = cluster
        self.name = name
        self.secret = f"tfstate-default-{name}-state"
        self._folder = folder
        folder.mkdir()
        (folder / "main.tf").write_text(MAIN, encoding="utf-8")
        self.run(
            "init",
            "-input=false",
            f"-backend-config=secret_suffix={name}-state",
            f"-backend-config=namespace={INFRA}",
            f"-backend-config=config_path={cluster.kubeconfig('terraform', 'system:masters')}",
        )

    def run(self, *arguments: str, statuses: tuple[int, ...] = (0,)) -> int:
        done = subprocess.run(
            [str(self._tool), *arguments],
            cwd=self._folder,
            env={**os.environ, "TF_IN_AUTOMATION": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in statuses, done.stderr
        return done.returncode

    def apply(self, word: str = "one") -> None:
        self.run("apply", "-auto-approve", "-input=false", f"-var=word={word}")

    def changes(self, word: str = "one") -> bool:
        """Whether a plan would change something."""
        arguments = ("plan", "-detailed-exitcode", "-input=false", f"-var=word={word}")
        return self.run(*arguments, statuses=(0, 2)) == 2

    def lose(self) -> None:
        found = {"apiVersion": "v1", "kind": "Secret"}
        metadata = {"name": self.secret, "namespace": INFRA}
        assert self._cluster.delete({**found, "metadata": metadata}).ok

    def body(self) -> Any:
        """What the cluster holds, but for what it adds itself."""
        said = self._cluster.get("v1", "Secret", self.secret, INFRA).body
        kept = {key: said["metadata"].get(key) for key in ("name", "labels", "annotations")}
        return kept, said["type"], said["data"]


@pytest.fixture
def tenant(cluster: Cluster, tmp_path: Path, request: pytest.FixtureRequest) -> Tenant:
    """One that nobody else has."""
    kind: str = getattr(request, "param", "terraform")
    program = PROGRAMS[kind]
    if program is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip(f"{kind} is not there")
    cluster.namespace(INFRA)
    number = abs(hash(request.node.name)) % 10**8
    # As the runner does it, whose OpenTofu takes a pool's name. Terraform takes none that ends so.
    name = f"pool-{number}" if kind == "tofu" else f"t{number}"
    return Tenant(cluster, name, tmp_path / "terraform", program)


@asynccontextmanager
async def opened(cluster: Cluster) -> AsyncGenerator[StatesInCluster]:
    kubeconfig = cluster.kubeconfig("tenantctl", "system:masters")
    async with api_client(kubeconfig, None) as api:
        yield StatesInCluster(api)


@pytest.fixture
def copy_all(cluster: Cluster, tmp_path: Path) -> Callable[[], Copied]:
    async def work() -> Copied:
        async with opened(cluster) as secrets:
            return await copy(secrets, Folder(tmp_path / "copies"))

    return lambda: asyncio.run(work())


@pytest.fixture
def put_back(cluster: Cluster, tmp_path: Path) -> Callable[..., Restored]:
    async def work(tenant: Tenant, options: dict[str, bool]) -> Restored:
        async with opened(cluster) as secrets:
            return await restore(secrets, Folder(tmp_path / "copies"), tenant.name, **options)

    return lambda tenant, **options: asyncio.run(work(tenant, options))


Copy = Callable[[], Copied]
PutBack = Callable[..., Restored]


@pytest.mark.parametrize(
    "tenant",
    # OpenTofu where `make tools` has built it: it is the runner's.
    [name for name, program in PROGRAMS.items() if program or name == "terraform"],
    indirect=True,
)
def test_a_state_that_is_lost_is_put_back_as_it_was(
    tenant: Tenant, copy_all: Copy, put_back: PutBack
) -> None:
    """Byte by byte, so that Terraform knows all that it made; without it, all would be new.

    A plan meanwhile leaves an empty state, which is nobody's loss.
    """
    tenant.apply()
    before = tenant.body()
    assert tenant.secret in copy_all().written
    tenant.lose()
    assert tenant.changes()

    assert put_back(tenant).changed

    assert before == tenant.body()
    assert not tenant.changes()
    assert not put_back(tenant).changed


def test_what_did_not_change_is_not_written_again(tenant: Tenant, copy_all: Copy) -> None:
    """And a state that is gone keeps its copy."""
    tenant.apply()
    assert tenant.secret in copy_all().written

    assert tenant.secret not in copy_all().written

    tenant.apply("two")
    assert tenant.secret in copy_all().written
    tenant.lose()
    assert {} == copy_all().failed


def test_a_state_that_is_there_is_written_over_on_request_only(
    tenant: Tenant, copy_all: Copy, put_back: PutBack
) -> None:
    """And one that is newer than the copy needs another word."""
    tenant.apply()
    copy_all()
    tenant.apply("two")

    with pytest.raises(RefusedError, match="To write over it: --replace"):
        put_back(tenant)
    with pytest.raises(RefusedError, match=r"older, serial \d and not \d"):
        put_back(tenant, replace=True)
    assert tenant.changes("one")

    assert put_back(tenant, replace=True, older=True).changed
    assert not tenant.changes("one")


def test_another_state_is_never_written_over(
    tenant: Tenant, copy_all: Copy, put_back: PutBack, tmp_path: Path
) -> None:
    """Whoever began anew made things that the copy knows nothing of."""
    tenant.apply()
    copy_all()
    tenant.lose()
    shutil.rmtree(tmp_path / "terraform" / ".terraform", ignore_errors=True)
    tenant.run("init", "-input=false", "-reconfigure", *backend(tenant))
    tenant.apply()

    with pytest.raises(RefusedError, match="another state than the copy"):
        put_back(tenant, replace=True, older=True)


def backend(tenant: Tenant) -> tuple[str, ...]:
    kubeconfig = tenant._cluster.kubeconfig("terraform", "system:masters")
    return (
        f"-backend-config=secret_suffix={tenant.name}-state",
        f"-backend-config=namespace={INFRA}",
        f"-backend-config=config_path={kubeconfig}",
    )


def test_while_terraform_may_run_nothing_is_put_back(
    cluster: Cluster, tenant: Tenant, copy_all: Copy, put_back: PutBack
) -> None:
    """Its runner would write over it; suspended, it waits."""
    tenant.apply()
    copy_all()
    tenant.lose()
    spec = {
        "interval": "1h",
        "path": "./",
        "sourceRef": {"kind": "OCIRepository", "name": "tenant-module-r0"},
    }
    found = {
        "apiVersion": "infra.contrib.fluxcd.io/v1alpha2",
        "kind": "Terraform",
        "metadata": {"name": tenant.name, "namespace": INFRA},
        "spec": spec,
    }
    assert cluster.apply(found, dry_run=False).ok

    with pytest.raises(RefusedError, match="Terraform may run"):
        put_back(tenant)

    assert cluster.apply({**found, "spec": {**spec, "suspend": True}}, dry_run=False).ok
    assert put_back(tenant).changed


def test_a_copy_that_is_none_is_refused(
    tenant: Tenant, copy_all: Copy, put_back: PutBack, tmp_path: Path
) -> None:
    """It is not there, not whole, another one's, or no state."""
    with pytest.raises(NotFoundError, match=f"no copy of {tenant.secret}"):
        put_back(tenant)
    tenant.apply()
    copy_all()
    file = tmp_path / "copies" / f"{tenant.secret}.json"
    whole = file.read_bytes()
    for data, text in (
        (whole[:-9], "not whole"),
        (whole.replace(tenant.secret.encode(), b"tfstate-default-other-state"), "another thing's"),
        (whole.replace(b'"tfstate": "', b'"tfstate": "AAAA'), "no state of Terraform's"),
    ):
        file.write_bytes(data)
        with pytest.raises(InvalidError, match=text):
            put_back(tenant, replace=True)


def test_while_terraform_holds_the_lock_nothing_is_put_back(
    cluster: Cluster, tenant: Tenant, copy_all: Copy, put_back: PutBack
) -> None:
    """By the Lease of its own backend: to suspend its object does not end a run."""
    tenant.apply()
    copy_all()
    tenant.lose()
    lease = cluster.get("coordination.k8s.io/v1", "Lease", f"lock-{tenant.secret}", INFRA).body
    assert lease["spec"].get("holderIdentity") is None
    held = {**lease["spec"], "holderIdentity": "somebody"}
    assert cluster.request("PUT", cluster.path(lease), {**lease, "spec": held}).ok

    with pytest.raises(RefusedError, match=f"holds the lock.*lock-{tenant.secret}"):
        put_back(tenant)

    assert cluster.delete(lease).ok
    assert put_back(tenant).changed


def test_an_empty_state_of_somebody_else_leaves_the_copy(
    tenant: Tenant, copy_all: Copy, put_back: PutBack
) -> None:
    """The hour went by between the loss and the restore, and Terraform planned meanwhile."""
    tenant.apply()
    before = tenant.body()
    copy_all()
    tenant.lose()
    tenant.changes()

    assert tenant.secret in copy_all().kept

    assert put_back(tenant).changed
    assert before == tenant.body()
