"""What IAM bounds of a document and a name: nothing else looks at it.

How much so many tenants take of all other quotas is counted by `tenantry_benchmarks.scale.own`,
which also writes the table of `docs/scale.md`.
"""

from __future__ import annotations

from typing import Final

#: IAM User Guide, "IAM and AWS STS quotas": characters of all inline policies of a role, without
#: white space; of a trust policy by default; of a role's name.
ROLE_POLICIES_CHARACTERS: Final = 10_240
TRUST_POLICY_CHARACTERS: Final = 2_048
ROLE_NAME_CHARACTERS: Final = 64
#: Of a managed policy, alike; and of how many a role has by default.
MANAGED_POLICY_CHARACTERS: Final = 6_144
MANAGED_POLICIES: Final = 10
