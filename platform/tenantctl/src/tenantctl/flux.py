"""The cluster that follows the fleet: what Flux and the tofu-controller say of an instance.

HelmReleases are in `tenants`, Terraform objects and their Secrets in `tenant-infra`, workloads in
a namespace of the instance's name. All that is written is the request to look at Git now, and all
that is deleted is what the tofu-controller forgets.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from aiohttp import ClientError
from kubernetes_asyncio import config
from kubernetes_asyncio.client import (
    ApiClient,
    Configuration,
    CoordinationV1Api,
    CoreV1Api,
    CustomObjectsApi,
)
from kubernetes_asyncio.client.exceptions import ApiException

from tenantctl.errors import InvalidError, UnavailableError
from tenantctl.files import STATUS_ANNOTATION, SUSPENDED
from tenantctl.model import Instance
from tenantctl.ports import Applied, Outputs
from tenantctl.states import is_empty_state, state_name

TENANTS: Final = "tenants"
#: What the chart labels a namespace with.
_OURS: Final = "app.kubernetes.io/name=tenantry,app.kubernetes.io/component=namespace"
INFRA: Final = "tenant-infra"
_RELEASES: Final = ("helm.toolkit.fluxcd.io", "v2", TENANTS, "helmreleases")
TERRAFORMS: Final = ("infra.contrib.fluxcd.io", "v1alpha2", INFRA, "terraforms")
#: The fleet's own source, which Flux looks at when its annotation changes.
_SOURCE: Final = (
    "source.toolkit.fluxcd.io",
    "v1",
    "flux-system",
    "gitrepositories",
    "flux-system",
)
_REQUESTED: Final = "reconcile.fluxcd.io/requestedAt"
#: The client's stubs do not know that it takes this.
_MERGE: Final[dict[str, Any]] = {"_content_type": "application/merge-patch+json"}
_SECONDS: Final = 30
_PAGE: Final = 500
_NOT_FOUND: Final = 404
_UNAUTHORIZED: Final = 401
_DENIED: Final = frozenset({_UNAUTHORIZED, 403})
#: How long one failure has to stand until it counts as given up, in seconds: controllers try
#: again, and most of what fails passes. What is stalled they do not try again.
GIVEN_UP_SECONDS: Final = 600.0
#: The tofu-controller says that it works whenever it tries again, so that no failure of it stands
#: long: it has given up after so many in a row.
_FAILURES: Final = 3

_T = TypeVar("_T")
Object = Mapping[str, Any]


@asynccontextmanager
async def connected(
    kubeconfig: Path | None, context: str | None
) -> AsyncGenerator[FluxCluster, None]:
    """The cluster of a kubeconfig, or the one in which this runs.

    Raises:
        InvalidError: The kubeconfig is none, or has no such context.
    """
    async with api_client(kubeconfig, context) as api:
        yield FluxCluster(api)


@asynccontextmanager
async def api_client(
    kubeconfig: Path | None, context: str | None
) -> AsyncGenerator[ApiClient, None]:
    """The API server of a kubeconfig, or of the cluster in which this runs.

    Raises:
        InvalidError: The kubeconfig is none, or has no such context.
    """
    settings = Configuration()
    try:
        if kubeconfig is None and context is None and _is_in_a_pod():
            config.load_incluster_config(client_configuration=settings)  # type: ignore[no-untyped-call]
        else:
            await config.load_kube_config(
                config_file=None if kubeconfig is None else str(kubeconfig),
                context=context,
                client_configuration=settings,
            )
        client = ApiClient(settings)  # it reads certificate and key, which may be no pair
    except (config.ConfigException, OSError) as error:
        raise InvalidError(f"the cluster cannot be reached: {error}") from error
    async with client as api:
        yield api


def _is_in_a_pod() -> bool:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


class FluxCluster:
    """The port `Cluster` on a Kubernetes API server."""

    def __init__(self, api: ApiClient, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._core = CoreV1Api(api)
        self._custom = CustomObjectsApi(api)
        self._leases = CoordinationV1Api(api)

    async def applied(self, instance_id: str) -> Applied:
        release = await self._get(_RELEASES, instance_id)
        terraform = await self._get(TERRAFORMS, instance_id)
        outputs = None if terraform is None else await self._outputs(instance_id)
        return applied_of(release, terraform, outputs, now=self._clock())

    async def instances(self) -> dict[str, Applied]:
        """Without outputs: who needs those asks for one instance."""
        releases = await self._list(_RELEASES)
        terraforms = await self._list(TERRAFORMS)
        return {
            name: applied_of(release, terraforms.get(name), None, now=self._clock())
            for name, release in releases.items()
        }

    async def strays(self) -> dict[str, tuple[str, ...]]:
        # Releases last: who comes meanwhile has one before it has anything else.
        terraforms = await self._list(TERRAFORMS)
        namespaces = await self._namespaces()
        releases = await self._list(_RELEASES)
        found: dict[str, list[str]] = {}
        for name in sorted(terraforms.keys() - releases.keys()):
            found.setdefault(name, []).append(f"Terraform {INFRA}/{name}")
        for name in sorted(namespaces - releases.keys()):
            found.setdefault(name, []).append(f"Namespace {name}")
        return {name: tuple(what) for name, what in found.items()}

    async def _namespaces(self) -> frozenset[str]:
        """Those that the chart made, by its labels."""
        found: set[str] = set()
        more = ""
        while True:
            page = await asked(self._page_of_namespaces(more), "namespaces")
            found.update(one.metadata.name for one in page.items)
            if not (more := page.metadata._continue or ""):  # noqa: SLF001 - what the client calls it
                return frozenset(found)

    def _page_of_namespaces(self, more: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._core.list_namespace(
            label_selector=_OURS, limit=_PAGE, _continue=more, _request_timeout=_SECONDS
        )

    async def remains(self, instance_id: str) -> tuple[str, ...]:
        left = []
        for kind, found in (
            (f"HelmRelease {TENANTS}", await self._get(_RELEASES, instance_id)),
            (f"Terraform {INFRA}", await self._get(TERRAFORMS, instance_id)),
        ):
            if found is not None:
                left.append(f"{kind}/{instance_id}")
        asked: tuple[tuple[str, Callable[[], Awaitable[Any]]], ...] = (
            (
                f"Namespace {instance_id}",
                lambda: self._core.read_namespace(instance_id, _request_timeout=_SECONDS),
            ),
            (
                f"ConfigMap {TENANTS}/tenant-{instance_id}",
                lambda: self._core.read_namespaced_config_map(
                    f"tenant-{instance_id}", TENANTS, _request_timeout=_SECONDS
                ),
            ),
            *(
                (f"Secret {INFRA}/{name}", self._secret_reader(name))
                for name in (
                    f"{instance_id}-outputs",
                    state_name(instance_id),
                    f"tfplan-default-{instance_id}",
                )
            ),
        )
        for what, ask in asked:
            if await or_none(ask, what) is not None:
                left.append(what)
        return tuple(left)

    async def sweep(self, instance_id: str) -> None:
        """The tofu-controller leaves an empty state and the Lease that locked it.

        A state that still names a resource stays: somebody has to look at that.
        """
        if await self._get(TERRAFORMS, instance_id) is not None:
            return
        name = state_name(instance_id)
        secret = await or_none(self._secret_reader(name), f"Secret {INFRA}/{name}")
        if secret is not None:
            if not is_empty_state((secret.data or {}).get("tfstate", "")):
                return
            await or_none(
                lambda: self._core.delete_namespaced_secret(
                    name, INFRA, _request_timeout=_SECONDS
                ),
                f"Secret {INFRA}/{name}",
            )
        await or_none(
            lambda: self._leases.delete_namespaced_lease(
                f"lock-{name}", INFRA, _request_timeout=_SECONDS
            ),
            f"Lease {INFRA}/lock-{name}",
        )

    async def nudge(self) -> None:
        moment = datetime.now(UTC).isoformat()
        try:
            await self._custom.patch_namespaced_custom_object(
                *_SOURCE,
                {"metadata": {"annotations": {_REQUESTED: moment}}},
                _request_timeout=_SECONDS,
                **_MERGE,
            )
        except (ApiException, ClientError, TimeoutError):
            return  # it looks by itself, only later

    def _secret_reader(self, name: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._core.read_namespaced_secret(name, INFRA, _request_timeout=_SECONDS)

    async def _outputs(self, instance_id: str) -> Outputs | None:
        name = f"{instance_id}-outputs"
        secret = await or_none(self._secret_reader(name), f"Secret {INFRA}/{name}")
        data = {} if secret is None else secret.data or {}
        try:
            return Outputs(
                **{
                    key: base64.b64decode(data[key]).decode()
                    for key in ("queue_url", "dead_letter_queue_url", "table_name")
                }
            )
        except (KeyError, ValueError):
            return None  # not written yet, or not whole

    async def _get(self, where: tuple[str, str, str, str], name: str) -> Object | None:
        found: Object | None = await or_none(
            lambda: self._custom.get_namespaced_custom_object(
                *where, name, _request_timeout=_SECONDS
            ),
            f"{where[3]} {where[2]}/{name}",
        )
        return found

    async def _list(self, where: tuple[str, str, str, str]) -> dict[str, Object]:
        found: dict[str, Object] = {}
        more = ""
        while True:
            page = await asked(self._page(where, more), f"{where[3]} of {where[2]}")
            found |= {one["metadata"]["name"]: one for one in page["items"]}
            more = page["metadata"].get("continue", "")
            if not more:
                return found

    def _page(self, where: tuple[str, str, str, str], more: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._custom.list_namespaced_custom_object(
            *where, limit=_PAGE, _continue=more, _request_timeout=_SECONDS
        )


def applied_of(
    release: Object | None, terraform: Object | None, outputs: Outputs | None, *, now: float
) -> Applied:
    """How far an instance is, by its two objects and what its Terraform made.

    `now`, in epoch seconds, tells how long a failure has stood.
    """
    if release is None:
        return Applied()
    status = release.get("status", {})
    generation = release["metadata"].get("generation")
    # What stands in the object is in force once Helm was asked for it.
    is_taken = status.get("lastAttemptedGeneration") == generation
    instance, why = _instance_of(release)
    detail, has_failed = _trouble(release, "its release", now) if is_taken else ("", False)
    if not is_taken and not why:
        why = _trouble(release, "its release", now)[0] or "Helm to take up the release"
    if not detail and terraform is not None:
        detail, has_failed = _trouble(terraform, "its Terraform", now)
    detail = why or detail
    return Applied(
        exists=True,
        instance=instance if is_taken else None,
        is_ready=is_taken and instance is not None and not detail,
        has_failed=has_failed,
        is_suspended=any(
            one is not None and bool(one["spec"].get("suspend")) for one in (release, terraform)
        ),
        detail=detail,
        chart=_chart(status),
        outputs=outputs,
    )


def _instance_of(release: Object) -> tuple[Instance | None, str]:
    values = release["spec"].get("values", {}).get("instance", {})
    annotations = release["metadata"].get("annotations") or {}
    try:
        return Instance.of_values(
            values, is_suspended=annotations.get(STATUS_ANNOTATION) == SUSPENDED
        ), ""
    except InvalidError as error:
        return None, f"its release has values that are none: {error}"


def _trouble(thing: Object, what: str, now: float) -> tuple[str, bool]:
    """What an object waits for, empty when it is ready; and whether it gave up.

    A failure that was seen just now is none: it is tried again.
    """
    status = thing.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    ready = conditions.get("Ready", {})
    is_current = status.get("observedGeneration", 0) >= thing["metadata"].get("generation", 0)
    if ready.get("status") == "True" and is_current:
        return "", False
    reason = ready.get("reason", "")
    has_failed = (
        conditions.get("Stalled", {}).get("status") == "True"
        or (ready.get("status") == "False" and now - _since(ready, now) >= GIVEN_UP_SECONDS)
        or status.get("reconciliationFailures", 0) >= _FAILURES
    )
    message = " ".join(ready.get("message", "").split())[:300]
    return f"{what}: {message or reason or 'nothing is known of it yet'}", has_failed


def _since(condition: Object, now: float) -> float:
    """When a condition became what it is, in epoch seconds; now, where it does not say."""
    try:
        return datetime.fromisoformat(condition["lastTransitionTime"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return now


def _chart(status: Mapping[str, Any]) -> str:
    history = status.get("history") or [{}]
    newest = history[0]
    version = str(newest.get("chartVersion", "")).partition("+")[0]
    digest = newest.get("ociDigest", "")
    return f"{version}@{digest}" if version and digest else version


async def or_none(ask: Callable[[], Awaitable[_T]], what: str) -> _T | None:
    """An answer, or None where there is no such thing."""
    try:
        return await asked(ask, what)
    except _MissingError:
        return None


def _denied(error: ApiException, what: str) -> str:
    """What was refused, to whom, and what would be right."""
    said = _said(error)
    if error.status == _UNAUTHORIZED:
        return (
            f"{what}: the cluster does not know us ({said}): the kubeconfig's credentials, or "
            "the pod's token, are none or have ended"
        )
    return (
        f"{what}: the cluster denies it: {said}. Each verb's account and its rights "
        "are in platform/fleet/control-plane/base/accounts: run it with that one, or let a Role "
        "give this one the verb"
    )


def _said(error: ApiException) -> str:
    """The API server's own words: who may not do what, with which kind, where."""
    try:
        text = str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        text = str(error.reason or error.status)
    return " ".join(text.split())[:300]


class _MissingError(UnavailableError):
    pass


async def asked(ask: Callable[[], Awaitable[_T]], what: str) -> _T:
    """An answer; what went wrong in words that name what was asked for."""
    try:
        return await ask()
    except ApiException as error:
        if error.status == _NOT_FOUND:
            raise _MissingError(f"{what}: there is none") from None
        if error.status in _DENIED:
            raise UnavailableError(_denied(error, what)) from None
        raise UnavailableError(f"{what}: the cluster answered {error.status}") from None
    except (ClientError, TimeoutError, OSError) as error:
        raise UnavailableError(f"{what}: the cluster does not answer ({error!r})") from None
