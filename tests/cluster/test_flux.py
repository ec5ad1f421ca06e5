"""What tenantctl makes of what Flux and the tofu-controller say, on a real API server."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from support.cluster import Cluster
from tenantctl.errors import InvalidError, UnavailableError
from tenantctl.files import render
from tenantctl.flux import FluxCluster, connected
from tenantctl.model import Home, Instance
from tenantctl.ports import Applied, Outputs

ZENITH: Final = Instance(id="zenith", home=Home("premium"), group="premium-1")
OUTPUTS: Final = Outputs("https://sqs/zenith", "https://sqs/zenith-dead", "dev-zenith-messages")
READER: Final = "reader"


@asynccontextmanager
async def asked(cluster: Cluster) -> AsyncGenerator[FluxCluster, None]:
    async with connected(cluster.kubeconfig("admin", "system:masters"), None) as found:
        yield found


def put(cluster: Cluster, thing: dict[str, Any], **status: Any) -> None:
    """Have the server hold an object, with what its controller says of it."""
    answer = cluster.apply([thing], dry_run=False)
    assert answer.ok, answer.message
    found = cluster.request("GET", cluster.path(thing)).body
    generation = found["metadata"]["generation"]
    whole = {
        **found,
        "status": {
            "observedGeneration": generation,
            **{key: generation if one == "now" else one for key, one in status.items()},
        },
    }
    said = cluster.request("PUT", f"{cluster.path(found)}/status", whole)
    assert said.ok, said.message


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, str]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


READY: Final = [condition("Ready", "True", "Succeeded", "there")]


def release(instance: Instance, **spec: Any) -> dict[str, Any]:
    """The HelmRelease that Flux makes of a file."""
    found: dict[str, Any] = yaml.safe_load(render(instance))
    found["metadata"]["namespace"] = "tenants"
    found["spec"] |= {"interval": "1h", **spec}
    return found


def terraform(name: str = "zenith") -> dict[str, Any]:
    return {
        "apiVersion": "infra.contrib.fluxcd.io/v1alpha2",
        "kind": "Terraform",
        "metadata": {"name": name, "namespace": "tenant-infra"},
        "spec": {
            "interval": "1h",
            "approvePlan": "auto",
            "path": "./",
            "sourceRef": {"kind": "OCIRepository", "name": "tenant-module-r2"},
        },
    }


def secret(name: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "tenant-infra"},
        "data": {key: base64.b64encode(one.encode()).decode() for key, one in data.items()},
    }


@pytest.fixture
def there(cluster: Cluster) -> Cluster:
    """A cluster with the two namespaces and nothing in them."""
    for name in ("tenants", "tenant-infra"):
        cluster.namespace(name)
    for thing in (release(ZENITH), terraform(), secret("zenith-outputs")):
        cluster.delete(thing)
    return cluster


async def test_what_is_ready_is_told_with_its_outputs(there: Cluster) -> None:
    """Values, release by version and digest, and queue and table of the Secret."""
    digest = f"sha256:{'a' * 64}"
    history = {
        "chartName": "tenant-template",
        "chartVersion": "1.4.0+aaaaaaaaaaaa",
        "configDigest": digest,
        "digest": digest,
        "firstDeployed": "2026-11-22T00:00:00Z",
        "lastDeployed": "2026-11-22T00:00:00Z",
        "name": "zenith",
        "namespace": "zenith",
        "ociDigest": digest,
        "status": "deployed",
        "version": 1,
    }
    put(there, release(ZENITH), lastAttemptedGeneration="now", conditions=READY, history=[history])
    put(there, terraform(), conditions=READY)
    there.apply(
        [
            secret(
                "zenith-outputs",
                queue_url=OUTPUTS.queue_url,
                dead_letter_queue_url=OUTPUTS.dead_letter_queue_url,
                table_name=OUTPUTS.table_name,
            )
        ],
        dry_run=False,
    )
    async with asked(there) as flux:
        assert await flux.applied("zenith") == Applied(
            exists=True,
            instance=ZENITH,
            is_ready=True,
            chart=f"1.4.0@{digest}",
            outputs=OUTPUTS,
        )
        assert (await flux.instances())["zenith"].is_ready
        assert await flux.remains("zenith") == (
            "HelmRelease tenants/zenith",
            "Terraform tenant-infra/zenith",
            "Secret tenant-infra/zenith-outputs",
        )


async def test_a_commit_that_helm_has_not_taken_up_is_not_in_force(there: Cluster) -> None:
    """However ready the release is that was there before."""
    put(there, release(ZENITH), lastAttemptedGeneration="now", conditions=READY)
    there.apply([release(ZENITH.but(is_suspended=True, ring="r1"))], dry_run=False)
    async with asked(there) as flux:
        found = await flux.applied("zenith")
    assert found.exists
    assert found.instance is None
    assert not found.is_ready
    assert found.detail


async def test_a_plan_that_is_refused_is_told_in_its_own_words(there: Cluster) -> None:
    """And that nothing more happens by itself."""
    put(there, release(ZENITH), lastAttemptedGeneration="now", conditions=READY)
    why = "the table is protected"
    put(
        there,
        terraform(),
        conditions=[condition("Ready", "False", "TFExecPlanFailed", why)],
        reconciliationFailures=3,
    )
    async with asked(there) as flux:
        found = await flux.applied("zenith")
    assert (found.is_ready, found.has_failed) == (False, True)
    assert found.detail == f"its Terraform: {why}"


@pytest.mark.parametrize(
    ("of_release", "of_terraform"),
    [("ArtifactFailed", None), ("DependencyNotReady", None), (None, "TFExecInitFailed")],
)
async def test_what_passes_by_itself_is_not_given_up(
    there: Cluster, of_release: str | None, of_terraform: str | None
) -> None:
    """A chart that could not be fetched once was a verdict on its release."""
    why = "dial tcp: i/o timeout"
    ready = READY if of_release is None else [condition("Ready", "False", of_release, why)]
    put(there, release(ZENITH), lastAttemptedGeneration="now", conditions=ready)
    if of_terraform is not None:
        failed = [condition("Ready", "False", of_terraform, why)]
        put(there, terraform(), conditions=failed, reconciliationFailures=1)
    async with asked(there) as flux:
        found = await flux.applied("zenith")
    assert (found.is_ready, found.has_failed) == (False, False)
    assert why in found.detail


async def test_what_stands_without_a_release_is_a_stray(there: Cluster) -> None:
    """Nothing else says that it is there: Terraform, and the namespace that the chart made."""
    made = {"app.kubernetes.io/name": "tenantry", "app.kubernetes.io/component": "namespace"}
    there.namespace("left-behind", made)
    put(there, terraform(), conditions=READY)
    async with asked(there) as flux:
        # Other tests of this server leave namespaces, too.
        found = await flux.strays()
        assert found["zenith"] == ("Terraform tenant-infra/zenith",)
        assert found["left-behind"] == ("Namespace left-behind",)
        put(there, release(ZENITH), lastAttemptedGeneration="now", conditions=READY)
        found = await flux.strays()
        assert "zenith" not in found
        assert found["left-behind"] == ("Namespace left-behind",)


async def test_a_release_that_was_told_to_stand_still_is_told(there: Cluster) -> None:
    """It would be waited for in vain."""
    put(there, release(ZENITH, suspend=True), lastAttemptedGeneration="now", conditions=READY)
    async with asked(there) as flux:
        assert (await flux.applied("zenith")).is_suspended


async def test_nobody_is_told_as_nobody(there: Cluster) -> None:
    """A tenant that is not there, and one of which nothing remains."""
    async with asked(there) as flux:
        assert await flux.applied("nobody") == Applied()
        assert await flux.remains("nobody") == ()


def state(*resources: str) -> str:
    """A state as the Secret of Terraform's backend has it, before base64."""
    return gzip.compress(json.dumps({"version": 4, "resources": resources}).encode()).hex()


@pytest.mark.parametrize("resources", [(), ("a queue",)])
async def test_an_empty_state_is_swept_and_one_that_names_something_is_not(
    there: Cluster, resources: tuple[str, ...]
) -> None:
    """The tofu-controller leaves it, and the lock's Lease, when the object is gone."""
    kept = secret("tfstate-default-zenith-state")
    kept["data"] = {"tfstate": base64.b64encode(bytes.fromhex(state(*resources))).decode()}
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "lock-tfstate-default-zenith-state", "namespace": "tenant-infra"},
        "spec": {},
    }
    for thing in (kept, lease):
        assert there.apply([thing], dry_run=False).ok
    put(there, terraform(), conditions=READY)
    async with asked(there) as flux:
        await flux.sweep("zenith")
        assert there.request("GET", there.path(kept)).ok
        assert there.delete(terraform()).ok
        await flux.sweep("zenith")
        await flux.sweep("zenith")
    found = [there.request("GET", there.path(thing)).code for thing in (kept, lease)]
    assert found == ([200, 200] if resources else [404, 404])
    for thing in (kept, lease):
        there.delete(thing)


async def test_looking_at_git_now_is_asked_of_the_source(there: Cluster) -> None:
    """By the annotation that Flux knows; where there is no source it is passed over."""
    source = {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": "flux-system", "namespace": "flux-system"},
        "spec": {"interval": "1h", "url": "https://git.example.com/fleet"},
    }
    there.namespace("flux-system")
    there.delete(source)
    async with asked(there) as flux:
        await flux.nudge()
        assert there.apply([source], dry_run=False).ok
        await flux.nudge()
    annotations = there.request("GET", there.path(source)).body["metadata"]["annotations"]
    assert "reconcile.fluxcd.io/requestedAt" in annotations


async def test_who_may_not_read_is_told_what(there: Cluster) -> None:
    """A refusal is no tenant that is gone."""
    async with connected(there.kubeconfig(READER), None) as flux:
        why = r"helmreleases tenants/.*: the cluster denies it: helm.* is forbidden: User"
        with pytest.raises(UnavailableError, match=why):
            await flux.applied("zenith")


async def test_a_key_that_is_of_another_certificate_is_said(
    cluster: Cluster, tmp_path: Path
) -> None:
    """Regression: where two had written the file at once, it was a traceback."""
    said = yaml.safe_load(cluster.kubeconfig("mixed-up").read_text("utf-8"))
    user = said["users"][0]["user"]
    user["client-key"] = str(Path(user["client-key"]).with_name("admin.key"))
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(said), "utf-8")

    with pytest.raises(InvalidError, match=r"cannot be reached: .*KEY_VALUES_MISMATCH"):
        async with connected(path, None):
            pass


async def test_a_kubeconfig_that_is_none_is_named(there: Cluster) -> None:
    """Before anything is asked."""
    with pytest.raises(InvalidError, match="cannot be reached"):
        async with connected(there.kubeconfig(), "nowhere"):
            raise AssertionError
