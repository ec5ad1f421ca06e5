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
    "endpoint": "https://example.com",
    "certificate_authority": "Q0E=",
    "version": "1.35",
    "vpc_id": "vpc-1",
    "security_group_id": "sg-1",
    "interruption_queue": "dev-karpenter",
    "node_role": "dev-tenantry-karpenter-node",
    "state_copies": {"bucket": "copies", "key": "arn:aws:kms:eu-central-1:1:key/1"},
    "addons": dict.fromkeys((*NEEDED, "keda", "vpc-cni"), "1.2.3"),
    "node_class": {"image": "bottlerocket", "image_version": "v1.57.0", "volume_gib": 60},
    "node_pools": dict.fromkeys(("basic", "advanced", "premium"), POOL),
    "zones": ["eu-central-1a"],
    "domain": {"name": "dev.example.com", "zone_id": None, "certificate_arn": None},
}
