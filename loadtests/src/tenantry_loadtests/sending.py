"""Sends messages as a good client does: idempotent, patient, and honest about what it knows.

It decides by `status` and `type` of a problem alone, as docs/api.md says: what was not accepted
is sent again after `Retry-After`, what may have been is sent again under the same key, and what
is still unknown at the end is counted as unknown, neither as accepted nor as lost.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

import orjson

from tenantry_loadtests.clock import Clock
from tenantry_loadtests.payloads import Message
from tenantry_loadtests.recording import (
    ACCEPTED,
    ATTEMPT,
    ERROR,
    GIVEN_UP,
    REFUSED,
    REQUESTS,
    RETRIED,
    Recorder,
)
from tenantry_loadtests.tokens import TokenError, TokenSource

#: docs/contract.md: an id is the UUIDv5 of this namespace and tenant, line feed, key.
KEY_NAMESPACE: Final = uuid.UUID("6f1c3a52-0d0e-5b7e-9a51-7d1f0c9e4b21")

#: Retries wait what the answer says, but no longer than this, in seconds.
_WAIT_AT_MOST: Final = 10.0
_FIRST_BACKOFF: Final = 0.2
#: How often one message may meet a token that was refused.
_TOKENS_AT_MOST: Final = 3
_TOKEN_WAIT: Final = 1.0

_PROBLEM: Final = "urn:tenantry:problem:"

#: The failure of a request that was waited for in vain.
TIMED_OUT: Final = "timed out"

Verdict = Literal["accepted", "again", "perhaps", "token", "refused"]
Route = Literal["post", "batch"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a request.

    Attributes:
        status: 0: nothing came back.
        body: Of the answer; parsed only as far as it is needed.
        retry_after: Seconds, if the answer says so.
        failure: What went wrong, when nothing came back: `TIMED_OUT`, `connection refused` …
        seconds: From sending to the answer's end, or to giving up waiting for it.
    """

    status: int
    body: bytes
    retry_after: float | None
    failure: str | None
    seconds: float


class Post(Protocol):
    """Sends one request."""

    def __call__(self, route: Route, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """The answer; never raises for what the network does."""
        ...


@dataclass(slots=True)
class Outgoing:
    """A message on its way to a 202.

    Attributes:
        due_at: Of the monotonic clock.
        last: What came of the last try.
        is_perhaps: One try may have been accepted, nobody knows.
    """

    key: str
    message: Message
    due_at: float
    is_perhaps: bool = False
    tokens: int = 0
    last: str = "not tried"


@dataclass(slots=True)
class Sender:
    """Sends for one tenant.

    Attributes:
        give_up_seconds: After which a message that is not accepted is given up.
        is_stopping: Whether the run ends: nothing is tried again then.
        on_accepted: Told the id of each message that was accepted.
    """

    tenant: str
    url: str
    token: TokenSource
    post: Post
    recorder: Recorder
    clock: Clock
    give_up_seconds: float
    is_stopping: Callable[[], bool]
    on_accepted: Callable[[str], object]
    generator: random.Random = field(default_factory=random.Random)

    def send(self, route: Route, messages: Sequence[Outgoing]) -> None:
        """Send until all are accepted, refused or given up.

        Args:
            route: `post` takes exactly one message.
            messages: Theirs is one request, and one more for those that are to be sent again.
        """
        waiting = list(messages)
        started = self.clock.monotonic()
        tries = 0
        try:
            while waiting:
                tries += 1
                waiting, wait = self._try(route, waiting, tries)
                late = self.clock.monotonic() + wait - started > self.give_up_seconds
                if waiting and (late or self.is_stopping()):
                    for outgoing in waiting:
                        self._give_up(outgoing)
                    return
                if waiting:
                    self._count(RETRIED, len(waiting))
                    self.clock.sleep(wait)
        except BaseException:
            # The run ends, and takes this user's greenlet with it: what was on its way may
            # have been accepted.
            for outgoing in waiting:
                outgoing.is_perhaps = True
                self._give_up(outgoing)
            raise

    def _try(
        self, route: Route, messages: list[Outgoing], tries: int
    ) -> tuple[list[Outgoing], float]:
        """Send once; those to send again, and the seconds to wait before."""
        try:
            header = self.token.header()
        except TokenError:
            for outgoing in messages:
                self._refuse(outgoing, "no token")
            return [], 0.0
        answer = self._post(route, messages, header)
        backoff = _FIRST_BACKOFF * 2 ** min(tries - 1, 6) * self.generator.uniform(0.5, 1.0)
        again: list[Outgoing] = []
        wait = 0.0
        for outgoing, outcome in zip(
            messages, outcomes(route, answer, len(messages)), strict=True
        ):
            seconds = self._settle(outgoing, outcome, header, backoff)
            if seconds is not None:
                again.append(outgoing)
                wait = max(wait, seconds)
        return again, wait

    def _post(self, route: Route, messages: list[Outgoing], authorization: str) -> Answer:
        headers = {
            "Authorization": authorization,
            "tenantID": self.tenant,
            "Content-Type": "application/json",
        }
        if route == "post":
            [only] = messages
            headers["Idempotency-Key"] = only.key
            answer = self.post(route, f"{self.url}/messages", headers, only.message.body())
        else:
            body = b",".join(outgoing.message.in_batch(outgoing.key) for outgoing in messages)
            body = b'{"messages":[' + body + b"]}"
            answer = self.post(route, f"{self.url}/messages/batch", headers, body)
        self._count(REQUESTS, 1)
        # A connection that is refused at once must not make the percentiles better; one that
        # was waited for in vain counts with all that it took.
        if answer.failure in {None, TIMED_OUT}:
            self.recorder.duration(route, self.tenant, self.clock.wall(), answer.seconds)
        return answer

    def _settle(
        self, outgoing: Outgoing, outcome: Outcome, authorization: str, backoff: float
    ) -> float | None:
        """Count what became of a message; the seconds to wait, if it is to be sent again."""
        verdict = verdict_of(outcome.status, outcome.problem)
        if verdict == "accepted" and outcome.message_id:
            self._accept(outgoing, outcome.message_id)
            return None
        outgoing.is_perhaps |= verdict in {"perhaps", "accepted"}
        what = outgoing.last = describe(outcome)
        if verdict == "token":
            outgoing.tokens += 1
            if outgoing.tokens > _TOKENS_AT_MOST or not self.token.renew(authorization):
                verdict = "refused"
            backoff = _TOKEN_WAIT if outgoing.tokens > 1 else 0.0
        if verdict == "refused":
            self._refuse(outgoing, what)
            return None
        self._count(f"{ATTEMPT}{what}", 1)
        told = outcome.retry_after
        return backoff if told is None else min(told, _WAIT_AT_MOST)

    def _accept(self, outgoing: Outgoing, message_id: str) -> None:
        now = self.clock.monotonic()
        due = self.clock.wall_of(outgoing.due_at)
        self.recorder.duration("accepted", self.tenant, due, now - outgoing.due_at)
        self._count(ACCEPTED, 1)
        self.recorder.accepted[self.tenant] += bytes.fromhex(message_id.replace("-", ""))
        self.on_accepted(message_id)

    def _give_up(self, outgoing: Outgoing) -> None:
        """Not accepted in time: its time is at least what has passed, and that is counted."""
        due = self.clock.wall_of(outgoing.due_at)
        passed = self.clock.monotonic() - outgoing.due_at
        self.recorder.duration("accepted", self.tenant, due, passed)
        self._count(GIVEN_UP, 1)
        self._count(f"{ERROR}given up: {outgoing.last}", 1)
        self._note_unknown(outgoing)

    def _refuse(self, outgoing: Outgoing, what: str) -> None:
        """Not accepted, ever: no duration, so that a quick refusal makes no percentile better."""
        self._count(f"{ERROR}{what}", 1)
        self._count(REFUSED, 1)
        self._note_unknown(outgoing)

    def _note_unknown(self, outgoing: Outgoing) -> None:
        if outgoing.is_perhaps:
            self.recorder.unknown[self.tenant] += id_of_key(self.tenant, outgoing.key)

    def _count(self, name: str, times: int) -> None:
        self.recorder.count(name, self.tenant, self.clock.wall(), times)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message in one try.

    Attributes:
        problem: The last part of the problem's type; None if it is none of ours.
        message_id: Of an accepted message.
        failure: Why there is no outcome (status 0).
    """

    status: int
    problem: str | None = None
    message_id: str | None = None
    retry_after: float | None = None
    failure: str | None = None


_UNREADABLE: Final = Outcome(0, failure="not readable")


def verdict_of(status: int, problem: str | None) -> Verdict:
    """What an outcome says, and what to do about it (docs/api.md, *Retry*)."""
    if status == 202:  # noqa: PLR2004 - Accepted
        return "accepted"
    if status == 401:  # noqa: PLR2004 - Unauthorized
        return "token"
    if status in {408, 429} or (status == 503 and problem not in {None, "outcome-unknown"}):  # noqa: PLR2004
        return "again"
    if status == 0 or status >= 500:  # noqa: PLR2004 - no answer, or a server's error
        return "perhaps"
    return "refused"


def describe(outcome: Outcome) -> str:
    """An error's name, in few words and without anything of one request's own."""
    if outcome.status == 0:
        return f"no answer: {outcome.failure}"
    return f"{outcome.status} {outcome.problem}" if outcome.problem else str(outcome.status)


def id_of_key(tenant: str, key: str) -> bytes:
    """The id that a key's message has or would have, as 16 bytes."""
    return uuid.uuid5(KEY_NAMESPACE, f"{tenant}\n{key}").bytes


def outcomes(route: Route, answer: Answer, wanted: int) -> list[Outcome]:
    """One outcome a message, in order; an answer that cannot be read is an unknown outcome."""
    if answer.status == 0:
        return [Outcome(0, failure=answer.failure)] * wanted
    value = _parsed(answer.body)
    if answer.status in {202, 207}:
        results = [value] if route == "post" else value.get("results")
        if isinstance(results, list) and len(results) == wanted:
            return [_outcome(result, answer) for result in results]
        return [_UNREADABLE] * wanted
    return [_outcome(value | {"status": answer.status}, answer)] * wanted


def _outcome(value: Any, answer: Answer) -> Outcome:
    if not isinstance(value, dict):
        return _UNREADABLE
    status = value.get("status")
    if status == "accepted":  # of a single message
        status = answer.status
    problem = value.get("type")
    if not isinstance(problem, str) or not problem.startswith(_PROBLEM):
        problem = None
    message_id = value.get("message_id")
    told = value.get("retry_after", answer.retry_after)
    if not isinstance(status, int):
        return _UNREADABLE
    return Outcome(
        status=status,
        problem=problem.removeprefix(_PROBLEM) if problem else None,
        message_id=message_id if _is_id(message_id) else None,
        retry_after=float(told) if isinstance(told, int | float) else None,
    )


def _is_id(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
