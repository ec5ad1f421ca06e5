"""Whom the story is about, and how their messages go."""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from e2e.aws import DOMAIN, Aws
from support.cluster import Cluster
from support.kube_api import Object
from tenantctl.model import Home, Instance

#: How long a load balancer goes on as it was told, in seconds.
_LAG_SECONDS: Final = 1.0
POOL: Final = Instance(id="pool-1", kind="pool", home=Home("basic", "pool-1"), ring="r0")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, as it comes.

    Attributes:
        instance: What has its queue and table.
    """

    id: str
    tier: str
    instance: str


GLOBEX: Final = Tenant("globex", "basic", POOL.id)
INITECH: Final = Tenant("initech", "advanced", "initech")
ACME: Final = Tenant("acme", "premium", "acme")
TENANTS: Final = (GLOBEX, INITECH, ACME)


@dataclass(frozen=True, slots=True)
class Routes:
    """How tenants' clients come in: as the Ingresses say, at pods that are Ready.

    A stand-in of load balancers and of the names that lead to them: the host of a tenant leads to
    the Ingress that names it, what that has no service for to the pool's. By a connection to the
    API server of each call's own: clients are threads.
    """

    cluster: Cluster
    aws: Aws
    _known: dict[tuple[str, str], tuple[float, list[str]]] = field(default_factory=dict)

    def send(self, tenant: Tenant, payload: Any, key: str = "") -> dict[str, Any]:
        """A message of the tenant's, with an idempotency key; what the producer answers."""
        message = {"type": "order.placed", "payload": payload}
        found: dict[str, Any] = self._ask(tenant, "producer", "/messages", message, key)
        return found

    def read(self, tenant: Tenant, message_id: str) -> dict[str, Any] | None:
        """A message of the tenant's that is stored; None while it is not."""
        try:
            found: dict[str, Any] = self._ask(tenant, "consumer", f"/messages/{message_id}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return found

    def stored(self, tenant: Tenant) -> dict[str, Any]:
        """All items of a tenant in its table, by message id, past the gate."""
        pages = (
            self.aws.clients["dynamodb"]
            .get_paginator("query")
            .paginate(
                TableName=self.table(tenant),
                KeyConditionExpression="tenant_id = :tenant",
                ExpressionAttributeValues={":tenant": {"S": tenant.id}},
            )
        )
        return {item["message_id"]["S"]: item for page in pages for item in page["Items"]}

    def table(self, tenant: Tenant) -> str:
        """Where its placement says that its messages are."""
        key = {"tenant_id": {"S": tenant.id}}
        found = self.aws.clients["dynamodb"].get_item(TableName="dev-tenants", Key=key)
        return str(found["Item"]["table_name"]["S"])

    def _ask(
        self, tenant: Tenant, service: str, path: str, body: Any = None, key: str = ""
    ) -> Any:
        request = urllib.request.Request(
            f"http://{random.choice(self._targets(tenant, service))}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.aws.issuer.token(tenant.id)}",
                "Content-Type": "application/json",
                **({"Idempotency-Key": key} if key else {}),
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def _targets(self, tenant: Tenant, service: str) -> list[str]:
        """Addresses of a Service's pods that are Ready.

        Raises:
            ConnectionRefusedError: There is none: a load balancer answers 503.
        """
        seen, found = self._known.get((tenant.id, service), (0.0, []))
        if found and time.monotonic() - seen < _LAG_SECONDS:
            return found
        with self.cluster.beside() as api:
            listed = api.list("networking.k8s.io/v1", "Ingress")
            namespace = _leads_to(listed.body["items"], tenant, service)
            listed = api.list("discovery.k8s.io/v1", "EndpointSlice", namespace)
        found = [
            f"{address}:{port['port']}"
            for each in listed.body["items"]
            if each["metadata"]["labels"].get("kubernetes.io/service-name") == service
            for port in each.get("ports") or ()
            if port["name"] == "http"
            for one in each.get("endpoints") or ()
            if one.get("conditions", {}).get("ready")
            for address in one["addresses"]
        ]
        if not found:
            raise ConnectionRefusedError(f"no pod of {namespace}/{service} is Ready")
        self._known[tenant.id, service] = time.monotonic(), found
        return found


def _leads_to(ingresses: Sequence[Object], tenant: Tenant, service: str) -> str:
    """The namespace of the service that a tenant's requests come to."""
    for each in ingresses:
        for rule in each["spec"]["rules"]:
            names = {path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
            if rule.get("host") == f"{tenant.id}.{DOMAIN}" and service in names:
                return str(each["metadata"]["namespace"])
    return POOL.id  # its Ingress has no host, and takes all others
