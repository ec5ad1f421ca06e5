"""The router: the load balancer's rules on the loopback address.

The tenant comes from the host, `<tenant>.localhost`, or from the header `tenantID`. It only
chooses whom to ask: services believe the token. POST /messages… and GET /producer go to the
tenant's producer, everything else to its consumer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tenantry_local.model import CONSUMER, HOST, PRODUCER, LaptopError, Tenant

_DOMAIN: Final = ".localhost"
_TENANT_HEADER: Final = "tenantID"

#: Headers of one connection (RFC 9110, 7.6.1), and those that each side makes anew.
_NOT_FORWARDED: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "host",
    }
)
_CONNECT_SECONDS: Final = 2.0
_READ_SECONDS: Final = 60.0


class Directory(Protocol):
    """Knows who serves whom."""

    def find(self, tenant_id: str) -> Tenant | None:
        """The tenant, if there is one."""
        ...

    def address(self, instance: str, service: str) -> str:
        """Where an instance listens, whether it runs or not."""
        ...


class Router:
    """A reverse proxy; bodies are streamed both ways, headers passed as they are."""

    def __init__(self, directory: Directory, page: Callable[[], Awaitable[str]]) -> None:
        self._directory = directory
        self._page = page
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen.

        Returns:
            The port.

        Raises:
            LaptopError: The port is taken.
        """
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
            ),
            connector=aiohttp.TCPConnector(limit=0),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, shutdown_timeout=0.5
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, port).start()
        except OSError as error:
            msg = f"port {port} is taken: the router cannot listen on {HOST}:{port}"
            raise LaptopError(msg, status=2) from error
        bound: int = self._runner.addresses[0][1]
        return bound

    async def close(self) -> None:
        """Stop listening, and end what is in flight."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if not all(_can_be_forwarded(value) for value in request.headers.values()):
            return _problem(400, "No text", "a header holds bytes that are not UTF-8")
        tenant_id = _tenant_id(request)
        if tenant_id is None:
            if request.path == "/" and request.method in {"GET", "HEAD"}:
                return web.Response(text=await self._page(), content_type="text/html")
            return _problem(
                400,
                "No tenant",
                "name the tenant: host <tenant>.localhost, or the header tenantID",
            )
        tenant = self._directory.find(tenant_id)
        if tenant is None:
            return _problem(404, "No such tenant", f"no tenant {tenant_id[:40]!r} lives here")
        service = service_of(request.method, request.path)
        instance = tenant.producer if service == PRODUCER else tenant.consumer
        return await self._forward(request, self._directory.address(instance, service))

    async def _forward(self, request: web.Request, address: str) -> web.StreamResponse:
        assert self._session is not None  # noqa: S101 - started before it listens
        response: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method,
                # As it came: decoding and encoding again would change it.
                _url(address, request.raw_path),
                # In lower case: of two that differ in case alone the client would send one.
                headers=CIMultiDict(
                    (name.lower(), value) for name, value in _forwarded(request.headers).items()
                ),
                data=request.content if request.can_read_body else None,
                allow_redirects=False,
            ) as answer:
                response = web.StreamResponse(
                    status=answer.status, reason=answer.reason, headers=_forwarded(answer.headers)
                )
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
                return response
        except (aiohttp.ClientError, TimeoutError) as error:
            if request.transport is None or request.transport.is_closing():
                return response or web.Response()  # the client left: nobody is there to tell
            if response is not None and response.prepared:
                raise  # half an answer is out: only breaking the connection says so
            return _problem(
                502,
                "The service does not answer",
                f"{address} is down or starting ({type(error).__name__})",
            )


def service_of(method: str, path: str) -> str:
    """Which of the two services answers a request."""
    is_post = method == "POST" and (path == "/messages" or path.startswith("/messages/"))
    return PRODUCER if is_post or path == "/producer" else CONSUMER


def _tenant_id(request: web.Request) -> str | None:
    host = request.host.partition(":")[0].lower().removesuffix(".")
    if host.endswith(_DOMAIN):
        return host.removesuffix(_DOMAIN)
    return request.headers.get(_TENANT_HEADER)


def _url(address: str, raw_path: str) -> URL:
    # A request in absolute form names the router's own address again.
    path = raw_path if raw_path.startswith("/") else "/" + raw_path.split("/", 3)[-1]
    return URL(address + path, encoded=True)


def _can_be_forwarded(value: str) -> bool:
    """Bytes that are no text came in as lone surrogates, which the client leaves out silently."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _forwarded(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _NOT_FORWARDED
    )


def _problem(status: int, title: str, detail: str) -> web.Response:
    problem = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return web.json_response(problem, status=status, content_type="application/problem+json")
