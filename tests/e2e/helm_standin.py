"""A stand-in of helm-controller, for tenants' releases: real Helm, in the account's name.

Honours: a release waits for its source, and is installed, or upgraded when it or its chart
changed; with values of `valuesFrom` and then its own, by the rights of its account; all that it
made is waited for; an install that fails is tried again (`RetryOnFailure`), an upgrade that fails
is rolled back and tried again until its retries are used up (`Stalled`); what is suspended is left
alone; what is deleted is uninstalled first; `history` says chart and digest. Does not: correct
drift, run tests, decrypt, or verify a signature (`tests/cluster/test_signatures.py`).

Helm works in threads; nothing else happens between two calls of `tick`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from support.cluster import Cluster
from support.flux_controllers import SOURCE
from support.kube_api import Object

NAME: Final = "stand-in (e2e.helm_standin)"
VERSION: Final = "helm.toolkit.fluxcd.io/v2"
NAMESPACE: Final = "tenants"
_FINALIZER: Final = "finalizers.fluxcd.io"
_MERGE: Final = "application/merge-patch+json"
_WORKERS: Final = 4
_CHARACTERS: Final = 2_000
#: What an object asks for, and what is tried of it: generation and chart.
Wanted = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart that a source has."""

    path: Path
    version: str
    digest: str


class Releases:
    """Plays it on one cluster.

    Args:
        cluster: By a connection of its own.
        kubeconfig: Of an administrator, who speaks in accounts' names.
        chart: The chart of a source's object; None where it has none yet.
        pool: Where Helm works.
    """

    def __init__(
        self,
        cluster: Cluster,
        kubeconfig: Path,
        chart: Callable[[Object], Chart | None],
        pool: ThreadPoolExecutor,
    ) -> None:
        self._cluster = cluster
        self._kubeconfig = kubeconfig
        self._chart = chart
        self._pool = pool
        self._working: dict[str, tuple[Wanted, Future[str]]] = {}
        self._failures: dict[str, tuple[Wanted, int]] = {}
        self._again: dict[str, float] = {}
        self._contexts: set[Any] = set()

    def end(self) -> None:
        """Have Helm give up what it waits for."""
        for each in list(self._contexts):
            each.cancel()

    @contextmanager
    def _context(self) -> Generator[Any]:
        import helm_python  # noqa: PLC0415 - there is a wheel for some machines only

        with helm_python.HelmContext() as found:
            self._contexts.add(found)
            try:
                yield found
            finally:
                self._contexts.discard(found)

    def tick(self) -> None:
        """Look at every release once."""
        for each in self._cluster.list(VERSION, "HelmRelease", NAMESPACE).body["items"]:
            self._look({**each, "apiVersion": VERSION, "kind": "HelmRelease"})

    def _look(self, found: Object) -> None:
        metadata, spec = found["metadata"], found["spec"]
        name = metadata["name"]
        if name in self._working:
            if self._working[name][1].done():
                self._end(found, *self._working.pop(name))
            return
        if spec.get("suspend") or time.monotonic() < self._again.get(name, 0.0):
            return
        if "deletionTimestamp" in metadata:
            work = self._pool.submit(self._uninstall, name, spec)
            self._working[name] = ((0, ""), work)
            return
        if _FINALIZER not in metadata.get("finalizers", []):
            self._patch(found, {"metadata": {"finalizers": [_FINALIZER]}})
        reference = spec["chartRef"]
        source = self._cluster.get(SOURCE, reference["kind"], reference["name"], NAMESPACE)
        chart = self._chart(source.body) if source.ok else None
        if chart is None:
            said = f"{reference['kind']} '{NAMESPACE}/{reference['name']}' is not ready"
            self._say(found, "False", "SourceNotReady", said)
            return
        values = self._values(found)
        wanted = (metadata["generation"], f"{chart.digest} {hash(yaml.safe_dump(values))}")
        tried, failures = self._failures.get(name, ((0, ""), 0))
        if tried == wanted and (failures == 0 or self._is_stalled(found)):
            return
        self._say(
            found,
            "Unknown",
            "Progressing",
            "Running 'upgrade' action" if self._history(found) else "Running 'install' action",
        )
        self._working[name] = (
            wanted,
            self._pool.submit(self._install, name, spec, chart, values),
        )

    # --- Helm

    def _helm(self, spec: Object) -> Any:
        import helm_python  # noqa: PLC0415 - there is a wheel for some machines only

        account = f"system:serviceaccount:{NAMESPACE}:{spec['serviceAccountName']}"
        return helm_python.Config(
            kubeconfig_path=str(self._kubeconfig), kube_as_user=account, namespace=NAMESPACE
        )

    def _install(self, name: str, spec: Object, chart: Chart, values: dict[str, Any]) -> str:
        """Why it failed; empty where it did not."""
        with self._helm(spec) as helm, self._context() as context:
            seconds = _seconds(spec.get("timeout", "5m"))
            more = {
                "namespace": NAMESPACE,
                "timeout": seconds,
                "wait": "watcher",
                "context": context,
            }
            try:
                known = helm.history(name)
            except LookupError:
                known = []
            deployed = [one for one in known if one["status"] in {"deployed", "superseded"}]
            try:
                if not known:
                    helm.install(str(chart.path), name, values, **more)
                else:
                    helm.upgrade(
                        str(chart.path),
                        name,
                        values,
                        reset_values=True,
                        max_history=spec.get("maxHistory", 5),
                        **more,
                    )
            except Exception as error:  # noqa: BLE001 - whatever Helm says is what is told
                if deployed:
                    helm.rollback(name, timeout=seconds, wait="watcher")
                return f"Helm {'upgrade' if known else 'install'} failed: {error}"
        return ""

    def _uninstall(self, name: str, spec: Object) -> str:
        with self._helm(spec) as helm:
            helm.uninstall(name, ignore_not_found=True, wait="watcher", timeout=300)
        return ""

    # --- what is said

    def _end(self, found: Object, wanted: Wanted, work: Future[str]) -> None:
        name = found["metadata"]["name"]
        try:
            why = work.result()
        except Exception as error:  # noqa: BLE001 - of Helm's own
            why = str(error)
        if "deletionTimestamp" in found["metadata"] and wanted == (0, ""):
            if why:
                self._say(found, "False", "UninstallFailed", why)
                self._again[name] = time.monotonic() + 5
                return
            self._failures.pop(name, None)
            self._again.pop(name, None)
            others = [one for one in found["metadata"]["finalizers"] if one != _FINALIZER]
            self._patch(found, {"metadata": {"finalizers": others}})
            return
        tried, failures = self._failures.get(name, (wanted, 0))
        failures = 0 if tried != wanted else failures
        self._failures[name] = (wanted, failures + 1 if why else 0)
        source = found["spec"]["chartRef"]
        chart = self._chart(
            self._cluster.get(SOURCE, source["kind"], source["name"], NAMESPACE).body
        )
        done = {"lastAttemptedGeneration": wanted[0]}
        if why:
            self._again[name] = time.monotonic() + self._retry_seconds(found)
            verb = "Upgrade" if self._history(found) else "Install"
            self._say(found, "False", f"{verb}Failed", " ".join(why.split())[:_CHARACTERS], **done)
        elif chart is not None:
            self._say(
                found,
                "True",
                "UpgradeSucceeded" if self._history(found) else "InstallSucceeded",
                f"Helm release {NAMESPACE}/{name} is in place",
                history=[_entry(name, chart, wanted[0])],
                **done,
            )

    def _retry_seconds(self, found: Object) -> float:
        """Of an install as it says; an upgrade is tried again at once, and then never."""
        if not self._history(found):
            return _seconds(found["spec"]["install"]["strategy"]["retryInterval"])
        return 0.0

    def _is_stalled(self, found: Object) -> bool:
        if not self._history(found):
            return False
        retries = int(found["spec"]["upgrade"]["remediation"]["retries"])
        is_used_up: bool = self._failures[found["metadata"]["name"]][1] > retries
        if is_used_up:
            message = f"Failed to upgrade after {retries + 1} attempt(s)"
            before = _conditions(found).get("Stalled", {})
            if before.get("status") != "True":
                stalled = _condition("Stalled", "True", "RetriesExceeded", message)
                ready = _conditions(found)["Ready"]
                self._patch(found, {"status": {"conditions": [ready, stalled]}}, "/status")
        return is_used_up

    def _history(self, found: Object) -> list[Any]:
        return list(found.get("status", {}).get("history", []))

    def _values(self, found: Object) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for each in found["spec"].get("valuesFrom", []):
            told = self._cluster.get("v1", each["kind"], each["name"], NAMESPACE).body
            values |= yaml.safe_load(told["data"][each["valuesKey"]])
        return {**values, **found["spec"]["values"]}

    def _say(self, found: Object, status: str, reason: str, message: str, **more: Any) -> None:
        said = _condition("Ready", status, reason, message)
        before = {
            **_conditions(found).get("Ready", {}),
            "lastTransitionTime": said["lastTransitionTime"],
        }
        generation = found["metadata"]["generation"]
        is_told = found.get("status", {}).get("observedGeneration") == generation
        if before == said and is_told and not more:
            return
        told = {"conditions": [said], "observedGeneration": generation, **more}
        self._patch(found, {"status": told}, "/status")

    def _patch(self, found: Object, change: Object, part: str = "") -> None:
        path = self._cluster.path(found) + part
        answer = self._cluster.request("PATCH", path, change, content=_MERGE)
        assert answer.ok or answer.code == 404, answer.message


@contextmanager
def played(
    cluster: Cluster, kubeconfig: Path, chart: Callable[[Object], Chart | None]
) -> Generator[Releases]:
    """It and its threads, until the block ends."""
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="helm") as pool:
        found = Releases(cluster, kubeconfig, chart, pool)
        try:
            yield found
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            found.end()


def _condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": _now(),
    }


def _conditions(found: Object) -> dict[str, Any]:
    return {one["type"]: one for one in found.get("status", {}).get("conditions", [])}


def _entry(name: str, chart: Chart, version: int) -> dict[str, Any]:
    """Of a release's history, as far as anybody reads it; the rest is what the kind asks for."""
    return {
        "name": name,
        "namespace": NAMESPACE,
        "version": version,
        "status": "deployed",
        "chartName": "tenant-template",
        "chartVersion": chart.version,
        "ociDigest": chart.digest,
        "configDigest": chart.digest,
        "digest": chart.digest,
        "firstDeployed": _now(),
        "lastDeployed": _now(),
    }


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _seconds(duration: str) -> int:
    units = {"s": 1, "m": 60, "h": 3_600}
    return int(duration[:-1]) * units[duration[-1]]
