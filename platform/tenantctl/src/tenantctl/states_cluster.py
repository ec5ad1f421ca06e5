"""Tenants' Terraform states in a cluster: Secrets of `tenant-infra`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from kubernetes_asyncio.client import ApiClient, CoordinationV1Api, CoreV1Api, CustomObjectsApi

from tenantctl.flux import INFRA, TERRAFORMS, asked, or_none
from tenantctl.states import State

#: What Terraform's backend puts on its Secrets.
_LABEL: Final = "tfstate=true"
_PAGE: Final = 100
_SECONDS: Final = 30


class StatesInCluster:
    """The port `StateSecrets` on a Kubernetes API server."""

    def __init__(self, api: ApiClient) -> None:
        self._core = CoreV1Api(api)
        self._custom = CustomObjectsApi(api)
        self._leases = CoordinationV1Api(api)

    async def all(self) -> list[State]:
        found: list[State] = []
        more = ""
        while True:
            page = await asked(self._page(more), f"Secrets of {INFRA}")
            found += [_state(each) for each in page.items]
            more = page.metadata._continue or ""  # noqa: SLF001 - the client's name for it
            if not more:
                return found

    async def get(self, name: str) -> State | None:
        found = await or_none(
            lambda: self._core.read_namespaced_secret(name, INFRA, _request_timeout=_SECONDS),
            f"Secret {INFRA}/{name}",
        )
        return None if found is None else _state(found)

    async def put(self, state: State, *, over: bool) -> None:
        body: Any = {
            "metadata": {
                "name": state.name,
                "namespace": INFRA,
                "labels": dict(state.labels),
                "annotations": dict(state.annotations),
            },
            "type": state.type,
            "data": dict(state.data),
        }
        if over:
            await asked(
                lambda: self._core.replace_namespaced_secret(
                    state.name, INFRA, body, _request_timeout=_SECONDS
                ),
                f"Secret {INFRA}/{state.name}",
            )
        else:
            await asked(
                lambda: self._core.create_namespaced_secret(
                    INFRA, body, _request_timeout=_SECONDS
                ),
                f"Secret {INFRA}/{state.name}",
            )

    async def is_at_work(self, instance_id: str) -> bool:
        found: Any = await or_none(
            lambda: self._custom.get_namespaced_custom_object(
                *TERRAFORMS, instance_id, _request_timeout=_SECONDS
            ),
            f"Terraform {INFRA}/{instance_id}",
        )
        return found is not None and not found["spec"].get("suspend")

    async def is_locked(self, name: str) -> bool:
        lease = f"lock-{name}"
        found: Any = await or_none(
            lambda: self._leases.read_namespaced_lease(lease, INFRA, _request_timeout=_SECONDS),
            f"Lease {INFRA}/{lease}",
        )
        return found is not None and bool(found.spec and found.spec.holder_identity)

    def _page(self, more: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._core.list_namespaced_secret(
            INFRA,
            label_selector=_LABEL,
            limit=_PAGE,
            _continue=more,
            _request_timeout=_SECONDS,
        )


def _state(secret: Any) -> State:
    metadata = secret.metadata
    return State(
        name=metadata.name,
        labels=metadata.labels or {},
        annotations=metadata.annotations or {},
        type=secret.type,
        data=secret.data or {},
    )
