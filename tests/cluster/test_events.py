"""From a message on SQS to a Workflow: by Argo Events' own processes, on a real API server.

The objects are the fleet's; an engine stands in AWS's place, and nobody runs the Workflows. Rights
are those of the account `sensor`, and the bus is one server where a cluster has three.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from chart.render import Object
from cluster.admission import done
from support import argo_events
from support.argo_events import NAMESPACE
from support.cluster import Cluster
from support.event_stage import SECONDS, WORKFLOWS, Stage, control_plane, of, open_stage
from support.flux_standin import kubectl
from support.waiting import wait_for
from tenantctl.events import SOURCES

#: The first test waits for all that the others look at.
pytestmark = pytest.mark.cluster

#: Those that are run here; the other two are like `onboarding`.
SENSORS: Final = ("control", "onboarding")

SUSPEND: Final = {"version": 1, "verb": "suspend", "request_id": "crm-1", "tenant_id": "acme"}
#: What is sent to `control`, by what is said of it. Each is JSON.
CONTROL: Final[dict[str, Any]] = {
    "a request": SUSPEND,
    "the same again": SUSPEND,
    "its id with other contents": {**SUSPEND, "tenant_id": "globex"},
    "without an id": {"version": 1, "verb": "resume", "tenant_id": "acme"},
    "with what looks like templates": {
        **SUSPEND,
        "request_id": "crm-2",
        "tenant_id": "{{workflow.name}}",
        "note": "{{=1+1}} <é> \u2028 $(x)",
    },
    "an unknown verb": {**SUSPEND, "request_id": "crm-3", "verb": "explode"},
    "no verb": {"request_id": "crm-4"},
    "a verb that is a list": {"request_id": "crm-5", "verb": ["suspend"]},
    "an id that is none": {**SUSPEND, "request_id": "../crm"},
    "a list": [1, 2],
    "a text": "suspend",
    "a number": 7,
    "nothing": None,
    "too large": {**SUSPEND, "request_id": "crm-6", "note": "x" * 20_000},
}
NO_JSON: Final = '{"version": 1, "verb": "suspend"'
ONBOARDING: Final = {"tenant_id": "newco", "tenant_tier": "basic", "release_version": "1.2"}


@pytest.fixture(scope="module")
def stage(argo: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    """Two of the sensors were started once."""
    if argo_events.built() is None or kubectl() is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("Argo Events is not built: `make test-cluster` does that")
    with open_stage(argo, tmp_path_factory.mktemp("events")) as found:
        for name in SENSORS:
            found.subscribe(name)
        yield found


@dataclass(frozen=True)
class Played:
    """What came of all messages, in one go.

    Attributes:
        ids: Of the messages, on SQS.
        made: All Workflows.
        dead: What SQS moved away.
        said: The sensors' logs.
    """

    ids: Mapping[str, str]
    made: list[Object]
    dead: list[str]
    said: str

    def of(self, what: str) -> list[Object]:
        """The Workflows that are named by a message: by the sender's id, else by SQS's."""
        body = CONTROL.get(what)
        named = body.get("request_id", "") if isinstance(body, dict) else ""
        start = named if re.fullmatch("crm-[0-9]", named) else self.ids[what]
        return [each for each in self.made if each["metadata"]["name"].startswith(f"{start}-")]


@pytest.fixture(scope="module")
def played(stage: Stage) -> Played:
    """Every message is sent, one of each queue is delivered twice, and all are worked off."""
    before = stage.workflows()
    ids = {what: stage.send("control", json.dumps(body)) for what, body in CONTROL.items()}
    no_json = stage.send("control", NO_JSON)
    ids["the reference's"] = stage.send("control-onboarding", json.dumps(ONBOARDING))
    stage.sqs.kept |= {"dev-control", "dev-control-onboarding"}
    wanted = stage.bus.taken() + len(ids) + 2
    with stage.source() as source:
        source.until(
            lambda: stage.bus.taken() >= wanted and stage.dead_letters("control"),
            seconds=SECONDS,
            what="the handing on of all",
        )
    assert (set(), wanted) == (stage.sqs.kept, stage.bus.taken())
    said = "".join(stage.work_off(name) for name in SENSORS)
    made = [each for name, each in stage.workflows().items() if name not in before]
    return Played(ids | {"no JSON": no_json}, made, stage.dead_letters("control"), said)


def parameters(workflow: Object) -> dict[str, str]:
    return {each["name"]: each["value"] for each in workflow["spec"]["arguments"]["parameters"]}


def verb(workflow: Object) -> str:
    return str(workflow["spec"]["workflowTemplateRef"]["name"])


def event(workflow: Object) -> Any:
    return json.loads(base64.b64decode(parameters(workflow)["event"]))


def test_a_request_becomes_one_workflow_of_its_verb(played: Played) -> None:
    """Named by the request's id and contents, which reach it as they were; sent twice, too."""
    [first, other] = sorted(played.of("a request"), key=lambda each: parameters(each)["tenant-id"])

    assert (SUSPEND, "suspend") == (event(first), verb(first))
    told = {"source": "control", "request-id": "crm-1", "tenant-id": "acme"}
    assert told == {key: parameters(first)[key] for key in told}
    # Another request under its id is another Workflow.
    assert CONTROL["its id with other contents"] == event(other)
    assert first["metadata"]["name"] != other["metadata"]["name"]


def test_a_request_without_an_id_has_sqs_own(played: Played) -> None:
    """Or with one that is none; so that what SQS delivers twice is one Workflow all the same."""
    for what, wanted in (("without an id", "resume"), ("an id that is none", "suspend")):
        [workflow] = played.of(what)
        assert wanted == verb(workflow)
        assert played.ids[what] == parameters(workflow)["request-id"]


def test_what_is_delivered_twice_is_one_workflow_and_no_error(played: Played) -> None:
    """SQS delivered one message of each queue again, after it was handed on."""
    made = len(played.made)

    assert len(CONTROL) == made  # one is sent twice, and one came by another queue
    assert made + 3 == played.said.count("Successfully processed trigger 'start'")
    assert '"level":"error"' not in played.said


def test_nothing_in_a_request_is_taken_for_a_template(played: Played) -> None:
    """Signs of templates, markup and other alphabets arrive; an id that is none is not named."""
    [workflow] = played.of("with what looks like templates")

    assert CONTROL["with what looks like templates"] == event(workflow)
    assert "{{" not in json.dumps(workflow["spec"])
    assert "none" == parameters(workflow)["tenant-id"]


@pytest.mark.parametrize(
    "what",
    [
        "an unknown verb",
        "no verb",
        "a verb that is a list",
        "a list",
        "a text",
        "a number",
        "nothing",
    ],
)
def test_json_that_is_no_request_is_rejected(played: Played, what: str) -> None:
    """By a Workflow that fails with the reason: it is given what was sent."""
    [workflow] = played.of(what)

    assert ("reject", CONTROL[what]) == (verb(workflow), event(workflow))


def test_a_request_that_is_too_large_is_told_by_its_size(played: Played) -> None:
    """Its verb then refuses it: this is no form of a request."""
    [workflow] = played.of("too large")

    assert ["oversized"] == list(event(workflow))
    assert event(workflow)["oversized"] > 20_000


def test_what_is_no_json_becomes_a_dead_letter(played: Played) -> None:
    """And holds up nobody: it is not taken, and SQS moves it away."""
    assert [NO_JSON] == played.dead
    assert [] == played.of("no JSON")


def test_a_request_of_the_reference_is_its_queues_verb(played: Played) -> None:
    """Its payload is handed on with the name of the queue."""
    [workflow] = played.of("the reference's")

    assert ("onboard", ONBOARDING) == (verb(workflow), event(workflow))
    assert ("onboarding", "newco") == (
        parameters(workflow)["source"],
        parameters(workflow)["tenant-id"],
    )


def test_the_source_asks_for_what_its_role_may(stage: Stage, played: Played) -> None:
    """Of SQS, three operations: `modules/identity` allows these."""
    assert {"GetQueueUrl", "ReceiveMessage", "DeleteMessage"} == stage.sqs.calls


def test_a_request_that_comes_later_leaves_a_workflow_as_it_is(
    stage: Stage, played: Played
) -> None:
    """What happened to it meanwhile stays: here, that somebody stopped it."""
    [found] = played.of("too large")
    stopped = {"metadata": {"labels": {"stopped": "yes"}}, "spec": {"shutdown": "Stop"}}
    answer = stage.cluster.request(
        "PATCH", stage.cluster.path(found), stopped, content="application/merge-patch+json"
    )
    done(answer)

    stage.send("control", json.dumps(CONTROL["too large"]))
    stage.hand_on(1)
    stage.work_off("control")

    assert answer.body == stage.workflows()[found["metadata"]["name"]]


def test_a_sensor_that_is_killed_half_way_is_given_its_event_again(stage: Stage) -> None:
    """The bus keeps it until its Workflow is there, however often the sensor begins with it."""
    rights = of(stage.objects, "RoleBinding")["sensor"]
    request = {**SUSPEND, "request_id": "crm-8"}
    stage.send("control", json.dumps(request))
    stage.hand_on(1)
    done(stage.cluster.delete(rights))
    try:
        with stage.sensor("control") as sensor:
            sensor.until(
                lambda: "Failed to execute a trigger" in sensor.said(),
                seconds=SECONDS,
                what="half of it",
            )
            sensor.kill()
    finally:
        done(stage.cluster.apply(rights, dry_run=False))
    assert 1 == stage.bus.waiting("control")
    assert not [name for name in stage.workflows() if name.startswith("crm-8-")]

    stage.work_off("control")

    [workflow] = [each for name, each in stage.workflows().items() if name.startswith("crm-8-")]
    assert request == event(workflow)


def test_what_no_workflow_can_be_made_of_is_rejected(stage: Stage) -> None:
    """After its retries, which are short here; under SQS's own id."""
    request = {"version": 1, "verb": "move", "request_id": "crm-9", "tenant_id": "acme"}
    with refused(stage.cluster, "move"):
        message_id = stage.send("control", json.dumps(request))
        stage.hand_on(1)
        said = stage.work_off("control", {"steps": 2, "duration": "100ms"})

    made = stage.workflows()
    workflow = made[f"reject-{message_id}"]
    assert 2 == said.count("Failed to execute a trigger")
    assert ("reject", request) == (verb(workflow), event(workflow))
    assert not [name for name in made if name.startswith("crm-9-")]


def test_a_sensor_hears_nothing_that_came_before_it(stage: Stage) -> None:
    """A gap, told in docs/control-plane.md: what was handed on is no longer on the queue."""
    stage.send("control-deployment", json.dumps({"tenant_tier": "basic"}))
    stage.hand_on(1)
    before = stage.workflows()

    stage.subscribe("deployment")
    assert 0 == stage.bus.waiting("deployment")
    assert before == stage.workflows()

    message_id = stage.send("control-deployment", json.dumps({"tenant_tier": "basic"}))
    stage.hand_on(1)
    stage.work_off("deployment")
    [name] = stage.workflows().keys() - before.keys()
    assert name.startswith(message_id)


@contextmanager
def refused(cluster: Cluster, verb: str) -> Generator[None]:
    """An API server that takes no Workflow of a verb, until the block ends."""
    policy: Object = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": "no-verb"},
        "spec": {
            "matchConstraints": {
                "resourceRules": [
                    {
                        "apiGroups": ["argoproj.io"],
                        "apiVersions": ["*"],
                        "resources": ["workflows"],
                        "operations": ["CREATE"],
                    }
                ]
            },
            "validations": [
                {
                    "expression": f"object.spec.workflowTemplateRef.name != '{verb}'",
                    "message": f"no {verb}s today",
                }
            ],
        },
    }
    binding: Object = {
        **policy,
        "kind": "ValidatingAdmissionPolicyBinding",
        "spec": {"policyName": "no-verb", "validationActions": ["Deny"]},
    }
    tried: Object = {
        "apiVersion": WORKFLOWS[0],
        "kind": WORKFLOWS[1],
        "metadata": {"name": "tried", "namespace": NAMESPACE},
        "spec": {"workflowTemplateRef": {"name": verb}},
    }
    done(cluster.apply([policy, binding], dry_run=False))
    try:
        wait_for(lambda: not cluster.create(tried, dry_run=True).ok, what="its refusal")
        yield
    finally:
        for each in (binding, policy):
            done(cluster.delete(each))


# --- Lint ---------------------------------------------------------------------------------------


def lint(folder: Path, objects: list[Object]) -> tuple[int, str]:
    """Status and words of Argo Events' own linter."""
    tools = argo_events.built()
    if tools is None or kubectl() is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("Argo Events is not built: `make test-cluster` does that")
    path = folder / "objects.yaml"
    path.write_text(yaml.safe_dump_all(objects), encoding="utf-8")
    ran = subprocess.run(
        [tools / "argo-events", "lint", "--strict", path],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return ran.returncode, ran.stdout + ran.stderr


def test_argo_events_finds_nothing_wrong(tmp_path: Path) -> None:
    """Source and sensors, as its controller checks them."""
    objects = control_plane()

    status, said = lint(tmp_path, objects)

    assert 0 == status, said
    assert 1 == said.count("EventSource is valid")
    assert len(SOURCES) == said.count("Sensor is valid")


def test_argo_events_finds_what_is_wrong(tmp_path: Path) -> None:
    """So that the test above says something."""
    sensors = of(control_plane(), "Sensor")
    sensors["control"]["spec"]["dependencies"] = []

    status, said = lint(tmp_path, list(sensors.values()))

    assert 1 == status
    assert "no event dependencies found" in said
