"""Verbs of the control plane, as their accounts: rights of the cluster, and a role in AWS.

What runs them in an environment is a workflow's pod; here it is a process beside the cluster, with
the same account's certificate and the same role's session.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

from e2e.aws import CLUSTER_ARN, ENVIRONMENT, REGION, Aws
from support.cluster import Cluster

NAMESPACE: Final = "argo-control"
#: Longer than any verb takes here; it ends what hangs.
_SECONDS: Final = 900
_CONTEXT: Final = """\
environment = "{environment}"
exports = "{exports}"
[fleet]
url = "{fleet}"
cache = "{cache}"
[cluster]
kind = "kubernetes"
kubeconfig = "{kubeconfig}"
[aws]
region = "{region}"
endpoint_url = "{endpoint}"
[charts]
registry = "http://{registry}"
[timing]
placement_max_age = 5
visibility = 30
settle = 5
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What a verb said.

    Attributes:
        status: Its exit status.
        result: What it printed as JSON; empty where it failed.
        err: What it said to people.
    """

    status: int
    result: dict[str, Any]
    err: str


@dataclass(frozen=True, slots=True)
class Control:
    """Who runs verbs.

    Attributes:
        cluster: Of the environment.
        aws: Of the environment.
        fleet: Where the fleet's repository is.
        registry: Where releases are, as `host:port`.
        folder: For contexts and exports; it is there.
    """

    cluster: Cluster
    aws: Aws
    fleet: Path
    registry: str
    folder: Path
    _files: Lock = field(default_factory=Lock)

    @property
    def exports(self) -> Path:
        """Where exports of tenants that leave are."""
        return self.folder / "exports"

    def run(self, verb: str, *words: str) -> Told:
        """`tenantctl` with a verb, as the verb's account."""
        place = self.folder / verb
        with self._files:
            self._prepare(verb, place)
        role = self.aws.role_of(NAMESPACE, verb)
        assert role is not None, f"{verb} has no association"
        given = self.aws.gate.pod(role, cluster_arn=CLUSTER_ARN, namespace=NAMESPACE, account=verb)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(place),
            "TENANTCTL_CONTEXTS": str(place),
            **self.aws.door.issue(given).environment(self.aws.door.url),
        }
        tenantctl = Path(sys.executable).with_name("tenantctl")
        done = subprocess.run(
            [str(tenantctl), verb, *words, "--output=json"],
            env=env,
            cwd=place,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        result = json.loads(done.stdout) if done.returncode == 0 else {}
        return Told(done.returncode, result, done.stderr + done.stdout)

    def _prepare(self, verb: str, place: Path) -> None:
        """The verb's certificate and context, which all that run it at once share."""
        if place.exists():
            return
        place.mkdir()
        user = f"system:serviceaccount:{NAMESPACE}:{verb}"
        groups = ("system:authenticated", "system:serviceaccounts")
        kubeconfig = self.cluster.kubeconfig(user, *groups, f"system:serviceaccounts:{NAMESPACE}")
        (place / f"{ENVIRONMENT}.toml").write_text(
            _CONTEXT.format(
                environment=ENVIRONMENT,
                exports=self.exports,
                fleet=self.fleet,
                registry=self.registry,
                cache=place / "cache",
                kubeconfig=kubeconfig,
                region=REGION,
                endpoint=self.aws.door.url,
            ),
            "utf-8",
        )
