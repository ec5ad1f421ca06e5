"""An account, a cluster and a Gitea that commands change: what steps find, and what they leave.

It understands the commands that steps run, and no other. `kill_at` stops it at one of them, before
or after it took effect: as a person's Ctrl-C, or a machine that went away. `kill_in` stops it in
the midst of what Terraform makes or destroys.
"""

# ruff: noqa: PLR0911 - a return for each command that it understands

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tenantry_cloud.steps import Done

ACCOUNT: Final = "123456789012"
REGISTRY: Final = "aws_dynamodb_table.registry"
CLUSTER: Final = "module.cluster.aws_eks_cluster.this"
NODES: Final = "module.cluster.aws_eks_node_group.system"
LET_IN: Final = "module.cluster.aws_eks_access_policy_association.people"
#: What Terraform's state holds of an environment, in the order in which it is made: so the table,
#: which depends on all the rest, is last, and destroyed first (test_seal.py).
STATE: Final = ["module.network.aws_vpc.this", CLUSTER, LET_IN, NODES, REGISTRY]
SECRET: Final = "username=flux\npassword=f1ux-t0ken\n"


class KilledError(BaseException):
    """The run ended here, as by a signal: nothing catches it."""


@dataclass
class Account:
    """What is there. Commands that changed something are in `changes`, in their order."""

    has_bucket: bool = True
    has_secret: bool = True
    state: list[str] = field(default_factory=list)
    planned: bool = False
    protected: bool = False
    repositories: dict[str, str] = field(default_factory=dict)
    created: set[str] = field(default_factory=set)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)
    facts: bool = False
    cluster: dict[str, dict[str, Any]] = field(default_factory=dict)
    operator: bool = False
    placements: dict[str, str] = field(default_factory=dict)
    tables: dict[str, bool] = field(default_factory=dict)
    exports: list[str] = field(default_factory=list)
    #: Asked for, the first of them is at work, and ends then.
    workflows: list[str] = field(default_factory=list)
    #: What is otherwise after one of the changes.
    come: dict[str, dict[str, Any]] = field(default_factory=dict)
    leftovers: dict[str, dict[str, str]] = field(default_factory=dict)
    stuck: set[str] = field(default_factory=set)
    says_nothing: bool = False
    environment: str = "dev"

    changes: list[str] = field(default_factory=list)
    words: list[tuple[str, ...]] = field(default_factory=list)
    kill_at: int | None = None
    #: After so many of the resources that Terraform makes or destroys.
    kill_in: int | None = None
    #: Whether it had saved its state by then; else the state has what was before: after SIGKILL.
    is_saved: bool = True
    there: list[str] | None = None
    is_killed_before: bool = True
    missing: frozenset[str] = frozenset()
    lines: list[str] = field(default_factory=list)
    answer: str = "yes"
    time: float = 0.0

    @property
    def commands(self) -> Account:
        return self

    def has(self, address: str) -> bool:
        """Whether AWS has it, whatever Terraform's state says."""
        return address in (self.state if self.there is None else self.there)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def ask(self, question: str) -> str:
        self.lines.append(question)
        return self.answer

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        for thing in self.cluster.values():
            thing["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}

    def now(self) -> float:
        return self.time

    def run(
        self,
        words: Sequence[str],
        *,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
        is_shown: bool = False,
    ) -> Done:
        self.words.append(tuple(words))
        is_last = self.kill_at is not None and len(self.words) > self.kill_at
        if is_last and self.is_killed_before:
            raise KilledError
        done = self._run(list(words), stdin)
        if is_last:
            raise KilledError
        return done

    def _run(self, words: list[str], stdin: str) -> Done:
        if words[0] in self.missing:
            return Done(127, "", f"{words[0]} is not installed")
        if "--version" in words[1:2]:
            return Done(0)
        found: Done = getattr(self, f"_{words[0]}")(words, stdin)
        return found

    # --- terraform -------------------------------------------------------------------------------

    def _terraform(self, words: list[str], stdin: str) -> Done:
        verb = words[2]
        if verb == "init":
            return Done(0)
        if verb == "plan":
            self.planned = self.state != STATE or self.there is not None
            return Done(2, "Plan: 3 to add") if self.planned else Done(0)
        if verb == "apply" and "-var=protected=false" in words:
            return self._changed("unprotect", protected=False)
        if verb == "apply":
            self._work([one for one in STATE if not self.has(one)], is_made=True)
            return self._changed("apply", state=STATE.copy(), there=None)
        if verb == "destroy":
            if self.protected:
                return Done(1, "", "deletion protection is on")
            filled = [one for one in self.cluster if one.startswith("ingresses")]
            assert not (self.has(CLUSTER) and filled), "load balancers would be left behind"
            self._work([one for one in reversed(self.state) if self.has(one)], is_made=False)
            return self._changed("terraform destroy", state=[], there=None)
        if verb == "state":
            return Done(0, "\n".join([*self.state, "data.aws_partition.current"]))
        assert words[2:4] == ["output", "-json"], words
        return Done(0, json.dumps({"environment": self.environment}))

    def _work(self, addresses: list[str], *, is_made: bool) -> None:
        """One after the other, until it is done or killed."""
        now = self.state.copy() if self.there is None else self.there.copy()
        for number, address in enumerate(addresses):
            if self.kill_in == number:
                if self.is_saved:
                    self.state, self.there = now, None
                else:
                    self.there = now
                raise KilledError
            if is_made:
                now.append(address)
            else:
                now.remove(address)
            if address == CLUSTER:
                self.cluster = {}

    def _changed(self, what: str, **now: Any) -> Done:
        self.changes.append(what)
        for name, value in (now | self.come.get(what, {})).items():
            setattr(self, name, value)
        return Done(0)

    # --- AWS -------------------------------------------------------------------------------------

    def _aws(self, words: list[str], stdin: str) -> Done:
        name = getattr(self, f"_aws_{'_'.join(words[1:3]).replace('-', '_')}", None)
        assert name is not None, words
        found: Done = name(words)
        return found

    def _aws_sts_get_caller_identity(self, words: list[str]) -> Done:
        return Done(0, f"{ACCOUNT}\n")

    def _aws_s3api_head_bucket(self, words: list[str]) -> Done:
        return Done(0 if self.has_bucket else 254)

    def _aws_eks_update_kubeconfig(self, words: list[str]) -> Done:
        return Done(0)

    def _aws_eks_describe_cluster(self, words: list[str]) -> Done:
        return Done(0) if self.has(CLUSTER) else Done(254, "", "ResourceNotFoundException")

    def _aws_secretsmanager_get_secret_value(self, words: list[str]) -> Done:
        return Done(0, SECRET) if self.has_secret else Done(254, "", "ResourceNotFoundException")

    def _aws_dynamodb_scan(self, words: list[str]) -> Done:
        if not self.has(REGISTRY):
            return Done(254, "", "ResourceNotFoundException")
        items = [
            {"tenant_id": {"S": name}, "status": {"S": status}}
            for name, status in self.placements.items()
        ]
        return Done(0, json.dumps({"Items": items}))

    def _aws_dynamodb_list_tables(self, words: list[str]) -> Done:
        names = [*self.tables, f"{self.environment}-tenants", "production-acme-messages"]
        return Done(0, json.dumps({"TableNames": names}))

    def _aws_dynamodb_describe_table(self, words: list[str]) -> Done:
        name = words[words.index("--table-name") + 1]
        table = {"DeletionProtectionEnabled": self.tables[name]}
        return Done(0, json.dumps({"Table": table}))

    def _aws_s3api_list_object_versions(self, words: list[str]) -> Done:
        if not self.state:
            return Done(254, "", "NoSuchBucket")
        return Done(0, json.dumps({"Versions": self.exports} if self.exports else {}))

    def _aws_resourcegroupstaggingapi_get_resources(self, words: list[str]) -> Done:
        found = [
            {"ResourceARN": arn, "Tags": [{"Key": key, "Value": tags[key]} for key in tags]}
            for arn, tags in self.leftovers.items()
        ]
        return Done(0, json.dumps({"ResourceTagMappingList": found}))

    def _delete(self, words: list[str]) -> Done:
        gone = [arn for arn in self.leftovers if arn.endswith(words[4]) and arn not in self.stuck]
        for arn in gone:
            del self.leftovers[arn]
        self.changes.append(f"sweep {words[4].rpartition('/')[2]}")
        return Done(0 if gone else 255)

    _aws_elbv2_delete_load_balancer = _delete
    _aws_ec2_delete_security_group = _delete
    _aws_ec2_delete_network_interface = _delete

    def _aws_kms_describe_key(self, words: list[str]) -> Done:
        if self.says_nothing:
            return Done(254, "", "ThrottlingException")
        return Done(0, "PendingDeletion\n")

    def _gone(self, words: list[str]) -> Done:
        if self.says_nothing:
            return Done(254, "", "UnauthorizedOperation")
        return Done(254, "", "InvalidInstanceID.NotFound")

    _aws_ec2_describe_instances = _gone
    _aws_ec2_describe_nat_gateways = _gone

    # --- Git, Gitea, tenantctl -------------------------------------------------------------------

    def _git(self, words: list[str], stdin: str) -> Done:
        rest = [word for word in words if "credential." not in word and word != "-c"]
        if "ls-remote" in rest:
            url = rest[-2]
            if url in self.repositories:
                return Done(0, "abc refs/heads/main")
            known = url.removeprefix("https://gitea.example.com/") in self.created
            return Done(2) if known else Done(128, "", "repository not found")
        if "rev-parse" in rest:
            return Done(0, ("5" if ":" in rest[-1] else "c") * 40)
        if "commit-tree" in rest:
            return Done(0, "f" * 40)
        assert "push" in rest, words
        url, refs = rest[-2:]
        assert url.removeprefix("https://gitea.example.com/") in self.created, "pushed to nothing"
        assert url not in self.repositories, "written over"
        self.repositories[url] = refs
        return self._changed(f"push {url.rpartition('/')[2]}")

    def _curl(self, words: list[str], stdin: str) -> Done:
        if "/branch_protections" in stdin:
            return self._protections(stdin)
        body = json.loads(json.loads(stdin.split("data = ")[1]))
        owner = stdin.split("/orgs/")[1].partition("/")[0]
        name = f"{owner}/{body['name']}.git"
        if name in self.created:
            return Done(0, "\n409")
        self.created.add(name)
        self.changes.append(f"create {body['name']}.git")
        return Done(0, "\n201")

    def _protections(self, stdin: str) -> Done:
        repository = stdin.split("/repos/")[1].partition("/branch_protections")[0]
        if 'request = "GET"' in stdin:
            rule = self.rules.get(repository)
            return Done(0, "{}\n404" if rule is None else f"{json.dumps(rule)}\n200")
        url = f"https://gitea.example.com/{repository}.git"
        assert url in self.repositories, "protected before its first push"
        self.rules[repository] = json.loads(json.loads(stdin.split("data = ")[1]))
        return replace(self._changed(f"protect {repository}"), out="\n201")

    def _tenantctl(self, words: list[str], stdin: str) -> Done:
        assert "https://gitea.example.com/platform/fleet.git" in self.repositories
        if self.facts:
            return Done(0, "nothing to change")
        if "platform/fleet" in self.rules:
            assert words[-1] == "--pull-request", "pushed to what takes no push"
            return Done(0, "facts/dev/facts.yaml is proposed: https://gitea.example.com/1")
        return self._changed("facts", facts=True)

    # --- the cluster -----------------------------------------------------------------------------

    def _helm(self, words: list[str], stdin: str) -> Done:
        assert "CriticalAddonsOnly" in stdin
        self.operator = True
        return Done(0)

    def _kubectl(self, words: list[str], stdin: str) -> Done:
        verb = words[2]
        if not self.has(CLUSTER) or not self.has(LET_IN):
            return Done(1, "", "error: You must be logged in to the server (Unauthorized)")
        if verb == "api-resources":
            kinds = {name.partition("/")[0] for name in self.cluster} | {"services"}
            if "nodepools.karpenter.sh" in kinds:
                return Done(0, "\n".join(kinds))
            # KEDA's part of the API, whose pods went with their nodes.
            return Done(1, "\n".join(kinds), "error: external.metrics.k8s.io/v1beta1: stale")
        if verb == "get":
            return self._get(words[3], words)
        if not self.has(NODES):
            return Done(1, "", "failed calling webhook: no endpoints available")
        if verb == "apply":
            return self._apply(json.loads(stdin)["items"])
        return self._write(verb, words[3], words)

    def _get(self, kind: str, words: list[str]) -> Done:
        if kind == "workflows.argoproj.io":
            assert words[-1].endswith("completed!=true")
            at_work, self.workflows = self.workflows[:1], self.workflows[1:]
            return Done(0, "\n".join(at_work))
        if "--output=name" in words:
            return Done(0, "\n".join(name for name in self.cluster if self._is(name, kind)))
        if kind == "fluxinstance":
            found = self.cluster.get("fluxinstances.fluxcd.controlplane.io/flux")
            return Done(0, json.dumps(found)) if found else Done(1, "", "not found")
        items = [one for name, one in self.cluster.items() if self._is(name, kind)]
        return Done(0, json.dumps({"items": items}))

    def _write(self, verb: str, kind: str, words: list[str]) -> Done:
        if verb == "annotate":
            self._annotate(kind, *words[-1].split("="))
            return self._changed("suspend flux")
        if verb == "patch":
            self.cluster[f"{kind}/{words[4]}"]["spec"]["suspend"] = True
            return self._changed(f"suspend {words[4]}")
        assert verb == "delete", words
        if words[4] == "--all":
            gone = [name for name in self.cluster if self._is(name, kind)]
            self.cluster = {name: self.cluster[name] for name in self.cluster if name not in gone}
            return self._changed(f"stop {kind.partition('.')[0]}")
        if f"{kind}/{words[4]}" not in self.stuck:
            self.cluster.pop(f"{kind}/{words[4]}", None)
        return self._changed(f"delete {words[4]}")

    def _annotate(self, kind: str, key: str, value: str) -> None:
        for name, one in self.cluster.items():
            if self._is(name, kind):
                one["metadata"].setdefault("annotations", {})[key] = value

    @staticmethod
    def _is(name: str, kind: str) -> bool:
        own = name.partition("/")[0]
        return own == kind or (own, kind) == ("secret", "secrets")

    def _apply(self, items: list[dict[str, Any]]) -> Done:
        for item in items:
            if item["kind"] == "Secret":
                self.cluster["secret/flux-system"] = item
                self.changes.append("secret")
            if item["kind"] == "FluxInstance":
                assert self.operator, "nothing knows a FluxInstance yet"
                # As the API server has it: with defaults of the definition filled in.
                stored = copy.deepcopy(item)
                stored["spec"]["cluster"] |= {"domain": "cluster.local"}
                stored["spec"]["sync"] |= {"interval": "1m"}
                self.cluster["fluxinstances.fluxcd.controlplane.io/flux"] = stored
                self.cluster["kustomizations.kustomize.toolkit.fluxcd.io/tenants"] = thing(
                    "tenants"
                )
                self.changes.append("flux")
        return Done(0)


def thing(name: str, **spec: Any) -> dict[str, Any]:
    """An object of the cluster."""
    return {"metadata": {"name": name, "namespace": "flux-system"}, "spec": spec}
