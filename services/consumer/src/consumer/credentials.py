"""Credentials for reads in a pool: limited to one tenant's partition, and chosen at signing.

There is one DynamoDB client. Each read says for which tenant it is; the client then signs with
a session of the reader role that is tagged with that tenant. Where no session can be had the
read fails: this process's own role could read every partition, so it never stands in.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import structlog
from aiobotocore.credentials import AioCredentials
from botocore.exceptions import BotoCoreError, ClientError

from tenantry.errors import StoreUnavailableError
from tenantry.limits import CHAINED_ROLE_SECONDS
from tenantry.outcomes import outcome_of
from tenantry.tenant_id import TenantId

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient
    from types_aiobotocore_sts import STSClient

log = structlog.get_logger()

#: Age at which a session is renewed, in seconds (45 min), less up to a tenth.
RENEW_SECONDS: Final = 2_700.0
#: Until a renewal that failed is tried again, in seconds.
RETRY_SECONDS: Final = 5.0
#: Before its end a session is not used any more, in seconds.
MARGIN_SECONDS: Final = 60.0
SESSIONS: Final = 1_000

_current: ContextVar[AioCredentials | None] = ContextVar("reader_credentials", default=None)


@dataclass(frozen=True, slots=True)
class _Session:
    credentials: AioCredentials
    renew_at: float
    ends_at: float


class ReaderSessions:
    """Sessions of the reader role, one a tenant; `count` is told each call and its outcome."""

    def __init__(
        self,
        sts: STSClient,
        role_arn: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        count: Callable[[str, str], object] = lambda *_: None,
    ) -> None:
        self._sts = sts
        self._count = count
        self._role_arn = role_arn
        self._clock = clock
        self._sessions: OrderedDict[TenantId, _Session] = OrderedDict()
        self._renewals: dict[TenantId, asyncio.Task[_Session]] = {}

    async def of(self, tenant_id: TenantId) -> AioCredentials:
        """Credentials that open this tenant's partition and no other.

        Raises:
            StoreUnavailableError: None can be had, and none are left from before.
        """
        session = self._sessions.get(tenant_id)
        now = self._clock()
        if session is not None and now < session.ends_at:
            self._sessions.move_to_end(tenant_id)
            if now >= session.renew_at:
                # Nobody waits for it: this session is good for a while yet.
                self._sessions[tenant_id] = replace(session, renew_at=now + RETRY_SECONDS)
                self._start(tenant_id)
            return session.credentials
        try:
            return (await asyncio.shield(self._start(tenant_id))).credentials
        except (BotoCoreError, ClientError) as error:
            msg = "the tenant's messages cannot be read now"
            raise StoreUnavailableError(msg) from error

    def _start(self, tenant_id: TenantId) -> asyncio.Task[_Session]:
        renewal = self._renewals.get(tenant_id)
        if renewal is None:
            renewal = asyncio.create_task(self._assume(tenant_id), name="sts.assume_role")
            self._renewals[tenant_id] = renewal
            renewal.add_done_callback(lambda done: self._ended(tenant_id, done))
        return renewal

    def _ended(self, tenant_id: TenantId, renewal: asyncio.Task[_Session]) -> None:
        del self._renewals[tenant_id]
        if not renewal.cancelled():
            renewal.exception()  # seen, also when every waiter left

    async def _assume(self, tenant_id: TenantId) -> _Session:
        asked_at = self._clock()
        try:
            answer = await self._sts.assume_role(
                RoleArn=self._role_arn,
                RoleSessionName=tenant_id,
                DurationSeconds=CHAINED_ROLE_SECONDS,
                Tags=[{"Key": "tenant", "Value": tenant_id}],
            )
        except (BotoCoreError, ClientError) as error:
            self._count("assume_role", outcome_of(error))
            log.warning("reader_session.failed", tenant_id=tenant_id, error=repr(error))
            raise
        self._count("assume_role", "ok")
        made = answer["Credentials"]
        session = _Session(
            AioCredentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"]),
            renew_at=asked_at + RENEW_SECONDS * random.uniform(0.9, 1),  # noqa: S311 - jitter
            ends_at=asked_at + CHAINED_ROLE_SECONDS - MARGIN_SECONDS,
        )
        self._sessions[tenant_id] = session
        self._sessions.move_to_end(tenant_id)
        if len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        return session


@contextmanager
def signing_with(credentials: AioCredentials) -> Generator[None, None, None]:
    """Calls in this block are signed with these credentials, if the client asks `sign_each`."""
    token = _current.set(credentials)
    try:
        yield
    finally:
        _current.reset(token)


def sign_each(client: DynamoDBClient) -> None:
    """From now on the client signs with what `signing_with` says, or not at all."""

    def choose(context: dict[str, Any], **_: object) -> None:
        credentials = _current.get()
        if credentials is None:
            msg = "a read without the tenant's own credentials"
            raise StoreUnavailableError(msg)
        context.setdefault("signing", {})["request_credentials"] = credentials

    client.meta.events.register("before-parameter-build.dynamodb", choose)
