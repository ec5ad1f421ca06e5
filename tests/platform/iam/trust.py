"""Who may become which role: every caller with every role.

Callers are pods of this and other clusters, by namespace and service account, other services,
people with every permission of their own, and the sessions of the roles themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

from iam import world
from iam.evaluator import Principal, assume, trusts
from iam.policies import Policy, parse
from iam.rendered import Roles
from iam.wire import PODS

_NAMESPACES: Final = ("acme", "pool-1", "tenant-infra", None)
_ACCOUNTS: Final = ("producer", "consumer", "tf-runner", "default", None)
_CLUSTERS: Final = {
    "this cluster": world.CLUSTER_ARN,
    "a cluster of this name in another region": world.CLUSTER_ARN.replace(
        "eu-west-1", "us-east-1"
    ),
    "another cluster": world.CLUSTER_ARN.replace("/laptop", "/staging"),
    "no cluster": None,
}
#: Somebody whose own policies allow everything.
_ADMINISTRATOR: Final = Principal(f"arn:aws:iam::{world.ACCOUNT}:user/administrator")
_EVERYTHING: Final = parse(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)


@dataclass(frozen=True, slots=True)
class Entry:
    """Whether a caller becomes a role, and whether it is to."""

    role: str
    caller: str
    principal: Principal
    tags: Mapping[str, str]
    expected: bool
    identity: tuple[Policy, ...] = ()
    #: A single permission of the trust policy, instead of what `AssumeRole` needs.
    action: str = ""

    def __str__(self) -> str:
        may = "may" if self.expected else "may not"
        return f"{self.caller} {may} {self.action or 'become'} {self.role}"

    def is_let_in(self, trust: Policy, role_arn: str) -> bool:
        """By this trust policy."""
        if self.action:
            told = {f"aws:RequestTag/{key}": value for key, value in self.tags.items()}
            return trusts(self.principal, role_arn, trust, self.action, told)
        session = assume(
            self.principal,
            role_arn,
            trust,
            session_name="a-session",
            tags=self.tags,
            transitive=self.tags if self.principal.is_service else (),
            identity=self.identity,
        )
        return session is not None


def entries(roles: Roles) -> list[Entry]:
    """Every caller with every role."""
    return [
        *_pods(roles),
        *_others(roles),
        *_sessions(roles),
    ]


@dataclass(frozen=True, slots=True)
class _Pod:
    """Of whom a role is."""

    account: str
    pools: bool | None = None
    namespace: str | None = None

    def fits(self, namespace: str | None, account: str | None, cluster: str) -> bool:
        if namespace is None or account != self.account or cluster != "this cluster":
            return False
        if self.namespace is not None:
            return namespace == self.namespace
        return namespace.startswith("pool-") == self.pools


_OF: Final = {
    "producer": _Pod("producer", pools=False),
    "consumer": _Pod("consumer", pools=False),
    "pool-producer": _Pod("producer", pools=True),
    "pool-consumer": _Pod("consumer", pools=True),
    "tf-runner": _Pod("tf-runner", namespace="tenant-infra"),
}


def _pods(roles: Roles) -> Iterator[Entry]:
    for role, namespace, account, cluster in product(roles, _NAMESPACES, _ACCOUNTS, _CLUSTERS):
        told = {
            "eks-cluster-arn": _CLUSTERS[cluster],
            "kubernetes-namespace": namespace,
            "kubernetes-service-account": account,
        }
        tags = {key: value for key, value in told.items() if value is not None}
        caller = f"a pod: {account or 'no account'} of {namespace or 'no namespace'}, {cluster}"
        # What a reader may be asked for stands below; a pod cannot be one.
        expected = role in _OF and _OF[role].fits(namespace, account, cluster)
        yield Entry(role, caller, Principal(PODS), tags, expected)


def _others(roles: Roles) -> Iterator[Entry]:
    for role, pod in _OF.items():
        namespace = pod.namespace or ("pool-1" if pod.pools else "acme")
        tags = world.pod_tags(namespace, pod.account)
        yield Entry(role, "ec2", Principal("ec2.amazonaws.com"), tags, expected=False)
        for action in ("sts:SetSourceIdentity", "sts:AssumeRoleWithWebIdentity"):
            yield Entry(role, "its pod", Principal(PODS), tags, expected=False, action=action)
    for role in roles:
        for words, tags in (
            ("without tags", {}),
            ("with a pod's tags", world.pod_tags("acme", "producer")),
            ("with a tenant", {"tenant": "globex"}),
        ):
            yield Entry(
                role,
                f"an administrator {words}",
                _ADMINISTRATOR,
                tags,
                expected=False,
                identity=(_EVERYTHING,),
            )


def _sessions(roles: Roles) -> Iterator[Entry]:
    asked: dict[str, dict[str, str]] = {
        "for a tenant": {"tenant": "globex"},
        "for nobody": {},
        "for a tenant, as another namespace": {
            "tenant": "globex",
            "kubernetes-namespace": "pool-2",
        },
    }
    for role, caller in product(roles, roles):
        pod = _OF.get(caller, _OF["pool-consumer"])
        namespace = pod.namespace or ("pool-1" if pod.pools else "acme")
        own = world.pod_tags(namespace, pod.account)
        arn = f"arn:aws:sts::{world.ACCOUNT}:assumed-role/{roles[caller].name}/a-session"
        principal = Principal(arn, roles[caller].arn, own, frozenset(own))
        identity = (roles[caller].access_policy(),)
        for words, tags in asked.items():
            yield Entry(
                role,
                f"{caller} {words}",
                principal,
                tags,
                expected=(role, caller, words)
                == ("tenant-reader", "pool-consumer", "for a tenant"),
                identity=identity,
            )
        yield Entry(
            role,
            f"{caller} for a tenant",
            principal,
            {"tenant": "globex"},
            expected=False,
            action="sts:SetSourceIdentity",
        )


def wrong(checked: list[Entry], role: str, trust: Policy, role_arn: str) -> Iterator[Entry]:
    """The callers of a role about whom a trust policy decides otherwise than it is to."""
    for entry in checked:
        if entry.role == role and entry.is_let_in(trust, role_arn) != entry.expected:
            yield entry


def table(roles: Roles) -> str:
    """By role, who becomes it."""
    found = entries(roles)
    lines = []
    for name, role in roles.items():
        trust = role.trust_policy()
        let_in = [
            one.caller for one in found if one.role == name and one.is_let_in(trust, role.arn)
        ]
        lines.append(f"{name:14} {'; '.join(let_in) or 'nobody'}")
    return "\n".join([*lines, f"{len(found):,} callers, {len(lines)} roles"])
