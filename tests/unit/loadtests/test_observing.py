from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tenantry_loadtests.observing import Observer, memory_of, parse_metrics

METRICS = """\
# HELP tenantry_oldest_message_seconds Age of the oldest message.
# TYPE tenantry_oldest_message_seconds gauge
tenantry_oldest_message_seconds 1.25
tenantry_messages_stored_total{tenant="acme"} 30.0
tenantry_messages_stored_total{tenant="globex"} 12.0
tenantry_messages_stored_created{tenant="acme"} 1.7e+09
tenantry_hand_messages 4.0
"""


def an_observer(**changes: Any) -> Observer:
    depths = {"http://q/pool": 7, "http://q/own": 3, "http://q/dead": 1}
    values: dict[str, Any] = {
        "queues": ["http://q/pool", "http://q/own", "http://q/pool"],
        "dead_letter_queues": ["http://q/dead"],
        "metrics_urls": ["http://c/1", "http://c/2"],
        "depth": depths.__getitem__,
        "fetch": lambda _: METRICS,
    }
    return Observer(**(values | changes))


def test_what_is_asked_is_added_up() -> None:
    """Each queue once, however many tenants share it; the oldest of all consumers."""
    seen = an_observer().look()
    assert (seen.depth, seen.dead, seen.stored, seen.age) == (10, 1, 84.0, 1.25)
    assert seen.queues == {"pool": 7, "own": 3}
    assert seen.calls == 3


def test_an_empty_queue_has_no_old_message() -> None:
    """A consumer's age is that of its last receive, and stays when nothing comes."""
    assert an_observer(depth=lambda _: 0).look().age == 0.0


def test_without_queues_depth_is_not_observed() -> None:
    """It is None, not 0; age is then the consumer's own word."""
    seen = an_observer(depth=None).look()
    assert (seen.depth, seen.dead, seen.age, seen.calls) == (None, None, 1.25, 0)


def failing(error: Exception) -> Callable[[str], Any]:
    def fail(_: str) -> Any:
        raise error

    return fail


def test_what_fails_is_not_observed_and_named() -> None:
    """The load goes on; half of the queues would be a wrong depth."""

    def depth(queue: str) -> int:
        if queue.endswith("own"):
            raise TimeoutError
        return 7

    observer = an_observer(depth=depth, fetch=failing(ConnectionRefusedError()))
    seen = observer.look()
    assert (seen.depth, seen.age, seen.stored) == (None, None, None)
    assert observer.failures == {
        "own": "TimeoutError",
        "http://c/1": "ConnectionRefusedError",
        "http://c/2": "ConnectionRefusedError",
    }


def test_a_consumer_that_stored_nothing_yet_has_stored_none() -> None:
    """Its counter has no sample before the first message."""
    seen = an_observer(fetch=lambda _: "tenantry_oldest_message_seconds 0.0\n").look()
    assert seen.stored == 0.0


def test_metrics_are_read_by_name() -> None:
    """Labels are summed, other metrics left out."""
    assert parse_metrics(METRICS) == {
        "tenantry_oldest_message_seconds": 1.25,
        "tenantry_messages_stored_total": 42.0,
    }


@pytest.mark.parametrize("pids", [(), (2**22 + 1,)])
def test_memory_of_nobody_is_not_observed(pids: tuple[int, ...]) -> None:
    """No process was named, or one is gone."""
    assert memory_of(pids) is None
