"""Between SQS and the API server: the queues, the bus, and the fleet's objects of Argo Events.

An engine stands in AWS's place, and nobody runs the Workflows that are made.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

from chart.render import Object
from support import argo_events
from support.argo_events import NAMESPACE, REGION, Bus, Hurried, Running
from support.cluster import HOST, Cluster
from support.flux_standin import FLEET, kustomize
from tenantry_local.engine import start_engine
from tenantry_local.processes import Processes, free_port

WORKFLOWS: Final = ("argoproj.io/v1alpha1", "Workflow")
#: After so many receives a message is a dead letter.
RECEIVES: Final = 2
#: Of a process that starts, on a machine that is busy, with all that waits for it.
SECONDS: Final = 60.0


def control_plane() -> list[Object]:
    """What the control plane of a fresh fleet is."""
    return kustomize(FLEET / "control-plane" / "dev")


def of(objects: list[Object], kind: str) -> dict[str, Object]:
    """Those of a kind, by name."""
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


@dataclass(frozen=True)
class Stage:
    """Queues, bus and API server, between which the processes are."""

    cluster: Cluster
    bus: Bus
    aws: Any
    sqs: Hurried
    objects: list[Object]
    folder: Path

    def send(self, queue: str, body: str) -> str:
        """A message; its id."""
        url = self.aws.get_queue_url(QueueName=f"dev-{queue}")["QueueUrl"]
        return str(self.aws.send_message(QueueUrl=url, MessageBody=body)["MessageId"])

    def source(self) -> AbstractContextManager[Running]:
        """The fleet's EventSource, with the engine as its endpoint."""
        found = copy.deepcopy(of(self.objects, "EventSource")["requests"])
        for each in found["spec"]["sqs"].values():
            each |= {"region": REGION, "endpoint": self.sqs.url, "waitTimeSeconds": 1}
        env = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
        return argo_events.service("eventsource", found, self.bus, self.folder, env)

    def sensor(
        self, name: str, retries: Mapping[str, Any] | None = None
    ) -> AbstractContextManager[Running]:
        """One of the fleet's Sensors; with other retries, where they are named."""
        found = copy.deepcopy(of(self.objects, "Sensor")[name])
        if retries is not None:
            found["spec"]["triggers"][0]["retryStrategy"] = dict(retries)
        kubeconfig = self.cluster.kubeconfig(f"system:serviceaccount:{NAMESPACE}:sensor")
        env = {"KUBECONFIG": str(kubeconfig)}
        return argo_events.service("sensor", found, self.bus, self.folder, env)

    def subscribe(self, name: str) -> None:
        """Start a sensor once: the bus keeps events for it from then on."""
        with self.sensor(name) as sensor:
            sensor.until(
                lambda: self.bus.waiting(name) is not None, seconds=SECONDS, what="subscribing"
            )

    def hand_on(self, events: int) -> None:
        """Let the source run until the bus took so many more events, and no more."""
        wanted = self.bus.taken() + events
        with self.source() as source:
            source.until(
                lambda: self.bus.taken() >= wanted, seconds=SECONDS, what="their handing on"
            )
        assert wanted == self.bus.taken()

    def work_off(self, name: str, retries: Mapping[str, Any] | None = None) -> str:
        """Let a sensor run until nothing waits for it; what it logged."""
        with self.sensor(name, retries) as sensor:
            sensor.until(lambda: self.bus.waiting(name) == 0, seconds=SECONDS, what="their end")
            return sensor.said()

    def dead_letters(self, queue: str) -> list[str]:
        """Of a queue, by their bodies."""
        name = f"dev-{queue}-dead-letters"
        url = self.aws.get_queue_url(QueueName=name)["QueueUrl"]
        answer = self.aws.receive_message(QueueUrl=url, VisibilityTimeout=0)
        return [each["Body"] for each in answer.get("Messages", [])]

    def workflows(self) -> dict[str, Object]:
        """All of them, by name."""
        answer = self.cluster.list(*WORKFLOWS, NAMESPACE)
        assert answer.ok, answer.message
        return {each["metadata"]["name"]: each for each in answer.body["items"]}


@contextmanager
def open_stage(cluster: Cluster, folder: Path) -> Generator[Stage]:
    """Everything that is there before the first request, until the block ends.

    Args:
        cluster: An API server that knows Argo's kinds.
        folder: For all that is written.
    """
    objects = control_plane()
    for name in ("tenants", "tenant-infra", "flux-system"):
        cluster.namespace(name)
    cluster.namespace(NAMESPACE, of(objects, "Namespace")[NAMESPACE]["metadata"]["labels"])
    for each in objects:
        if each["kind"] in {"ServiceAccount", "Role", "RoleBinding"}:
            answer = cluster.apply(each, dry_run=False)
            assert answer.ok, answer.message
    processes = Processes()
    try:
        port = free_port()
        asyncio.run(start_engine(processes, port, folder, services="sqs,sts"))
        engine = f"http://{HOST}:{port}"
        session = boto3.session.Session("local", "local", region_name=REGION)
        aws = session.client("sqs", endpoint_url=engine)
        for each in of(objects, "EventSource")["requests"]["spec"]["sqs"].values():
            _make_queue(aws, each["queue"])
        bus = Bus(folder, processes, of(objects, "EventBus")["default"]["spec"])
        with argo_events.hurried(engine) as sqs:
            yield Stage(cluster, bus, aws, sqs, objects, folder)
    finally:
        processes.close()


def _make_queue(aws: Any, name: str) -> None:
    """A queue and its dead-letter queue."""
    dead = aws.create_queue(QueueName=f"{name}-dead-letters")["QueueUrl"]
    said = aws.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": said["QueueArn"], "maxReceiveCount": RECEIVES}
    aws.create_queue(QueueName=name, Attributes={"RedrivePolicy": json.dumps(policy)})
