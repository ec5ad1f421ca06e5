"""Every role of the cluster's own software with everything that it could ask for, decided."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from iam import world
from iam.evaluator import Principal, Request, decide
from iam.matrix import service_authorization
from iam.platform_table import ACCOUNTS, TABLE, Line, Value
from iam.platform_things import Thing, things
from iam.policies import Policy
from iam.rendered import Role, Roles

_NEW: Final = "new"


@dataclass(frozen=True, slots=True)
class Cell:
    """One question, and what the answer is to be."""

    role: str
    caller: str
    thing: str
    said: str
    request: Request
    expected: bool

    def __str__(self) -> str:
        may = "may" if self.expected else "may not"
        where = f"{self.thing}{', ' if self.said else ''}{self.said}"
        return f"{self.role}, {self.caller}, {may} {self.request.action} on {where}"

    def is_right(self, policy: Policy) -> bool:
        """Whether this policy says so."""
        return decide(self.request, identity=[policy]).allowed == self.expected


def sessions(name: str, role: Role) -> dict[str, Principal]:
    """The role's own session first, then such as there should never be."""
    arn = f"arn:aws:sts::{world.ACCOUNT}:assumed-role/{role.name}/a-session"
    if name not in ACCOUNTS:
        return {"as itself": Principal(arn, role.arn)}
    namespace, accounts = ACCOUNTS[name]
    tags = world.pod_tags(namespace, accounts[0])
    untold = {key: value for key, value in tags.items() if key != "eks-cluster-name"}
    return {
        "as itself": Principal(arn, role.arn, tags),
        "in another cluster": Principal(arn, role.arn, tags | {"eks-cluster-name": "staging"}),
        "of no cluster": Principal(arn, role.arn, untold),
    }


def cells(name: str, role: Role) -> list[Cell]:
    """All of a role's, each once."""
    asker = _Asker(name, sessions(name, role))
    found = [cell for line in TABLE[name] for cell in asker.of(line)]
    found += [cell for line in TABLE[name] for cell in asker.beside(line)]
    found += [
        cell
        for other, lines in TABLE.items()
        if other != name
        for line in lines
        for cell in asker.of_another(line)
    ]
    return list(
        {
            (cell.caller, cell.request.action, cell.thing, cell.said): cell for cell in found
        }.values()
    )


class _Asker:
    def __init__(self, name: str, principals: Mapping[str, Principal]) -> None:
        self._name = name
        self._principals = principals
        self._things = things()
        #: By action, the things that one of its lines allows it on.
        self._may: dict[str, set[str]] = {}
        lines = [(action, line) for line in TABLE[name] for action in line.actions.split()]
        #: What only makes: of what is there already nobody can ask for it.
        self._makes = {action for action, line in lines if line.new}
        self._makes -= {action for action, line in lines if not line.new}
        for line in TABLE[name]:
            for action in line.actions.split():
                self._may.setdefault(action, set()).update(line.on)

    def of(self, line: Line) -> Iterator[Cell]:
        """A line as it stands, on all else, and with one thing wrong."""
        for action in line.actions.split():
            for thing in self._fitting(action, line):
                if thing.label in line.on:
                    yield from self._own(line, action, thing)
                elif thing.label not in self._may[action]:
                    yield self._cell("as itself", action, thing, line.told, expected=False)

    def _own(self, line: Line, action: str, thing: Thing) -> Iterator[Cell]:
        for caller in self._principals:
            yield self._cell(caller, action, thing, line.told, expected=caller == "as itself")
        for key in line.told:
            for value in line.wrongs(key):
                told = {other: line.told[other] for other in line.told if other != key}
                if value is not None:
                    told[key] = value
                if not self._is_another_line(line, action, thing, told):
                    yield self._cell("as itself", action, thing, told, expected=False)

    def _is_another_line(
        self, line: Line, action: str, thing: Thing, told: Mapping[str, Value]
    ) -> bool:
        """Whether what is wrong here is right by another line."""
        return any(
            other.told.items() <= told.items()
            for other in TABLE[self._name]
            if other is not line and action in other.actions.split() and thing.label in other.on
        )

    def beside(self, line: Line) -> Iterator[Cell]:
        """Other actions of the services on the same, with the same said."""
        for service in {action.partition(":")[0] for action in line.actions.split()}:
            for name in service_authorization()[service]["actions"]:
                action = f"{service}:{name}"
                for thing in self._fitting(action, line):
                    if thing.label in line.on and thing.label not in self._may.get(action, ()):
                        yield self._cell("as itself", action, thing, line.told, expected=False)

    def of_another(self, line: Line) -> Iterator[Cell]:
        """What another role may."""
        for action in line.actions.split():
            for thing in self._fitting(action, line):
                if thing.label in line.on and thing.label not in self._may.get(action, ()):
                    yield self._cell("as itself", action, thing, line.told, expected=False)

    def _fitting(self, action: str, line: Line) -> Iterator[Thing]:
        """What an action can be on."""
        service, _, name = action.partition(":")
        kinds = service_authorization()[service]["actions"][name]["on"] or [""]
        for thing in self._things.values():
            is_new = _NEW in thing.label.partition(",")[0].split()
            if thing.kind in kinds and (is_new or not (line.new or action in self._makes)):
                yield thing

    def _cell(
        self,
        caller: str,
        action: str,
        thing: Thing,
        told: Mapping[str, Value],
        *,
        expected: bool,
    ) -> Cell:
        request = Request(self._principals[caller], action, thing.arn, {**thing.context(), **told})
        said = "; ".join(f"{key}={value}" for key, value in sorted(told.items()))
        return Cell(self._name, caller, thing.label, said, request, expected)


def table(roles: Roles) -> str:
    """By role: who is it, which actions it may on what, and which keys a request has to tell."""
    lines = []
    for name in TABLE:
        namespace, accounts = ACCOUNTS.get(name, ("", ()))
        who = ", ".join(f"{namespace}/{account}" for account in accounts)
        lines.append(f"{name}{' = ' if who else ''}{who}")
        policy = roles[name].access_policy()
        lines += [
            textwrap.fill(
                one, 110, initial_indent="  ", subsequent_indent=" " * 6, break_on_hyphens=False
            )
            for one in _lines(cells(name, roles[name]), policy)
        ]
    return "\n".join(lines)


def _lines(asked: Iterable[Cell], policy: Policy) -> Iterator[str]:
    """What a policy allows: actions that may the same on the same things together."""
    known = things()
    things_of: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
    for cell in asked:
        if decide(cell.request, identity=[policy]).allowed:
            resource = known[cell.thing].context()
            told = tuple(key for key in cell.request.context if key not in resource)
            things_of.setdefault((cell.request.action, told), {})[cell.thing] = None
    actions_of: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for (action, told), found in things_of.items():
        actions_of.setdefault((tuple(found), told), []).append(action)
    for (names, told), actions in actions_of.items():
        said = f", told {', '.join(told)}" if told else ""
        yield f"{', '.join(actions)}: {'; '.join(names)}{said}"


def wrong(asked: Iterable[Cell], policy: Policy) -> Iterator[Cell]:
    """Those whose answer is not what it is to be."""
    return (cell for cell in asked if not cell.is_right(policy))
