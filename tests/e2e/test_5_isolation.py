"""What one tenant's pods can reach of everybody else, tried from inside them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from e2e.aws import ACCOUNT, Aws
from e2e.cluster.inside import ADDRESS
from e2e.cluster.whole import Whole
from e2e.tenants import TENANTS, Routes

pytestmark = pytest.mark.e2e

PROBE: Final = Path(__file__).with_name("probe.py")
#: Namespaces of consumers, and so instances with a queue and a table of their own.
INSTANCES: Final = ("pool-1", "initech", "acme")
#: What a refusal is called: by the machine's rules, by the gate.
NETWORK: Final = frozenset({"OSError", "ConnectionRefusedError", "TimeoutError"})
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException"})
MAY: Final = frozenset({"ok", "DuplicateItemException"})
Tries = dict[str, list[Any]]


def tried(whole: Whole, instance: str, tries: Tries) -> dict[str, str]:
    """What came of each, in the instance's consumer."""
    user = whole.cluster.kubeconfig("operator", "system:masters")
    command = [str(whole.tools / "kubectl"), f"--kubeconfig={user}", "exec", "--stdin"]
    command += [f"--namespace={instance}", "deployment/consumer", "--"]
    command += ["python3", "-c", PROBE.read_text("utf-8")]
    done = subprocess.run(
        command, input=json.dumps(tries), capture_output=True, text=True, check=False
    )
    assert 0 == done.returncode, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def queue(aws: Aws, instance: str) -> str:
    return f"{aws.url}/{ACCOUNT}/dev-{instance}-messages"


def of_aws(aws: Aws, instance: str, tenant: str, stored: str) -> Tries:
    """Queue and table of an instance, as its own consumer uses them.

    What it would write is there already, so that whoever may write is told of a duplicate.
    """
    key = {"tenant_id": {"S": tenant}, "message_id": {"S": stored}}
    table = f"dev-{instance}-messages"
    statement = f"INSERT INTO \"{table}\" VALUE {{'tenant_id': ?, 'message_id': ?}}"
    return {
        f"receive from {instance}": [
            "call", "sqs", "receive_message",
            # Without waiting, and without hiding from the consumer what there is.
            {"QueueUrl": queue(aws, instance), "WaitTimeSeconds": 0, "VisibilityTimeout": 0},
        ],
        f"write to {table}": [
            "call", "dynamodb", "execute_statement",
            {"Statement": statement, "Parameters": [{"S": tenant}, {"S": stored}]},
        ],
        f"read from {table}": [
            "call", "dynamodb", "get_item", {"TableName": table, "Key": key}
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def addresses(whole: Whole) -> dict[str, str]:
    """Of a pod of each service of each instance."""
    found = {}
    for each in whole.cluster.list("v1", "Pod").body["items"]:
        labels = each["metadata"].get("labels", {})
        if labels.get("app.kubernetes.io/part-of") == "tenantry" and "podIP" in each["status"]:
            who = f"{each['metadata']['namespace']}/{labels['app.kubernetes.io/component']}"
            found[who] = each["status"]["podIP"]
    return found


@pytest.mark.usefixtures("control")
@pytest.mark.parametrize("instance", INSTANCES)
def test_a_pod_reaches_what_is_its_own_and_nothing_else(
    whole: Whole, environment: Aws, addresses: dict[str, str], instance: str
) -> None:
    """By the network: names, AWS; and neither a pod of others, nor the cluster, nor the world."""
    door = urlsplit(environment.door.url)
    server = urlsplit(whole.cluster.url)
    allowed: Tries = {
        "names": ["resolve", "consumer.pool-1.svc.cluster.local"],
        "AWS": ["connect", door.hostname, door.port],
    }
    refused: Tries = {
        "the API server's Service": ["connect", "10.96.0.1", 443],
        "the API server": ["connect", server.hostname, server.port],
        "the kubelet": ["connect", ADDRESS, 10_250],
        "the world": ["connect", "192.0.2.1", 443],
    }
    for who, address in addresses.items():
        if not who.startswith(f"{instance}/"):
            refused[f"{who} http"] = ["connect", address, 8080]
            refused[f"{who} private"] = ["connect", address, 9090]
    assert len(refused) > len(INSTANCES) + 4

    told = tried(whole, instance, allowed | refused)

    assert dict.fromkeys(allowed, "ok") == {name: told[name] for name in allowed}
    assert {} == {name: told[name] for name in refused if told[name] not in NETWORK}


@pytest.mark.usefixtures("control")
@pytest.mark.parametrize("instance", INSTANCES)
def test_a_pods_role_opens_its_own_queue_and_table_and_no_other(
    whole: Whole, environment: Aws, routes: Routes, instance: str
) -> None:
    """With the credentials that the pod has, past its own program."""
    by_instance = {
        tenant.instance: of_aws(
            environment, tenant.instance, tenant.id, min(routes.stored(tenant))
        )
        for tenant in TENANTS
    }
    own = by_instance.pop(instance)
    if instance == "pool-1":  # where reads are by a session of the tenant's
        own = {name: each for name, each in own.items() if not name.startswith("read")}
    refused: Tries = {
        "write a placement": [
            "call", "dynamodb", "put_item",
            {"TableName": "dev-tenants", "Item": {"tenant_id": {"S": "globex"}}},
        ],
    }  # fmt: skip
    for other in by_instance.values():
        refused |= other

    told = tried(whole, instance, own | refused)

    assert {} == {name: told[name] for name in own if told[name] not in MAY}
    assert {} == {name: told[name] for name in refused if told[name] not in DENIED}
