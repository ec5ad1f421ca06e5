"""The door before the gate: services' own calls to a real engine, and all that is turned away."""

from __future__ import annotations

import asyncio
import functools
import json
import time
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiohttp import web
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from e2e.door.door_standin import Door, Fault, door_up
from e2e.door.signatures import Key
from iam.gate import HOST, RolePolicies, gate_up
from iam.policies import Policy, parse
from support import moto_one_at_a_time
from support.transports import REGION, TRANSPORTS, calls_of, plain_session
from tenantry.outcomes import outcome_of

#: moto's.
ACCOUNT: Final = "123456789012"
CLUSTER: Final = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/dev"
READER: Final = f"arn:aws:iam::{ACCOUNT}:role/reader"
QUEUE: Final = f"arn:aws:sqs:{REGION}:{ACCOUNT}:acme"
TABLE: Final = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/messages"
CONFIG: Final = AioConfig(proxies={}, retries={"total_max_attempts": 1})
STATEMENT: Final = "INSERT INTO \"messages\" VALUE {'tenant_id': ?, 'message_id': ?}"


#: Each new one would read the models of the services from disk again.
session_of_all: Final = functools.cache(plain_session)


def policy(*statements: Mapping[str, Any]) -> Policy:
    return parse({"Version": "2012-10-17", "Statement": [dict(one) for one in statements]})


def roles() -> list[RolePolicies]:
    """Of a pod that sends and stores as its namespace, and of one tenant's reader."""
    take = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"]}
    own = {
        "ForAllValues:StringEquals": {
            "dynamodb:LeadingKeys": "${aws:PrincipalTag/kubernetes-namespace}"
        }
    }
    store = {"Action": "dynamodb:PartiQLInsert", "Resource": TABLE, "Condition": own}
    pod = RolePolicies(
        arn=f"arn:aws:iam::{ACCOUNT}:role/pod",
        trust=policy({**take, "Principal": {"Service": "pods.eks.amazonaws.com"}}),
        identity=(
            policy(
                {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": QUEUE},
                {"Effect": "Allow", **store},
            ),
        ),
    )
    reader = RolePolicies(
        arn=READER,
        trust=policy({**take, "Principal": {"AWS": pod.arn}}),
        identity=(policy({"Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}),),
    )
    return [pod, reader]


@dataclass
class Clock:
    """Now, and what a test adds."""

    added: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.added


@dataclass
class World:
    """A door that has a pod."""

    door: Door
    clock: Clock
    queue_url: str
    key: Key
    statements: list[Any]
    stack: AsyncExitStack
    clients: dict[tuple[str, Key], Any] = field(default_factory=dict)

    async def ask(self, service: str, operation: str, key: Key | None = None, **told: Any) -> Any:
        """One call by botocore's client."""
        key = key or self.key
        if (service, key) not in self.clients:
            session: Any = session_of_all()
            opening = session.create_client(
                service,
                region_name=REGION,
                endpoint_url=self.door.url,
                aws_access_key_id=key.access_key,
                aws_secret_access_key=key.secret,
                aws_session_token=key.token,
                config=CONFIG,
            )
            self.clients[service, key] = await self.stack.enter_async_context(opening)
        return await getattr(self.clients[service, key], operation)(**told)

    async def send(self, key: Key | None = None) -> Any:
        """A message, to the queue that the pod may send to."""
        return await self.ask("sqs", "send_message", key, QueueUrl=self.queue_url, MessageBody="x")

    async def assume(self, **told: Any) -> Any:
        """The reader's session."""
        return await self.ask("sts", "assume_role", RoleArn=READER, RoleSessionName="acme", **told)


@pytest.fixture(scope="module")
def engine() -> Generator[str, None, None]:
    """moto, where everybody may everything."""
    with moto_one_at_a_time.serve() as url:
        yield url


@asynccontextmanager
async def tables(stored: list[Any]) -> AsyncGenerator[str, None]:
    """DynamoDB, that says yes to statements: moto reads them with a library that is not here."""

    async def answer(request: web.BaseRequest) -> web.Response:
        statements = json.loads(await request.content.read())["Statements"]
        stored.extend(statements)
        return web.json_response({"Responses": [{"TableName": "messages"}] * len(statements)})

    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    yield f"http://{HOST}:{runner.addresses[0][1]}"
    await runner.cleanup()


async def no_tags(_: str) -> Mapping[str, str]:
    return {}


@pytest.fixture
async def world(engine: str) -> AsyncGenerator[World, None]:
    """With a queue."""
    clock, stored = Clock(), list[Any]()
    async with AsyncExitStack() as stack:
        session: Any = session_of_all()
        sqs = await stack.enter_async_context(
            session.create_client(
                "sqs",
                region_name=REGION,
                endpoint_url=engine,
                aws_access_key_id="engine",
                aws_secret_access_key="engine",
                config=CONFIG,
            )
        )
        made = await sqs.create_queue(QueueName="acme")
        elsewhere = {"dynamodb": await stack.enter_async_context(tables(stored))}
        gate = await stack.enter_async_context(
            gate_up(engine, roles(), tags=no_tags, account=ACCOUNT, elsewhere=elsewhere)
        )
        door = await stack.enter_async_context(door_up(gate, clock=clock))
        given = gate.pod("pod", cluster_arn=CLUSTER, namespace="acme", account="producer")
        async with AsyncExitStack() as clients:
            yield World(door, clock, made["QueueUrl"], door.issue(given), stored, clients)


async def refusal(call: Any) -> ClientError:
    with pytest.raises(ClientError) as caught:
        await call
    return caught.value


def code(error: ClientError) -> tuple[int, str]:
    told = error.response
    return told["ResponseMetadata"]["HTTPStatusCode"], str(told["Error"]["Code"])


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_services_own_transports_come_through(world: World, transport: str) -> None:
    """To the engine, and no further than the policies of the pod's role."""
    key = world.key
    credentials = AioCredentials(key.access_key, key.secret, key.token)
    entries = [{"Id": "0", "MessageBody": transport}]
    async with calls_of(transport, "sqs", world.door.url, credentials=credentials) as sqs:
        sent = await sqs.send_message_batch(QueueUrl=world.queue_url, Entries=entries)
        other = world.queue_url.replace("acme", "globex")
        denied = await refusal(sqs.send_message_batch(QueueUrl=other, Entries=entries))
    statements = [
        {"Statement": STATEMENT, "Parameters": [{"S": tenant}, {"S": transport}]}
        for tenant in ("acme", "globex")
    ]
    async with calls_of(transport, "dynamodb", world.door.url, credentials=credentials) as dynamo:
        stored = await dynamo.batch_execute_statement(Statements=statements)

    assert ["0"] == [one["Id"] for one in sent["Successful"]]
    assert "denied" == outcome_of(denied)
    codes = [one.get("Error", {}).get("Code") for one in stored["Responses"]]
    assert [None, "AccessDenied"] == codes
    assert statements[:1] == world.statements
    assert 1 == world.door.counted["pod", "SendMessageBatch", "passed"]
    assert 1 == world.door.counted["pod", "SendMessageBatch", "AccessDeniedException"]


@pytest.mark.parametrize(
    ("change", "sqs", "dynamodb"),
    [
        ({"secret": "other"}, "SignatureDoesNotMatch", "InvalidSignatureException"),
        ({"token": "other"}, "InvalidClientTokenId", "UnrecognizedClientException"),
        ({"access_key": "gate9999"}, "InvalidClientTokenId", "UnrecognizedClientException"),
    ],
    ids=["secret", "token", "key"],
)
async def test_a_stolen_key_alone_opens_nothing(
    world: World, change: dict[str, Any], sqs: str, dynamodb: str
) -> None:
    """By the codes of each protocol; the gate is never asked."""
    key = replace(world.key, **change)

    assert (403, sqs) == code(await refusal(world.send(key)))
    assert (400, dynamodb) == code(await refusal(world.ask("dynamodb", "list_tables", key)))
    assert (403, sqs) == code(await refusal(world.ask("sts", "get_caller_identity", key)))
    assert [] == world.door.gate.seen
    assert [] == world.door.gate.lost


async def test_a_pods_session_ends_after_six_hours(world: World) -> None:
    """And no earlier; a new one of the same pod goes on."""
    world.clock.added = 6 * 3_600 - 60
    # A caller's clock is the machine's: what it signs is hours old, which is not "expired".
    assert (403, "SignatureDoesNotMatch") == code(await refusal(world.send()))
    world.clock.added = 0
    short = world.door.issue({"AWS_ACCESS_KEY_ID": world.key.access_key}, seconds=60)
    await world.send(short)
    world.clock.added = 60
    ended = await refusal(world.send(short))
    assert (403, "ExpiredToken") == code(ended)
    assert "denied" == outcome_of(ended)
    await world.send(world.door.issue({"AWS_ACCESS_KEY_ID": world.key.access_key}))


async def test_an_assumed_role_has_a_secret_and_an_end_of_its_own(world: World) -> None:
    """What the gate issues is not guessed, and ends."""
    told = (await world.assume(DurationSeconds=900))["Credentials"]
    key = world.door.key(told["AccessKeyId"])

    assert key is not None
    assert (key.secret, key.token) == (told["SecretAccessKey"], told["SessionToken"])
    assert "gate" not in (key.secret, key.token)
    assert 840 < told["Expiration"].timestamp() - time.time() <= 900
    assert "QueueUrls" in await world.ask("sqs", "list_queues", key)
    assert 1 == world.door.counted["reader", "ListQueues", "passed"]
    assert (403, "AccessDenied") == code(
        await refusal(world.ask("sts", "assume_role", key, RoleArn=READER, RoleSessionName="acme"))
    )


@pytest.mark.parametrize("seconds", [3_601, 43_200])
async def test_a_chained_session_lasts_an_hour_at_most(world: World, seconds: int) -> None:
    """However long the role's own sessions may last."""
    assert (400, "ValidationError") == code(await refusal(world.assume(DurationSeconds=seconds)))
    assert [] == world.door.gate.seen


async def test_a_chained_session_lasts_an_hour_where_nothing_is_said(world: World) -> None:
    """STS's default."""
    told = (await world.assume())["Credentials"]
    assert 3_540 < told["Expiration"].timestamp() - time.time() <= 3_600


async def test_aws_is_gone_and_comes_back(world: World) -> None:
    """At the same address; also for whoever keeps a connection."""
    credentials = AioCredentials(world.key.access_key, world.key.secret, world.key.token)
    entries = [{"Id": "0", "MessageBody": "x"}]
    async with calls_of("lean", "sqs", world.door.url, credentials=credentials) as sqs:
        await sqs.send_message_batch(QueueUrl=world.queue_url, Entries=entries)
        await asyncio.to_thread(world.door.become_now, Fault(is_gone=True))
        with pytest.raises(EndpointConnectionError):
            await world.send()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - its outcome is what matters
            await sqs.send_message_batch(QueueUrl=world.queue_url, Entries=entries)
        assert "unreachable" == outcome_of(caught.value)
        await world.door.become(Fault(is_gone=True))  # it stays so
        await world.door.become(Fault())
        await sqs.send_message_batch(QueueUrl=world.queue_url, Entries=entries)


async def test_a_ratio_of_calls_fails(world: World) -> None:
    """Evenly, of the services that are meant; nothing of what failed reaches the engine."""
    await world.door.become(Fault(failing=0.5, services=frozenset({"sqs"})))
    failures = []
    for _ in range(6):
        try:
            await world.send()
        except ClientError as error:
            failures.append((code(error), outcome_of(error)))
    await world.ask("sts", "get_caller_identity")

    assert [((500, "InternalFailure"), "error")] * 3 == failures
    assert 3 == len(world.door.gate.seen)
    assert 3 == world.door.counted["pod", "SendMessage", "InternalFailure"]
    assert 1 == world.door.counted["pod", "GetCallerIdentity", "passed"]


async def test_dynamodb_fails_by_a_name_of_its_own(world: World) -> None:
    """The one that clients try again."""
    await world.door.become(Fault(failing=1))
    assert (500, "InternalServerError") == code(
        await refusal(world.ask("dynamodb", "list_tables"))
    )


async def test_aws_is_slow(world: World) -> None:
    """A caller's patience ends, if the service is meant."""
    await world.door.become(Fault(slow_seconds=60, services=frozenset({"dynamodb"})))
    await world.send()
    credentials = AioCredentials(world.key.access_key, world.key.secret, world.key.token)
    async with calls_of(
        "botocore", "dynamodb", world.door.url, credentials=credentials, read_seconds=0.2
    ) as dynamo:
        with pytest.raises(ReadTimeoutError):
            await dynamo.batch_execute_statement(
                Statements=[{"Statement": STATEMENT, "Parameters": [{"S": "acme"}, {"S": "1"}]}]
            )
