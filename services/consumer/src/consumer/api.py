"""The consumer's routes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from consumer.reads import Reads
from consumer.settings import Settings
from tenantry.contract import StoredMessage
from tenantry.errors import StoreUnavailableError, TenantryError
from tenantry.limits import PAGE_MESSAGES
from tenantry.metrics import ConsumerMetrics
from tenantry.problems import INTERNAL, KINDS, problem_responses
from tenantry.tenancy import Identity

DEFAULT_PAGE = 20


class Stored(BaseModel):
    """A message that is stored."""

    tenant_id: str
    message_id: str = Field(description="A UUID.", json_schema_extra={"format": "uuid"})
    type: str
    payload: dict[str, Any] = Field(description="As it was sent: equal after parsing.")
    accepted_at: str = Field(
        description="RFC 3339, UTC.", json_schema_extra={"format": "date-time"}
    )
    stored_at: str = Field(description="RFC 3339, UTC.", json_schema_extra={"format": "date-time"})


class Messages(BaseModel):
    """A page of messages, ascending by id."""

    items: list[Stored]
    next_cursor: str | None = Field(description="For the next page; null on the last.")


class About(BaseModel):
    """Who served."""

    tenant_id: str | None = Field(description="Of the token; null without one.")
    environment: str
    version: str
    microservice: Literal["consumer"] = "consumer"
    pool: str | None = Field(description="The pool that serves; null where it is dedicated.")


@dataclass(frozen=True, slots=True)
class Api:
    """The routes and what they use."""

    settings: Settings
    identity: Identity
    reads: Reads
    metrics: ConsumerMetrics

    def router(self) -> APIRouter:
        """All routes."""
        router = APIRouter()
        secured: dict[str, Any] = {"security": [{"token": []}]}
        tenant_header = {
            "name": "tenantID",
            "in": "header",
            "description": "If sent, it must equal the token's tenant.",
            "schema": {"type": "string"},
        }
        router.add_api_route(
            "/messages/{message_id}",
            self._counted(self.get_message),
            response_model=Stored,
            operation_id="get_message",
            summary="Read one message",
            responses=problem_responses(400, 401, 403, 404, 503),
            openapi_extra=secured | {"parameters": [tenant_header]},
        )
        router.add_api_route(
            "/messages",
            self._counted(self.list_messages),
            response_model=Messages,
            operation_id="list_messages",
            summary="Read messages, ascending by id",
            responses=problem_responses(400, 401, 403, 503),
            openapi_extra=secured | {"parameters": [tenant_header]},
        )
        router.add_api_route(
            "/consumer",
            self.about,
            response_model=About,
            operation_id="get_consumer",
            summary="Who serves",
            responses=problem_responses(400, 401, 403, 503),
            openapi_extra={"security": [{}, {"token": []}], "parameters": [tenant_header]},
        )
        return router

    async def get_message(
        self, request: Request, message_id: Annotated[str, Path(description="A UUID.")]
    ) -> Response:
        """Consistent: what was stored before the request is found."""
        tenant = await self.identity.tenant(request.scope["headers"])
        stored = await self.reads.get(tenant, message_id)
        return Response(_json(stored), media_type="application/json")

    async def list_messages(
        self,
        request: Request,
        limit: Annotated[int, Query(ge=1, le=PAGE_MESSAGES)] = DEFAULT_PAGE,
        cursor: Annotated[
            str | None, Query(max_length=64, description="`next_cursor` of the page before.")
        ] = None,
    ) -> Response:
        """A page may be shorter than `limit` where messages are large; the cursor says."""
        tenant = await self.identity.tenant(request.scope["headers"])
        page = await self.reads.list(tenant, limit=limit, cursor=cursor)
        items = b",".join(_json(stored) for stored in page.items)
        body = b'{"items":[%s],"next_cursor":%s}' % (items, orjson.dumps(page.next_cursor))
        return Response(body, media_type="application/json")

    async def about(self, request: Request) -> About:
        """Who serves; the tenant is the token's, if there is one."""
        return About(
            tenant_id=await self.identity.tenant_if_any(request.scope["headers"]),
            environment=self.settings.environment,
            version=self.settings.version,
            pool=self.settings.pool,
        )

    def _counted(self, route: Callable[..., Awaitable[Response]]) -> Callable[..., Any]:
        @wraps(route)
        async def counted(*args: Any, **kwargs: Any) -> Response:
            try:
                response = await self._in_time(route(*args, **kwargs))
            except TenantryError as error:
                self.metrics.reads.labels(KINDS[type(error)].slug).inc()
                raise
            except Exception:
                self.metrics.reads.labels(INTERNAL.slug).inc()
                raise
            self.metrics.reads.labels("ok").inc()
            return response

        return counted

    async def _in_time(self, answer: Awaitable[Response]) -> Response:
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                return await answer
        except TimeoutError:
            msg = f"the table did not answer within {self.settings.request_seconds:g} s"
            raise StoreUnavailableError(msg) from None


def _json(stored: StoredMessage) -> bytes:
    """The payload is JSON text already, and is not parsed to be written again."""
    message = stored.message
    fields = orjson.dumps(
        {
            "tenant_id": message.tenant_id,
            "message_id": message.message_id,
            "type": message.type,
            "accepted_at": message.accepted_at,
            "stored_at": stored.stored_at,
        }
    )
    return fields[:-1] + b',"payload":' + message.payload.encode() + b"}"
