"""`make destroy`: says first what goes, refuses while tenants have data, and reports leftovers.

The order is that of what would hang or leak in any other: no tenants → Flux is suspended →
requests are no longer taken → still no tenants → load balancers, node pools and volumes are
deleted through the cluster and waited for → Terraform → what still bears the environment's tag.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tenantry_cloud import sweeping
from tenantry_cloud.flux import RECONCILE
from tenantry_cloud.model import Environment
from tenantry_cloud.root import Root, grouped
from tenantry_cloud.steps import (
    CommandError,
    Done,
    LeftoversError,
    RefusedError,
    Step,
    World,
    failed,
    output,
    wait,
    work,
)

_GONE_SECONDS: Final = 900
_REGISTRY: Final = "aws_dynamodb_table.registry"
#: What is protected: from deletion, and while something is in it. What of it is gone, a destroy
#: that was interrupted has taken: it is not made again.
PROTECTED: Final = (_REGISTRY, "aws_s3_bucket.state_copies")
_TENANTS_SHOWN: Final = 5
#: What takes requests, and what asks by itself. Flux makes them again, if it goes on.
_INTAKE: Final = ("eventsources.argoproj.io", "cronworkflows.argoproj.io")
_WORKFLOWS: Final = "workflows.argoproj.io"
#: What controllers make in AWS because of them; deleted while the controllers run.
_CLUSTER_OBJECTS: Final = (
    "ingresses.networking.k8s.io",
    "services",
    "nodepools.karpenter.sh",
    "persistentvolumeclaims",
)
#: What has to be gone then, since something in AWS goes with it.
_TO_BE_GONE: Final = (
    "ingresses.networking.k8s.io",
    "nodeclaims.karpenter.sh",
    "persistentvolumes",
    "targetgroupbindings.elbv2.k8s.aws",
)


@dataclass(frozen=True, slots=True)
class Destroying:
    """What it takes to destroy an environment.

    Attributes:
        confirmed: The environment's name, as somebody typed it beforehand; else it is asked for.
    """

    world: World
    said: Environment
    home: Path
    confirmed: str = ""

    @property
    def kubeconfig(self) -> Path:
        """Of this environment's cluster."""
        return self.home / f"{self.said.environment}.kubeconfig"

    def run(self) -> None:
        """Destroy it.

        Raises:
            RefusedError: Somebody's data are there, or nobody agreed.
            LeftoversError: Something is left.
        """
        root = Root(self.world.commands, self.said, self.home)
        root.account()
        root.init()
        name = self.said.environment
        addresses = root.resources()
        self._say_what_goes(addresses)
        self._refuse()
        answer = self.confirmed or self.world.ask(f"Type {name} to destroy all of it:")
        if answer != name:
            raise RefusedError(f"Nothing was destroyed. CONFIRM={name} agrees beforehand.")
        work(self.world, self.steps(root))
        if left := sweeping.leftovers(self.world.commands, self.said):
            raise LeftoversError(
                "\n".join([f"Left behind, with the tag of {name}; see to each:", *left])
            )
        self.world.say(
            f"{name} is gone. Kept: its state's versions, keys for 30 days, its exports."
        )

    def steps(self, root: Root) -> list[Step]:
        """All that there is to do, in its order."""
        return [
            Step("Flux is suspended", self._is_empty, self._suspend),
            Step("requests are no longer taken", self._is_empty, self._stop_intake),
            Step("nobody has come meanwhile", _never, self._refuse_again),
            Step("load balancers, nodes and volumes", self._is_empty, self._empty),
            # The same again: that took its time, and tenantctl needs no cluster.
            Step("nobody has come meanwhile", _never, self._refuse_again),
            Step(
                "deletion protection is taken off",
                lambda: not (self.said.protected and self._protected(root)),
                lambda: root.unprotect(self._protected(root)),
            ),
            Step("Terraform", lambda: not root.resources(), root.destroy),
            Step("what still has the tag", _never, self._sweep),
        ]

    def _refuse(self, *more: str) -> None:
        if reasons := list(self.reasons()):
            name = self.said.environment
            raise RefusedError("\n".join([f"{name} is not destroyed:", *reasons, *more]))

    def _refuse_again(self) -> None:
        self._refuse(
            "Flux is suspended by now: `make environment` says how the environment goes on."
        )

    def reasons(self) -> Iterator[str]:
        """Why it is not destroyed: whose data would go."""
        name = self.said.environment
        living = sorted(
            tenant
            for tenant, status in (self._placements() or {}).items()
            if status != "offboarded"
        )
        if living:
            more = f" and {len(living) - _TENANTS_SHOWN} more" * (len(living) > _TENANTS_SHOWN)
            yield (
                f"  {len(living)} tenants are registered: {', '.join(living[:_TENANTS_SHOWN])}"
                f"{more}. `tenantctl offboard` each; their data are exported then."
            )
        for table, is_protected in self._tables():
            kind = "is protected from deletion" if is_protected else "is there"
            yield (
                f"  table {table} {kind}: a tenant left its data (keep_data), or a pool's file is "
                f"still in tenants/{name}/pools of the fleet."
            )
        if self._has_exports():
            yield (
                f"  the bucket {self._exports()} holds exports of tenants that left. Take them "
                "along (`aws s3 sync`), then delete every version of them."
            )

    def _say_what_goes(self, addresses: list[str]) -> None:
        self.world.say(f"This removes {len(addresses)} resources of {self.said.environment}:")
        for kind, count in grouped(addresses).items():
            self.world.say(f"  {count:4} {kind}")
        self.world.say("and every load balancer, machine and volume that its cluster made.")

    def _aws(self, *words: str) -> Any:
        words = ("aws", *words, "--region", self.said.region, "--output=json")
        return json.loads(output(self.world.commands, *words) or "null")

    def _placements(self) -> Mapping[str, str] | None:
        """Status by tenant; nothing where the registry's table is not there."""
        words = ("aws", "dynamodb", "scan", "--table-name", f"{self.said.environment}-tenants")
        done = self.world.commands.run(
            (*words, "--consistent-read", "--region", self.said.region, "--output=json")
        )
        if "ResourceNotFoundException" in done.err:
            return None
        if done.status:
            raise failed(words, done)
        return {
            item["tenant_id"]["S"]: item.get("status", {}).get("S", "active")
            for item in json.loads(done.out)["Items"]
        }

    def _tables(self) -> Iterator[tuple[str, bool]]:
        listed = self._aws("dynamodb", "list-tables")["TableNames"]
        begin = f"{self.said.environment}-"
        for name in listed:
            if name.startswith(begin) and name != f"{begin}tenants":
                table = self._aws("dynamodb", "describe-table", "--table-name", name)["Table"]
                yield name, bool(table.get("DeletionProtectionEnabled"))

    def _exports(self) -> str:
        account = Root(self.world.commands, self.said, self.home).account()
        return f"{self.said.environment}-tenantry-exports-{account}"

    def _has_exports(self) -> bool:
        words = (
            "aws",
            "s3api",
            "list-object-versions",
            "--bucket",
            self._exports(),
            "--max-items=1",
        )
        done = self.world.commands.run((*words, "--region", self.said.region, "--output=json"))
        if "NoSuchBucket" in done.err:
            return False
        if done.status:
            raise failed(words, done)
        found = json.loads(done.out or "{}")
        return bool(found.get("Versions") or found.get("DeleteMarkers"))

    def _protected(self, root: Root) -> list[str]:
        """What is there and protected. The state may be older than the table's end."""
        gone = {_REGISTRY} if self._placements() is None else set()
        return sorted({*PROTECTED} & {*root.resources()} - gone)

    def _is_empty(self) -> bool:
        """Whether nothing in AWS is the cluster's doing, so that nothing is asked of it.

        Terraform makes the registry's table last of all, and destroys it first. Without the table,
        nothing was ever installed, or a destroy was interrupted that had emptied the cluster; and
        who is let in, or the way there, may be gone already.
        """
        return self._has_no_cluster() or self._placements() is None

    def _has_no_cluster(self) -> bool:
        words = ("aws", "eks", "describe-cluster", "--name", self.said.environment)
        done = self.world.commands.run((*words, "--region", self.said.region))
        if "ResourceNotFoundException" in done.err:
            return True
        if done.status:
            raise failed(words, done)
        return False

    def _kubectl(self, *words: str) -> str:
        done = self._kubectl_done(*words)
        if done.status:
            raise self._unreachable(words, done)
        return done.out

    def _kubectl_done(self, *words: str) -> Done:
        self.home.mkdir(parents=True, exist_ok=True)
        output(
            self.world.commands,
            *("aws", "eks", "update-kubeconfig", "--name", self.said.environment),
            *("--region", self.said.region, "--kubeconfig", str(self.kubeconfig)),
        )
        return self.world.commands.run(("kubectl", f"--kubeconfig={self.kubeconfig}", *words))

    @staticmethod
    def _unreachable(words: tuple[str, ...], done: Done) -> CommandError:
        return failed(
            ("kubectl", *words),
            done,
            "Load balancers, nodes and volumes go through the cluster. If it cannot be reached, "
            "`make environment` mends it first.",
        )

    def _kinds(self, wanted: tuple[str, ...]) -> list[str]:
        """Those of them that the cluster knows: an add-on may be off."""
        done = self._kubectl_done("api-resources", "--output=name")
        # It fails, too, where a part of the API has no pod any more, as when nodes go: all other
        # kinds are said then.
        if not done.out:
            raise self._unreachable(("api-resources",), done)
        known = set(done.out.split())
        return [kind for kind in wanted if kind in known]

    def _suspend(self) -> None:
        for kind in self._kinds(
            (
                "fluxinstances.fluxcd.controlplane.io",
                "kustomizations.kustomize.toolkit.fluxcd.io",
                "helmreleases.helm.toolkit.fluxcd.io",
            )
        ):
            if kind.startswith("fluxinstances"):
                self._kubectl(
                    *("annotate", kind, "--all", "--all-namespaces", "--overwrite"),
                    f"{RECONCILE}=disabled",
                )
                continue
            found = json.loads(self._kubectl("get", kind, "--all-namespaces", "--output=json"))
            for item in found["items"]:
                if not item["spec"].get("suspend"):
                    self._kubectl(
                        *("patch", kind, item["metadata"]["name"], "--type=merge"),
                        *("--namespace", item["metadata"]["namespace"]),
                        '--patch={"spec":{"suspend":true}}',
                    )

    def _stop_intake(self) -> None:
        for kind in self._kinds(_INTAKE):
            self._kubectl("delete", kind, "--all", "--all-namespaces", "--wait=false")
        wait(self.world, _GONE_SECONDS, 10, self._at_work)

    def _at_work(self) -> str:
        """What takes requests yet, and workflows at work: they may register somebody."""
        names = self._names(_INTAKE)
        names += self._names((_WORKFLOWS,), "--selector=workflows.argoproj.io/completed!=true")
        return ", ".join(names[:_TENANTS_SHOWN])

    def _empty(self) -> None:
        for kind in self._kinds(_CLUSTER_OBJECTS):
            found = json.loads(self._kubectl("get", kind, "--all-namespaces", "--output=json"))
            for item in found["items"]:
                if kind == "services" and item["spec"].get("type") != "LoadBalancer":
                    continue
                place = item["metadata"].get("namespace")
                self._kubectl(
                    *("delete", kind, item["metadata"]["name"], "--wait=false"),
                    *(("--namespace", place) if place else ()),
                    "--ignore-not-found",
                )
        wait(self.world, _GONE_SECONDS, 10, self._still_there)

    def _still_there(self) -> str:
        return ", ".join(self._names(_TO_BE_GONE)[:_TENANTS_SHOWN])

    def _names(self, kinds: tuple[str, ...], *selected: str) -> list[str]:
        return [
            name
            for kind in self._kinds(kinds)
            for name in self._kubectl(
                "get", kind, "--all-namespaces", "--output=name", *selected
            ).split()
        ]

    def _sweep(self) -> None:
        for line in sweeping.sweep(self.world.commands, self.said):
            self.world.say(f"  {line}")


def _never() -> bool:
    return False
