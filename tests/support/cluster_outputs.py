"""What Terraform tells of an environment, as far as `tenantctl facts` reads it."""

from __future__ import annotations

from typing import Any, Final

from tenantctl.addons import NEEDED

FACTS: Final[dict[str, Any]] = {
    "environment": "dev",
    "account": "123456789012",
    "domain": "t.example.com",
}
POOL: Final[dict[str, Any]] = {
    "architectures": ["arm64"],
    "categories": ["c", "m"],
    "capacity": ["spot", "on-demand"],
    "cpu": 32,
    "memory_gib": 128,
}
CLUSTER: Final[dict[str, Any]] = {
    "name": "dev",
    "region": "eu-central-1",
    "vpc_id": "vpc-1",
    "interruption_queue": "dev-karpenter",
    "node_role": "dev-tenantry-karpenter-node",
    "addons": dict.fromkeys((*NEEDED, "keda", "vpc-cni"), "1.2.3"),
    "node_class": {"image": "bottlerocket", "image_version": "v1.57.0", "volume_gib": 60},
    "node_pools": dict.fromkeys(("basic", "advanced", "premium"), POOL),
    "domain": {
        "name": "dev.example.com",
        "zone_id": None,
        "certificate_arn": "arn:aws:acm:eu-central-1:123456789012:certificate/0",
    },
    "cidr": "10.1.0.0/16",
    "registry": "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
    "runbooks": "https://gitea.example.com/platform/tenantry/src/branch/main/docs/operations.md",
    "git": {
        "fleet": "https://gitea.example.com/platform/fleet",
        "branch": "main",
        "cidr": "10.0.0.0/16",
    },
}
