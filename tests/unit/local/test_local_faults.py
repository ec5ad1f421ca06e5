"""Faults that a proxy injects: drawn by a seed, and shaped as AWS answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_local.faults import Fault, Faults, merge, refusal

SEND = frozenset({"SendMessageBatch"})


def drawn(seed: int, calls: int) -> list[list[str]]:
    faults = Faults(seed)
    faults.set(Fault("error", probability=0.3), Fault("delay", probability=0.5))
    return [[fault.kind for fault in faults.draw("GetItem", b"")] for _ in range(calls)]


def test_the_same_seed_draws_the_same_faults() -> None:
    """So that a run that failed can be looked at again."""
    assert drawn(1, 200) == drawn(1, 200)
    assert drawn(1, 200) != drawn(2, 200)


def test_a_fault_meets_only_the_calls_it_is_meant_for() -> None:
    """By operation and by what the call holds; `partial` only where there are entries."""
    faults = Faults()
    faults.set(Fault("reset", SEND, text="acme"), Fault("partial"))

    assert [] == faults.draw("GetItem", b"acme")
    assert ["partial"] == [fault.kind for fault in faults.draw("SendMessageBatch", b"globex")]
    assert {"partial SendMessageBatch": 1} == faults.felt
    kinds = [fault.kind for fault in faults.draw("SendMessageBatch", b"to acme")]
    assert ["reset", "partial"] == kinds


def test_a_fault_ends_after_its_times_and_begins_anew_when_set() -> None:
    """`times` counts what was felt since it was set."""
    faults = Faults()
    fault = Fault("hang", times=2)
    faults.set(fault)
    assert 2 == sum(bool(faults.draw("GetItem", b"")) for _ in range(5))

    faults.set(fault)
    assert faults.draw("GetItem", b"")


@given(st.integers(1, 10), st.integers(0, 1_000))
def test_a_partial_send_answers_for_every_entry_once(entries: int, seed: int) -> None:
    """Those that were taken out fail, and the engine is asked for the others."""
    call = {"QueueUrl": "q", "Entries": [{"Id": str(n)} for n in range(entries)]}
    request = json.dumps(call).encode()
    passed, out = Faults(seed).split("SendMessageBatch", request)
    left = [] if passed is None else [entry["Id"] for entry in json.loads(passed)["Entries"]]
    engine = json.dumps({"Successful": [{"Id": one} for one in left]}).encode()

    answer = json.loads(merge("SendMessageBatch", request, engine, out))

    ids = [one["Id"] for part in ("Successful", "Failed") for one in answer[part]]
    assert sorted(ids, key=int) == [str(n) for n in range(entries)]
    assert len(answer["Failed"]) == len(out) >= 1
    assert (passed is None) == (not left)


def test_a_partial_write_answers_in_the_order_of_its_statements() -> None:
    """DynamoDB answers by place, not by name."""
    request = json.dumps({"Statements": [{"Statement": str(n)} for n in range(4)]}).encode()
    engine = json.dumps({"Responses": [{"n": 0}, {"n": 2}]}).encode()

    answer = json.loads(merge("BatchExecuteStatement", request, engine, [1, 3]))["Responses"]

    assert [{"n": 0}, {"n": 2}] == [answer[0], answer[2]]
    assert ["ThrottlingError"] * 2 == [answer[n]["Error"]["Code"] for n in (1, 3)]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("AmazonSQS.SendMessageBatch", "RequestThrottled"),
        ("DynamoDB_20120810.GetItem", "ProvisionedThroughputExceededException"),
        (None, "Throttling"),
    ],
)
def test_throttling_looks_as_each_service_says_it(target: str | None, code: str) -> None:
    """Botocore retries by these codes, and so do we."""
    status, _, body = refusal("throttle", target)

    assert 400 == status
    assert code in body.decode()
