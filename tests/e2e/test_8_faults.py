"""Faults under traffic, each with the same ending: nothing lost, nothing twice, back unaided."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from e2e.aws import Aws
from e2e.cluster.whole import Whole
from e2e.door.door_standin import Fault
from e2e.tenants import ACME, TENANTS, Routes
from e2e.traffic import flowing
from support.waiting import wait_for

pytestmark = pytest.mark.e2e

#: As long as the fault is.
GONE_SECONDS = 60.0


def processes(pod: str, words: bytes) -> list[int]:
    """Of a pod, by what is in their command line; a pod's name is its processes' host name."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            is_meant = words in (place / "cmdline").read_bytes()
            env = (place / "environ").read_bytes()
        except OSError:
            continue  # it ended
        if is_meant and f"HOSTNAME={pod}\0".encode() in env:
            found.append(int(place.name))
    return found


def a_pod(whole: Whole, namespace: str, component: str) -> str:
    """The name of one that is there."""
    for each in whole.cluster.list("v1", "Pod", namespace).body["items"]:
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == component:
            return str(each["metadata"]["name"])
    raise AssertionError(f"no {component} in {namespace}")


@pytest.mark.usefixtures("control")
def test_a_consumer_is_killed_with_messages_in_hand(
    whole: Whole, environment: Aws, routes: Routes
) -> None:
    """What it had received comes again once its visibility timeout is over."""
    pod = a_pod(whole, ACME.id, "consumer")
    with flowing(routes, TENANTS) as traffic:
        wait_for(lambda: traffic.count >= 60, what="traffic")
        [number] = processes(pod, b"consumer")
        os.kill(number, signal.SIGKILL)

        def is_back() -> bool:
            found = whole.cluster.get("v1", "Pod", pod, ACME.id).body["status"]
            [container] = found["containerStatuses"]
            return bool(container["restartCount"] and container["ready"])

        wait_for(is_back, what="the consumer, started again")
        before = traffic.count
        wait_for(lambda: traffic.count >= before + 30, what="more traffic")

    traffic.settle(TENANTS)


@pytest.mark.usefixtures("control")
def test_aws_is_gone_for_a_minute(environment: Aws, routes: Routes) -> None:
    """Clients are told to come again; nobody is started again for it, and all goes on after."""
    door = environment.door
    with flowing(routes, TENANTS) as traffic:
        wait_for(lambda: traffic.count >= 30, what="traffic")
        door.become_now(Fault(is_gone=True))
        try:
            wait_for(lambda: sum(traffic.refused.values()) >= 3, what="its being felt")
            ends_at = time.monotonic() + GONE_SECONDS
            wait_for(lambda: time.monotonic() > ends_at, what="the minute")
        finally:
            door.become_now(Fault())
        before = traffic.count
        wait_for(lambda: traffic.count >= before + 30, what="traffic as before")

    assert traffic.refused.keys() <= {"503", "TimeoutError"}, traffic.refused
    traffic.settle(TENANTS)


@pytest.mark.usefixtures("control")
def test_every_third_call_of_aws_fails(environment: Aws, routes: Routes) -> None:
    """What failed is tried again, within what clients are promised."""
    environment.door.become_now(Fault(failing=0.34))
    try:
        with flowing(routes, TENANTS) as traffic:
            wait_for(lambda: traffic.count >= 90, what="traffic")
    finally:
        environment.door.become_now(Fault())

    traffic.settle(TENANTS)
