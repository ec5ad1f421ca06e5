"""A real Kubernetes API server on loopback, with an etcd of its own, in a temporary folder.

What is missing in it is a cluster's other half: no node, no scheduler, and no controller unless a
test starts the controller manager, so nothing is ever run, and a namespace that is deleted stays
in `Terminating`. Everything ends with the test run, also when that is killed. `tests/e2e` brings
the other half, at an address of a network namespace that nodes reach, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

import tool
from support.certificates import Authority, Pair, signing_keys
from support.kube_api import Answer, Api, Object
from support.waiting import wait_for
from tenantry_local.processes import Process, Processes, free_port

__all__ = ["Answer", "Cluster", "Object", "open_cluster"]

#: What must be built: `scripts/tool.py kubernetes etcd kube-apiserver`, and `crds`.
COMMANDS: Final = ("etcd", "kube-apiserver")

HOST: Final = "127.0.0.1"
#: Of the services' addresses the first is the API server's own.
_SERVICES: Final = "10.96.0.0/16"
_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_HOSTS: Final = (HOST, "localhost", "kubernetes", "kubernetes.default.svc", "10.96.0.1")
#: Seconds in which a process must answer: it takes 4 on a machine that is not busy.
_READY_SECONDS: Final = 50.0

#: Where rights are written, and a namespace that is always there.
_RIGHTS: Final = "/apis/rbac.authorization.k8s.io/"
_RIGHTS_SPACE: Final = "default"

_Loader: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Cluster(Api):
    """The API server, called as an administrator unless a call says otherwise."""

    def __init__(
        self, folder: Path, tools: Path, processes: Processes, address: str = HOST
    ) -> None:
        self._address = address
        self._folder, self._tools, self._processes = folder, tools, processes
        self._authority = Authority(folder / "certificates")
        self._tokens = signing_keys(folder / "certificates", "tokens")
        self.url: Final = f"https://{address}:{free_port()}"
        self.admin: Final = self._authority.issue("admin", "admin", groups=["system:masters"])
        self._rights_changed = 0
        self._rights_seen = 0
        super().__init__(self.url, self._authority.own, self.admin)

    def start(self) -> None:
        """Start etcd and the API server, and wait until they serve."""
        etcd, peer = (f"http://{HOST}:{free_port()}" for _ in range(2))
        self._start(
            "etcd",
            {
                "data-dir": self._folder / "etcd",
                "listen-client-urls": etcd,
                "advertise-client-urls": etcd,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": f"default={peer}",
                "unsafe-no-fsync": "true",
                "log-level": "warn",
            },
        )
        served = self._authority.issue("server", "kube-apiserver", hosts={*_HOSTS, self._address})
        server = self._start(
            "kube-apiserver",
            {
                "etcd-servers": etcd,
                "bind-address": self._address,
                "advertise-address": self._address,
                "secure-port": self.url.rpartition(":")[2],
                "tls-cert-file": served.certificate,
                "tls-private-key-file": served.key,
                "client-ca-file": self._authority.own.certificate,
                "allow-privileged": "true",  # as clusters do: pod security is what refuses
                "anonymous-auth": "false",
                "authorization-mode": "Node,RBAC",
                "service-account-issuer": _ISSUER,
                "service-account-key-file": self._tokens[1],
                "service-account-signing-key-file": self._tokens[0],
                "service-cluster-ip-range": _SERVICES,
                # Beside those that are on by default: pod security, admission policies, priority,
                # quota and limits, service accounts, the life of namespaces.
                "enable-admission-plugins": "NodeRestriction",
                # Of the Service `kubernetes`, whose addresses cannot be loopback's.
                "endpoint-reconciler-type": "none" if self._address == HOST else "lease",
                "kubelet-client-certificate": self.admin.certificate,
                "kubelet-client-key": self.admin.key,
                "kubelet-preferred-address-types": "InternalIP",
                "profiling": "false",
            },
        )
        self._wait(server, lambda: self.request("GET", "/readyz").ok)

    def request(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content: str = "application/json",
        as_user: str | None = None,
        groups: Iterable[str] = (),
    ) -> Answer:
        """Any request; one in another's name waits until all rights given so far are in force.

        Those that were given by this object: the server takes a while to see them itself, and a
        refusal until then would say nothing.
        """
        if as_user is not None and self._rights_seen != self._rights_changed:
            self._see_rights()
        answer = super().request(
            method,
            path,
            body,
            query=query,
            content=content,
            as_user=as_user,
            groups=groups,
        )
        if method != "GET" and path.startswith(_RIGHTS) and "dryRun" not in (query or {}):
            self._rights_changed += 1
        return answer

    def _see_rights(self) -> None:
        """Give one more right in each of the ways there are, and wait for it.

        The server watches roles and bindings, of namespaces and of the cluster, in four streams of
        their own; in each, what was written before comes before.
        """
        name = f"seen-{self._rights_changed}"
        given = [
            self.apply(each, dry_run=False)
            for scope in ("", "Cluster")
            for each in _a_right(name, scope)
        ]
        assert all(answer.ok for answer in given), [answer.message for answer in given]
        changed = self._rights_changed

        def is_seen(attributes: Object) -> bool:
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "metadata": {},
                "spec": {
                    "user": name,
                    "resourceAttributes": {"verb": "get", "name": name, **attributes},
                },
            }
            return bool(self.create(review).body["status"]["allowed"])

        for attributes in (
            {"resource": "configmaps", "namespace": _RIGHTS_SPACE},
            {"resource": "nodes"},
        ):
            wait_for(partial(is_seen, attributes), what="rights in force")
        self._rights_seen = changed

    def install_crds(self, *groups: str, without: Sequence[str] = ()) -> None:
        """Define the custom resources of these API groups, or of all that tests know but some.

        They are served when this returns.
        """
        folder = tool.built(tool.CRDS)
        assert folder is not None, "`make tools` collects them"
        kinds = []
        for path in sorted((folder / tool.CRDS).glob("*.yaml")):
            group = path.name.partition("_")[0]  # before megabytes are read
            if group in without or (groups and group not in groups):
                continue
            found = yaml.load(path.read_text("utf-8"), _Loader)
            spec = found["spec"]
            answer = self.apply(found, dry_run=False)
            assert answer.ok, answer.message
            kinds += [
                (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                for version in spec["versions"]
                if version["served"]
            ]
        for version, kind in kinds:
            wait_for(partial(self._is_served, version, kind), what=f"the serving of {kind}")

    def _is_served(self, version: str, kind: str) -> bool:
        try:
            return self.list(version, kind).ok
        except LookupError:
            return False

    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> str:
        """Make a namespace, with the service account that the controller manager would make."""
        metadata = {"name": name, "labels": dict(labels or {})}
        for found in (
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": "default", "namespace": name},
            },
        ):
            answer = self.apply(found, dry_run=False)
            assert answer.ok, answer.message
        return name

    @contextlib.contextmanager
    def beside(self) -> Generator[Cluster]:
        """The same server by a connection of its own, for another thread."""
        found = copy.copy(self)
        found._connection = None
        try:
            yield found
        finally:
            found.close()

    def serving(self, name: str, address: str) -> Pair:
        """A certificate of a server that the API server calls."""
        return self._authority.issue(name, name, hosts=[address])

    @property
    def authority(self) -> Path:
        """The certificate that all others are signed with."""
        return self._authority.own.certificate

    def run(self, command: str, options: Mapping[str, Any]) -> Process:
        """Start one more command of Kubernetes beside it, which ends with it."""
        return self._start(command, options)

    def kubeconfig(self, user: str = "admin", *groups: str) -> Path:
        """A file with which a program of the test calls the API server as this user."""
        pair = self._authority.issue(f"user-{user.replace(':', '-')}", user, groups=groups)
        path = self._folder / f"{pair.key.stem}.kubeconfig"
        said = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {
                    "name": "tests",
                    "cluster": {
                        "server": self.url,
                        "certificate-authority": str(self._authority.own.certificate),
                    },
                }
            ],
            "users": [
                {
                    "name": user,
                    "user": {
                        "client-certificate": str(pair.certificate),
                        "client-key": str(pair.key),
                    },
                }
            ],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
            "current-context": "tests",
        }
        path.write_text(json.dumps(said), encoding="utf-8")
        return path

    @contextlib.contextmanager
    def controller_manager(self) -> Generator[None]:
        """The controller manager beside it: service accounts, ends of namespaces, Deployments.

        It also checks the types in admission policies' expressions, and says so in their status.
        """
        options = {
            "root-ca-file": self._authority.own.certificate,
            "service-account-private-key-file": self._tokens[0],
            "use-service-account-credentials": "true",
            # It makes the folder, which would be one of the machine's.
            "flex-volume-plugin-dir": self._folder / "volume-plugins",
        }
        with self._beside("kube-controller-manager", options):
            yield

    @contextlib.contextmanager
    def scheduler(self) -> Generator[None]:
        """The scheduler beside it: pods are bound to nodes, on which nobody runs them."""
        with self._beside("kube-scheduler", {}):
            yield

    @contextlib.contextmanager
    def _beside(self, command: str, options: Mapping[str, Any]) -> Generator[None]:
        port = free_port()
        served = self._authority.issue(command, "controllers", hosts=[HOST])
        process = self._start(
            command,
            {
                "kubeconfig": self.kubeconfig(f"system:{command}"),
                "leader-elect": "false",
                "bind-address": HOST,
                "secure-port": str(port),
                "tls-cert-file": served.certificate,
                "tls-private-key-file": served.key,
                "profiling": "false",
                **options,
            },
        )
        own = Api(f"https://{HOST}:{port}", self._authority.own, served)
        try:
            self._wait(process, lambda: own.request("GET", "/healthz").ok)
            yield
        finally:
            own.close()
            asyncio.run(self._processes.stop([process], seconds=5.0))

    def _start(self, command: str, options: Mapping[str, Any]) -> Process:
        return self._processes.start(
            Path(command).name,
            [str(self._tools / command), *(f"--{key}={value}" for key, value in options.items())],
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder)},
            cwd=self._folder,
            log=self._folder / f"{Path(command).name}.log",
        )

    def _wait(self, process: Process, condition: Callable[[], bool]) -> None:
        async def is_ready() -> bool:
            try:
                return condition()
            except OSError:
                return False  # nothing listens yet

        asyncio.run(self._processes.wait_ready(process, is_ready, seconds=_READY_SECONDS))


def _a_right(user: str, scope: str) -> list[Object]:
    """A role that lets a user read one object, and its binding, in a namespace or the cluster."""
    version = f"{_RIGHTS.split('/')[2]}/v1"
    metadata = {"name": "seen"} | ({} if scope else {"namespace": _RIGHTS_SPACE})
    resource = "nodes" if scope else "configmaps"
    return [
        {
            "apiVersion": version,
            "kind": f"{scope}Role",
            "metadata": metadata,
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": [resource],
                    "resourceNames": [user],  # so that the role, too, is another each time
                    "verbs": ["get"],
                }
            ],
        },
        {
            "apiVersion": version,
            "kind": f"{scope}RoleBinding",
            "metadata": metadata,
            "roleRef": {
                "apiGroup": version.partition("/")[0],
                "kind": f"{scope}Role",
                "name": "seen",
            },
            "subjects": [{"apiGroup": version.partition("/")[0], "kind": "User", "name": user}],
        },
    ]


@contextlib.contextmanager
def open_cluster(folder: Path, address: str = HOST) -> Generator[Cluster]:
    """A cluster that keeps all it writes in this folder, and serves at this address.

    Raises:
        LaptopError: A process did not start, with the end of its log.
        AssertionError: What it needs is not built.
    """
    tools = tool.built("kubernetes", *COMMANDS)
    assert tools is not None, "`make tools` builds it"
    processes = Processes()
    try:
        cluster = Cluster(folder, tools, processes, address)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()
    finally:
        processes.close()
