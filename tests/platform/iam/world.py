"""Whom and what the matrix asks about: sessions, and resources of every kind that could be met.

Tenants: acme and umbrella are premium, initech (pool-1) and hooli (pool-2) advanced, globex and
soylent live in pool-1, wayne in pool-2. stark is premium and moves into pool-1; acme came out of
it.
The environment is `local`, of the cluster `laptop`; `staging` is another one in the same account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from iam.evaluator import Principal
from iam.rendered import Roles
from iam.wildcards import Context

ACCOUNT: Final = "000000000000"
REGION: Final = "eu-west-1"
ENVIRONMENT: Final = "local"
CLUSTER: Final = "laptop"
CLUSTER_ARN: Final = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"

#: What every tenant of the world is, in words.
WHO: Final = {
    "pool-1": "pool-1",
    "pool-2": "pool-2",
    "acme": "acme, premium",
    "umbrella": "umbrella, premium",
    "initech": "initech, advanced in pool-1",
    "hooli": "hooli, advanced in pool-2",
    "stark": "stark, moves to pool-1",
}


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a session might ask for.

    Attributes:
        tags: As they are on it.
        leading: Partitions that a call names, for tables; None for a call that names none.
    """

    label: str
    arn: str
    tags: Mapping[str, str] = field(default_factory=dict)
    leading: tuple[str, ...] | None = None

    @property
    def service(self) -> str:
        """As in its ARN."""
        return self.arn.split(":")[2]

    def context(self) -> Context:
        """What a request on it says."""
        told: dict[str, str | tuple[str, ...]] = {
            f"aws:ResourceTag/{key}": value for key, value in self.tags.items()
        }
        if self.leading is not None:
            told["dynamodb:LeadingKeys"] = self.leading
        return told


def instance_tags(instance: str, environment: str = ENVIRONMENT, **changes: str) -> dict[str, str]:
    """What the tenant module puts on queue, dead-letter queue, table, alarms and associations."""
    pool = {"initech": "pool-1", "hooli": "pool-2"}.get(instance)
    is_pool = instance.startswith("pool-")
    tags = {
        "environment": environment,
        "tier": "basic" if is_pool else "advanced" if pool else "premium",
        "producer-namespace": pool or instance,
        "consumer-namespace": instance,
        **({} if is_pool else {"tenant": instance}),
        **({"pool": pool or instance} if pool or is_pool else {}),
        **({"moving-to": "pool-1"} if instance == "stark" else {}),
        **changes,
    }
    return {f"tenantry:{key}": value for key, value in tags.items()}


def queue_arn(name: str) -> str:
    """Of a queue in this account and region."""
    return f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"


def table_arn(name: str) -> str:
    """Of a table in this account and region."""
    return f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{name}"


def role_arn(name: str) -> str:
    """Of a role in this account."""
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


#: Names and tags that go wrong in one way each: what every condition of a policy is there for.
#: (in words, name, tags), for an instance.
def _strays(instance: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    yield (
        f"staging's, of {instance}",
        f"staging-{instance}-messages",
        instance_tags(instance, "staging"),
    )
    yield (
        f"named like ours, tagged as staging's of {instance}",
        f"{ENVIRONMENT}-misfiled-messages",
        instance_tags(instance, "staging"),
    )
    yield (
        f"tagged as ours of {instance}, named otherwise",
        "billing",
        instance_tags(instance),
    )
    # IAM looks a tag up in any case: this is one of the instance's, whoever put it there.
    yield (
        f"of {instance}, its tags in capitals",
        f"{ENVIRONMENT}-capitals-messages",
        {key.upper(): value for key, value in instance_tags(instance).items()},
    )
    yield _without(instance, "environment")
    yield _without(instance, "consumer-namespace")


def _without(instance: str, key: str) -> tuple[str, str, dict[str, str]]:
    """A name and tags that are an instance's, but for one tag."""
    tags = instance_tags(instance)
    del tags[f"tenantry:{key}"]
    return f"of {instance}, without the tag {key}", f"{ENVIRONMENT}-half-messages", tags


def queues() -> list[Resource]:
    """Every queue and dead-letter queue."""
    found = [
        Resource(
            f"queue of {who}",
            queue_arn(f"{ENVIRONMENT}-{instance}-messages"),
            instance_tags(instance),
        )
        for instance, who in WHO.items()
    ]
    found += [
        Resource(
            f"dead letters of {instance}",
            queue_arn(f"{ENVIRONMENT}-{instance}-messages-dead-letters"),
            instance_tags(instance),
        )
        for instance in ("pool-1", "acme", "initech", "umbrella")
    ]
    for instance in ("pool-1", "acme"):
        strays = [*_strays(instance), _without(instance, "producer-namespace")]
        found += [
            Resource(f"queue {words}", queue_arn(name), tags) for words, name, tags in strays
        ]
    untagged = queue_arn(f"{ENVIRONMENT}-untagged-messages")
    return [*found, Resource("queue without tags", untagged)]


#: Partitions that are asked for in each table.
_PARTITIONS: Final[dict[str, tuple[tuple[str, ...] | None, ...]]] = {
    "pool-1": (
        ("globex",),
        ("globex#7",),
        ("globex-2",),
        ("soylent",),
        ("globex", "soylent"),
        ("acme",),
        ("acme#7",),
        None,
    ),
    "pool-2": (("wayne",), ("globex",), ("acme",)),
    "acme": (("acme",), ("acme#7",), ("globex",), None),
    "umbrella": (("umbrella",), ("acme",)),
    "initech": (("initech",),),
    "stark": (("stark",), ("stark#7",), ("globex",), None),
}


def tables() -> list[Resource]:
    """Every table, by the partitions that a call may name."""
    found = [
        _table(f"table of {instance}", f"{ENVIRONMENT}-{instance}-messages", tags, leading)
        for instance, partitions in _PARTITIONS.items()
        for leading in partitions
        for tags in [instance_tags(instance)]
    ]
    for instance, tenant in (("pool-1", "globex"), ("acme", "acme"), ("pool-1", "acme")):
        found += [
            _table(f"table {words}", name, tags, (tenant,))
            for words, name, tags in _strays(instance)
        ]
    for tenant in ("globex", "acme"):
        name = f"{ENVIRONMENT}-untagged-messages"
        found.append(_table("table without tags", name, {}, (tenant,)))
    for words, name, tags in (
        (
            "staging's, that stark leaves",
            "staging-stark-messages",
            instance_tags("stark", "staging"),
        ),
        (
            "named like ours, tagged as staging's that stark leaves",
            f"{ENVIRONMENT}-misfiled-messages",
            instance_tags("stark", "staging"),
        ),
        ("tagged as ours that stark leaves, named otherwise", "billing", instance_tags("stark")),
        (
            "that stark leaves, without the tag environment",
            f"{ENVIRONMENT}-half-messages",
            {key: value for key, value in instance_tags("stark").items() if "env" not in key},
        ),
    ):
        found.append(_table(f"table {words}", name, tags, ("stark",)))
    return found


def _table(
    label: str, name: str, tags: Mapping[str, str], leading: tuple[str, ...] | None
) -> Resource:
    which = "no partition named" if leading is None else " and ".join(leading)
    return Resource(f"{label}: {which}", table_arn(name), tags, leading)


def registries() -> list[Resource]:
    """The registry, by the item that is asked for."""
    ours = {"tenantry:environment": ENVIRONMENT}
    found = [
        Resource(f"registry: {item}", table_arn(f"{ENVIRONMENT}-tenants"), ours, (item,))
        for item in ("acme", "initech", "globex")
    ]
    none = Resource("registry: no item named", table_arn(f"{ENVIRONMENT}-tenants"), ours)
    theirs = Resource(
        "staging's registry: acme",
        table_arn("staging-tenants"),
        {"tenantry:environment": "staging"},
        ("acme",),
    )
    return [*found, none, theirs]


@dataclass(frozen=True, slots=True)
class Session:
    """A session whose access is asked about."""

    label: str
    role: str
    principal: Principal


def _session(roles: Roles, role: str, label: str, tags: Mapping[str, str]) -> Session:
    name = roles[role].name
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/a-session"
    return Session(label, role, Principal(arn, roles[role].arn, dict(tags)))


def pod_tags(namespace: str, account: str, cluster: str = CLUSTER) -> dict[str, str]:
    """What EKS Pod Identity puts on a session."""
    return {
        "eks-cluster-arn": f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{cluster}",
        "eks-cluster-name": cluster,
        "kubernetes-namespace": namespace,
        "kubernetes-service-account": account,
        "kubernetes-pod-name": f"{account}-0",
        "kubernetes-pod-uid": "00000000-0000-0000-0000-000000000000",
    }


def sessions(roles: Roles) -> list[Session]:
    """Those that there are, then those that there should never be."""
    found = [
        _session(roles, role, f"{role}@{namespace}", pod_tags(namespace, role.split("-")[-1]))
        for role, namespace in (
            ("producer", "acme"),
            ("consumer", "acme"),
            ("consumer", "initech"),
            ("pool-producer", "pool-1"),
            ("pool-consumer", "pool-1"),
        )
    ]
    found += [
        _session(
            roles,
            "tenant-reader",
            f"tenant-reader@{pool} for {tenant}",
            pod_tags(pool, "consumer") | {"tenant": tenant},
        )
        for pool, tenant in (("pool-1", "globex"), ("pool-1", "stark"), ("pool-1", "acme"))
    ]
    found.append(
        _session(
            roles,
            "tenant-reader",
            "tenant-reader@pool-1 for nobody",
            pod_tags("pool-1", "consumer"),
        )
    )
    for role, namespace in (
        ("producer", "acme"),
        ("consumer", "acme"),
        ("pool-producer", "pool-1"),
        ("pool-consumer", "pool-1"),
        ("tenant-reader", "pool-1"),
    ):
        tenant = {"tenant": "globex"} if role == "tenant-reader" else {}
        account = role.split("-")[-1]
        tags = pod_tags(namespace, account, "staging") | tenant
        found.append(_session(roles, role, f"{role}@{namespace} of another cluster", tags))
        found.append(_session(roles, role, f"{role} without tags", tenant))
        del tags["eks-cluster-name"]
        found.append(
            _session(roles, role, f"{role}@{namespace} without the tag of a cluster", tags)
        )
    return found
