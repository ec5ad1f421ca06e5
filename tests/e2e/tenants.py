"""Whom the story is about, and how their messages go."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any, Final

from e2e.aws import Aws
from support.cluster import Cluster
from tenantctl.model import Home, Instance

POOL: Final = Instance(id="pool-1", kind="pool", home=Home("basic", "pool-1"), ring="r0")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant, and where its services and its items are.

    Attributes:
        producer: The namespace of what it sends to.
        consumer: The namespace of what stores its messages, and reads them.
        table: Where they are.
    """

    id: str
    tier: str
    producer: str
    consumer: str

    @property
    def table(self) -> str:
        """Where its items are."""
        return f"dev-{self.consumer}-messages"


GLOBEX: Final = Tenant("globex", "basic", "pool-1", "pool-1")
INITECH: Final = Tenant("initech", "advanced", "pool-1", "initech")
ACME: Final = Tenant("acme", "premium", "acme", "acme")
TENANTS: Final = (GLOBEX, INITECH, ACME)


@dataclass(frozen=True, slots=True)
class Routes:
    """How tenants' clients come in: at pods that are Ready, as a load balancer sends to them.

    By a connection to the API server of each call's own: clients are threads.
    """

    cluster: Cluster
    aws: Aws

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
                TableName=tenant.table,
                KeyConditionExpression="tenant_id = :tenant",
                ExpressionAttributeValues={":tenant": {"S": tenant.id}},
            )
        )
        return {item["message_id"]["S"]: item for page in pages for item in page["Items"]}

    def _ask(
        self, tenant: Tenant, service: str, path: str, body: Any = None, key: str = ""
    ) -> Any:
        namespace = tenant.producer if service == "producer" else tenant.consumer
        request = urllib.request.Request(
            f"http://{random.choice(self._targets(namespace, service))}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.aws.issuer.token(tenant.id)}",
                "Content-Type": "application/json",
                **({"Idempotency-Key": key} if key else {}),
            },
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def _targets(self, namespace: str, service: str) -> list[str]:
        """Addresses of a Service's pods that are Ready.

        Raises:
            ConnectionRefusedError: There is none: a load balancer answers 503.
        """
        with self.cluster.beside() as api:
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
        return found
