"""The cluster that follows the fleet: what Flux and the tofu-controller say of an instance.

HelmReleases are in `tenants`, Terraform objects and their Secrets in `tenant-infra`, workloads in
a namespace of the instance's name. All that is written is the request to look at Git now, and all
that is deleted is what the tofu-controller forgets.
"""

from __future__ import annotations

import base64
import gzip
import json
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

TENANTS: Final = "tenants"
INFRA: Final = "tenant-infra"
_RELEASES: Final = ("helm.toolkit.fluxcd.io", "v2", TENANTS, "helmreleases")
_TERRAFORMS: Final = ("infra.contrib.fluxcd.io", "v1alpha2", INFRA, "terraforms")
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
_DENIED: Final = frozenset({401, 403})
#: Reasons by which Helm has given up what it was asked for, and went back where it could. What
#: keeps it from being asked (a chart that is not fetched, a dependency) passes by itself.
_GAVE_UP: Final = frozenset(
    {"InstallFailed", "UpgradeFailed", "TestFailed", "RollbackFailed", "RetriesExceeded"}
)
#: A plan or an apply is tried again, and mostly fails for what passes: so many times in a row it
#: does not.
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
    except (config.ConfigException, OSError) as error:
        raise InvalidError(f"the cluster cannot be reached: {error}") from error
    async with ApiClient(settings) as api:
        yield FluxCluster(api)


def _is_in_a_pod() -> bool:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


class FluxCluster:
    """The port `Cluster` on a Kubernetes API server."""

    def __init__(self, api: ApiClient) -> None:
        self._core = CoreV1Api(api)
        self._custom = CustomObjectsApi(api)
        self._leases = CoordinationV1Api(api)

    async def applied(self, instance_id: str) -> Applied:
        release = await self._get(_RELEASES, instance_id)
        terraform = await self._get(_TERRAFORMS, instance_id)
        outputs = None if terraform is None else await self._outputs(instance_id)
        return applied_of(release, terraform, outputs)

    async def instances(self) -> dict[str, Applied]:
        """Without outputs: who needs those asks for one instance."""
        releases = await self._list(_RELEASES)
        terraforms = await self._list(_TERRAFORMS)
        return {
            name: applied_of(release, terraforms.get(name), None)
            for name, release in releases.items()
        }

    async def strays(self) -> dict[str, str]:
        releases = await self._list(_RELEASES)
        terraforms = await self._list(_TERRAFORMS)
        return {name: f"Terraform {INFRA}/{name}" for name in terraforms.keys() - releases.keys()}

    async def remains(self, instance_id: str) -> tuple[str, ...]:
        left = []
        for kind, found in (
            (f"HelmRelease {TENANTS}", await self._get(_RELEASES, instance_id)),
            (f"Terraform {INFRA}", await self._get(_TERRAFORMS, instance_id)),
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
                    f"tfstate-default-{instance_id}",
                    f"tfplan-default-{instance_id}",
                )
            ),
        )
        for what, ask in asked:
            if await _or_none(ask, what) is not None:
                left.append(what)
        return tuple(left)

    async def sweep(self, instance_id: str) -> None:
        """The tofu-controller leaves an empty state and the Lease that locked it.

        A state that still names a resource stays: somebody has to look at that.
        """
        if await self._get(_TERRAFORMS, instance_id) is not None:
            return
        name = f"tfstate-default-{instance_id}"
        secret = await _or_none(self._secret_reader(name), f"Secret {INFRA}/{name}")
        if secret is not None:
            if not is_empty_state((secret.data or {}).get("tfstate", "")):
                return
            await _or_none(
                lambda: self._core.delete_namespaced_secret(
                    name, INFRA, _request_timeout=_SECONDS
                ),
                f"Secret {INFRA}/{name}",
            )
        await _or_none(
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
        secret = await _or_none(self._secret_reader(name), f"Secret {INFRA}/{name}")
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
        found: Object | None = await _or_none(
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
            page = await _asked(self._page(where, more), f"{where[3]} of {where[2]}")
            found |= {one["metadata"]["name"]: one for one in page["items"]}
            more = page["metadata"].get("continue", "")
            if not more:
                return found

    def _page(self, where: tuple[str, str, str, str], more: str) -> Callable[[], Awaitable[Any]]:
        return lambda: self._custom.list_namespaced_custom_object(
            *where, limit=_PAGE, _continue=more, _request_timeout=_SECONDS
        )


def applied_of(
    release: Object | None, terraform: Object | None, outputs: Outputs | None
) -> Applied:
    """How far an instance is, by its two objects and what its Terraform made."""
    if release is None:
        return Applied()
    status = release.get("status", {})
    generation = release["metadata"].get("generation")
    # What stands in the object is in force once Helm was asked for it.
    is_taken = status.get("lastAttemptedGeneration") == generation
    instance, why = _instance_of(release)
    detail, has_failed = _trouble(release, "its release") if is_taken else ("", False)
    if not is_taken and not why:
        why = _message(release) or "Helm to take up the release"
    if not detail and terraform is not None:
        detail, has_failed = _trouble(terraform, "its Terraform")
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


def is_empty_state(data: str) -> bool:
    """Whether a state, as its Secret has it (base64 of gzip of JSON), names no resource."""
    try:
        state = json.loads(gzip.decompress(base64.b64decode(data)))
        return not state["resources"]
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return False  # not understood, so not ours to delete


def _instance_of(release: Object) -> tuple[Instance | None, str]:
    values = release["spec"].get("values", {}).get("instance", {})
    annotations = release["metadata"].get("annotations") or {}
    try:
        return Instance.of_values(
            values, is_suspended=annotations.get(STATUS_ANNOTATION) == SUSPENDED
        ), ""
    except InvalidError as error:
        return None, f"its release has values that are none: {error}"


def _trouble(thing: Object, what: str) -> tuple[str, bool]:
    """What an object waits for, empty when it is ready; and whether it gave up."""
    status = thing.get("status", {})
    conditions = {one["type"]: one for one in status.get("conditions", ())}
    ready = conditions.get("Ready", {})
    is_current = status.get("observedGeneration", 0) >= thing["metadata"].get("generation", 0)
    if ready.get("status") == "True" and is_current:
        return "", False
    reason = ready.get("reason", "")
    has_failed = (
        conditions.get("Stalled", {}).get("status") == "True"
        or (ready.get("status") == "False" and reason in _GAVE_UP)
        or status.get("reconciliationFailures", 0) >= _FAILURES
    )
    message = " ".join(ready.get("message", "").split())[:300]
    return f"{what}: {message or reason or 'nothing is known of it yet'}", has_failed


def _message(thing: Object) -> str:
    detail, _ = _trouble(thing, "its release")
    return detail


def _chart(status: Mapping[str, Any]) -> str:
    history = status.get("history") or [{}]
    newest = history[0]
    version = str(newest.get("chartVersion", "")).partition("+")[0]
    digest = newest.get("ociDigest", "")
    return f"{version}@{digest}" if version and digest else version


async def _or_none(ask: Callable[[], Awaitable[_T]], what: str) -> _T | None:
    """An answer, or None where there is no such thing."""
    try:
        return await _asked(ask, what)
    except _MissingError:
        return None


def _said(error: ApiException) -> str:
    """The API server's own words: who may not do what, with which kind, where."""
    try:
        text = str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        text = str(error.reason or error.status)
    return " ".join(text.split())[:300]


class _MissingError(UnavailableError):
    pass


async def _asked(ask: Callable[[], Awaitable[_T]], what: str) -> _T:
    try:
        return await ask()
    except ApiException as error:
        if error.status == _NOT_FOUND:
            raise _MissingError(f"{what}: there is none") from None
        if error.status in _DENIED:
            raise UnavailableError(
                f"{what}: the cluster denies it: {_said(error)}. The account that tenantctl runs "
                "with has to be one that may (platform/fleet/control-plane/base/accounts)"
            ) from None
        raise UnavailableError(f"{what}: the cluster answered {error.status}") from None
    except (ClientError, TimeoutError, OSError) as error:
        raise UnavailableError(f"{what}: the cluster does not answer ({error!r})") from None
