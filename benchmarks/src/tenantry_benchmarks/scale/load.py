"""What comes in: messages, from how many tenants of which tier."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tenantry_benchmarks.scale.cost import Size, Tier

#: Up to so many tenants, each is large.
FEW_TENANTS: Final = 20


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in.

    Attributes:
        tenants: By tier.
        traffic: By tier, as shares of all messages; of tiers without tenants none.
        loudest: How many times its tier's mean the loudest tenant of a tier sends.
        reading: The share of basic tenants that read within the life of a session.
    """

    messages_per_second: float
    tenants: dict[Tier, int]
    traffic: dict[Tier, float]
    size: Size = field(default_factory=Size)
    loudest: float = 10.0
    reading: float = 0.5

    def __post_init__(self) -> None:
        if self.messages_per_second < 0 or min(self.tenants.values()) < 0:
            msg = "there are no negative messages and tenants"
            raise ValueError(msg)
        if abs(sum(self.traffic.values()) - 1) > 1e-9:  # noqa: PLR2004 - what adding floats loses
            msg = "the shares of the tiers must add up to 1"
            raise ValueError(msg)
        if any(share and not self.tenants[tier] for tier, share in self.traffic.items()):
            msg = "a tier without tenants has no traffic"
            raise ValueError(msg)

    def rate(self, tier: Tier) -> float:
        """Messages a second of all tenants of a tier."""
        return self.messages_per_second * self.traffic[tier]

    def mean(self, tier: Tier) -> float:
        """Messages a second of one of them."""
        return self.rate(tier) / self.tenants[tier] if self.tenants[tier] else 0.0

    def most(self, tier: Tier) -> float:
        """Messages a second of the loudest of them: never more than all of the tier's."""
        return min(self.rate(tier), self.mean(tier) * self.loudest)


def typical(messages_per_second: float, tenants: int, *, size: Size | None = None) -> Load:
    """A load as we assume it.

    Few tenants are all premium, and equal. Of many, 90, 8 and 2 % are basic, advanced and
    premium, with 50, 30 and 20 % of the messages.
    """
    if tenants <= FEW_TENANTS:
        counts: dict[Tier, int] = {"basic": 0, "advanced": 0, "premium": tenants}
        shares: dict[Tier, float] = {"basic": 0, "advanced": 0, "premium": 1}
        loudest = 1.0
    else:
        premium, advanced = max(1, tenants * 2 // 100), max(1, tenants * 8 // 100)
        counts = {
            "basic": tenants - advanced - premium,
            "advanced": advanced,
            "premium": premium,
        }
        shares = {"basic": 0.5, "advanced": 0.3, "premium": 0.2}
        loudest = 10.0
    return Load(messages_per_second, counts, shares, size=size or Size(), loudest=loudest)
