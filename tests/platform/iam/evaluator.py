"""Whether IAM would let a request through: for sessions, roles and policies of one account.

What decides: identity policies, a permissions boundary, a session policy, a resource's policy, and
for `sts:AssumeRole` the role's trust policy. Not here: several accounts, organisations' policies,
users' groups, anonymous requests. A policy that holds what is not known raises, and so does a
request. `test_documented.py` holds it to what AWS's pages say.

Sources: IAM User Guide, "Policy evaluation logic" and "Passing session tags in AWS STS"; STS API
Reference, `AssumeRole`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

from iam.conditions import holds
from iam.keys import PolicyError, check_key, is_multivalued
from iam.policies import Named, Policy, Statement
from iam.wildcards import Context, Template, arn_like, like, parse_template

Outcome = Literal["allow", "explicit deny", "implicit deny"]

#: STS API Reference, Tag: what a key and a value may hold. No wildcard is among it.
_TAG_KEY: Final = re.compile(r"[\w .:/=+\-@]{1,128}")
_TAG_VALUE: Final = re.compile(r"[\w .:/=+\-@]{0,256}")


class RequestError(ValueError):
    """A request that cannot be: a key that nobody knows, or with a value that it cannot have."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Attributes:
        arn: Of a user or an assumed role's session; the name of a service.
        role_arn: Of the role that a session is of.
        tags: Of the user, or of the session: its own and the role's.
        transitive: Keys of the tags that a further session inherits.
    """

    arn: str
    role_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    transitive: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for key, value in self.tags.items():
            if not _TAG_KEY.fullmatch(key) or not _TAG_VALUE.fullmatch(value):
                raise RequestError(f"no session has the tag {key}={value}")

    @property
    def is_service(self) -> bool:
        """Whether it is a service of AWS."""
        return not self.arn.startswith("arn:")

    @property
    def account(self) -> str:
        """The account; a service has none."""
        return "" if self.is_service else self.arn.split(":")[4]

    def context(self) -> dict[str, str | tuple[str, ...]]:
        """What a request says of who asks."""
        told: dict[str, str | tuple[str, ...]] = {
            f"aws:PrincipalTag/{key}": value for key, value in self.tags.items()
        }
        if not self.is_service:
            told["aws:PrincipalArn"] = self.role_arn or self.arn
            told["aws:PrincipalAccount"] = self.account
        return told


@dataclass(frozen=True, slots=True)
class Request:
    """One action on one resource, with what else policies may ask for."""

    principal: Principal
    action: str
    resource: str
    context: Context = field(default_factory=dict)
    #: All of it, the principal's too. By key in lower case: "condition key names are not
    #: case-sensitive".
    told: Context = field(init=False, repr=False)

    def __post_init__(self) -> None:
        told = {**self.principal.context(), **self.context}
        for key, value in told.items():
            try:
                check_key(key)
            except PolicyError as error:
                raise RequestError(str(error)) from None
            if isinstance(value, tuple) != is_multivalued(key):
                raise RequestError(f"{key} cannot be {value!r}")
        # "The condition matches a resource tag key named either TagKey1 or tagkey1, but not both":
        # which one is not said.
        if len({key.lower() for key in told}) < len(told):
            raise RequestError(f"two keys that differ by case: {', '.join(sorted(told))}")
        object.__setattr__(self, "told", {key.lower(): told[key] for key in told})


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a request, and the statement that decided, if one did."""

    outcome: Outcome
    sid: str = ""

    @property
    def allowed(self) -> bool:
        """Whether it goes through."""
        return self.outcome == "allow"


_IMPLICIT: Final = Decision("implicit deny")


def decide(
    request: Request,
    *,
    identity: Sequence[Policy] = (),
    resource: Policy | None = None,
    boundary: Policy | None = None,
    session: Policy | None = None,
) -> Decision:
    """What IAM decides of a request within one account, of a resource that is no role."""
    context = request.told
    every = [*identity, *(one for one in (resource, boundary, session) if one is not None)]
    if denied := _first(every, "Deny", request, context):
        return Decision("explicit deny", denied.sid)
    direct = _first([resource] if resource else [], "Allow", request, context)
    if direct is not None and _grants_to(direct, request.principal) == "itself":
        return Decision("allow", direct.sid)
    granted = _first(identity, "Allow", request, context)
    if granted is None and direct is not None:
        # To the role's ARN or to anybody; an account that is named only delegates to its own
        # identity policies.
        granted = direct if _grants_to(direct, request.principal) == "its role" else None
    if granted is None:
        return _IMPLICIT
    for limit in (boundary, session):
        if limit is not None and _first([limit], "Allow", request, context) is None:
            return _IMPLICIT
    return Decision("allow", granted.sid)


def assume(
    principal: Principal,
    role_arn: str,
    trust: Policy,
    *,
    session_name: str,
    tags: Mapping[str, str] | None = None,
    transitive: Iterable[str] = (),
    identity: Sequence[Policy] = (),
    context: Context | None = None,
) -> Principal | None:
    """The session that a principal gets of a role; None if it gets none.

    "You can do either of the following: attach a policy to the user that allows the user to call
    AssumeRole (as long as the role's trust policy trusts the account); add the user as a principal
    directly in the role's trust policy." What is inherited by transitive tags cannot be passed
    anew: "the operation fails".

    Args:
        principal: Who asks.
        role_arn: The role.
        trust: Its trust policy.
        session_name: A name that the principal chooses.
        tags: What is passed.
        transitive: Which of them further sessions inherit.
        identity: The principal's own policies.
        context: What else trust policies may ask for.
    """
    tags = dict(tags or {})
    inherited = {key: principal.tags[key] for key in principal.transitive}
    if {key.lower() for key in tags} & {key.lower() for key in inherited}:
        return None
    told: dict[str, str | tuple[str, ...]] = {
        **(context or {}),
        "sts:RoleSessionName": session_name,
        **{f"aws:RequestTag/{key}": value for key, value in tags.items()},
    }
    if tags:
        told["aws:TagKeys"] = tuple(tags)
        told["sts:TransitiveTagKeys"] = tuple(transitive)
    actions = ["sts:AssumeRole", *(["sts:TagSession"] if tags or inherited else [])]
    for action in actions:
        request = Request(principal, action, role_arn, told)
        if not _may_take(request, trust, identity):
            return None
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    return Principal(
        arn=f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}",
        role_arn=role_arn,
        tags={**inherited, **tags},
        transitive=frozenset({*inherited, *transitive}),
    )


def trusts(
    principal: Principal, role_arn: str, trust: Policy, action: str, context: Context
) -> bool:
    """Whether a trust policy lets a principal do one thing with a role, of itself."""
    return _may_take(Request(principal, action, role_arn, context), trust, ())


def _may_take(request: Request, trust: Policy, identity: Sequence[Policy]) -> bool:
    context = request.told
    if _first([trust, *identity], "Deny", request, context):
        return False
    # "IAM role trust policies … must explicitly allow access for principals."
    granted = _first([trust], "Allow", request, context)
    if granted is None:
        return False
    if _grants_to(granted, request.principal) != "its account":
        return True
    return _first(identity, "Allow", request, context) is not None


def _first(
    policies: Iterable[Policy], effect: str, request: Request, context: Context
) -> Statement | None:
    """The first statement of this effect that applies; if it can be, one that names who asks."""
    found: Statement | None = None
    for policy in policies:
        for statement in policy.statements:
            if statement.effect != effect or not _applies(statement, request, context):
                continue
            if (
                statement.principals is None
                or _grants_to(statement, request.principal) != "its account"
            ):
                return statement
            found = found or statement
    return found


def _applies(statement: Statement, request: Request, context: Context) -> bool:
    return (
        _is_about_action(statement, request.action)
        and _is_about_resource(statement, request.resource, context)
        and (statement.principals is None or _grants_to(statement, request.principal) != "nobody")
        and all(holds(condition, context) for condition in statement.conditions)
    )


def _is_about_action(statement: Statement, action: str) -> bool:
    if statement.actions is not None:
        return any(_is_action(one, action) for one in statement.actions)
    assert statement.not_actions is not None
    return not any(_is_action(one, action) for one in statement.not_actions)


@lru_cache(maxsize=8192)
def _is_action(pattern: str, action: str) -> bool:
    # "The prefix and the action name are case insensitive."
    return like(parse_template(pattern, has_variables=False).pieces, action, ignore_case=True)


def _is_about_resource(statement: Statement, resource: str, context: Context) -> bool:
    if statement.resources is not None:
        return any(_is_resource(one, resource, context) for one in statement.resources)
    if statement.not_resources is not None:
        return not any(_is_resource(one, resource, context) for one in statement.not_resources)
    return True  # a trust policy is about its role


def _is_resource(template: Template, resource: str, context: Context) -> bool:
    if template.written == "*":
        return True
    filled = template.fill(context)
    # "The resource that includes a policy variable with no value will not match any resource."
    return filled is not None and arn_like(filled, resource)


def _grants_to(
    statement: Statement, principal: Principal
) -> Literal["itself", "its role", "its account", "nobody"]:
    """How a resource's statement names who asks."""
    names = {_names(one, principal) for one in statement.principals or ()}
    if "itself" in names:
        return "itself"
    if "its role" in names:
        return "its role"
    return "its account" if "its account" in names else "nobody"


def _names(one: Named, principal: Principal) -> Literal["itself", "its role", "its account", ""]:
    if one.kind == "*" or (one.kind == "AWS" and one.value == "*" and not principal.is_service):
        return "its role"  # anybody: within the limits of boundary and session policy
    if one.kind == "Service":
        return "itself" if principal.is_service and one.value == principal.arn else ""
    if one.kind != "AWS" or principal.is_service:
        return ""
    if one.value == principal.arn:
        return "itself"
    if principal.role_arn is not None and one.value == principal.role_arn:
        return "its role"
    root = f"arn:aws:iam::{principal.account}:root"
    return "its account" if one.value in (root, principal.account) else ""
