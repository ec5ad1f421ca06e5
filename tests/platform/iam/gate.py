"""A gate in front of an engine that enforces nothing: it lets through what IAM would let through.

Who calls is told by the access key; sessions come from `Gate.pod`, as EKS Pod Identity makes them,
and from `AssumeRole` through the gate. Each call is taken apart into the permissions it needs
(`iam.wire`), the resources' tags are asked for, and the policies decide (`iam.evaluator`): those
that the engine holds after an apply (`iam.engine`), or any others. What is denied is answered as
AWS answers it; what is not understood is denied, too.

    async with gate_up(engine_url, policies, tags=engine.tags) as gate:
        env = gate.pod("dev-tenantry-producer", namespace="acme", account="producer", …)
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final, TypeVar
from xml.sax.saxutils import escape

import aiohttp
from aiohttp import web

from iam.evaluator import Principal, Request, RequestError, assume, decide
from iam.policies import Policy
from iam.wire import PODS, Call, Needed, UnknownCallError, needed, numbered, query

HOST: Final = "127.0.0.1"
_CREDENTIAL: Final = re.compile(r"Credential=([^/]+)/\d+/([\w-]+)/([\w-]+)/aws4_request")
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "content-encoding"}
)
#: What anybody may ask: "no permissions are required".
_FREE: Final = frozenset({"GetCallerIdentity"})

#: The tags of a resource, by its ARN; none for what is not there.
TagsOf = Callable[[str], Awaitable[Mapping[str, str]]]


class GateError(Exception):
    """A session that nobody could have."""


@dataclass(frozen=True, slots=True)
class RolePolicies:
    """What decides about a role, and about its sessions."""

    arn: str
    trust: Policy
    identity: tuple[Policy, ...]
    boundary: Policy | None = None

    @property
    def name(self) -> str:
        """The role's name."""
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Seen:
    """A permission that a call needed, whose, and whether it was there."""

    role: str
    operation: str
    action: str
    resource: str
    context: Mapping[str, str | tuple[str, ...]]
    allowed: bool

    def __str__(self) -> str:
        said = "may" if self.allowed else "may not"
        keys = self.context.get("dynamodb:LeadingKeys", ())
        return f"{self.role} {said} {self.action} {self.resource} {' '.join(keys)}".rstrip()


@dataclass(slots=True)
class Gate:
    """The gate, while it runs.

    Attributes:
        url: What callers are given as their endpoint.
        seen: Every permission that was asked for, in order.
        lost: Calls that were denied because nobody knows them, or their caller.
    """

    engine_url: str
    roles: Mapping[str, RolePolicies]
    tags: TagsOf
    account: str
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    _sessions: dict[str, Principal] = field(default_factory=dict)

    @property
    def refused(self) -> list[Seen]:
        """What was denied."""
        return [one for one in self.seen if not one.allowed]

    def pod(
        self,
        role: str,
        *,
        cluster_arn: str,
        namespace: str,
        account: str,
        name: str = "",
        uid: str = "00000000-0000-0000-0000-000000000000",
    ) -> dict[str, str]:
        """The environment of a pod whose service account is associated with a role.

        Args:
            role: The role's name.
            cluster_arn: Of the pod's cluster.
            namespace: The pod's.
            account: The service account's name.
            name: The pod's; one is made up where it is not known, and so for `uid`.
            uid: The pod's.

        Raises:
            GateError: There is no such role, or its trust policy lets no such pod in.
        """
        tags = {
            "eks-cluster-arn": cluster_arn,
            "eks-cluster-name": cluster_arn.rpartition("/")[2],
            "kubernetes-namespace": namespace,
            "kubernetes-service-account": account,
            "kubernetes-pod-name": name or f"{account}-0",
            "kubernetes-pod-uid": uid,
        }
        policies = self._role(role)
        session = policies and assume(
            Principal(PODS),
            policies.arn,
            policies.trust,
            session_name=f"eks-{account}",
            tags=tags,
            transitive=tags,  # "all of the session tags that are added … are transitive"
        )
        if not session:
            raise GateError(f"{role} is not for {account} of {namespace} in {cluster_arn}")
        return {
            "AWS_ACCESS_KEY_ID": self._admit(session),
            "AWS_SECRET_ACCESS_KEY": "gate",
            "AWS_ENDPOINT_URL": self.url,
        }

    def session(self, access_key: str) -> Principal | None:
        """Whose an access key is."""
        return self._sessions.get(access_key)

    def _admit(self, session: Principal) -> str:
        access_key = f"gate{len(self._sessions):04d}"
        self._sessions[access_key] = session
        return access_key

    def _role(self, name: str) -> RolePolicies | None:
        return next((role for role in self.roles.values() if role.name == name), None)

    async def allows(self, caller: Principal, operation: str, one: Needed) -> bool:
        """Whether a caller has a permission; it is noted."""
        assert caller.role_arn is not None
        policies = self.roles[caller.role_arn]
        told = dict(one.context)
        if one.resource != "*" and not one.resource.split(":")[5].startswith("role/"):
            for key, value in (await self.tags(one.resource)).items():
                told[f"aws:ResourceTag/{key}"] = value
        decision = decide(
            Request(caller, one.action, one.resource, told),
            identity=policies.identity,
            boundary=policies.boundary,
        )
        self.seen.append(
            Seen(policies.name, operation, one.action, one.resource, one.context, decision.allowed)
        )
        return decision.allowed

    def assume(self, caller: Principal, parameters: Mapping[str, str]) -> str | None:
        """The access key of the session that `AssumeRole` gives; None if it gives none."""
        assert caller.role_arn is not None
        target = self.roles.get(parameters["RoleArn"])
        tags = {tag["Key"]: tag["Value"] for tag in numbered(parameters, "Tags")}
        transitive = [
            value
            for member in numbered(parameters, "TransitiveTagKeys")
            for value in member.values()
        ]
        session = target and assume(
            caller,
            target.arn,
            target.trust,
            session_name=parameters["RoleSessionName"],
            tags=tags,
            transitive=transitive,
            identity=self.roles[caller.role_arn].identity,
        )
        told = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        name = self.roles[caller.role_arn].name
        arn = parameters["RoleArn"]
        self.seen.append(Seen(name, "AssumeRole", "sts:AssumeRole", arn, told, bool(session)))
        return self._admit(session) if session else None


@asynccontextmanager
async def gate_up(
    engine_url: str,
    roles: Sequence[RolePolicies],
    *,
    tags: TagsOf,
    account: str = "000000000000",
    elsewhere: Mapping[str, str] | None = None,
    host: str = HOST,
) -> AsyncGenerator[Gate, None]:
    """A gate in front of an engine, on a free port, until the block ends.

    Args:
        engine_url: Where calls are passed on to.
        roles: Who there is, and what decides about each.
        tags: Asked before each decision.
        account: Whose everything is.
        elsewhere: Addresses of services that the engine lacks, by their signing name.
        host: The address that it listens at.
    """
    by_arn = {role.arn: role for role in roles}
    gate = Gate(engine_url, by_arn, tags, account, elsewhere or {})
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        server = web.Server(_Handler(gate, session))
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, host, 0).start()
        try:
            gate.url = f"http://{host}:{runner.addresses[0][1]}"
            yield gate
        finally:
            await runner.cleanup()


T = TypeVar("T")


@contextmanager
def in_thread(manager: AbstractAsyncContextManager[T]) -> Generator[T, None, None]:
    """A server for tests without an event loop: it runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="gate")
    thread.start()

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result(timeout=30)

    try:
        found: T = run(manager.__aenter__())
        try:
            yield found
        finally:
            run(manager.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Handler:
    """Answers one call."""

    def __init__(self, gate: Gate, session: aiohttp.ClientSession) -> None:
        self._gate = gate
        self._session = session

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        body = await request.content.read()
        found = _CREDENTIAL.search(request.headers.get("Authorization", ""))
        access_key, region, service = found.groups() if found else ("", "", "")
        operation = _operation(request, body)
        call = Call(
            service=service,
            region=region,
            account=self._gate.account,
            operation=operation,
            body=body,
            method=request.method,
            path=request.raw_path,
        )
        caller = self._gate.session(access_key)
        if caller is None:
            self._gate.lost.append(f"{service} {operation} with the key {access_key!r}")
            return _denied(call, "the security token included in the request is invalid")
        if service == "sts":
            return self._sts(call, caller)
        try:
            return await self._decide(call, caller, request)
        except (UnknownCallError, RequestError, KeyError) as error:
            self._gate.lost.append(f"{service} {operation}: {error!r}")
            return _denied(call, str(error))

    def _sts(self, call: Call, caller: Principal) -> web.Response:
        if call.operation in _FREE:
            inner = f"<Arn>{escape(caller.arn)}</Arn><Account>{caller.account}</Account>"
            return _xml(call, f"{inner}<UserId>gate</UserId>")
        if call.operation == "AssumeRole":
            asked = query(call.body)
            access_key = self._gate.assume(caller, asked)
            if access_key is not None:
                return _xml(call, _CREDENTIALS.format(access_key))
            return _denied(call, f"sts:AssumeRole on resource: {asked['RoleArn']}")
        self._gate.lost.append(f"sts {call.operation}")
        return _denied(call, f"sts:{call.operation}")

    async def _decide(
        self, call: Call, caller: Principal, request: web.BaseRequest
    ) -> web.Response:
        wanted = needed(call)
        allowed = [await self._gate.allows(caller, call.operation, one) for one in wanted]
        if all(allowed):
            return await self._pass_on(request, call, call.body)
        entries = [one.entry for one in wanted]
        if None in entries:
            return _denied(call, str(wanted[allowed.index(False)]))
        # Statements of a batch fail one by one, inside an answer that is good.
        return await self._in_part(request, call, allowed)

    async def _in_part(
        self, request: web.BaseRequest, call: Call, allowed: list[bool]
    ) -> web.Response:
        body = json.loads(call.body)
        statements = body["Statements"]
        body["Statements"] = [
            one for one, is_allowed in zip(statements, allowed, strict=True) if is_allowed
        ]
        answers: list[Any] = []
        if body["Statements"]:
            answer = await self._pass_on(request, call, json.dumps(body).encode())
            assert isinstance(answer.body, bytes)
            if answer.status != web.HTTPOk.status_code:
                return answer
            answers = json.loads(answer.body)["Responses"]
        given = iter(answers)
        refused = {"Error": {"Code": "AccessDenied", "Message": "dynamodb:PartiQLInsert"}}
        merged = [next(given) if is_allowed else refused for is_allowed in allowed]
        return web.Response(
            body=json.dumps({"Responses": merged}).encode(),
            content_type="application/x-amz-json-1.0",
        )

    async def _pass_on(self, request: web.BaseRequest, call: Call, body: bytes) -> web.Response:
        headers = {k: v for k, v in request.headers.items() if k not in {"Host", "Content-Length"}}
        url = self._gate.elsewhere.get(call.service, self._gate.engine_url) + request.raw_path
        async with self._session.request(
            request.method, url, data=body, headers=headers
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            return web.Response(status=answer.status, headers=kept, body=await answer.read())


_CREDENTIALS: Final = (
    "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>gate</SecretAccessKey>"
    "<SessionToken>gate</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
)


def _operation(request: web.BaseRequest, body: bytes) -> str:
    target = request.headers.get("X-Amz-Target")
    if target is not None:
        return target.rpartition(".")[2]
    kind = request.headers.get("Content-Type", "")
    return query(body).get("Action", "") if "x-www-form-urlencoded" in kind else ""


def _xml(call: Call, inner: str) -> web.Response:
    name = call.operation
    text = f"<{name}Response><{name}Result>{inner}</{name}Result></{name}Response>"
    return web.Response(text=text, content_type="text/xml")


def _denied(call: Call, what: str) -> web.Response:
    """As the service says it: the codes that the services and Terraform look for."""
    message = f"not authorized to perform: {what}"
    if call.service in ("sts", "monitoring", "iam"):
        inner = f"<Code>AccessDenied</Code><Message>{escape(message)}</Message>"
        text = f"<ErrorResponse><Error><Type>Sender</Type>{inner}</Error></ErrorResponse>"
        return web.Response(status=403, text=text, content_type="text/xml")
    body = {"__type": "com.amazon.coral.service#AccessDeniedException", "message": message}
    headers = {"x-amzn-errortype": "AccessDeniedException"}
    if call.service == "sqs":
        headers["x-amzn-query-error"] = "AccessDenied;Sender"
    return web.Response(
        status=400 if call.service == "dynamodb" else 403,
        body=json.dumps(body).encode(),
        content_type="application/x-amz-json-1.0",
        headers=headers,
    )
