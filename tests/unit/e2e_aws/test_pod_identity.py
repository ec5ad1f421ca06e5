"""Pod Identity's stand-in: what its agent says to a token, and what its webhook adds to a pod."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from e2e.aws import CLUSTER_ARN, Aws
from e2e.door.door_standin import Door
from e2e.pod_identity_standin import AUDIENCE, _credentials, patched
from iam.gate import Gate, RolePolicies, gate_up
from iam.policies import parse
from support.cluster import Cluster

ACCOUNT: Final = "000000000000"
URI: Final = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
FILE: Final = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"


def role(name: str, namespace: str) -> RolePolicies:
    """A role for pods of a namespace of this cluster."""
    tags = {
        "aws:RequestTag/eks-cluster-arn": CLUSTER_ARN,
        "aws:RequestTag/kubernetes-namespace": namespace,
    }
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"],
        "Condition": {"StringEquals": tags},
    }
    trust = parse({"Version": "2012-10-17", "Statement": statement})
    return RolePolicies(f"arn:aws:iam::{ACCOUNT}:role/{name}", trust, ())


@dataclass
class Server:
    """An API server that knows pods' tokens."""

    users: Mapping[str, dict[str, Any]]
    audiences: Sequence[str] = (AUDIENCE,)
    asked: list[Any] = field(default_factory=list)

    def create(self, review: dict[str, Any]) -> Any:
        self.asked.append(review)
        user = self.users.get(review["spec"]["token"])
        if user is None:
            return SimpleNamespace(body={"status": {"error": "invalid token"}})
        status = {"authenticated": True, "user": user, "audiences": self.audiences}
        return SimpleNamespace(body={"status": status})


def of_pod(namespace: str, account: str) -> dict[str, Any]:
    """What the API server says of a token of a pod."""
    extra = {"pod-name": [f"{account}-7"], "pod-uid": ["a-uid"]}
    return {
        "username": f"system:serviceaccount:{namespace}:{account}",
        "extra": {f"authentication.kubernetes.io/{key}": value for key, value in extra.items()},
    }


@dataclass
class World:
    """Associations of two accounts, one with a role that is not for its namespace."""

    gate: Gate
    door: Door
    server: Server

    def role_of(self, namespace: str, account: str) -> str | None:
        return {"acme": "of-acme", "globex": "of-acme"}.get(namespace) if account == "a" else None

    def ask(self, token: str) -> tuple[int, dict[str, Any]]:
        return _credentials(cast("Cluster", self.server), cast("Aws", self), token)


@pytest.fixture
async def world() -> AsyncGenerator[World, None]:
    async def tags(_: str) -> Mapping[str, str]:
        return {}

    server = Server({f"{ns}.{sa}": of_pod(ns, sa) for ns in ("acme", "globex") for sa in "ab"})
    async with gate_up("http://127.0.0.1:1", [role("of-acme", "acme")], tags=tags) as gate:
        yield World(gate, Door(gate, time.time), server)


def test_a_pod_gets_its_roles_session_with_the_tags_of_eks(world: World) -> None:
    """All six of them, and all of them go on to further sessions."""
    status, said = world.ask("acme.a")

    assert 200 == status
    assert {"AccessKeyId", "SecretAccessKey", "Token", "Expiration", "AccountId"} == said.keys()
    session = world.gate.session(said["AccessKeyId"])
    assert session is not None
    assert {
        "eks-cluster-arn": CLUSTER_ARN,
        "eks-cluster-name": "dev",
        "kubernetes-namespace": "acme",
        "kubernetes-service-account": "a",
        "kubernetes-pod-name": "a-7",
        "kubernetes-pod-uid": "a-uid",
    } == session.tags
    assert session.tags.keys() == session.transitive


def test_a_token_is_vouched_for_with_its_audience(world: World) -> None:
    """A token for the API server, or for another program, is none here."""
    status, said = world.ask("made-up")

    assert 400 == status
    assert "invalid token" in said["message"]
    [review] = world.server.asked
    assert {"token": "made-up", "audiences": [AUDIENCE]} == review["spec"]


def test_a_token_of_no_pod_is_none(world: World) -> None:
    """Somebody can have made it for an account alone."""
    world.server.users["acme.a"]["extra"] = {}
    assert 400 == world.ask("acme.a")[0]


def test_a_server_that_knows_no_audiences_does_not_vouch(world: World) -> None:
    """It passes over what it was asked for; the answer does not name it."""
    world.server.audiences = ()
    assert 400 == world.ask("acme.a")[0]


def test_without_an_association_there_are_no_credentials(world: World) -> None:
    """It is said whose is missing."""
    assert (404, {"message": "no association for b of acme"}) == world.ask("acme.b")


def test_an_association_is_not_enough(world: World) -> None:
    """The role's trust policy must let the pod in."""
    status, said = world.ask("globex.a")

    assert 403 == status
    assert "of-acme is not for a of globex" in said["message"]


def names(patch: list[dict[str, Any]], place: str) -> list[str]:
    """Of what a patch sets there."""
    [found] = [one["value"] for one in patch if one["path"] == place]
    return [each["name"] for each in found]


def test_a_pod_is_given_address_and_token() -> None:
    """In every container, beside what it has, with a volume for the token."""
    own = {"name": "A", "value": "1"}
    spec = {
        "initContainers": [{"name": "first"}],
        "containers": [{"name": "one", "env": [own]}, {"name": "two"}],
        "volumes": [{"name": "its-own"}],
    }
    patch = patched(spec)

    regions = ["AWS_REGION", "AWS_DEFAULT_REGION"]
    assert ["A", URI, FILE, *regions] == names(patch, "/spec/containers/0/env")
    assert [URI, FILE, *regions] == names(patch, "/spec/containers/1/env")
    assert [URI, FILE, *regions] == names(patch, "/spec/initContainers/0/env")
    assert ["its-own", "eks-pod-identity-token"] == names(patch, "/spec/volumes")
    [token] = patch[-1]["value"][-1]["projected"]["sources"]
    assert AUDIENCE == token["serviceAccountToken"]["audience"]


@pytest.mark.parametrize("name", [URI, FILE])
def test_what_a_container_says_itself_is_left_alone(name: str) -> None:
    """And with no container to be told, there is no volume."""
    assert [] == patched({"containers": [{"name": "one", "env": [{"name": name, "value": "x"}]}]})


def test_a_region_that_is_there_stays() -> None:
    """Neither of the two is added."""
    spec = {"containers": [{"name": "one", "env": [{"name": "AWS_REGION", "value": "x"}]}]}
    assert ["AWS_REGION", URI, FILE] == names(patched(spec), "/spec/containers/0/env")
