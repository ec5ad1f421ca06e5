"""The producer's application with fakes behind its ports, and a client of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry import trace
from prometheus_client import CollectorRegistry
from starlette.types import Receive

from fakes.asgi import Answer, call
from fakes.clock import Clock
from fakes.issuer import AUDIENCE, ISSUER, bearer, public_jwk, token
from fakes.publisher import FakePublisher
from fakes.registry import MemoryRegistry, a_placement
from producer.api import Api
from producer.app import create_app
from producer.limiter import RateLimiter
from producer.settings import Settings
from tenantry.jwks import KeySet
from tenantry.metrics import ProducerMetrics
from tenantry.registry import PlacementCache
from tenantry.tenancy import TokenIdentity

JSON = (b"content-type", b"application/json")


def a_submission(**changes: Any) -> dict[str, Any]:
    """A good message, as a client sends it, changed."""
    return {"type": "order.created", "payload": {"order": 1}} | changes


class ProducerApp:
    """A pool's producer that knows acme. Tokens, placements, limits and routes are the real ones.

    Attributes:
        clock: The time of the limiter and of the cache of placements.
    """

    def __init__(
        self,
        keys: Path,
        *,
        tracer: trace.Tracer | None = None,
        **settings: Any,
    ) -> None:
        """Keys is where the JWKS is written; settings are those that differ from the pool's."""
        keys.write_text(json.dumps({"keys": [public_jwk("key-1")]}))
        self.keys = keys
        self.clock = Clock()
        self.registry = MemoryRegistry(a_placement())
        self.publisher = FakePublisher()
        self._metrics = CollectorRegistry()
        values: dict[str, Any] = {
            "environment": "dev",
            "instance": "pool-1",
            "tier": "basic",
            "registry_table": "dev-tenants",
            "jwks": str(keys),
            "jwt_issuer": ISSUER,
            "jwt_audience": AUDIENCE,
            "version": "1.2.3",
        }
        self.settings = Settings(**(values | settings))
        self.placements = PlacementCache(self.registry, max_age_seconds=300, clock=self.clock)
        self.app = create_app(
            Api(
                self.settings,
                TokenIdentity(
                    KeySet(str(keys)),
                    issuer=ISSUER,
                    audience=AUDIENCE,
                    algorithms=("RS256",),
                    claim="tenant_id",
                ),
                self.placements,
                self.publisher,
                RateLimiter(self.clock),
                ProducerMetrics(self._metrics),
                tracer,
            )
        )

    def place(self, **changes: Any) -> None:
        """Change the tenant's placement; what is cached stays until it is asked for anew."""
        placement = a_placement(**changes)
        self.registry.placements[placement.tenant_id] = placement

    def metric(self, name: str, **labels: str) -> float:
        """A sample's value; 0 where there is none."""
        return self._metrics.get_sample_value(name, labels) or 0.0

    async def post(
        self,
        path: str = "/messages",
        body: object = None,
        *headers: tuple[bytes, bytes],
        tenant: str = "acme",
        only: Sequence[tuple[bytes, bytes]] | None = None,
        receive: Receive | None = None,
    ) -> Answer:
        """POST bytes as they are, or anything else as JSON (a good message if there is none).

        `headers` come with a good token and content type; `only` comes without.
        """
        if body is None:
            body = a_submission() if path == "/messages" else {"messages": [a_submission()]}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = bearer(token(tenant_id=tenant), JSON, *headers) if only is None else only
        return await call(self.app, path, method="POST", headers=sent, body=raw, receive=receive)
