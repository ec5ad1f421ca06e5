"""What AWS asks for, with a date and a source for each number.

A price is *documented* if a page or price list says it; who read it where is in its source.
Everything else is *assumed*, and says on what grounds. On demand, before taxes, discounts and
free tiers, in US dollars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

#: N. Virginia: the region with the best documented prices.
REGION: Final = "us-east-1"
#: When the sources were last read.
AS_OF: Final = "2026-11-22"

HOURS_A_MONTH: Final = 730
SECONDS_A_MONTH: Final = HOURS_A_MONTH * 3_600
MILLION: Final = 1_000_000
GIGABYTE: Final = 2**30

#: What one billed request of SQS holds (64 KB): every action counts once for each such chunk of
#: its payload. "Amazon SQS pricing".
SQS_REQUEST_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for one unit."""

    dollars: float
    unit: str
    source: str
    is_documented: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """A price that holds for the next so many units of a month."""

    units: float
    price: Price


_SQS = "Amazon SQS pricing; price list of 2025-08-28"
_DYNAMODB = (
    "Amazon DynamoDB pricing; price list of 2026-08-15 (on demand was halved on 2024-11-01)"
)
_EC2 = "Amazon EC2 pricing; Karpenter's price table of 2026-07-20"
_ELB = "Elastic Load Balancing pricing; price list of 2026-07-20"
_PRIVATELINK = "AWS PrivateLink pricing; price list of 2026-07-24"
_CLOUDWATCH = "Amazon CloudWatch pricing; price list of 2026-08-06"
_OTHERS = (
    "Amazon EBS, Amazon VPC, AWS KMS, AWS Systems Manager pricing; infracost's tests of 2024-07-01"
)
_SPOT = "Spot moves: AWS says up to 90 % off, we count on 35 to 70 %"


@dataclass(frozen=True, slots=True)
class Prices:
    """One region's prices.

    Attributes:
        sqs_fair_request: On top of the standard price.
        m7g_large: Two vCPUs, 8 GiB, Graviton; `m7a_large` is the same of AMD.
        spot_low: Of the price on demand, in a good month; `spot_high` in a bad one.
        disk: gp3.
        ssm_request: Of Parameter Store with higher throughput; without, 40 a second are free.
    """

    sqs_requests: Sequence[Step] = (
        Step(100e9, Price(0.40 / MILLION, "request", _SQS)),
        Step(100e9, Price(0.30 / MILLION, "request", _SQS)),
        Step(float("inf"), Price(0.24 / MILLION, "request", _SQS)),
    )
    sqs_fair_request: Price = Price(
        0.10 / MILLION,
        "request",
        _SQS + ", queueType Fair; on which requests is *assumed*: all of a queue with groups",
    )
    dynamodb_write: Price = Price(0.625 / MILLION, "write unit", _DYNAMODB)
    dynamodb_read: Price = Price(0.125 / MILLION, "read unit", _DYNAMODB)
    dynamodb_storage: Price = Price(0.25, "GB-month", _DYNAMODB)
    dynamodb_wcu: Price = Price(
        0.00065,
        "WCU-hour",
        "Amazon DynamoDB pricing, provisioned; infracost's tests of 2024-11-15",
    )
    eks_cluster: Price = Price(
        0.10, "hour", "Amazon EKS pricing, standard support; infracost's tests of 2025-07-07"
    )
    m7g_large: Price = Price(0.0816, "hour", _EC2)
    m7a_large: Price = Price(0.11592, "hour", _EC2)
    spot_low: Price = Price(0.30, "of on demand", _SPOT, is_documented=False)
    spot_high: Price = Price(0.65, "of on demand", _SPOT, is_documented=False)
    disk: Price = Price(0.08, "GB-month", _OTHERS)
    alb: Price = Price(0.0225, "hour", _ELB)
    lcu: Price = Price(0.008, "LCU-hour", _ELB)
    nat: Price = Price(0.045, "hour", _OTHERS)
    nat_data: Price = Price(0.045, "GB", _OTHERS)
    endpoint: Price = Price(0.01, "hour and zone", _PRIVATELINK)
    endpoint_data: Price = Price(0.01, "GB", _PRIVATELINK)
    alarm: Price = Price(0.10, "month", _CLOUDWATCH)
    logs: Price = Price(0.50, "GB", _CLOUDWATCH)
    kms_key: Price = Price(1.0, "month", _OTHERS)
    kms_request: Price = Price(0.03 / 10_000, "request", _OTHERS)
    ssm_request: Price = Price(0.05 / 10_000, "request", _OTHERS)


PRICES: Final = Prices()


def tiered(steps: Sequence[Step], units: float) -> float:
    """Dollars for so many units of a month, each at the price of its step."""
    dollars = 0.0
    for step in steps:
        taken = min(units, step.units)
        dollars += taken * step.price.dollars
        units -= taken
    return dollars


def all_prices(prices: Prices = PRICES) -> list[tuple[str, Price]]:
    """Every price by its name; the steps of one are numbered."""
    found: list[tuple[str, Price]] = []
    for field in fields(prices):
        value = getattr(prices, field.name)
        if isinstance(value, Price):
            found.append((field.name, value))
        else:
            found += [(f"{field.name} {at}", step.price) for at, step in enumerate(value, 1)]
    return found
