"""A tofu-controller that somebody built, run against the tests' API server, and what it says.

It has no binary to download and no module to build from, so TENANTRY_TOFU_CONTROLLER names one.
It runs Terraform in its own process in place of a runner's pod, which nobody would start here.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import tarfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from support.cluster import HOST, Cluster
from support.file_server import served
from support.flux_controllers import answers
from support.kube_api import Object
from support.terraform import TENANT_MODULE, copy_module
from tenantry_local.processes import Processes, free_port

#: Names the binary (`cmd/manager` of tofu-controller). Without it there is nothing to test.
VARIABLE: Final = "TENANTRY_TOFU_CONTROLLER"
NAMESPACE: Final = "tenant-infra"
TERRAFORMS: Final = ("infra.contrib.fluxcd.io/v1alpha2", "Terraform")

_SOURCE_VERSION: Final = "source.toolkit.fluxcd.io/v1"
#: The controller's own namespace.
_RUNTIME: Final = "flux-system"
#: What the library that runs the tool says itself: it refuses to run where somebody else does.
_ITS_OWN: Final = frozenset({"TF_IN_AUTOMATION", "AWS_ENDPOINT_URL"})
#: Where the runner listens that it has in itself: no option of its own changes that.
_RUNNER_PORT: Final = 30_000
_READY_SECONDS: Final = 60.0
_WATCH_SECONDS: Final = 1


def binary() -> Path | None:
    """The controller that the user names."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else None


# What source-controller would do

_Found = dict[str, Any]


@contextmanager
def module_source(
    folder: Path,
) -> Generator[Callable[[str], tuple[dict[str, Any], dict[str, Any]]]]:
    """The tenant module, served as source-controller serves an artifact.

    Gives a function that makes the source of a name, and the status that says where it is.
    """
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    archive = artifacts / "module.tar.gz"
    module = copy_module(TENANT_MODULE, folder / "module")
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted(module.iterdir()):
            tar.add(path, path.name)
    digest = f"sha256:{hashlib.sha256(archive.read_bytes()).hexdigest()}"
    with served(artifacts) as url:

        def source(name: str) -> tuple[_Found, _Found]:
            found = {
                "apiVersion": _SOURCE_VERSION,
                "kind": "OCIRepository",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "url": "oci://registry.example.com/tenantry/tenant-module",
                    "ref": {"digest": digest},
                    "interval": "1h",
                },
            }
            artifact = {
                "url": f"{url}/{archive.name}",
                "path": archive.name,
                "revision": f"r2@{digest}",
                "digest": digest,
                "size": archive.stat().st_size,
                "lastUpdateTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            return found, {"status": {"artifact": artifact, "observedGeneration": 1}}

        yield source


# The controller


@contextmanager
def running(
    manager: Path, cluster: Cluster, folder: Path, tool: Path, env: Mapping[str, str]
) -> Generator[Path]:
    """The controller, until the block ends; gives its log.

    Args:
        manager: Its binary.
        cluster: What it reconciles.
        folder: For all that it writes.
        tool: Terraform or OpenTofu; the controller looks for either by its name.
        env: Of that tool's runs, beside what the objects say.

    Raises:
        LaptopError: It does not start, with the end of its log.
    """
    with socket.socket() as probe:
        # It says nothing where it cannot listen there: another one's runner would be asked.
        assert probe.connect_ex((HOST, _RUNNER_PORT)), f"port {_RUNNER_PORT} is taken"
    programs = folder / "bin"
    programs.mkdir()
    (programs / ("terraform" if "terraform" in tool.name else "tofu")).symlink_to(tool)
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    cluster.namespace(_RUNTIME)
    health = f"{HOST}:{free_port()}"
    log = folder / "tofu-controller.log"
    processes = Processes()
    try:
        process = processes.start(
            "tofu-controller",
            [
                str(manager),
                "--concurrent=1",  # its runner holds one Terraform at a time
                f"--health-addr={health}",
                "--metrics-addr=0",
                "--log-encoding=json",
                "--graceful-shutdown-timeout=5s",
            ],
            env={
                **{key: value for key, value in env.items() if key not in _ITS_OWN},
                "PATH": str(programs),
                "HOME": str(folder / "home"),
                "TMPDIR": str(folder / "tmp"),
                "KUBECONFIG": str(cluster.kubeconfig("tofu-controller", "system:masters")),
                "RUNTIME_NAMESPACE": _RUNTIME,
                "INSECURE_LOCAL_RUNNER": "1",
            },
            cwd=folder,
            log=log,
        )

        async def is_ready() -> bool:
            return answers(f"http://{health}/readyz")

        asyncio.run(processes.wait_ready(process, is_ready, seconds=_READY_SECONDS))
        yield log
        asyncio.run(processes.stop([process], seconds=10.0))
    finally:
        processes.close()


# What it says


class Said(NamedTuple):
    """A condition of an object, when it changed."""

    seconds: float
    name: str
    type: str
    status: str
    reason: str
    message: str


class Watcher:
    """Sees every state of every Terraform object, also those that pass quickly."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._started = time.monotonic()
        self._objects: dict[str, Object] = {}
        self._version = ""
        self.said: list[Said] = []

    def get(self, name: str) -> Object | None:
        """The object, as it was last seen."""
        return self._objects.get(name)

    def messages(self, name: str, kind: str = "Ready") -> list[str]:
        """What an object's condition said, one after the other."""
        return [said.message for said in self.said if (said.name, said.type) == (name, kind)]

    def is_ready(self, name: str) -> bool:
        """Whether what the object asks for now was done."""
        found = self.get(name)
        if found is None:
            return False
        status = found.get("status", {})
        return status.get("observedGeneration") == found["metadata"]["generation"] and any(
            (each["type"], each["status"]) == ("Ready", "True")
            for each in status.get("conditions", ())
        )

    def until(self, condition: Callable[[], object], *, seconds: float, what: str) -> float:
        """Watch until the condition holds; how many seconds that took."""
        started = time.monotonic()
        self._look()
        while not condition():
            waited = time.monotonic() - started
            last = {name: self.messages(name)[-1:] for name in self._objects}
            assert waited < seconds, f"{what} did not happen within {seconds:g} s: {last}"
            self._look()
        return time.monotonic() - started

    def _look(self) -> None:
        """Take what happened; where nothing did, wait for it a second."""
        if not self._version:
            listed = self._cluster.list(*TERRAFORMS, NAMESPACE).body
            self._version = listed["metadata"]["resourceVersion"]
            self._objects.clear()
            for found in listed["items"]:
                self._take("ADDED", found)
        answer = self._cluster.request(
            "GET",
            f"/apis/{TERRAFORMS[0]}/namespaces/{NAMESPACE}/terraforms",
            query={
                "watch": "true",
                "resourceVersion": self._version,
                "timeoutSeconds": str(_WATCH_SECONDS),
            },
        )
        # A line an event: one alone is JSON, several are not.
        lines = answer.body.get("message", "").splitlines() if "type" not in answer.body else ()
        for event in [json.loads(line) for line in lines] or [answer.body]:
            if event.get("type") == "ERROR":
                self._version = ""  # it was too long ago: list anew
            elif "object" in event:
                self._version = event["object"]["metadata"]["resourceVersion"]
                self._take(event["type"], event["object"])

    def _take(self, event: str, found: Object) -> None:
        name = found["metadata"]["name"]
        if event == "DELETED":
            self._objects.pop(name, None)
            return
        self._objects[name] = found
        for each in found.get("status", {}).get("conditions", ()):
            mine = [said for said in self.said if (said.name, said.type) == (name, each["type"])]
            new: tuple[Any, ...] = (
                name,
                each["type"],
                each["status"],
                each["reason"],
                each["message"],
            )
            if not mine or mine[-1][1:] != new:
                self.said.append(Said(time.monotonic() - self._started, *new))
