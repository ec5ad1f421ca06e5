"""The registry, written by tenantctl alone: conditional on what was read, looked at in doubt."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tenantctl.awsfailures import AWS_ERRORS, PASSING, RegistryDownError, failure
from tenantctl.errors import RefusedError
from tenantctl.ports import Scanned
from tenantry.errors import RegistryUnavailableError
from tenantry.outcomes import outcome_of
from tenantry.registry import DynamoRegistry, Placement, from_item
from tenantry.tenant_id import TenantId

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

#: Tries of a write whose outcome is not known, each conditional on the same generation.
_TRIES: Final = 3


class Placements:
    """The table `<environment>-tenants`: the port `Registry` on DynamoDB.

    `clock` tells the time in epoch seconds.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        table: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._table = table
        self._registry = DynamoRegistry(client, table)
        self._clock = clock

    async def get(self, tenant_id: TenantId) -> Placement | None:
        """The placement as it stands; None if there is none.

        Raises:
            RegistryDownError: It cannot be learnt now.
        """
        try:
            return await self._registry.get(tenant_id)
        except RegistryUnavailableError as error:
            if error.__cause__ is not None and not error.of_one_tenant:
                raise self._down(error.__cause__, "GetItem") from error
            raise RegistryDownError(
                f"table {self._table}: the placement of {tenant_id} is not understood",
                of_one_tenant=True,
            ) from error

    async def put(self, placement: Placement, *, expected_generation: int | None) -> bool:
        """Write if the item still has the generation expected (None: if there is none).

        A write whose answer is lost is looked for, and is ours if exactly this is there.

        Returns:
            False if somebody else wrote meanwhile.

        Raises:
            RegistryDownError: It is not known whether it was written.
        """
        for tries in range(1, _TRIES + 1):
            try:
                if await self._registry.put(placement, expected_generation=expected_generation):
                    return True
            except AWS_ERRORS as error:
                if tries == _TRIES or outcome_of(error) not in PASSING:
                    raise self._down(error, "PutItem") from error
                # It may have been written: the next try then finds its own generation.
                continue
            # Also a try of the client's own, whose answer was lost, ends here.
            return await self.get(placement.tenant_id) == placement
        raise AssertionError

    async def change(
        self, tenant_id: TenantId, old: Placement | None, **changes: Any
    ) -> Placement:
        """Write `old` with changes, as its next generation; `old` None: a first placement.

        `changed_at` is now, unless it is among the changes.

        Returns:
            What was written.

        Raises:
            RefusedError: Somebody else changed it meanwhile, and what is there now.
            RegistryDownError: It is not known whether it was written.
        """
        changes.setdefault("changed_at", int(self._clock()))
        if old is None:
            new = Placement(tenant_id=tenant_id, generation=1, **changes)
        else:
            new = replace(old, generation=old.generation + 1, **changes)
        expected = None if old is None else old.generation
        if await self.put(new, expected_generation=expected):
            return new
        raise RefusedError(
            f"{tenant_id}: somebody else changed its placement meanwhile. It was "
            f"{_shown(old)}, and is {_shown(await self.get(tenant_id))}: look at it, and try again"
        )

    async def scan(self) -> Scanned:
        """Every item, those that are not understood by themselves.

        Raises:
            RegistryDownError: The table does not answer, or denies.
        """
        placements: dict[TenantId, Placement] = {}
        unreadable: dict[str, str] = {}
        request: dict[str, Any] = {"TableName": self._table, "ConsistentRead": True}
        while True:
            try:
                answer = await self._client.scan(**request)
            except AWS_ERRORS as error:
                raise self._down(error, "Scan") from error
            for item in answer["Items"]:
                try:
                    placement = from_item(dict(item))
                except (KeyError, ValueError) as error:
                    unreadable[item["tenant_id"]["S"]] = repr(error)
                else:
                    placements[placement.tenant_id] = placement
            if "LastEvaluatedKey" not in answer:
                return Scanned(placements, unreadable)
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _down(self, error: BaseException, operation: str) -> RegistryDownError:
        return RegistryDownError(str(failure(error, operation, f"table {self._table}")))


def _shown(placement: Placement | None) -> str:
    if placement is None:
        return "none"
    where = placement.tier if placement.pool is None else f"{placement.tier} in {placement.pool}"
    return f"generation {placement.generation} ({where}, {placement.status})"
