"""Tenants' Terraform states: copies of the Secrets that hold them, and back.

The tofu-controller keeps each in a Secret of `tenant-infra`, as Terraform's backend `kubernetes`
does: `tfstate-default-<instance>`, gzip of JSON. With the cluster they would go, and with them
what says which queues and tables are whose. A copy is the Secret, as JSON, but for what the
cluster adds; nothing of one is ever printed.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Protocol

from tenantctl.errors import ControlError, InvalidError, NotFoundError, RefusedError
from tenantctl.places import ExportPlace

_PREFIX: Final = "tfstate-default-"
#: Terraform refuses, or falls over, where what it is told ends in `-1`, as names of pools do.
_SUFFIX: Final = "-state"
_KEYS: Final = frozenset({"name", "labels", "annotations", "type", "data"})


def state_name(instance_id: str) -> str:
    """The Secret of an instance's state, as the chart's backend and Terraform name it."""
    return f"{_PREFIX}{instance_id}{_SUFFIX}"


@dataclass(frozen=True, slots=True)
class State:
    """A Secret that holds a state.

    Attributes:
        data: As Kubernetes has it: base64.
    """

    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    type: str
    data: Mapping[str, str]

    def pack(self) -> bytes:
        """The copy: the same Secret has the same."""
        return json.dumps(asdict(self), sort_keys=True).encode()

    @classmethod
    def unpack(cls, name: str, data: bytes) -> State:
        """What a copy holds.

        Raises:
            InvalidError: It is no copy of this Secret, or not whole.
        """
        try:
            said = json.loads(data)
        except ValueError:
            raise InvalidError(f"the copy of {name} is no JSON: it is not whole") from None
        if not isinstance(said, dict) or said.keys() != _KEYS or said["name"] != name:
            raise InvalidError(f"the copy of {name} is another thing's")
        state = cls(**said)
        state.place  # noqa: B018 - what cannot be read is restored to nobody
        return state

    @property
    def place(self) -> tuple[str, int]:
        """Which state it is, and the how manieth: Terraform's lineage and serial.

        Raises:
            InvalidError: It is no state.
        """
        try:
            said = _decoded(self.data["tfstate"])
            return str(said["lineage"]), int(said["serial"])
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            raise InvalidError(f"{self.name} holds no state of Terraform's") from None


def is_empty_state(data: str) -> bool:
    """Whether a state, as its Secret has it (base64 of gzip of JSON), names no resource."""
    try:
        return not _decoded(data)["resources"]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return False  # not understood, so not ours to delete


def _decoded(data: str) -> Any:
    return json.loads(gzip.decompress(base64.b64decode(data)))


class StateSecrets(Protocol):
    """The Secrets of one cluster."""

    async def all(self) -> list[State]:
        """Every state that is there.

        Raises:
            UnavailableError: The cluster does not answer, or denies.
        """
        ...

    async def get(self, name: str) -> State | None:
        """One of them; None where there is none.

        Raises:
            UnavailableError: As `all`.
        """
        ...

    async def put(self, state: State, *, over: bool) -> None:
        """Write one, over another if told so.

        Raises:
            UnavailableError: As `all`; or there is one, and nobody said to write over it.
        """
        ...

    async def is_at_work(self, instance_id: str) -> bool:
        """Whether the tofu-controller may run Terraform for an instance.

        Raises:
            UnavailableError: As `all`.
        """
        ...

    async def is_locked(self, name: str) -> bool:
        """Whether somebody runs Terraform on a state just now: its backend keeps a Lease.

        Raises:
            UnavailableError: As `all`.
        """
        ...


class Copies(Protocol):
    """A place that holds copies."""

    def read(self, name: str) -> AsyncGenerator[bytes]:
        """A file's bytes, piece by piece; raises FileNotFoundError."""
        ...


@dataclass(frozen=True, slots=True)
class Version:
    """A copy as it was once.

    Attributes:
        state: The Secret's name.
        version: What the bucket calls it.
        copied_at: When it was written: ISO 8601, UTC.
        is_latest: Whether it is the one that is read where nobody says which.
    """

    state: str
    version: str
    copied_at: str
    is_latest: bool


class Versions(Protocol):
    """A place that keeps what was written over."""

    async def of(self, begins: str) -> list[Version]:
        """The versions of the files whose names begin so; of one file, the newest first.

        Raises:
            UnavailableError: The place does not answer, or denies.
        """
        ...

    def at(self, version: str) -> Copies:
        """The copies of that version: of one file, since no two have the same."""
        ...


@dataclass(frozen=True, slots=True)
class Copied:
    """How it went.

    Attributes:
        written: Of which a copy was written.
        same: How many had theirs already.
        failed: Of which none was written, and why.
        anew: Of those written, whose copy was of another state: an older version has that.
        kept: Whose copy was left as it was: what is there now is empty, and another state.
    """

    written: tuple[str, ...]
    same: int
    failed: Mapping[str, str]
    anew: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()


async def copy(secrets: StateSecrets, place: ExportPlace) -> Copied:
    """Copy what changed. A state that is gone keeps its copy; one that fails holds up no other.

    Raises:
        UnavailableError: The cluster does not say what there is.
    """
    did: dict[str, list[str]] = {"written": [], "same": [], "anew": [], "kept": []}
    failed: dict[str, str] = {}
    for state in await secrets.all():
        try:
            for word in await _copy(state, place):
                did[word].append(state.name)
        except ControlError as error:
            failed[state.name] = str(error)
    return Copied(
        written=tuple(did["written"]),
        same=len(did["same"]),
        failed=failed,
        anew=tuple(did["anew"]),
        kept=tuple(did["kept"]),
    )


async def _copy(state: State, place: ExportPlace) -> tuple[str, ...]:
    """Copy one; which of the fields of `Copied` it belongs to."""
    data = state.pack()
    before = await _read(place, state.name)
    if before == data:
        return ("same",)
    lineage, _ = state.place  # what cannot be put back does not replace what can
    is_anew = before is not None and _lineage(state.name, before) not in {lineage, None}
    # Whoever planned while the state was lost left an empty one: the copy is all that there is.
    if is_anew and is_empty_state(state.data["tfstate"]):
        return ("kept",)
    sink = place.file(_file(state.name))
    try:
        await sink.write(data)
        await sink.close()
    except BaseException:
        await sink.abandon()
        raise
    return ("written", "anew") if is_anew else ("written",)


def _lineage(name: str, copy_of: bytes) -> str | None:
    """Which state a copy is of; None where nobody could say."""
    try:
        return State.unpack(name, copy_of).place[0]
    except InvalidError:
        return None


async def versions(place: Versions, instance_id: str | None) -> list[Version]:
    """What copies there are, as they were once; of one instance, or the latest of each.

    Raises:
        UnavailableError: The place does not answer, or denies.
    """
    if instance_id is None:
        latest = [each for each in await place.of(_PREFIX) if each.is_latest]
        return sorted(latest, key=lambda each: each.state)
    return await place.of(_file(state_name(instance_id)))


@dataclass(frozen=True, slots=True)
class Restored:
    """How it went.

    Attributes:
        changed: Whether the cluster had something else.
        serial: Of the state that is there now.
    """

    changed: bool
    serial: int


async def restore(
    secrets: StateSecrets,
    place: Copies,
    instance_id: str,
    *,
    replace: bool = False,
    older: bool = False,
) -> Restored:
    """Put an instance's copy back.

    Args:
        secrets: Where it goes.
        place: Where copies are.
        instance_id: Whose.
        replace: Where there is a state, too.
        older: Even where that one is newer: what was made since is then nobody's.

    Raises:
        NotFoundError: There is no copy.
        InvalidError: The copy is not whole, or another thing's.
        RefusedError: Terraform may run meanwhile, or there is a state that is not to be replaced.
        UnavailableError: Cluster or place do not answer, or deny.
    """
    name = state_name(instance_id)
    data = await _read(place, name)
    if data is None:
        raise NotFoundError(f"{place} has no copy of {name}")
    copied = State.unpack(name, data)
    lineage, serial = copied.place
    if await secrets.is_at_work(instance_id):
        raise RefusedError(
            f"Terraform may run for {instance_id} meanwhile: suspend its release and its "
            "Terraform first, as docs/control-plane.md says"
        )
    if await secrets.is_locked(name):
        raise RefusedError(
            f"Terraform runs for {instance_id} just now, and holds the lock of its state: wait "
            "until it ended. Where none runs, a runner that was killed left it: "
            f"kubectl delete lease lock-{name} -n tenant-infra"
        )
    there = await secrets.get(name)
    if there == copied:
        return Restored(changed=False, serial=serial)
    # Whoever planned without it left an empty one.
    if there is not None and not is_empty_state(there.data.get("tfstate", "")):
        _refuse(there.place, (lineage, serial), name, replace=replace, older=older)
    await secrets.put(copied, over=there is not None)
    return Restored(changed=True, serial=serial)


def _refuse(
    there: tuple[str, int], copied: tuple[str, int], name: str, *, replace: bool, older: bool
) -> None:
    if there[0] != copied[0]:
        raise RefusedError(
            f"{name} in the cluster is another state than the copy: whoever made it anew has to "
            "say which of both is true. Nothing was changed"
        )
    if not replace:
        raise RefusedError(
            f"{name} is in the cluster, with serial {there[1]}; the copy has {copied[1]}. "
            "To write over it: --replace"
        )
    if copied[1] < there[1] and not older:
        raise RefusedError(
            f"the copy of {name} is older, serial {copied[1]} and not {there[1]}: what was made "
            "since would be nobody's. To take it nevertheless: --older"
        )


async def _read(place: Copies, name: str) -> bytes | None:
    try:
        return b"".join([part async for part in place.read(_file(name))])
    except FileNotFoundError:
        return None


def _file(name: str) -> str:
    return f"{name}.json"
