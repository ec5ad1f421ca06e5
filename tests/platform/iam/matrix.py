"""Who may do what: every session with every action on every resource, decided by the policies.

`python -m iam` prints it. What is expected is written here by hand, from the design and not from
the policies: a session may do what its line says, and nothing else that SQS and DynamoDB can do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from iam import world
from iam.evaluator import Request, decide
from iam.policies import Policy
from iam.rendered import Roles
from iam.wildcards import Context
from iam.world import Resource, Session

_HERE: Final = Path(__file__).parent
#: How the actions that services make are written in the table.
LETTERS: Final = {
    "sqs:SendMessage": "S",
    "sqs:ReceiveMessage": "R",
    "sqs:DeleteMessage": "D",
    "sqs:ChangeMessageVisibility": "V",
    "dynamodb:PartiQLInsert": "I",
    "dynamodb:BatchGetItem": "B",
    "dynamodb:GetItem": "G",
    "dynamodb:Query": "Q",
}
#: A read by `BatchGetItem` of more than keys and digests.
WHOLE: Final = "W"
#: Anything else that the service can do.
OTHER: Final = "!"

#: What a pool's roles may send to: every queue of the environment, whatever else its tags say.
_TO_ALL: Final = {
    **{f"queue of {who}": "S" for who in world.WHO.values()},
    **{
        f"queue of {instance}, without the tag {key}-namespace": "S"
        for instance in ("pool-1", "acme")
        for key in ("producer", "consumer")
    },
    # A tag counts in any case.
    "queue of pool-1, its tags in capitals": "S",
    "queue of acme, its tags in capitals": "S",
}

#: By session and resource what is allowed; nothing is, where nothing stands.
ALLOWED: Final[dict[str, dict[str, str]]] = {
    "producer@acme": {
        "queue of acme, premium": "S",
        "queue of acme, its tags in capitals": "S",
        "queue of acme, without the tag consumer-namespace": "S",
        "registry: acme": "G",
    },
    "consumer@acme": {
        "queue of acme, premium": "RDV",
        "queue of acme, its tags in capitals": "RDV",
        "queue of acme, without the tag producer-namespace": "RDV",
        # What was moved away follows its tenant into a pool.
        "queue of pool-1": "S",
        "queue of pool-1, its tags in capitals": "S",
        "queue of pool-1, without the tag producer-namespace": "S",
        "queue of pool-2": "S",
        "table of acme: acme": "IBWGQ",
        "table of acme: acme#7": "IBWGQ",
        "table of acme: globex": "IBWGQ",
        "table of acme: no partition named": "IBWGQ",
        "table of acme, its tags in capitals: acme": "IBWGQ",
        # What was stored in a pool is read until it is copied, and nobody else's.
        "table of pool-1: acme": "GQ",
        "table of pool-1: acme#7": "GQ",
        "table of pool-1, its tags in capitals: acme": "GQ",
        "table of pool-2: acme": "GQ",
        "registry: acme": "G",
    },
    "consumer@initech": {
        "queue of initech, advanced in pool-1": "RDV",
        "queue of pool-1": "S",
        "queue of pool-1, its tags in capitals": "S",
        "queue of pool-1, without the tag producer-namespace": "S",
        "queue of pool-2": "S",
        "table of initech: initech": "IBWGQ",
        "registry: initech": "G",
    },
    "pool-producer@pool-1": {
        **_TO_ALL,
        "registry: acme": "G",
        "registry: initech": "G",
        "registry: globex": "G",
        "registry: no item named": "G",
    },
    "pool-consumer@pool-1": {
        **_TO_ALL,
        "queue of pool-1": "SRDV",
        "queue of pool-1, its tags in capitals": "SRDV",
        "queue of pool-1, without the tag producer-namespace": "SRDV",
        **{
            f"table of pool-1: {partition}": "IB"
            for partition in (
                "globex",
                "globex#7",
                "globex-2",
                "soylent",
                "globex and soylent",
                "acme",
                "acme#7",
                "no partition named",
            )
        },
        "table of pool-1, its tags in capitals: globex": "IB",
        "table of pool-1, its tags in capitals: acme": "IB",
        "registry: acme": "G",
        "registry: initech": "G",
        "registry: globex": "G",
        "registry: no item named": "G",
    },
    "tenant-reader@pool-1 for globex": {
        "table of pool-1: globex": "GQ",
        "table of pool-1: globex#7": "GQ",
        "table of pool-1, its tags in capitals: globex": "GQ",
        # It moves into this pool; a partition of globex is none of its own.
        "table of stark: globex": "GQ",
    },
    "tenant-reader@pool-1 for stark": {
        "table of stark: stark": "GQ",
        "table of stark: stark#7": "GQ",
    },
    "tenant-reader@pool-1 for acme": {
        "table of pool-1: acme": "GQ",
        "table of pool-1: acme#7": "GQ",
        "table of pool-1, its tags in capitals: acme": "GQ",
    },
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One question, and what the answer is to be."""

    session: Session
    resource: Resource
    letter: str
    request: Request
    expected: bool

    def __str__(self) -> str:
        may = "may" if self.expected else "may not"
        return f"{self.session.label} {may} {self.request.action} on {self.resource.label}"


@cache
def service_authorization() -> dict[str, Any]:
    """Actions, resource types and condition keys, as AWS documents them."""
    text = (_HERE / "service_authorization.json").read_text("utf-8")
    services: dict[str, Any] = json.loads(text)["services"]
    return services


@cache
def recorded_calls() -> dict[str, list[dict[str, Any]]]:
    """What the services really do, by role."""
    calls: dict[str, list[dict[str, Any]]] = json.loads((_HERE / "calls.json").read_text("utf-8"))
    return calls


def cells(roles: Roles) -> list[Cell]:
    """Every session with every action on every resource that the action can be on."""
    resources = [*world.queues(), *world.tables(), *world.registries()]
    # By the request that it makes: what is not about a partition is asked of a table once.
    asked = {
        (resource.arn, action, str(context)): (resource, letter, action, context)
        for resource in reversed(resources)
        for letter, action, context in _asked(resource)
    }
    return [
        Cell(
            session,
            resource,
            letter,
            Request(session.principal, action, resource.arn, context),
            expected=letter in ALLOWED.get(session.label, {}).get(resource.label, ""),
        )
        for session in world.sessions(roles)
        for resource, letter, action, context in reversed(asked.values())
    ]


def _asked(resource: Resource) -> Iterator[tuple[str, str, Context]]:
    """Each action of the resource's service, with what a request of it says."""
    service = resource.service
    for name, facts in service_authorization()[service]["actions"].items():
        if not {"queue", "table"} & set(facts["on"]):
            continue
        action = f"{service}:{name}"
        told = _fitting(resource.context(), facts["keys"])
        if action == "dynamodb:BatchGetItem":
            yield WHOLE, action, {**told, "dynamodb:Select": "ALL_ATTRIBUTES"}
            told = {**told, **_of_digests()}
        elif "dynamodb:Select" in facts["keys"]:
            yield LETTERS.get(action, OTHER), action, {**told, **_of_digests()}
            told = {**told, "dynamodb:Select": "ALL_ATTRIBUTES"}
        yield LETTERS.get(action, OTHER), action, told
    if service == "dynamodb":
        # Digests, with the payload among them: a list of attributes is not enough.
        payload = {**_of_digests(), "dynamodb:Attributes": ("tenant_id", "payload")}
        yield WHOLE, "dynamodb:BatchGetItem", {**resource.context(), **payload}


def _fitting(context: Context, keys: Iterable[str]) -> dict[str, str | tuple[str, ...]]:
    """Without the keys that AWS does not fill in for this action."""
    return {
        key: value
        for key, value in context.items()
        if not key.startswith("dynamodb:") or key in keys
    }


@cache
def _of_digests() -> Mapping[str, Any]:
    """What a consumer's own BatchGetItem says, as it was recorded."""
    [found] = [
        call
        for call in recorded_calls()["pool-consumer"]
        if call["action"] == "dynamodb:BatchGetItem"
    ]
    return {
        "dynamodb:Select": found["dynamodb:Select"],
        "dynamodb:Attributes": tuple(found["dynamodb:Attributes"]),
    }


def wrong(checked: Iterable[Cell], policies: Mapping[str, Sequence[Policy]]) -> Iterator[Cell]:
    """The cells whose answer is not what it is to be. Policies are by role."""
    for cell in checked:
        decision = decide(cell.request, identity=policies[cell.session.role])
        if decision.allowed != cell.expected:
            yield cell


def table(roles: Roles) -> str:
    """Resources down, sessions across; what is allowed in letters, `-` for nothing."""
    policies = {name: [role.access_policy()] for name, role in roles.items()}
    asked = cells(roles)
    allowed: dict[tuple[str, str], str] = {}
    for cell in asked:
        key = cell.resource.label, cell.session.label
        allowed.setdefault(key, "")
        if decide(cell.request, identity=policies[cell.session.role]).allowed:
            allowed[key] += cell.letter if cell.letter not in allowed[key] else ""
    across = list(dict.fromkeys(cell.session.label for cell in asked))
    down = list(dict.fromkeys(cell.resource.label for cell in asked))
    shown = [label for label in across if label in ALLOWED]
    nothing = [label for label in across if label not in ALLOWED]
    width = max(map(len, down))
    lines = [
        "S send, R receive, D delete, V visibility, I insert, B compare digests, W read by batch,",
        "G get, Q query, ! anything else of the service; - is denied",
        *(f"({number}) {label}" for number, label in enumerate(shown, 1)),
        "(x) each of: " + "; ".join(nothing),
        "",
        " ".join([" " * width, *(f"{f'({n})':>6}" for n in range(1, len(shown) + 1)), "   (x)"]),
    ]
    for label in down:
        row = ["".join(sorted(allowed[label, one], key=_order)) or "-" for one in shown]
        rest = "".join(sorted({letter for one in nothing for letter in allowed[label, one]}))
        lines.append(" ".join([f"{label:{width}}", *(f"{one:>6}" for one in [*row, rest or "-"])]))
    lines.append(f"{len(asked):,} cells, {sum(cell.expected for cell in asked):,} of them allowed")
    return "\n".join(lines)


def _order(letter: str) -> int:
    return [*LETTERS.values(), WHOLE, OTHER].index(letter)
