"""Every role of an environment with the longest names fits into what IAM takes."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import pytest

from cloud.environments import ROOT, changed, write
from iam.quotas import (
    MANAGED_POLICIES,
    ROLE_NAME_CHARACTERS,
    ROLE_POLICIES_CHARACTERS,
    TRUST_POLICY_CHARACTERS,
)
from support import terraform
from tenantry_cloud.offline import Resource, make_offline
from tenantry_cloud.reading import read_environment
from tenantry_cloud.tables import read_tables

#: A provider that starts needs seconds of CPU, of which a busy machine has few.
pytestmark = pytest.mark.terraform

NAME: Final = "e" * 20
REGION: Final = "ap-southeast-1"
ROLE: Final = "arn:aws:iam::123456789012:role/"
#: As long as a file may have it, with all that makes a policy longer.
LONGEST: Final[dict[str, Any]] = {
    "environment": NAME,
    "region": REGION,
    "network/zones": [f"{REGION}{letter}" for letter in "abc"],
    "kubernetes/admins": [f"{ROLE}{letter * 64}" for letter in string.ascii_lowercase[:19]],
    "domain/zone_id": f"Z{'0' * 31}",
    "domain/certificate_arn": (
        f"arn:aws:acm:{REGION}:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    ),
    "registry/account": "210987654321",
    "registry/region": REGION,
}


@pytest.fixture(scope="module")
def longest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Resource, ...]:
    """What it is made of, every add-on on."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("longest")
    tables = read_tables(ROOT)
    on = {f"addons/{name}/enabled": True for name in tables.addons}
    file = write(folder / f"{NAME}.tfvars", changed({**LONGEST, **on}))
    env = terraform.environment(tool, folder / "root")
    return make_offline(read_environment(file, tables), file, ROOT, env).resources


def test_roles_fit_into_what_iam_takes(longest: tuple[Resource, ...]) -> None:
    """Names, who becomes them, and what all policies of a role have together."""
    roles = {one.values["name"]: one for one in longest if one.kind == "aws_iam_role"}
    assert len(roles) > 15
    assert f"{NAME}-tenantry-cluster-admin" in roles
    for name, role in roles.items():
        assert len(name) <= ROLE_NAME_CHARACTERS, name
        assert compact(role.values["assume_role_policy"]) <= TRUST_POLICY_CHARACTERS, name
    assert [] == too_long(longest)
    attached = Counter(
        one.values["role"] for one in longest if one.kind == "aws_iam_role_policy_attachment"
    )
    assert max(attached.values()) <= MANAGED_POLICIES


def compact(document: str) -> int:
    """Its characters, as IAM counts them: without white space."""
    return len(json.dumps(json.loads(document), separators=(",", ":")))


def too_long(resources: Iterable[Resource]) -> list[str]:
    """Roles whose own policies have more characters than a role may."""
    characters: Counter[str] = Counter()
    for one in resources:
        if one.kind == "aws_iam_role_policy":
            characters[one.values["role"]] += compact(one.values["policy"])
    assert characters
    return [
        f"{role}: {count:,}"
        for role, count in characters.items()
        if count > ROLE_POLICIES_CHARACTERS
    ]
