"""The stand-in of the tagging API, asked by Amazon's own client."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support import tagging_standin

ARN = "arn:aws:eks:eu-central-1:000000000000:podidentityassociation/{}/{}"


class Eks:
    """As much of EKS as the stand-in asks: clusters, each with its associations and their tags."""

    def __init__(self, clusters: dict[str, dict[str, dict[str, str]]]) -> None:
        self._clusters = clusters

    def list_clusters(self) -> dict[str, Any]:
        return {"clusters": list(self._clusters)}

    def get_paginator(self, operation: str) -> Eks:
        assert operation == "list_pod_identity_associations"
        return self

    def paginate(self, *, clusterName: str) -> list[dict[str, Any]]:  # noqa: N803 - AWS's name
        # Two pages, as of a cluster with many.
        return [{"associations": [{"associationId": one}]} for one in self._clusters[clusterName]]

    def describe_pod_identity_association(
        self,
        *,
        clusterName: str,  # noqa: N803 - AWS's name
        associationId: str,  # noqa: N803 - AWS's name
    ) -> dict[str, Any]:
        arn = ARN.format(clusterName, associationId)
        tags = self._clusters[clusterName][associationId]
        return {"association": {"associationArn": arn, "tags": tags}}


@pytest.fixture
def client() -> Generator[Any, None, None]:
    """Amazon's client of a stand-in that knows three associations in two clusters."""
    acme = {"tenantry:environment": "dev", "tenantry:consumer-namespace": "acme"}
    other = {"tenantry:environment": "dev", "tenantry:consumer-namespace": "other"}
    eks = Eks({"dev": {"a-1": acme, "a-2": other}, "next": {"a-3": acme, "a-4": {}}})
    with tagging_standin.serve(eks) as url:
        yield boto3.client(
            "resourcegroupstaggingapi",
            endpoint_url=url,
            region_name="eu-central-1",
            aws_access_key_id="local",
            aws_secret_access_key="local",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )


def found(client: Any, **filters: str) -> set[str]:
    """ARNs of what has these tags."""
    answer = client.get_resources(
        ResourceTypeFilters=["eks:podidentityassociation"],
        TagFilters=[{"Key": f"tenantry:{k}", "Values": [v]} for k, v in filters.items()],
    )
    return {one["ResourceARN"] for one in answer["ResourceTagMappingList"]}


def test_associations_are_found_by_all_of_their_tags(client: Any) -> None:
    """In every cluster of the account: whose they are is in the ARN."""
    both = {ARN.format("dev", "a-1"), ARN.format("next", "a-3")}

    assert both == found(client, environment="dev", **{"consumer-namespace": "acme"})
    assert {*both, ARN.format("dev", "a-2")} == found(client, environment="dev")


def test_nothing_is_an_empty_list(client: Any) -> None:
    """And no error."""
    assert set() == found(client, environment="staging")


def test_what_it_does_not_know_is_an_error(client: Any) -> None:
    """Rather than an answer that is wrong."""
    with pytest.raises(ClientError, match="InvalidParameterException"):
        client.get_resources(ResourceTypeFilters=["sqs:queue"])
    with pytest.raises(ClientError, match="InvalidParameterException"):
        client.get_tag_keys()
