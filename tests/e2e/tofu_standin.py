"""A stand-in of tofu-controller: real Terraform, in a real pod for each run.

Honours: the runner's pod is of the object's template and account, beside the object; state, with
its lock, is a Secret and a Lease by Terraform's own backend, a lock whose holder is dead is broken
(`forceUnlock: auto`), outputs go to the Secret that is asked for, whose owner is the object; a
failure is said, counted, and tried again after `retryInterval`; what is suspended is left alone;
an object that is deleted destroys first, if it says so. A source that is not Ready is waited for.
Does not: speak to its runner (files of a run come as a Secret), plan for approval, look for drift
each interval, back off, or ask the health checks of an object.

Nothing happens between two calls of `tick`.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from support.cluster import Cluster
from support.flux_controllers import SOURCE
from support.kube_api import Object

NAME: Final = "stand-in (e2e.tofu_standin)"
VERSION: Final = "infra.contrib.fluxcd.io/v1alpha2"
NAMESPACE: Final = "tenant-infra"
_FINALIZER: Final = "finalizers.tf.contrib.fluxcd.io"
_MERGE: Final = "application/merge-patch+json"
#: What is said of a failure, at most: a condition's message is for people.
_CHARACTERS: Final = 2_000

#: The lock of a run that was killed is nobody's: one runner of an object ends before the next.
_SCRIPT: Final = """\
set -u
export HOME=/tmp TF_IN_AUTOMATION=1
mkdir -p /tmp/run && cd /tmp/run
tar -xzf /input/module.tar.gz && cp /input/backend.tf.json /input/given.auto.tfvars.json .
run() { terraform "$@" -input=false -no-color >/tmp/said 2>&1; }
fail() { cat /tmp/said; tail -c 2000 /tmp/said >/dev/termination-log; exit 1; }
run init || fail
run "$1" -auto-approve -lock-timeout=5s || {
  lock=$(sed -n 's/^ *ID: *//p' /tmp/said | head -n 1)
  [ -n "$lock" ] || fail
  terraform force-unlock -force "$lock" && run "$1" -auto-approve -lock-timeout=5s || fail
}
cat /tmp/said
[ "$1" = destroy ] || terraform output -json >/dev/termination-log
"""


class Terraforms:
    """Plays it on one cluster.

    Args:
        cluster: By a connection of its own.
        module: The archive of a module, by its source's object; None where it has none yet.
    """

    def __init__(
        self, cluster: Cluster, module: Callable[[Object], tuple[str, bytes] | None]
    ) -> None:
        self._cluster = cluster
        self._module = module
        self._again: dict[str, float] = {}

    def tick(self) -> None:
        """Look at every object once."""
        for each in self._cluster.list(VERSION, "Terraform", NAMESPACE).body["items"]:
            self._look({**each, "apiVersion": VERSION, "kind": "Terraform"})

    def _look(self, found: Object) -> None:
        metadata, spec = found["metadata"], found["spec"]
        name = metadata["name"]
        is_going = "deletionTimestamp" in metadata
        if spec.get("suspend") or time.monotonic() < self._again.get(name, 0.0):
            return
        if is_going and not spec.get("destroyResourcesOnDeletion"):
            self._let_go(found)
            return
        if not is_going and _FINALIZER not in metadata.get("finalizers", []):
            self._patch(found, {"metadata": {"finalizers": [_FINALIZER]}})
        source = self._cluster.get(
            SOURCE, spec["sourceRef"]["kind"], spec["sourceRef"]["name"], NAMESPACE
        )
        module = self._module(source.body) if source.ok else None
        if module is None:
            said = f"source '{spec['sourceRef']['name']}' is not ready, artifact not found"
            self._say(found, "False", "ArtifactFailed", said)
            return
        revision, archive = module
        status = found.get("status", {})
        done = (status.get("observedGeneration"), status.get("lastAppliedRevision"))
        if not is_going and done == (metadata["generation"], revision) and _is_ready(found):
            return
        pod = self._cluster.get("v1", "Pod", f"{name}-tf-runner", NAMESPACE)
        if not pod.ok:
            self._start(found, archive, "destroy" if is_going else "apply")
            self._say(found, "Unknown", "Progressing", "Terraform is running")
            return
        self._judge(found, pod.body, revision)

    def _judge(self, found: Object, pod: Object, revision: str) -> None:
        """A run ended, or not yet."""
        phase = pod.get("status", {}).get("phase")
        if phase not in {"Succeeded", "Failed"}:
            return
        name = found["metadata"]["name"]
        ended = _ended(pod)
        self._cluster.delete({"apiVersion": "v1", "kind": "Pod", **_who(f"{name}-tf-runner")})
        self._cluster.delete({"apiVersion": "v1", "kind": "Secret", **_who(f"{name}-run")})
        if phase == "Failed":
            failures = int(found.get("status", {}).get("reconciliationFailures", 0)) + 1
            self._again[name] = time.monotonic() + _seconds(found["spec"]["retryInterval"])
            said = " ".join(ended.split())[-_CHARACTERS:] or "the runner was ended"
            self._say(found, "False", "TFExecApplyFailed", said, reconciliationFailures=failures)
        elif "deletionTimestamp" in found["metadata"]:
            self._let_go(found)
        else:
            self._write_outputs(found, json.loads(ended))
            said = f"Outputs written: {revision}"
            done = {"lastAppliedRevision": revision, "reconciliationFailures": 0}
            self._say(found, "True", "TerraformOutputsWritten", said, **done)

    def _start(self, found: Object, archive: bytes, verb: str) -> None:
        name, spec = found["metadata"]["name"], found["spec"]
        asked = spec.get("backendConfig", {})
        backend = {
            "secret_suffix": asked.get("secretSuffix", name),
            "namespace": NAMESPACE,
            "in_cluster_config": asked.get("inClusterConfig", True),
        }
        given = {each["name"]: each["value"] for each in spec.get("vars", [])}
        files: dict[str, str | bytes] = {
            "module.tar.gz": archive,
            "backend.tf.json": json.dumps({"terraform": {"backend": {"kubernetes": backend}}}),
            "given.auto.tfvars.json": json.dumps(given),
            "run.sh": _SCRIPT,
        }
        data = {
            key: base64.b64encode(value if isinstance(value, bytes) else value.encode()).decode()
            for key, value in files.items()
        }
        secret = {"apiVersion": "v1", "kind": "Secret", **_who(f"{name}-run"), "data": data}
        for each in (secret, self._runner(found, verb)):
            answer = self._cluster.apply(each, dry_run=False)
            if not answer.ok:
                self._say(found, "False", "RunnerFailed", answer.message)
                return

    def _runner(self, found: Object, verb: str) -> Object:
        name, spec = found["metadata"]["name"], found["spec"]
        template = spec["runnerPodTemplate"]
        told = template["spec"]
        container = {
            "name": "tf-runner",
            "image": told["image"],
            "command": ["/bin/sh", "/input/run.sh", verb],
            "env": told.get("env", []),
            "resources": told.get("resources", {}),
            "securityContext": told.get("securityContext", {}),
            "volumeMounts": [
                {"name": "input", "mountPath": "/input", "readOnly": True},
                {"name": "tmp", "mountPath": "/tmp"},
            ],
        }
        metadata = {
            "labels": {
                **template.get("metadata", {}).get("labels", {}),
                "app.kubernetes.io/created-by": "tf-controller",
                "tf.weave.works/tf-runner-for": name,
            },
            "annotations": template.get("metadata", {}).get("annotations", {}),
        }
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, "name": f"{name}-tf-runner", "namespace": NAMESPACE},
            "spec": {
                "serviceAccountName": spec["serviceAccountName"],
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": spec.get(
                    "runnerTerminationGracePeriodSeconds", 30
                ),
                "tolerations": told.get("tolerations", []),
                "containers": [container],
                "volumes": [
                    {"name": "input", "secret": {"secretName": f"{name}-run"}},
                    {"name": "tmp", "emptyDir": {}},
                ],
            },
        }

    def _write_outputs(self, found: Object, outputs: Mapping[str, Any]) -> None:
        wanted = found["spec"]["writeOutputsToSecret"]
        owner = {
            "apiVersion": VERSION,
            "kind": "Terraform",
            "name": found["metadata"]["name"],
            "uid": found["metadata"]["uid"],
        }
        metadata = _who(wanted["name"])["metadata"] | {
            "labels": wanted.get("labels", {}),
            "ownerReferences": [owner],
        }
        text = {name: str(outputs[name]["value"]) for name in wanted["outputs"]}
        answer = self._cluster.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": text},
            dry_run=False,
        )
        assert answer.ok, answer.message

    def _let_go(self, found: Object) -> None:
        others = [one for one in found["metadata"].get("finalizers", []) if one != _FINALIZER]
        self._patch(found, {"metadata": {"finalizers": others}})

    def _say(self, found: Object, status: str, reason: str, message: str, **more: Any) -> None:
        said = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        before = {**_ready(found), "lastTransitionTime": said["lastTransitionTime"]}
        generation = found["metadata"]["generation"]
        if before == said and found["status"].get("observedGeneration") == generation and not more:
            return
        told = {"conditions": [said], "observedGeneration": generation, **more}
        self._patch(found, {"status": told}, "/status")

    def _patch(self, found: Object, change: Object, part: str = "") -> None:
        path = self._cluster.path(found) + part
        answer = self._cluster.request("PATCH", path, change, content=_MERGE)
        assert answer.ok or answer.code == 404, answer.message


def _who(name: str) -> dict[str, dict[str, Any]]:
    return {"metadata": {"name": name, "namespace": NAMESPACE}}


def _ready(found: Object) -> dict[str, Any]:
    for each in found.get("status", {}).get("conditions", []):
        if each["type"] == "Ready":
            return dict(each)
    return {}


def _is_ready(found: Object) -> bool:
    return _ready(found).get("status") == "True"


def _ended(pod: Object) -> str:
    """What a run left: its outputs, or the end of what it said."""
    for each in pod.get("status", {}).get("containerStatuses", []):
        return str(each.get("state", {}).get("terminated", {}).get("message", ""))
    return ""


def _seconds(duration: str) -> float:
    units = {"s": 1, "m": 60, "h": 3_600}
    return float(duration[:-1]) * units[duration[-1]]
