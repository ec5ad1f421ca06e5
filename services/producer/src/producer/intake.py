"""Bodies that are being received: how much of memory they may take, together and by tenant."""

from __future__ import annotations

from collections import Counter
from typing import Final

from tenantry.errors import NotAcceptedError
from tenantry.tenant_id import TenantId

#: Bytes of all bodies that are being received.
INTAKE_BYTES: Final = 33_554_432
#: The same of one tenant: slow clients of one must leave room for the others.
TENANT_INTAKE_BYTES: Final = 16_777_216


class Intake:
    """Counts the bytes of bodies from their first one until they are parsed."""

    def __init__(
        self, *, most_bytes: int = INTAKE_BYTES, tenant_bytes: int = TENANT_INTAKE_BYTES
    ) -> None:
        self._most_bytes = most_bytes
        self._tenant_bytes = tenant_bytes
        self._bytes = 0
        self._by_tenant: Counter[TenantId] = Counter()

    def take(self, tenant_id: TenantId, size: int) -> None:
        """Bytes came.

        Raises:
            NotAcceptedError: There is no room for them, and they are not counted.
        """
        if (
            self._bytes + size > self._most_bytes
            or self._by_tenant[tenant_id] + size > self._tenant_bytes
        ):
            msg = "too many bodies are being received already"
            raise NotAcceptedError(msg)
        self._bytes += size
        self._by_tenant[tenant_id] += size

    def give_back(self, tenant_id: TenantId, size: int) -> None:
        """They were parsed, or given up."""
        self._bytes -= size
        self._by_tenant[tenant_id] -= size
        if not self._by_tenant[tenant_id]:
            del self._by_tenant[tenant_id]
