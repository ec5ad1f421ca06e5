"""What the tenants' Terraform may do: every action of the services it uses, on what it could meet.

Resources are an instance's, not there yet, the environment's own, another environment's, and
somebody else's; requests come with tags that give, that take away, or with none. A queue
may have a policy of its own: the runner can write one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from iam import world
from iam.evaluator import Principal, Request, decide
from iam.matrix import service_authorization
from iam.policies import Policy, parse
from iam.rendered import Roles
from iam.wildcards import Context
from iam.wire import PODS

#: Whose a resource is. The first four have names of an instance's: `new` is not there, `shared` is
#: the environment's own by its tags, `misfiled` another environment's. The others have not.
Whose = Literal["instance", "new", "shared", "misfiled", "environment", "stranger", "all"]

_NAMED: Final = frozenset({"instance", "new", "shared", "misfiled"})

_ENVIRONMENT: Final = {"tenantry:environment": world.ENVIRONMENT}
_STAGING: Final = {"tenantry:environment": "staging"}
_MADE: Final = world.instance_tags("acme")

# What the module needs, by what it is done to.

_SEEN: Final = frozenset(
    {"sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ListQueueTags"}
    | {"dynamodb:DescribeTable", "dynamodb:DescribeContinuousBackups"}
    | {"dynamodb:DescribeTimeToLive", "dynamodb:ListTagsOfResource"}
    | {"cloudwatch:ListTagsForResource", "eks:DescribePodIdentityAssociation"}
)
_LISTED: Final = frozenset({"sqs:ListQueues", "dynamodb:ListTables", "tag:GetResources"})
_MADE_BY_NAME: Final = frozenset({"sqs:CreateQueue", "dynamodb:CreateTable"})
_TAGGED: Final = frozenset(
    {"sqs:TagQueue", "dynamodb:TagResource", "cloudwatch:TagResource", "eks:TagResource"}
)
_UNTAGGED: Final = frozenset(
    {"sqs:UntagQueue", "dynamodb:UntagResource", "cloudwatch:UntagResource", "eks:UntagResource"}
)
_CHANGED: Final = frozenset(
    {"sqs:DeleteQueue", "sqs:SetQueueAttributes", "dynamodb:DeleteTable", "dynamodb:UpdateTable"}
    | {"dynamodb:UpdateContinuousBackups", "cloudwatch:DeleteAlarms"}
    | {"eks:DeletePodIdentityAssociation", "eks:UpdatePodIdentityAssociation"}
)
_PASSED: Final = frozenset({"producer", "consumer", "pool-producer", "pool-consumer"})
#: What it may do to one queue or table or another.
_NEEDED: Final = _SEEN | _MADE_BY_NAME | _TAGGED | _UNTAGGED | _CHANGED

#: What a request says: of tags that it gives.
_GIVING: Final[dict[str, Mapping[str, str]]] = {
    "tags of the environment": _MADE,
    "no tags": {},
    "a tag that is no matter": {"tenantry:tier": "premium"},
    "tags of another environment": {**_MADE, **_STAGING},
}
#: Of tags that it takes.
_TAKING: Final = (
    "cost",
    "tenantry:pool",
    "tenantry:environment",
    "tenantry:tier",
    "tenantry:producer-namespace",
    "tenantry:consumer-namespace",
    "TENANTRY:tier",
)
_MAY_GO: Final = frozenset({"cost", "tenantry:pool"})


@dataclass(frozen=True, slots=True)
class Thing:
    """Something that Terraform might touch. `kind` is of the Service Authorization Reference.

    Attributes:
        is_open: Whether it has a policy of its own, which lets the runner do everything.
    """

    label: str
    kind: str
    whose: Whose
    arn: str
    tags: Mapping[str, str]
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One question, and what the answer is to be."""

    thing: Thing
    said: str
    request: Request
    expected: bool

    def is_allowed(self, policy: Policy) -> bool:
        """What the runner's policy and the thing's own decide."""
        own = _opening(self.thing.arn, self.request.principal.arn) if self.thing.is_open else None
        return decide(self.request, identity=[policy], resource=own).allowed

    def __str__(self) -> str:
        may = "may" if self.expected else "may not"
        return f"tf-runner {may} {self.request.action} on {self.thing.label} with {self.said}"


@cache
def _opening(arn: str, session: str) -> Policy:
    """The widest policy that a resource can have: it names the session itself."""
    everything = f"{arn.split(':')[2]}:*"
    statement = {"Effect": "Allow", "Action": everything, "Resource": arn}
    return parse(
        {"Version": "2012-10-17", "Statement": [statement | {"Principal": {"AWS": session}}]}
    )


def things(roles: Roles) -> list[Thing]:
    """All of them."""
    everything = Thing("*", "", "all", "*", {})
    return [*_named(), *_opened(), *_of_the_cluster(), *_roles(roles), everything]


def _opened() -> Iterator[Thing]:
    """What has a policy of its own that lets the runner in. A queue's it could have written."""
    for words, kind, arn in (
        ("queue", "queue", world.queue_arn("local-acme-messages")),
        ("dead-letter queue", "queue", world.queue_arn("local-acme-messages-dead-letters")),
        ("table", "table", world.table_arn("local-acme-messages")),
    ):
        label = f"{words} of acme, whose own policy lets it in"
        yield Thing(label, kind, "instance", arn, _MADE, is_open=True)


def _named() -> Iterator[Thing]:
    alarms = f"arn:aws:cloudwatch:{world.REGION}:{world.ACCOUNT}:alarm:"
    patterns = {
        "queue": ("queue", world.queue_arn("{}-messages"), world.queue_arn("billing")),
        "dead-letter queue": (
            "queue",
            world.queue_arn("{}-messages-dead-letters"),
            world.queue_arn("billing-dead-letters"),
        ),
        "table": ("table", world.table_arn("{}-messages"), world.table_arn("billing")),
        "alarm": ("alarm", f"{alarms}{{}}-messages-oldest-message", f"{alarms}billing"),
        "alarm of dead letters": (
            "alarm",
            f"{alarms}{{}}-messages-dead-letters-waiting",
            f"{alarms}billing-dead-letters",
        ),
    }
    whose: dict[str, tuple[Whose, str, Mapping[str, str]]] = {
        "of acme": ("instance", "local-acme", _MADE),
        "of pool-1": ("instance", "local-pool-1", world.instance_tags("pool-1")),
        "that is not there yet": ("new", "local-wayne", {}),
        "with a tier and no environment": ("new", "local-half", {"tenantry:tier": "basic"}),
        "of the environment's own, by its tags": ("shared", "local-shared", _ENVIRONMENT),
        "named as ours, tagged as staging's": (
            "misfiled",
            "local-misfiled",
            world.instance_tags("acme", "staging"),
        ),
        "of staging's": ("stranger", "staging-acme", world.instance_tags("acme", "staging")),
        "of staging's that is not there yet": ("stranger", "staging-wayne", {}),
    }
    for words, (kind, pattern, foreign) in patterns.items():
        for label, (of, instance, tags) in whose.items():
            yield Thing(f"{words} {label}", kind, of, pattern.format(instance), tags)
        yield Thing(f"{words} named otherwise, tagged as ours", kind, "stranger", foreign, _MADE)
        yield Thing(f"{words} named otherwise, not there yet", kind, "stranger", foreign, {})
    for label, kind, arn in (
        ("table of the registry", "table", world.table_arn("local-tenants")),
        ("queue of the control plane", "queue", world.queue_arn("local-onboarding")),
        ("alarm of the cluster", "alarm", f"{alarms}local-cpu"),
        (
            "alarm in another region",
            "alarm",
            f"{alarms}local-cpu".replace("eu-west-1", "us-east-1"),
        ),
    ):
        yield Thing(label, kind, "environment", arn, _ENVIRONMENT)


def _of_the_cluster() -> Iterator[Thing]:
    eks = f"arn:aws:eks:{world.REGION}:{world.ACCOUNT}"
    kind = "podidentityassociation"
    whose: dict[str, tuple[Whose, str, Mapping[str, str]]] = {
        "association of acme": ("instance", "laptop/a-1", _MADE),
        "association that is not there yet": ("new", "laptop/a-2", {}),
        "association of the load balancer's controller": ("shared", "laptop/a-3", _ENVIRONMENT),
        "association in another cluster": ("stranger", "staging/a-4", _MADE),
        "association in another cluster that is not there yet": ("stranger", "staging/a-5", {}),
    }
    for label, (of, place, tags) in whose.items():
        yield Thing(label, kind, of, f"{eks}:{kind}/{place}", tags)
    yield Thing("the cluster", "cluster", "environment", f"{eks}:cluster/laptop", _ENVIRONMENT)
    yield Thing("another cluster", "cluster", "stranger", f"{eks}:cluster/staging", _STAGING)


def _roles(roles: Roles) -> Iterator[Thing]:
    for name, role in roles.items():
        yield Thing(f"role {name}", "role", "environment", role.arn, _ENVIRONMENT)
    for name in ("staging-tenantry-consumer", "administrator"):
        yield Thing(f"role {name}", "role", "stranger", world.role_arn(name), {})


def asks(roles: Roles) -> list[Ask]:
    """Every action of these services on every thing it can be on, with all that it can say."""
    name = roles["tf-runner"].name
    arn = f"arn:aws:sts::{world.ACCOUNT}:assumed-role/{name}/eks-tf-runner"

    def runner(tags: Mapping[str, str]) -> Principal:
        return Principal(arn, roles["tf-runner"].arn, tags)

    tags = world.pod_tags("tenant-infra", "tf-runner")
    untold = {key: value for key, value in tags.items() if key != "eks-cluster-name"}
    here = runner(tags)
    elsewhere = [runner(tags | {"eks-cluster-name": "staging"}), runner(untold)]
    # The runner's own first: what is wrong shows there soonest.
    return [
        Ask(
            thing,
            said,
            Request(principal, action, thing.arn, context),
            principal is here and _is_allowed(thing, action, said),
        )
        for principal in (here, *elsewhere)
        for thing in things(roles)
        for action, keys in _actions(thing)
        for said, context in _said(thing, action, keys)
    ]


def _actions(thing: Thing) -> Iterator[tuple[str, frozenset[str]]]:
    for service, facts in service_authorization().items():
        if service == "sts":
            continue
        for name, one in facts["actions"].items():
            action = f"{service}:{name}"
            if thing.is_open and action in _NEEDED:
                continue  # that it may without
            if (thing.kind in one["on"]) if thing.kind else not one["on"]:
                yield action, frozenset(one["keys"])


def _said(thing: Thing, action: str, keys: frozenset[str]) -> Iterator[tuple[str, Context]]:
    on: Context = {f"aws:ResourceTag/{key}": value for key, value in thing.tags.items()}
    if action == "iam:PassRole":
        for service in (PODS, "ec2.amazonaws.com"):
            yield service, {**on, "iam:PassedToService": service}
    elif "aws:RequestTag/" in keys:
        for said, tags in _GIVING.items():
            given: Context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
            yield said, {**on, **given, "aws:TagKeys": tuple(tags)}
    elif "aws:TagKeys" in keys:
        for key in _TAKING:
            yield key, {**on, "aws:TagKeys": (key,)}
    else:
        yield "nothing more", on


def _is_allowed(thing: Thing, action: str, said: str) -> bool:  # noqa: PLR0911 - a table
    is_named = thing.whose in _NAMED
    is_ours = said == "tags of the environment"
    if action in _LISTED:
        return thing.arn == "*"
    if action == "cloudwatch:DescribeAlarms":
        return f":{world.REGION}:" in thing.arn
    if action in _SEEN:
        return is_named
    if action in _MADE_BY_NAME:
        return is_named and is_ours
    if action == "eks:CreatePodIdentityAssociation":
        return thing.label == "the cluster" and is_ours
    if action in {"iam:PassRole", "iam:GetRole"}:
        is_passed = thing.label.removeprefix("role ") in _PASSED
        return is_passed and (action == "iam:GetRole" or said == PODS)
    if action in _TAGGED or action == "cloudwatch:PutMetricAlarm":
        if thing.whose == "new":
            return is_ours
        is_kept = action not in _TAGGED or said != "tags of another environment"
        return thing.whose == "instance" and is_kept
    if action in _UNTAGGED:
        return thing.whose == "instance" and said in _MAY_GO
    return action in _CHANGED and thing.whose == "instance"


def wrong(asked: Iterable[Ask], policy: Policy) -> Iterator[Ask]:
    """Those whose answer is not what it is to be."""
    return (ask for ask in asked if ask.is_allowed(policy) != ask.expected)


#: How what the runner may do is written in the table.
_GROUPS: Final = {
    "L": _LISTED,
    "s": _SEEN | {"cloudwatch:DescribeAlarms"},
    "M": _MADE_BY_NAME | {"eks:CreatePodIdentityAssociation"},
    "T": _TAGGED | {"cloudwatch:PutMetricAlarm"},
    "U": _UNTAGGED,
    "C": _CHANGED,
    "P": frozenset({"iam:PassRole", "iam:GetRole"}),
}


def table(roles: Roles) -> str:
    """Things down; what may be done to each of them, in letters."""
    policy = roles["tf-runner"].access_policy()
    asked = asks(roles)
    allowed: dict[str, set[str]] = {}
    for ask in asked:
        found = allowed.setdefault(ask.thing.label, set())
        if ask.is_allowed(policy):
            groups = [one for one, actions in _GROUPS.items() if ask.request.action in actions]
            found.add(groups[0] if groups else "!")
    width = max(map(len, allowed))
    return "\n".join(
        [
            "L list, s see, M make, T tag or put, U take a tag off that grants nothing,",
            "C change or remove, P pass to pods and look at, ! anything else; - is denied",
            *(
                f"{label:{width}} {''.join(one for one in [*_GROUPS, '!'] if one in found) or '-'}"
                for label, found in allowed.items()
            ),
            f"{len(asked):,} cells, {sum(ask.expected for ask in asked):,} of them allowed",
        ]
    )
