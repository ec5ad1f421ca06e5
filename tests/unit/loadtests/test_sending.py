from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from fakes.loadtests import FakeTime
from tenantry.contract import idempotent_message_id
from tenantry_loadtests.payloads import Message
from tenantry_loadtests.recording import (
    ACCEPTED,
    ATTEMPT,
    ERROR,
    GIVEN_UP,
    REFUSED,
    RETRIED,
    Recorder,
    Span,
)
from tenantry_loadtests.sending import TIMED_OUT, Answer, Outgoing, Route, Sender, id_of_key
from tenantry_loadtests.tenants import TenantEntry
from tenantry_loadtests.tokens import TokenSource

ID = "01a20413-0c90-772e-9dbe-d5f07c6813b0"
OTHER = "01a20413-1997-703c-b881-53d03e9b33b3"


def answer(status: int, value: object = None, *, seconds: float = 0.01, **more: Any) -> Answer:
    body = b"" if value is None else json.dumps(value).encode()
    return Answer(
        status=status,
        body=body,
        retry_after=more.get("retry_after"),
        failure=more.get("failure"),
        seconds=seconds,
    )


def accepted(message_id: str = ID) -> Answer:
    return answer(202, {"message_id": message_id, "status": "accepted"})


def problem(status: int, name: str, **more: Any) -> Answer:
    value = {"type": f"urn:tenantry:problem:{name}", "title": "x", "status": status}
    return answer(status, value | more)


class Wire:
    """Answers requests in turn, and remembers them."""

    def __init__(self, time: FakeTime, *answers: Answer) -> None:
        self.time = time
        self.answers = list(answers)
        self.requests: list[tuple[Route, str, dict[str, str], Any]] = []

    def __call__(self, route: Route, url: str, headers: dict[str, str], body: bytes) -> Answer:
        self.requests.append((route, url, headers, json.loads(body)))
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.time.now += given.seconds
        return given


class Bench:
    def __init__(self, *answers: Answer, tokens: tuple[str, ...] = ("one",), **more: Any) -> None:
        self.time = FakeTime()
        self.wire = Wire(self.time, *answers)
        self.recorder = Recorder(1.0)
        self.followed: list[str] = []
        self.printed = list(tokens)
        is_stopping: Callable[[], bool] = more.pop("is_stopping", lambda: False)
        self.sender = Sender(
            tenant="acme",
            url="http://host",
            token=TokenSource(
                TenantEntry(tenant="acme", token_command=("token",)),
                run=lambda _: self.printed.pop(0) if len(self.printed) > 1 else self.printed[0],
                clock=lambda: self.time.now,
            ),
            post=self.wire,
            recorder=self.recorder,
            clock=self.time.clock(),
            give_up_seconds=30.0,
            is_stopping=is_stopping,
            on_accepted=self.followed.append,
        )

    def post(self) -> None:
        self.sender.send("post", [Outgoing("k-1", Message(b'"type":"a","payload":{}'), 500.0)])

    def count(self, name: str) -> int:
        return Span(self.recorder).count(name)

    def durations(self, kind: str) -> list[float]:
        histogram = Span(self.recorder).histogram(kind)
        return [histogram.maximum] * len(histogram)


def test_a_single_message_is_posted_with_its_key_and_counted() -> None:
    """Key and token are headers, the tenant is named, and the id is kept."""
    bench = Bench(accepted())
    bench.post()
    [(route, url, headers, body)] = bench.wire.requests
    assert (route, url) == ("post", "http://host/messages")
    assert headers["Idempotency-Key"] == "k-1"
    assert headers["Authorization"] == "Bearer one"
    assert body == {"type": "a", "payload": {}}
    assert bench.followed == [ID]
    assert bytes(bench.recorder.accepted["acme"]).hex() == ID.replace("-", "")
    assert bench.count(ACCEPTED) == 1


def test_time_counts_from_when_the_message_was_due() -> None:
    """A message that was sent three seconds late took three seconds longer."""
    bench = Bench(accepted())
    bench.time.now = 503.0
    bench.post()
    assert bench.durations("accepted") == [pytest.approx(3.01)]


@pytest.mark.parametrize(
    "refused", [problem(429, "rate-limited"), problem(503, "not-accepted"), problem(408, "x")]
)
def test_what_was_not_accepted_is_sent_again_as_told(refused: Answer) -> None:
    """With the same key, after Retry-After; nothing is unknown of it."""
    told = Answer(refused.status, refused.body, 2.0, None, 0.01)
    bench = Bench(told, accepted())
    bench.post()
    assert bench.time.slept == [2.0]
    keys = [headers["Idempotency-Key"] for _, _, headers, _ in bench.wire.requests]
    assert keys == ["k-1", "k-1"]
    assert bench.count(RETRIED) == 1
    assert sum(Span(bench.recorder).counts_of(ATTEMPT).values()) == 1
    assert not Span(bench.recorder).counts_of(ERROR)
    assert not bench.recorder.unknown


def test_waiting_for_ever_is_not_obeyed() -> None:
    """A Retry-After of an hour is cut to ten seconds."""
    bench = Bench(Answer(503, problem(503, "not-accepted").body, 3_600.0, None, 0.01), accepted())
    bench.post()
    assert bench.time.slept == [10.0]


@pytest.mark.parametrize(
    "unclear",
    [
        problem(503, "outcome-unknown"),
        answer(502),
        answer(500),
        answer(503),
        answer(0, failure=TIMED_OUT, seconds=15.0),
        answer(202, {"nonsense": 1}),
    ],
)
def test_what_may_have_been_accepted_is_unknown_in_the_end(unclear: Answer) -> None:
    """Given up after its time, counted with all of it, and its id is kept as unknown."""
    bench = Bench(unclear)
    bench.post()
    assert bench.count(GIVEN_UP) == 1
    assert bench.count(ACCEPTED) == 0
    assert bytes(bench.recorder.unknown["acme"]) == id_of_key("acme", "k-1")
    assert bench.durations("accepted")[0] > 15
    assert all(name.startswith("given up") for name in Span(bench.recorder).counts_of(ERROR))


def test_unknown_once_and_accepted_later_is_accepted() -> None:
    """The key makes the second try the same message."""
    bench = Bench(answer(0, failure=TIMED_OUT, seconds=15.0), accepted())
    bench.post()
    assert bench.count(ACCEPTED) == 1
    assert not bench.recorder.unknown


def test_unknown_once_stays_unknown_when_it_is_refused_later() -> None:
    """A 413 on the second try does not undo what the first may have done."""
    bench = Bench(answer(502), problem(413, "message-too-large"))
    bench.post()
    assert bench.count(REFUSED) == 1
    assert "acme" in bench.recorder.unknown


def test_a_refusal_makes_no_percentile_better() -> None:
    """It is an error by its kind, without a duration, and is not tried again."""
    bench = Bench(problem(422, "invalid-message"))
    bench.post()
    assert len(bench.wire.requests) == 1
    assert Span(bench.recorder).counts_of(ERROR) == {"422 invalid-message": 1}
    assert bench.durations("accepted") == []


def test_a_time_out_counts_with_its_whole_length_and_a_refused_connection_not_at_all() -> None:
    """In the durations of requests: a quick failure is not a quick answer."""
    bench = Bench(
        answer(0, failure=TIMED_OUT, seconds=15.0),
        answer(0, failure="connection refused", seconds=0.0001),
        accepted(),
    )
    bench.post()
    histogram = Span(bench.recorder).histogram("post")
    assert len(histogram) == 2
    assert histogram.maximum == 15.0


def test_a_batch_sends_again_only_what_may_be_sent_again() -> None:
    """Of a 207, the message that was limited goes alone in the next request."""
    first = answer(
        207,
        {
            "results": [
                {"status": 202, "message_id": ID},
                {"type": "urn:tenantry:problem:rate-limited", "status": 429, "retry_after": 1},
                {"type": "urn:tenantry:problem:message-too-large", "status": 413},
            ]
        },
    )
    second = answer(202, {"results": [{"status": 202, "message_id": OTHER}]})
    bench = Bench(first, second)
    message = Message(b'"type":"a","payload":{}')
    bench.sender.send("batch", [Outgoing(f"k-{n}", message, 500.0) for n in range(3)])
    [(_, url, headers, body), (_, _, _, again)] = bench.wire.requests
    assert url == "http://host/messages/batch"
    assert "Idempotency-Key" not in headers
    assert [one["idempotency_key"] for one in body["messages"]] == ["k-0", "k-1", "k-2"]
    assert [one["idempotency_key"] for one in again["messages"]] == ["k-1"]
    assert bench.time.slept == [1.0]
    assert bench.followed == [ID, OTHER]
    assert bench.count(REFUSED) == 1


def test_a_batch_with_too_few_results_is_unknown() -> None:
    """Nobody can say which message an outcome is of."""
    bench = Bench(answer(202, {"results": [{"status": 202, "message_id": ID}]}))
    message = Message(b'"type":"a","payload":{}')
    bench.sender.send("batch", [Outgoing(f"k-{n}", message, 500.0) for n in range(2)])
    assert bench.count(GIVEN_UP) == 2
    assert len(bench.recorder.unknown["acme"]) == 32


def test_a_refused_token_is_renewed() -> None:
    """The next try has the new one; the first 401 is an attempt, no error."""
    bench = Bench(problem(401, "unauthenticated"), accepted(), tokens=("old", "new"))
    bench.post()
    sent = [headers["Authorization"] for _, _, headers, _ in bench.wire.requests]
    assert sent == ["Bearer old", "Bearer new"]
    assert bench.count(ACCEPTED) == 1
    assert not Span(bench.recorder).counts_of(ERROR)


def test_a_token_that_cannot_be_renewed_is_an_error_of_its_own_name() -> None:
    """And the message is refused at once: the same token would be refused again."""
    bench = Bench(problem(401, "unauthenticated"))
    bench.post()
    assert len(bench.wire.requests) == 1
    assert Span(bench.recorder).counts_of(ERROR) == {"401 unauthenticated": 1}


def test_no_error_names_a_token() -> None:
    """Whatever comes back, what is counted holds nothing of the request's secrets."""
    bench = Bench(problem(401, "unauthenticated"), tokens=("eyJsecret",))
    bench.post()
    assert "eyJsecret" not in str(bench.recorder.to_wire())


def test_nothing_is_tried_again_when_the_run_ends() -> None:
    """What waits for another try is given up."""
    bench = Bench(problem(503, "not-accepted"), is_stopping=lambda: True)
    bench.post()
    assert len(bench.wire.requests) == 1
    assert bench.count(GIVEN_UP) == 1
    assert not bench.recorder.unknown  # it said that nothing was sent


def test_what_is_cut_off_is_unknown() -> None:
    """A user that is killed while it waits for an answer may have been heard."""
    bench = Bench(accepted())

    class Killed(Wire):
        def __call__(self, route: Route, url: str, headers: dict[str, str], body: bytes) -> Answer:
            raise KeyboardInterrupt

    bench.sender.post = Killed(bench.time)
    with pytest.raises(KeyboardInterrupt):
        bench.post()
    assert bytes(bench.recorder.unknown["acme"]) == id_of_key("acme", "k-1")


def test_the_id_of_a_key_is_the_contracts() -> None:
    """Computed from docs/contract.md alone, and the same as the producer's."""
    assert id_of_key("acme", "k-1").hex() == idempotent_message_id("acme", "k-1").replace("-", "")
