"""What a tenant's id may be. One data file holds rule and list for everybody who asks."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import NewType

#: A string that passed `parse_tenant_id`.
TenantId = NewType("TenantId", str)

_RULE = json.loads((files("tenantry") / "data" / "tenant_id.json").read_text("utf-8"))
_PATTERN = re.compile(_RULE["pattern"])
_RESERVED = frozenset(_RULE["reserved"])
_RESERVED_PREFIXES = tuple(_RULE["reserved_prefixes"])


def parse_tenant_id(value: object) -> TenantId:
    """The value as a tenant's id.

    Raises:
        ValueError: It is not one; the text names the rule, never the value.
    """
    if not isinstance(value, str):
        msg = "a tenant id is a string"
        raise ValueError(msg)
    if not _RULE["min_length"] <= len(value) <= _RULE["max_length"]:
        msg = f"a tenant id has {_RULE['min_length']} to {_RULE['max_length']} characters"
        raise ValueError(msg)
    if not _PATTERN.fullmatch(value):
        msg = f"a tenant id matches {_RULE['pattern']}"
        raise ValueError(msg)
    if value in _RESERVED or value.startswith(_RESERVED_PREFIXES):
        msg = "this tenant id is reserved"
        raise ValueError(msg)
    return TenantId(value)
