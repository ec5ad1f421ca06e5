"""Token buckets in write units: a guard for each process, not a quota for the fleet."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

from tenantry.errors import RateLimitedError
from tenantry.registry import Placement

#: A full bucket holds this many seconds of the rate.
BURST_SECONDS: Final = 2
TENANTS: Final = 50_000


@dataclass(slots=True)
class _Bucket:
    units: float
    at: float


class RateLimiter:
    """Lets a tenant through at its placement's rate."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, placement: Placement, write_units: int) -> None:
        """Take what storing a message costs.

        A message that costs more than a full bucket passes when the bucket is full, and leaves
        a debt: otherwise it could never pass.

        Raises:
            RateLimitedError: The bucket does not hold that much; it says when it will.
        """
        now = self._clock()
        burst = placement.rate * BURST_SECONDS
        bucket = self._buckets.get(placement.tenant_id)
        if bucket is None:
            bucket = self._buckets[placement.tenant_id] = _Bucket(burst, now)
            if len(self._buckets) > TENANTS:
                self._buckets.popitem(last=False)
        bucket.units = min(burst, bucket.units + (now - bucket.at) * placement.rate)
        bucket.at = now
        wanted = min(write_units, burst)
        if bucket.units < wanted:
            seconds = ceil((wanted - bucket.units) / placement.rate)
            msg = f"the tenant's {placement.rate} write units a second are used up"
            raise RateLimitedError(msg, retry_after=max(1, seconds))
        bucket.units -= write_units
