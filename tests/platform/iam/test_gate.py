"""The gate: what IAM would deny never reaches the engine, and is answered as AWS answers it."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import web
from botocore.exceptions import ClientError

from iam.engine import NOTHING_OF_THE_USERS
from iam.gate import Gate, GateError, gate_up
from iam.recording import ACCOUNT, CLUSTER, policies, tags_of_instances
from iam.rendered import Roles
from iam.wire import Call, Needed, UnknownCallError, needed

REGION = "eu-west-1"
QUEUES = f"http://sqs.{REGION}.amazonaws.com/{ACCOUNT}"


@dataclass(slots=True)
class Engine:
    """Says yes to everything, and remembers what it was asked."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        body = await request.content.read()
        self.asked.append(request.headers["X-Amz-Target"].rpartition(".")[2])
        self.bodies.append(json.loads(body))
        statements = self.bodies[-1].get("Statements", [])
        said = {"Responses": [{"TableName": "t"}] * len(statements)} if statements else {}
        return web.json_response(said, content_type="application/x-amz-json-1.0")


@pytest.fixture
async def engine() -> AsyncGenerator[Engine, None]:
    """An engine on a free port."""
    engine = Engine()
    runner = web.ServerRunner(web.Server(engine.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    engine.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield engine
    await runner.cleanup()


@pytest.fixture
async def gate(engine: Engine, roles: Roles) -> AsyncGenerator[Gate, None]:
    """In front of it, with the rendered policies."""

    async def tags(arn: str) -> Any:
        return tags_of_instances(arn)

    async with gate_up(engine.url, policies(roles), tags=tags, account=ACCOUNT) as gate:
        yield gate


def pod(gate: Gate, role: str, namespace: str) -> str:
    """The access key of a pod."""
    return gate.pod(
        f"local-tenantry-{role}",
        cluster_arn=CLUSTER,
        namespace=namespace,
        account=role.rpartition("-")[2] if role != "tf-runner" else role,
    )["AWS_ACCESS_KEY_ID"]


@asynccontextmanager
async def client(gate: Gate, access_key: str, service: str) -> AsyncGenerator[Any, None]:
    """A client of botocore's, as whoever has this key."""
    session: Any = AioSession(NOTHING_OF_THE_USERS)  # the stubs know single names of services
    async with session.create_client(
        service,
        region_name=REGION,
        endpoint_url=gate.url,
        aws_access_key_id=access_key,
        aws_secret_access_key="gate",
        config=AioConfig(proxies={}, retries={"total_max_attempts": 1}),
    ) as opened:
        yield opened


async def refusal(call: Any) -> str:
    """The code that a call is refused with."""
    with pytest.raises(ClientError) as caught:
        await call
    return str(caught.value.response["Error"]["Code"])


async def test_ones_own_queue_is_reached_and_anothers_is_not(gate: Gate, engine: Engine) -> None:
    """By the single actions that batches need, and with a code that the services know."""
    async with client(gate, pod(gate, "producer", "acme"), "sqs") as sqs:
        entries = [{"Id": "0", "MessageBody": "x"}]
        await sqs.send_message_batch(QueueUrl=f"{QUEUES}/local-acme-messages", Entries=entries)
        code = await refusal(
            sqs.send_message_batch(QueueUrl=f"{QUEUES}/local-umbrella-messages", Entries=entries)
        )
        receiving = await refusal(sqs.receive_message(QueueUrl=f"{QUEUES}/local-acme-messages"))

    assert {code, receiving} <= {"AccessDenied", "AccessDeniedException"}
    assert engine.asked == ["SendMessageBatch"]
    assert ["sqs:SendMessage", "sqs:SendMessage", "sqs:ReceiveMessage"] == [
        one.action for one in gate.seen
    ]
    assert "local-umbrella-messages" in str(gate.refused[0])


async def test_a_denied_call_says_what_and_on_what(gate: Gate) -> None:
    """Whoever reads a failed apply knows which statement is missing."""
    sending = (
        f"sqs:SendMessage on resource: arn:aws:sqs:{REGION}:{ACCOUNT}:local-umbrella-messages"
    )
    async with client(gate, pod(gate, "producer", "acme"), "sqs") as sqs:
        with pytest.raises(ClientError, match=sending):
            await sqs.send_message(QueueUrl=f"{QUEUES}/local-umbrella-messages", MessageBody="x")

    reader = "arn:aws:iam::000000000000:role/local-tenantry-tenant-reader"
    async with client(gate, pod(gate, "consumer", "acme"), "sts") as sts:
        with pytest.raises(ClientError, match=f"sts:AssumeRole on resource: {reader}"):
            await sts.assume_role(RoleArn=reader, RoleSessionName="acme")


async def test_statements_of_a_batch_are_decided_one_by_one(gate: Gate, engine: Engine) -> None:
    """The rest is stored, inside an answer that is good: as DynamoDB does."""
    member = "'tenant_id': ?, 'message_id': ?"
    statements = [
        {
            "Statement": f'INSERT INTO "local-{instance}-messages" VALUE {{{member}}}',
            "Parameters": [{"S": "acme"}, {"S": "1"}],
        }
        for instance in ("acme", "umbrella", "acme")
    ]
    async with client(gate, pod(gate, "consumer", "acme"), "dynamodb") as dynamodb:
        answer = await dynamodb.batch_execute_statement(Statements=statements)

    codes = [one.get("Error", {}).get("Code") for one in answer["Responses"]]
    assert [None, "AccessDenied", None] == codes
    assert [statements[0], statements[2]] == engine.bodies[0]["Statements"]


async def test_a_pool_reads_as_the_tenant_or_not_at_all(gate: Gate, engine: Engine) -> None:
    """With a session that names the tenant: not as itself, not as nobody, not another's."""
    reader = "arn:aws:iam::000000000000:role/local-tenantry-tenant-reader"
    consumer = pod(gate, "pool-consumer", "pool-1")

    def get(dynamodb: Any, tenant: str) -> Any:
        key = {"tenant_id": {"S": tenant}, "message_id": {"S": "1"}}
        return dynamodb.get_item(TableName="local-pool-1-messages", Key=key)

    async with client(gate, consumer, "dynamodb") as dynamodb:
        assert await refusal(get(dynamodb, "acme")) == "AccessDeniedException"
    async with client(gate, consumer, "sts") as sts:
        nobody = sts.assume_role(RoleArn=reader, RoleSessionName="acme")
        assert await refusal(nobody) == "AccessDenied"
        other = sts.assume_role(
            RoleArn=reader,
            RoleSessionName="acme",
            Tags=[
                {"Key": "tenant", "Value": "acme"},
                {"Key": "kubernetes-namespace", "Value": "pool-2"},
            ],
        )
        assert await refusal(other) == "AccessDenied"
        session = await sts.assume_role(
            RoleArn=reader, RoleSessionName="acme", Tags=[{"Key": "tenant", "Value": "acme"}]
        )
        assert (await sts.get_caller_identity())["Account"] == ACCOUNT
    async with client(gate, session["Credentials"]["AccessKeyId"], "dynamodb") as dynamodb:
        await get(dynamodb, "acme")
        await get(dynamodb, "acme#7")
        assert await refusal(get(dynamodb, "globex")) == "AccessDeniedException"
        assert await refusal(dynamodb.scan(TableName="local-pool-1-messages"))
    assert engine.asked == ["GetItem", "GetItem"]


async def test_who_is_not_known_gets_nothing(gate: Gate, engine: Engine) -> None:
    """No session without an association, none by a key of one's own."""
    async with client(gate, "somebody", "sqs") as sqs:
        await refusal(sqs.list_queues())

    assert gate.lost == ["sqs ListQueues with the key 'somebody'"]
    assert engine.asked == []


async def test_what_is_not_known_gets_nowhere(gate: Gate, engine: Engine) -> None:
    """An action that the gate cannot take apart is denied, and noted."""
    async with client(gate, pod(gate, "consumer", "acme"), "dynamodb") as dynamodb:
        code = await refusal(
            dynamodb.execute_statement(Statement='SELECT * FROM "local-acme-messages"')
        )

    assert code == "AccessDeniedException"
    assert engine.asked == []
    assert ["dynamodb ExecuteStatement"] == [said.partition(":")[0] for said in gate.lost]


@pytest.mark.parametrize(
    ("role", "namespace", "account", "cluster"),
    [
        ("producer", "pool-1", "producer", CLUSTER),
        ("pool-producer", "acme", "producer", CLUSTER),
        ("producer", "acme", "consumer", CLUSTER),
        ("producer", "acme", "producer", CLUSTER.replace("laptop", "staging")),
        ("tenant-reader", "pool-1", "consumer", CLUSTER),
        ("unheard-of", "acme", "producer", CLUSTER),
    ],
    ids=["a-pool", "a-tenant", "another-account", "another-cluster", "the-reader", "no-role"],
)
async def test_a_pod_gets_the_role_of_its_own_alone(
    gate: Gate, role: str, namespace: str, account: str, cluster: str
) -> None:
    """Whatever it is associated with: the trust policy decides."""
    with pytest.raises(GateError):
        gate.pod(
            f"local-tenantry-{role}", cluster_arn=cluster, namespace=namespace, account=account
        )


def call(service: str, operation: str = "", **given: Any) -> Call:
    body = given.pop("body", {})
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Call(service, REGION, ACCOUNT, operation, raw, **given)


TAGS = {"tenantry:environment": "local", "cost": "1"}
GIVEN: dict[str, Any] = {
    "aws:RequestTag/tenantry:environment": "local",
    "aws:RequestTag/cost": "1",
    "aws:TagKeys": ("tenantry:environment", "cost"),
}
EKS = f"arn:aws:eks:{REGION}:{ACCOUNT}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/local-tenantry-producer"
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm"
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/t"
LISTED = [{"Key": key, "Value": value} for key, value in TAGS.items()]


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        pytest.param(
            call("sqs", "CreateQueue", body={"QueueName": "q", "tags": TAGS}),
            [
                Needed("sqs:CreateQueue", f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", GIVEN),
                Needed("sqs:TagQueue", f"arn:aws:sqs:{REGION}:{ACCOUNT}:q", GIVEN),
            ],
            id="a queue with tags",
        ),
        pytest.param(
            call("sqs", "UntagQueue", body={"QueueUrl": f"{QUEUES}/q", "TagKeys": ["cost"]}),
            [
                Needed(
                    "sqs:UntagQueue",
                    f"arn:aws:sqs:{REGION}:{ACCOUNT}:q",
                    {"aws:TagKeys": ("cost",)},
                )
            ],
            id="a queue's tag that goes",
        ),
        pytest.param(
            call("sqs", "SendMessage", body={"QueueUrl": "http://sqs/999999999999/q"}),
            [Needed("sqs:SendMessage", f"arn:aws:sqs:{REGION}:999999999999:q")],
            id="another account's queue",
        ),
        pytest.param(
            call("dynamodb", "CreateTable", body={"TableName": "t", "Tags": LISTED}),
            [
                Needed("dynamodb:CreateTable", TABLE, GIVEN),
                Needed("dynamodb:TagResource", TABLE, GIVEN),
            ],
            id="a table with tags",
        ),
        pytest.param(
            call(
                "dynamodb",
                "Query",
                body={
                    "TableName": "t",
                    "KeyConditionExpression": "#p = :p AND message_id > :after",
                    "ExpressionAttributeNames": {"#p": "tenant_id"},
                    "ExpressionAttributeValues": {":p": {"S": "acme"}, ":after": {"S": "0"}},
                },
            ),
            [
                Needed(
                    "dynamodb:Query",
                    TABLE,
                    {
                        "dynamodb:LeadingKeys": ("acme",),
                        "dynamodb:Select": "ALL_ATTRIBUTES",
                        "dynamodb:Attributes": ("tenant_id", "message_id"),
                    },
                )
            ],
            id="a query",
        ),
        pytest.param(
            call(
                "dynamodb",
                "BatchGetItem",
                body={
                    "RequestItems": {
                        "t": {
                            "Keys": [
                                {"tenant_id": {"S": "acme"}, "message_id": {"S": "1"}},
                                {"tenant_id": {"S": "globex"}, "message_id": {"S": "2"}},
                            ],
                            "ProjectionExpression": "tenant_id, message_id, payload_sha256",
                        }
                    }
                },
            ),
            [
                Needed(
                    "dynamodb:BatchGetItem",
                    TABLE,
                    {
                        "dynamodb:LeadingKeys": ("acme", "globex"),
                        "dynamodb:Select": "SPECIFIC_ATTRIBUTES",
                        "dynamodb:Attributes": ("tenant_id", "message_id", "payload_sha256"),
                    },
                )
            ],
            id="digests of two tenants",
        ),
        pytest.param(
            call(
                "monitoring",
                "PutMetricAlarm",
                body=b"Action=PutMetricAlarm&AlarmName=a&Tags.member.1.Key=cost"
                b"&Tags.member.1.Value=1",
            ),
            [
                Needed(
                    action,
                    f"{ALARM}:a",
                    {"aws:RequestTag/cost": "1", "aws:TagKeys": ("cost",)},
                )
                for action in ("cloudwatch:PutMetricAlarm", "cloudwatch:TagResource")
            ],
            id="an alarm with tags",
        ),
        pytest.param(
            call(
                "monitoring",
                "DeleteAlarms",
                body=b"AlarmNames.member.1=a&AlarmNames.member.2=b",
            ),
            [Needed("cloudwatch:DeleteAlarms", f"{ALARM}:{name}") for name in "ab"],
            id="two alarms",
        ),
        pytest.param(
            call(
                "eks",
                path="/clusters/laptop/pod-identity-associations",
                body={"roleArn": ROLE, "tags": TAGS},
            ),
            [
                Needed("eks:CreatePodIdentityAssociation", f"{EKS}:cluster/laptop", GIVEN),
                Needed("eks:TagResource", f"{EKS}:podidentityassociation/laptop/a-new", GIVEN),
                Needed("iam:PassRole", ROLE, {"iam:PassedToService": "pods.eks.amazonaws.com"}),
                Needed("iam:GetRole", ROLE),
            ],
            id="an association",
        ),
        pytest.param(
            call(
                "eks",
                path="/clusters/laptop/pod-identity-associations/a-1",
                method="DELETE",
            ),
            [
                Needed(
                    "eks:DeletePodIdentityAssociation",
                    f"{EKS}:podidentityassociation/laptop/a-1",
                )
            ],
            id="an association that goes",
        ),
        pytest.param(
            call(
                "eks",
                path=f"/tags/{EKS}%3Apodidentityassociation%2Flaptop%2Fa-1?tagKeys=cost".replace(
                    EKS, "arn%3Aaws%3Aeks%3Aeu-west-1%3A000000000000"
                ),
                method="DELETE",
            ),
            [
                Needed(
                    "eks:UntagResource",
                    f"{EKS}:podidentityassociation/laptop/a-1",
                    {"aws:TagKeys": ("cost",)},
                )
            ],
            id="an association's tag that goes",
        ),
    ],
)
def test_a_call_needs(made: Call, wanted: list[Needed]) -> None:
    """Each permission that AWS documents for it, with what policies can ask of it."""
    assert wanted == needed(made)


@pytest.mark.parametrize("action", ["SendMessage", "DeleteMessage", "ChangeMessageVisibility"])
def test_a_batch_needs_the_single_action(action: str) -> None:
    """SQS: "you can't set permissions … explicitly" for batches."""
    body = {"QueueUrl": f"{QUEUES}/q", "Entries": []}
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"

    assert [Needed(f"sqs:{action}", queue)] == needed(call("sqs", f"{action}Batch", body=body))


@pytest.mark.parametrize(
    "made",
    [
        call("sqs", "AddPermission", body={}),
        call("dynamodb", "TransactWriteItems", body={}),
        call("dynamodb", "BatchExecuteStatement", body={"Statements": [{"Statement": "DELETE"}]}),
        call(
            "dynamodb",
            "Query",
            body={"TableName": "t", "KeyConditionExpression": "message_id = :m"},
        ),
        call(
            "dynamodb",
            "GetItem",
            body={
                "TableName": "t",
                "Key": {"tenant_id": {"S": "a"}},
                "ProjectionExpression": "a.b",
            },
        ),
        call("monitoring", "PutDashboard", body=b""),
        call("eks", path="/clusters/laptop/access-entries"),
        call("tagging", "TagResources"),
        call("iam", "CreateRole", body=b""),
    ],
    ids=lambda one: f"{one.service} {one.operation or one.path}",
)
def test_a_call_that_is_not_known_is_not_guessed(made: Call) -> None:
    """Whatever a policy would say."""
    with pytest.raises(UnknownCallError):
        needed(made)
