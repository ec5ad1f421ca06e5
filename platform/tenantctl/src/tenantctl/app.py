"""The composition root: a context becomes a `Control`. It alone knows the adapters."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession

from tenantctl.ages import Ages
from tenantctl.check import Bounds
from tenantctl.contexts import AwsSection, Context, LaptopSection
from tenantctl.control import Control, Timing
from tenantctl.cost import Measured
from tenantctl.costsources import Period, Sources, measure
from tenantctl.errors import InvalidError
from tenantctl.fleet import Fleet, Remote, may_change
from tenantctl.gitea import Gitea, repository_of
from tenantctl.inventory import Inventory
from tenantctl.laptop import LaptopCluster
from tenantctl.outcomes import Outcome, emit
from tenantctl.places import ExportPlace, place_of
from tenantctl.ports import Cluster, Observer
from tenantctl.queues import Queues
from tenantctl.registry import Placements
from tenantctl.smoke import Smoke
from tenantctl.states import StateSecrets, Versions
from tenantctl.states_versions import BucketVersions
from tenantctl.tables import Tables
from tenantctl.tenants import PullRequests, Tenants
from tenantry import names

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sqs import SQSClient

_S3: Final = "s3://"
#: As false as it looks: an engine on this machine takes any.
_LOCAL_KEY: Final = "local"
_NOTHING_OF_THE_USERS: Final[dict[str, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@dataclass(frozen=True, slots=True)
class App:
    """An environment that is open."""

    name: str
    context: Context
    fleet: Fleet
    control: Control
    smoke: Smoke
    sessions: AsyncExitStack

    def pull_requests(self) -> PullRequests:
        """Where changes of the fleet are proposed.

        Raises:
            InvalidError: The context does not say.
        """
        found = _pull_requests(self.context)
        if found is None:
            raise InvalidError(
                "a pull request needs a Git server with Gitea's API: name its address as "
                "fleet.gitea in the context"
            )
        return found

    async def export_place(self, tenant_id: str, wanted: str | None) -> ExportPlace:
        """Where the export of a tenant goes: a folder or bucket of its own.

        Raises:
            InvalidError: It is no place.
        """
        return await self._place(f"{(wanted or self.context.exports).rstrip('/')}/{tenant_id}")

    async def states(self, wanted: str | None = None) -> tuple[StateSecrets, ExportPlace]:
        """Tenants' Terraform states in the cluster, and where their copies are.

        Raises:
            InvalidError: The context names no place, or no cluster of Kubernetes.
        """
        cluster, target = self.context.cluster, wanted or self.context.states
        if isinstance(cluster, LaptopSection) or target is None:
            raise InvalidError(f"the context {self.name} keeps no copies of states: `states = …`")
        # Not at the top, as below.
        from tenantctl.flux import api_client  # noqa: PLC0415
        from tenantctl.states_cluster import StatesInCluster  # noqa: PLC0415

        api = await self.sessions.enter_async_context(
            api_client(cluster.kubeconfig, cluster.context)
        )
        return StatesInCluster(api), await self._place(target)

    async def state_versions(self, wanted: str | None = None) -> Versions:
        """Copies of tenants' Terraform states as they were once.

        Raises:
            InvalidError: The context names no place, or one that keeps the latest only.
        """
        target = wanted or self.context.states or ""
        bucket, _, prefix = target.removeprefix(_S3).partition("/")
        if not target.startswith(_S3) or not bucket:
            raise InvalidError(f"{target or self.name}: no bucket, which alone keeps versions")
        s3 = await self.sessions.enter_async_context(_client("s3", self.context.aws))
        return BucketVersions(s3, bucket, prefix)

    async def _place(self, target: str) -> ExportPlace:
        if not target.startswith(_S3):
            return place_of(target)
        s3 = await self.sessions.enter_async_context(_client("s3", self.context.aws))
        return place_of(target, s3)

    async def measure(
        self, period: Period, opencost: str | None, prometheus: str | None
    ) -> Measured:
        """What was used in a period.

        Raises:
            GitError: Nobody knows who lives here: the fleet cannot be read.
            UnavailableError: CloudWatch or DynamoDB do not answer, or deny.
        """
        census = await self.control.tenants.census()
        enter = self.sessions.enter_async_context
        sources = Sources(
            http=await enter(httpx.AsyncClient(trust_env=False)),
            metrics=await enter(_client("cloudwatch", self.context.aws)),
            tables=await enter(_client("dynamodb", self.context.aws)),
            opencost=opencost or self.context.costs.opencost,
            prometheus=prometheus or self.context.costs.prometheus,
        )
        known = {*census.tenants, *census.pools}
        return await measure(sources, self.context.environment, period, known)

    async def tell(self, outcome: Outcome) -> bool:
        """Tell the environment's bus what came of a request; whether there is a bus.

        Raises:
            UnavailableError: It does not answer, or denies.
        """
        if self.context.bus is None:
            return False
        async with _client("events", self.context.aws) as client:
            await emit(client, self.context.bus, outcome)
        return True


@asynccontextmanager
async def opened(name: str, context: Context, observer: Observer) -> AsyncGenerator[App, None]:
    """Everything that the verbs need of an environment, until the block ends.

    Raises:
        ControlError: The context cannot be used, and why.
    """
    async with AsyncExitStack() as stack:
        sqs: SQSClient = await stack.enter_async_context(_client("sqs", context.aws))
        dynamodb: DynamoDBClient = await stack.enter_async_context(
            _client("dynamodb", context.aws)
        )
        bounds = Bounds(**context.bounds.model_dump())
        fleet = Fleet(
            Remote(
                url=context.fleet.url,
                branch=context.fleet.branch,
                credentials=context.fleet.credentials,
                author=context.fleet.author,
            ),
            may_change=may_change(context.environment),
            cache=context.fleet.cache,
        )
        control = Control(
            environment=context.environment,
            tenants=Tenants(fleet, context.environment, bounds, _pull_requests(context)),
            registry=Placements(
                dynamodb,
                context.registry_table or names.registry_table_name(context.environment),
            ),
            cluster=await _cluster(stack, context),
            # An engine on this machine is one: what a short poll does not see is not there.
            queues=Queues(sqs, wait_seconds=0) if context.aws.is_local else Queues(sqs),
            tables=Tables(dynamodb),
            inventory=Inventory(sqs, dynamodb),
            ages=await _ages(stack, context.aws),
            bounds=bounds,
            timing=Timing(**context.timing.model_dump()),
            observer=observer,
        )
        routes = context.routes
        smoke = Smoke(url=routes.url, domain=routes.domain, tokens=routes.tokens)
        yield App(name, context, fleet, control, smoke, stack)


def _pull_requests(context: Context) -> PullRequests | None:
    fleet = context.fleet
    if fleet.gitea is None:
        return None
    return Gitea(
        fleet.gitea, repository_of(fleet.url), base=fleet.branch, credentials=fleet.credentials
    )


async def _cluster(stack: AsyncExitStack, context: Context) -> Cluster:
    if isinstance(context.cluster, LaptopSection):
        return LaptopCluster(context.cluster.state)
    # Not at the top: it takes half a second, which the laptop's commands need not wait for.
    from tenantctl.flux import connected  # noqa: PLC0415

    return await stack.enter_async_context(
        connected(context.cluster.kubeconfig, context.cluster.context)
    )


async def _ages(stack: AsyncExitStack, aws: AwsSection) -> Ages | None:
    if aws.is_local:
        return None  # no engine on this machine measures any
    return Ages(await stack.enter_async_context(_client("cloudwatch", aws)))


def _client(service: Any, aws: AwsSection) -> Any:
    settings: dict[str, Any] = {
        "region_name": aws.region,
        "endpoint_url": aws.endpoint_url,
        "config": AioConfig(
            connect_timeout=5,
            read_timeout=30,
            retries={"mode": "standard", "total_max_attempts": 5},
            # None on this machine, where the default is the environment's.
            proxies={} if aws.is_local else None,
        ),
    }
    if not aws.is_local:
        return AioSession().create_client(service, **settings)
    return AioSession(_NOTHING_OF_THE_USERS).create_client(
        service,
        aws_access_key_id=_LOCAL_KEY,
        aws_secret_access_key=_LOCAL_KEY,
        **settings,
    )
